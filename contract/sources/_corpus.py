"""Text as bytes: documents one after another, cut into windows."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Final

import numpy
import torch

from contract.errors import DataError
from contract.sources.base import (
    HELD_OUT_EVERY,
    NUM_BYTE_VALUES,
    Batch,
    Split,
    checked_indices,
    fingerprint_of,
    samples_to_use,
)

MAX_CORPUS_BYTES: Final = 2 << 30


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Windows that share one byte with the next: every byte but the first is predicted once an epoch."""

    content: numpy.ndarray[tuple[int], numpy.dtype[numpy.uint8]]
    context: int
    num_samples: int
    fingerprint: str
    description: str
    num_classes: int | None = None
    vocabulary_size: int | None = NUM_BYTE_VALUES

    def batch(self, indices: Sequence[int]) -> Batch:
        starts = checked_indices(indices, self.num_samples) * self.context
        windows = numpy.lib.stride_tricks.sliding_window_view(self.content, self.context + 1)
        return Batch(tokens=torch.from_numpy(windows[starts].astype(numpy.int64)))


def split_documents(documents: Sequence[bytes], split: Split) -> list[bytes]:
    """Every tenth document is held out; of fewer than ten, the last tenth of each."""
    if len(documents) >= HELD_OUT_EVERY:
        is_held_out = HELD_OUT_EVERY - 1
        return [
            document
            for place, document in enumerate(documents)
            if (place % HELD_OUT_EVERY == is_held_out) is (split == "held_out")
        ]
    cuts = [len(document) - len(document) // HELD_OUT_EVERY for document in documents]
    if split == "train":
        return [document[:cut] for document, cut in zip(documents, cuts, strict=True)]
    return [document[cut:] for document, cut in zip(documents, cuts, strict=True)]


def corpus_of(
    documents: Sequence[bytes],
    *,
    source: str,
    split: Split,
    context: int,
    num_samples: int | None,
    description: str,
) -> Corpus:
    """`documents` are those of this split already."""
    if context < 1:
        raise DataError(source, f"a context is at least 1 byte long, not {context}", "set the workload's context")
    joined = b"".join(documents)
    available = (len(joined) - 1) // context
    if available < 1:
        raise DataError(
            source,
            f"{len(joined)} bytes of text ({_words(split)}) do not fill one window of {context + 1}",
            "take more text or a shorter context",
            looked_in=[description],
        )
    content = numpy.frombuffer(joined, dtype=numpy.uint8)
    return Corpus(
        content=content,
        context=context,
        num_samples=samples_to_use(source, available, num_samples),
        fingerprint=fingerprint_of(
            source="bytes", split=split, context=context, content=hashlib.sha256(joined).hexdigest()
        ),
        description=f"{description}; {len(joined)} bytes {_words(split)}",
    )


def _words(split: Split) -> str:
    return "to learn from" if split == "train" else "held out"
