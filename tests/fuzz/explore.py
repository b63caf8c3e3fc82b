"""Lets atheris look for bytes that a decoder ends on otherwise than it should.

python -m tests.fuzz.explore CASE FOLDER RUNS

What it finds is written into FOLDER, with the bytes that led to new paths.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["contract.compressors", "contract.tensors"]):
    import contract.compressors  # noqa: F401

import torch

from tests.fuzz.hostile import examine, sound


def main(case: str, folder: Path, runs: int) -> None:
    torch.set_num_threads(1)
    _, header, numbers = sound(case)
    (folder / "sound").write_bytes(bytes(1) + numbers)
    (folder / "whole").write_bytes(bytes([1]) + header + numbers)

    def one_input(data: bytes) -> None:
        # Nearly every change of a header is refused at once: most inputs are numbers behind one that is right.
        if data[:1] == bytes([1]):
            examine(case, data[1:])
        else:
            examine(case, header + data[1 : 1 + len(numbers)].ljust(len(numbers), b"\0"))

    longest = 1 + len(header) + len(numbers) + 64
    options = [f"-runs={runs}", f"-max_len={longest}", "-len_control=0", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *options, str(folder)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
