"""An open project of EPANET's own library, in SI units and in the order of a model.

EPANET leaves temporary files in the working directory of the process when it runs over days; a
snapshot writes none, and its report goes to a scratch folder that is removed with the session.
"""

from __future__ import annotations

import ctypes
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from epanet import toolkit as en

from hydraulics.errors import HydraulicsError, ModelFileError
from hydraulics.network import FloatArray, NetworkModel

ACCURACY = 1e-6
"""Relative flow change at which a solve ends: at EPANET's 0.01 a leak's effect is off by 4 %; at
1e-6 heads of L-Town are within 3 µm of those at 1e-8, which takes twelve times as long."""
TRIALS = 200
_MORE_TRIALS = 10
ACTIVE = 2
"""EPANET's status of a valve that follows its setting; 0 is closed, 1 is open whatever happens."""


class Session:
    """An open EPANET project in CMS and metres, with ids mapped to the order of a model."""

    def __init__(self, inp: Path, model: NetworkModel) -> None:
        self.model = model
        self._scratch = tempfile.TemporaryDirectory(prefix="watercourse-")
        self.ph: Any = en.createproject()
        folder = Path(self._scratch.name)
        try:
            with quiet():
                en.open(self.ph, str(inp), str(folder / "report"), str(folder / "out"))
                self._to_si()
                self._prepare(model)
                self.node = [en.getnodeindex(self.ph, name) for name in model.node_id]
                self.link = [en.getlinkindex(self.ph, name) for name in model.link_id]
        except Exception as error:
            self.close()
            raise ModelFileError(said(error)) from error
        size = max(en.getcount(self.ph, en.NODECOUNT), en.getcount(self.ph, en.LINKCOUNT))
        self._buffer = en.doubleArray(size)
        address = int(self._buffer.cast())
        doubles = ctypes.c_double * size
        self._values = np.ctypeslib.as_array(doubles.from_address(address))
        self._node_at = np.array(self.node, dtype=np.int64) - 1
        self._link_at = np.array(self.link, dtype=np.int64) - 1

    def _to_si(self) -> None:
        en.setflowunits(self.ph, en.CMS)
        en.setoption(self.ph, en.PRESS_UNITS, en.METERS)
        en.setoption(self.ph, en.ACCURACY, ACCURACY)
        en.setoption(self.ph, en.TRIALS, TRIALS)
        en.setoption(self.ph, en.UNBALANCED, _MORE_TRIALS)
        en.setstatusreport(self.ph, en.NO_REPORT)

    def _prepare(self, model: NetworkModel) -> None:
        """Change the project before its ids are looked up: nothing here."""

    def nodes(self, prop: int) -> FloatArray:
        """Return a property of all nodes, in the model's order."""
        en.getnodevalues(self.ph, prop, self._buffer)
        return self._values[self._node_at]

    def links(self, prop: int) -> FloatArray:
        """Return a property of all links, in the model's order."""
        en.getlinkvalues(self.ph, prop, self._buffer)
        return self._values[self._link_at]

    def close(self) -> None:
        """Free the project and its scratch folder."""
        if self.ph is not None:
            with quiet():
                en.deleteproject(self.ph)
            self.ph = None
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep EPANET's warnings (a negative pressure, a closed pump) out of Python's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def said(error: Exception) -> str:
    """Return what EPANET said, or the kind of the error where it said nothing."""
    text = str(error).strip()
    if isinstance(error, HydraulicsError):
        return text
    return text or type(error).__name__
