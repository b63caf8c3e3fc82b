"""What does a codec save, and what does it cost? Against hivemind's codecs on the same gradient.

python -m benchmarks.codecs [--quick] [--millions 10]
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks.gradients import gradients
from benchmarks.peers.client import Peers, peers
from benchmarks.server import real_disk
from benchmarks.table import Row, print_rows, print_table
from contract.compressors import CODECS, Codec, encoded, open_blob, range_reader
from contract.compressors.base import CHUNK_VALUES
from contract.tensors import Manifest

THREADS: Final = 2
# Beside each codec as shipped; one that is not registered is left out.
OPTIONS: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {"sparse": ({"bits": 2}, {"bits": 4}, {"bits": 8})}
HIVEMINDS: Final = ("Float16", "ScaledFloat16", "Uniform8Bit", "Quantile8Bit", "BlockwiseQuantization")
EIGHT_BITS: Final = HIVEMINDS[2:]
RATIO_OF_SPARSE: Final = 140.0
GIGABYTES_PER_SECOND: Final = 1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """`whole` is what the values take as they are; all in bytes and seconds."""

    name: str
    whole: int
    num_bytes: int
    encode: float
    decode: float
    error: float

    @property
    def both(self) -> float:
        return self.encode + self.decode

    @property
    def ratio(self) -> float:
        return self.whole / self.num_bytes

    def cells(self) -> list[str]:
        return [
            self.name,
            f"{self.ratio:.2f}",
            f"{self.encode * 1000:,.0f}",
            f"{self.decode * 1000:,.0f}",
            f"{self.whole / self.encode / 1e9:.2f}",
            f"{self.whole / self.decode / 1e9:.2f}",
            f"{self.error:.1e}",
        ]


def measure(name: str, codec: Codec, tensors: Mapping[str, Tensor], repeats: int) -> Measured:
    manifest = Manifest.of(tensors)
    encoding, decoding = [], []
    decoded: dict[str, Tensor] = {}
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        blob = encoded(codec, tensors, seed=1)
        encoding.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        decoded = _decoded(codec, blob, manifest)
        decoding.append(time.perf_counter() - begin)
    return Measured(
        name=name,
        whole=manifest.num_bytes,
        num_bytes=len(blob),
        # The first only warms up.
        encode=statistics.median(encoding[1:]),
        decode=statistics.median(decoding[1:]),
        error=_relative_error(tensors, decoded),
    )


def _decoded(codec: Codec, blob: bytes, manifest: Manifest) -> dict[str, Tensor]:
    """In chunks, as the coordinator looks at it, but kept whole, as the other side does it."""
    decoder = open_blob(codec, range_reader(blob), len(blob), manifest)
    found = {spec.name: torch.empty(spec.num_values) for spec in manifest.tensors}
    for name, values in found.items():
        for start in range(0, len(values), CHUNK_VALUES):
            stop = min(start + CHUNK_VALUES, len(values))
            decoder.read_into(name, start, stop, values[start:stop])
    return found


def _relative_error(tensors: Mapping[str, Tensor], decoded: Mapping[str, Tensor]) -> float:
    """Euclidean, of the whole gradient."""
    missed = sum(float((tensor.view(-1) - decoded[name]).double().square().sum()) for name, tensor in tensors.items())
    return float((missed / sum(float(tensor.double().square().sum()) for tensor in tensors.values())) ** 0.5)


def ours(tensors: Mapping[str, Tensor], repeats: int) -> Iterator[Measured]:
    for name in CODECS.names:
        for options in OPTIONS.get(name, ({},)):
            shown = " ".join([name, *(f"{option}={value}" for option, value in options.items())])
            yield measure(shown, CODECS.build(name, options), tensors, repeats)


def theirs(others: Peers, tensors: Mapping[str, Tensor], folder: Path, repeats: int) -> Iterator[Measured]:
    values = folder / "values"
    with values.open("wb") as file:
        for tensor in tensors.values():
            file.write(tensor.numpy().tobytes())
    others.prepare("tensors_at", path=str(values), shapes={name: list(it.shape) for name, it in tensors.items()})
    for name in HIVEMINDS:
        answer = others.ask("codec", name=name, repeats=repeats)
        yield Measured(name=f"hivemind {name}", whole=Manifest.of(tensors).num_bytes, **answer)


def targets(found: Mapping[str, Measured]) -> Iterator[Row]:
    eight_bits = [found[f"hivemind {name}"] for name in EIGHT_BITS if f"hivemind {name}" in found]
    if "sparse bits=2" in found:
        sparse = found["sparse bits=2"]
        yield Row(
            question="sparse at 2 bits, ratio of the whole blob",
            measured=f"{sparse.num_bytes:,} bytes",
            against=f"{sparse.whole:,} bytes",
            ratio=sparse.ratio,
            at_least=RATIO_OF_SPARSE,
        )
    for way in ("encode", "decode"):
        rate = found["fp16"].whole / getattr(found["fp16"], way) / 1e9
        yield Row(
            question=f"fp16, {way}",
            measured=f"{rate:.2f} GB/s",
            against="1 GB/s",
            ratio=rate,
            at_least=GIGABYTES_PER_SECOND,
        )
    for name in ("int8", "sparse bits=2", "sparse bits=4", "sparse bits=8"):
        if name in found and eight_bits:
            fastest = min(eight_bits, key=lambda one: one.both)
            yield Row(
                question=f"{name}, encode and decode",
                measured=f"{found[name].both * 1000:,.0f} ms",
                against=f"{fastest.name} {fastest.both * 1000:,.0f} ms",
                ratio=fastest.both / found[name].both,
                at_least=1.0,
            )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codecs", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="0.1 million values instead of 10")
    parser.add_argument("--millions", type=float, default=10.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=THREADS)
    given = parser.parse_args(arguments)
    (tensors,) = gradients(10**5 if given.quick else round(given.millions * 1e6), number=1)
    before = torch.get_num_threads()
    torch.set_num_threads(given.threads)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="barnraise-bench-", dir=real_disk()) as folder,
            peers(threads=given.threads) as others,
        ):
            measured = list(ours(tensors, given.repeats))
            if others is not None:
                measured += theirs(others, tensors, Path(folder), given.repeats)
    finally:
        torch.set_num_threads(before)
    print_table(
        f"A gradient of {sum(it.numel() for it in tensors.values()):,} values in {len(tensors)} tensors",
        ("codec", "ratio", "encode, ms", "decode, ms", "encode, GB/s", "decode, GB/s", "relative error"),
        [one.cells() for one in measured],
        [f"Medians; {given.threads} threads on either side; bytes of the whole blob, GB/s of the values as float32."],
    )
    print_rows("Codecs", list(targets({one.name: one for one in measured})))


if __name__ == "__main__":
    main()
