"""Codecs for gradients, one per file. A blob is decoded by the name it was sent under."""

from typing import Final

from contract.compressors.base import Codec, Decoder, ReadRange, Stored, range_reader
from contract.compressors.bf16 import Bf16
from contract.compressors.blobs import blob_manifest, encoded, open_blob
from contract.compressors.fp16 import Fp16
from contract.compressors.int8 import Int8
from contract.compressors.none import Whole
from contract.compressors.powersgd import PowerSgd
from contract.compressors.sign import Sign
from contract.compressors.sparse import Sparse
from contract.compressors.topk import TopK
from contract.compressors.two_bit import TwoBit
from contract.registry import Registry

CODECS: Final = Registry[Codec]("codec", Whole, Fp16, Bf16, Int8, TopK, Sparse, Sign, TwoBit, PowerSgd)

__all__ = [
    "CODECS",
    "Codec",
    "Decoder",
    "ReadRange",
    "Stored",
    "blob_manifest",
    "encoded",
    "open_blob",
    "range_reader",
]
