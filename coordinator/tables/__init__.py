"""The ledger's tables, which are Alembic's target: those of the work, the tallies of it, and those of what is
shown of it."""

from coordinator.tables import shown, tallies
from coordinator.tables.work import NOTABLE_EVENT, metadata

__all__ = ["NOTABLE_EVENT", "metadata", "shown", "tallies"]
