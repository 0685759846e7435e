"""`assets.csv` and `links.csv`: what EPANET cannot hold, read strictly."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from epanet import toolkit
from hypothesis import given
from hypothesis import strategies as st

from hydraulics.epanet.flows import opened
from ledger.journal import Ledger
from twin.assets import Asset, AssetKind
from twin.ids import AssetRef, Space, parse_ref
from twin.networks import ImportReport, NetworkRefusedError, load_assets
from twin.networks.folder import read_folder

Bring = Callable[..., ImportReport]


def ref(text: str) -> AssetRef:
    return parse_ref(text)


MODEL = {
    asset.ref: asset
    for asset in (
        Asset(ref("node:R"), AssetKind.SOURCE, ((0.0, 0.0),), properties={"head_m": 9.0}),
        Asset(ref("node:J"), AssetKind.JUNCTION, ((1.0, 0.0),)),
        Asset(
            ref("user:J"),
            AssetKind.USER,
            ((1.0, 0.0),),
            from_model=False,
            properties={"served_by": "node:J"},
        ),
        Asset(ref("link:P"), AssetKind.PIPE, (), ref("node:R"), ref("node:J")),
    )
}
ASSETS = "id,kind,name,x,y,elevation_m,served_by,n_people\n"
LINKS = "id,kind,start,end,length_m,status\n"


def read(assets: str = "", links: str = "") -> dict[AssetRef, Asset]:
    folder = read_folder(MODEL, (ASSETS + assets).encode(), (LINKS + links).encode())
    assert folder.findings == []
    return folder.assets


def faults(assets: str = ASSETS, links: str = LINKS) -> list[tuple[str, int | None, str | None]]:
    folder = read_folder(MODEL, assets.encode(), links.encode())
    return [(found.code, found.line, found.subject) for found in folder.findings]


# --- what they bring ------------------------------------------------------------------------------


def test_the_shipped_network_closes_the_whole_cycle(
    bring: Bring, networks: Path, journal: Ledger
) -> None:
    counts = bring(networks / "cycle").counts
    assert set(counts) == set(AssetKind) - {AssetKind.SERVICE}  # which the graph draws
    assets = load_assets(journal, "cycle")
    reached = [parse_ref("user:B8")]
    joined = [(a.start, a.end) for a in assets.values() if a.is_link and a.is_open]
    served = [
        (ref(str(a.properties["served_by"])), a.ref)
        for a in assets.values()
        if "served_by" in a.properties
    ]
    for place in reached:
        reached += [end for start, end in joined + served if start == place and end not in reached]
    # A tap's water, down the drain, comes by every stage of the cycle to the same tap again.
    for stage in ("node:M6", "node:SP1", "node:OF1", "node:RV2", "node:RV3", "node:R1", "node:WTP"):
        assert ref(stage) in reached
    assert (ref("node:B8"), ref("user:B8")) in served
    assert ref("node:B8") in reached
    assert ref("node:RV1") not in reached  # above the outfall


def test_the_shipped_network_runs_in_epanet_without_a_warning(networks: Path) -> None:
    with warnings.catch_warnings(), opened(networks / "cycle" / "network.inp") as project:
        warnings.simplefilter("error")
        toolkit.openH(project)
        toolkit.initH(project, toolkit.NOSAVE)
        n_solutions = 1
        toolkit.runH(project)
        while toolkit.nextH(project) > 0:
            toolkit.runH(project)
            n_solutions += 1
        toolkit.closeH(project)
    assert n_solutions >= 7 * 24 * 4


def test_a_row_becomes_an_asset_with_its_properties() -> None:
    manhole = read("M1,manhole,Market,3,4.5,12.25,,7\n")[ref("node:M1")]
    assert manhole == Asset(
        ref("node:M1"),
        AssetKind.MANHOLE,
        ((3.0, 4.5),),
        from_model=False,
        properties={"name": "Market", "elevation_m": 12.25, "n_people": 7.0},
    )


def test_a_row_says_more_of_an_asset_of_the_model() -> None:
    source = read("R,source,River,,,,,\n")[ref("node:R")]
    assert source.properties == {"head_m": 9.0, "name": "River"}
    assert source.from_model


def test_a_row_says_that_a_junction_is_a_plant() -> None:
    plant = read("J,plant,Works,,,,,\n")[ref("node:J")]
    assert (plant.kind, plant.geometry) == (AssetKind.PLANT, ((1.0, 0.0),))


def test_a_user_is_its_own_asset_beside_the_junction() -> None:
    assets = read("J,user,School,,,,,900\nnew,user,Farm,5,5,,node:J,4\n")
    assert assets[ref("user:J")].properties["name"] == "School"
    assert assets[ref("user:J")].properties["served_by"] == "node:J"
    assert assets[ref("user:new")].geometry == ((5.0, 5.0),)


def test_a_link_runs_one_way_between_nodes_of_either_file() -> None:
    assets = read("M,manhole,,3,4,,,\n", "D,drain,user:J,M,12.5,\nA,abstraction,M,node:R,,closed\n")
    drain = assets[ref("link:D")]
    assert (drain.start, drain.end) == (ref("user:J"), ref("node:M"))
    assert drain.is_oneway
    assert drain.is_open
    assert not drain.from_model
    assert drain.geometry == ((1.0, 0.0), (3.0, 4.0))
    assert drain.properties == {"length_m": 12.5}
    assert not assets[ref("link:A")].is_open


def test_a_byte_order_mark_blank_lines_and_quotes_are_read() -> None:
    content = ("\ufeff" + ASSETS + '\n"M",manhole,"Market, east",3,4,,,\n\n').encode()
    folder = read_folder(MODEL, content, None)
    assert folder.findings == []
    assert folder.assets[ref("node:M")].properties["name"] == "Market, east"


# --- what they may not hold -----------------------------------------------------------------------

M1 = "M1,manhole,,3,4,,,\n"


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("M1,manhole,,3,4,,\n", "columns"),
        ("M1,manhole,,3,4,,,,\n", "columns"),
        ("M1,hydrant,,3,4,,,\n", "kind"),
        ("M1,pipe,,3,4,,,\n", "kind"),
        ("M1,junction,,3,4,,,\n", "kind"),
        ("M1,tank,,3,4,,,\n", "kind"),
        ("J,manhole,,,,,,\n", "kind"),
        ("R,plant,,,,,,\n", "kind"),
        ("a b,manhole,,3,4,,,\n", "id"),
        ("node:M1,manhole,,3,4,,,\n", "id"),
        (",manhole,,3,4,,,\n", "id"),
        ("M1,manhole,,,,,,\n", "no-coordinates"),
        ("M1,manhole,,3,,,,\n", "not-a-number"),
        ("M1,manhole,,nan,4,,,\n", "not-a-number"),
        ("M1,manhole,,3,inf,,,\n", "not-a-number"),
        ("M1,manhole,,3,4,1e999,,\n", "not-a-number"),
        ("M1,manhole,,3,4,low,,\n", "not-a-number"),
        ("M1,manhole,,3,4,,,many\n", "not-a-number"),
        ("R,source,,5,5,,,\n", "coordinates"),
        ("J,user,,,,,node:R,\n", "property"),
        ("U1,user,,3,4,,,\n", "served-by"),
        ("U1,user,,3,4,,node:None,\n", "served-by"),
        ("U1,user,,3,4,,link:P,\n", "served-by"),
        (f"M1,manhole,{'x' * 501},3,4,,,\n", "long-value"),
        ('M1,manhole,"open,3,4,,,\n', "csv"),
        ("M1,manhole,\x00,3,4,,,\n", "not-text"),
    ],
)
def test_a_wrong_row_of_assets_is_told_with_its_line(row: str, code: str) -> None:
    found = faults(assets=ASSETS + row)
    assert [kind for kind, _, _ in found] == [code]
    line, subject = found[0][1:]
    if code == "served-by":  # seen when all is read
        assert subject in {"U1", "J"}
    else:
        assert line in {2, 3}


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("S,sewer,J,Nowhere,1,\n", "unknown-node"),
        ("S,sewer,,J,1,\n", "unknown-node"),
        ("S,sewer,J,link:P,1,\n", "unknown-node"),
        ("S,sewer,J,node:J,1,\n", "link-to-itself"),
        ("S,pump,R,J,1,\n", "kind"),
        ("S,service,R,J,1,\n", "kind"),
        ("S,manhole,R,J,1,\n", "kind"),
        ("P,sewer,R,J,1,\n", "duplicate-id"),
        ("S,sewer,R,J,0,\n", "length-not-above-zero"),
        ("S,sewer,R,J,-2,\n", "length-not-above-zero"),
        ("S,sewer,R,J,nan,\n", "not-a-number"),
        ("S,sewer,R,J,1,ajar\n", "status"),
    ],
)
def test_a_wrong_row_of_links_is_told_with_its_line(row: str, code: str) -> None:
    assert [(kind, line) for kind, line, _ in faults(links=LINKS + row)] == [(code, 2)]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "missing-column"),
        ("id,name,x,y", "missing-column"),
        ("id;kind;x;y", "missing-column"),
        ("id,kind,x,y,x", "column-name"),
        ("id,kind,x,y,Name", "column-name"),
        ("id,kind,x,y,", "column-name"),
        ("id,kind,x,y,diameter_mm", "unit"),
        ("id,kind,x,y,capacity_m3h", "unit"),
        ("id,kind,x,y,limit_mgl", "unit"),
    ],
)
def test_a_wrong_header_is_told_and_its_rows_are_not_guessed(header: str, code: str) -> None:
    found = faults(assets=f"{header}\n{M1}")
    assert code in {kind for kind, _, _ in found}
    assert {line for _, line, _ in found} == {1}


def test_the_same_id_twice_is_told() -> None:
    assert faults(assets=ASSETS + M1 + M1) == [("duplicate-id", 3, "M1")]
    assert faults(assets=ASSETS + "J,user,a,,,,,\nJ,user,b,,,,,\n") == [("duplicate-id", 3, "J")]


def test_every_fault_of_both_files_is_told_in_one_go(bring: Bring, folder: Path) -> None:
    n_assets, n_links = (
        (folder / name).read_text().count("\n") for name in ("assets.csv", "links.csv")
    )
    with (folder / "assets.csv").open("a") as file:
        file.write("bad,hydrant,,1,1,,,,,,,\nM1,manhole,,1,1,,,,,,,\n")
    with (folder / "links.csv").open("a") as file:
        file.write("bad,sewer,M1,Nowhere,,1,,\n")
    with pytest.raises(NetworkRefusedError, match="cycle has 3 faults") as refused:
        bring(folder)
    text = str(refused.value)
    assert f"assets.csv, line {n_assets + 1} [kind] bad" in text
    assert f"assets.csv, line {n_assets + 2} M1" in text
    assert f"links.csv, line {n_links + 1} [end] bad" in text


def test_bytes_that_are_no_utf_8_are_told_with_their_line() -> None:
    content = (ASSETS + "M1,manhole,").encode() + b"\xe9,3,4,,,\n"
    [found] = read_folder(MODEL, content, None).findings
    assert (found.code, found.line) == ("not-text", 2)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail(assets: bytes, links: bytes) -> None:
    read_folder(MODEL, assets, links)


_CELL = st.one_of(
    st.sampled_from(["", "J", "R", "user:J", "link:P", "sewer", "plant", "user", "nan", "1", '"']),
    st.text(max_size=6),
)


@given(st.lists(st.lists(_CELL, max_size=9).map(",".join), max_size=8).map("\n".join))
def test_no_rows_make_the_reader_fail_and_no_asset_of_the_model_is_lost(rows: str) -> None:
    content = rows.encode("utf-8", "replace")
    folder = read_folder(MODEL, ASSETS.encode() + content, LINKS.encode() + content)
    assert set(MODEL) <= set(folder.assets)
    for asset in folder.assets.values():
        assert asset.is_link == (asset.ref.space is Space.LINK)
        assert not asset.is_link or {asset.start, asset.end} <= set(folder.assets)
