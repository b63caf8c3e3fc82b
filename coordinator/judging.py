"""Opens a gradient where it lies, and asks whether it may be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from contract.compressors import CODECS, open_blob
from contract.errors import BlobError, ConfigError
from coordinator.admission import Admitted, Refused, admit
from coordinator.blobs import GradientBytes
from coordinator.ledger.gradients import WaitingGradient
from coordinator.vectors import Vectors


def judge(
    conn: Connection,
    gradient: WaitingGradient,
    *,
    training: Mapping[str, Any],
    vectors: Vectors,
    freshness: float = 1.0,
    keep: bool = False,
) -> Admitted | Refused:
    """What is admitted reads its bytes through `conn`, for as long as that is open, or holds them if told to `keep`."""
    try:
        codec = CODECS.build(gradient.codec, training["codec_options"])
        blob = GradientBytes(conn, gradient, keep=keep)
        return admit(
            gradient=gradient.gradient,
            # In the order of the samples, whoever came first: so the sum has the same bits in every run.
            place=gradient.unit,
            decoder=open_blob(codec, blob.read, gradient.num_bytes, vectors.manifest),
            vectors=vectors,
            num_samples=gradient.num_samples,
            unit_samples=gradient.unit_samples,
            decay=freshness,
            clip_norm=training["gradient_clip_norm"],
        )
    except (BlobError, ConfigError) as error:
        return Refused(gradient=gradient.gradient, verdict=str(error).splitlines()[0][:1000])
