"""Codecs for gradients, one per file. A blob is decoded by the name it was sent under."""

from typing import Final

from contract.compressors.base import Codec, Decoder, ReadRange, Stored, encoded, open_blob, range_reader
from contract.compressors.fp16 import Fp16
from contract.compressors.none import Whole
from contract.registry import Registry

CODECS: Final = Registry[Codec]("codec", Whole, Fp16)

__all__ = ["CODECS", "Codec", "Decoder", "ReadRange", "Stored", "encoded", "open_blob", "range_reader"]
