"""N gradients have landed: admit, aggregate, step, and publish the next version, all of it in one transaction."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence

from sqlalchemy import Connection, Engine

from contract.errors import DatabaseError, LeadershipLost
from contract.ids import Version
from contract.traces import Traces
from coordinator.admission import Admitted, Refused
from coordinator.leadership import Leadership
from coordinator.ledger import contributions, gradients, units, versions
from coordinator.ledger.gradients import WaitingGradient
from coordinator.living_run import LivingRun
from coordinator.losses import mean_losses
from coordinator.selection import Overdue, Selection, select
from coordinator.step import advance, overall_shares


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`version` is None when there was nothing to merge yet."""

    version: Version | None = None
    merged: int = 0
    num_bytes: int = 0
    refused: tuple[str, ...] = ()
    # Who was at work when the round's deadline closed it.
    late: tuple[units.Overtaken, ...] = ()
    overdue: Overdue | None = None
    losses: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    engine: Engine
    living: LivingRun
    leadership: Leadership
    deadline_seconds: float
    traces: Traces = dataclasses.field(default_factory=Traces)

    def run_once(self) -> Report:
        living = self.living
        if living.spent is not None:
            return Report()
        if living.is_stale:
            with self.engine.begin() as conn:
                living.read_again(conn)
        began = time.monotonic()
        try:
            with self.engine.begin() as conn:
                selection = select(conn, living, self.leadership, deadline_seconds=self.deadline_seconds)
            if not selection.gradients:
                with self.engine.begin() as conn:
                    living.judge.look_ahead(conn, selection.early)
                return Report(refused=selection.refused, overdue=selection.overdue)
            # By now they all have come; the turn may have begun before the last of them did.
            began_at = time.time_ns()
            with self.engine.begin() as conn:
                report = self._merge(conn, selection, began)
        except (DatabaseError, LeadershipLost):
            # State and pool changed in place, and nobody will hear of it.
            living.is_stale = True
            raise
        if report.version is not None:
            for gradient in selection.gradients:
                life = self.traces.of(gradient.unit, gradient.attempt)
                life.took("merge", began_at, version=report.version, num_gradients=report.merged)
            living.head = report.version
            if living.how.deltas is None:
                living.keyframe = report.version
            if living.account is None:
                living.unremembered_bytes += report.num_bytes
            else:
                living.remembered = report.version
            living.judge.forget()
        return report

    def _merge(self, conn: Connection, selection: Selection, began: float) -> Report:
        living = self.living
        waiting = sorted(selection.gradients, key=lambda one: one.unit)
        admitted: list[Admitted] = []
        refused: list[Refused] = []
        for gradient in waiting:
            verdict = living.judge.judge(conn, gradient, freshness=selection.freshness.get(gradient.gradient, 1.0))
            if isinstance(verdict, Refused):
                # Who was deposed in between finds gradients that another leader merged, and their bytes gone.
                self.leadership.require(conn)
                gradients.reject(conn, gradient=verdict.gradient, verdict=verdict.verdict)
                life = self.traces.of(gradient.unit, gradient.attempt)
                life.took("refuse", time.time_ns(), error=verdict.verdict)
                refused.append(verdict)
            else:
                admitted.append(verdict)
        if len(admitted) < len(waiting):
            # Their samples are computed again, and the round goes on until it is full.
            return Report(refused=(*selection.refused, *(verdict.verdict for verdict in refused)))
        used = living.samples_of(conn, [gradient.unit for gradient in waiting]) if living.account is not None else []
        if living.account is not None:
            living.spent = living.account.refusal(used)
            if living.spent is not None:
                return Report(refused=selection.refused)
            living.account.spend(used)
        shares = advance(living.state, admitted, living.how)
        version = Version(living.head + 1)
        merged = [*zip(waiting, admitted, overall_shares(shares, living.how.vectors), strict=True)]
        overtaken = self._publish(conn, version, merged, began, selection.closed_because)
        return Report(
            version=version,
            merged=len(admitted),
            num_bytes=sum(gradient.num_bytes for gradient in waiting),
            refused=selection.refused,
            late=tuple(unit for unit in overtaken if unit.volunteer is not None and selection.closed_because),
            losses=mean_losses(waiting),
            seconds=time.monotonic() - began,
        )

    def _publish(
        self,
        conn: Connection,
        version: Version,
        merged: Sequence[tuple[WaitingGradient, Admitted, float]],
        began: float,
        closed_because: str | None,
    ) -> list[units.Overtaken]:
        living = self.living
        self.leadership.require(conn)
        ids = [gradient.gradient for gradient, _, _ in merged]
        shares = [share for _, _, share in merged]
        new = versions.NewVersion(
            number=version,
            parent=living.head,
            manifest=living.how.vectors.manifest.to_json(),
            optimizer_step=living.state.step,
            parts=living.weights_parts(),
            is_keyframe=living.how.deltas is None,
            delta=living.delta(),
        )
        digest = versions.publish_version(conn, run=living.run, new=new)
        gradients.mark_merged(conn, run=living.run, version=version, gradients=ids, weights=shares)
        contributions.link_merged(conn, gradients=ids)
        overtaken: list[units.Overtaken] = []
        if living.mode != "async":
            reason = closed_because or f"overtaken by version {version}"
            overtaken = units.cancel_overtaken(conn, run=living.run, version=living.head, reason=reason)
            living.put_back(conn, [unit.unit for unit in overtaken])
        aggregation = versions.Aggregation(
            rule=living.how.recipe.rule.name,
            options=living.how.recipe.record(),
            gradients=ids,
            weights=[admitted.weight for _, admitted, _ in merged],
            input_sha256=hashlib.sha256(b"".join(gradient.sha256 for gradient, _, _ in merged)).digest(),
            output_sha256=digest,
            seconds=time.monotonic() - began,
        )
        versions.record_aggregation(conn, run=living.run, version=version, aggregation=aggregation)
        metrics = mean_losses([gradient for gradient, _, _ in merged])
        if living.account is not None:
            metrics["epsilon"] = living.account.epsilon
            # Its noise is nobody's to repeat: what the optimizer remembers of it is written down now or never.
            parts = living.optimizer_parts()
            versions.add_parts(conn, run=living.run, version=version, kind="optimizer", parts=parts)
        versions.record_metrics(conn, run=living.run, version=version, metrics=metrics)
        return overtaken
