"""Whatever two volunteers with two workers each and a coordinator do in whatever order, the ledger and a model of it in
plain Python say the same, and nothing is counted twice or lost."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, Engine, text

from contract.errors import IllegalTransition
from contract.ids import GradientId, UnitId, Version, WorkerId
from contract.states import UNIT_EDGES, GradientState, RunState, UnitState
from coordinator.ledger import contributions, gradients, runs, units, versions
from coordinator.verifying import verify
from tests.integration.classroom import GRADIENT, Classroom, classroom, new_run, submission
from tests.integration.ledger_model import Model, Unit
from tests.integration.moving_time import expire_lease, outlast_lease, silence
from tests.integration.recount import assert_tallies_are_true
from worker import ledger
from worker.ledger import Lease

__all__ = ["classroom"]

_UNITS = text("SELECT unit, state, attempt, num_failures, worker FROM watch.units WHERE run = :run ORDER BY unit")
_GRADIENTS = text("SELECT unit, attempt, state, worker, merged_version FROM watch.gradients WHERE run = :run")
_CHAINS = text("""
    SELECT subject_id AS unit, old_state, new_state FROM watch.events
     WHERE run = :run AND subject = 'unit' ORDER BY event""")
# Long ago, or else so many would be over the quota.
_ALL_LEAVE = text("""
    UPDATE ledger.workers SET joined_at = joined_at - interval '1 day', left_at = now() WHERE left_at IS NULL""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A worker's three connections: one commits each statement, one keeps a transaction open, one beats."""

    autocommit: Connection
    transaction: Connection
    heart: Connection


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    owner: Connection
    seats: tuple[Seat, ...]
    numbers: Iterator[int]


@pytest.fixture
def world(classroom: Classroom) -> Iterator[World]:
    with contextlib.ExitStack() as stack:

        def autocommit(engine: Engine) -> Connection:
            return stack.enter_context(engine.connect()).execution_options(isolation_level="AUTOCOMMIT")

        people = [classroom.invite("alice"), classroom.invite("bob")]
        seats = tuple(
            Seat(
                autocommit=autocommit(person),
                transaction=stack.enter_context(person.connect()),
                heart=autocommit(person),
            )
            for person in people
            for _ in range(2)
        )
        # Nothing here should ever wait; if it does, it should not take ten seconds to say so.
        for seat in seats:
            for conn in (seat.autocommit, seat.transaction):
                conn.execute(text("SET lock_timeout = '1s'"))
                conn.commit()
        yield World(owner=autocommit(classroom.owner), seats=seats, numbers=itertools.count())


KINDS = st.sampled_from(["upload", "submit", "submit", "release", "fail"])
SEATS = st.integers(0, 3)


class LedgerMachine(RuleBasedStateMachine):
    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.owner = self.world.owner

    @initialize(max_retries=st.integers(0, 3), max_leases=st.integers(1, 3))
    def begin_run(self, max_retries: int, max_leases: int) -> None:
        # Nothing of an example that failed half way may reach the next.
        for seat in self.world.seats:
            seat.transaction.rollback()
        self.owner.execute(_ALL_LEAVE)
        self.name = f"run-{next(self.world.numbers)}"
        new = dataclasses.replace(new_run(self.name), max_retries=max_retries, max_leases_per_worker=max_leases)
        self.run = runs.create_run(self.owner, new)
        versions.publish_version(self.owner, run=self.run, new=version(0))
        runs.set_run_state(self.owner, run=self.run, state=RunState.RUNNING)
        self.model = Model(max_retries=max_retries, max_leases=max_leases, head=Version(0))
        self.ids = [self.join(seat) for seat in self.world.seats]
        self.model.covers = {worker: set() for worker in self.ids}
        self.leases: list[Lease] = []
        self.submitted: dict[UnitId, GradientId] = {}
        self.judged: list[GradientId] = []
        self.num_failures = dict.fromkeys(self.ids, 0)
        self.open(2, planned=False)

    def join(self, seat: Seat) -> WorkerId:
        return ledger.join(
            seat.autocommit, run=self.name, name="x", host="x", device="cpu", capabilities={}, software={}
        ).worker

    @rule(data=st.data())
    def a_volunteer_acts(self, data: st.DataObject) -> None:
        actions = [self.claim] * 3
        if self.held():
            actions += [self.write_in_time] * 3
        if self.leases:
            actions += [self.write_late] * 2 + [self.beat]
        if len(self.model.before) < 2:
            actions += [self.begin]
        if self.model.before:
            actions += [self.end]
        data.draw(st.sampled_from(actions))(data)

    @rule(data=st.data())
    def the_coordinator_or_time_acts(self, data: st.DataObject) -> None:
        free = self.model.free
        actions: list[Callable[[st.DataObject], None]] = [self.reap]
        if sum(unit.state is UnitState.OPEN for unit in self.model.committed()) < 2:
            actions += [self.open_units]
        if free([UnitState.LEASED]):
            actions += [self.expire] * 2
        if any(self.model.covers.values()):
            actions += [self.fall_silent]
        if any(unit.planned_version is not None for unit in free([UnitState.OPEN, UnitState.LEASED])):
            actions += [self.cancel]
        if free([UnitState.SUBMITTED]):
            actions += [self.merge, self.reject]
        if self.judged:
            actions += [self.judge_again]
        data.draw(st.sampled_from(actions))(data)

    def open_units(self, data: st.DataObject) -> None:
        self.open(data.draw(st.integers(1, 2)), planned=data.draw(st.booleans()))

    def open(self, number: int, *, planned: bool) -> None:
        planned_version = self.model.head if planned else None
        new = [units.NewUnit(epoch=0, first_sample=0, num_samples=10, seed=0)] * number
        opened = units.open_units(self.owner, run=self.run, units=new, planned_version=planned_version)
        self.model.open_units(opened, planned_version)

    def claim(self, data: st.DataObject) -> None:
        seat = data.draw(SEATS)
        worker = self.ids[seat]
        expected = self.model.claimable(worker)
        if isinstance(expected, type):
            with pytest.raises(expected):
                ledger.claim(self.connection(seat), worker=worker)
            self.after_refusal(seat)
            return
        lease = ledger.claim(self.connection(seat), worker=worker)
        if lease is None:
            assert expected == set()
        else:
            assert lease.unit in expected
            self.model.claim(worker, lease)
            self.leases.append(lease)

    def write_in_time(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.held()))
        self.write(self.ids.index(lease.worker), lease, data.draw(KINDS))

    def write_late(self, data: st.DataObject) -> None:
        """Under a lease that is over, by its worker or by one that may hold the unit now."""
        late = [lease for lease in self.leases if not self.model.holds(lease.worker, lease)]
        # Where the unit is leased again, there is something to be had.
        leased = {unit.unit for unit in self.model.units.values() if unit.state is UnitState.LEASED}
        lease = data.draw(st.sampled_from([lease for lease in late if lease.unit in leased] or late or self.leases))
        speakers = {self.ids.index(lease.worker), self.ids.index(self.model.units[lease.unit].worker or lease.worker)}
        self.write(data.draw(st.sampled_from(sorted(speakers)) | SEATS), lease, data.draw(KINDS))

    def held(self) -> list[Lease]:
        return [lease for lease in self.leases if self.model.holds(lease.worker, lease)]

    def write(self, seat: int, lease: Lease, kind: str) -> None:
        worker, conn, model = self.ids[seat], self.connection(seat), self.model
        if model.holds(worker, lease) and model.is_locked(lease.unit, against=worker):
            return  # It would wait for the transaction that is taking the lease; test_races.py has that.
        if kind == "fail" and self.num_failures[worker] == 8:
            return  # Ten in a row send it away; test_retries.py has that.
        refusal = model.refusal(worker, lease)
        if refusal is not None:
            with pytest.raises(refusal):
                self.send(conn, dataclasses.replace(lease, worker=worker), kind)
            self.after_refusal(seat)
            return
        self.send(conn, lease, kind)
        match kind:
            case "upload":
                model.upload(worker, lease)
            case "submit":
                model.submit(worker, lease)
            case _:
                model.release(worker, lease, failed=kind == "fail")
                self.num_failures[worker] += kind == "fail"

    def send(self, conn: Connection, lease: Lease, kind: str) -> None:
        if kind == "upload":
            ledger.upload_part(conn, lease=lease, part=0, content=GRADIENT)
        elif kind == "submit":
            gradient = ledger.submit(conn, lease=lease, submission=submission(), last_part=GRADIENT)
            self.submitted[lease.unit] = gradient
        else:
            ledger.release(conn, lease=lease, reason="a test", failed=kind == "fail")

    def begin(self, data: st.DataObject) -> None:
        """What this worker does from now on is seen by the others when it commits."""
        self.model.begin(data.draw(st.sampled_from([each for each in self.ids if each not in self.model.before])))

    def end(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.model.before)))
        self.end_transaction(self.ids.index(worker), commits=data.draw(st.booleans()))

    def end_transaction(self, seat: int, *, commits: bool) -> None:
        conn, worker = self.world.seats[seat].transaction, self.ids[seat]
        if commits:
            conn.commit()
            self.model.commit(worker)
        else:
            conn.rollback()
            self.model.roll_back(worker)

    def after_refusal(self, seat: int) -> None:
        if self.ids[seat] in self.model.before:
            self.end_transaction(seat, commits=False)

    def connection(self, seat: int) -> Connection:
        own = self.world.seats[seat]
        return own.transaction if self.ids[seat] in self.model.before else own.autocommit

    def beat(self, data: st.DataObject) -> None:
        seat = data.draw(SEATS)
        worker = self.ids[seat]
        own = [lease for lease in self.leases if lease.worker == worker] or self.leases
        named = data.draw(st.lists(st.sampled_from(own), max_size=4, unique_by=lambda lease: lease.unit))
        answer = ledger.heartbeat(self.world.seats[seat].heart, worker=worker, leases=named, phase="computing")
        assert (set(answer.lost), set(answer.cancelled)) == self.model.heartbeat(worker, named)
        assert answer.head_version == self.model.head

    def expire(self, data: st.DataObject) -> None:
        unit = data.draw(st.sampled_from(self.model.free([UnitState.LEASED])))
        if data.draw(st.booleans()):
            outlast_lease(self.owner, unit.unit)
            unit.is_outlasted = True
        else:
            expire_lease(self.owner, unit.unit)
            unit.is_expired, unit.is_outlasted = True, False

    def fall_silent(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from([worker for worker, units in self.model.covers.items() if units]))
        silence(self.owner, worker)
        self.model.covers[worker] = set()

    def reap(self, _: st.DataObject) -> None:
        reaped = units.reap(self.owner, run=self.run)
        gradients.discard_stale_uploads(self.owner, run=self.run)
        runs.raise_claim_floor(self.owner, run=self.run)
        assert (set(reaped.reopened), set(reaped.failed)) == self.model.reap()

    def cancel(self, _: st.DataObject) -> None:
        cancelled = units.cancel_overtaken(self.owner, run=self.run, version=self.model.head, reason="a test")
        assert {one.unit for one in cancelled} == self.model.cancel(self.model.head)

    def merge(self, data: st.DataObject) -> None:
        waiting = [unit.unit for unit in self.model.free([UnitState.SUBMITTED])]
        chosen = data.draw(st.lists(st.sampled_from(waiting), min_size=1, unique=True))
        self.model.merge(chosen)
        versions.publish_version(self.owner, run=self.run, new=version(self.model.head))
        ids = [self.submitted[unit] for unit in chosen]
        self.mark_merged(ids)
        contributions.link_merged(self.owner, gradients=ids)
        self.judged += ids

    def reject(self, data: st.DataObject) -> None:
        unit = data.draw(st.sampled_from(self.model.free([UnitState.SUBMITTED]))).unit
        gradients.reject(self.owner, gradient=self.submitted[unit], verdict="a test")
        self.model.reject(unit)
        self.judged.append(self.submitted[unit])

    def judge_again(self, data: st.DataObject) -> None:
        gradient, merges = data.draw(st.tuples(st.sampled_from(self.judged), st.booleans()))
        with pytest.raises(IllegalTransition):
            if merges:
                self.mark_merged([gradient])
            else:
                gradients.reject(self.owner, gradient=gradient, verdict="again")

    def mark_merged(self, ids: list[GradientId]) -> None:
        gradients.mark_merged(
            self.owner, run=self.run, version=self.model.head, gradients=ids, weights=[1.0] * len(ids)
        )

    @invariant()
    def the_ledger_is_the_model(self) -> None:
        seen = sorted(self.model.committed(), key=lambda unit: unit.unit)
        rows = self.owner.execute(_UNITS, {"run": self.name}).all()
        assert [tuple(row) for row in rows] == [told(unit) for unit in seen]
        kept = {(row.unit, row.attempt): row.state for row in self.gradients()}
        assert kept == {(unit.unit, attempt): state for unit in seen for attempt, state in unit.gradients.items()}

    @invariant()
    def nothing_is_counted_twice_or_lost(self) -> None:
        states = [(unit.unit, unit.state, unit.attempt) for unit in self.model.committed()]
        kept = self.gradients()
        merged = [row.unit for row in kept if row.state == GradientState.MERGED]
        assert sorted(merged) == sorted(unit for unit, state, _ in states if state is UnitState.MERGED)
        waiting = {(row.unit, row.attempt) for row in kept if row.state == GradientState.SUBMITTED}
        assert waiting == {(unit, attempt) for unit, state, attempt in states if state is UnitState.SUBMITTED}
        assert all((row.merged_version is not None) == (row.state == GradientState.MERGED) for row in kept)

    def gradients(self) -> list[Any]:
        return list(self.owner.execute(_GRADIENTS, {"run": self.name}).all())

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        for worker in list(self.model.before):
            self.end_transaction(self.ids.index(worker), commits=False)
        assert_tallies_are_true(self.owner, self.run)
        follow_chains(self.owner, self.name, {unit.unit: unit.state for unit in self.model.committed()})
        found = verify(self.owner.engine, run=self.name)
        assert found.broken is None
        assert found.whole.num_links == sum(unit.state is UnitState.MERGED for unit in self.model.committed())


def follow_chains(owner: Connection, run: str, ends: dict[UnitId, UnitState]) -> None:
    """The log of each unit leads along edges from its birth to where it is."""
    at = dict.fromkeys(ends, UnitState.OPEN)
    for row in owner.execute(_CHAINS, {"run": run}):
        old, new = UnitState(row.old_state), UnitState(row.new_state)
        # A claim of an open unit is told by the line that ends the lease.
        assert old == at[row.unit] or (at[row.unit], old) == (UnitState.OPEN, UnitState.LEASED)
        assert new in UNIT_EDGES[old]
        at[row.unit] = new
    for unit, end in ends.items():
        assert end == at[unit] or (at[unit], end) == (UnitState.OPEN, UnitState.LEASED)


def told(unit: Unit) -> tuple[object, ...]:
    return unit.unit, unit.state, unit.attempt, unit.num_failures, unit.worker


def version(number: int) -> versions.NewVersion:
    parent = Version(number - 1) if number else None
    return versions.NewVersion(
        number=Version(number), parent=parent, manifest="{}", optimizer_step=number, parts=[b"x"]
    )


HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
QUICK = settings(
    max_examples=80,
    stateful_step_count=50,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=HEALTH,
)


@pytest.mark.timeout(300)
def test_the_ledger_and_its_model_agree(world: World) -> None:
    run(world, QUICK)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_the_ledger_and_its_model_agree_for_long(world: World) -> None:
    run(world, settings(QUICK, max_examples=800, stateful_step_count=100, derandomize=False))


def run(world: World, chosen: settings) -> None:
    class HereAndNow(LedgerMachine):
        pass

    HereAndNow.world = world
    run_state_machine_as_test(HereAndNow, settings=chosen)
