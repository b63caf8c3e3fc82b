from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from tests.attacks.base import Attack, Seen, copied


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mimic(Attack):
    """All colluders copy the same honest gradient, the one furthest out along the direction in which the honest ones
    differ most (Karimireddy and others, 2022): nothing is forged, but one volunteer has the say of many.

    The paper finds that direction over many rounds, this one in the gradients of the round alone.
    """

    name: ClassVar[str] = "mimic"

    def forge(self, seen: Seen) -> dict[str, Tensor]:
        vectors = torch.stack(
            [torch.cat([gradient[name].flatten() for name in seen.own]).double() for gradient in seen.honest]
        )
        centred = vectors - vectors.mean(0)
        # The eigenvector of the Gram matrix has the projections on the direction that is meant.
        projections = torch.linalg.eigh(centred @ centred.T).eigenvectors[:, -1]
        return copied(seen.honest[int(projections.abs().argmax())])
