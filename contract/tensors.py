"""Named tensors <-> bytes, in the safetensors format; manifests, checksums and parts.

A blob has exactly one form: the header that its manifest implies, then the values, nothing else. So the same tensors
are the same bytes everywhere and for ever, a range of a tensor can be read without its neighbours, and bytes from a
volunteer are compared with what they must be instead of being believed. The layout is safetensors' own (widest type
first, then by name), written here so that an upgrade of that library cannot change a checksum.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import struct
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import torch
from torch import Tensor

from contract.errors import BlobError

Buffer = bytes | bytearray | memoryview

MAX_TENSORS: Final = 10_000
MAX_NAME_LETTERS: Final = 200
MAX_DIMENSIONS: Final = 16
# No run has parameters by the tebibyte; a manifest that says so would only make arithmetic overflow elsewhere.
MAX_BYTES: Final = 1 << 40
# Above the longest header and manifest that the limits on tensors and names allow.
MAX_HEADER_BYTES: Final = 16 << 20

# In the order in which safetensors lays them out.
DTYPES: Final[Mapping[str, torch.dtype]] = {
    "I64": torch.int64,
    "F64": torch.float64,
    "F32": torch.float32,
    "I32": torch.int32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_DTYPE_NAMES: Final = {dtype: name for name, dtype in DTYPES.items()}
_PLACES: Final = {name: place for place, name in enumerate(DTYPES)}
_LENGTH: Final = struct.Struct("<Q")
_ALIGNMENT: Final = 8


class BlobFault(StrEnum):
    """Every message of a BlobError that this file raises; the gaps are in braces."""

    TOO_LARGE = "{num_bytes} bytes are more than the {max_bytes} that are accepted here"
    TOO_SHORT = "cut short: {num_bytes} bytes, of the {expected} that the manifest implies"
    TRAILING = "{surplus} bytes follow after the last tensor"
    HEADER_TOO_LARGE = "the header claims {num_bytes} bytes, more than any manifest needs"
    HEADER_LENGTH = "the header has {num_bytes} bytes instead of the {expected} that the manifest implies"
    HEADER_UNREADABLE = "the header cannot be read as JSON"
    HEADER_SHAPE = "the header is not a table of tensors"
    METADATA = "the header carries metadata, which has no place here"
    MISSING = "tensor {name} is missing"
    EXTRA = "tensor {name} is not in the manifest"
    TWICE = "tensor {name} is named twice"
    MISMATCH = "tensor {name}: the {what} is {found}, the manifest says {expected}"
    OTHER_LAYOUT = "the header is not laid out as `contract.tensors.pack` does"
    NOT_BOOLEAN = "tensor {name} holds truth values other than 0 and 1"
    MANIFEST_UNREADABLE = "the manifest cannot be read as JSON"
    MANIFEST_SHAPE = "the manifest is not a list of tensors with name, dtype and shape"
    TOO_MANY = "{count} tensors are more than {limit}"
    BAD_NAME = "{name} cannot name a tensor: 1 to {limit} printable letters, and not `__metadata__`"
    BAD_DTYPE = "tensor {name}: type {found} cannot travel; these can: {known}"
    BAD_SHAPE = "tensor {name}: {found} is no shape: at most {limit} sizes, none of them negative"
    NOT_DENSE = "tensor {name} is not dense; call .to_dense() before packing"
    PART_ORDER = "part {found} came where part {expected} belongs"

    def error(self, **gaps: object) -> BlobError:
        return BlobError(self.format(**gaps))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    name: str
    dtype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= MAX_NAME_LETTERS or not self.name.isprintable() or self.name == "__metadata__":
            raise BlobFault.BAD_NAME.error(name=_short(self.name), limit=MAX_NAME_LETTERS)
        if self.dtype not in DTYPES:
            raise BlobFault.BAD_DTYPE.error(name=_short(self.name), found=_short(self.dtype), known=", ".join(DTYPES))
        if len(self.shape) > MAX_DIMENSIONS or any(type(size) is not int or size < 0 for size in self.shape):
            raise BlobFault.BAD_SHAPE.error(
                name=_short(self.name), found=_short(list(self.shape)), limit=MAX_DIMENSIONS
            )
        # Over the sizes that are not 0: torch computes strides from them even where the tensor is empty.
        extent = math.prod(size for size in self.shape if size) * self.itemsize
        if extent > MAX_BYTES:
            raise BlobFault.TOO_LARGE.error(num_bytes=extent, max_bytes=MAX_BYTES)

    @property
    def itemsize(self) -> int:
        return DTYPES[self.dtype].itemsize

    @property
    def num_values(self) -> int:
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        return self.num_values * self.itemsize


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a blob holds. The order is the run's (vectors are flattened in it), not that of the bytes."""

    tensors: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        if len(self.tensors) > MAX_TENSORS:
            raise BlobFault.TOO_MANY.error(count=len(self.tensors), limit=MAX_TENSORS)
        seen: set[str] = set()
        for spec in self.tensors:
            if spec.name in seen:
                raise BlobFault.TWICE.error(name=_short(spec.name))
            seen.add(spec.name)
        if self.num_bytes > MAX_BYTES:
            raise BlobFault.TOO_LARGE.error(num_bytes=self.num_bytes, max_bytes=MAX_BYTES)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Manifest:
        return cls(
            tensors=tuple(
                TensorSpec(
                    name=name, dtype=_DTYPE_NAMES.get(tensor.dtype, str(tensor.dtype)), shape=tuple(tensor.shape)
                )
                for name, tensor in tensors.items()
            )
        )

    @classmethod
    def from_json(cls, document: str | bytes | Mapping[str, object], *, max_bytes: int = MAX_BYTES) -> Manifest:
        """`document` may be text, or what the database driver has made of a jsonb already."""
        content = _parsed(document) if isinstance(document, str | bytes) else document
        rows = content.get("tensors") if isinstance(content, Mapping) and set(content) == {"tensors"} else None
        if not isinstance(rows, list):
            raise BlobFault.MANIFEST_SHAPE.error()
        if len(rows) > MAX_TENSORS:
            raise BlobFault.TOO_MANY.error(count=len(rows), limit=MAX_TENSORS)
        manifest = cls(tensors=tuple(_spec(row) for row in rows))
        if manifest.num_bytes > max_bytes:
            raise BlobFault.TOO_LARGE.error(num_bytes=manifest.num_bytes, max_bytes=max_bytes)
        return manifest

    def to_json(self) -> str:
        rows = [{"name": spec.name, "dtype": spec.dtype, "shape": spec.shape} for spec in self.tensors]
        return json.dumps({"tensors": rows}, ensure_ascii=False, separators=(",", ":"))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.tensors)

    @property
    def num_values(self) -> int:
        return sum(spec.num_values for spec in self.tensors)

    @property
    def num_bytes(self) -> int:
        """Of the values alone; a blob has its header besides."""
        return sum(spec.num_bytes for spec in self.tensors)

    @property
    def blob_bytes(self) -> int:
        return len(self.header()) + self.num_bytes

    def laid_out(self) -> list[TensorSpec]:
        """In the order of the bytes."""
        return sorted(self.tensors, key=lambda spec: (_PLACES[spec.dtype], spec.name))

    def header(self) -> bytes:
        """The bytes with which every blob of this manifest starts."""
        table: dict[str, object] = {}
        offset = 0
        for spec in self.laid_out():
            end = offset + spec.num_bytes
            table[spec.name] = {"dtype": spec.dtype, "shape": spec.shape, "data_offsets": [offset, end]}
            offset = end
        text = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % _ALIGNMENT)
        return _LENGTH.pack(len(text)) + text

    def offsets(self) -> dict[str, int]:
        """Where each tensor's bytes begin in a blob, for reading a range of them."""
        offset = len(self.header())
        offsets = {}
        for spec in self.laid_out():
            offsets[spec.name] = offset
            offset += spec.num_bytes
        return {name: offsets[name] for name in self.names}


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    manifest = Manifest.of(tensors)
    return b"".join([manifest.header(), *(_raw(spec.name, tensors[spec.name]) for spec in manifest.laid_out())])


def unpack(blob: Buffer, manifest: Manifest, *, max_bytes: int) -> dict[str, Tensor]:
    """Tensors in the manifest's order. They share the memory of a writable `blob`; one of `bytes` is copied once."""
    view = memoryview(blob).cast("B")
    check(view, manifest, max_bytes=max_bytes)
    if view.readonly or not _is_aligned(view):
        view = memoryview(bytearray(view))
    offsets = manifest.offsets()
    return {spec.name: _tensor(view, offsets[spec.name], spec) for spec in manifest.tensors}


def check(blob: Buffer, manifest: Manifest, *, max_bytes: int) -> None:
    """Raise BlobError unless `blob` has the very form that `manifest` implies; no number of it is looked at."""
    view = memoryview(blob).cast("B")
    if view.nbytes > max_bytes:
        raise BlobFault.TOO_LARGE.error(num_bytes=view.nbytes, max_bytes=max_bytes)
    expected = manifest.header()
    total = len(expected) + manifest.num_bytes
    if view[: len(expected)].tobytes() != expected:
        raise _header_fault(view, expected, total)
    if view.nbytes < total:
        raise BlobFault.TOO_SHORT.error(num_bytes=view.nbytes, expected=total)
    if view.nbytes > total:
        raise BlobFault.TRAILING.error(surplus=view.nbytes - total)


def split(blob: Buffer, part_bytes: int) -> list[tuple[int, memoryview]]:
    """Numbered views of `blob`, nothing is copied."""
    if part_bytes < 1:
        raise ValueError(f"part_bytes must be at least 1, not {part_bytes}")
    view = memoryview(blob).cast("B")
    return [(part, view[start : start + part_bytes]) for part, start in enumerate(range(0, view.nbytes, part_bytes))]


def join(parts: Iterable[tuple[int, Buffer]], *, max_bytes: int = MAX_BYTES) -> bytearray:
    """Parts in their order -> a blob that `unpack` can use without another copy."""
    blob = bytearray()
    for expected, (part, content) in enumerate(parts):
        if part != expected:
            raise BlobFault.PART_ORDER.error(found=part, expected=expected)
        num_bytes = len(blob) + memoryview(content).nbytes
        if num_bytes > max_bytes:
            raise BlobFault.TOO_LARGE.error(num_bytes=num_bytes, max_bytes=max_bytes)
        blob += content
    return blob


def sha256(content: Buffer | Iterable[Buffer]) -> bytes:
    """Of a blob, or of its parts one after another: the two are the same."""
    digest = hashlib.sha256()
    for part in [content] if isinstance(content, Buffer) else content:
        digest.update(part)
    return digest.digest()


def _raw(name: str, tensor: Tensor) -> memoryview:
    if tensor.layout is not torch.strided:
        raise BlobFault.NOT_DENSE.error(name=_short(name))
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def _tensor(view: memoryview, offset: int, spec: TensorSpec) -> Tensor:
    dtype = DTYPES[spec.dtype]
    if spec.num_values == 0:
        return torch.empty(spec.shape, dtype=dtype)
    if dtype is torch.bool and torch.frombuffer(view, dtype=torch.uint8, count=spec.num_bytes, offset=offset).max() > 1:
        # Arithmetic on such a "bool" is undefined: it may count as 255 truths.
        raise BlobFault.NOT_BOOLEAN.error(name=_short(spec.name))
    return torch.frombuffer(view, dtype=dtype, count=spec.num_values, offset=offset).reshape(spec.shape)


def _is_aligned(view: memoryview) -> bool:
    return torch.frombuffer(view, dtype=torch.uint8).data_ptr() % _ALIGNMENT == 0


def _header_fault(view: memoryview, expected: bytes, total: int) -> BlobError:
    """Why a header is refused. It is refused already: what is parsed here makes a message, never a tensor."""
    if view.nbytes < _LENGTH.size:
        return BlobFault.TOO_SHORT.error(num_bytes=view.nbytes, expected=total)
    (num_bytes,) = _LENGTH.unpack(view[: _LENGTH.size])
    if num_bytes > MAX_HEADER_BYTES:
        return BlobFault.HEADER_TOO_LARGE.error(num_bytes=num_bytes)
    if num_bytes > view.nbytes - _LENGTH.size:
        return BlobFault.TOO_SHORT.error(num_bytes=view.nbytes, expected=total)
    # JSON grows some thirtyfold when it is parsed: a header far from the right length is not worth it.
    if num_bytes > 2 * len(expected) + 4096:
        return BlobFault.HEADER_LENGTH.error(num_bytes=num_bytes, expected=len(expected) - _LENGTH.size)
    wanted: dict[str, dict[str, object]] = json.loads(expected[_LENGTH.size :])
    try:
        pairs = json.loads(view[_LENGTH.size : _LENGTH.size + num_bytes].tobytes(), object_pairs_hook=list)
    except (ValueError, RecursionError):
        return BlobFault.HEADER_UNREADABLE.error()
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        return BlobFault.HEADER_SHAPE.error()
    return _table_fault(pairs, wanted)


def _table_fault(pairs: list[tuple[str, object]], wanted: Mapping[str, Mapping[str, object]]) -> BlobError:
    found: dict[str, object] = {}
    for name, content in pairs:
        if name == "__metadata__":
            return BlobFault.METADATA.error()
        if name in found:
            return BlobFault.TWICE.error(name=_short(name))
        if name not in wanted:
            return BlobFault.EXTRA.error(name=_short(name))
        found[name] = content
    for name, right in wanted.items():
        if name not in found:
            return BlobFault.MISSING.error(name=_short(name))
        content = found[name]
        is_table = isinstance(content, list) and all(isinstance(pair, tuple) for pair in content)
        entry = dict(content) if isinstance(content, list) and is_table else {}
        for key, what in (("dtype", "type"), ("shape", "shape"), ("data_offsets", "byte range")):
            if entry.get(key) != right[key]:
                return BlobFault.MISMATCH.error(
                    name=_short(name), what=what, found=_short(entry.get(key)), expected=right[key]
                )
    return BlobFault.OTHER_LAYOUT.error()


def _parsed(document: str | bytes) -> object:
    if len(document) > MAX_HEADER_BYTES:
        raise BlobFault.TOO_LARGE.error(num_bytes=len(document), max_bytes=MAX_HEADER_BYTES)
    try:
        return json.loads(document)
    except (ValueError, RecursionError):
        raise BlobFault.MANIFEST_UNREADABLE.error() from None


def _spec(row: object) -> TensorSpec:
    match row:
        case {"name": str(name), "dtype": str(dtype), "shape": list(shape), **more} if not more:
            return TensorSpec(name=name, dtype=dtype, shape=tuple(shape))
    raise BlobFault.MANIFEST_SHAPE.error()


def _short(value: object) -> str:
    """A stranger's value, fit for one line."""
    if isinstance(value, list):
        # The repr of a list nested to the limit of recursion would exceed it.
        is_plain = len(value) <= MAX_DIMENSIONS and all(isinstance(item, int) for item in value)
    else:
        is_plain = value is None or isinstance(value, str | int | float)
    text = ascii(value) if is_plain else "something else"
    return text if len(text) <= 60 else text[:57] + "..."
