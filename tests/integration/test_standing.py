"""What a worker hears of its delivered units: asked of the ledger with the volunteer's own login."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, text

from contract.ids import GradientId, Version
from coordinator.leadership import Leadership
from coordinator.ledger import gradients, versions
from tests.integration.classroom import GRADIENT, Classroom, claim, classroom, join, submission
from worker import ledger
from worker.happenings import Standing
from worker.heartbeat import Holdings
from worker.ledger import Joined, Lease
from worker.standing import Fates

__all__ = ["classroom"]


class Volunteer:
    def __init__(self, room: Classroom, name: str) -> None:
        self.engine: Engine = room.invite(name)
        self.joined: Joined = join(self.engine)
        self.heard: list[Standing] = []
        self.fates = Fates(self.joined, "class", Holdings(), self.heard.append)  # type: ignore[arg-type]

    def deliver(self) -> tuple[Lease, GradientId]:
        lease = claim(self.engine, self.joined)
        with self.engine.begin() as conn:
            gradient = ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)
        self.fates.delivered(lease)
        return lease, gradient

    def look(self) -> Standing:
        with self.engine.begin() as conn:
            self.fates.look(conn)
        return self.heard[-1]


def merge(room: Classroom, number: int, merged: Sequence[GradientId]) -> None:
    weights = [1.0] * len(merged)
    aggregation = versions.Aggregation(
        rule="mean", options={}, gradients=merged, weights=weights, input_sha256=bytes(32), output_sha256=bytes(32),
        seconds=0.1,
    )  # fmt: skip
    new = versions.NewVersion(
        number=Version(number), parent=Version(number - 1), manifest="{}", optimizer_step=number, parts=[b"w"]
    )
    with room.owner.begin() as conn:
        versions.publish_version(conn, run=room.run, new=new)
        gradients.mark_merged(conn, run=room.run, version=Version(number), gradients=merged, weights=weights)
        versions.record_aggregation(conn, run=room.run, version=Version(number), aggregation=aggregation)


def test_each_unit_is_heard_of_once(classroom: Classroom) -> None:
    classroom.open_units(6)
    ada, bob = Volunteer(classroom, "ada"), Volunteer(classroom, "bob")
    (_, first), (_, second), (_, third) = (ada.deliver() for _ in range(3))
    (_, bobs), (_, bobs_second) = bob.deliver(), bob.deliver()
    assert ada.look() == Standing(num_waiting=3, num_workers=2, is_led=False)
    merge(classroom, 1, [first, bobs])
    with classroom.owner.begin() as conn:
        gradients.reject(conn, gradient=second, verdict="not finite: model")
        gradients.discard_late(conn, gradients=[third], verdict="late: the round was closed, the head is 1")
    expected = Standing(
        num_accepted=1,
        not_used={"not finite: model": 1, "late: the round was closed": 1},
        num_accepted_of_all=2,
        num_workers=2,
        is_led=False,
        version=1,
    )
    assert ada.look() == expected
    merge(classroom, 2, [bobs_second])
    assert (ada.look().num_accepted_of_all, ada.look().version) == (3, 2)
    num_heard = len(ada.heard)
    assert ada.look() == ada.look()
    assert len(ada.heard) == num_heard, "nothing new is not told"


def test_what_was_merged_before_is_not_counted(classroom: Classroom) -> None:
    classroom.open_units(2)
    ada = Volunteer(classroom, "ada")
    merge(classroom, 1, [ada.deliver()[1]])
    late = Volunteer(classroom, "late")
    assert late.look() == Standing(num_workers=2, version=1, is_led=False)


def test_who_is_alone_hears_of_company_at_the_next_look(classroom: Classroom) -> None:
    ada = Volunteer(classroom, "ada")
    assert ada.look().num_workers == 1
    bob = Volunteer(classroom, "bob")
    assert ada.look().num_workers == 2
    Volunteer(classroom, "cleo")
    assert [ada.look().num_workers, bob.look().num_workers] == [2, 3], "in company it is asked gently"


def test_a_worker_hears_whether_a_coordinator_is_at_work(classroom: Classroom) -> None:
    leadership = Leadership(engine=classroom.owner, run=classroom.run)
    assert leadership.hold()
    assert Volunteer(classroom, "ada").look().is_led
    leadership.give_up()
    assert not Volunteer(classroom, "bob").look().is_led


def test_a_merge_is_a_reason_to_look_whether_a_coordinator_is_back(classroom: Classroom) -> None:
    classroom.open_units(1)
    ada = Volunteer(classroom, "ada")
    _, gradient = ada.deliver()
    assert not ada.look().is_led
    assert Leadership(engine=classroom.owner, run=classroom.run).hold()
    assert not ada.look().is_led, "it is asked gently"
    merge(classroom, 1, [gradient])
    assert ada.look().is_led


def test_a_unit_that_another_took_over_is_not_mine(classroom: Classroom) -> None:
    classroom.open_units(1)
    ada, bob = Volunteer(classroom, "ada"), Volunteer(classroom, "bob")
    lost = claim(ada.engine, ada.joined)
    with ada.engine.begin() as conn:
        ledger.release(conn, lease=lost, reason="too hot")
    ada.fates.delivered(lost)
    merge(classroom, 1, [bob.deliver()[1]])
    assert (ada.look().num_accepted, ada.look().num_waiting) == (0, 1)


def test_what_decides_a_run_can_be_read_without_joining(classroom: Classroom) -> None:
    ada = classroom.invite("ada")
    with ada.connect() as conn:
        definition = ledger.run_definition(conn, run="class")
        assert ledger.run_definition(conn, run="another") is None
    assert definition is not None
    assert (definition.workload, definition.seed, definition.data) == ("none", 0, {})
    with classroom.owner.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM ledger.workers")).scalar_one() == 0
