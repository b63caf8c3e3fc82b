"""The codecs that a run takes: one, or with `auto` a ladder, of which each worker picks what its line can carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from contract.compressors import CODECS, Codec

AUTO: Final = "auto"


def codecs_of(training: Mapping[str, Any]) -> tuple[Codec, ...]:
    """The least lossy first. No name is there twice: a blob says by its codec's name how it is to be read."""
    if training["codec"] == AUTO:
        return tuple(CODECS.build(rung["name"], rung["options"]) for rung in training["codec_ladder"])
    return (CODECS.build(training["codec"], training["codec_options"]),)
