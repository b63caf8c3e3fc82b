"""Do rule, number of gradients and codec fit each other? Whatever makes a run, or speaks of one, asks here; and here
`robust` becomes a rule, so that the ledger never has that word."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Literal

from contract.compressors import CODECS
from contract.compressors.ladder import AUTO
from contract.config import Config
from contract.errors import ConfigError
from coordinator.class_size import num_gradients_for
from coordinator.recipe import Recipe

ROBUST: Final = "robust"
# What they withstand, and what else was tried: docs/explanation/attacks.md.
_ROBUST_DENSE: Final = {"rule": "trimmed_mean", "rule_options": {"trim": 0.0}, "before": ["nnm"], "before_options": {}}
_ROBUST_SPARSE: Final = {"rule": "geometric_median", "rule_options": {}, "before": ["nnm"], "before_options": {}}
# Of how many gradients one may be hostile, where `robust` is asked for and nobody has said how many.
_ONE_OF: Final = 5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What an aggregation has to fit to. `num_gradients` auto follows the class, and is never fewer than it needs."""

    num_gradients: int | Literal["auto"]
    is_sparse: bool

    @classmethod
    def of(cls, num_gradients: int | Literal["auto"], codec: str) -> Setting:
        # With any rule but the mean auto picks among dense codecs.
        return cls(num_gradients=num_gradients, is_sparse=codec != AUTO and CODECS.get(codec).is_sparse)


def aggregation_of(config: Config) -> dict[str, Any]:
    """What a run has written down of its aggregation; ConfigError where it would not work."""
    aggregation = config.aggregation
    asked = {
        "rule": aggregation.rule,
        "rule_options": dict(aggregation.options),
        "num_byzantine": aggregation.num_byzantine,
        "before": list(aggregation.before),
        "before_options": {name: dict(options) for name, options in aggregation.before_options.items()},
    }
    setting = Setting.of(config.training.num_workunits_per_update, config.compression.codec)
    settled = settle(asked, setting)
    recipe = Recipe.of(settled, seed=config.run.seed)
    problems = [*_too_few(recipe, settled, setting), *_too_sparse(recipe, config.compression.codec, setting)]
    if problems:
        raise ConfigError(problems)
    return settled


def least_gradients(config: Config) -> int:
    """Of one worker, or as many as the rule needs."""
    recipe = Recipe.of(aggregation_of(config), seed=config.run.seed)
    least = recipe.enough_from(num_gradients_for(1))
    assert least is not None, "a rule that no number satisfies was refused"
    return least


def settle(asked: Mapping[str, Any], setting: Setting) -> dict[str, Any]:
    """The same with `robust` made concrete."""
    if asked["rule"] != ROBUST:
        return dict(asked)
    if asked["rule_options"] or asked["before"] or asked["before_options"]:
        raise ConfigError(
            [
                "aggregation.rule: robust brings its own pre-aggregators and options; remove aggregation.options, "
                "before and before_options, or name the rule that they are meant for"
            ]
        )
    n = 1 if setting.num_gradients == "auto" else setting.num_gradients
    f = asked["num_byzantine"] or max(1, n // _ONE_OF)
    return {**(_ROBUST_SPARSE if setting.is_sparse else _ROBUST_DENSE), "num_byzantine": f}


def _too_few(recipe: Recipe, settled: Mapping[str, Any], setting: Setting) -> list[str]:
    least = recipe.enough_from(1)
    if least is None:
        return [f"aggregation.rule: no number of gradients will do: {recipe.problem(1)}"]
    n, f = setting.num_gradients, settled["num_byzantine"]
    if n == "auto" or (problem := recipe.problem(n)) is None:
        return []
    fewer = f", or lower aggregation.num_byzantine ({f})" if f else ""
    return [f"aggregation.rule: {problem}; set training.num_workunits_per_update to {recipe.enough_from(n)}{fewer}"]


def _too_sparse(recipe: Recipe, codec: str, setting: Setting) -> list[str]:
    if not (setting.is_sparse and recipe.rule.by_coordinate):
        return []
    return [
        f"aggregation.rule: {recipe.rule.name} takes each coordinate by itself, and with compression.codec {codec} "
        f"most gradients are zero there: nearly nothing would be left; set aggregation.rule to {ROBUST}, which is "
        f"{_ROBUST_SPARSE['rule']} then, or take a dense codec such as int8"
    ]
