#!/usr/bin/env bash
# with_engine.sh COMMAND...: runs the command with a Docker engine: the one that answers, else a dockerd of our own that
# ends with the command. Exit code 69: no engine could be had, and the command did not run.
set -euo pipefail
readonly no_engine=69

answers() { timeout 5 docker version >/dev/null 2>&1; }
give_up() {
  echo "with_engine.sh: $1" >&2
  exit "$no_engine"
}

if ! answers; then
  [[ $(id -u) == 0 ]] || give_up 'no Docker engine answers, and only root can start one'
  if ! command -v dockerd >/dev/null; then
    command -v apt-get >/dev/null || give_up 'no Docker engine answers, and there is no apt-get to install one'
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends docker.io; } </dev/null >/dev/null ||
      give_up 'apt-get cannot install docker.io'
  fi
  # A setting left over for some other engine would hide ours.
  unset DOCKER_CONTEXT
  export DOCKER_HOST=unix:///var/run/docker.sock
  log=$(mktemp)
  dockerd_pid=
  stop_engine() {
    if [[ -n $dockerd_pid ]]; then
      kill "$dockerd_pid" 2>/dev/null || true
      wait "$dockerd_pid" || true
    fi
    rm -f "$log"
  }
  trap stop_engine EXIT
  # The second way is for machines without overlayfs or netfilter: published ports need neither.
  for options in '' '--storage-driver=vfs --iptables=false --ip6tables=false'; do
    # shellcheck disable=SC2086 # several options in one string
    dockerd --ip 127.0.0.1 $options </dev/null >"$log" 2>&1 &
    dockerd_pid=$!
    for _ in {1..100}; do
      if answers; then break 2; fi
      if ! kill -0 "$dockerd_pid" 2>/dev/null; then break; fi
      sleep 0.2
    done
    kill "$dockerd_pid" 2>/dev/null || true
    wait "$dockerd_pid" || true
    dockerd_pid=
  done
  if [[ -z $dockerd_pid ]]; then
    tail -n 5 "$log" >&2
    give_up 'dockerd does not start here'
  fi
fi

"$@"
