"""Aggregation rules, one per file."""

from typing import Final

from contract.registry import Registry
from coordinator.aggregators.base import Aggregator, Combination, Contribution, WeightedSum
from coordinator.aggregators.mean import Mean

AGGREGATORS: Final = Registry[Aggregator]("aggregation rule", Mean)

__all__ = ["AGGREGATORS", "Aggregator", "Combination", "Contribution", "WeightedSum"]
