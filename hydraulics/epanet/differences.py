"""What EPANET itself says of a small change, by solving on both sides of it.

This is the reference that every linearization is held against.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from epanet import toolkit as en

from hydraulics.epanet.boundary import Boundary, State
from hydraulics.epanet.session import quiet
from hydraulics.epanet.splitting import split_pipe
from hydraulics.epanet.toolkit import Solver
from hydraulics.errors import NotConvergedError
from hydraulics.network import BoolArray, FloatArray, LinkKind, NetworkModel

_REST_M3S = 1e-9
TIGHT = 1e-8
"""EPANET's smallest relative flow change."""
_ACCURACIES = (TIGHT, 1e-6, 1e-4)
_LOOSEST = 1e-2


@dataclass(frozen=True, slots=True)
class Outflow:
    """An outflow at a junction changes, by m³/s."""

    node: int


@dataclass(frozen=True, slots=True)
class SplitOutflow:
    """An outflow at the junction in a split pipe changes, by m³/s; `number` counts the splits."""

    number: int


@dataclass(frozen=True, slots=True)
class Roughness:
    """A pipe's roughness changes, relative to itself."""

    link: int


@dataclass(frozen=True, slots=True)
class Setting:
    """A valve's setting changes, in its SI unit."""

    link: int


Change = Outflow | SplitOutflow | Roughness | Setting


@dataclass(frozen=True, slots=True)
class Difference:
    """A central difference.

    Attributes:
        head: Change of heads by a unit change [m per unit], shape (n_nodes,).
        flow: Change of flows [m³/s per unit], shape (n_links,).
        kept_status: Whether every link is on both sides as it is between them.
    """

    head: FloatArray
    flow: FloatArray
    kept_status: bool


class DifferenceSolver(Solver):
    """A solver that changes one thing at a time; some of its pipes may be split."""

    def __init__(
        self,
        inp: Path,
        model: NetworkModel,
        splits: Sequence[tuple[int, float]] = (),
        accuracy: float = TIGHT,
    ) -> None:
        """Open the file.

        Args:
            inp: The file.
            model: Its network.
            splits: Pipes to put a junction in, each once, and where, as a fraction from the start
                node. A split pipe's flow is that of its part at the start node.
            accuracy: EPANET's.
        """
        self._splits = tuple(splits)
        self._split_node: list[int] = []
        self._rest: dict[int, tuple[int, ...]] = {}
        super().__init__(inp, model, accuracy)
        with quiet():
            for index in self._split_node:
                # A demand without a pattern would follow the file's default pattern.
                en.setdemandpattern(self.ph, index, 1, self._constant)

    def _prepare(self, model: NetworkModel) -> None:
        names = [f"wc-split-{number}" for number in range(len(self._splits))]
        for name, (link, place) in zip(names, self._splits, strict=True):
            split_pipe(self.ph, model.link_id[link], place, name, f"{name}-rest")
        self._split_node = [int(en.getnodeindex(self.ph, name)) for name in names]
        for name, (link, _) in zip(names, self._splits, strict=True):
            self._rest[link] = (int(en.getlinkindex(self.ph, f"{name}-rest")),)

    def settle(self, boundary: Boundary) -> State:
        """Return the solution at a boundary; ask for no more than EPANET reaches there from now on.

        Some networks stall above the accuracy that is asked for, and take all trials every time; in
        some the equations cannot be solved so near to it. A check valve that cycles on the way may
        settle when EPANET goes on from where it stopped.

        Raises:
            NotConvergedError: EPANET found none.
        """
        for accuracy in _ACCURACIES:
            en.setoption(self.ph, en.ACCURACY, accuracy)
            with suppress(NotConvergedError):
                self.solve(boundary)
                break
        state = self.solve(boundary)
        reached = float(en.getstatistic(self.ph, en.RELATIVEERROR))
        if reached > en.getoption(self.ph, en.ACCURACY):
            en.setoption(self.ph, en.ACCURACY, min(2.0 * reached, _LOOSEST))
            state = self.solve(boundary)
        return state

    def error_m3s(self, state: State) -> float:
        """Return what EPANET's accuracy leaves open, over all flows [m³/s]."""
        return float(en.getoption(self.ph, en.ACCURACY) * np.abs(state.flow_m3s).sum())

    def setting_of(self, boundary: Boundary, link: int) -> float:
        """Return the setting of a valve or pump at a boundary, in SI."""
        own = self._own_setting if np.isnan(boundary.setting[link]) else boundary.setting
        return float(own[link])

    def difference(
        self, boundary: Boundary, middle: State, change: Change, step: float
    ) -> Difference:
        """Return the central difference of a change.

        Args:
            boundary: Between the two sides.
            middle: The solution there.
            change: What changes.
            step: By how much to each side, in the change's unit.

        Raises:
            NotConvergedError: EPANET found no solution on one side.
        """
        up, down = (self._moved(boundary, change, side) for side in (step, -step))
        return Difference(
            head=(up.head_m - down.head_m) / (2.0 * step),
            flow=(up.flow_m3s - down.flow_m3s) / (2.0 * step),
            kept_status=self._is_alike(middle, up) and self._is_alike(middle, down),
        )

    def _is_alike(self, one: State, other: State) -> bool:
        same = np.array_equal(self._passes(one), self._passes(other))
        return bool(same and np.array_equal(one.is_held, other.is_held))

    def _passes(self, state: State) -> BoolArray:
        """Return which links water passes; a pump at rest is as good as closed."""
        is_pump = self.model.link_kind == LinkKind.PUMP
        rests = is_pump & (np.abs(state.flow_m3s) < _REST_M3S)
        return np.asarray(state.is_open & ~rests, dtype=np.bool_)

    def _moved(self, boundary: Boundary, change: Change, step: float) -> State:
        if isinstance(change, Outflow):
            demand_m3s = boundary.demand_m3s.copy()
            demand_m3s[change.node] += step
            return self.solve(boundary.with_demand(demand_m3s))
        if isinstance(change, Setting):
            return self.solve(self._set(boundary, change.link, step))
        if isinstance(change, Roughness):
            with self._rougher(change.link, 1.0 + step):
                return self.solve(boundary)
        with self._drawn(self._split_node[change.number], step):
            return self.solve(boundary)

    def _set(self, boundary: Boundary, link: int, step: float) -> Boundary:
        setting = boundary.setting.copy()
        setting[link] = self.setting_of(boundary, link) + step
        return replace(boundary, setting=setting)

    @contextmanager
    def _rougher(self, link: int, factor: float) -> Iterator[None]:
        parts = [self.link[link], *self._rest.get(link, ())]
        own = en.getlinkvalue(self.ph, parts[0], en.ROUGHNESS)
        self._roughen(parts, own * factor)
        try:
            yield
        finally:
            self._roughen(parts, own)

    def _roughen(self, parts: Sequence[int], roughness: float) -> None:
        for part in parts:
            en.setlinkvalue(self.ph, part, en.ROUGHNESS, roughness)

    @contextmanager
    def _drawn(self, index: int, flow_m3s: float) -> Iterator[None]:
        en.setbasedemand(self.ph, index, 1, flow_m3s)
        try:
            yield
        finally:
            en.setbasedemand(self.ph, index, 1, 0.0)
