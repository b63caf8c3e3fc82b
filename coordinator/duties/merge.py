"""N gradients have landed: admit, aggregate, step, and publish the next version, all of it in one transaction."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence

from sqlalchemy import Connection, Engine

from contract.errors import DatabaseError, LeadershipLost
from contract.ids import Version
from coordinator.admission import Admitted, Refused
from coordinator.judging import judge
from coordinator.leadership import Leadership
from coordinator.ledger import gradients, units, versions
from coordinator.ledger.gradients import WaitingGradient
from coordinator.living_run import LivingRun
from coordinator.step import advance

# Gradients that fit into so much of the model's size are read from the database once instead of twice.
_KEPT_SHARE = 0.5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`version` is None when there was nothing to merge yet."""

    version: Version | None = None
    merged: int = 0
    num_bytes: int = 0
    refused: tuple[str, ...] = ()
    losses: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    engine: Engine
    living: LivingRun
    leadership: Leadership

    def run_once(self) -> Report:
        living = self.living
        if living.is_stale:
            with self.engine.begin() as conn:
                living.read_again(conn)
        with self.engine.begin() as conn:
            waiting = gradients.waiting_gradients(conn, run=living.run)
            if living.mode == "sync":
                waiting = self._of_this_round(conn, waiting)
            needed = self._needed(conn)
        if len(waiting) < needed:
            return Report()
        began = time.monotonic()
        try:
            with self.engine.begin() as conn:
                report = self._merge(conn, sorted(waiting[:needed], key=lambda one: one.unit), began)
        except (DatabaseError, LeadershipLost):
            # The step changed the state in place, and nobody will hear of it.
            living.is_stale = True
            raise
        if report.version is not None:
            living.head = report.version
            living.unremembered_bytes += report.num_bytes
        return report

    def _of_this_round(self, conn: Connection, waiting: list[WaitingGradient]) -> list[WaitingGradient]:
        late = [gradient.gradient for gradient in waiting if gradient.base_version != self.living.head]
        if late:
            verdict = f"late: the round of its version was closed, the head is {self.living.head}"
            lost = gradients.discard_late(conn, gradients=late, verdict=verdict)
            self.living.put_back(conn, lost)
        return [gradient for gradient in waiting if gradient.base_version == self.living.head]

    def _needed(self, conn: Connection) -> int:
        """At the end of the last epoch a round may be smaller than the others."""
        wanted = self.living.num_gradients
        if self.living.pool.is_empty:
            return max(1, min(wanted, units.count_unfinished(conn, run=self.living.run)))
        return wanted

    def _merge(self, conn: Connection, waiting: Sequence[WaitingGradient], began: float) -> Report:
        living = self.living
        admitted: list[Admitted] = []
        refused: list[Refused] = []
        room = int(_KEPT_SHARE * len(living.state.weights_blob))
        for gradient in waiting:
            room -= gradient.num_bytes
            verdict = judge(conn, gradient, training=living.training, vectors=living.vectors, keep=room >= 0)
            if isinstance(verdict, Refused):
                gradients.reject(conn, gradient=verdict.gradient, verdict=verdict.verdict)
                refused.append(verdict)
            else:
                admitted.append(verdict)
        if len(admitted) < len(waiting):
            # Their samples are computed again, and the round goes on until it is full.
            return Report(refused=tuple(verdict.verdict for verdict in refused))
        shares = advance(
            living.state, admitted, rule=living.rule, vectors=living.vectors, hyperparameters=living.hyperparameters
        )
        version = Version(living.head + 1)
        self._publish(conn, version, waiting, admitted, next(iter(shares.values())), began)
        return Report(
            version=version,
            merged=len(admitted),
            num_bytes=sum(gradient.num_bytes for gradient in waiting),
            losses=mean_losses(waiting),
            seconds=time.monotonic() - began,
        )

    def _publish(
        self,
        conn: Connection,
        version: Version,
        merged: Sequence[WaitingGradient],
        admitted: Sequence[Admitted],
        shares: Sequence[float],
        began: float,
    ) -> None:
        living = self.living
        self.leadership.require(conn)
        ids = [gradient.gradient for gradient in merged]
        new = versions.NewVersion(
            number=version,
            parent=living.head,
            manifest=living.vectors.manifest.to_json(),
            optimizer_step=living.state.step,
            parts=living.weights_parts(),
        )
        digest = versions.publish_version(conn, run=living.run, new=new)
        gradients.mark_merged(conn, run=living.run, version=version, gradients=ids, weights=shares)
        if living.mode == "sync":
            cancelled = units.cancel_overtaken(
                conn, run=living.run, version=living.head, reason=f"overtaken by version {version}"
            )
            living.put_back(conn, cancelled)
        aggregation = versions.Aggregation(
            rule=living.training["rule"],
            options=living.training["rule_options"],
            gradients=ids,
            weights=[gradient.weight for gradient in admitted],
            input_sha256=hashlib.sha256(b"".join(gradient.sha256 for gradient in merged)).digest(),
            output_sha256=digest,
            seconds=time.monotonic() - began,
        )
        versions.record_aggregation(conn, run=living.run, version=version, aggregation=aggregation)
        versions.record_metrics(conn, run=living.run, version=version, metrics=mean_losses(merged))


def mean_losses(merged: Sequence[WaitingGradient]) -> dict[str, float]:
    """Weighted by samples; of those losses that every gradient reports."""
    names = set.intersection(*(set(gradient.losses) for gradient in merged))
    total = sum(gradient.num_samples for gradient in merged)
    return {
        name: sum(gradient.losses[name] * gradient.num_samples for gradient in merged) / total for name in sorted(names)
    }
