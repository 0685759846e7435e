"""What could happen in a network that differs from its model: the truth behind simulated readings.

A run takes the file, changes what nobody knows exactly (demands, roughness), lets leaks start, and
returns what instruments without fault would read. It runs EPANET in process; nothing is written
outside the scratch folder that the caller gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hydraulics.epanet.project import Project
from hydraulics.errors import HydraulicsError

FloatArray = npt.NDArray[np.float64]
Progress = Callable[[str, int, int], None]

DAY_S = 86_400
HOUR_S = 3_600
_WEEK_S = 7 * DAY_S


class ScenarioError(HydraulicsError):
    """A scenario asks for what the network does not have."""

    exit_code = 2
    code = "BAD_INPUT"

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(subject, reason)
        self.subject = subject
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason}"


@dataclass(frozen=True, slots=True)
class PipeLeak:
    """A leak that opens at once and stays open.

    Attributes:
        pipe_id: EPANET id of the pipe.
        place: Fraction of the way from the start node, above 0 and below 1.
        flow_m3s: Outflow when it opens [m³/s], above 0; later it follows the pressure as the
            file's emitter exponent says (a half unless it says otherwise).
        start_s: When it opens [s since the start of the window]; it opens at the first step then.
    """

    pipe_id: str
    place: float
    flow_m3s: float
    start_s: int


@dataclass(frozen=True, slots=True)
class Perturbation:
    """How far the truth is from the model. All factors are independent and have a mean of 1.

    Attributes:
        demand_sigma: Log-normal spread of each junction's demand, for the whole run [-].
        hourly_sigma: Log-normal spread of each junction's demand, drawn anew each hour [-].
        day_sigma: Log-normal spread of all demands together, drawn anew each day [-].
        roughness_half_width: Each pipe's roughness is multiplied by 1 ± up to this, uniformly [-].
    """

    demand_sigma: float = 0.30
    hourly_sigma: float = 0.10
    day_sigma: float = 0.03
    roughness_half_width: float = 0.10


@dataclass(frozen=True, slots=True)
class Chlorine:
    """How free chlorine is dosed and lost. Both decays are of first order.

    Attributes:
        dose_g_m3: Concentration at every reservoir [g/m³].
        dose_sigma: Log-normal spread of the dose, drawn anew each hour [-].
        bulk_per_day: Decay in the water [1/day], above 0.
        wall_m_per_day: Decay at the wall of the pipe [m/day], above 0.
        outage_start_s: When the dosing fails [s since the start of the window], None for never.
        outage_s: How long it fails [s].
        outage_factor: What is left of the dose while it fails [-].
    """

    dose_g_m3: float = 0.5
    dose_sigma: float = 0.04
    bulk_per_day: float = 0.6
    wall_m_per_day: float = 0.20
    outage_start_s: int | None = None
    outage_s: int = 0
    outage_factor: float = 0.3


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens, and for how long.

    Attributes:
        model_start_s: The model's clock at the start of the window [s].
        duration_s: Length of the window [s], a multiple of `step_s`.
        seed: Of every random draw. Leaks draw nothing: runs with one seed differ by them alone.
        step_s: Time between rows [s].
        warm_up_s: Run before the window, so that tanks and chlorine forget how they began [s].
        leaks: The leaks, each in a pipe of its own.
        perturbation: How far the truth is from the model.
        chlorine: How chlorine is dosed, None to leave it out.
    """

    model_start_s: int
    duration_s: int
    seed: int
    step_s: int = 300
    warm_up_s: int = 3 * DAY_S
    leaks: tuple[PipeLeak, ...] = ()
    perturbation: Perturbation = field(default_factory=Perturbation)
    chlorine: Chlorine | None = None


@dataclass(frozen=True, slots=True)
class Watched:
    """What is read, as EPANET ids."""

    pressure_nodes: tuple[str, ...] = ()
    level_tanks: tuple[str, ...] = ()
    flow_links: tuple[str, ...] = ()
    chlorine_nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Truth:
    """What instruments without fault would read.

    Attributes:
        time_s: Time since the start of the window [s], shape (n_times,).
        pressure_m: Pressure [m of water], shape (n_times, n_pressure_nodes).
        level_m: Level above the tank's bottom [m], shape (n_times, n_level_tanks).
        flow_m3s: Flow [m³/s], positive from start to end node, shape (n_times, n_flow_links).
        chlorine_g_m3: Free chlorine [g/m³], shape (n_times, n_chlorine_nodes).
        leak_m3s: Outflow of each leak [m³/s], shape (n_times, n_leaks).
        inflow_m3s: Water that leaves the reservoirs [m³/s], shape (n_times,).
    """

    time_s: npt.NDArray[np.int64]
    pressure_m: FloatArray
    level_m: FloatArray
    flow_m3s: FloatArray
    chlorine_g_m3: FloatArray
    leak_m3s: FloatArray
    inflow_m3s: FloatArray


def run_scenario(
    inp: Path, scenario: Scenario, watched: Watched, scratch: Path, progress: Progress | None = None
) -> Truth:
    """Run the changed network and return what is watched.

    Args:
        inp: The EPANET file.
        scenario: What happens.
        watched: What is read.
        scratch: A folder for EPANET's own report.
        progress: Called with ("simulate", rows done, rows in all) about once a simulated hour.

    Raises:
        ScenarioError: A leak or an id that the network cannot have.
        ModelFileError: EPANET cannot read the file.
        NotConvergedError: EPANET found no hydraulic solution.
    """
    _check(scenario)
    with Project(inp, scratch) as project:
        _check_ids(project, scenario, watched)
        run = _Run(project, scenario, watched)
        run.to_the_end(progress)
        return run.truth()


def _check(scenario: Scenario) -> None:
    if scenario.duration_s <= 0 or scenario.duration_s % scenario.step_s:
        raise ScenarioError("duration", f"must be a multiple of {scenario.step_s} s above 0")
    seen: set[str] = set()
    for leak in scenario.leaks:
        if leak.pipe_id in seen:
            raise ScenarioError(leak.pipe_id, "has two leaks; give each leak a pipe of its own")
        seen.add(leak.pipe_id)
        if not 0.0 < leak.place < 1.0:
            raise ScenarioError(leak.pipe_id, "the place of a leak lies between 0 and 1")
        if not (leak.flow_m3s > 0.0 and np.isfinite(leak.flow_m3s)):
            raise ScenarioError(leak.pipe_id, "the flow of a leak is above 0")
        if not 0 <= leak.start_s < scenario.duration_s:
            raise ScenarioError(leak.pipe_id, "the leak does not start within the window")


def _check_ids(project: Project, scenario: Scenario, watched: Watched) -> None:
    for leak in scenario.leaks:
        link = project.link_index(leak.pipe_id)
        if link is None or not project.is_pipe(link):
            raise ScenarioError(leak.pipe_id, "no such pipe in this network")
        if not project.is_open_as_built(link):
            raise ScenarioError(leak.pipe_id, "is closed; a leak needs a pipe that carries water")
    tanks = {project.node_id(tank) for tank in project.tanks()}
    for tank_id in watched.level_tanks:
        if tank_id not in tanks:
            raise ScenarioError(tank_id, "no such tank in this network")
    for node_id in (*watched.pressure_nodes, *watched.chlorine_nodes):
        if project.node_index(node_id) is None:
            raise ScenarioError(node_id, "no such node in this network")
    for link_id in watched.flow_links:
        if project.link_index(link_id) is None:
            raise ScenarioError(link_id, "no such link in this network")


class _Run:
    """One run: draws what nobody knows, lets it happen, and keeps what is watched."""

    def __init__(self, project: Project, scenario: Scenario, watched: Watched) -> None:
        self._project = project
        self._scenario = scenario
        # One stream for each purpose: what one part draws never moves what another draws.
        streams = np.random.SeedSequence(scenario.seed).spawn(5)
        static, roughness, hourly, daily, dose = (np.random.default_rng(s) for s in streams)
        self._static, self._hourly, self._daily, self._dose = static, hourly, daily, dose
        self._perturb_roughness(roughness)
        for i, leak in enumerate(scenario.leaks):
            project.split_pipe(leak.pipe_id, leak.place, f"_leak{i}", f"_rest{i}")
        project.set_clock(*self._clock())
        if scenario.chlorine is not None:
            chlorine = scenario.chlorine
            project.follow_chlorine(chlorine.bulk_per_day, chlorine.wall_m_per_day)
            project.set_initial_chlorine(chlorine.dose_g_m3)
        self._find(watched)
        self._draw_demands()
        n_times = scenario.duration_s // scenario.step_s
        self._rows: list[_Row] = []
        self._n_times = n_times

    def _clock(self) -> tuple[int, int, int]:
        scenario = self._scenario
        begins_s = scenario.model_start_s - scenario.warm_up_s
        begins_s += -(begins_s // _WEEK_S) * _WEEK_S if begins_s < 0 else 0
        return begins_s, scenario.warm_up_s + scenario.duration_s, scenario.step_s

    def _perturb_roughness(self, draw: np.random.Generator) -> None:
        half_width = self._scenario.perturbation.roughness_half_width
        for pipe in self._project.pipes():
            self._project.scale_roughness(pipe, 1.0 + half_width * draw.uniform(-1.0, 1.0))

    def _find(self, watched: Watched) -> None:
        node, link = self._project.node_index, self._project.link_index
        self._pressure = [_found(node(name)) for name in watched.pressure_nodes]
        self._level = [_found(node(name)) for name in watched.level_tanks]
        self._flow = [_found(link(name)) for name in watched.flow_links]
        self._chlorine = [_found(node(name)) for name in watched.chlorine_nodes]
        self._leaks = [_found(node(f"_leak{i}")) for i in range(len(self._scenario.leaks))]
        self._reservoirs = self._project.reservoirs()

    def _draw_demands(self) -> None:
        """Draw the factor of each junction that the file gives a demand, in the file's order."""
        sigma = self._scenario.perturbation.demand_sigma
        junctions = [node for node in self._project.junctions() if node not in set(self._leaks)]
        factors = _log_normal(self._static, sigma, len(junctions))
        self._demands = [
            (node, category, base * factor)
            for node, factor in zip(junctions, factors, strict=True)
            for category, base in enumerate(self._project.base_demands(node))
            if base != 0.0
        ]

    def to_the_end(self, progress: Progress | None) -> None:
        """Run the warm-up and the window."""
        warm_up_s, step_s = self._scenario.warm_up_s, self._scenario.step_s
        waiting = dict(enumerate(leak.start_s for leak in self._scenario.leaks))
        at_s, next_hour_s, length_s = 0, 0, 1
        self._project.start()
        while length_s > 0 and len(self._rows) < self._n_times:
            if at_s >= next_hour_s:
                self._begin_hour(at_s)
                next_hour_s += HOUR_S
            at_s = self._project.solve()
            window_s = at_s - warm_up_s
            if window_s >= 0 and at_s % step_s == 0:
                self._open_leaks(waiting, window_s)
                self._rows.append(self._read())
                if progress is not None and window_s % HOUR_S == 0:
                    progress("simulate", len(self._rows), self._n_times)
            length_s = self._project.step()
            at_s += length_s
        assert len(self._rows) == self._n_times, "EPANET ended the run early"

    def _begin_hour(self, at_s: int) -> None:
        perturbation = self._scenario.perturbation
        if at_s % DAY_S == 0:
            self._day_factor = float(_log_normal(self._daily, perturbation.day_sigma, 1)[0])
        factors = _log_normal(self._hourly, perturbation.hourly_sigma, len(self._demands))
        for (node, category, base), factor in zip(self._demands, factors, strict=True):
            self._project.set_base_demand(node, category, base * factor * self._day_factor)
        if self._scenario.chlorine is not None:
            self._set_doses(self._scenario.chlorine, at_s - self._scenario.warm_up_s)

    def _set_doses(self, chlorine: Chlorine, window_s: int) -> None:
        factors = _log_normal(self._dose, chlorine.dose_sigma, len(self._reservoirs))
        begins_s = chlorine.outage_start_s
        is_out = begins_s is not None and begins_s <= window_s < begins_s + chlorine.outage_s
        left = chlorine.outage_factor if is_out else 1.0
        for reservoir, factor in zip(self._reservoirs, factors, strict=True):
            self._project.set_dose(reservoir, chlorine.dose_g_m3 * float(factor) * left)

    def _open_leaks(self, waiting: dict[int, int], window_s: int) -> None:
        for i, start_s in list(waiting.items()):
            if start_s <= window_s:
                self._project.open_leak(self._leaks[i], self._scenario.leaks[i].flow_m3s)
                del waiting[i]

    def _read(self) -> _Row:
        project = self._project
        return _Row(
            pressure_m=[project.pressure_m(node) for node in self._pressure],
            level_m=[project.level_m(tank) for tank in self._level],
            flow_m3s=[project.flow_m3s(link) for link in self._flow],
            chlorine_g_m3=[project.chlorine_g_m3(node) for node in self._chlorine],
            leak_m3s=[project.outflow_m3s(node) for node in self._leaks],
            inflow_m3s=-sum(project.outflow_m3s(node) for node in self._reservoirs),
        )

    def truth(self) -> Truth:
        """Return what was read, in columns."""
        return Truth(
            time_s=np.arange(self._n_times, dtype=np.int64) * self._scenario.step_s,
            pressure_m=_table([row.pressure_m for row in self._rows]),
            level_m=_table([row.level_m for row in self._rows]),
            flow_m3s=_table([row.flow_m3s for row in self._rows]),
            chlorine_g_m3=_table([row.chlorine_g_m3 for row in self._rows]),
            leak_m3s=_table([row.leak_m3s for row in self._rows]),
            inflow_m3s=np.array([row.inflow_m3s for row in self._rows], dtype=np.float64),
        )


@dataclass(frozen=True, slots=True)
class _Row:
    pressure_m: list[float]
    level_m: list[float]
    flow_m3s: list[float]
    chlorine_g_m3: list[float]
    leak_m3s: list[float]
    inflow_m3s: float


def _found(index: int | None) -> int:
    assert index is not None, "ids were checked before the run"
    return index


def _log_normal(draw: np.random.Generator, sigma: float, n: int) -> FloatArray:
    return np.asarray(np.exp(sigma * draw.standard_normal(n) - sigma**2 / 2.0), dtype=np.float64)


def _table(rows: list[list[float]]) -> FloatArray:
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1)
