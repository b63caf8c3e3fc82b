"""Who may do what, as the database itself says it.

After a change on purpose: UPDATE_SNAPSHOTS=1 python -m pytest tests/migration/test_grants.py, and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Engine, text

from coordinator.ledger import people
from tests.servers.databases import Database

SNAPSHOT = Path(__file__).parent / "grants.txt"
# Only 17 and later know MAINTAIN, and the owner has it anyway.
_GRANTS = text("""
    SELECT object, grantee, string_agg(privilege_type, ', ' ORDER BY privilege_type) AS rights
      FROM (
        SELECT 'database' AS object, acl.grantee, acl.privilege_type
          FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) acl
         WHERE d.datname = current_database()
        UNION ALL
        SELECT 'schema ' || n.nspname::text, acl.grantee, acl.privilege_type
          FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) acl
         WHERE n.nspname IN ('ledger', 'volunteer', 'watch')
            -- Whose it is depends on the release.
            OR n.nspname = 'public' AND acl.grantee <> n.nspowner
        UNION ALL
        SELECT CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' ELSE 'table' END || ' ' || c.oid::regclass,
               acl.grantee, acl.privilege_type
          FROM pg_class c, aclexplode(coalesce(
                   c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner))) acl
         WHERE c.relnamespace::regnamespace::text IN ('ledger', 'volunteer', 'watch', 'public')
           AND c.relkind IN ('r', 'v', 'm', 'S', 'f', 'p')
        UNION ALL
        SELECT 'column ' || a.attrelid::regclass || '.' || a.attname, acl.grantee, acl.privilege_type
          FROM pg_attribute a, aclexplode(a.attacl) acl
         WHERE a.attrelid >= 16384
        UNION ALL
        SELECT 'function ' || p.oid::regprocedure || CASE WHEN p.prosecdef THEN ', security definer' ELSE '' END
               || coalesce(', ' || array_to_string(p.proconfig, ' '), ''), acl.grantee, acl.privilege_type
          FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) acl
         WHERE p.pronamespace::regnamespace::text IN ('ledger', 'volunteer', 'watch', 'public')
        UNION ALL
        SELECT 'default for ' || d.defaclobjtype::text, acl.grantee, acl.privilege_type
          FROM pg_default_acl d, aclexplode(d.defaclacl) acl
      ) g (object, grantee, privilege_type)
     WHERE privilege_type <> 'MAINTAIN'
     GROUP BY object, grantee""")
_ROLES = text("SELECT oid, rolname FROM pg_roles")


def test_the_grants_are_those_of_the_snapshot(database: Database, owner_engine: Engine) -> None:
    with owner_engine.begin() as conn:
        people.invite(conn, name="alice", password="wonderland")
        roles = {oid: _known_as(name, database) for oid, name in conn.execute(_ROLES)} | {0: "PUBLIC"}
        lines = sorted(f"{row.object}: {roles[row.grantee]} may {row.rights}\n" for row in conn.execute(_GRANTS))
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text("".join(lines), encoding="utf-8")
    assert lines == SNAPSHOT.read_text(encoding="utf-8").splitlines(keepends=True)


def _known_as(role: str, database: Database) -> str:
    if role == database.owner.role:
        return "the owner"
    return role.replace(database.name, "DATABASE")
