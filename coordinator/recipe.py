"""A rule with what is done before it: all that a run's `aggregation` section says, in one value."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from contract.errors import ConfigError
from contract.registry import Named, Registry
from contract.workloads.order import mixed
from coordinator.aggregators import AGGREGATORS, Aggregator, Centre, Combination, Contribution, Stack, compiled
from coordinator.aggregators.stack import VALUES_AT_A_TIME
from coordinator.preaggregators import PREAGGREGATORS, PreAggregator

# No class is larger; what no such number satisfies, none does.
_MOST_GRADIENTS: Final = 10_000

MemberT = TypeVar("MemberT", bound=Named)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """`seed` is the run's. `values_at_a_time` and `compiled_from` decide last bits, and are recorded with each
    aggregation: a stack of so many values is worth machine code; None where there is none."""

    rule: Aggregator
    before: tuple[PreAggregator, ...] = ()
    seed: int = 0
    values_at_a_time: int = VALUES_AT_A_TIME
    compiled_from: int | None = dataclasses.field(
        default_factory=lambda: compiled.WORTH_VALUES if compiled.is_available() else None
    )

    @classmethod
    def of(cls, training: Mapping[str, Any], *, seed: int) -> Recipe:
        """As a run has it written down."""
        f = training["num_byzantine"]
        options: Mapping[str, Mapping[str, object]] = training["before_options"]
        strangers = [name for name in options if name not in training["before"]]
        if strangers:
            raise ConfigError(
                [f"aggregation.before_options.{name}: {name} is not in aggregation.before" for name in strangers]
            )
        return cls(
            rule=_built(AGGREGATORS, training["rule"], training["rule_options"], f),
            before=tuple(_built(PREAGGREGATORS, name, options.get(name, {}), f) for name in training["before"]),
            seed=seed,
        )

    @classmethod
    def recorded(cls, rule: str, record: Mapping[str, Any], *, seed: int) -> Recipe:
        """From what `record` wrote into the ledger: as the merge was made, whatever the defaults are by now."""
        return cls(
            rule=AGGREGATORS.build(rule, record["options"]),
            before=tuple(PREAGGREGATORS.build(one["name"], one["options"]) for one in record["before"]),
            seed=seed,
            values_at_a_time=record["values_at_a_time"],
            # Where the one who merged had machine code and we have not, last bits may differ.
            compiled_from=record["compiled_from"] if compiled.is_available() else None,
        )

    def record(self) -> dict[str, Any]:
        return {
            "options": _options(self.rule),
            "before": [{"name": one.name, "options": _options(one)} for one in self.before],
            "values_at_a_time": self.values_at_a_time,
            "compiled_from": self.compiled_from,
        }

    def problem(self, num_gradients: int) -> str | None:
        """Why so many cannot be combined, naming the inequality, or None."""
        left = num_gradients
        for preaggregator in self.before:
            if (problem := preaggregator.problem(left)) is not None:
                return _after(problem, num_gradients, left)
            left = preaggregator.num_left(left)
        problem = self.rule.problem(left)
        return None if problem is None else _after(problem, num_gradients, left)

    def enough_from(self, num_gradients: int) -> int | None:
        """The smallest number that will do and is not below this one; None where no number ever will."""
        return next((n for n in range(num_gradients, _MOST_GRADIENTS) if self.problem(n) is None), None)

    def most_up_to(self, num_gradients: int) -> int | None:
        """The largest number that will do and is not above this one; None where fewer never will."""
        return next((n for n in range(num_gradients, 0, -1) if self.problem(n) is None), None)

    def combine(
        self,
        contributions: Sequence[Contribution],
        sizes: Mapping[str, int],
        *,
        step: int = 0,
        centre: Centre | None = None,
    ) -> Combination:
        """`sizes` names the group's tensors with their numbers of values; `step` counts the updates so far."""
        stack = Stack.of(
            contributions,
            sizes,
            centre=centre,
            values_at_a_time=self.values_at_a_time,
            is_compiled=self._is_worth_compiling(len(contributions) * sum(sizes.values())),
        )
        for turn, preaggregator in enumerate(self.before):
            stack = preaggregator.apply(stack, seed=mixed(self.seed, step, turn))
        return self.rule.combine(stack)

    def _is_worth_compiling(self, num_values: int) -> bool:
        return self.compiled_from is not None and num_values >= self.compiled_from


def _built(registry: Registry[MemberT], name: str, options: Mapping[str, object], num_byzantine: int) -> MemberT:
    takes_f = "num_byzantine" in registry.options(name)
    return registry.build(name, {"num_byzantine": num_byzantine, **options} if takes_f else options)


def _options(member: Any) -> dict[str, Any]:
    return {field.name: getattr(member, field.name) for field in dataclasses.fields(member) if field.init}


def _after(problem: str, num_gradients: int, left: int) -> str:
    return problem if left == num_gradients else f"{problem} after aggregation.before, of {num_gradients}"
