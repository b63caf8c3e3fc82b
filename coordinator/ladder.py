"""What a run writes down of its codec: one, or the ladder of `auto`."""

from __future__ import annotations

from typing import Any, Final

from contract.compressors import CODECS
from contract.compressors.ladder import AUTO
from contract.config.training_sections import Aggregation, Compression
from contract.errors import ConfigError

# Each a half or less of the one before. A rule that compares gradients with one another must not tell by the codec who
# sits at the end of a slow line, so these stay within a hundredth of what was sent.
_CLOSE: Final = ("none", "fp16", "int8")
_ANY: Final = (*_CLOSE, "topk", "sparse")
_OPTIONS: Final[dict[str, dict[str, object]]] = {"topk": {"ratio": 0.03}}


def settled_codec(compression: Compression, aggregation: Aggregation, *, bears_delay: bool = True) -> dict[str, Any]:
    """ConfigError where there is no such codec, or it has no such option. `bears_delay`: the run learns from gradients
    of which most comes later, too."""
    if compression.codec != AUTO:
        CODECS.build(compression.codec, compression.options)
        return {"codec": compression.codec, "codec_options": dict(compression.options), "codec_ladder": None}
    if compression.options:
        raise ConfigError(["compression.options: codec auto picks among several and takes none; remove them"])
    names = _ANY if bears_delay and aggregation.rule == "mean" and not aggregation.before else _CLOSE
    return {
        "codec": AUTO,
        "codec_options": {},
        "codec_ladder": [{"name": name, "options": _OPTIONS.get(name, {})} for name in names],
    }
