"""What hostile volunteers do, one attack per file: for tests and benchmarks, and no part of what volunteers install."""

from typing import Final

from contract.registry import Registry
from tests.attacks.base import Attack, Seen, Tensors
from tests.attacks.copycat import Copycat
from tests.attacks.free_rider_random import FreeRiderRandom
from tests.attacks.free_rider_stale import FreeRiderStale
from tests.attacks.gaussian import Gaussian
from tests.attacks.infinity import Infinity
from tests.attacks.inner_product import InnerProduct
from tests.attacks.label_flip import LabelFlip
from tests.attacks.little_is_enough import LittleIsEnough
from tests.attacks.mimic import Mimic
from tests.attacks.nan import NotANumber
from tests.attacks.scaled import Scaled
from tests.attacks.sign_flip import SignFlip
from tests.attacks.zero import Zero

ATTACKS: Final = Registry[Attack](
    "attack",
    SignFlip,
    InnerProduct,
    LittleIsEnough,
    Mimic,
    Infinity,
    Gaussian,
    LabelFlip,
    Zero,
    Scaled,
    NotANumber,
    Copycat,
    FreeRiderStale,
    FreeRiderRandom,
)

__all__ = ["ATTACKS", "Attack", "Seen", "Tensors"]
