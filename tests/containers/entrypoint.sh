#!/bin/sh
# What the tests need of the official image's entrypoint: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB.
set -eu
data=/var/lib/postgresql/tests user=${POSTGRES_USER:-postgres} database=${POSTGRES_DB:-${POSTGRES_USER:-postgres}}
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"; }
[ "${1:-}" != postgres ] || shift
install -d -o postgres -g postgres -m 0700 "$data"
printf '%s\n' "$POSTGRES_PASSWORD" | install -o postgres -m 0600 /dev/stdin /tmp/password
as_postgres initdb -D "$data" -U "$user" --pwfile=/tmp/password -A scram-sha-256 -E UTF8 --locale=C.UTF-8 --no-sync
echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
[ "$database" = postgres ] || echo "CREATE DATABASE \"$database\"" | as_postgres postgres --single -D "$data" postgres
rm /tmp/password
exec setpriv --reuid=postgres --regid=postgres --clear-groups -- postgres -D "$data" -c 'listen_addresses=*' "$@"
