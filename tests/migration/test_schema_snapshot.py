"""The whole schema as PostgreSQL tells it, beside this file: what a change of the migrations changes is seen in review.

Alembic compares tables, columns and indexes; CHECKs, functions, triggers, storage, options and grants it does not see.
After a change that is meant: UPDATE_SNAPSHOTS=1 .venv/bin/python -m pytest tests/migration/test_schema_snapshot.py
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine

SNAPSHOT: Final = Path(__file__).parent / "schema.txt"
OURS: Final = "('ledger', 'volunteer', 'watch')"
# The same text from PostgreSQL 14 to 18. NOT NULL has constraints of its own only in 18, the column says it everywhere;
# before 16 a view says of which table its columns are even where it has only one; the owner's own rights have grown.
CATALOGUE: Final = f"""
    SELECT 1, format('schema %s: %s', n.nspname, grants(n.nspacl)) FROM pg_namespace n WHERE n.nspname IN {OURS}
    UNION ALL
    SELECT 2, concat(CASE c.relkind WHEN 'r' THEN 'table ' ELSE 'view ' END, c.oid::regclass,
                     ' WITH ' || c.reloptions::text, ' TOAST WITH ' || t.reloptions::text, ': ', grants(c.relacl))
      FROM pg_class c LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
     WHERE c.relnamespace::regnamespace::text IN {OURS} AND c.relkind IN ('r', 'v')
    UNION ALL
    SELECT 3, concat('column ', c.oid::regclass, '.', a.attname, ' ', format_type(a.atttypid, a.atttypmod),
                     CASE WHEN a.attnotnull THEN ' NOT NULL' END, ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid),
                     ' IDENTITY ' || nullif(a.attidentity::text, ''), ' STORAGE ', a.attstorage)
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE c.relnamespace::regnamespace::text IN {OURS} AND c.relkind IN ('r', 'v') AND a.attnum > 0
    UNION ALL
    SELECT 4, format('constraint %s %s: %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
      FROM pg_constraint WHERE connamespace::regnamespace::text IN {OURS} AND contype <> 'n'
    UNION ALL
    SELECT 5, indexdef FROM pg_indexes WHERE schemaname IN {OURS}
    UNION ALL
    SELECT 6, pg_get_triggerdef(t.oid)
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
     WHERE c.relnamespace::regnamespace::text IN {OURS} AND NOT t.tgisinternal
    UNION ALL
    SELECT 7, concat(pg_get_functiondef(oid), grants(proacl))
      FROM pg_proc WHERE pronamespace::regnamespace::text IN {OURS}
    UNION ALL
    SELECT 8, format('view %s AS %s', c.oid::regclass,
                     regexp_replace(pg_get_viewdef(c.oid), '\\m(schema_version|runs|gradients|counted|p)\\.', '', 'g'))
      FROM pg_class c WHERE c.relnamespace::regnamespace::text IN {OURS} AND c.relkind = 'v'
    UNION ALL
    SELECT 9, format('database: %s', grants(datacl)) FROM pg_database WHERE datname = current_database()
"""
GRANTS: Final = """
    CREATE FUNCTION pg_temp.grants(aclitem[]) RETURNS text LANGUAGE sql AS $$
        SELECT 'granted to ' || coalesce(string_agg(line, ', ' ORDER BY line),
                                         CASE WHEN $1 IS NULL THEN 'the default' ELSE 'nobody' END) FROM (
            SELECT format('%s (%s)', CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
                          string_agg(privilege_type, ' ' ORDER BY privilege_type)) AS line
              FROM aclexplode($1) WHERE grantee <> current_user::regrole GROUP BY grantee) lines $$
"""


def test_the_schema_is_the_one_in_the_snapshot(owner_engine: Engine) -> None:
    with owner_engine.connect() as connection:
        found = schema_of(connection)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(found, encoding="utf-8", newline="\n")
    assert found == SNAPSHOT.read_text(encoding="utf-8")


def schema_of(connection: Connection) -> str:
    run = connection.execution_options(no_parameters=True).exec_driver_sql
    run(GRANTS)
    rows = run(CATALOGUE.replace("grants(", "pg_temp.grants(")).all()
    lines = [line for _, line in sorted((kind, line) for kind, line in rows)]
    return "\n".join(lines) + "\n"
