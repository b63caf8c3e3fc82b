from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from contract.sources.base import Batch
from tests.attacks.base import Attack, Seen, copied


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LabelFlip(Attack):
    """An honest gradient of wrong data: of C classes, class c is called C - 1 - c. Data without labels stays."""

    name: ClassVar[str] = "label_flip"

    def samples(self, batch: Batch, *, num_classes: int | None) -> Batch:
        if batch.labels is None or num_classes is None:
            return batch
        return dataclasses.replace(batch, labels=num_classes - 1 - batch.labels)

    def forge(self, seen: Seen) -> dict[str, Tensor]:
        return copied(seen.own)
