"""Flower's and ByzFL's aggregation rules. Runs in the peers' environment, where nothing of ours is installed."""

from __future__ import annotations

import functools
import importlib.util
import logging
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.server.strategy import aggregate as functions
from flwr.serverapp.strategy import Bulyan, FedAvg, FedMedian, FedTrimmedAvg, Krum, MultiKrum
from flwr.supercore.task_identity import TaskIdentity

# Its package imports its demos, and those import torchvision.
_byzfl = types.ModuleType("byzfl")
_spec = importlib.util.find_spec("byzfl")
assert _spec is not None
_byzfl.__path__ = list(_spec.submodule_search_locations or [])
sys.modules["byzfl"] = _byzfl
from byzfl.aggregators import aggregators as byzfl_rules  # noqa: E402
from byzfl.aggregators import preaggregators as byzfl_before  # noqa: E402

# Flower says at each call that a message was received.
logging.getLogger("flwr").setLevel(logging.ERROR)
# A reply is made from a message, and a message asks who runs.
TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1

# Makes what is called once and timed: Flower takes its messages apart while it works.
Maker = Callable[[], Callable[[], Any]]


class Peers:
    """`matrix` has a gradient in each row, `sizes` says where one layer ends and the next begins."""

    def __init__(self, matrix: np.ndarray, sizes: Sequence[int], num_byzantine: int) -> None:
        self.matrix = matrix
        self.layers = [np.split(row, np.cumsum(sizes)[:-1]) for row in matrix]
        self.f = num_byzantine

    def ways(self, rule: str) -> dict[str, Maker]:
        """Every way in which these libraries do it."""
        n, f = len(self.matrix), self.f
        strategies: dict[str, Callable[[], FedAvg]] = {
            "mean": FedAvg,
            "median": FedMedian,
            "trimmed_mean": lambda: FedTrimmedAvg(beta=f / n),
            "krum": lambda: Krum(num_malicious_nodes=f),
            "multi_krum": lambda: MultiKrum(num_malicious_nodes=f, num_nodes_to_select=n - f),
            "bulyan": lambda: Bulyan(num_malicious_nodes=f),
        }
        flower: dict[str, Callable[[list[Any]], Any]] = {
            "mean": functions.aggregate,
            "median": functions.aggregate_median,
            "trimmed_mean": lambda results: functions.aggregate_trimmed_avg(results, f / n),
            "krum": lambda results: functions.aggregate_krum(results, f, 0),
            "multi_krum": lambda results: functions.aggregate_krum(results, f, n - f),
            "bulyan": lambda results: functions.aggregate_bulyan(results, f, functions.aggregate_krum, to_keep=0),
        }
        found: dict[str, Maker] = {}
        if rule in strategies:
            found["Flower's strategy"] = lambda: self._strategy(strategies[rule]())
            found["Flower's function"] = lambda: functools.partial(flower[rule], [(it, 1) for it in self.layers])
        if (make := self._byzfl(rule)) is not None:
            found["ByzFL on numpy"] = lambda: functools.partial(make(), self.matrix)
            found["ByzFL on torch"] = lambda: functools.partial(make(), torch.from_numpy(self.matrix))
        return found

    def _strategy(self, strategy: FedAvg) -> Callable[[], Any]:
        replies = self._replies()
        return lambda: strategy.aggregate_train(1, replies)[0].to_numpy_ndarrays()

    def _byzfl(self, rule: str) -> Callable[[], Callable[[Any], Any]] | None:
        f = self.f
        makers: dict[str, Callable[[], Callable[[Any], Any]]] = {
            "mean": byzfl_rules.Average,
            "median": byzfl_rules.Median,
            "trimmed_mean": lambda: byzfl_rules.TrMean(f),
            "meamed": lambda: byzfl_rules.Meamed(f),
            "krum": lambda: byzfl_rules.Krum(f),
            "multi_krum": lambda: byzfl_rules.MultiKrum(f),
            "geometric_median": byzfl_rules.GeometricMedian,
            # One step from zero, which is what the last aggregate is in the first update.
            "centered_clip": byzfl_rules.CenteredClipping,
            "caf": lambda: byzfl_rules.CAF(f),
            "nnm, mean": lambda: _in_order(byzfl_before.NNM(f), byzfl_rules.Average()),
            "nnm, trimmed_mean": lambda: _in_order(byzfl_before.NNM(f), byzfl_rules.TrMean(f)),
        }
        return makers.get(rule)

    def _replies(self) -> list[Message]:
        replies = []
        for node, layers in enumerate(self.layers, start=1):
            arrays = ArrayRecord({str(number): Array(layer) for number, layer in enumerate(layers)})
            content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})
            sent = Message(content=RecordDict(), dst_node_id=node, message_type="train")
            replies.append(Message(content=content, reply_to=sent))
        return replies


def _in_order(first: Callable[[Any], Any], second: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda vectors: second(first(vectors))


def flat(aggregate: Any) -> np.ndarray:
    layers = aggregate if isinstance(aggregate, list) else [aggregate]
    return np.concatenate([np.asarray(layer).reshape(-1) for layer in layers])
