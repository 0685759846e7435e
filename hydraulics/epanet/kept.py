"""Solvers that stay open between runs: reading a file and taking its time out costs half a run.

A run borrows a solver and has it to itself. One that comes back whole waits for the next run on a
file of the same content; what a run left in it does not matter, as every solve is at the boundary
that it is given, and the first one starts anew. At most `_MOST` wait.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from hydraulics.epanet.toolkit import Solver
from hydraulics.errors import ModelFileError
from hydraulics.network import NetworkModel

_MOST = 2


@dataclass(frozen=True, slots=True)
class _Kept:
    """A solver that waits, with what it was opened for.

    Attributes:
        content: Hash of the file.
        pid: The process that opened it.
        solver: The solver.
    """

    content: bytes
    pid: int
    solver: Solver


_waiting: list[_Kept] = []
_lock = threading.Lock()


@contextmanager
def borrowed(inp: Path, model: NetworkModel) -> Iterator[Solver]:
    """Give a solver of a file; after the block it is kept for the next, unless an error left it.

    Args:
        inp: The file. What counts is its content, not its name.
        model: Its network.

    Raises:
        ModelFileError: The file cannot be read.
    """
    try:
        content = hashlib.sha256(inp.read_bytes()).digest()
    except OSError as error:
        raise ModelFileError(str(error)) from error
    solver = _take(content, model) or Solver(inp, model)
    is_whole = False
    try:
        yield solver
        is_whole = not solver.is_altered
    finally:
        if is_whole:
            solver.start_anew()
            _keep(_Kept(content, os.getpid(), solver))
        else:
            solver.close()


def close_all() -> None:
    """Close the solvers that wait."""
    with _lock:
        closing = _waiting.copy()
        _waiting.clear()
    for one in closing:
        _close(one)


def _take(content: bytes, model: NetworkModel) -> Solver | None:
    with _lock:
        for at, one in enumerate(_waiting):
            # A process that was forked off leaves its parent's projects alone.
            is_own = one.pid == os.getpid()
            if is_own and one.content == content and _is_same(one.solver.model, model):
                return _waiting.pop(at).solver
    return None


def _keep(kept: _Kept) -> None:
    with _lock:
        _waiting.append(kept)
        oldest = _waiting.pop(0) if len(_waiting) > _MOST else None
    if oldest is not None:
        _close(oldest)


def _close(kept: _Kept) -> None:
    if kept.pid == os.getpid():
        kept.solver.close()


def _is_same(one: NetworkModel, other: NetworkModel) -> bool:
    if one is other:
        return True
    return all(
        _is_equal(getattr(one, field.name), getattr(other, field.name))
        for field in fields(NetworkModel)
    )


def _is_equal(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and one.tobytes() == other.tobytes()
    return one == other


atexit.register(close_all)
