from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from strawberry.types import ExecutionResult

from api.graphql.context import Context, Services
from api.graphql.running import execute
from api.home import Home
from twin import simulate
from twin.assets import AssetKind
from twin.ingest.delimited import read_delimited
from twin.instants import parse_instant
from twin.networks import ImportOptions, import_network, load_assets, load_network, model_path
from twin.pipeline import ingest
from twin.ports import Journal
from twin.rules.run import evaluate
from twin.tags import open_intake, read_tag_map

ROOT = Path(__file__).parents[3]
NETWORKS = ROOT / "data" / "networks"
CYCLE_START = "2024-03-12T00:00:00+08:00"
CYCLE_LEAK = "P10:3@2024-03-13T00:00:00+08:00"


def import_three(journal: Journal, home: Home) -> None:
    cycle = ImportOptions(crs="EPSG:32650", time_zone="Asia/Shanghai")
    import_network(NETWORKS / "cycle", cycle, journal, home.clock)
    ltown = ImportOptions(time_zone="+02:00")
    import_network(NETWORKS / "ltown" / "network.inp", ltown, journal, home.clock)
    import_network(NETWORKS / "net3" / "network.inp", ImportOptions(), journal, home.clock)


def ingest_folder(journal: Journal, home: Home, network: str, folder: Path) -> None:
    assets = load_assets(journal, network)
    intake = open_intake(
        read_tag_map(folder / "tags.yaml"), network, assets, source="csv", recorded=()
    )
    deliveries = read_delimited(folder / "readings.csv", intake, lambda *_: None)
    report = ingest(
        journal,
        deliveries,
        home.clock,
        evaluate=lambda begin, end: len(evaluate(journal, network, begin, end, home.clock)),
    )
    assert report.recorded > 1_000
    assert report.evaluations > 0


def simulate_cycle(journal: Journal, home: Home, out: Path) -> None:
    network = load_network(journal, "cycle")
    assets = load_assets(journal, "cycle")
    junctions = [ref.id for ref, one in assets.items() if one.kind is AssetKind.JUNCTION]
    request = simulate.Request(
        network=network,
        leaks=(simulate.parse_leak(CYCLE_LEAK),),
        n_days=2,
        seed=1,
        start_ns=parse_instant(CYCLE_START),
        pressure_nodes=tuple(junctions[::3]),
    )
    scratch = home.scratch_folder
    out.mkdir()
    simulate.simulate(request, model_path(journal, network, scratch), out, scratch)


@pytest.fixture(scope="session")
def filled_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three networks, readings and verdicts of two, and no leak run yet."""
    folder = tmp_path_factory.mktemp("graphql")
    home = Home(folder / "home")
    with home.writer() as journal:
        import_three(journal, home)
        simulate_cycle(journal, home, folder / "cycle")
        ingest_folder(journal, home, "cycle", folder / "cycle")
        ingest_folder(journal, home, "ltown", NETWORKS / "ltown" / "sample")
    return folder / "home"


@pytest.fixture(scope="session")
def services(filled_home: Path) -> Iterator[Services]:
    """What answers, read by every test and written by none."""
    opened = Services(Home(filled_home))
    yield opened
    opened.close()


Ask = Callable[..., ExecutionResult]


@pytest.fixture(scope="session")
def ask(services: Services) -> Ask:
    """Ask one question, in this process."""

    def one(query: str, **variables: object) -> ExecutionResult:
        return execute(Context(services), query, variables)

    return one


@pytest.fixture(scope="session")
def data(ask: Ask) -> Callable[..., Any]:
    """Ask one question that must succeed, and return its data."""

    def one(query: str, **variables: object) -> Any:
        result = ask(query, **variables)
        assert result.errors is None, [error.formatted for error in result.errors]
        return result.data

    return one


@pytest.fixture
def own_home(filled_home: Path, tmp_path: Path) -> Path:
    """A copy of the home that a test may write to."""
    return Path(shutil.copytree(filled_home, tmp_path / "home"))


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[str]
    url: str

    @property
    def socket_url(self) -> str:
        return self.url.replace("http://", "ws://")


def start_server(home: Path, *options: str, env: Mapping[str, str] | None = None) -> Server:
    import json  # noqa: PLC0415

    command = [sys.executable, "-c", "from api.cli import main; main()", "--home", str(home)]
    process = subprocess.Popen(
        [*command, "serve", "--port", "0", "--json", *options],
        cwd=ROOT,
        env=None if env is None else dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        assert process.stderr is not None
        raise AssertionError(process.stderr.read())
    return Server(process, json.loads(line)["graphql"])


@pytest.fixture(scope="session")
def server(filled_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real `twin serve` on a copy of the home."""
    home = tmp_path_factory.mktemp("served") / "home"
    shutil.copytree(filled_home, home)
    running = start_server(home)
    yield running
    running.process.terminate()
    assert running.process.wait(30) == 0
