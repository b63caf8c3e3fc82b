"""A dataset repository on the Hugging Face Hub: text in parquet or plain, images in a zip, in parquet or loose."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

from contract.errors import DataError
from contract.sources._corpus import corpus_of, split_documents
from contract.sources._download import Downloaded, downloaded
from contract.sources._files import Found
from contract.sources._parquet import is_parquet, pictures_in, text_of
from contract.sources._pictures import pictures_of
from contract.sources._shelves import FolderShelf, MemoryShelf, is_picture, shelf_at
from contract.sources.base import Dataset, Kind, Split, require_image_options
from contract.sources.images import Labels, images_of
from contract.sources.text import read_documents


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """Options: the repository, its files, and what they hold; as they are, WikiText-2.

    `files` and `held_out_files` are patterns (`snli/train-*.parquet`). Without files of their own a tenth is held out.
    `columns` chooses among the text columns of parquet files. data.path is where downloads are kept.
    """

    name: ClassVar[str] = "hub"
    kind: Kind = "text"
    repository: str = "Salesforce/wikitext"
    revision: str = "main"
    files: tuple[str, ...] = ("wikitext-2-raw-v1/train-*.parquet",)
    held_out_files: tuple[str, ...] = ("wikitext-2-raw-v1/test-*.parquet",)
    columns: tuple[str, ...] = ()
    labels: Labels = "none"

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError("files must name a pattern; * takes every file")

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
        if self.kind == "images":
            require_image_options(self.name, image_size, channels)
        of_its_own = split == "held_out" and bool(self.held_out_files)
        found = downloaded(
            self.name,
            repository=self.repository,
            revision=self.revision,
            patterns=self.held_out_files if of_its_own else self.files,
            option="held_out_files" if of_its_own else "files",
            cache=path,
        )
        if self.kind == "text":
            documents = self._documents(found.files)
            return corpus_of(
                documents if self.held_out_files else split_documents(documents, split),
                source=self.name,
                split=split,
                context=context,
                num_samples=num_samples,
                description=self._description(found),
            )
        return self._pictures(found, split, num_samples, image_size, channels)

    def _documents(self, files: list[Found]) -> list[bytes]:
        plain = iter(read_documents(self.name, [file for file in files if not is_parquet(file)]))
        return [text_of(self.name, file, self.columns) if is_parquet(file) else next(plain) for file in files]

    def _pictures(
        self, found: Downloaded, split: Split, num_samples: int | None, image_size: int, channels: int
    ) -> Dataset:
        parquet = [file for file in found.files if is_parquet(file)]
        if parquet:
            rows = pictures_in(self.name, parquet)
            return pictures_of(
                MemoryShelf(rows.names, rows.contents),
                source=self.name,
                split=split,
                has_own_split=bool(self.held_out_files),
                num_samples=num_samples,
                image_size=image_size,
                channels=channels,
                description=self._description(found),
                classes=rows.classes,
                num_classes=rows.num_classes,
            )
        zips = [file for file in found.files if file.name.lower().endswith(".zip")]
        loose = [file for file in found.files if is_picture(file.name)]
        if len(zips) + bool(loose) != 1:
            raise DataError(
                self.name,
                f"of the {len(found.files)} files that match, {len(zips)} are zips and {len(loose)} are pictures",
                "set data.options.files to one zip, to parquet files or to the pictures",
                looked_in=[self._description(found)],
            )
        return images_of(
            shelf_at(self.name, zips[0].path)[0] if zips else FolderShelf(loose),
            source=self.name,
            labels=self.labels,
            split=split,
            num_samples=num_samples,
            image_size=image_size,
            channels=channels,
            where=self._description(found),
            has_own_split=bool(self.held_out_files),
        )

    def _description(self, found: Downloaded) -> str:
        return f"{self.repository} of the Hub, commit {found.commit[:12]}, {len(found.files)} files"
