"""Every pair of states against the real guards, and rows that contradict themselves."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Final

import psycopg
import pytest
import sqlalchemy.exc
from sqlalchemy import Connection, Row, text

from contract.database import engine_for
from contract.errors import IllegalTransition
from contract.states import GRADIENT_EDGES, RUN_EDGES, UNIT_EDGES, GradientState, RunState, UnitState
from tests.integration.ledger_rows import NEW_RUN, move, new_row
from tests.servers.databases import Workshop

KINDS: Final[Mapping[str, tuple[type[StrEnum], Mapping[StrEnum, frozenset[StrEnum]]]]] = {
    "work_units": (UnitState, dict(UNIT_EDGES.items())),
    "gradients": (GradientState, dict(GRADIENT_EDGES.items())),
    "runs": (RunState, dict(RUN_EDGES.items())),
}
SUBJECTS: Final = {"work_units": "unit", "gradients": "gradient", "runs": "run"}
# A row may be written without a change of state, unless it is history.
MAY_STAY: Final[Mapping[str, Collection[StrEnum]]] = {
    "work_units": {UnitState.OPEN, UnitState.SUBMITTED},
    "gradients": {GradientState.UPLOADING},
    "runs": list(RunState),
}
PAIRS: Final = [
    (table, old, new) for table, (states, _) in KINDS.items() for old, new in itertools.product(states, repeat=2)
]


@pytest.fixture(scope="module")
def session(workshop: Workshop, template: str) -> Iterator[Connection]:
    """One database and one connection for all cases; each case is rolled back."""
    database = workshop.create(template=template)
    engine = engine_for(database.url(), application="test")
    with engine.connect() as connection:
        yield connection
    engine.dispose()
    workshop.retire(database)


@pytest.fixture
def conn(session: Connection) -> Iterator[Connection]:
    with session.begin() as transaction:
        yield session
        transaction.rollback()


def row_of(conn: Connection, table: str, row: int) -> Row[tuple[object, ...]]:
    return conn.execute(text(f"SELECT * FROM ledger.{table} WHERE id = {row}")).one()


def events_of(conn: Connection, table: str, row: int) -> list[tuple[str, str]]:
    lines = conn.execute(
        text(
            "SELECT old_state, new_state FROM ledger.events WHERE subject = :subject AND subject_id = :row ORDER BY id"
        ),
        {"subject": SUBJECTS[table], "row": row},
    )
    return [(line.old_state, line.new_state) for line in lines]


@pytest.mark.parametrize(("table", "old", "new"), PAIRS, ids="-".join)
def test_a_state_follows_another_only_along_an_edge(conn: Connection, table: str, old: StrEnum, new: StrEnum) -> None:
    row = new_row(conn, table, old)
    before, told = row_of(conn, table, row), events_of(conn, table, row)
    allowed = new in KINDS[table][1][old]
    if allowed or (old is new and old in MAY_STAY[table]):
        move(conn, table, row, new)
        # A claim is told when its lease ends, with the moment it began.
        line = [(old, new)] if allowed and (old, new) != (UnitState.OPEN, UnitState.LEASED) else []
        assert events_of(conn, table, row) == told + line
        assert row_of(conn, table, row).state == new
    else:
        with pytest.raises(IllegalTransition, match=f"is {old} and cannot become {new}"), conn.begin_nested():
            move(conn, table, row, new)
        assert row_of(conn, table, row) == before
        assert events_of(conn, table, row) == told


@pytest.mark.parametrize(
    ("table", "state"), [(table, state) for table, old, state in PAIRS if old is state], ids="-".join
)
def test_a_state_nobody_knows_is_refused(conn: Connection, table: str, state: StrEnum) -> None:
    row = new_row(conn, table, state)
    refused(conn, f"UPDATE ledger.{table} SET state = 'asleep' WHERE id = {row}")


def test_the_end_of_a_lease_tells_its_beginning_and_its_holder(conn: Connection) -> None:
    unit = new_row(conn, "work_units", UnitState.LEASED)
    leased_at = row_of(conn, "work_units", unit).leased_at
    move(conn, "work_units", unit, UnitState.OPEN)
    move(conn, "work_units", unit, UnitState.CANCELLED)
    lines = conn.execute(text("SELECT since, worker_id FROM ledger.events WHERE subject = 'unit' ORDER BY id")).all()
    assert [tuple(line) for line in lines] == [(leased_at, 1), (None, None)]


BORN_OTHERWISE: Final = [
    *[("work_units", f"state = '{state}'") for state in UnitState if state is not UnitState.OPEN],
    *[("gradients", f"state = '{state}'") for state in GradientState if state is not GradientState.UPLOADING],
    *[("runs", f"state = '{state}'") for state in RunState if state is not RunState.CREATED],
    ("work_units", "attempt = 1"),
    ("work_units", "num_failures = 1"),
    ("work_units", "worker_id = 1"),
    ("work_units", "lease_token = gen_random_uuid()"),
    ("work_units", "lease_expires_at = now()"),
    ("work_units", "finished_at = now()"),
    ("work_units", "num_samples = 0"),
    ("work_units", "num_samples = -1"),
    ("work_units", "first_sample = -1"),
    ("work_units", "position = -1"),
    ("work_units", "epoch = -1"),
    ("gradients", "attempt = 0"),
    ("gradients", "num_bytes = -1"),
    ("gradients", "finished_at = now()"),
    ("gradients", "merged_version = 1"),
    ("runs", "name = 'two words'"),
    ("runs", "name = ''"),
    ("runs", "mode = 'psychic'"),
    ("runs", "finished_at = now()"),
    ("runs", "head_version = -1"),
    ("runs", "heartbeat_seconds = 0"),
    ("runs", "lease_seconds = 89, heartbeat_seconds = 30"),
    ("runs", "lease_seconds = 4000"),
    ("runs", "max_retries = -1"),
    ("runs", "num_gradients_per_update = 0"),
    ("runs", "max_leases_per_worker = 0"),
    ("runs", "max_part_bytes = 0"),
    ("runs", "max_part_bytes = 16777217"),
    ("runs", "max_gradient_bytes = 1"),
    ("runs", "claim_floor = -1"),
    ("runs", "claim_floor = 1001"),
]
GIVEN: Final = {
    "work_units": "run_id, position, epoch, first_sample, num_samples, seed, state, attempt, num_failures",
    "gradients": "run_id, unit_id, attempt, worker_id, base_version, state, losses, num_bytes",
    "runs": "name, state, mode, workload, seed, next_position, claim_floor, head_version, heartbeat_seconds,"
    " lease_seconds, max_lease_seconds, max_retries, num_gradients_per_update, max_leases_per_worker, max_part_bytes,"
    " max_gradient_bytes",
}


@pytest.mark.parametrize(("table", "change"), BORN_OTHERWISE, ids=" ".join)
def test_a_row_is_born_in_its_first_state_and_consistent(conn: Connection, table: str, change: str) -> None:
    """A copy of a good row, but for the change."""
    row = new_row(conn, table, next(iter(KINDS[table][0])))
    values = dict(part.split(" = ", 1) for part in change.split(", "))
    columns = dict.fromkeys(GIVEN[table].split(", ")) | dict.fromkeys(values)
    if table == "runs":
        values.setdefault("name", "name || 'x'")
    if table == "gradients":
        values.setdefault("unit_id", "unit_id + 1")
    selected = ", ".join(values.get(column, column) for column in columns)
    copy = f"INSERT INTO ledger.{table} ({', '.join(columns)}) SELECT {selected} FROM ledger.{table} WHERE id = {row}"
    refused(conn, copy)


CONTRADICTIONS: Final = [
    ("work_units", UnitState.LEASED, "lease_expires_at = NULL"),
    ("work_units", UnitState.LEASED, "lease_token = NULL"),
    ("work_units", UnitState.LEASED, "leased_at = NULL"),
    ("work_units", UnitState.LEASED, "leased_at = lease_expires_at"),
    ("work_units", UnitState.LEASED, "worker_id = NULL"),
    ("work_units", UnitState.LEASED, "base_version = NULL"),
    ("work_units", UnitState.LEASED, "attempt = 0"),
    ("work_units", UnitState.LEASED, "finished_at = now()"),
    ("work_units", UnitState.LEASED, "num_failures = 2"),
    ("work_units", UnitState.LEASED, "num_failures = -1"),
    ("work_units", UnitState.LEASED, "state = 'open'"),
    ("work_units", UnitState.LEASED, "state = 'submitted'"),
    ("work_units", UnitState.LEASED, "state = 'failed', lease_token = NULL, lease_expires_at = NULL"),
    ("work_units", UnitState.OPEN, "lease_token = gen_random_uuid()"),
    ("work_units", UnitState.OPEN, "lease_expires_at = now()"),
    ("work_units", UnitState.OPEN, "finished_at = now()"),
    ("work_units", UnitState.OPEN, "state = 'leased'"),
    ("work_units", UnitState.OPEN, "state = 'cancelled'"),
    ("work_units", UnitState.SUBMITTED, "lease_token = gen_random_uuid()"),
    ("work_units", UnitState.SUBMITTED, "worker_id = NULL"),
    ("work_units", UnitState.SUBMITTED, "base_version = NULL"),
    ("work_units", UnitState.SUBMITTED, "finished_at = now()"),
    ("work_units", UnitState.SUBMITTED, "state = 'merged'"),
    ("work_units", UnitState.MERGED, "finished_at = NULL"),
    ("work_units", UnitState.MERGED, "state_reason = 'on second thoughts'"),
    ("work_units", UnitState.FAILED, "finished_at = NULL"),
    ("work_units", UnitState.CANCELLED, "finished_at = now()"),
    ("work_units", UnitState.OPEN, "num_samples = -1"),
    ("work_units", UnitState.LEASED, "num_samples = num_samples + 1"),
    ("work_units", UnitState.LEASED, "first_sample = 10"),
    ("work_units", UnitState.OPEN, "seed = 1"),
    ("work_units", UnitState.OPEN, "epoch = 1"),
    ("work_units", UnitState.OPEN, "run_id = run_id + 1"),
    ("gradients", GradientState.UPLOADING, "num_bytes = -1"),
    ("gradients", GradientState.UPLOADING, "num_parts = 0"),
    ("gradients", GradientState.UPLOADING, "num_samples = 0"),
    ("gradients", GradientState.UPLOADING, "num_samples = -1"),
    ("gradients", GradientState.UPLOADING, "sha256 = 'short'"),
    ("gradients", GradientState.UPLOADING, "finished_at = now()"),
    ("gradients", GradientState.UPLOADING, "merged_version = 1"),
    ("gradients", GradientState.UPLOADING, "weight = 'NaN'"),
    ("gradients", GradientState.UPLOADING, "weight = 'Infinity'"),
    ("gradients", GradientState.UPLOADING, "weight = -1"),
    ("gradients", GradientState.UPLOADING, "codec = repeat('x', 41)"),
    ("gradients", GradientState.UPLOADING, "verdict = repeat('x', 1001)"),
    ("gradients", GradientState.UPLOADING, """losses = jsonb_build_object('x', repeat('x', 9000))"""),
    ("gradients", GradientState.UPLOADING, "state = 'submitted'"),
    ("gradients", GradientState.UPLOADING, "state = 'discarded'"),
    ("gradients", GradientState.UPLOADING, "unit_id = 2"),
    ("gradients", GradientState.UPLOADING, "attempt = 2"),
    ("gradients", GradientState.UPLOADING, "worker_id = 2"),
    ("gradients", GradientState.UPLOADING, "base_version = 1"),
    ("gradients", GradientState.UPLOADING, "run_id = run_id + 1"),
    ("gradients", GradientState.SUBMITTED, "sha256 = sha256('other')"),
    ("gradients", GradientState.SUBMITTED, "num_bytes = 1"),
    ("gradients", GradientState.SUBMITTED, "state = 'merged', finished_at = now(), weight = 1"),
    ("gradients", GradientState.SUBMITTED, "state = 'merged', finished_at = now(), merged_version = 1"),
    ("gradients", GradientState.SUBMITTED, "state = 'merged', merged_version = 1, weight = 1"),
    ("gradients", GradientState.SUBMITTED, "state = 'rejected', finished_at = now()"),
    ("gradients", GradientState.SUBMITTED, "state = 'rejected', verdict = 'no'"),
    ("gradients", GradientState.MERGED, "merged_version = 2"),
    ("gradients", GradientState.MERGED, "weight = 0"),
    ("gradients", GradientState.REJECTED, "verdict = 'on second thoughts'"),
    ("gradients", GradientState.DISCARDED, "finished_at = now()"),
    ("runs", RunState.CREATED, "state = 'running'"),
    ("runs", RunState.CREATED, "state = 'running', started_at = now()"),
    ("runs", RunState.CREATED, "state = 'running', head_version = 0"),
    ("runs", RunState.RUNNING, "head_version = NULL"),
    ("runs", RunState.RUNNING, "started_at = NULL"),
    ("runs", RunState.RUNNING, "finished_at = now()"),
    ("runs", RunState.RUNNING, "state = 'finished'"),
    ("runs", RunState.RUNNING, "state = 'failed', finished_at = now()"),
    ("runs", RunState.FINISHED, "finished_at = NULL"),
    ("runs", RunState.FINISHED, "state = 'running'"),
    ("runs", RunState.FAILED, "finished_at = now()"),
    ("runs", RunState.FAILED, "state = 'running'"),
]


@pytest.mark.parametrize(("table", "state", "change"), CONTRADICTIONS, ids=" ".join)
def test_a_row_cannot_contradict_itself(conn: Connection, table: str, state: StrEnum, change: str) -> None:
    row = new_row(conn, table, state)
    refused(conn, f"UPDATE ledger.{table} SET {change} WHERE id = {row}")


OTHER_TABLES: Final = [
    "INSERT INTO ledger.volunteers (name, role_name) VALUES ('Ada Lovelace', 'x')",
    "INSERT INTO ledger.volunteers (name, role_name) VALUES ('ada', '')",
    "INSERT INTO ledger.volunteers (name, role_name) VALUES ('ada', repeat('x', 64))",
    "INSERT INTO ledger.volunteers (name, role_name, trust) VALUES ('ada', 'x', 'NaN')",
    "INSERT INTO ledger.volunteers (name, role_name, trust) VALUES ('ada', 'x', 1.1)",
    "INSERT INTO ledger.volunteers (name, role_name, max_workers) VALUES ('ada', 'x', 0)",
    "INSERT INTO ledger.model_versions VALUES ({run}, -1, NULL, sha256('x'), 1, '{{}}', 0, true)",
    "INSERT INTO ledger.model_versions VALUES ({run}, 1, 1, sha256('x'), 1, '{{}}', 0, true)",
    "INSERT INTO ledger.model_versions VALUES ({run}, 1, 0, 'short', 1, '{{}}', 0, true)",
    "INSERT INTO ledger.model_versions VALUES ({run}, 1, 0, sha256('x'), 0, '{{}}', 0, true)",
    "INSERT INTO ledger.model_versions VALUES ({run}, 1, 0, sha256('x'), 1, '{{}}', -1, true)",
    "INSERT INTO ledger.model_versions VALUES ({run}, 1, 0, sha256('x'), 1, '{{}}', 0, false)",
    "INSERT INTO ledger.model_versions VALUES ({run}, 1, 0, sha256('x'), 1, '{{}}', 0, true, 'sign')",
    "INSERT INTO ledger.model_versions VALUES ({run}, 1, 0, sha256('x'), 1, '{{}}', 0, true, 'sign', 0)",
    "INSERT INTO ledger.model_parts VALUES ({run}, 0, 'weights', -1, sha256('x'), 'x')",
    "INSERT INTO ledger.model_parts VALUES ({run}, 0, 'weights', 0, 'short', 'x')",
    "INSERT INTO ledger.model_parts VALUES ({run}, 0, 'weights', 0, sha256('x'), '')",
    "INSERT INTO ledger.model_parts VALUES ({run}, 0, 'gossip', 0, sha256('x'), 'x')",
    "INSERT INTO ledger.model_parts VALUES ({run}, 0, 'weights', 0, sha256('x'), repeat('x', 16777217)::bytea)",
    "INSERT INTO ledger.gradient_blobs VALUES (1, -1, 'x')",
    "INSERT INTO ledger.gradient_blobs VALUES (1, 0, '')",
    "INSERT INTO ledger.gradient_blobs VALUES (1, 0, repeat('x', 16777217)::bytea)",
    "INSERT INTO ledger.aggregations VALUES ({run}, 1, 'mean', '{{}}', '{{1}}', '{{}}', sha256('x'), sha256('x'), 1)",
    "INSERT INTO ledger.aggregations VALUES ({run}, 1, 'mean', '{{}}', '{{1}}', '{{1}}', 'short', sha256('x'), 1)",
    "INSERT INTO ledger.metrics VALUES ({run}, 1, repeat('x', 101), 1)",
]


@pytest.mark.parametrize("statement", OTHER_TABLES)
def test_other_tables_refuse_nonsense(conn: Connection, statement: str) -> None:
    run = conn.execute(text(NEW_RUN)).scalar_one()
    refused(conn, statement.format(run=run))


@pytest.mark.parametrize("column", ["reason = 'x'", "new_state = 'x'", "at = now()"])
def test_a_line_of_the_log_is_never_rewritten(conn: Connection, column: str) -> None:
    new_row(conn, "work_units", UnitState.MERGED)
    with pytest.raises(IllegalTransition, match="events is never changed"):
        conn.execute(text(f"UPDATE ledger.events SET {column}"))


def test_the_record_of_a_merge_is_never_rewritten(conn: Connection) -> None:
    conn.execute(
        text("INSERT INTO ledger.aggregations VALUES (1, 1, 'mean', '{}', '{1}', '{1}', sha256('x'), sha256('x'), 1)")
    )
    with pytest.raises(IllegalTransition, match="aggregations is never changed"):
        conn.execute(text("UPDATE ledger.aggregations SET weights = '{2}'"))


def refused(conn: Connection, statement: str) -> None:
    with (
        pytest.raises((IllegalTransition, sqlalchemy.exc.IntegrityError)) as caught,
        conn.begin_nested(),
    ):
        conn.execution_options(no_parameters=True).exec_driver_sql(statement)
    if isinstance(caught.value, sqlalchemy.exc.IntegrityError):
        assert isinstance(caught.value.orig, psycopg.errors.CheckViolation)
