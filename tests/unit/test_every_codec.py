"""What every codec promises. A new one is picked up by its line in the registry, and needs no test of its own."""

from __future__ import annotations

import contextlib
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
from contract.compressors import CODECS, Codec, Decoder, blob_manifest, encoded, open_blob, range_reader
from contract.errors import BlobError
from contract.tensors import Manifest, TensorSpec
from tests.codec_cases import CASES, normal
from tests.golden.store import Golden

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
    "matrix": normal(90, 130),
    "of_low_rank": normal(200, 3) @ normal(3, 100),
    "huge_matrix": normal(50, 60, scale=1e37),
    "tiny_matrix": normal(50, 60, scale=1e-41),
    "zero_matrix": torch.zeros(50, 60),
    "more_than_a_stretch": normal(300_000) * torch.linspace(0.0, 1.0, 300_000),
}


@pytest.fixture(params=CASES)
def codec(request: pytest.FixtureRequest) -> Codec:
    return CASES[request.param].build()


def sent(codec: Codec, tensors: dict[str, Tensor]) -> Decoder:
    blob = encoded(codec, tensors, seed=5)
    return open_blob(codec, range_reader(blob), len(blob), Manifest.of(tensors))


def error_bound(codec: Codec, tensor: Tensor) -> Tensor:
    [spec] = Manifest.of({"x": tensor}).tensors
    return codec.error_bound(tensor).double() if codec.suits(spec) else torch.zeros(())


def read_whole(decoder: Decoder, name: str, tensor: Tensor) -> Tensor:
    return decoder.read(name, 0, tensor.numel()).reshape(tensor.shape)


def test_what_was_sent_years_ago_is_read_as_it_was_then(codec: Codec, request: pytest.FixtureRequest) -> None:
    case = request.node.callspec.params["codec"]
    golden = Golden.load(case)
    assert golden is not None, f"no golden file; make one with `python -m tests.golden.store {case}` and commit it"
    assert golden.codec() == codec
    found = golden.read()
    for name, values in golden.values.items():
        assert torch.equal(found[name], values), name


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
    assert bool((error <= error_bound(codec, tensor)).all())


@pytest.mark.parametrize("trial", TRIALS)
def test_what_is_left_out_is_no_larger_than_what_was_there(codec: Codec, trial: str) -> None:
    tensor = TRIALS[trial]
    left_out = tensor.double() - read_whole(sent(codec, {"x": tensor}), "x", tensor).double()
    # Numbers below the smallest normal one are coarse by nature.
    rounding = 2.0**-126 * tensor.numel()
    assert float(left_out.norm()) <= float(tensor.double().norm()) * (1 + 1e-5) + rounding


@settings(max_examples=60)
@given(values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
@pytest.mark.parametrize("name", CODECS.names)
def test_the_promise_holds_for_any_values(name: str, values: list[float]) -> None:
    tensor = torch.tensor(values, dtype=torch.float32)
    codec = CODECS.build(name)
    error = (read_whole(sent(codec, {"x": tensor}), "x", tensor).double() - tensor.double()).abs()
    assert bool((error <= error_bound(codec, tensor)).all())


def test_a_lossless_codec_promises_no_error(codec: Codec) -> None:
    assert codec.lossless is not bool(codec.error_bound(normal(128, 64)).any())


def test_a_sparse_codec_reads_most_values_as_zero(codec: Codec) -> None:
    tensor = normal(128, 64)
    num_zero = int((read_whole(sent(codec, {"x": tensor}), "x", tensor) == 0.0).sum())
    assert codec.is_sparse is (num_zero > tensor.numel() / 2)


def test_a_tensor_suits_a_codec_that_makes_it_shorter(codec: Codec) -> None:
    for size in [*range(200), 5000]:
        for shape in [(size,), (size, 7)]:
            spec = TensorSpec(name="x", dtype="F32", shape=shape)
            if codec.suits(spec):
                num_bytes = codec.wire_manifest(Manifest(tensors=(spec,))).num_bytes
                assert num_bytes < spec.num_bytes or (codec.lossless and num_bytes == spec.num_bytes)


def test_values_travel_whole_beside_directions(codec: Codec) -> None:
    tensors = TENSORS | {"running_var": normal(500).abs()}
    blob = encoded(codec, tensors, seed=5, whole=["running_var"])
    decoder = open_blob(codec, range_reader(blob), len(blob), Manifest.of(tensors), whole=["running_var"])
    assert torch.equal(decoder.read("running_var", 0, 500), tensors["running_var"])
    assert torch.equal(decoder.read("matrix", 5, 2000), sent(codec, TENSORS).read("matrix", 5, 2000))


def test_a_blob_of_values_alone_is_none_of_the_codecs(codec: Codec) -> None:
    blob = encoded(codec, TENSORS, seed=5, whole=list(TENSORS))
    assert blob == encoded(CODECS.build("none"), TENSORS, seed=0)
    decoder = open_blob(codec, range_reader(blob), len(blob), Manifest.of(TENSORS), whole=list(TENSORS))
    assert torch.equal(read_whole(decoder, "kernel", TENSORS["kernel"]), TENSORS["kernel"])


@pytest.mark.parametrize("wild", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_seen(codec: Codec, wild: float) -> None:
    tensor = torch.tensor([1.0, wild, 2.0])
    assert not bool(read_whole(sent(codec, {"x": tensor}), "x", tensor).isfinite().all())


def test_the_form_of_a_blob_follows_from_the_manifest(codec: Codec) -> None:
    form = blob_manifest(codec, Manifest.of(TENSORS))
    blob = encoded(codec, TENSORS, seed=1)
    assert blob.startswith(form.header())
    assert len(blob) == form.blob_bytes


def test_two_threads_read_and_add_what_one_does(codec: Codec) -> None:
    tensor = normal(701, 999)
    decoder = sent(codec, {"x": tensor})
    found = []
    threads = torch.get_num_threads()
    for num_threads in (1, 2):
        torch.set_num_threads(num_threads)
        total = normal(tensor.numel())
        decoder.add_to("x", total, weight=0.3)
        found.append((decoder.read("x", 3, 700_000), total))
    torch.set_num_threads(threads)
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_the_same_tensors_give_the_same_bytes(codec: Codec) -> None:
    assert encoded(codec, TENSORS, seed=3) == encoded(codec, TENSORS, seed=3)


def test_encoding_leaves_the_tensors_alone(codec: Codec) -> None:
    tensor = normal(100)
    before = tensor.clone()
    encoded(codec, {"x": tensor}, seed=0)
    assert torch.equal(tensor, before)


def test_a_range_reads_the_same_alone(codec: Codec) -> None:
    tensors = TENSORS | {"long": normal(110, 2500)}
    for name, size in [("matrix", 64 * 48), ("long", 275_000)]:
        whole = sent(codec, tensors).read(name, 0, size)
        decoder = sent(codec, tensors)
        for start, stop in [(0, 1), (17, 1000), (size - 1, size), (5, 5), (1024, size), (size // 3, size // 2)]:
            assert torch.equal(decoder.read(name, start, stop), whole[start:stop])


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
        open_blob(codec, range_reader(blob), len(blob), Manifest.of({"x": normal(1000)}))


def test_a_blob_that_ends_while_it_is_read_is_an_error(codec: Codec) -> None:
    blob = encoded(codec, {"x": normal(1000)}, seed=0)
    header = len(blob_manifest(codec, Manifest.of({"x": normal(1000)})).header())
    with pytest.raises(BlobError):
        open_blob(codec, range_reader(blob[: header + 20]), len(blob), Manifest.of({"x": normal(1000)})).read(
            "x", 0, 1000
        )


def test_any_bytes_of_the_right_form_are_read_or_refused(codec: Codec) -> None:
    """Numbers of a stranger are claims; the admission judges those that can be read."""
    manifest = Manifest.of(TENSORS)
    wire = blob_manifest(codec, manifest)
    noise = torch.randint(0, 256, (wire.num_bytes,), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    blob = wire.header() + noise.numpy().tobytes()
    with contextlib.suppress(BlobError):
        decoder = open_blob(codec, range_reader(blob), len(blob), manifest)
        assert decoder.read("matrix", 0, 64 * 48).numel() == 64 * 48


@pytest.mark.parametrize(
    ("name", "options", "num_bytes"),
    [
        ("none", {}, 4),
        ("fp16", {}, 2),
        ("bf16", {}, 2),
        ("int8", {}, 1 + 4 / 256),
        ("topk", {}, 0.08),
        ("sparse", {}, 4 / 146),
        ("sparse", {"bits": 4}, 64 * 16 / 8 / 4096 + 64 / 2**18),
        ("sparse", {"bits": 8}, 64 * 20 / 8 / 4096 + 1024 / 2**18),
        ("sign", {}, 1 / 8 + 4 / 1024),
        ("powersgd", {}, 4 * 4 * 2000 / 1_000_000),
    ],
)
def test_bytes_per_value(name: str, options: dict[str, object], num_bytes: float) -> None:
    tensor = normal(1000, 1000)
    blob = encoded(CODECS.build(name, options), {"x": tensor}, seed=0)
    assert len(blob) == pytest.approx(num_bytes * 1_000_000, rel=0.015)
