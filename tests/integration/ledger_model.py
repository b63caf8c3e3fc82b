"""What the ledger should do, in plain Python: units, gradients, leases, and transactions that are still open.

A worker's open transaction locks the units it wrote. Until it ends, everybody else sees those units as they were.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from uuid import UUID

from contract.errors import AlreadySubmitted, LeaseLost, LedgerRefusal, OverQuota
from contract.ids import UnitId, Version, WorkerId
from contract.states import GradientState, UnitState
from worker.ledger import Lease


@dataclasses.dataclass(slots=True, kw_only=True)
class Unit:
    unit: UnitId
    position: int
    planned_version: Version | None
    state: UnitState = UnitState.OPEN
    attempt: int = 0
    num_failures: int = 0
    worker: WorkerId | None = None
    token: UUID | None = None
    # The lease has passed its time, which a heartbeat may have stretched; or the limit that nothing stretches.
    is_expired: bool = False
    is_outlasted: bool = False
    # One per attempt that uploaded anything.
    gradients: dict[int, GradientState] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(slots=True, kw_only=True)
class Model:
    max_retries: int
    max_leases: int
    head: Version
    floor: int = 0
    units: dict[UnitId, Unit] = dataclasses.field(default_factory=dict)
    # The units for which each worker's last heartbeat speaks.
    covers: dict[WorkerId, set[UnitId]] = dataclasses.field(default_factory=dict)
    # For each open transaction, its units as everybody else still sees them.
    before: dict[WorkerId, dict[UnitId, Unit]] = dataclasses.field(default_factory=dict)

    def seen_by(self, worker: WorkerId | None) -> list[Unit]:
        return [self._seen(unit, worker) for unit in self.units]

    def committed(self) -> list[Unit]:
        return self.seen_by(None)

    def is_locked(self, unit: UnitId, *, against: WorkerId | None = None) -> bool:
        return any(unit in locked for holder, locked in self.before.items() if holder != against)

    def free(self, states: Iterable[UnitState]) -> list[Unit]:
        """Those in one of the states that no open transaction holds."""
        wanted = set(states)
        return [unit for unit in self.units.values() if unit.state in wanted and not self.is_locked(unit.unit)]

    def is_over(self, unit: Unit) -> bool:
        assert unit.worker is not None
        return unit.is_outlasted or (unit.is_expired and unit.unit not in self.covers[unit.worker])

    def open_units(self, units: list[UnitId], planned_version: Version | None) -> None:
        for unit in units:
            self.units[unit] = Unit(unit=unit, position=len(self.units), planned_version=planned_version)

    def claimable(self, worker: WorkerId) -> set[UnitId] | type[LedgerRefusal]:
        """The units of which a claim must bring one; empty where it must bring none."""
        seen = self.seen_by(worker)
        if sum(unit.state is UnitState.LEASED and unit.worker == worker for unit in seen) >= self.max_leases:
            return OverQuota
        free = [unit for unit in self.units.values() if not self.is_locked(unit.unit, against=worker)]
        opened = [unit for unit in free if unit.state is UnitState.OPEN]
        if opened:
            first = min(opened, key=lambda unit: (unit.position < self.floor, unit.position))
            return {first.unit}
        return {
            unit.unit
            for unit in free
            if unit.state is UnitState.LEASED and unit.num_failures < self.max_retries and self.is_over(unit)
        }

    def claim(self, worker: WorkerId, lease: Lease) -> None:
        unit = self._write(worker, lease.unit)
        if unit.state is UnitState.LEASED:
            unit.num_failures += 1
        unit.state, unit.worker, unit.token = UnitState.LEASED, worker, lease.token
        unit.attempt += 1
        unit.is_expired = unit.is_outlasted = False
        assert lease.attempt == unit.attempt
        assert lease.base_version == (self.head if unit.planned_version is None else unit.planned_version)

    def refusal(self, worker: WorkerId, lease: Lease) -> type[LedgerRefusal] | None:
        """Why a write under this lease must be refused."""
        unit = self._seen(lease.unit, worker)
        if self.holds(worker, lease):
            return None
        is_theirs = lease.worker == worker
        submitted = {GradientState.SUBMITTED, GradientState.MERGED, GradientState.REJECTED}
        return AlreadySubmitted if is_theirs and unit.gradients.get(lease.attempt) in submitted else LeaseLost

    def holds(self, worker: WorkerId, lease: Lease) -> bool:
        unit = self._seen(lease.unit, worker)
        fence = (UnitState.LEASED, worker, lease.attempt, lease.token)
        return (unit.state, unit.worker, unit.attempt, unit.token) == fence

    def upload(self, worker: WorkerId, lease: Lease) -> None:
        self._write(worker, lease.unit).gradients[lease.attempt] = GradientState.UPLOADING

    def submit(self, worker: WorkerId, lease: Lease) -> None:
        unit = self._write(worker, lease.unit)
        unit.gradients[lease.attempt] = GradientState.SUBMITTED
        unit.state = UnitState.SUBMITTED

    def release(self, worker: WorkerId, lease: Lease, *, failed: bool) -> None:
        unit = self._write(worker, lease.unit)
        unit.state = UnitState.FAILED if failed and unit.num_failures >= self.max_retries else UnitState.OPEN
        unit.num_failures += failed

    def heartbeat(self, worker: WorkerId, leases: Iterable[Lease]) -> tuple[set[UnitId], set[UnitId]]:
        """The units lost and cancelled, as the answer must name them."""
        held, lost, cancelled = set(), set(), set()
        for lease in leases:
            unit = self._seen(lease.unit, None)
            if (unit.worker, unit.attempt) != (worker, lease.attempt):
                lost.add(lease.unit)
            elif unit.state is UnitState.CANCELLED:
                cancelled.add(lease.unit)
            elif unit.state in {UnitState.OPEN, UnitState.FAILED}:
                lost.add(lease.unit)
            else:
                held.add(lease.unit)
        self.covers[worker] = held
        return lost, cancelled

    def reap(self) -> tuple[set[UnitId], set[UnitId]]:
        """The units reopened and failed; unfinished uploads of lost leases are discarded with them."""
        over = [unit for unit in self.free([UnitState.LEASED]) if self.is_over(unit)]
        for unit in over:
            unit.state = UnitState.OPEN if unit.num_failures < self.max_retries else UnitState.FAILED
            unit.num_failures += 1
        for seen in self.committed():
            for attempt, state in seen.gradients.items():
                stands = seen.state is UnitState.LEASED and seen.attempt == attempt
                if state is GradientState.UPLOADING and not stands:
                    seen.gradients[attempt] = GradientState.DISCARDED
                    self.units[seen.unit].gradients[attempt] = GradientState.DISCARDED
        opened = [unit.position for unit in self.committed() if unit.state is UnitState.OPEN]
        self.floor = min(opened, default=len(self.units))
        return (
            {unit.unit for unit in over if unit.state is UnitState.OPEN},
            {unit.unit for unit in over if unit.state is UnitState.FAILED},
        )

    def cancel(self, version: Version) -> set[UnitId]:
        overtaken = [
            unit
            for unit in self.free([UnitState.OPEN, UnitState.LEASED])
            if unit.planned_version is not None and unit.planned_version <= version
        ]
        for unit in overtaken:
            unit.state = UnitState.CANCELLED
        return {unit.unit for unit in overtaken}

    def merge(self, units: Iterable[UnitId]) -> None:
        self.head = Version(self.head + 1)
        for name in units:
            unit = self.units[name]
            unit.state = UnitState.MERGED
            unit.gradients[unit.attempt] = GradientState.MERGED

    def reject(self, name: UnitId) -> None:
        unit = self.units[name]
        unit.gradients[unit.attempt] = GradientState.REJECTED
        unit.state = UnitState.OPEN if unit.num_failures < self.max_retries else UnitState.FAILED
        unit.num_failures += 1

    def begin(self, worker: WorkerId) -> None:
        self.before[worker] = {}

    def commit(self, worker: WorkerId) -> None:
        del self.before[worker]

    def roll_back(self, worker: WorkerId) -> None:
        self.units.update(self.before.pop(worker))

    def _seen(self, unit: UnitId, worker: WorkerId | None) -> Unit:
        for holder, locked in self.before.items():
            if holder != worker and unit in locked:
                return locked[unit]
        return self.units[unit]

    def _write(self, worker: WorkerId, unit: UnitId) -> Unit:
        assert not self.is_locked(unit, against=worker)
        if worker in self.before and unit not in self.before[worker]:
            self.before[worker][unit] = copy.deepcopy(self.units[unit])
        return self.units[unit]
