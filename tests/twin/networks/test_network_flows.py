"""Which way the water runs at a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hydraulics.epanet.flows import run_flows
from ledger.journal import Ledger
from twin.errors import NotFoundError
from twin.flows import flows_at, run_time_s
from twin.instants import NS_PER_S, parse_instant
from twin.networks import ImportReport

Bring = Callable[..., ImportReport]
DAY_S = 86_400


def test_every_link_has_its_flow_at_the_models_time(
    bring: Bring, networks: Path, journal: Ledger
) -> None:
    network = bring(networks / "net3" / "network.inp").network
    at_ns = parse_instant("2024-05-15T13:20:00Z")  # a Wednesday
    flows = flows_at(journal, network, at_ns)
    expected_s = 2 * DAY_S + 13 * 3_600 + 20 * 60
    run = run_flows(networks / "net3" / "network.inp", 0, expected_s + 1)
    assert flows == dict(zip(run.link_id, map(float, run.at(expected_s)), strict=True))
    assert flows_at(journal, "net3", at_ns) == flows


def test_the_lake_pump_of_net3_runs_from_one_to_fifteen(
    bring: Bring, networks: Path, journal: Ledger
) -> None:
    bring(networks / "net3" / "network.inp")
    for hour, runs in ((0, False), (2, True), (14, True), (16, False)):
        at_ns = parse_instant(f"2018-01-01T{hour:02}:30:00Z")
        assert (flows_at(journal, "net3", at_ns)["10"] > 0) is runs, hour


def test_the_hour_is_that_of_the_networks_zone(
    bring: Bring, networks: Path, journal: Ledger
) -> None:
    bring(networks / "net3" / "network.inp", name="east", time_zone="+08:00")
    bring(networks / "net3" / "network.inp", name="zero", time_zone="UTC")
    east = flows_at(journal, "east", parse_instant("2018-01-02T09:30:00+08:00"))
    assert east == flows_at(journal, "zero", parse_instant("2018-01-02T09:30:00Z"))


def test_a_link_that_the_model_lacks_runs_from_start_to_end_where_it_is_open(
    bring: Bring, folder: Path, journal: Ledger
) -> None:
    lines = (folder / "links.csv").read_text().splitlines()
    lines = [f"{lines[0]},status", *(f"{line}," for line in lines[1:])]
    lines = [f"{line}closed" if line.startswith("S3,") else line for line in lines]
    (folder / "links.csv").write_text("\n".join(lines) + "\n")
    bring(folder)
    flows = flows_at(journal, "cycle", parse_instant("2024-05-15T13:20:00Z"))
    assert (flows["S1"], flows["AB1"], flows["S3"]) == (1.0, 1.0, 0.0)
    assert flows["P28"] == 0.0
    assert flows["V1"] > 0


@pytest.mark.parametrize(
    ("start", "at", "expected_s"),
    [
        (None, "2018-01-01T00:00:00Z", 0),
        (None, "2024-05-12T23:59:59Z", 7 * DAY_S - 1),  # a Sunday
        (None, "2024-05-13T00:00:00Z", 0),
        ("2024-05-13T00:00:00Z", "2024-05-15T01:00:00Z", 2 * DAY_S + 3_600),
        ("2024-05-13T00:00:00Z", "2024-05-20T01:00:00Z", 3_600),  # a week on: the same hour
        ("2024-05-13T00:00:00Z", "2024-05-12T23:00:00Z", 7 * DAY_S - 3_600),  # before
    ],
)
def test_a_time_beyond_the_week_is_the_same_hour_of_the_week(  # noqa: PLR0913, PLR0917
    bring: Bring,
    networks: Path,
    journal: Ledger,
    start: str | None,
    at: str,
    expected_s: int,
) -> None:
    said = {} if start is None else {"model_start_ns": parse_instant(start)}
    network = bring(networks / "net3" / "network.inp", time_zone="UTC", **said).network
    assert run_time_s(journal, network, parse_instant(at)) == expected_s


def test_a_file_that_runs_for_a_fortnight_is_run_for_a_fortnight(
    bring: Bring, net3_changed: Callable[[str, str], Path], journal: Ledger
) -> None:
    start_ns = parse_instant("2024-05-13T00:00:00Z")
    path = net3_changed("Duration           \t168:00", "Duration           \t336:00")
    network = bring(path, model_start_ns=start_ns).network
    assert run_time_s(journal, network, start_ns + 9 * DAY_S * NS_PER_S) == 9 * DAY_S
    assert run_time_s(journal, network, start_ns + 15 * DAY_S * NS_PER_S) == DAY_S


def test_a_network_that_is_not_there_has_no_flows(journal: Ledger) -> None:
    with pytest.raises(NotFoundError):
        flows_at(journal, "none", 0)
