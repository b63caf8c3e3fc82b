"""The numbers of the ledger, each of a kind of its own, so that no unit is taken for a worker."""

from __future__ import annotations

from typing import NewType

RunId = NewType("RunId", int)
VolunteerId = NewType("VolunteerId", int)
WorkerId = NewType("WorkerId", int)
UnitId = NewType("UnitId", int)
GradientId = NewType("GradientId", int)
Version = NewType("Version", int)
