"""Any text, byte by byte: a file, or all files below a folder."""

from __future__ import annotations

import dataclasses
from fnmatch import fnmatch
from pathlib import Path
from typing import ClassVar, Final

from contract.errors import DataError
from contract.sources._corpus import MAX_CORPUS_BYTES, corpus_of, split_documents
from contract.sources._files import Found, files_below, readable_name, require_path
from contract.sources.base import Dataset, Kind, Split

_LOOKED_AT: Final = 8192
_NAMED_AT_MOST: Final = 5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Option: `pattern` chooses among the files of a folder, for instance `*.txt`."""

    name: ClassVar[str] = "text"
    kind: ClassVar[Kind] = "text"
    pattern: str = "*"

    def __post_init__(self) -> None:
        if not self.pattern:
            raise ValueError("pattern must not be empty; * takes every file")

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
        found = require_path(self.name, path, "a text file or a folder of them")
        where = readable_name(str(found.absolute()))
        if found.is_dir():
            files = [file for file in files_below(self.name, found) if fnmatch(file.name, self.pattern)]
        else:
            files = [Found(name=found.name, path=found, num_bytes=found.stat().st_size)]
        if not files:
            raise DataError(
                self.name,
                f"no file is named like {self.pattern}",
                "set data.path to a folder of texts, or change data.options.pattern",
                looked_in=[where],
            )
        documents = read_documents(self.name, files)
        return corpus_of(
            split_documents(documents, split),
            source=self.name,
            split=split,
            context=context,
            num_samples=num_samples,
            description=f"{len(files)} files of {where}",
        )


def read_documents(source: str, files: list[Found]) -> list[bytes]:
    total = sum(file.num_bytes for file in files)
    if total > MAX_CORPUS_BYTES:
        raise DataError(source, f"{total} bytes are more than the {MAX_CORPUS_BYTES} of a text", "take fewer files")
    documents = [_read(source, file) for file in files]
    # A zero byte is in no text of any encoding that is written byte by byte, and in nearly every picture and program.
    binary = [
        readable_name(file.name) for file, text in zip(files, documents, strict=True) if b"\0" in text[:_LOOKED_AT]
    ]
    if binary:
        more = f" and {len(binary) - _NAMED_AT_MOST} more" if len(binary) > _NAMED_AT_MOST else ""
        raise DataError(
            source,
            f"these are not text: {', '.join(binary[:_NAMED_AT_MOST])}{more}",
            "take them out, or choose the texts by data.options.pattern, for instance *.txt",
        )
    return documents


def _read(source: str, file: Found) -> bytes:
    try:
        with file.path.open("rb") as opened:
            # No more than was counted, should it grow meanwhile.
            return opened.read(file.num_bytes)
    except OSError as error:
        raise DataError(
            source, f"{readable_name(str(file.path))} cannot be read ({error.strerror})", "give yourself the right to"
        ) from error
