"""The codecs as tests go through them: each with its defaults, and some with options that take other paths."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from contract.compressors import CODECS, Codec


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    codec: str
    options: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        return "-".join([self.codec, *map(str, self.options.values())])

    def build(self) -> Codec:
        return CODECS.build(self.codec, self.options)


_VARIANTS: Final = (
    Case(codec="int8", options={"block": 100}),
    Case(codec="topk", options={"ratio": 0.3}),
    Case(codec="sparse", options={"bits": 4}),
    Case(codec="sparse", options={"bits": 8}),
    Case(codec="sign", options={"block": 50}),
    Case(codec="powersgd", options={"rank": 1}),
)
CASES: Final = {case.name: case for case in (*(Case(codec=name) for name in CODECS.names), *_VARIANTS)}


def normal(*shape: int, scale: float = 1.0, offset: float = 0.0) -> Tensor:
    return torch.empty(shape).normal_(generator=torch.Generator().manual_seed(1)).mul_(scale).add_(offset)
