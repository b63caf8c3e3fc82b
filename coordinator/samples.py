"""What a model makes when it is asked: pictures, or text. Weights in, a picture or text out."""

from __future__ import annotations

import dataclasses
import io
from typing import Final, cast

import torch

from contract.workloads.base import GenerativeModel, OpenModel, PredictiveModel
from coordinator.pictures import NUM_IMAGES, PICTURE, Pixels, grid_of, pixels_from
from coordinator.writing import Taste, written

TEXT: Final = "text/plain"
_NUM_TOKENS: Final = 400
# The same noise each time: one sees an image change, and not another one.
SEED: Final = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    media_type: str
    content: bytes


def sample_of(model: OpenModel) -> Sample | None:
    """None of a model that only judges."""
    if draws(model):
        file = io.BytesIO()
        grid_of(images_of(model, count=NUM_IMAGES, seed=SEED)).save(file, "PNG", optimize=True)
        return Sample(media_type=PICTURE, content=file.getvalue())
    if writes(model):
        text = "".join(written(cast(PredictiveModel, model), "", num_tokens=_NUM_TOKENS, taste=Taste(), seed=SEED))
        return Sample(media_type=TEXT, content=text.encode())
    return None


def images_of(model: OpenModel, *, count: int, seed: int) -> Pixels:
    drawn = cast(GenerativeModel, model).samples(count, seed=seed)
    return pixels_from(drawn.to(torch.float32).numpy())


def draws(model: OpenModel) -> bool:
    return hasattr(model, "samples")


def writes(model: OpenModel) -> bool:
    return hasattr(model, "next_scores")
