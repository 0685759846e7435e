"""What is asked of `benchmarks/localize` amiss is told in a line, with what to ask instead."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.leak_cases import UnknownSensorError, World, check_sensors, make_case
from benchmarks.localize import arguments, main
from hydraulics.epanet.reading import read_network

NET3 = Path(__file__).parents[2] / "data" / "networks" / "net3" / "network.inp"
SENSORS = ("117", "149", "161")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--flow-ls", "5", "two flows"),
        ("--flow-ls", "5,1", "two flows"),
        ("--flow-ls", "0,1", "two flows"),
        ("--flow-ls", "a,b", "two flows"),
        ("--seed", "-1", "--seed is at least 0"),
        ("--n", "0", "at least 1"),
        ("--set", "x", "temper"),
        ("--set", '{"tempre": 1}', "temper"),
        ("--network", str(NET3.parent), "no such file"),
    ],
)
def test_an_option_amiss_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    value: str,
    said: str,
) -> None:
    given = {"--network": str(NET3), "--sensors": ",".join(SENSORS), option: value}
    words = [f"{name}={text}" for name, text in given.items()]
    monkeypatch.setattr(sys, "argv", ["benchmarks/localize", *words])
    with pytest.raises(SystemExit) as ended:
        arguments()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_sensor_that_is_not_there_is_told_with_ones_that_are() -> None:
    with pytest.raises(UnknownSensorError, match="no node XX; its junctions are 10, "):
        check_sensors(read_network(NET3), "117,XX", "net3")


def test_a_file_without_junctions_is_told_as_that(tmp_path: Path) -> None:
    empty = tmp_path / "empty.inp"
    empty.write_text("[END]\n")
    with pytest.raises(UnknownSensorError, match="no junctions"):
        check_sensors(read_network(empty), "117", "empty")


def test_leaks_that_no_pressure_drives_are_given_up_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"--network={NET3}", "--sensors=117", "--flow-ls=90000,90000", "--n=9"]
    monkeypatch.setattr(sys, "argv", ["benchmarks/localize", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "can flow where the pressure is" in said
    assert "--flow-ls" in said


def test_the_size_of_a_case_is_what_its_leak_lost_in_the_mean() -> None:
    case = make_case(NET3, read_network(NET3), SENSORS, World(flow_m3s=(0.01, 0.01)), 3)
    assert case is not None
    assert case.flow_m3s != 0.01  # pressure moves, and the leak with it
    assert case.flow_m3s == pytest.approx(0.01, rel=0.5)
