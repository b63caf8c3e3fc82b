"""What the views of schema watch mean: places, progress, stalled units, suspects, timings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, text

from contract.ids import RunId, WorkerId
from coordinator.ledger import gradients, views
from tests.integration.classroom import GRADIENT, Classroom, claim, classroom, join, submission
from tests.integration.moving_time import expire_lease, outlast_lease, silence
from tests.integration.observers import observer
from tests.integration.workshop import Person, Workshop, open_workshop
from tests.servers.databases import Database
from worker import ledger
from worker.ledger import Lease

__all__ = ["classroom", "observer"]


@pytest.fixture
def shop(database: Database) -> Iterator[Workshop]:
    """Forty samples, four to a unit; each gradient makes a version."""
    with open_workshop(database, {"training": {"mode": "async", "num_workunits_per_update": 1}}) as made:
        yield made


def works(shop: Workshop, person: Person, times: int) -> None:
    for _ in range(times):
        shop.turn()
        person.work()
    shop.turn()


def why(room: Classroom) -> list[tuple[int, str]]:
    with room.owner.begin() as conn:
        return [(stalled.unit, stalled.why) for stalled in views.stalled_units(conn, run="class")]


def test_places_go_by_the_samples_that_moved_the_model(shop: Workshop) -> None:
    ada, bob, eve = shop.invite("ada"), shop.invite("bob"), shop.invite("eve")
    shop.invite("zoe")
    works(shop, ada, 1)
    works(shop, bob, 2)
    works(shop, eve, 1)
    with shop.owner.begin() as conn:
        lines = views.leaderboard(conn, run="class")
    assert [(line.place, line.volunteer, line.num_samples_merged, line.share_of_run) for line in lines] == [
        (1, "bob", 8, 0.5),
        (2, "ada", 4, 0.25),
        (2, "eve", 4, 0.25),
        (4, "zoe", 0, 0.0),
    ]
    assert [(line.num_units_merged, line.share_accepted) for line in lines] == [(2, 1.0), (1, 1.0), (1, 1.0), (0, None)]


def test_all_computers_of_a_person_count_for_one_line_and_who_left_is_not_here(shop: Workshop) -> None:
    ada = shop.invite("ada")
    second = shop.join(ada.engine, "another laptop")
    works(shop, ada, 1)
    ada.leave()
    with shop.owner.begin() as conn:
        (line,) = views.leaderboard(conn, run="class")
    assert (line.num_samples_merged, line.num_workers, line.is_present) == (4, 1, True)
    with ada.engine.begin() as conn:
        ledger.leave(conn, worker=second.worker, reason="lunch")
    with shop.owner.begin() as conn:
        (line,) = views.leaderboard(conn, run="class")
    assert (line.num_workers, line.is_present) == (0, False)


def test_who_asks_for_their_contribution_gets_their_own(shop: Workshop, observer: Engine) -> None:
    ada, bob = shop.invite("ada"), shop.invite("bob")
    works(shop, ada, 2)
    works(shop, bob, 1)
    with bob.engine.begin() as conn:
        own = views.my_contribution(conn, run="class")
        (line,) = [line for line in views.leaderboard(conn, run="class") if line.volunteer == "bob"]
    assert own is not None
    assert dataclasses.asdict(own) == {**dataclasses.asdict(own), **dataclasses.asdict(line)}
    assert (own.volunteer, own.place, own.num_samples_merged, own.num_submitted) == ("bob", 2, 4, 1)
    assert own.mean_weight == pytest.approx(1.0)
    assert 0 < own.coded_bytes == own.sent_bytes
    assert own.raw_bytes == shop.living.how.vectors.manifest.blob_bytes
    for nobody in (observer, shop.owner):
        with nobody.begin() as conn:
            assert views.my_contribution(conn, run="class") is None


def test_a_contribution_is_that_of_the_login_not_of_a_role_that_was_put_on(shop: Workshop) -> None:
    ada, bob = shop.invite("ada"), shop.invite("bob")
    works(shop, ada, 1)
    works(shop, bob, 1)
    with shop.owner.begin() as conn:
        conn.execute(text(f"SET LOCAL ROLE {shop.database.role_name('ada')}"))
        assert views.my_contribution(conn, run="class") is None


def test_progress_is_of_the_samples_of_all_epochs(shop: Workshop) -> None:
    ada = shop.invite("ada")
    (before,) = looked(shop)
    assert (before.share_done, before.samples_per_second, before.eta_seconds) == (0.0, None, None)
    works(shop, ada, 3)
    (after,) = looked(shop)
    assert (after.num_samples_merged, after.samples_per_epoch, after.num_epochs) == (12, 40, 1)
    assert after.share_done == pytest.approx(0.3)
    assert after.samples_per_second is not None
    assert after.eta_seconds == pytest.approx(28 / after.samples_per_second)


def test_what_was_given_up_counts_as_done(shop: Workshop) -> None:
    with shop.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.runs SET max_retries = 0"))
    ada = shop.invite("ada")
    shop.turn()
    ada.give_up(ada.claim(), "it cannot be read")
    (line,) = looked(shop)
    assert (line.num_failed, line.num_samples_merged, line.share_done) == (1, 0, pytest.approx(0.1))


def test_speed_and_eta_are_of_the_last_minute(shop: Workshop) -> None:
    works(shop, shop.invite("ada"), 1)
    with shop.owner.begin() as conn:
        move_fates(conn, shop.run, "2 minutes")
    (line,) = looked(shop)
    assert (line.num_samples_merged, line.samples_per_second, line.eta_seconds) == (4, None, None)


def test_throughput_has_a_line_for_each_minute_with_a_merge(shop: Workshop) -> None:
    works(shop, shop.invite("ada"), 2)
    with shop.owner.begin() as conn:
        conn.execute(text("UPDATE ledger.minute_tallies SET minute = minute - interval '1 hour'"))
        conn.execute(
            text("""
            INSERT INTO ledger.minute_tallies (run_id, minute, num_units, num_samples)
            SELECT id, date_trunc('minute', now()) - interval '25 hours', 9, 900 FROM ledger.runs""")
        )
        minutes = views.throughput(conn, run="class")
    assert sum(minute.num_units for minute in minutes) == 2
    assert sum(minute.samples_per_second for minute in minutes) == pytest.approx(8 / 60)


def test_a_unit_that_is_being_computed_is_not_stalled(classroom: Classroom) -> None:
    classroom.open_units(1)
    alice = classroom.invite("alice")
    joined = join(alice)
    lease = claim(alice, joined)
    assert why(classroom) == []
    expire_lease_but_beat(classroom, alice, joined.worker, lease)
    assert why(classroom) == []


def expire_lease_but_beat(room: Classroom, person: Engine, worker: WorkerId, lease: Lease) -> None:
    with room.owner.begin() as conn:
        expire_lease(conn, lease.unit)
    with person.begin() as conn:
        ledger.heartbeat(conn, worker=worker, leases=[lease], phase="computing")


def test_each_stalled_unit_says_why(classroom: Classroom) -> None:
    classroom.open_units(4)
    silent, forgetful, endless, over = (classroom.invite(name) for name in ("ann", "ben", "cat", "dan"))
    places = {person: join(person) for person in (silent, forgetful, endless, over)}
    leases = {person: claim(person, joined) for person, joined in places.items()}
    with classroom.owner.begin() as conn:
        silence(conn, places[silent].worker)
        outlast_lease(conn, leases[endless].unit)
        conn.execute(
            text("UPDATE ledger.work_units SET leased_at = now() - interval '4 minutes' WHERE id = :unit"),
            {"unit": leases[forgetful].unit},
        )
        conn.execute(
            text("""UPDATE ledger.work_units SET leased_at = now() - interval '3 seconds',
                           lease_expires_at = now() - interval '1 second' WHERE id = :unit"""),
            {"unit": leases[over].unit},
        )
    assert dict(why(classroom)) == {
        leases[silent].unit: "its worker is silent: three heartbeats are missing",
        leases[forgetful].unit: "its worker is here and does not speak of it",
        leases[endless].unit: "its worker has had it for as long as a unit may take",
        leases[over].unit: "its lease is over",
    }
    with classroom.owner.begin() as conn:
        assert len(views.stalled_units(conn, run="class", most=3)) == 3


def test_who_is_slow_is_no_suspect_and_who_sends_nonsense_is(classroom: Classroom) -> None:
    classroom.open_units(4)
    slow, broken, failing = (classroom.invite(name) for name in ("slow", "broken", "failing"))
    for person in (slow, broken):
        lease = claim(person, join(person))
        with person.begin() as conn:
            ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)
    at_failing = join(failing)
    for _ in range(3):
        lease = claim(failing, at_failing)
        with failing.begin() as conn:
            ledger.release(conn, lease=lease, reason="out of memory", failed=True)
    with classroom.owner.begin() as conn:
        late, nonsense = gradients.waiting_gradients(conn, run=classroom.run)
        gradients.refuse_stale(conn, gradient=late.gradient, verdict="stale: 9 behind the head, at most 8 may be")
        gradients.reject(conn, gradient=nonsense.gradient, verdict="not finite")
        found = {suspect.volunteer: suspect.why for suspect in views.suspects(conn, run="class")}
    assert found == {
        "broken": "1 of 1 gradients were refused for what was in them",
        "failing": "the last 3 units failed on this computer",
    }


def test_whose_gradients_the_rule_leaves_aside_is_a_suspect(classroom: Classroom) -> None:
    with classroom.owner.begin() as conn:
        for name, share in (("ann", 0.1), ("eve", 0.0)):
            conn.execute(text("INSERT INTO ledger.volunteers (name, role_name) VALUES (:name, :name)"), {"name": name})
            conn.execute(
                text("""
                    INSERT INTO ledger.workers (volunteer_id, run_id, role_name, name, protocol)
                    SELECT id, :run, role_name, 'laptop', 1 FROM ledger.volunteers WHERE name = :name"""),
                {"name": name, "run": classroom.run},
            )
            conn.execute(
                text("""
                    INSERT INTO ledger.worker_tallies (run_id, worker_id, num_merged, weight_sum)
                    SELECT run_id, id, 10, 10 * CAST(:share AS float8) FROM ledger.workers WHERE role_name = :name"""),
                {"name": name, "share": share},
            )
        (suspect,) = views.suspects(conn, run="class")
    assert suspect.volunteer == "eve"
    assert suspect.why == "the rule hardly uses its gradients: a share of 0.0000, where 0.0500 is usual"


def test_time_with_two_units_in_hand_counts_once(classroom: Classroom) -> None:
    """A worker claims ahead: the second unit was claimed a minute ago, and begun when the first was done."""
    classroom.open_units(2)
    alice = classroom.invite("alice")
    joined = join(alice)
    leases = [claim(alice, joined) for _ in range(2)]
    with classroom.owner.begin() as conn:
        conn.execute(
            text("UPDATE ledger.work_units SET leased_at = now() - interval '60 seconds' WHERE state = 'leased'")
        )
    for lease in leases:
        with alice.begin() as conn:
            ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)
    with classroom.owner.begin() as conn:
        for one in gradients.waiting_gradients(conn, run=classroom.run):
            gradients.discard_late(conn, gradients=[one.gradient], verdict="its round is over")
        (line,) = views.leaderboard(conn, run="class")
        taken = {timing.step: timing for timing in views.timings(conn, run="class")}
    assert 60 <= line.seconds_computing < 90
    assert list(taken) == ["wait", "compute", "upload", "merge"]
    assert taken["compute"].num_measured == 2
    assert taken["compute"].p50_seconds < 45 < taken["compute"].p95_seconds


def test_health_names_every_table_and_who_is_connected(classroom: Classroom, observer: Engine) -> None:
    with observer.begin() as conn:
        health = {item.item: item for item in views.database_health(conn)}
    assert {"size of gradients", "size of worker_tallies", "dead rows of work_units"} <= set(health)
    assert health["connections to this database"].value >= 2
    assert all(item.is_fine for item in health.values())


def looked(shop: Workshop) -> list[views.Progress]:
    with shop.owner.begin() as conn:
        return views.progress(conn, run="class")


def move_fates(conn: Connection, run: RunId, by: str) -> None:
    conn.execute(text("ALTER TABLE ledger.gradients DISABLE TRIGGER USER"))
    conn.execute(
        text(f"UPDATE ledger.gradients SET finished_at = finished_at - interval '{by}' WHERE run_id = :run"),
        {"run": run},
    )
    conn.execute(text("ALTER TABLE ledger.gradients ENABLE TRIGGER USER"))
