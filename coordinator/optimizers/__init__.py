"""Optimizers, one per file."""

from typing import Final

from contract.registry import Registry
from coordinator.optimizers.adam import Adam
from coordinator.optimizers.base import Optimizer, Parameter, Recollection
from coordinator.optimizers.bundled_adam import BundledAdam
from coordinator.optimizers.nesterov import Nesterov

OPTIMIZERS: Final = Registry[Optimizer]("optimizer", Adam, BundledAdam, Nesterov)

__all__ = ["OPTIMIZERS", "Optimizer", "Parameter", "Recollection"]
