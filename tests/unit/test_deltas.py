"""What leads from version to version: everybody comes to the same weights, and nothing is lost for good."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from contract.compressors import CODECS
from contract.deltas import NO_DELTAS, DeltaForm, slabs
from contract.errors import BlobError
from coordinator.downlink import told
from coordinator.vectors import Vectors
from tests.unit.trained import small

CODEC = "sign"
LOSSY = [name for name in CODECS.names if name != NO_DELTAS]
WORKLOAD = small("dcgan")


def form(codec: str = CODEC) -> DeltaForm:
    made = DeltaForm.of(WORKLOAD, codec, {})
    assert made is not None
    return made


def copied(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in weights.items()}


def step(
    weights: dict[str, Tensor], left_out: dict[str, Tensor], updates: dict[str, Tensor], seed: int, codec: str = CODEC
) -> bytes:
    """As the coordinator does it; answers with the delta."""
    frames = []
    for frame in form(codec).frames:
        before = {name: weights[name].clone() for name in frame.names}
        for name in frame.names:
            weights[name].add_(updates[name])
        if frame.replaces:
            frames.append(frame.encode(weights, seed=seed))
        else:
            frames.append(told(frame, before=before, weights=weights, left_out=left_out, seed=seed))
    return b"".join(frames)


@pytest.mark.parametrize("codec", LOSSY)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**31), scales=st.lists(st.sampled_from([1e-8, 1e-4, 1.0, 1e4]), min_size=1, max_size=4))
def test_a_worker_has_the_coordinators_weights_to_the_bit(codec: str, seed: int, scales: list[float]) -> None:
    generator = torch.Generator().manual_seed(seed)
    coordinators = WORKLOAD.initial(0)
    workers, left_out = copied(coordinators), {name: torch.zeros_like(one) for name, one in coordinators.items()}
    for number, scale in enumerate(scales):
        updates = {name: scale * torch.randn(one.shape, generator=generator) for name, one in coordinators.items()}
        form(codec).apply(step(coordinators, left_out, updates, number, codec), workers)
        assert all(torch.equal(workers[name], coordinators[name]) for name in coordinators)


@pytest.mark.parametrize("codec", LOSSY)
def test_what_a_codec_leaves_out_comes_with_a_later_update(codec: str) -> None:
    weights = WORKLOAD.initial(0)
    exact, left_out = copied(weights), {name: torch.zeros_like(one) for name, one in weights.items()}
    generator = torch.Generator().manual_seed(1)
    for number in range(12):
        updates = {name: 1e-3 * torch.randn(one.shape, generator=generator) for name, one in weights.items()}
        for name, update in updates.items():
            exact[name].add_(update)
        step(weights, left_out, updates, number, codec)
    for frame in form(codec).frames:
        for name in frame.names:
            rest = torch.zeros(()) if frame.replaces else left_out[name]
            torch.testing.assert_close(weights[name] + rest, exact[name], rtol=1e-5, atol=1e-6)


def test_every_parameter_and_buffer_is_in_one_frame() -> None:
    frames = form().frames
    assert sorted(name for frame in frames for name in frame.names) == sorted(WORKLOAD.manifest().names)
    assert {name for frame in frames if frame.replaces for name in frame.names} == set(WORKLOAD.buffers())


def test_the_frames_stand_in_the_order_of_the_steps() -> None:
    vectors = Vectors.of(WORKLOAD)
    assert [frame.names for frame in form().frames] == [
        slab for sizes in vectors.sizes.values() for slab in slabs(sizes)
    ]


def test_a_large_tensor_is_a_slab_of_its_own() -> None:
    assert list(slabs({"c": 1, "a": 1, "b": 1 << 23})) == [("a",), ("b",), ("c",)]


@pytest.mark.parametrize("change", [lambda delta: delta[:-1], lambda delta: delta + b"\0", lambda delta: b""])
def test_a_delta_of_another_length_is_refused(change: object) -> None:
    weights = WORKLOAD.initial(0)
    left_out = {name: torch.zeros_like(one) for name, one in weights.items()}
    delta = step(weights, left_out, {name: torch.ones_like(one) for name, one in weights.items()}, 0)
    with pytest.raises(BlobError, match=f"of the {len(delta)} that the run's codec makes"):
        form().apply(change(delta), weights)  # type: ignore[operator]


def test_a_frame_of_another_form_is_refused() -> None:
    with pytest.raises(BlobError, match="not laid out"):
        form().apply(bytes(form().num_bytes), WORKLOAD.initial(0))


def test_none_means_that_versions_travel_whole() -> None:
    assert DeltaForm.of(WORKLOAD, "none", {}) is None
