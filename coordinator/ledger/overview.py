"""The runs of a ledger and where each stands, for whoever asks in a terminal."""

from __future__ import annotations

import dataclasses
import datetime

from sqlalchemy import Connection, text

from contract.ids import Version
from contract.states import RunState

# As many samples as all epochs hold; a unit that was computed twice does not count twice, nor does one that failed.
_OVERVIEW = text("""
    SELECT r.name, r.state, r.state_reason, r.mode, r.workload, r.data->>'name' AS source, r.head_version,
           CAST(r.data->>'num_samples' AS bigint) AS samples_per_epoch,
           CAST(r.training->>'num_epochs' AS integer) AS num_epochs,
           (SELECT coalesce(sum(t.num_samples_merged), 0) FROM ledger.unit_tallies t
             WHERE t.run_id = r.id) AS samples_merged,
           (SELECT count(*) FROM ledger.workers w JOIN ledger.heartbeats h ON h.worker_id = w.id
             WHERE w.run_id = r.id AND w.left_at IS NULL
               AND h.at > now() - 3 * r.heartbeat_seconds * interval '1 second') AS num_workers,
           (SELECT l.host FROM ledger.leaders l WHERE l.run_id = r.id AND l.expires_at > now()) AS led_from,
           (SELECT m.created_at FROM ledger.model_versions m
             WHERE m.run_id = r.id AND m.number = r.head_version) AS updated_at,
           p.name AS parent, r.parent_version
      FROM ledger.runs r
      LEFT JOIN ledger.runs p ON p.id = r.parent_run_id
     WHERE CAST(:name AS text) IS NULL OR r.name = :name
     ORDER BY r.id""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    name: str
    state: RunState
    state_reason: str | None
    mode: str
    workload: str
    source: str | None
    version: Version | None
    samples_per_epoch: int | None
    num_epochs: int | None
    samples_merged: int
    num_workers: int
    led_from: str | None
    """The host of the coordinator that leads it now."""
    updated_at: datetime.datetime | None
    parent: str | None
    parent_version: Version | None

    @property
    def epochs_done(self) -> float | None:
        if not self.samples_per_epoch or self.num_epochs is None:
            return None
        return min(self.samples_merged / self.samples_per_epoch, self.num_epochs)


def overview(conn: Connection, *, name: str | None = None) -> list[RunLine]:
    return [
        RunLine(
            name=row.name,
            state=RunState(row.state),
            state_reason=row.state_reason,
            mode=row.mode,
            workload=row.workload,
            source=row.source,
            version=row.head_version,
            samples_per_epoch=row.samples_per_epoch,
            num_epochs=row.num_epochs,
            samples_merged=int(row.samples_merged),
            num_workers=row.num_workers,
            led_from=row.led_from,
            updated_at=row.updated_at,
            parent=row.parent,
            parent_version=row.parent_version,
        )
        for row in conn.execute(_OVERVIEW, {"name": name})
    ]
