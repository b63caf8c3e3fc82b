from __future__ import annotations

import hashlib
import json
import struct
import tracemalloc
from collections.abc import Iterator

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import BlobError
from contract.tensors import (
    DTYPES,
    MAX_HEADER_BYTES,
    MAX_TENSORS,
    BlobFault,
    Manifest,
    TensorSpec,
    check,
    join,
    pack,
    sha256,
    split,
    unpack,
)

ENOUGH = 1 << 20

PAIR = {
    "generator.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "generator.bias": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "steps": torch.tensor(7),
    "empty": torch.zeros(0, 4),
    "mask": torch.tensor([True, False]),
}


def _equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    raw = [tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (left, right)]
    return torch.equal(*raw)


def _refused(blob: bytes | bytearray, manifest: Manifest, *, max_bytes: int = ENOUGH) -> str:
    with pytest.raises(BlobError) as caught:
        unpack(blob, manifest, max_bytes=max_bytes)
    return str(caught.value)


def _with_header(table: object, values: bytes = b"") -> bytes:
    header = table if isinstance(table, bytes) else json.dumps(table).encode()
    return struct.pack("<Q", len(header)) + header + values


def _entry(start: int, end: int, *, dtype: str = "F32", shape: tuple[int, ...] = (2,)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


TWO = Manifest.of({"a": torch.zeros(2), "b": torch.zeros(2)})


@st.composite
def tensors(draw: st.DrawFn) -> dict[str, torch.Tensor]:
    # 11 letters are too few for `__metadata__`, which is no name.
    named = st.text(min_size=1, max_size=11).filter(str.isprintable)
    found = {}
    for name in draw(st.lists(named, max_size=5, unique=True)):
        dtype = draw(st.sampled_from(list(DTYPES.values())))
        shape = draw(st.lists(st.integers(0, 4), max_size=4))
        count = 1
        for size in shape:
            count *= size
        top = 2 if dtype is torch.bool else 256
        raw = draw(st.lists(st.integers(0, top - 1), min_size=count * dtype.itemsize, max_size=count * dtype.itemsize))
        tensor = torch.tensor(raw, dtype=torch.uint8).view(dtype).reshape(shape)
        found[name] = tensor.transpose(0, -1) if draw(st.booleans()) and len(shape) > 1 else tensor
    return found


@given(tensors())
def test_what_is_packed_comes_back(given_tensors: dict[str, torch.Tensor]) -> None:
    found = unpack(pack(given_tensors), Manifest.of(given_tensors), max_bytes=ENOUGH)
    assert list(found) == list(given_tensors)
    assert all(_equal(found[name], tensor) for name, tensor in given_tensors.items())


@given(tensors())
def test_the_bytes_are_those_of_safetensors(given_tensors: dict[str, torch.Tensor]) -> None:
    apart = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in given_tensors.items()}
    assert pack(given_tensors) == safetensors.torch.save(apart)


@given(tensors())
def test_the_order_of_the_tensors_does_not_change_the_bytes(given_tensors: dict[str, torch.Tensor]) -> None:
    assert pack(given_tensors) == pack(dict(reversed(given_tensors.items())))


@given(tensors())
def test_a_manifest_survives_json(given_tensors: dict[str, torch.Tensor]) -> None:
    manifest = Manifest.of(given_tensors)
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert Manifest.from_json(json.loads(manifest.to_json())) == manifest


@given(tensors())
def test_a_manifest_knows_the_size_of_its_blob(given_tensors: dict[str, torch.Tensor]) -> None:
    manifest = Manifest.of(given_tensors)
    assert manifest.blob_bytes == len(pack(given_tensors))
    assert manifest.num_values == sum(tensor.numel() for tensor in given_tensors.values())


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_a_blob_error(blob: bytes) -> None:
    _refused(blob, Manifest.of(PAIR))


@given(st.binary(max_size=300), st.integers(0, 400))
def test_an_arbitrary_header_of_the_right_length_is_a_blob_error(content: bytes, length: int) -> None:
    _refused(struct.pack("<Q", length) + content.ljust(400, b" "), TWO)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "dtype", "shape"]), inner),
    max_leaves=12,
)


@given(_JSON)
def test_an_arbitrary_json_header_is_a_blob_error(table: object) -> None:
    _refused(_with_header(table, bytes(16)), TWO)


@given(st.data())
def test_a_mutated_blob_is_a_blob_error_or_differs_in_values_alone(data: st.DataObject) -> None:
    blob = bytearray(pack(PAIR))
    manifest = Manifest.of(PAIR)
    for place in data.draw(st.lists(st.integers(0, len(blob) - 5), min_size=1, max_size=4)):
        match data.draw(st.sampled_from(["set", "insert", "delete"])):
            case "set":
                blob[place] = data.draw(st.integers(0, 255))
            case "insert":
                blob.insert(place, data.draw(st.integers(0, 255)))
            case _:
                del blob[place]
    try:
        found = unpack(blob, manifest, max_bytes=ENOUGH)
    except BlobError:
        return
    assert Manifest.of(found) == manifest


@given(_JSON)
def test_an_arbitrary_manifest_is_a_blob_error(document: object) -> None:
    with pytest.raises(BlobError):
        Manifest.from_json(json.dumps({"tensors": [document]}))
    with pytest.raises(BlobError):
        Manifest.from_json(json.dumps(document))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_for_a_manifest_are_a_blob_error(document: bytes) -> None:
    with pytest.raises(BlobError):
        Manifest.from_json(document)


def test_tensors_that_share_memory_are_packed_twice() -> None:
    tied = torch.ones(3)
    found = unpack(pack({"a": tied, "b": tied}), Manifest.of({"a": tied, "b": tied}), max_bytes=ENOUGH)
    assert torch.equal(found["a"], found["b"])


def test_a_parameter_is_packed_without_its_history() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    found = unpack(pack({"w": weight * 2}), Manifest.of({"w": weight}), max_bytes=ENOUGH)
    assert found["w"].tolist() == [2.0, 2.0]
    assert not found["w"].requires_grad


def test_a_writable_blob_is_not_copied() -> None:
    blob = bytearray(pack(PAIR))
    found = unpack(blob, Manifest.of(PAIR), max_bytes=ENOUGH)
    start = Manifest.of(PAIR).offsets()["generator.weight"]
    blob[start : start + 4] = struct.pack("<f", 99.0)
    assert found["generator.weight"][0, 0] == 99.0


def test_a_blob_of_bytes_is_never_written_to() -> None:
    blob = pack(PAIR)
    before = bytes(bytearray(blob))
    unpack(blob, Manifest.of(PAIR), max_bytes=ENOUGH)["generator.weight"].add_(1)
    assert blob == before


def test_a_blob_at_an_odd_address_is_read_rightly() -> None:
    view = memoryview(bytearray(b"x" + pack(PAIR)))[1:]
    found = unpack(view, Manifest.of(PAIR), max_bytes=ENOUGH)
    assert found["steps"].data_ptr() % 8 == 0
    assert found["steps"].item() == 7


def test_a_range_of_a_tensor_is_found_by_its_offset() -> None:
    start = Manifest.of(PAIR).offsets()["generator.weight"]
    assert struct.unpack_from("<6f", pack(PAIR), start) == (0, 1, 2, 3, 4, 5)


def test_a_blob_over_the_limit_is_refused_before_it_is_read() -> None:
    assert _refused(b"\xff" * 100, TWO, max_bytes=99) == "100 bytes are more than the 99 that are accepted here"


def test_a_header_over_the_limit_is_refused_before_it_is_parsed() -> None:
    blob = struct.pack("<Q", MAX_HEADER_BYTES + 1) + bytes(100)
    assert "the header claims 16777217 bytes" in _refused(blob, TWO)


def test_a_header_far_longer_than_its_manifest_needs_is_not_parsed() -> None:
    blob = _with_header(b"[" * 10_000)
    assert "the header has 10000 bytes instead of the" in _refused(blob, TWO)


def test_a_deeply_nested_header_is_a_blob_error() -> None:
    assert _refused(_with_header(b"[" * 4_000), TWO) == BlobFault.HEADER_UNREADABLE


def test_a_deeply_nested_value_is_a_blob_error() -> None:
    shape = b"[" * 900 + b"]" * 900
    header = b'{"a":{"dtype":"F32","shape":%b,"data_offsets":[0,8]},"b":{}}' % shape
    assert "the shape is something else" in _refused(_with_header(header, bytes(16)), TWO)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([1, 2], "the header is not a table of tensors"),
        ({"a": _entry(0, 8)}, "tensor 'b' is missing"),
        ({"a": _entry(0, 8), "b": _entry(8, 16), "c": _entry(16, 24)}, "tensor 'c' is not in the manifest"),
        ({"a": _entry(0, 8, dtype="I32"), "b": _entry(8, 16)}, "tensor 'a': the type is 'I32', the manifest says F32"),
        (
            {"a": _entry(0, 8, shape=(1, 2)), "b": _entry(8, 16)},
            "tensor 'a': the shape is [1, 2], the manifest says [2]",
        ),
        ({"a": _entry(0, 8), "b": _entry(4, 12)}, "tensor 'b': the byte range is [4, 12], the manifest says [8, 16]"),
        ({"a": _entry(0, 8), "b": 5}, "tensor 'b': the type is None, the manifest says F32"),
        ({"__metadata__": {"x": "y"}, "a": _entry(0, 8), "b": _entry(8, 16)}, BlobFault.METADATA.value),
        ({"b": _entry(8, 16), "a": _entry(0, 8)}, BlobFault.OTHER_LAYOUT.value),
        (b'{"a":{},"a":{}}', "tensor 'a' is named twice"),
        (b"{", BlobFault.HEADER_UNREADABLE.value),
        (b"\xff\xfe\x00", BlobFault.HEADER_UNREADABLE.value),
    ],
)
def test_a_header_that_differs_from_its_manifest_is_named(table: object, said: str) -> None:
    assert _refused(_with_header(table, bytes(16)), TWO) == said


def test_trailing_bytes_are_refused() -> None:
    assert _refused(pack(PAIR) + b"x", Manifest.of(PAIR)) == "1 bytes follow after the last tensor"


def test_a_blob_that_breaks_off_is_refused() -> None:
    blob = pack(PAIR)
    said = f"cut short: {len(blob) - 1} bytes, of the {len(blob)} that the manifest implies"
    assert _refused(blob[:-1], Manifest.of(PAIR)) == said


def test_truth_values_other_than_0_and_1_are_refused() -> None:
    blob = bytearray(pack({"mask": torch.tensor([True])}))
    blob[-1] = 2
    assert "truth values" in _refused(blob, Manifest.of({"mask": torch.tensor([True])}))


def test_check_accepts_a_good_blob_without_making_tensors() -> None:
    check(pack(PAIR), Manifest.of(PAIR), max_bytes=ENOUGH)


def test_a_hostile_name_is_short_and_plain_in_the_message() -> None:
    said = _refused(_with_header({"\x1b[2J" + "\u202e" * 3000: 1}, bytes(16)), TWO)
    assert said.isascii()
    assert len(said) < 120


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\x00", "\u202e", "\ud800", "__metadata__"])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(BlobError, match="cannot name a tensor"):
        pack({name: torch.zeros(1)})


def test_a_type_that_cannot_travel_is_refused() -> None:
    with pytest.raises(BlobError, match=r"type 'torch\.complex64' cannot travel"):
        pack({"z": torch.zeros(1, dtype=torch.complex64)})


def test_a_sparse_tensor_is_refused() -> None:
    with pytest.raises(BlobError, match="not dense"):
        pack({"s": torch.eye(2).to_sparse()})


@pytest.mark.parametrize("shape", [[-1], [1.0], [True], ["1"], [None], [1] * 17, [[1]]])
def test_a_shape_that_is_no_shape_is_refused(shape: object) -> None:
    with pytest.raises(BlobError, match="is no shape"):
        Manifest.from_json({"tensors": [{"name": "a", "dtype": "F32", "shape": shape}]})


@pytest.mark.parametrize("shape", [[2**40], [2**62, 2**62], [0, 2**62, 2**62]])
def test_a_shape_that_no_machine_can_hold_is_refused(shape: list[int]) -> None:
    with pytest.raises(BlobError, match="are accepted here"):
        Manifest.from_json({"tensors": [{"name": "a", "dtype": "F32", "shape": shape}]})


def test_a_manifest_over_the_given_limit_is_refused() -> None:
    with pytest.raises(BlobError, match="16 bytes are more than the 15"):
        Manifest.from_json(TWO.to_json(), max_bytes=15)


def test_a_manifest_of_too_many_tensors_is_refused() -> None:
    row = {"name": "a", "dtype": "F32", "shape": []}
    with pytest.raises(BlobError, match="10001 tensors are more than 10000"):
        Manifest.from_json({"tensors": [row] * (MAX_TENSORS + 1)})


def test_a_manifest_with_a_name_twice_is_refused() -> None:
    spec = TensorSpec(name="a", dtype="F32", shape=())
    with pytest.raises(BlobError, match="named twice"):
        Manifest(tensors=(spec, spec))


def test_a_manifest_with_more_to_say_is_refused() -> None:
    with pytest.raises(BlobError, match="not a list of tensors"):
        Manifest.from_json({"tensors": [{"name": "a", "dtype": "F32", "shape": [], "pickle": "x"}]})


def test_the_largest_manifest_fits_the_limit_on_headers() -> None:
    names = ("\U0001f600" * 190 + f"{number:010d}" for number in range(MAX_TENSORS))
    manifest = Manifest(tensors=tuple(TensorSpec(name=name, dtype="BOOL", shape=(1,) * 16) for name in names))
    assert len(manifest.header()) < MAX_HEADER_BYTES
    assert Manifest.from_json(manifest.to_json()) == manifest


@given(st.binary(max_size=100), st.integers(1, 40))
def test_parts_join_to_the_blob(blob: bytes, part_bytes: int) -> None:
    parts = split(blob, part_bytes)
    assert all(0 < len(part) <= part_bytes for _, part in parts)
    assert join(parts) == blob


def test_parts_are_views() -> None:
    blob = bytearray(b"abcd")
    parts = split(blob, 3)
    blob[0] = ord("z")
    assert [(number, bytes(part)) for number, part in parts] == [(0, b"zbc"), (1, b"d")]


@pytest.mark.parametrize("numbers", [[1, 0], [0, 0], [0, 2], [1]])
def test_parts_out_of_order_are_refused(numbers: list[int]) -> None:
    with pytest.raises(BlobError, match="came where part"):
        join([(number, b"x") for number in numbers])


def test_parts_beyond_the_limit_are_refused_while_they_come() -> None:
    with pytest.raises(BlobError, match="110 bytes are more than the 100"):
        join(((number, b"x" * 10) for number in range(10**9)), max_bytes=100)


def test_a_part_has_at_least_a_byte() -> None:
    with pytest.raises(ValueError, match="part_bytes"):
        split(b"abc", 0)


@given(st.binary(max_size=100), st.integers(1, 40))
def test_the_checksum_of_the_parts_is_that_of_the_whole(blob: bytes, part_bytes: int) -> None:
    digest = hashlib.sha256(blob).digest()
    assert sha256(blob) == sha256(part for _, part in split(blob, part_bytes)) == digest


@pytest.fixture
def large() -> Iterator[dict[str, torch.Tensor]]:
    tracemalloc.start()
    yield {"w": torch.zeros(2 << 20), "b": torch.zeros(1 << 20)}
    tracemalloc.stop()


def test_packing_copies_a_large_blob_once(large: dict[str, torch.Tensor]) -> None:
    num_bytes = len(pack(large))
    assert num_bytes <= tracemalloc.get_traced_memory()[1] < 1.1 * num_bytes


def test_unpacking_copies_nothing_of_a_joined_blob(large: dict[str, torch.Tensor]) -> None:
    blob = join(split(pack(large), 1 << 20))
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    unpack(blob, Manifest.of(large), max_bytes=len(blob))
    assert tracemalloc.get_traced_memory()[1] - before < len(blob) / 100
