"""`python -m contract.config` writes the template, the reference and the JSON Schema anew."""

from __future__ import annotations

import sys
from pathlib import Path

from contract.config.rendering import generated_files


def main(root: Path) -> None:
    for path, text in generated_files().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.encode())
        sys.stdout.write(f"{path.as_posix()}\n")


if __name__ == "__main__":
    main(Path(__file__).parents[2])
