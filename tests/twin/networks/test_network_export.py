"""A network goes out, and GDAL reads it back as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyproj import Transformer

from ledger.journal import Ledger
from twin.errors import NotFoundError, UnreadableError
from twin.networks import ImportReport, load_assets
from twin.networks.exporting import export_network

Bring = Callable[..., ImportReport]

READ_BACK = """
import json, sys
from pyogrio import raw, list_layers
import shapely
out = {}
for layer, kind in list_layers(sys.argv[1]):
    meta, _, shapes, columns = raw.read(sys.argv[1], layer=layer)
    fields = dict(zip(meta["fields"].tolist(), [c.tolist() for c in columns]))
    wkt = [None if g is None else shapely.to_wkt(shapely.from_wkb(g)) for g in shapes]
    out[layer] = {"kind": kind, "crs": meta["crs"], "fields": fields, "wkt": wkt}
print(json.dumps(out))
"""


def read_back(path: Path) -> dict[str, Any]:
    """Read a file in another process than the one that wrote it."""
    done = subprocess.run(
        [sys.executable, "-c", READ_BACK, str(path)], capture_output=True, text=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_geopackage_holds_every_asset_in_native_coordinates(
    bring: Bring, networks: Path, journal: Ledger, tmp_path: Path
) -> None:
    bring(networks / "cycle", crs="EPSG:32650")
    report = export_network(journal, "cycle", tmp_path / "out" / "cycle.gpkg")
    assert (report.n_nodes, report.n_links, report.n_unplaced) == (49, 58, 0)
    layers = read_back(report.path)
    nodes, links = layers["nodes"], layers["links"]
    assert (nodes["kind"], links["kind"]) == ("Point", "LineString")
    assert nodes["crs"] == links["crs"] == "EPSG:32650"
    assert (len(nodes["wkt"]), len(links["wkt"])) == (49, 58)
    assets = load_assets(journal, "cycle")
    [plant] = [asset for ref, asset in assets.items() if str(ref) == "node:SP1"]
    row = nodes["fields"]["ref"].index("node:SP1")
    x, y = map(float, nodes["wkt"][row].removeprefix("POINT (").removesuffix(")").split())
    assert (x, y) == plant.geometry[0]
    assert nodes["fields"]["kind"][row] == "sewage_plant"
    assert nodes["fields"]["capacity_m3s"][row] == 0.045
    closed = links["fields"]["id"].index("P28")
    assert not links["fields"]["is_open"][closed]
    assert links["fields"]["start"][closed] == "node:A9"


def test_geojson_is_in_longitude_and_latitude(
    bring: Bring, networks: Path, journal: Ledger, tmp_path: Path
) -> None:
    bring(networks / "cycle", crs="EPSG:32650")
    report = export_network(journal, "cycle", tmp_path / "cycle.geojson")
    assert "CRS84" in report.note
    collection = json.loads(report.path.read_text())
    assert (collection["type"], collection["nativeCrs"]) == ("FeatureCollection", "EPSG:32650")
    assert "crs" not in collection  # RFC 7946 knows one only
    features = {feature["id"]: feature for feature in collection["features"]}
    assert len(features) == 107
    back = Transformer.from_crs("OGC:CRS84", "EPSG:32650", always_xy=True)
    for ref, asset in load_assets(journal, "cycle").items():
        shape = features[str(ref)]["geometry"]
        places = shape["coordinates"] if asset.is_link else [shape["coordinates"]]
        for (lon, lat), (x, y) in zip(places, asset.geometry, strict=True):
            assert 114 < lon < 120
            assert 30 < lat < 31
            assert back.transform(lon, lat) == pytest.approx((x, y), abs=1e-3)
    assert features["link:PU1"]["properties"]["is_oneway"] is True
    assert "start" not in features["node:R1"]["properties"]


def test_gdal_reads_the_geojson(
    bring: Bring, networks: Path, journal: Ledger, tmp_path: Path
) -> None:
    bring(networks / "cycle", crs="EPSG:32650")
    path = tmp_path / "cycle.geojson"
    export_network(journal, "cycle", path)
    [layer] = read_back(path).values()
    assert layer["crs"] == "EPSG:4326"
    assert len(layer["wkt"]) == 107


def test_a_local_network_keeps_its_coordinates_and_says_so(
    bring: Bring, networks: Path, journal: Ledger, tmp_path: Path
) -> None:
    bring(networks / "net3" / "network.inp")
    report = export_network(journal, "net3", tmp_path / "net3.geojson")
    assert "local" in report.note
    collection = json.loads(report.path.read_text())
    assert collection["crs"] == "LOCAL"
    [river] = [f for f in collection["features"] if f["id"] == "node:River"]
    asset = next(a for ref, a in load_assets(journal, "net3").items() if str(ref) == "node:River")
    assert river["geometry"] == {"type": "Point", "coordinates": list(asset.geometry[0])}
    layers = read_back(export_network(journal, "net3", tmp_path / "net3.gpkg").path)
    assert len(layers["nodes"]["wkt"]) == 97 + 59
    assert layers["nodes"]["crs"] != "EPSG:4326"


def test_what_has_no_coordinates_is_written_without_geometry(
    bring: Bring, networks: Path, journal: Ledger, tmp_path: Path
) -> None:
    text = (networks / "net3" / "network.inp").read_text()
    head, places = text.split("[COORDINATES]")
    source = tmp_path / "net3.inp"
    source.write_text(head + "[COORDINATES]" + places.replace("10  ", ";10 ", 1))
    bring(source)
    report = export_network(journal, "net3", tmp_path / "net3.geojson")
    assert report.n_unplaced == 3  # node 10, its pump and its pipe
    features = json.loads(report.path.read_text())["features"]
    assert {f["id"] for f in features if f["geometry"] is None} >= {"node:10"}
    export_network(journal, "net3", tmp_path / "net3.gpkg")
    assert read_back(tmp_path / "net3.gpkg")["nodes"]["wkt"].count(None) == 1


def test_another_ending_is_refused_and_an_unknown_network_named(
    bring: Bring, networks: Path, journal: Ledger, tmp_path: Path
) -> None:
    bring(networks / "net3" / "network.inp")
    with pytest.raises(UnreadableError, match=r"\.geojson or \.gpkg"):
        export_network(journal, "net3", tmp_path / "net3.shp")
    with pytest.raises(NotFoundError):
        export_network(journal, "net4", tmp_path / "net4.gpkg")
    assert not list(tmp_path.glob("net*"))


def test_a_failed_write_leaves_the_file_of_before(
    bring: Bring,
    networks: Path,
    journal: Ledger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bring(networks / "net3" / "network.inp")
    path = tmp_path / "out" / "net3.geojson"
    export_network(journal, "net3", path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        export_network(journal, "net3", path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["net3.geojson"]
