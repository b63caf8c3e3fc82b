#!/usr/bin/env bash
# Runs the tests that need whatever PostgreSQL there is against one in a container. Exit code 69: no image could be had, no test was run.
# The image is TEST_POSTGRES_IMAGE, else the official one, else one made of Debian packages.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly official=postgres:18 no_image=69

image=${TEST_POSTGRES_IMAGE:-}
if [[ -z $image ]]; then
  if docker image inspect "$official" >/dev/null 2>&1 || timeout 300 docker pull --quiet "$official" >/dev/null; then
    image=$official
  else
    echo "run_tests.sh: making an image from Debian packages instead" >&2
    image=$(tests/containers/offline_image.sh) || exit "$no_image"
  fi
fi

# The reaper is an image of its own, which an engine without a registry does not have.
export TESTCONTAINERS_RYUK_DISABLED=true
# Where the tests themselves run in a container, Testcontainers would look for its own at the gateway.
export TESTCONTAINERS_HOST_OVERRIDE=localhost TESTCONTAINERS_CONNECTION_MODE=docker_host
export TEST_BACKEND=container TEST_POSTGRES_IMAGE=$image
# It waits more than it computes.
exec .venv/bin/python -m pytest -n 3 -m 'not nightly and not own_server' tests/integration tests/migration "$@"
