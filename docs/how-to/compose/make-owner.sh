#!/bin/sh
# Runs once, when the database is made: the ledger's owner may make logins and a database, and is no superuser.
set -eu
psql --quiet --set ON_ERROR_STOP=1 --username postgres --dbname postgres --set password="$DB_PASSWORD" <<'SQL'
SET password_encryption = 'scram-sha-256';
CREATE ROLE barnraise LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE barnraise OWNER barnraise;
SQL
