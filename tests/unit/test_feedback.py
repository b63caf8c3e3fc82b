"""Error feedback: nothing that a codec left out is lost, and nothing is counted that was not sent."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from contract.compressors import CODECS, open_blob, range_reader
from contract.compressors.feedback import Feedback, Residue
from contract.ids import Version
from contract.tensors import Manifest

NONE, HALF = CODECS.build("none"), CODECS.build("fp16")
# Of a value with many digits fp16 leaves something out.
THIRD = torch.full((4,), 1 / 3)


def gradient(weights: Tensor = THIRD, buffer: float = 1 / 3) -> dict[str, Tensor]:
    return {"w": weights, "running": torch.tensor([buffer])}


MANIFEST = Manifest.of(gradient())


def feedback(decay: float = 1.0, max_age: int = 20) -> Feedback:
    return Feedback(manifest=MANIFEST, buffers=("running",), decay=decay, max_age=max_age)


def send(
    to: Feedback, tensors: Mapping[str, Tensor], *, version: int = 0, name: object = None, codec: str = "fp16"
) -> Tensor:
    """What the receiver reads of the weights."""
    how = CODECS.build(codec)
    blob = to.encoded(how, tensors, seed=1, version=Version(version), sent_as=name)
    return open_blob(how, range_reader(blob), len(blob), MANIFEST).read("w", 0, 4)


def left_out(of: Feedback) -> Tensor:
    return torch.zeros(4) if of.residue is None else of.residue.tensors["w"]


def test_what_is_left_out_is_the_difference_to_what_is_read() -> None:
    memory = feedback()
    read = send(memory, gradient())
    assert bool((read != THIRD).all())
    assert torch.equal(left_out(memory), THIRD - read)


@given(values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=12))
def test_in_the_end_everything_has_been_sent(values: list[float]) -> None:
    memory = feedback()
    sent = torch.zeros(4)
    for version, value in enumerate(values):
        sent += send(memory, gradient(torch.full((4,), value)), version=version)
    wanted = torch.full((4,), sum(values))
    assert torch.allclose(sent + left_out(memory), wanted, rtol=1e-5, atol=1e-6 * max(map(abs, values)))


def test_a_value_too_small_to_be_sent_is_sent_when_it_has_become_large_enough() -> None:
    """fp16 takes its steps from the tensor's largest value: 2^-42 beside 1 is nothing, a thousand of them are not."""
    memory = feedback()
    tensor = torch.tensor([1.0, 2.0**-42, 0.0, 0.0])
    reads = [float(send(memory, gradient(tensor), version=version)[1]) for version in range(1000)]
    assert reads[0] == 0.0
    assert sum(reads) + float(left_out(memory)[1]) == pytest.approx(1000 * 2.0**-42, rel=1e-3)
    assert float(left_out(memory)[1]) < 16 * 2.0**-42


def test_it_decays_once_with_each_gradient_and_once_more_with_each_version_missed() -> None:
    for version, times in ((0, 1), (1, 1), (4, 4)):
        memory = feedback(decay=0.5)
        send(memory, gradient(THIRD * 1.01))
        before = left_out(memory)
        read = send(memory, gradient(torch.zeros(4)), version=version)
        assert torch.equal(read + left_out(memory), before * 0.5**times)


def test_it_is_forgotten_when_it_is_too_old() -> None:
    memory = feedback(max_age=3)
    send(memory, gradient())
    assert bool((send(memory, gradient(torch.zeros(4)), version=4) == 0).all())
    assert bool((left_out(memory) == 0).all())


def test_buffers_are_values_and_get_nothing_back() -> None:
    memory = feedback()
    send(memory, gradient())
    assert set(memory.residue.tensors if memory.residue else ()) == {"w"}


def test_a_lossless_codec_sends_what_a_lossy_one_left_and_leaves_nothing() -> None:
    memory = feedback()
    first = send(memory, gradient())
    second = send(memory, gradient(), version=1, codec="none")
    assert torch.allclose(first + second, 2 * THIRD, rtol=1e-7)
    assert memory.residue is None


def test_with_a_lossless_codec_alone_nothing_is_remembered() -> None:
    memory = feedback()
    assert torch.equal(send(memory, gradient(), codec="none"), THIRD)
    assert memory.residue is None


@pytest.mark.parametrize("wild", [torch.inf, -torch.inf, torch.nan])
def test_what_is_not_finite_is_sent_as_it_is_and_does_not_stay(wild: float) -> None:
    memory = feedback()
    send(memory, gradient())
    before = memory.residue
    read = send(memory, gradient(torch.tensor([1.0, wild, 1.0, 1.0])), version=1)
    assert not bool(torch.isfinite(read).all())
    assert memory.residue is before


def test_the_gradient_itself_is_left_alone() -> None:
    tensors = gradient(THIRD.clone())
    memory = feedback()
    send(memory, tensors)
    send(memory, tensors, version=1)
    assert torch.equal(tensors["w"], THIRD)


def test_what_comes_back_at_once_was_never_sent() -> None:
    memory = feedback(decay=0.5)
    send(memory, gradient(), name="first")
    before = memory.residue
    send(memory, gradient(THIRD * 1.01), version=1, name="second")
    memory.give_back("second")
    assert memory.residue is before
    memory.give_back("first")
    assert memory.residue is None


@given(data=st.data(), num_sent=st.integers(1, 6))
def test_what_comes_back_late_leaves_what_the_others_would_have_left(data: st.DataObject, num_sent: int) -> None:
    """But for what the others' codec rounded differently: together, what was read and what is left are the same."""
    lost = data.draw(st.lists(st.sampled_from(range(num_sent)), unique=True))
    values = data.draw(st.lists(st.floats(0.25, 4.0, width=32), min_size=num_sent, max_size=num_sent))
    memory = feedback(decay=0.5)
    owed = torch.zeros(4, dtype=torch.float64)
    for version, value in enumerate(values):
        read = send(memory, gradient(torch.full((4,), value)), version=version, name=version)
        is_used = version not in lost
        owed = owed * 0.5 + (value - read.double() if is_used else 0.0)
    for name in data.draw(st.permutations(range(num_sent))):
        if name in lost:
            memory.give_back(name)
        else:
            memory.settle(name)
    # What came back last is not decayed before the next is sent.
    read = send(memory, gradient(), version=num_sent)
    owed = owed * 0.5 + (THIRD - read).double()
    assert torch.allclose(left_out(memory).double(), owed, rtol=1e-4, atol=1e-6)


def test_what_is_settled_or_unknown_does_not_come_back() -> None:
    memory = feedback()
    send(memory, gradient(), name="first")
    residue = memory.residue
    memory.settle("first")
    memory.give_back("first")
    memory.give_back("never sent")
    assert memory.residue is residue


def test_a_memory_can_be_resumed() -> None:
    first = feedback()
    send(first, gradient())
    residue = first.residue
    assert isinstance(residue, Residue)
    second = Feedback(manifest=MANIFEST, buffers=("running",), decay=1.0, max_age=20, residue=residue)
    assert torch.equal(send(first, gradient(), version=1), send(second, gradient(), version=1))
    assert torch.equal(left_out(first), left_out(second))
