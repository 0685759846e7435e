from __future__ import annotations

import json
from pathlib import Path

import pytest

from api.cli import run
from api.home import Home
from api.tracing import Direction, load_traces, trace_network
from twin.errors import NotFoundError, UnreadableError
from twin.ids import AssetNameError, parse_ref
from twin.instants import parse_instant
from twin.networks import ImportOptions, import_network

NETWORKS = Path(__file__).parents[2] / "data" / "networks"
NOW_NS = parse_instant("2024-06-01T00:00:00Z")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with Net3, in which 72 ids name both a node and a link."""
    home = Home(tmp_path_factory.mktemp("home"), lambda: NOW_NS)
    with home.writer() as journal:
        import_network(NETWORKS / "net3", ImportOptions(), journal, home.clock)
    return home


def test_a_trace_is_one_json_document_by_epanet_ids(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(
        ["--home", str(home.path), "trace", "upstream", "node:15", "--network", "net3", "--json"]
    )
    answer = json.loads(capsys.readouterr().out)
    assert code == 0
    assert {"nodes", "links", "users", "at", "evidence"} <= answer.keys()
    assert "15" in answer["nodes"]
    assert answer["at_is_model_time_zero"] is True
    assert answer["evidence"].keys() == {"height", "index"}


def test_every_node_upstream_has_the_asked_one_downstream(home: Home) -> None:
    up = trace_network(home, "net3", "node:105", "upstream", None, home.clock)
    assert len(up.nodes) > 2
    for node in up.nodes[:3]:
        down = trace_network(home, "net3", f"node:{node}", "downstream", None, home.clock)
        assert "105" in down.nodes


def test_the_moment_decides(home: Home) -> None:
    # Net3's [CONTROLS]: the Lake's pump (link 10) is open from hour 1 to hour 15.
    night = trace_network(home, "net3", "node:10", "upstream", None, home.clock)
    noon_ns = parse_instant("2018-01-01T12:00:00Z")
    noon = trace_network(home, "net3", "node:10", "upstream", noon_ns, home.clock)
    assert "Lake" in noon.nodes
    assert "Lake" not in night.nodes


def test_a_trace_is_recorded_and_read_back(home: Home) -> None:
    asked = trace_network(home, "net3", "link:20", "downstream", None, home.clock)
    found = load_traces(home, "net3")[-1]
    assert found == asked
    assert found.start == parse_ref("link:20")
    assert found.direction is Direction.DOWNSTREAM
    assert asked.evidence is not None
    recorded = home.reader().event_at(asked.evidence)
    assert recorded.event.body["inp_sha256"] == home.networks()["net3"].inp_sha256


def test_an_answer_too_long_for_its_event_is_kept_as_a_file(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.tracing.MAX_IDS_IN_EVENT", 2)
    asked = trace_network(home, "net3", "node:105", "upstream", None, home.clock)
    assert asked.evidence is not None
    assert "nodes" not in home.reader().event_at(asked.evidence).event.body
    assert load_traces(home, "net3")[-1] == asked


def test_a_bare_id_that_names_a_node_and_a_link_is_refused(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(home.path), "trace", "upstream", "20", "--network", "net3"]) == 2
    assert "node:20 and link:20" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("network", "asset", "direction", "error"),
    [
        ("none", "node:10", "upstream", NotFoundError),
        ("net3", "node:none", "upstream", AssetNameError),
        ("net3", "node:10", "sideways", UnreadableError),
    ],
)
def test_a_question_that_cannot_be_answered_records_nothing(
    home: Home, network: str, asset: str, direction: str, error: type[Exception]
) -> None:
    height = home.reader().height
    with pytest.raises(error):
        trace_network(home, network, asset, direction, None, home.clock)
    assert home.reader().height == height


def test_a_time_without_an_offset_is_refused(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["trace", "upstream", "node:10", "--network", "net3", "--at", "2018-01-01T12:00:00"]
    assert run(["--home", str(home.path), *arguments]) == 2
    assert "with an offset" in capsys.readouterr().err


def test_people_are_told_that_no_time_was_given(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(["--home", str(home.path), "trace", "downstream", "node:10", "--network", "net3"]) == 0
    )
    assert "model time zero, as no --at was given" in capsys.readouterr().out
