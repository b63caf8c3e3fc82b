"""What is done to the gradients before a rule sees them, one per file."""

from typing import Final

from contract.registry import Registry
from coordinator.preaggregators.arc import AdaptiveRobustClipping
from coordinator.preaggregators.base import PreAggregator
from coordinator.preaggregators.bucketing import Bucketing
from coordinator.preaggregators.clip import Clip
from coordinator.preaggregators.nnm import NearestNeighbourMixing

PREAGGREGATORS: Final = Registry[PreAggregator](
    "pre-aggregator", NearestNeighbourMixing, Bucketing, AdaptiveRobustClipping, Clip
)

__all__ = ["PREAGGREGATORS", "PreAggregator"]
