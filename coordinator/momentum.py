"""Does the momentum of local rounds fit the codec? What a sparse one leaves out comes rounds late; a momentum that
looks back over as many drives it too far, and the class diverges. Where was measured: docs/explanation/local-steps.md.
"""

from __future__ import annotations

from typing import Final

from contract.compressors import CODECS
from contract.compressors.ladder import AUTO
from contract.config import Config
from contract.errors import ConfigError
from contract.tensors import Manifest, TensorSpec

# A class still learns with less of any of the three, if badly.
_LONG_MOMENTUM: Final = 0.9
# How far the result of one round carries in all, in steps of a learning rate of 1.
_LONG_WAY: Final = 3.5
_LONG_MEMORY: Final = 0.9
# A codec that sends so much of a tensor leaves out little, and that not for long.
_MUCH_SENT: Final = 0.1
_LARGE: Final = Manifest(tensors=(TensorSpec(name="any", dtype="F32", shape=(1024, 1024)),))


def bears_delay(config: Config, *, feedback_decay: float) -> bool:
    """Whether gradients may come late, in parts; `feedback_decay` is the run's."""
    training = config.training
    return (
        training.mode != "local"
        or feedback_decay < _LONG_MEMORY
        or training.outer_momentum < _LONG_MOMENTUM
        or training.outer_learning_rate < _LONG_WAY * (1.0 - training.outer_momentum)
    )


def require_steady(config: Config, *, feedback_decay: float) -> None:
    """ConfigError where codec and momentum together diverge. With `auto` the run allows no codec that does."""
    compression, momentum = config.compression, config.training.outer_momentum
    if compression.codec == AUTO or bears_delay(config, feedback_decay=feedback_decay):
        return
    codec = CODECS.build(compression.codec, compression.options)
    if not codec.is_sparse or codec.wire_manifest(_LARGE).num_bytes >= _MUCH_SENT * _LARGE.num_bytes:
        return
    raise ConfigError(
        [
            f"training.outer_momentum: {momentum:g} looks back over {1.0 / (1.0 - momentum):.0f} rounds, and in local "
            f"what compression.codec {codec.name} leaves out comes as late: together they diverge; set "
            "training.outer_momentum to 0.8 or less (0.5 is the default), or take a dense codec such as int8"
        ]
    )
