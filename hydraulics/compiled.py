"""Loops over networks, compiled once and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


def compiled(function: Callable[_Params, _Result]) -> Callable[_Params, _Result]:
    """Return a loop compiled at its first call; the machine code is kept beside the module.

    Products and sums may be fused and sums taken in another order; not-a-number stays what it is.
    """
    made = njit(cache=True, nogil=True, fastmath={"contract", "reassoc"}, error_model="numpy")(
        function
    )
    return cast("Callable[_Params, _Result]", made)
