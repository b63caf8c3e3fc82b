"""Everything a volunteer could change on a server, in one row per table."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

# Other processes of the tests work on the same server: of what belongs to the whole server, only our share counts.
_OURS: Mapping[str, str] = {
    "pg_database": "datname = current_database()",
    "pg_authid": "starts_with(rolname, current_database()) OR starts_with(rolname, 'barnraise_')",
    "pg_auth_members": "member IN (SELECT oid FROM pg_roles WHERE starts_with(rolname, current_database()))",
    "pg_db_role_setting": "setdatabase IN (SELECT oid FROM pg_database WHERE datname = current_database())"
    " OR setrole IN (SELECT oid FROM pg_roles WHERE starts_with(rolname, current_database()))",
    "pg_shdepend": "dbid IN (SELECT oid FROM pg_database WHERE datname = current_database())",
    "pg_shdescription": "false",
}
# Statistics come and go by themselves.
_RESTLESS = ("pg_statistic", "pg_statistic_ext_data")
_ROWS = sql.SQL("SELECT {name} AS name, count(*) AS num_rows, coalesce(sum(hashtextextended({row}, 0)), 0) AS content"
                " FROM {table} t WHERE {ours}")  # fmt: skip
# A changed row of a catalogue is a new version at another place; vacuum's own notes are written in place.
_CATALOGUE_ROW = "t.ctid::text || t.xmin::text"
_LEDGER_ROW = "t::text"
# A GRANT that grants nothing writes the same row once more, so here the content counts.
_WRITTEN_ANEW: Mapping[str, str] = {
    "pg_class": "row(oid, relname, relnamespace, relowner, relkind, relacl, reloptions, relhasrules)::text",
    "pg_attribute": "row(attrelid, attname, attnum, attacl)::text",
    "pg_proc": "row(oid, proname, pronamespace, proowner, prosecdef, proacl, proconfig, prosrc)::text",
    "pg_namespace": "t::text",
    "pg_database": "row(oid, datname, datdba, datconnlimit, datacl)::text",
    "pg_language": "t::text",
}
_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE (n.nspname = 'ledger' AND c.relkind = 'r' OR n.nspname = 'pg_catalog' AND c.relkind = 'r')
   AND c.relname <> ALL (%s) ORDER BY 1, 2"""
_SERVER_FILES = """
SELECT 'configuration of the server' AS name, 1 AS num_rows,
       hashtextextended(pg_read_file('postgresql.auto.conf'), 0)::numeric AS content
UNION ALL SELECT 'replication slots', count(*), 0 FROM pg_replication_slots
UNION ALL SELECT 'prepared transactions', count(*), 0 FROM pg_prepared_xacts WHERE database = current_database()
UNION ALL SELECT 'sequences', count(*), sum(coalesce(last_value, 0)) FROM pg_sequences WHERE schemaname = 'ledger'"""

Fingerprint = Mapping[str, tuple[int, int]]


class Fingerprints:
    """Taken as the superuser."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        parts = [
            _ROWS.format(
                name=sql.Literal(f"{schema}.{table}"),
                row=sql.SQL(_LEDGER_ROW if schema == "ledger" else _WRITTEN_ANEW.get(table, _CATALOGUE_ROW)),
                table=sql.Identifier(schema, table),
                ours=sql.SQL(_OURS.get(table, "true")),
            )
            for schema, table in connection.execute(_TABLES, [list(_RESTLESS)]).fetchall()
        ]
        self._query = sql.SQL(" UNION ALL ").join([*parts, sql.SQL(_SERVER_FILES)])

    def take(self) -> Fingerprint:
        return {name: (num_rows, int(content)) for name, num_rows, content in self._connection.execute(self._query)}


def changes(before: Fingerprint, after: Fingerprint) -> list[str]:
    return [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
