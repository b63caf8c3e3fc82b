"""Aggregation rules, one per file."""

from typing import Final

from contract.registry import Registry
from coordinator.aggregators.base import Aggregator, Centre, Combination, Contribution
from coordinator.aggregators.bulyan import Bulyan
from coordinator.aggregators.caf import CovarianceFilter
from coordinator.aggregators.centered_clip import CenteredClip
from coordinator.aggregators.geometric_median import GeometricMedian
from coordinator.aggregators.krum import Krum
from coordinator.aggregators.meamed import MeanAroundMedian
from coordinator.aggregators.mean import Mean
from coordinator.aggregators.median import Median
from coordinator.aggregators.multi_krum import MultiKrum
from coordinator.aggregators.stack import Stack
from coordinator.aggregators.trimmed_mean import TrimmedMean

AGGREGATORS: Final = Registry[Aggregator](
    "aggregation rule",
    Mean,
    Median,
    TrimmedMean,
    MeanAroundMedian,
    Krum,
    MultiKrum,
    Bulyan,
    GeometricMedian,
    CenteredClip,
    CovarianceFilter,
)

__all__ = ["AGGREGATORS", "Aggregator", "Centre", "Combination", "Contribution", "Stack"]
