from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from tests.attacks.base import Attack, Seen, copied


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Copycat(Attack):
    """A neighbour's upload once more, as though it were one's own: credit without work, and a say twice for one of
    the others. Each colluder picks a neighbour by chance."""

    name: ClassVar[str] = "copycat"

    def forge(self, seen: Seen) -> dict[str, Tensor]:
        return copied(seen.honest[int(torch.randint(len(seen.honest), (), generator=seen.noise()))])
