"""Bytes from a volunteer are hostile: they are read as numbers or refused by a BlobError, soon and in little memory."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.compressors import blob_manifest, encoded, open_blob, range_reader
from contract.compressors.base import CHUNK_VALUES
from contract.errors import BlobError
from contract.tensors import Manifest
from tests.codec_cases import CASES, normal
from tests.fuzz.hostile import MANIFEST, WHOLE, examine, sound

_SECONDS_PER_MEGABYTE = 0.05
_INPUTS, _NIGHTLY_INPUTS = 10_000, 1_000_000
_EACH = -(-_INPUTS // len(CASES))

# Numbers on which arithmetic stumbles: not finite, the largest, smaller than normal, minus zero, all bits.
AWKWARD = [struct.pack("<f", number) for number in (float("nan"), float("inf"), -float("inf"), 3.4e38, 1e-45, -0.0)] + [
    bytes([0xFF] * 4), struct.pack("<i", 2**31 - 1), bytes(4), bytes(1), bytes([0xFF] * 64),
]  # fmt: skip
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.one_of(st.sampled_from(AWKWARD), st.binary(min_size=1, max_size=8))), max_size=6
)
NOISE = st.integers(0, 2**32 - 1)


def changed(content: bytes, changes: list[tuple[float, bytes]]) -> bytes:
    """Overwritten here and there, its length as it was."""
    found = bytearray(content)
    for place, patch in changes:
        at = int(place * len(found))
        found[at : at + len(patch)] = patch[: len(found) - at]
    return bytes(found)


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=_EACH, suppress_health_check=[HealthCheck.too_slow], deadline=None, database=None)
@given(changes=CHANGES, noise=st.none() | NOISE, length=st.sampled_from([0, 0, 0, 0, -1, -100, 1, 8]))
def test_any_bytes_are_read_or_refused(
    case: str, changes: list[tuple[float, bytes]], noise: int | None, length: int
) -> None:
    _, header, numbers = sound(case)
    if noise is not None:
        numbers = np.random.Generator(np.random.SFC64(noise)).bytes(len(numbers))
    blob = header + changed(numbers, changes)
    examine(case, blob[:length] if length < 0 else blob + bytes(length))


@settings(max_examples=50, deadline=None)
@given(changes=CHANGES)
@pytest.mark.parametrize("case", CASES)
def test_a_header_that_was_changed_is_refused(case: str, changes: list[tuple[float, bytes]]) -> None:
    codec, header, numbers = sound(case)
    blob = changed(header, changes) + numbers
    if not blob.startswith(header):
        with pytest.raises(BlobError):
            open_blob(codec, range_reader(blob), len(blob), MANIFEST, whole=WHOLE)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("content", ["sound", "noise"])
def test_a_megabyte_is_read_within_50_ms(case: str, content: str) -> None:
    """Of the model: what a blob of two bits a value is read as is 146 times its size, and must be written somewhere."""
    codec = CASES[case].build()
    tensors = {"x": normal(1000, 1049)}
    manifest = Manifest.of(tensors)
    if content == "sound":
        blob = encoded(codec, tensors, seed=0)
    else:
        form = blob_manifest(codec, manifest)
        blob = form.header() + np.random.Generator(np.random.SFC64(1)).bytes(form.num_bytes)
    size = manifest.num_values
    taken = []
    for _ in range(3):
        began = time.thread_time()
        try:
            decoder = open_blob(codec, range_reader(blob), len(blob), manifest)
            for start in range(0, size, CHUNK_VALUES):
                decoder.read("x", start, min(start + CHUNK_VALUES, size))
            decoder.add_to("x", torch.zeros(size), weight=1.0)
        except BlobError:
            assert content == "noise"
        taken.append(time.thread_time() - began)
    assert min(taken) < _SECONDS_PER_MEGABYTE * manifest.num_bytes / 1e6


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this system")
@pytest.mark.nightly
@pytest.mark.parametrize("case", CASES)
def test_a_fuzzer_that_looks_for_new_paths_finds_no_other_end(case: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.explore", case, str(tmp_path), str(-(-_NIGHTLY_INPUTS // len(CASES)))],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Done" in done.stderr
