"""What the compiled kernels share: how machine code that is written in Python reads memory of which it knows the
address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from numba import carray, njit, types
from numba.extending import intrinsic

# A product and a sum are rounded once where the processor can (as torch does it); the order of sums stays what it is.
FUSED: Final = {"contract"}
# Sums may be shared out among the lanes of a vector unit, in one way on each kind of processor.
IN_LANES: Final = {"contract", "reassoc", "nsz"}

compiled = njit(nogil=True)
compiled_and_kept = njit(nogil=True, cache=True, fastmath=FUSED)
compiled_in_lanes = njit(nogil=True, cache=True, fastmath=IN_LANES)


@intrinsic
def _floats_at(typing_context: Any, address: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.CPointer(types.float32)))

    return types.CPointer(types.float32)(types.int64), generate


@compiled_and_kept
def floats(address: int, number: int) -> Any:
    return carray(_floats_at(address), (number,))
