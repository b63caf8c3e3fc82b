"""The ledger's tables, its internal functions, and the views."""

from __future__ import annotations

from coordinator.tables import metadata
from tests.integration.hostile.case import NO_RIGHT, Case, refused

_TABLES = [*sorted(table.name for table in metadata.tables.values()), "schema_version"]
_ON_EACH_TABLE = {
    "select": "SELECT * FROM ledger.{table}",
    "count": "SELECT count(*) FROM ledger.{table}",
    "insert": "INSERT INTO ledger.{table} DEFAULT VALUES",
    "update": "UPDATE ledger.{table} SET {column} = {column}",
    "delete": "DELETE FROM ledger.{table}",
    "truncate": "TRUNCATE ledger.{table} CASCADE",
    "copy out": "COPY ledger.{table} TO STDOUT",
    "lock": "BEGIN; LOCK TABLE ledger.{table} IN ACCESS EXCLUSIVE MODE",
    "drop": "DROP TABLE ledger.{table} CASCADE",
}
_VIEWS = ("progress", "workers", "units", "gradients", "contributions", "events", "schema_revision")
_ON_EACH_VIEW = {
    "insert": "INSERT INTO watch.{view} SELECT * FROM watch.{view}",
    "update": "UPDATE watch.{view} SET {column} = {column}",
    "delete": "DELETE FROM watch.{view}",
    "lock rows": "SELECT * FROM watch.{view} FOR UPDATE",
    "lock": "BEGIN; LOCK TABLE watch.{view} IN ACCESS EXCLUSIVE MODE",
    "replace": "CREATE OR REPLACE VIEW watch.{view} AS SELECT 1 AS x",
    "drop": "DROP VIEW watch.{view}",
    "rule": "CREATE RULE hole AS ON INSERT TO watch.{view} DO INSTEAD NOTHING",
}
_COLUMNS = {
    "heartbeats": "worker_id",
    "model_versions": "run_id",
    "model_parts": "run_id",
    "gradient_blobs": "gradient_id",
    "aggregations": "run_id",
    "contributions": "run_id",
    "metrics": "run_id",
    "leaders": "run_id",
    "schema_version": "version_num",
}
_VIEW_COLUMNS = {"events": "event", "schema_revision": "revision"}
_INTERNAL_CALLS = {
    "authorise_v1": "SELECT ledger.authorise_v1(<their_worker>)",
    "caller_v1": "SELECT ledger.caller_v1()",
    "claim_what_is_left_v1": "SELECT ledger.claim_what_is_left_v1(<their_worker>)",
    "hold_unit_v1": "SELECT ledger.hold_unit_v1(1, <their_worker>, <their_unit>, 1, '<their_token>')",
    "store_part_v1": "SELECT ledger.store_part_v1(1, <their_worker>, <their_unit>, 1, 0, 0, 'x', 100, 100)",
    "lease_is_over_v1": "SELECT ledger.lease_is_over_v1(1, 1, now(), now(), 1)",
    "require_text_v1": "SELECT ledger.require_text_v1('x', 'y', 10)",
    "require_object_v1": "SELECT ledger.require_object_v1('x', '{}')",
    "require_losses_v1": "SELECT ledger.require_losses_v1('{}')",
    "guard_unit_v1": "SELECT ledger.guard_unit_v1()",
    "guard_gradient_v1": "SELECT ledger.guard_gradient_v1()",
    "guard_run_v1": "SELECT ledger.guard_run_v1()",
    "link_contribution_v1": "SELECT ledger.link_contribution_v1()",
    "refuse_change_v1": "SELECT ledger.refuse_change_v1()",
}

CASES: tuple[Case, ...] = (
    *(
        refused(f"{verb} ledger.{table}", statement.format(table=table, column=_COLUMNS.get(table, "id")))
        for table in _TABLES
        for verb, statement in _ON_EACH_TABLE.items()
    ),
    *(
        # A view over several tables cannot be written to at all, and PostgreSQL may say that first.
        refused(
            f"{verb} watch.{view}",
            statement.format(view=view, column=_VIEW_COLUMNS.get(view, "run")),
            NO_RIGHT,
            *(("55000", "0A000") if verb in ("insert", "update", "delete", "lock rows") else ()),
        )
        for view in _VIEWS
        for verb, statement in _ON_EACH_VIEW.items()
    ),
    *(refused(f"call ledger.{name}", statement) for name, statement in _INTERNAL_CALLS.items()),
    refused("token through the view", "SELECT lease_token FROM watch.units", "42703"),
    refused(
        "token through the view's table", "SELECT u.lease_token FROM watch.units v JOIN ledger.work_units u USING (id)"
    ),
    refused("password through the view", "SELECT password FROM watch.workers", "42703"),
    refused("insert into a type", "SELECT NULL::ledger.work_units"),
    refused("foreign key into the ledger", "CREATE TABLE pg_temp.t (id bigint REFERENCES ledger.work_units)"),
    refused("inherit from the ledger", "CREATE TABLE public.t () INHERITS (ledger.work_units)"),
    refused("view over the ledger", "CREATE VIEW public.v AS SELECT * FROM ledger.work_units"),
    refused("trigger on the ledger", "CREATE TRIGGER t BEFORE UPDATE ON ledger.work_units EXECUTE FUNCTION f()"),
    refused("index on the ledger", "CREATE INDEX ON ledger.work_units (id)"),
    refused("vacuum the queue", "VACUUM ledger.work_units"),
    refused("analyze the queue", "ANALYZE ledger.work_units"),
    refused("table as XML", "SELECT table_to_xml('ledger.work_units', true, true, '')"),
    refused("query as XML", "SELECT query_to_xml('SELECT * FROM ledger.work_units', true, true, '')"),
    refused("next number of the queue", "SELECT nextval(<sequence>::regclass)"),
    refused("numbers of the queue turned back", "SELECT setval(<sequence>::regclass, 1)"),
    refused("present number of the queue", "SELECT currval(<sequence>::regclass)", NO_RIGHT, "55000"),
    refused(
        "merge into the queue",
        "MERGE INTO ledger.work_units u USING watch.units w ON u.id = w.unit WHEN MATCHED THEN DELETE",
        oldest=15,
    ),
    refused("cursor over the queue", "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM ledger.work_units"),
    refused("prepared read of the queue", "PREPARE p AS SELECT * FROM ledger.work_units"),
    refused("read the queue in a DO block", "DO 'BEGIN PERFORM 1 FROM ledger.work_units; END'"),
    refused("explain a write", "EXPLAIN ANALYZE DELETE FROM ledger.work_units"),
)
