"""What a late gradient is still worth, one rule per file."""

from typing import Final

from contract.registry import Registry
from coordinator.decays.base import Decay
from coordinator.decays.constant import Constant
from coordinator.decays.cosine import Cosine
from coordinator.decays.exponential import Exponential
from coordinator.decays.inverse_sqrt import InverseSqrt

DECAYS: Final = Registry[Decay]("staleness decay", Constant, InverseSqrt, Exponential, Cosine)

__all__ = ["DECAYS", "Decay"]
