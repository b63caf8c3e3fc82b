"""Python's own library as a text to learn: on every machine already, some ten megabytes."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Final

from contract.errors import DataError
from contract.sources._corpus import corpus_of, split_documents
from contract.sources.base import Dataset, Kind, Split

# What distributions take out, move or patch, and what is written for one machine. `sys.stdlib_module_names` is the same
# on all platforms; what then is still missing somewhere shows in the fingerprint.
LEFT_OUT: Final = frozenset(
    {"distutils", "ensurepip", "idlelib", "lib2to3", "msilib", "site", "sysconfig", "test", "tkinter", "turtledemo"}
    | {"turtle", "venv", "pydoc_data", "__hello__", "__phello__"}
)
_TEST_FOLDERS: Final = frozenset({"test", "tests", "idle_test", "__pycache__"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stdlib:
    """No options. Volunteers need the same Python version, to the last digit."""

    name: ClassVar[str] = "stdlib"
    kind: ClassVar[Kind] = "text"

    def open(
        self,
        *,
        path: Path | None = None,
        split: Split = "train",
        num_samples: int | None = None,
        seed: int = 0,
        image_size: int = 64,
        channels: int = 1,
        context: int = 128,
    ) -> Dataset:
        documents = library(Path(os.__file__).parent)
        return corpus_of(
            split_documents(documents, split),
            source=self.name,
            split=split,
            context=context,
            num_samples=num_samples,
            description=f"the library of Python {platform.python_version()} ({len(documents)} files)",
        )


@lru_cache(maxsize=1)
def library(folder: Path) -> tuple[bytes, ...]:
    files = sorted(
        (file.relative_to(folder).as_posix(), file)
        for module in sys.stdlib_module_names - LEFT_OUT
        for file in _files_of(folder / module)
    )
    documents = tuple(document for _, file in files if (document := _read(file)))
    if not documents:
        raise DataError(
            Stdlib.name,
            "this Python carries no source of its library",
            "use a Python from python.org or your system, or choose another data.name",
            looked_in=[str(folder)],
        )
    return documents


def _files_of(module: Path) -> list[Path]:
    single = module.with_name(f"{module.name}.py")
    inside = [file for file in module.rglob("*.py") if not _TEST_FOLDERS & set(file.relative_to(module).parts)]
    return [single, *inside] if single.is_file() else inside


def _read(file: Path) -> bytes:
    """Windows installs the library with other ends of lines."""
    try:
        return file.read_bytes().replace(b"\r\n", b"\n")
    except OSError as error:
        raise DataError(Stdlib.name, f"{file} cannot be read ({error.strerror})", "mend this Python") from error
