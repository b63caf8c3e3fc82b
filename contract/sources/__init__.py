"""Where samples come from: one file each, chosen by data.name."""

from contract.registry import Registry
from contract.sources.base import Batch, Dataset, Kind, Source, Split
from contract.sources.glyphs import Glyphs
from contract.sources.shapes import Shapes
from contract.sources.stdlib import Stdlib

SOURCES = Registry[Source]("data source", Glyphs, Shapes, Stdlib)

__all__ = ["SOURCES", "Batch", "Dataset", "Kind", "Source", "Split"]
