#!/bin/sh
# The certificate that the server shows and invitations pin; never made anew while it exists.
set -eu
cd /certificate
if [ -s server.crt ]; then exit 0; fi
case $ADVERTISE_HOST in
  *[!0-9.]*) name=DNS:$ADVERTISE_HOST ;;
  *) name=IP:$ADVERTISE_HOST ;;
esac
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=Barnraise database" \
  -addext "subjectAltName=$name,DNS:postgres,DNS:localhost" -keyout server.key -out draft.crt
chown postgres server.key
chmod 600 server.key
chmod 644 draft.crt
# The certificate last: one without its key would never be mended.
mv draft.crt server.crt
