"""What the conformance benchmark says of networks that agree, lie still, or cannot be read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from benchmarks.conformance import Result, as_json, compare, line, networks, verdict

TEXT = """
[JUNCTIONS]
 a 5 {demand}
 b 6 {demand}
 c 4 {demand}
[RESERVOIRS]
 r 60
[PIPES]
 ra r a 400 250 100 0 Open
 ab a b 500 200 100 0 Open
 bc b c 600 150 100 0 Open
 ac a c 600 150 100 0 {status}
[OPTIONS]
 UNITS LPS
 HEADLOSS H-W
[END]
"""
OPTIONS = argparse.Namespace(hour=1.0, sensors=3, meters=2, junctions=3, seed=1)


def found(folder: Path, **parts: str) -> Result:
    usual = {"demand": "5", "status": "Open"}
    path = folder / "network.inp"
    path.write_text(TEXT.format(**(usual | parts)))
    return compare("network", path, OPTIONS)


def test_a_plain_network_agrees_in_every_kind_of_change(tmp_path: Path) -> None:
    result = found(tmp_path)
    said = json.loads(json.dumps(as_json(result)))
    assert verdict(result) == "yes"
    assert said["p95_relative_error"] < 1e-3
    assert {kind.partition(":")[0] for kind in said["kinds"]} == {
        "outflow",
        "roughness",
        "leak in a pipe",
    }


def test_a_network_where_nobody_takes_water_says_so(tmp_path: Path) -> None:
    result = found(tmp_path, demand="0", status="Closed")
    assert verdict(result) == "nothing"
    assert "nobody takes water" in line(result)


def test_a_file_that_no_one_can_read_says_what_both_say(tmp_path: Path) -> None:
    result = found(tmp_path, status="Open\n nowhere a x 1 1 1 0 Open")
    assert verdict(result) == "nothing"
    assert "WNTR: " in line(result)
    assert "EPANET: " in line(result)


def test_a_wrong_derivative_is_told(tmp_path: Path) -> None:
    result = found(tmp_path)
    for entries in result.entries.values():
        entries.ours = [1.05 * value for value in entries.ours]
    assert verdict(result) == "no"


def test_every_file_below_a_folder_is_taken_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.inp").write_text("")
    (tmp_path / "two.inp").write_text("")
    names = [name for name, _ in networks([tmp_path])]
    assert names == [f"{tmp_path.name}/deep/one.inp", f"{tmp_path.name}/two.inp"]


@pytest.mark.parametrize("package", ["wntr", "epyt"])
def test_both_packages_ship_networks(package: str) -> None:
    assert any(name.startswith(f"{package}/") for name, _ in networks(None))
