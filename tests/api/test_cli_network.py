"""`twin import`, `twin export` and `twin networks`, as a shell calls them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from api.cli import run

Twin = Callable[..., tuple[int, str, str]]
NETWORKS = Path(__file__).parents[2] / "data" / "networks"


@pytest.fixture
def twin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Twin:
    """Run a command in a home of its own; returns exit code, standard output, standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(["--home", str(tmp_path / "home"), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_a_network_comes_in_is_listed_and_goes_out(twin: Twin, tmp_path: Path) -> None:
    code, out, _ = twin("import", str(NETWORKS / "cycle"), "--crs", "EPSG:32650")
    assert code == 0
    assert "Network cycle has 1 source, 1 plant" in out
    assert "EPSG:32650" in out
    code, out, _ = twin("networks", "--json")
    assert [network["name"] for network in json.loads(out)["networks"]] == ["cycle"]
    path = tmp_path / "cycle.geojson"
    code, out, _ = twin("export", "--network", "cycle", str(path), "--json")
    assert (code, json.loads(out)["nodes"]) == (0, 49)
    assert len(json.loads(path.read_text())["features"]) == 107


def test_json_is_one_document_and_says_what_was_recorded(twin: Twin) -> None:
    source = str(NETWORKS / "net3" / "network.inp")
    start = "2024-05-13T00:00:00+02:00"
    code, out, _ = twin("import", source, "--time-zone", "+02:00", "--model-start", start, "--json")
    said = json.loads(out)
    assert code == 0
    assert (said["network"], said["crs"], said["time_zone"]) == ("net3", "LOCAL", "+02:00")
    assert (said["added"], said["updated"], said["retired"]) == (275, 0, 0)
    assert said["is_model_start_given"]
    code, out, _ = twin("import", source, "--json")
    assert (code, json.loads(out)["changed"]) == (0, False)


def test_a_dry_run_makes_no_home(twin: Twin, tmp_path: Path) -> None:
    code, out, _ = twin("import", str(NETWORKS / "cycle"), "--dry-run")
    assert code == 0
    assert "Would record 107 new" in out
    assert not (tmp_path / "home").exists()


def test_a_broken_file_is_refused_with_its_place_and_makes_no_home(
    twin: Twin, tmp_path: Path
) -> None:
    text = (NETWORKS / "net3" / "network.inp").read_text()
    path = tmp_path / "broken.inp"
    path.write_text(text.replace("[JUNCTIONS]\n", "[JUNCTIONS]\n 10 nan 0\n", 1))
    code, out, err = twin("import", str(path))
    assert (code, out) == (2, "")
    assert "broken.inp, line 12 [JUNCTIONS] 10" in err
    assert "your home is unchanged" in err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--crs", "EPSG:99999"), "EPSG knows no such coordinate system"),
        (("--time-zone", "Mars/Base"), "--time-zone 'Mars/Base'"),
        (("--model-start", "2024-05-13 00:00"), "is not a time with an offset"),
        (("--network", "a b"), "network name 'a b'"),
    ],
)
def test_an_option_spelled_wrongly_is_named_and_makes_no_home(
    twin: Twin, tmp_path: Path, arguments: tuple[str, str], said: str
) -> None:
    code, _, err = twin("import", str(NETWORKS / "net3" / "network.inp"), *arguments)
    assert code == 2
    assert said in err
    assert not (tmp_path / "home").exists()


def test_an_export_of_nothing_names_the_remedy(twin: Twin, tmp_path: Path) -> None:
    code, _, err = twin("export", "--network", "cycle", str(tmp_path / "x.gpkg"))
    assert code == 2
    assert "twin import" in err
