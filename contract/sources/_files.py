"""Files below a folder, in an order that does not depend on the system they lie on."""

from __future__ import annotations

import dataclasses
import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from contract.errors import DataError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    name: str
    """Relative to the folder, with `/`; composed letters, because macOS takes them apart."""
    path: Path
    num_bytes: int


def readable_name(name: str) -> str:
    """Names need not be text at all on Linux; a message must."""
    return name.encode("utf-8", "backslashreplace").decode()


def is_hidden(name: str) -> bool:
    """What the file managers of macOS and Windows leave behind, and what the user hid."""
    return any(
        (part.startswith(".") and part.strip(".")) or part in ("__MACOSX", "Thumbs.db", "desktop.ini")
        for part in name.split("/")
    )


def require_path(source: str, path: Path | None, what: str) -> Path:
    if path is None:
        raise DataError(source, "data.path is not set", f"set data.path to {what}")
    if not path.exists():
        raise DataError(
            source,
            "there is nothing of that name" if not path.is_symlink() else "this link leads nowhere",
            f"set data.path to {what}",
            looked_in=[readable_name(str(path.absolute()))],
        )
    return path


def files_below(source: str, root: Path) -> list[Found]:
    """Links are followed, but not into a folder above themselves."""
    return sorted(_walk(source, root, "", frozenset({os.path.realpath(root)})), key=lambda found: found.name)


def _walk(source: str, folder: Path, prefix: str, above: frozenset[str]) -> Iterator[Found]:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(
            source, f"{readable_name(str(folder))} cannot be read ({error.strerror})", "give yourself the right to"
        ) from error
    for entry in entries:
        name = unicodedata.normalize("NFC", prefix + entry.name)
        if is_hidden(name):
            continue
        try:
            status = entry.stat()
        except OSError as error:
            raise DataError(
                source,
                f"{readable_name(entry.path)} cannot be looked at ({error.strerror})",
                "take it out, or mend it if it is a link",
            ) from error
        if stat.S_ISDIR(status.st_mode):
            real = os.path.realpath(entry.path)
            if real not in above:
                yield from _walk(source, Path(entry.path), f"{name}/", above | {real})
        elif stat.S_ISREG(status.st_mode):
            yield Found(name=name, path=Path(entry.path), num_bytes=status.st_size)
        else:
            raise DataError(source, f"{readable_name(entry.path)} is no ordinary file", "take it out")
