"""What does not fit is refused before there is a run of it, with what to do instead; and what becomes of `robust`."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from contract.compressors import CODECS
from contract.config import Config
from contract.errors import ConfigError
from coordinator.aggregators import AGGREGATORS
from coordinator.fitting import aggregation_of, least_gradients
from coordinator.recipe import Recipe

SPARSE = [codec.name for codec in CODECS if codec.is_sparse]
DENSE = [codec.name for codec in CODECS if not codec.is_sparse]
BY_COORDINATE = [rule.name for rule in AGGREGATORS if rule.by_coordinate]


def config(n: int | str = 3, *, codec: str = "none", **aggregation: object) -> Config:
    return Config.model_validate(
        {
            "training": {"num_workunits_per_update": n},
            "aggregation": aggregation,
            "compression": {"codec": codec},
        }
    )


def refusal(asked: Config) -> str:
    with pytest.raises(ConfigError) as raised:
        aggregation_of(asked)
    (problem,) = raised.value.problems
    return problem


def test_too_few_gradients_name_the_inequality_and_the_number_that_will_do() -> None:
    assert refusal(config(5, rule="krum", num_byzantine=2)) == (
        "aggregation.rule: krum needs n >= 2f+3 gradients, here at least 7; there are 5; set "
        "training.num_workunits_per_update to 7, or lower aggregation.num_byzantine (2)"
    )


def test_the_number_that_is_named_will_do() -> None:
    assert aggregation_of(config(7, rule="krum", num_byzantine=2))["rule"] == "krum"


def test_what_is_left_after_a_preaggregator_counts() -> None:
    problem = refusal(config(7, rule="krum", num_byzantine=1, before=["bucketing"]))
    assert "after aggregation.before, of 7" in problem
    assert "set training.num_workunits_per_update to 9" in problem


def test_a_run_that_follows_its_class_begins_with_what_its_rule_needs() -> None:
    assert least_gradients(config("auto")) == 1
    assert least_gradients(config("auto", rule="krum", num_byzantine=2)) == 7


@pytest.mark.parametrize("rule", BY_COORDINATE)
@pytest.mark.parametrize("codec", SPARSE)
def test_a_rule_by_coordinate_is_refused_with_a_sparse_codec(rule: str, codec: str) -> None:
    problem = refusal(config(11, rule=rule, codec=codec))
    assert problem.startswith(
        f"aggregation.rule: {rule} takes each coordinate by itself, and with compression.codec {codec}"
    )
    assert "set aggregation.rule to robust" in problem


@pytest.mark.parametrize("codec", CODECS.names)
@pytest.mark.parametrize("n", [3, 5, 11, 64, "auto"])
def test_robust_becomes_a_rule_that_fits(codec: str, n: int | str) -> None:
    settled = aggregation_of(config(n, rule="robust", codec=codec))
    rule = AGGREGATORS.get(settled["rule"])
    assert not (codec in SPARSE and rule.by_coordinate)
    assert "num_byzantine" in AGGREGATORS.options(settled["rule"])


@pytest.mark.parametrize(("n", "f"), [(3, 1), (9, 1), (10, 2), (11, 2), (20, 4), ("auto", 1)])
def test_robust_expects_one_in_five(n: int | str, f: int) -> None:
    assert aggregation_of(config(n, rule="robust"))["num_byzantine"] == f


def test_robust_expects_as_many_as_it_is_told() -> None:
    assert aggregation_of(config(11, rule="robust", num_byzantine=4))["num_byzantine"] == 4


def test_the_smallest_update_that_robust_works_with() -> None:
    assert "set training.num_workunits_per_update to 3" in refusal(config(2, rule="robust"))
    assert least_gradients(config("auto", rule="robust", num_byzantine=2)) == 5


@pytest.mark.parametrize(
    "more", [{"before": ["nnm"]}, {"options": {"trim": 0.1}}, {"before_options": {"clip": {"norm": 1.0}}}]
)
def test_robust_takes_nothing_besides(more: Mapping[str, object]) -> None:
    assert "robust brings its own" in refusal(config(11, rule="robust", **more))


@pytest.mark.parametrize("codec", DENSE)
@pytest.mark.parametrize("rule", AGGREGATORS.names)
def test_every_rule_fits_a_class_with_a_dense_codec(rule: str, codec: str) -> None:
    recipe = Recipe.of(aggregation_of(config(11, rule=rule, codec=codec)), seed=0)
    assert recipe.problem(11) is None
