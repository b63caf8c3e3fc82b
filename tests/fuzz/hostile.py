"""What a decoder is put through: bytes of the right form and of any other, read in every way there is."""

from __future__ import annotations

import contextlib
import functools
import itertools
from typing import Final

import torch

from contract.compressors import Codec, Decoder, blob_manifest, encoded, open_blob, range_reader
from contract.errors import BlobError
from contract.tensors import Manifest
from tests.codec_cases import CASES, normal

# More than a block of every codec, and a rest; a kernel; too few to suit any; and values.
TENSORS: Final = {
    "matrix": normal(70, 61),
    "bias": normal(67),
    "kernel": normal(4, 3, 3, 3),
    "few": normal(2),
    "variance": normal(9).abs(),
}
WHOLE: Final = ("variance",)
MANIFEST: Final = Manifest.of(TENSORS)


@functools.cache
def sound(case: str) -> tuple[Codec, bytes, bytes]:
    """The codec, the header that its blobs have, and the numbers of one."""
    codec = CASES[case].build()
    header = blob_manifest(codec, MANIFEST, whole=WHOLE).header()
    return codec, header, encoded(codec, TENSORS, seed=3, whole=WHOLE)[len(header) :]


def examine(case: str, blob: bytes) -> None:
    """Whatever is raised but a BlobError is a fault of ours."""
    codec, _, _ = sound(case)
    with contextlib.suppress(BlobError):
        decoder = open_blob(codec, range_reader(blob), len(blob), MANIFEST, whole=WHOLE)
        for spec in MANIFEST.tensors:
            with contextlib.suppress(BlobError):
                _read(decoder, spec.name, spec.num_values)


def _read(decoder: Decoder, name: str, size: int) -> None:
    whole = decoder.read(name, 0, size)
    # In pieces that begin and end in the middle of blocks, bytes and rows.
    cuts = sorted({0, size // 3, size // 2 + 1, size})
    pieces = torch.empty(size)
    for start, stop in itertools.pairwise(cuts):
        decoder.read_into(name, start, stop, pieces[start:stop])
    total = torch.zeros(size)
    decoder.add_to(name, total, weight=1.0)
    for found in (pieces, total):
        # Ten times as fast as the assertion, which is for what is no number, and for saying what differs.
        if not torch.equal(found, whole):
            torch.testing.assert_close(found, whole, rtol=0.0, atol=0.0, equal_nan=True)
