"""What became of the work: how much of what was computed moved the model, and what was left out."""

from __future__ import annotations

import dataclasses

from sqlalchemy import Connection, text

from contract.ids import RunId

_OUTCOME = text("""
    SELECT p.num_begun, p.num_computed, p.num_merged, p.num_failed, e.surplus_samples, e.skipped_samples
      FROM ledger.runs r
      JOIN watch.progress p ON p.run = r.name
      CROSS JOIN LATERAL (SELECT coalesce(sum(surplus_samples), 0)::bigint AS surplus_samples,
                                 coalesce(sum(skipped_samples), 0)::bigint AS skipped_samples
                            FROM watch.epochs WHERE run = r.name) e
     WHERE r.id = :run""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`num_begun` counts claims, `num_computed` the gradients that arrived whole. Surplus samples were computed and not
    used; skipped ones belong to units that failed for good."""

    num_begun: int
    num_computed: int
    num_merged: int
    num_failed: int
    surplus_samples: int
    skipped_samples: int

    @property
    def share_used(self) -> float | None:
        """Of the computed; None before there is any."""
        return self.num_merged / self.num_computed if self.num_computed else None


def outcome_of(conn: Connection, *, run: RunId) -> Outcome:
    return Outcome(**conn.execute(_OUTCOME, {"run": run}).one()._mapping)
