"""Solvers that stay open between runs are as good as new ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydraulics.epanet import kept
from hydraulics.epanet.kept import borrowed, close_all
from hydraulics.epanet.reading import read_network
from hydraulics.epanet.toolkit import Boundary, Solver, State
from hydraulics.errors import ModelFileError, NotConvergedError
from hydraulics.network import LinkKind, NetworkModel

NETWORKS = Path(__file__).parents[2] / "data" / "networks"
FILES = {name: NETWORKS / name / "network.inp" for name in ("ltown", "net3")}
MODELS = {name: read_network(inp) for name, inp in FILES.items()}


@pytest.fixture(autouse=True)
def nothing_waits() -> Iterator[None]:
    close_all()
    yield
    close_all()


def boundary_at(solver: Solver, hour: int, factor: float, *, pumps_rest: bool) -> Boundary:
    model, times = solver.model, np.array([3600.0 * hour])
    is_pump = model.link_kind == LinkKind.PUMP
    return Boundary(
        solver.demand_m3s(times)[0] * factor,
        solver.fixed_head_m(times)[0],
        model.is_open & ~(is_pump & pumps_rest),
        solver.pump_speed(times)[0],
    )


Asked = tuple[int, float, bool]
asked = st.tuples(st.integers(0, 23), st.floats(0.3, 1.3), st.booleans())


def states(solver: Solver, wanted: list[Asked]) -> list[State | None]:
    found: list[State | None] = []
    for hour, factor, rests in wanted:
        try:
            found.append(solver.solve(boundary_at(solver, hour, factor, pumps_rest=rests)))
        except NotConvergedError:
            found.append(None)
    return found


def is_alike(one: State | None, other: State | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("head_m", "flow_m3s", "delivered_m3s", "is_open", "is_held")
    )


@pytest.mark.parametrize("name", FILES)
@given(before=st.lists(asked, min_size=1, max_size=3), wanted=st.lists(asked, max_size=4))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_solver_that_was_used_gives_a_new_ones_states_to_the_last_bit(
    name: str, before: list[Asked], wanted: list[Asked]
) -> None:
    inp, model = FILES[name], MODELS[name]
    with borrowed(inp, model) as first:
        states(first, before)
    with borrowed(inp, model) as again, Solver(inp, model) as new:
        assert again is first
        assert all(map(is_alike, states(again, wanted), states(new, wanted)))


def test_leaks_that_were_tried_leave_nothing_behind() -> None:
    inp, model = FILES["ltown"], MODELS["ltown"]
    with borrowed(inp, model) as first:
        boundary = boundary_at(first, 8, 1.0, pumps_rest=False)
        first.with_outflow(boundary, [5, 300, 700], [0.002, 0.01, 0.005])
    with borrowed(inp, model) as again, Solver(inp, model) as new:
        assert is_alike(again.solve(boundary), new.solve(boundary))


def test_what_counts_is_the_content_and_not_the_name(tmp_path: Path) -> None:
    copy = tmp_path / "copy.inp"
    copy.write_bytes(FILES["net3"].read_bytes())
    with borrowed(FILES["net3"], MODELS["net3"]) as first:
        pass
    with borrowed(copy, read_network(copy)) as again:
        assert again is first


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    inp = tmp_path / "network.inp"
    text = FILES["net3"].read_text(encoding="utf-8")
    inp.write_text(text, encoding="utf-8")
    with borrowed(inp, read_network(inp)) as first:
        taken = float(first.demand_m3s(np.zeros(1)).sum())
    (line,) = [line for line in text.splitlines() if "Demand Multiplier" in line]
    inp.write_text(text.replace(line, " Demand Multiplier 2.0"), encoding="utf-8")
    with borrowed(inp, MODELS["net3"]) as again:
        assert again is not first
        assert float(again.demand_m3s(np.zeros(1)).sum()) == pytest.approx(2.0 * taken)


def test_a_model_that_is_not_the_files_gets_a_solver_of_its_own() -> None:
    inp, model = FILES["net3"], MODELS["net3"]
    with borrowed(inp, model) as first:
        pass
    other: NetworkModel = replace(model, elevation_m=model.elevation_m + 1.0)
    with borrowed(inp, other) as again:
        assert again is not first
        assert again.model is other


def test_a_solver_is_not_kept_after_an_error_or_with_other_roughness() -> None:
    inp, model = FILES["net3"], MODELS["net3"]
    with pytest.raises(KeyError), borrowed(inp, model):
        raise KeyError
    with borrowed(inp, model) as rough:
        rough.set_roughness(0.5 * model.roughness)
    with borrowed(inp, model) as again:
        assert again is not rough
    assert rough.ph is None


def test_two_runs_at_once_have_a_solver_each() -> None:
    inp, model = FILES["net3"], MODELS["net3"]
    both = threading.Barrier(2, timeout=60.0)
    seen: list[int] = []
    heads: list[np.ndarray] = []

    def run() -> None:
        with borrowed(inp, model) as solver:
            both.wait()
            seen.append(id(solver))
            heads.append(solver.solve(boundary_at(solver, 8, 1.0, pumps_rest=False)).head_m)
            both.wait()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 2
    assert np.array_equal(*heads)


def test_few_wait_and_the_oldest_are_closed() -> None:
    inp, model = FILES["net3"], MODELS["net3"]
    with borrowed(inp, model) as a, borrowed(inp, model) as b, borrowed(inp, model) as c:
        pass
    assert [one.ph is None for one in (a, b, c)].count(True) == 1
    assert len(kept._waiting) == 2
    close_all()
    assert all(one.ph is None for one in (a, b, c))


def test_a_process_that_was_forked_off_opens_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    inp, model = FILES["net3"], MODELS["net3"]
    with borrowed(inp, model) as first:
        pass
    with monkeypatch.context() as inside:
        inside.setattr(kept.os, "getpid", lambda: -1)
        with borrowed(inp, model) as again:
            assert again is not first
    with borrowed(inp, model) as back:
        assert back is first


def test_a_file_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError), borrowed(tmp_path / "none.inp", MODELS["net3"]):
        pass
