"""What every attack promises. A new one is picked up by its line in the registry, and needs no test of its own."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import pytest
import torch
from torch import Tensor

import tests.attacks
from contract.compressors import CODECS, encoded, open_blob, range_reader
from contract.ids import GradientId
from coordinator.admission import Admitted, Refused, admit
from coordinator.vectors import Vectors
from tests.attacks import ATTACKS, Attack, Seen
from tests.unit.trained import dataset_for, small

NUM_CLASSES = 10


@pytest.fixture(params=ATTACKS.names)
def attack(request: pytest.FixtureRequest) -> Attack:
    return ATTACKS.build(request.param)


def gradient(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {spec.name: torch.empty(spec.shape).normal_(generator=generator) for spec in small("mlp").manifest().tensors}


def seen(*, num_honest: int = 9, seed: int = 3) -> Seen:
    own = gradient(0)
    return Seen(
        own=own, honest=[own, *(gradient(1 + other) for other in range(num_honest - 1))], first=gradient(100),
        num_gradients=11, num_byzantine=2, seed=seed,
    )  # fmt: skip


def test_every_attack_of_the_folder_has_its_line() -> None:
    found = set()
    for module in pkgutil.iter_modules(tests.attacks.__path__, "tests.attacks."):
        for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if dataclasses.is_dataclass(member) and issubclass(member, Attack):
                found.add(member)
    assert found == set(ATTACKS)


def test_it_forges_what_was_asked_for(attack: Attack) -> None:
    what = seen()
    forged = attack.forge(what)
    assert {name: tensor.shape for name, tensor in forged.items()} == {n: t.shape for n, t in what.own.items()}
    assert {tensor.dtype for tensor in forged.values()} == {torch.float32}


def test_the_same_knowledge_forges_the_same(attack: Attack) -> None:
    once, again = attack.forge(seen()), attack.forge(seen())
    assert all(torch.equal(once[name].nan_to_num(7.0), again[name].nan_to_num(7.0)) for name in once)


def test_it_leaves_alone_what_it_sees(attack: Attack) -> None:
    what, untouched = seen(), seen()
    for tensor in attack.forge(what).values():
        tensor.fill_(5.0)
    now, before = [what.own, what.first, *what.honest], [untouched.own, untouched.first, *untouched.honest]
    for one, other in zip(now, before, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in other)


def test_it_needs_no_other_gradient_than_its_own(attack: Attack) -> None:
    assert set(attack.forge(seen(num_honest=1))) == set(seen().own)


def test_something_is_wrong_with_what_it_sends(attack: Attack) -> None:
    """Either the upload is not what an honest worker would send, or it was computed on other samples."""
    batch = dataset_for(small("mlp")).batch(range(8))
    what = seen()
    forged = attack.forge(what)
    is_forged = any(not torch.equal(forged[name], what.own[name]) for name in forged)
    assert is_forged or attack.samples(batch, num_classes=NUM_CLASSES) is not batch


def test_other_samples_are_as_many_and_of_the_same_kind(attack: Attack) -> None:
    batch = dataset_for(small("mlp")).batch(range(8))
    other = attack.samples(batch, num_classes=NUM_CLASSES)
    assert batch.images is not None and other.images is not None
    assert other.images.shape == batch.images.shape
    assert other.labels is not None
    assert bool(((other.labels >= 0) & (other.labels < NUM_CLASSES)).all())


def test_samples_without_labels_are_left_alone(attack: Attack) -> None:
    batch = dataset_for(small("tiny_lstm")).batch(range(4))
    assert attack.samples(batch, num_classes=None) is batch


def test_the_admission_refuses_what_the_attack_says_it_does(attack: Attack) -> None:
    vectors = Vectors.of(small("mlp"))
    blob = encoded(CODECS.build("none"), attack.forge(seen()), seed=0)
    verdict = admit(
        gradient=GradientId(1),
        decoder=open_blob(CODECS.build("none"), range_reader(blob), len(blob), vectors.manifest),
        vectors=vectors, num_samples=8, unit_samples=8,
    )  # fmt: skip
    assert isinstance(verdict, Refused if attack.is_refused else Admitted)
