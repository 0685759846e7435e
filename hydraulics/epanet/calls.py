"""EPANET's C functions for compiled loops: a call for each junction costs more than its work."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import epanet
import numpy as np
import numpy.typing as npt

from hydraulics.compiled import compiled
from hydraulics.network import FloatArray

NumberArray = npt.NDArray[np.int32]
"""EPANET's own numbers of nodes, from 1."""
_FIRST = 1
_LIBRARIES = frozenset({".so", ".dylib", ".dll"})


def _set_base_demand() -> Any:  # noqa: ANN401 - a C function
    beside = Path(epanet.__file__).parent.glob("*epanet2.*")
    (library,) = (path for path in beside if path.suffix in _LIBRARIES)
    function = ctypes.CDLL(str(library)).EN_setbasedemand
    function.argtypes = (ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_double)
    function.restype = ctypes.c_int
    return function


_SET_BASE_DEMAND = _set_base_demand()


def set_demands(ph: Any, number: NumberArray, demand: FloatArray) -> None:  # noqa: ANN401
    """Set the first base demand of some junctions, in the project's own unit.

    Args:
        ph: The project.
        number: EPANET's number of each junction, shape (n,).
        demand: Shape (n,).
    """
    failed = _set_each(_SET_BASE_DEMAND, int(ph), number, demand)
    assert failed == 0, f"EPANET refuses a demand of its own junction: error {failed}"


@compiled
def _set_each(function: Any, ph: int, number: NumberArray, demand: FloatArray) -> int:  # noqa: ANN401
    for n in range(len(number)):
        failed = function(ph, number[n], _FIRST, demand[n])
        if failed:
            return int(failed)
    return 0
