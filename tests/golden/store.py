"""One blob of each codec, made once and decoded for ever.

python -m tests.golden.store CASE

writes that of a new codec: NAME.json says how it was made, NAME.bin is the blob, NAME.values what it was decoded to,
as float32. What is there is never written again: a change that cannot read it needs a new name.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

from contract.compressors import CODECS, Codec, encoded, open_blob, range_reader
from contract.tensors import Manifest
from tests.codec_cases import CASES, normal

_FOLDER: Final = Path(__file__).parent
_MOST_BYTES: Final = 8192


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    name: str
    options: Mapping[str, object]
    manifest: Manifest
    whole: tuple[str, ...]
    blob: bytes
    values: Mapping[str, Tensor]

    @classmethod
    def load(cls, case: str) -> Self | None:
        try:
            facts = json.loads((_FOLDER / f"{case}.json").read_text())
        except FileNotFoundError:
            return None
        manifest = Manifest.from_json(facts["manifest"])
        numbers = torch.from_numpy(np.fromfile(_FOLDER / f"{case}.values", dtype="<f4"))
        sizes = [spec.num_values for spec in manifest.tensors]
        return cls(
            name=facts["codec"],
            options=facts["options"],
            manifest=manifest,
            whole=tuple(facts["whole"]),
            blob=(_FOLDER / f"{case}.bin").read_bytes(),
            values=dict(zip(manifest.names, torch.split(numbers, sizes), strict=True)),
        )

    def codec(self) -> Codec:
        return CODECS.build(self.name, self.options)

    def read(self) -> dict[str, Tensor]:
        return _read(self.codec(), self.blob, self.manifest, self.whole)


def _read(codec: Codec, blob: bytes, manifest: Manifest, whole: tuple[str, ...]) -> dict[str, Tensor]:
    decoder = open_blob(codec, range_reader(blob), len(blob), manifest, whole=whole)
    return {spec.name: decoder.read(spec.name, 0, spec.num_values) for spec in manifest.tensors}


def _tensors(num_rows: int) -> dict[str, Tensor]:
    """Heavy tails, and layers of other sizes; the running variance travels whole."""
    return {
        "matrix": normal(num_rows, 60) ** 3,
        "bias": normal(70, scale=1e-4),
        "kernel": normal(8, 3, 3, 3, scale=50.0),
        "few": normal(3),
        "variance": normal(5).abs(),
    }


def make(case: str) -> None:
    codec, whole = CASES[case].build(), ("variance",)
    # As much as fits: of `sparse` more than one block.
    for num_rows in (70, 25):
        tensors = _tensors(num_rows)
        blob = encoded(codec, tensors, seed=4, whole=whole)
        if len(blob) < _MOST_BYTES:
            break
    manifest = Manifest.of(tensors)
    facts = {
        "codec": CASES[case].codec,
        "options": CASES[case].options,
        "whole": whole,
        "manifest": json.loads(manifest.to_json()),
    }
    with (_FOLDER / f"{case}.json").open("x") as file:
        file.write(json.dumps(facts, indent=1) + "\n")
    (_FOLDER / f"{case}.bin").write_bytes(blob)
    values = torch.cat(list(_read(codec, blob, manifest, whole).values()))
    (_FOLDER / f"{case}.values").write_bytes(values.numpy().astype("<f4").tobytes())


if __name__ == "__main__":
    make(sys.argv[1])
