"""The hot queries use the indexes that were made for them, and what is written often is written in place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

import migrations
from benchmarks.watching import QUESTIONS
from contract.ids import RunId, Version
from contract.states import RunState
from coordinator.ledger import events, gradients, overview, runs, showing, units, versions, watching
from tests.integration.classroom import Classroom, claim, classroom, join, new_run
from tests.servers.databases import Workshop
from tests.waiting import wait_until
from worker import ledger

__all__ = ["classroom"]

FUNCTIONS = Path(migrations.__file__).parent / "functions"
MANY = text("""
    INSERT INTO ledger.work_units (run_id, position, epoch, first_sample, num_samples, seed, state)
    SELECT :run, n, 0, n * 10, 10, n, 'open' FROM generate_series(0, 19999) n""")
SOME_LEASED = text("""
    UPDATE ledger.work_units
       SET state = 'leased', attempt = 1, worker_id = position, base_version = 0, lease_token = gen_random_uuid(),
           leased_at = now(), lease_expires_at = now() + interval '5 minutes'
     WHERE position < 200""")
MANY_MERGED = text("""
    INSERT INTO ledger.gradients (run_id, unit_id, attempt, worker_id, base_version, state)
    SELECT :run, n, 1, n % 1000, 0, 'uploading' FROM generate_series(1, 20000) n""")
SUBMIT = text("""
    UPDATE ledger.gradients
       SET state = 'submitted', codec = 'none', num_samples = 1, num_parts = 1, sha256 = sha256('x'),
           submitted_at = now()
     WHERE unit_id > 10""")
MANY_AGGREGATED = text("""
    INSERT INTO ledger.aggregations (run_id, version, rule, options, gradient_ids, weights, input_sha256, output_sha256,
                                     seconds)
    SELECT :run, n, 'mean', '{}', '{1,2}', '{1,1}', sha256('x'), sha256('x'), 1 FROM generate_series(1, 20000) n""")
MERGE = text("""
    UPDATE ledger.gradients SET state = 'merged', weight = 1, merged_version = 1, finished_at = now()
     WHERE state = 'submitted' AND unit_id > 20""")


@pytest.fixture(scope="module")
def full(workshop: Workshop, template: str) -> Iterator[tuple[Engine, RunId]]:
    """A run with a long queue and a long history."""
    from contract.database import engine_for

    database = workshop.create(template=template)
    engine = engine_for(database.url(), application="test")
    with engine.begin() as conn:
        run = runs.create_run(conn, new_run())
        first = versions.NewVersion(number=Version(0), parent=None, manifest="{}", optimizer_step=0, parts=[b"weights"])
        versions.publish_version(conn, run=run, new=first)
        runs.set_run_state(conn, run=run, state=RunState.RUNNING)
        conn.execute(MANY, {"run": run})
        conn.execute(SOME_LEASED)
        conn.execute(MANY_MERGED, {"run": run})
        conn.execute(SUBMIT)
        conn.execute(MERGE)
        conn.execute(MANY_AGGREGATED, {"run": run})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("VACUUM ANALYZE"))
    yield engine, run
    engine.dispose()
    workshop.retire(database)


@pytest.fixture
def conn(full: tuple[Engine, RunId]) -> Iterator[Connection]:
    engine, _ = full
    with engine.connect() as connection:
        yield connection


def test_a_claim_reads_the_open_units_from_the_floor_on(conn: Connection) -> None:
    for generic in ("force_custom_plan", "force_generic_plan"):
        conn.execute(text(f"SET plan_cache_mode = {generic}"))
        plan = plan_of_function(conn, "claim_v1", r"UPDATE ledger\.work_units.*?RETURNING u\.id")
        node = the_scan(plan, "ix_work_units_open")
        assert "claim_floor" in node["Index Cond"]
        assert "run_id" in node["Index Cond"]
        assert "Sort" not in node_types(plan), "the index gives the order"
        assert not scans_whole_table(plan, "work_units")


def test_the_leases_of_a_worker_are_counted_in_their_index(conn: Connection) -> None:
    plan = plan_of_function(conn, "claim_v1", r"UPDATE ledger\.work_units.*?RETURNING u\.id")
    assert "worker_id" in the_scan(plan, "ix_work_units_leased")["Index Cond"]


def test_a_write_finds_its_unit_in_an_index(conn: Connection) -> None:
    (query,) = re.findall(r"SELECT u\.base_version.*?NO KEY UPDATE", content("hold_unit_v1"), re.DOTALL)
    query = query.replace("INTO base_version, num_samples", "")
    given = {"p_unit": "1", "p_run": "1", "p_worker": "1", "p_attempt": "1", "p_token": "gen_random_uuid()"}
    plan = explain(conn, with_values(query, given))
    # By its key, or among the few units that this worker holds.
    assert {node.get("Index Name") for node in nodes(plan)} & {"pk_work_units", "ix_work_units_leased"}


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (gradients._WAITING, "ix_gradients_waiting"),
        (gradients._DISCARD_STALE, "ix_gradients_uploading"),
        (units._REAP, "ix_work_units_leased"),
        (runs._RAISE_FLOOR, "ix_work_units_open"),
    ],
)
def test_what_the_coordinator_asks_every_second_is_answered_from_an_index(
    conn: Connection, full: tuple[Engine, RunId], statement: Any, index: str
) -> None:
    plan = explain(conn, str(statement).replace(":run", str(full[1])))
    assert the_scan(plan, index)
    assert not scans_whole_table(plan, "gradients")


@pytest.mark.parametrize("statement", [units._COUNT_ACTIVE, units._COUNT_UNFINISHED])
def test_a_round_can_be_counted_without_reading_all_units_there_ever_were(
    conn: Connection, full: tuple[Engine, RunId], statement: Any
) -> None:
    query = with_names(str(statement), {":run": str(full[1]), ":version": "0"})
    # Here nearly all units are open, and reading the table would be right; after a long run hardly any are.
    conn.execute(text("SET enable_seqscan = off"))
    assert not scans_whole_table(explain(conn, query), "work_units")


@pytest.mark.parametrize(
    ("statement", "given", "index", "table"),
    [
        (ledger._SETTLED, {":worker": "1", ":units": "'{500,501,502}'"}, "uq_gradients_unit_id", "gradients"),
        (ledger._MERGED_SINCE, {":run": "'class'", ":after": "19990"}, "pk_aggregations", "aggregations"),
    ],
)
def test_what_a_worker_asks_every_few_seconds_is_answered_from_an_index(
    conn: Connection, statement: Any, given: dict[str, str], index: str, table: str
) -> None:
    plan = explain(conn, with_names(str(statement), given))
    assert {node.get("Index Name") for node in nodes(plan)} & {index, index + "_attempt"}
    assert not scans_whole_table(plan, table)


@pytest.mark.parametrize(
    ("statement", "given", "index"),
    [
        (events._NEWEST_NOTABLE, {":run": "'class'", ":limit": "20"}, "ix_events_notable"),
        (events._LATER_NOTABLE, {":run": "'class'", ":after": "5", ":limit": "20"}, "ix_events_notable"),
        (events._NEWEST_OF_ALL, {":run": "'class'", ":limit": "20"}, "pk_events"),
        (events._LATER_OF_ALL, {":run": "'class'", ":after": "5", ":limit": "20"}, "pk_events"),
    ],
)
def test_whoever_follows_the_log_does_not_search_it(
    conn: Connection, statement: Any, given: dict[str, str], index: str
) -> None:
    plan = explain(conn, with_names(str(statement), given))
    assert index in {node.get("Index Name") for node in nodes(plan)}
    assert not scans_whole_table(plan, "events")


# By the page from the newest on, these read the table itself.
PAGED = {"units", "gradients", "events"}


@pytest.mark.parametrize("view", sorted(QUESTIONS.keys() - PAGED))
def test_no_view_counts_history_again(conn: Connection, view: str) -> None:
    question = f"SELECT * FROM watch.{view} {QUESTIONS[view]}".replace("'bench'", "'class'")
    assert reads_of_history(conn, question) == []


@pytest.mark.parametrize(
    ("statement", "given"),
    [
        (overview._OVERVIEW, {":name": "NULL"}),
        (watching._LANDED, {":run": "'class'", ":is_async": "false", ":head": "0"}),
        (watching._ARRIVED, {":run": "'class'", ":recent": "20"}),
        (watching._BECAME, {":run": "'class'", ":workers": "'{1,2}'"}),
    ],
)
def test_whoever_watches_does_not_count_history_again(conn: Connection, statement: Any, given: dict[str, str]) -> None:
    assert reads_of_history(conn, with_names(str(statement), given)) == []


def test_whoever_lists_the_runs_counts_nothing(conn: Connection) -> None:
    plan = explain(conn, showing._RUNS.text)
    assert {node["Relation Name"] for node in nodes(plan) if "Relation Name" in node} == {"runs"}


def test_the_gradient_before_is_found_by_its_worker_also_where_there_is_none(conn: Connection) -> None:
    (query,) = re.findall(r"SELECT g\.worker_id, g\.created_at.*?LIMIT 1", content("tally_gradient_v1"), re.DOTALL)
    given = {"p_gradient.worker_id": "5", "p_gradient.id": "12"}
    assert the_scan(explain(conn, with_names(query, given)), "ix_gradients_worker")["Index Cond"]


def test_a_merge_finds_the_units_it_overtakes_without_reading_the_finished_ones(classroom: Classroom) -> None:
    finished = "UPDATE ledger.work_units SET state = 'cancelled', finished_at = now() WHERE position >= 300"
    with classroom.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        for statement in (MANY, SOME_LEASED, text(finished), text("VACUUM ANALYZE ledger.work_units")):
            conn.execute(statement, {"run": classroom.run} if statement is MANY else {})
        values = {":run": str(classroom.run), ":version": "1", ":reason": "'overtaken'"}
        plan = explain(conn, with_names(str(units._CANCEL), values))
    assert the_scan(plan, "ix_work_units_open")
    assert the_scan(plan, "ix_work_units_leased")
    assert not scans_whole_table(plan, "work_units")


def test_old_events_are_found_from_the_old_end(conn: Connection) -> None:
    values = {":above": "0", ":keep": "1000", ":at_most": "20000"}
    plan = explain(conn, with_names(str(events._FORGET), values))
    conditions = [node.get("Index Cond", "") for node in nodes(plan) if node.get("Index Name") == "pk_events"]
    assert any("id > 0" in condition for condition in conditions)
    assert not scans_whole_table(plan, "events")


def test_heartbeats_are_written_in_place(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    classroom.open_units(1)
    joined = join(alice)
    lease = claim(alice, joined)
    with alice.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        for _ in range(50):
            ledger.heartbeat(conn, worker=joined.worker, leases=[lease], phase="computing", progress=0.5)
    alice.dispose()
    written = text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'heartbeats'")
    with classroom.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        # The statistics of a session are told when it ends.
        wait_until(lambda: conn.execute(written).one().n_tup_upd >= 50, what="the statistics")
        counted = conn.execute(written).one()
    assert counted.n_tup_hot_upd == counted.n_tup_upd


def test_growing_uploads_are_written_in_place(classroom: Classroom) -> None:
    alice = classroom.invite("alice")
    classroom.open_units(1)
    lease = claim(alice, join(alice))
    with alice.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        # The first makes the row, the others write it anew.
        for part in range(21):
            ledger.upload_part(conn, lease=lease, part=part, content=b"x")
    alice.dispose()
    written = text("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'gradients'")
    with classroom.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        wait_until(lambda: conn.execute(written).one().n_tup_upd >= 20, what="the statistics")
        counted = conn.execute(written).one()
    assert counted.n_tup_hot_upd == counted.n_tup_upd


def test_bytes_are_stored_as_they_are(conn: Connection) -> None:
    stored = text("""
        SELECT attrelid::regclass::text, attstorage FROM pg_attribute
         WHERE attrelid::regclass::text LIKE 'ledger.%' AND attname = 'content' ORDER BY 1""")
    rows = [tuple(row) for row in conn.execute(stored)]
    assert rows == [("ledger.gradient_blobs", "e"), ("ledger.model_parts", "e"), ("ledger.samples", "e")]


def plan_of_function(conn: Connection, name: str, pattern: str) -> dict[str, Any]:
    (query,) = re.findall(pattern, content(name), re.DOTALL)
    conn.execute(text(f"PREPARE hot (bigint) AS {query.replace('p_worker', '$1')}"))
    try:
        return explain(conn, "EXECUTE hot (1)")
    finally:
        conn.execute(text("DEALLOCATE hot"))


def explain(conn: Connection, query: str) -> dict[str, Any]:
    run = conn.execution_options(no_parameters=True).exec_driver_sql
    plan: dict[str, Any] = run(f"EXPLAIN (FORMAT JSON) {query}").scalar_one()[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def node_types(plan: dict[str, Any]) -> set[str]:
    return {node["Node Type"] for node in nodes(plan)}


def the_scan(plan: dict[str, Any], index: str) -> dict[str, Any]:
    found = [node for node in nodes(plan) if node.get("Index Name") == index]
    assert found, f"{index} is not used: {plan}"
    return found[0]


def reads_of_history(conn: Connection, query: str) -> list[tuple[str, str]]:
    """Of gradients and units, but by an index that holds few of them, or by a key."""
    # Here nearly all units are open, and reading the table would be right; after a long run hardly any are.
    # And a thousand units are a twentieth of all: to read them all is cheap.
    for way in ("seqscan", "hashjoin", "mergejoin"):
        conn.execute(text(f"SET enable_{way} = off"))
    few = {"ix_work_units_open", "ix_work_units_leased", "ix_gradients_waiting", "ix_gradients_uploading"}
    found = []
    for node in nodes(explain(conn, query)):
        table, index = node.get("Relation Name"), node.get("Index Name")
        if table in {"gradients", "work_units"} and "Bitmap" not in node["Node Type"]:
            if index not in few and "Index Cond" not in node:
                found.append((table, index or node["Node Type"]))
        elif node["Node Type"] == "Bitmap Index Scan" and index not in few and "Index Cond" not in node:
            found.append(("", index))
    return found


def scans_whole_table(plan: dict[str, Any], table: str) -> bool:
    return any(node["Node Type"] == "Seq Scan" and node["Relation Name"] == table for node in nodes(plan))


def with_values(query: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        query = re.sub(rf"\b{name}\b", value, query)
    return query


def with_names(query: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        query = query.replace(name, value)
    return query


def content(name: str) -> str:
    return (FUNCTIONS / f"{name}.sql").read_text(encoding="utf-8")
