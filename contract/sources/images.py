"""Pictures of a folder, or of a zip that is read without unpacking it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Final, Literal

from contract.errors import DataError
from contract.sources._files import require_path
from contract.sources._pictures import pictures_of
from contract.sources._shelves import PartOfShelf, Shelf, shelf_at
from contract.sources.base import Dataset, Kind, Split, require_image_options

TRAINING_FOLDER: Final = "train"
HELD_OUT_FOLDERS: Final = ("held_out", "test", "validation", "valid", "val")

Labels = Literal["none", "folders"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Option: `labels: folders` makes each folder a class.

    Folders `train` and `test` (or held_out, validation, valid, val), with all pictures in them, are the split; of other
    pictures every tenth is held out.
    """

    name: ClassVar[str] = "images"
    kind: ClassVar[Kind] = "images"
    labels: Labels = "none"

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
        require_image_options(self.name, image_size, channels)
        found = require_path(self.name, path, "a folder or a zip of pictures")
        shelf, where = shelf_at(self.name, found)
        return images_of(
            shelf,
            source=self.name,
            labels=self.labels,
            split=split,
            num_samples=num_samples,
            image_size=image_size,
            channels=channels,
            where=where,
        )


def images_of(
    whole: Shelf,
    *,
    source: str,
    labels: Labels,
    split: Split,
    num_samples: int | None,
    image_size: int,
    channels: int,
    where: str,
    has_own_split: bool = False,
) -> Dataset:
    names = _without_common_folder([whole.name(place) for place in range(len(whole))])
    tops = [name.split("/")[0] if "/" in name else "" for name in names]
    held_out = [folder for folder in HELD_OUT_FOLDERS if folder in tops]
    has_split_folders = not has_own_split and bool(held_out) and set(tops) == {TRAINING_FOLDER, held_out[0]}
    places = list(range(len(whole)))
    if has_split_folders:
        wanted = TRAINING_FOLDER if split == "train" else held_out[0]
        every_class = sorted({_class_of(name.partition("/")[2]) for name in names})
        places = [place for place in places if tops[place] == wanted]
        names = [names[place].partition("/")[2] for place in places]
    else:
        every_class = sorted({_class_of(name) for name in names})
    classes = None
    if labels == "folders":
        if "" in every_class or len(every_class) < 2:
            stray = next((name for name in names if not _class_of(name)), None)
            raise DataError(
                source,
                f"{stray} lies in no folder that could be its class" if stray else "one folder makes no classes",
                "put the pictures of each class into a folder of their own, or set data.options.labels: none",
                looked_in=[where],
            )
        numbers = {folder: number for number, folder in enumerate(every_class)}
        classes = [numbers[_class_of(name)] for name in names]
    return pictures_of(
        PartOfShelf(whole, places, names),
        source=source,
        split=split,
        has_own_split=has_own_split or has_split_folders,
        num_samples=num_samples,
        image_size=image_size,
        channels=channels,
        description=f"{len(whole)} pictures of {where}",
        classes=classes,
        num_classes=None if classes is None else len(every_class),
    )


def _class_of(name: str) -> str:
    return name.split("/")[0] if "/" in name else ""


def _without_common_folder(names: list[str]) -> list[str]:
    """So a zip, the folder it was made of and the folder around that have the same fingerprint."""
    while names and all("/" in name for name in names) and len({name.split("/")[0] for name in names}) == 1:
        names = [name.partition("/")[2] for name in names]
    return names
