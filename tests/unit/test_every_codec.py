"""What every codec promises. A new one is picked up by its line in the registry, and needs no test of its own."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import pkgutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import contract.compressors
from contract.compressors import CODECS, Codec, Decoder, encoded, open_blob, range_reader
from contract.errors import BlobError
from contract.tensors import Manifest


def normal(*shape: int, scale: float = 1.0, offset: float = 0.0) -> Tensor:
    return torch.empty(shape).normal_(generator=torch.Generator().manual_seed(1)).mul_(scale).add_(offset)


TENSORS = {
    "matrix": normal(64, 48),
    "bias": normal(7),
    "scalar": torch.tensor(0.25),
    "empty": torch.empty(0, 3),
    "kernel": normal(8, 3, 3, 3),
}
TRIALS = {
    "normal": normal(5000),
    "off_centre": normal(5000, offset=1000.0),
    "constant": torch.full((5000,), 0.1),
    "zero": torch.zeros(5000),
    "one_value": torch.tensor([-3.0]),
    "tiny": normal(5000, scale=1e-30),
    "smaller_than_normal": torch.full((100,), 1e-42),
    "huge": normal(5000, scale=1e30),
    "the_largest": torch.tensor([torch.finfo(torch.float32).max, -1.0]),
    "mixed": torch.cat([normal(1000, scale=1e-6), normal(1000, scale=1e4)]),
    "one_outlier": torch.cat([normal(1000, scale=1e-3), torch.tensor([1e6])]),
    "strided": normal(60, 70).t(),
}


@pytest.fixture(params=CODECS.names)
def codec(request: pytest.FixtureRequest) -> Codec:
    return CODECS.build(request.param)


def sent(codec: Codec, tensors: dict[str, Tensor]) -> Decoder:
    blob = encoded(codec, tensors, seed=5)
    return open_blob(codec, range_reader(blob), len(blob), Manifest.of(tensors))


def read_whole(decoder: Decoder, name: str, tensor: Tensor) -> Tensor:
    return decoder.read(name, 0, tensor.numel()).reshape(tensor.shape)


def test_every_codec_of_the_folder_has_its_line() -> None:
    found = set()
    for module in pkgutil.iter_modules(contract.compressors.__path__, "contract.compressors."):
        for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if dataclasses.is_dataclass(member) and hasattr(member, "encode"):
                found.add(member)
    assert found == set(CODECS)


@pytest.mark.parametrize("trial", TRIALS)
def test_what_is_read_lies_within_the_promise(codec: Codec, trial: str) -> None:
    tensor = TRIALS[trial]
    found = read_whole(sent(codec, {"x": tensor}), "x", tensor)
    error = (found.double() - tensor.double()).abs()
    assert bool((error <= codec.error_bound(tensor).double()).all())


@settings(max_examples=60)
@given(values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
@pytest.mark.parametrize("name", CODECS.names)
def test_the_promise_holds_for_any_values(name: str, values: list[float]) -> None:
    tensor = torch.tensor(values, dtype=torch.float32)
    codec = CODECS.build(name)
    error = (read_whole(sent(codec, {"x": tensor}), "x", tensor).double() - tensor.double()).abs()
    assert bool((error <= codec.error_bound(tensor).double()).all())


def test_a_lossless_codec_promises_no_error(codec: Codec) -> None:
    assert codec.lossless is not bool(codec.error_bound(normal(50)).any())


@pytest.mark.parametrize("wild", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_seen(codec: Codec, wild: float) -> None:
    tensor = torch.tensor([1.0, wild, 2.0])
    assert not bool(read_whole(sent(codec, {"x": tensor}), "x", tensor).isfinite().all())


def test_the_form_of_a_blob_follows_from_the_manifest(codec: Codec) -> None:
    manifest = Manifest.of(TENSORS)
    assert Manifest.of(codec.encode(TENSORS, seed=1)).to_json() == codec.blob_manifest(manifest).to_json()
    assert len(encoded(codec, TENSORS, seed=1)) == codec.blob_manifest(manifest).blob_bytes


def test_the_same_tensors_give_the_same_bytes(codec: Codec) -> None:
    assert encoded(codec, TENSORS, seed=3) == encoded(codec, TENSORS, seed=3)


def test_encoding_leaves_the_tensors_alone(codec: Codec) -> None:
    tensor = normal(100)
    before = tensor.clone()
    encoded(codec, {"x": tensor}, seed=0)
    assert torch.equal(tensor, before)


def test_a_range_reads_the_same_alone(codec: Codec) -> None:
    decoder = sent(codec, TENSORS)
    whole = decoder.read("matrix", 0, 64 * 48)
    for start, stop in [(0, 1), (17, 1000), (3071, 3072), (5, 5)]:
        assert torch.equal(decoder.read("matrix", start, stop), whole[start:stop])


def test_what_is_read_may_be_changed(codec: Codec) -> None:
    decoder = sent(codec, TENSORS)
    first = decoder.read("bias", 0, 7)
    expected = first.clone()
    first.fill_(9.0)
    assert torch.equal(decoder.read("bias", 0, 7), expected)


def test_reading_into_memory_reads_the_same(codec: Codec) -> None:
    decoder = sent(codec, TENSORS)
    for name, start, stop in [("matrix", 17, 1000), ("bias", 0, 7), ("kernel", 1, 216), ("empty", 0, 0)]:
        room = torch.full((stop - start,), math.nan)
        decoder.read_into(name, start, stop, room)
        assert torch.equal(room, decoder.read(name, start, stop))


def test_a_blob_is_read_wherever_it_lies(codec: Codec) -> None:
    """In memory that may not be written to, and at an address that suits no number."""
    blob = encoded(codec, TENSORS, seed=5)
    askew = memoryview(bytes(1) + blob)[1:]
    decoder = open_blob(codec, range_reader(askew), len(blob), Manifest.of(TENSORS))
    for name, tensor in TENSORS.items():
        assert torch.equal(decoder.read(name, 0, tensor.numel()), sent(codec, TENSORS).read(name, 0, tensor.numel()))


def test_what_is_read_is_float32(codec: Codec) -> None:
    assert sent(codec, TENSORS).read("bias", 0, 7).dtype == torch.float32


@pytest.mark.parametrize("name", TENSORS)
def test_adding_is_reading_and_adding(codec: Codec, name: str) -> None:
    decoder = sent(codec, TENSORS)
    total = normal(TENSORS[name].numel())
    expected = total + 0.3 * decoder.read(name, 0, TENSORS[name].numel())
    decoder.add_to(name, total, weight=0.3)
    torch.testing.assert_close(total, expected)


def test_a_tensor_larger_than_a_chunk_is_added_whole(codec: Codec) -> None:
    tensor = normal(600, 1000)
    total = torch.zeros(600_000)
    decoder = sent(codec, {"x": tensor})
    decoder.add_to("x", total, weight=1.0)
    assert torch.equal(total, decoder.read("x", 0, 600_000))


@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_a_blob_of_another_length_is_refused(codec: Codec, change: int) -> None:
    blob = encoded(codec, TENSORS, seed=0)
    other = blob[:change] if change < 0 else blob + bytes(change)
    with pytest.raises(BlobError):
        open_blob(codec, range_reader(other), len(other), Manifest.of(TENSORS))


def test_a_blob_of_another_model_is_refused(codec: Codec) -> None:
    blob = encoded(codec, {"x": normal(10)}, seed=0)
    with pytest.raises(BlobError):
        open_blob(codec, range_reader(blob), len(blob), Manifest.of({"y": normal(10)}))


def test_a_blob_that_ends_while_it_is_read_is_an_error(codec: Codec) -> None:
    blob = encoded(codec, {"x": normal(1000)}, seed=0)
    header = len(codec.blob_manifest(Manifest.of({"x": normal(1000)})).header())
    with pytest.raises(BlobError):
        open_blob(codec, range_reader(blob[: header + 20]), len(blob), Manifest.of({"x": normal(1000)})).read(
            "x", 0, 1000
        )


def test_any_bytes_of_the_right_form_decode_to_something(codec: Codec) -> None:
    """Numbers of a stranger are claims: decoding must not fail on them, the admission judges them."""
    manifest = Manifest.of(TENSORS)
    wire = codec.blob_manifest(manifest)
    noise = torch.randint(0, 256, (wire.num_bytes,), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    blob = wire.header() + noise.numpy().tobytes()
    decoder = open_blob(codec, range_reader(blob), len(blob), manifest)
    assert decoder.read("matrix", 0, 64 * 48).numel() == 64 * 48


@pytest.mark.parametrize(("name", "num_bytes"), [("none", 4), ("fp16", 2)])
def test_bytes_per_value(name: str, num_bytes: int) -> None:
    tensor = normal(100_000)
    blob = encoded(CODECS.build(name), {"x": tensor}, seed=0)
    assert len(blob) == pytest.approx(num_bytes * 100_000, rel=0.01)
