"""That the attacks are those of the papers: on numbers small enough to be worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from contract.sources.base import Batch
from tests.attacks import ATTACKS, Seen
from tests.attacks.little_is_enough import largest_unseen

HONEST = ([1.0, 2.0], [3.0, 2.0], [5.0, 8.0])


def seen(*, own: list[float] | None = None, seed: int = 1) -> Seen:
    return Seen(
        own=named(own or HONEST[0]), honest=[named(values) for values in HONEST], first=named([9.0, 7.0]),
        num_gradients=5, num_byzantine=2, seed=seed,
    )  # fmt: skip


def named(values: list[float]) -> dict[str, Tensor]:
    return {"x": torch.tensor(values)}


def forged(name: str, what: Seen | None = None, **options: object) -> Tensor:
    return ATTACKS.build(name, options).forge(what or seen())["x"]


def test_a_sign_is_flipped() -> None:
    assert forged("sign_flip", scale=2.0).tolist() == [-2.0, -4.0]


def test_the_inner_product_with_the_honest_mean_is_negative() -> None:
    assert forged("inner_product", epsilon=0.5).tolist() == [-1.5, -2.0]


def test_a_mean_of_all_climbs_from_the_papers_epsilon_on() -> None:
    """(n - f) / f: three honest ones and two colluders."""
    total = torch.tensor(HONEST).sum(0)
    assert bool((total + 2 * forged("inner_product", epsilon=1.51) < 0).all())
    assert bool((total + 2 * forged("inner_product", epsilon=1.49) > 0).all())


@pytest.mark.parametrize(
    ("num_gradients", "num_byzantine", "z"),
    # 50 and 24 are the paper's own example: s = 2, and the quantile of 24 / 26.
    [(50, 24, 1.43), (11, 2, 0.14), (11, 5, 0.97), (5, 3, 3.09), (3, 0, -0.43)],
)
def test_as_far_as_a_majority_can_be_fooled(num_gradients: int, num_byzantine: int, z: float) -> None:
    assert largest_unseen(num_gradients, num_byzantine) == pytest.approx(z, abs=0.01)


def test_a_little_is_so_many_deviations() -> None:
    expected = torch.tensor([3.0 - 2.0 * (8 / 3) ** 0.5, 4.0 - 2.0 * 8.0**0.5])
    torch.testing.assert_close(forged("little_is_enough", z=2.0), expected)


def test_all_mimic_the_one_furthest_out() -> None:
    assert forged("mimic").tolist() == forged("mimic", seen(own=[4.0, 4.0], seed=2)).tolist() == HONEST[2]


def test_labels_are_flipped() -> None:
    batch = Batch(images=torch.zeros(3, 1, 1, 1), labels=torch.tensor([0, 4, 9]))
    flipped = ATTACKS.build("label_flip").samples(batch, num_classes=10).labels
    assert flipped is not None
    assert flipped.tolist() == [9, 5, 0]


def test_a_single_value_is_not_a_number() -> None:
    assert forged("nan").isnan().sum() == 1


def test_a_copycat_has_what_a_neighbour_has() -> None:
    assert {tuple(forged("copycat", seen(seed=seed)).tolist()) for seed in range(40)} == set(map(tuple, HONEST))


def test_a_stale_rider_never_computes_again() -> None:
    assert forged("free_rider_stale").tolist() == [9.0, 7.0]


def test_a_random_rider_sends_noise_of_the_usual_size() -> None:
    first = torch.empty(10_000).normal_(generator=torch.Generator().manual_seed(0)).mul_(0.01).add_(1.0)
    what = Seen(own={"x": first}, honest=[{"x": first}], first={"x": first}, num_gradients=3, num_byzantine=1, seed=4)
    noise = forged("free_rider_random", what)
    assert noise.std().item() == pytest.approx(0.01, rel=0.05)
    assert noise.mean().item() == pytest.approx(1.0, abs=1e-3)
    assert not torch.equal(noise, first)
