"""Where encoded pictures lie: in a folder, in a zip that nobody unpacks, in memory."""

from __future__ import annotations

import dataclasses
import stat
import unicodedata
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from contract.errors import DataError
from contract.sources._files import Found, files_below, is_hidden, readable_name

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".ppm", ".pgm", ".pbm", ".tif", ".tiff"})
MAX_PICTURE_BYTES: Final = 128 << 20
_ENCRYPTED: Final = 0x1


class Shelf(Protocol):
    def __len__(self) -> int: ...

    def name(self, place: int) -> str: ...

    def num_bytes(self, place: int) -> int: ...

    def read(self, place: int) -> bytes:
        """OSError or ValueError where it cannot be read. Safe to call from several threads."""


@dataclasses.dataclass(frozen=True, slots=True)
class FolderShelf:
    found: Sequence[Found]

    def __len__(self) -> int:
        return len(self.found)

    def name(self, place: int) -> str:
        return readable_name(self.found[place].name)

    def num_bytes(self, place: int) -> int:
        return self.found[place].num_bytes

    def read(self, place: int) -> bytes:
        _require_bounded(self.num_bytes(place))
        with self.found[place].path.open("rb") as file:
            return file.read(MAX_PICTURE_BYTES)


@dataclasses.dataclass(frozen=True, slots=True)
class ZipShelf:
    archive: zipfile.ZipFile
    members: Sequence[zipfile.ZipInfo]

    def __len__(self) -> int:
        return len(self.members)

    def name(self, place: int) -> str:
        return readable_name(_name_in_zip(self.members[place]))

    def num_bytes(self, place: int) -> int:
        return self.members[place].file_size

    def read(self, place: int) -> bytes:
        member = self.members[place]
        _require_bounded(member.file_size)
        if member.flag_bits & _ENCRYPTED:
            raise ValueError("locked with a password")
        try:
            # Reads at most the size that was just looked at, whatever the compressed bytes would unfold to.
            return self.archive.read(member)
        except (zipfile.BadZipFile, RuntimeError) as error:
            raise ValueError(str(error)) from error


@dataclasses.dataclass(frozen=True, slots=True)
class MemoryShelf:
    names: Sequence[str]
    contents: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.contents)

    def name(self, place: int) -> str:
        return self.names[place]

    def num_bytes(self, place: int) -> int:
        return len(self.contents[place])

    def read(self, place: int) -> bytes:
        return self.contents[place]


@dataclasses.dataclass(frozen=True, slots=True)
class PartOfShelf:
    whole: Shelf
    places: Sequence[int]
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.places)

    def name(self, place: int) -> str:
        return self.names[place]

    def num_bytes(self, place: int) -> int:
        return self.whole.num_bytes(self.places[place])

    def read(self, place: int) -> bytes:
        return self.whole.read(self.places[place])


def shelf_at(source: str, path: Path) -> tuple[Shelf, str]:
    """Of the folder or zip, with words on what has no suffix of a picture and is left aside."""
    shelf, others = _folder(source, path) if path.is_dir() else _zip(source, path)
    if not len(shelf):
        zips = [name for name in others if name.lower().endswith(".zip")]
        raise DataError(
            source,
            f"no pictures are here, {len(others)} other files are",
            f"set data.path to {path / zips[0]}" if zips else f"pictures end in {', '.join(sorted(SUFFIXES))}",
            looked_in=[readable_name(str(path.absolute()))],
        )
    where = readable_name(str(path.absolute()))
    return shelf, f"{where}, {len(others)} other files left aside" if others else where


def is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _folder(source: str, path: Path) -> tuple[FolderShelf, list[str]]:
    found = files_below(source, path)
    pictures = [file for file in found if is_picture(file.name)]
    return FolderShelf(pictures), [readable_name(file.name) for file in found if not is_picture(file.name)]


def _zip(source: str, path: Path) -> tuple[ZipShelf, list[str]]:
    where = readable_name(str(path.absolute()))
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise DataError(
            source, f"this is no zip, or half of one ({error})", "download it again", looked_in=[where]
        ) from error
    except OSError as error:
        raise DataError(
            source, f"it cannot be opened ({error.strerror})", "mend that, or set data.path", looked_in=[where]
        ) from error
    files = [member for member in archive.infolist() if not member.is_dir() and not is_hidden(_name_in_zip(member))]
    files.sort(key=lambda member: (_name_in_zip(member), member.header_offset))
    links = [member for member in files if stat.S_ISLNK(member.external_attr >> 16)]
    if links:
        archive.close()
        raise DataError(
            source,
            f"{_name_in_zip(links[0])} is a link, not a picture",
            "zip the pictures themselves",
            looked_in=[where],
        )
    pictures = [member for member in files if is_picture(member.filename)]
    return ZipShelf(archive, pictures), [_name_in_zip(member) for member in files if not is_picture(member.filename)]


def _name_in_zip(member: zipfile.ZipInfo) -> str:
    return unicodedata.normalize("NFC", member.filename)


def _require_bounded(num_bytes: int) -> None:
    if num_bytes > MAX_PICTURE_BYTES:
        raise ValueError(f"{num_bytes} bytes are more than the {MAX_PICTURE_BYTES} of any sensible picture")
