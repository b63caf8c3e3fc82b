"""The ledger's tables, which are Alembic's target: those of the work, the tallies of it, those of what is shown of it,
and of who did it."""

from coordinator.tables import record, shown, tallies
from coordinator.tables.work import NOTABLE_EVENT, metadata

__all__ = ["NOTABLE_EVENT", "metadata", "record", "shown", "tallies"]
