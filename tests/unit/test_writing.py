from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from contract.workloads import WORKLOADS
from contract.workloads.base import PredictiveModel
from coordinator.writing import Taste, written

SCORES = torch.tensor([0.0, 3.0, 2.0, 1.0])


def chosen(taste: Taste, times: int = 2000) -> Counter[int]:
    generator = torch.Generator().manual_seed(0)
    return Counter(taste.choose(SCORES, generator) for _ in range(times))


def test_without_temperature_the_likeliest_is_taken() -> None:
    assert chosen(Taste(temperature=0.0), 20) == {1: 20}


def test_at_temperature_one_tokens_come_as_often_as_the_model_says() -> None:
    found, shares = chosen(Taste(temperature=1.0), 20_000), torch.softmax(SCORES, 0)
    for token, share in enumerate(shares.tolist()):
        assert found[token] / 20_000 == pytest.approx(share, abs=0.01)


def test_the_hotter_the_more_daring() -> None:
    assert chosen(Taste(temperature=5.0))[0] > chosen(Taste(temperature=0.5))[0]


def test_top_k_leaves_out_all_but_the_likeliest() -> None:
    assert set(chosen(Taste(temperature=5.0, top_k=2))) == {1, 2}


def test_top_p_takes_those_that_come_to_it_together() -> None:
    # Their shares are 0.64, 0.24, 0.09 and 0.03.
    assert set(chosen(Taste(temperature=1.0, top_p=0.5))) == {1}
    assert set(chosen(Taste(temperature=1.0, top_p=0.7))) == {1, 2}
    assert set(chosen(Taste(temperature=1.0, top_p=1.0))) == {0, 1, 2, 3}


class Reciting:
    """Knows one text by heart."""

    def __init__(self, text: str) -> None:
        self._tokens = text.encode()
        self.seen: list[int] = []

    def next_scores(self, tokens: Sequence[int]) -> Tensor:
        self.seen.append(len(tokens))
        scores = torch.full((256,), -100.0)
        scores[self._tokens[len(tokens)]] = 0.0
        return scores


def test_letters_of_several_bytes_come_whole() -> None:
    pieces = list(written(Reciting("né€x"), "n", num_tokens=6, taste=Taste(), seed=0))  # type: ignore[arg-type]
    assert pieces == ["é", "€", "x"]


def test_a_letter_that_was_cut_off_shows_as_such() -> None:
    assert "".join(written(Reciting("n€"), "n", num_tokens=2, taste=Taste(), seed=0)) == "\N{REPLACEMENT CHARACTER}"  # type: ignore[arg-type]


SMALL = {
    "tiny_lstm": {"context": 8, "embedding_features": 4, "hidden_features": 8},
    "small_transformer": {"context": 8, "features": 8, "num_layers": 1, "num_heads": 2, "hidden_features": 8},
}


@pytest.mark.parametrize("name", SMALL)
def test_the_same_seed_writes_the_same_also_beyond_the_context(name: str) -> None:
    workload = WORKLOADS.build(name, SMALL[name])
    model = workload.open_model()
    model.load(workload.initial(1))

    def text(seed: int) -> str:
        return "".join(written(model, "Once", num_tokens=30, taste=Taste(), seed=seed))  # type: ignore[arg-type]

    assert text(3) == text(3) != text(4)


@pytest.mark.parametrize("name", SMALL)
def test_the_model_scores_what_follows_as_it_does_in_training(name: str) -> None:
    workload = WORKLOADS.build(name, {**SMALL[name], **({"dropout": 0.5} if name == "small_transformer" else {})})
    model: PredictiveModel = workload.open_model()  # type: ignore[assignment]
    model.load(workload.initial(1))
    seen = model.next_scores([5, 6, 7])
    assert torch.equal(seen, model.next_scores([5, 6, 7])), "no dropout"
    assert seen.shape == (256,) and torch.isfinite(seen).all()
    longer = model.next_scores([1, 2, *range(8)])
    assert torch.equal(longer, model.next_scores([9, 9, 9, *range(8)])), "what is beyond the context counts no more"
