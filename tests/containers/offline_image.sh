#!/usr/bin/env bash
# A PostgreSQL image from Debian packages, for an engine that reaches no image registry. Prints the image's name.
# Needs root, an engine, and the mirror that this machine's own apt uses.
set -euo pipefail
cd "$(dirname "$0")"
export DEBIAN_FRONTEND=noninteractive

apt-cache show postgresql >/dev/null 2>&1 || apt-get -qq update >&2
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $suite" 'Component: main' 'Created-By: Packages' | head -n 1)
package=$(apt-cache depends postgresql | sed -n 's/^ *Depends: \(postgresql-[0-9]*\)$/\1/p' | head -n 1)
if [[ -z $mirror || -z $package ]]; then
  echo "offline_image.sh: this machine's apt names no mirror of $suite that has PostgreSQL" >&2
  exit 1
fi

# The name follows the definition: a changed script makes another image, the same one is kept.
image="barnraise-offline-$package:$(cat offline_image.sh entrypoint.sh <(echo "$suite") | sha256sum | cut -c 1-12)"
if docker image inspect "$image" >/dev/null 2>&1; then
  echo "$image"
  exit
fi

command -v debootstrap >/dev/null || apt-get -qq install -y --no-install-recommends debootstrap </dev/null >/dev/null
root=$(mktemp -d /var/tmp/barnraise-image.XXXXXX)
log=$(mktemp)
trap 'rm -rf --one-file-system "$root" "$log"' EXIT
eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
[[ -z ${http_proxy:-} ]] || export http_proxy
[[ -z ${https_proxy:-} ]] || export https_proxy
if ! debootstrap --variant=minbase --include="$package" "$suite" "$root" "$mirror" </dev/null >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  exit 1
fi
install -m 0755 entrypoint.sh "$root/usr/local/bin/entrypoint.sh"
tar -C "$root" --exclude=./var/cache/apt --exclude=./var/lib/apt/lists --exclude=./usr/share/doc --one-file-system -c . |
  docker import --change 'ENTRYPOINT ["/usr/local/bin/entrypoint.sh"]' --change 'EXPOSE 5432' - "$image" >/dev/null
echo "$image"
