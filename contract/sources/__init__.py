"""Where samples come from: one file each, chosen by data.name."""

from contract.registry import Registry
from contract.sources.base import Batch, Dataset, Kind, Source, Split
from contract.sources.glyphs import Glyphs
from contract.sources.hub import Hub
from contract.sources.images import Images
from contract.sources.mnist import Mnist
from contract.sources.shapes import Shapes
from contract.sources.stdlib import Stdlib
from contract.sources.text import Text

SOURCES = Registry[Source]("data source", Glyphs, Shapes, Images, Mnist, Text, Stdlib, Hub)

__all__ = ["SOURCES", "Batch", "Dataset", "Kind", "Source", "Split"]
