"""A file becomes arrays in SI units; what WNTR says of a broken one keeps its place."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from hydraulics.epanet.flows import open_faults
from hydraulics.epanet.reading import read_as_written, read_network
from hydraulics.errors import ModelFileError
from hydraulics.network import LinkKind, NodeKind

STOCK = Path(str(files("epyt"))) / "networks" / "asce-tf-wdst"
NETWORKS = Path(__file__).parents[2] / "data" / "networks"
NET3 = (NETWORKS / "net3" / "network.inp").read_text()
M3S_PER_GPM = 3.785411784e-3 / 60  # the US gallon of 231 cubic inches
M_PER_FT = 0.3048


def written(folder: Path, text: str) -> Path:
    path = folder / "network.inp"
    path.write_text(text)
    return path


def test_net3_is_read_in_si_units(tmp_path: Path) -> None:
    model = read_network(written(tmp_path, NET3))
    assert (model.n_nodes, model.n_links) == (97, 119)
    i = model.node_id.index("101")
    assert model.elevation_m[i] == pytest.approx(42 * M_PER_FT)
    assert model.base_demand_m3s[i] == pytest.approx(189.95 * M3S_PER_GPM)
    pipe = model.link_id.index("20")
    assert model.length_m[pipe] == pytest.approx(99 * M_PER_FT)
    assert model.diameter_m[pipe] == pytest.approx(99 * M_PER_FT / 12)
    assert (model.start_clock_s, model.duration_s, model.headloss) == (0, 604_800, "H-W")


def test_net3_tanks_have_their_levels_and_others_none(tmp_path: Path) -> None:
    model = read_network(written(tmp_path, NET3))
    tank = model.node_id.index("1")  # 131.9 13.1 .1 32.1 85 0
    assert model.node_kind[tank] == NodeKind.TANK
    assert model.tank_diameter_m[tank] == pytest.approx(85 * M_PER_FT)
    assert model.tank_initial_level_m[tank] == pytest.approx(13.1 * M_PER_FT)
    assert model.tank_maximum_level_m[tank] == pytest.approx(32.1 * M_PER_FT)
    assert int(np.isfinite(model.tank_diameter_m).sum()) == 3


def test_pumps_are_oneway_and_a_closed_pipe_is_closed(tmp_path: Path) -> None:
    model = read_network(written(tmp_path, NET3))
    pumps = model.link_kind == LinkKind.PUMP
    assert model.is_oneway[pumps].all()
    assert not model.is_open[model.link_id.index("330")]  # the bypass, Closed in [PIPES]


def test_a_node_that_is_not_placed_is_nowhere_and_not_at_the_origin(tmp_path: Path) -> None:
    placed = NET3.index("[COORDINATES]")
    text = NET3[:placed] + NET3[placed:].replace("\n10  ", "\n;0  ", 1).replace(
        "\n 10  ", "\n;10  ", 1
    )
    model = read_network(written(tmp_path, text))
    assert np.isnan(model.node_xy[model.node_id.index("10")]).all()
    assert np.isfinite(model.node_xy).all(axis=1).sum() == model.n_nodes - 1


@pytest.mark.parametrize(
    ("old", "new", "section", "subject"),
    [
        ("[PIPES]\n", "[PIPES]\n X 10 Nowhere 9 8 130 0 Open\n", "PIPES", "X"),
        ("[PUMPS]\n", "[PUMPS]\n X 10 15 FORCE 1\n", "PUMPS", "X"),
        ("[VALVES]\n", "[VALVES]\n X 10 15 8 GATE 3 0\n", "VALVES", "X"),
        ("[TAGS]", "[TAXES]", "TAXES", None),
    ],
)
def test_what_wntr_refuses_keeps_line_section_and_id(
    tmp_path: Path, old: str, new: str, section: str, subject: str | None
) -> None:
    text = NET3.replace(old, new, 1)
    with pytest.raises(ModelFileError) as raised:
        read_network(written(tmp_path, text))
    error = raised.value
    assert (error.section, error.subject) == (section, subject)
    assert error.line is not None
    assert text.split("\n")[error.line - 1].split()[0] == (subject or f"[{section}]")
    assert "(Error" not in str(error)


def test_a_value_that_wntr_trips_over_is_a_model_error(tmp_path: Path) -> None:
    text = NET3.replace(" Units              \tGPM", " Units              \tBUCKETS")
    assert text != NET3
    with pytest.raises(ModelFileError):
        read_network(written(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "n_nodes", "unread"),
    [("BWSN_Network_1", 129, "'for chemical units'"), ("MICROPOLIS_v1", 1577, "'6 AM'")],
)
def test_what_epanet_reads_is_read_though_wntr_stumbles(
    name: str, n_nodes: int, unread: str
) -> None:
    inp = STOCK / f"{name}.inp"
    with pytest.raises(ModelFileError, match=unread):
        read_as_written(inp)
    model = read_network(inp)
    assert model.n_nodes == n_nodes
    assert np.isfinite(model.node_xy).all()


def test_epanet_finds_nothing_wrong_with_the_networks_that_come_along() -> None:
    for name in ("ltown", "net3", "cycle"):
        assert open_faults(NETWORKS / name / "network.inp") == []


def test_epanet_names_every_line_that_it_refuses(tmp_path: Path) -> None:
    text = NET3.replace("[JUNCTIONS]\n", "[JUNCTIONS]\n bad1 zzz\n bad2 zzz\n", 1)
    faults = open_faults(written(tmp_path, text))
    places = {(fault.section, fault.subject): fault.line for fault in faults}
    assert places["JUNCTIONS", "bad1"] == text[: text.index(" bad1")].count("\n") + 1
    assert places["JUNCTIONS", "bad2"] == places["JUNCTIONS", "bad1"] + 1
