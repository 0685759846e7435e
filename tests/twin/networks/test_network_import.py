"""A network comes in whole, or not at all."""

from __future__ import annotations

import hashlib
import importlib.util
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.journal import Ledger
from twin.assets import AssetKind
from twin.errors import NotFoundError, UnreadableError
from twin.events import EventKind
from twin.findings import Severity
from twin.ids import AssetRef, Space, parse_ref
from twin.instants import parse_instant
from twin.networks import (
    ImportOptions,
    ImportReport,
    NetworkRefusedError,
    import_network,
    load_assets,
    load_model,
    load_network,
    load_networks,
    model_path,
    plan_import,
    prepare_network,
)

Bring = Callable[..., ImportReport]
Change = Callable[[str, str], Path]


def events_of(journal: Ledger) -> Counter[EventKind]:
    return Counter(found.event.kind for found in journal.events())


def test_net3_becomes_the_assets_that_its_file_holds(
    bring: Bring, networks: Path, journal: Ledger
) -> None:
    report = bring(networks / "net3" / "network.inp")
    assert report.network.name == "net3"
    assert report.counts == {
        AssetKind.SOURCE: 2,
        AssetKind.TANK: 3,
        AssetKind.JUNCTION: 92,
        AssetKind.USER: 59,
        AssetKind.PIPE: 117,
        AssetKind.PUMP: 2,
    }
    assert events_of(journal) == {EventKind.NETWORK_IMPORTED: 1, EventKind.ASSET_RECORDED: 275}
    assert (report.n_added, report.n_changed, report.n_retired) == (275, 0, 0)


def test_72_ids_of_net3_name_both_a_node_and_a_link(
    bring: Bring, networks: Path, journal: Ledger
) -> None:
    bring(networks / "net3" / "network.inp")
    assets = load_assets(journal, "net3")
    nodes = {ref.id for ref in assets if ref.space is Space.NODE}
    links = {ref.id for ref in assets if ref.space is Space.LINK}
    assert len(nodes & links) == 72
    assert assets[parse_ref("node:10")].kind is AssetKind.JUNCTION
    assert assets[parse_ref("link:10")].kind is AssetKind.PUMP


def test_ltown_becomes_the_assets_that_its_readme_counts(bring: Bring, networks: Path) -> None:
    counts = bring(networks / "ltown" / "network.inp", time_zone="+02:00").counts
    assert counts[AssetKind.SOURCE] == 2
    assert counts[AssetKind.TANK] == counts[AssetKind.PUMP] == 1
    assert counts[AssetKind.JUNCTION] == 782
    assert counts[AssetKind.PIPE] == 905
    assert counts[AssetKind.VALVE] == 3


def test_an_asset_carries_si_values_and_native_coordinates(
    bring: Bring, networks: Path, journal: Ledger
) -> None:
    bring(networks / "net3" / "network.inp")
    assets = load_assets(journal, "net3")
    junction = assets[parse_ref("node:101")]
    assert junction.geometry == ((13.81, 22.94),)
    assert junction.properties["elevation_m"] == pytest.approx(42 * 0.3048)
    assert junction.properties["base_demand_m3s"] == pytest.approx(0.0119839828)
    user = assets[parse_ref("user:101")]
    assert user.properties["served_by"] == "node:101"
    assert user.geometry == junction.geometry
    source = assets[parse_ref("node:River")]
    assert (source.kind, source.properties["head_m"]) == (
        AssetKind.SOURCE,
        pytest.approx(220 * 0.3048),
    )
    pump, bypass = assets[parse_ref("link:335")], assets[parse_ref("link:330")]
    assert pump.is_oneway
    assert not bypass.is_open


def test_a_junction_without_demand_has_no_user(
    bring: Bring, networks: Path, journal: Ledger
) -> None:
    bring(networks / "net3" / "network.inp")
    assert AssetRef(Space.USER, "10") not in load_assets(journal, "net3")


def test_what_is_recorded_reads_back_as_it_was(
    bring: Bring, networks: Path, tmp_path: Path
) -> None:
    prepared = prepare_network(networks / "cycle", ImportOptions())
    report = bring(networks / "cycle")
    with_fresh_eyes = Ledger.open_reader(tmp_path / "ledger")
    assert load_assets(with_fresh_eyes, "cycle") == dict(prepared.assets)
    assert load_network(with_fresh_eyes, "cycle") == report.network
    assert load_model(with_fresh_eyes, report.network).n_links == 30


def test_a_second_look_sees_what_was_recorded_since(
    bring: Bring, networks: Path, folder: Path, journal: Ledger
) -> None:
    bring(networks / "cycle")
    before = load_assets(journal, "cycle")
    (folder / "links.csv").unlink()
    bring(folder)
    after = load_assets(journal, "cycle")
    assert len(after) == len(before) - 28
    assert before != after  # and the first answer did not change under its reader


def test_coordinates_outside_of_their_system_are_noted(bring: Bring, networks: Path) -> None:
    def noted(source: Path, crs: str) -> bool:
        report = bring(source, crs=crs, dry_run=True)
        return "outside-crs" in {note.code for note in report.findings}

    assert not noted(networks / "cycle", "EPSG:32650")
    assert noted(networks / "cycle", "EPSG:27700")  # British
    assert noted(networks / "ltown" / "network.inp", "EPSG:32636")
    assert not noted(networks / "ltown" / "network.inp", "local")


def test_the_file_of_a_folder_alone_is_noted(bring: Bring, networks: Path) -> None:
    report = bring(networks / "cycle" / "network.inp", dry_run=True)
    assert "alone" in {note.code for note in report.findings}
    assert AssetKind.SEWER not in report.counts


def test_a_network_of_12_500_nodes_comes_in() -> None:
    spec = importlib.util.find_spec("epyt")  # a source of test networks
    assert spec is not None
    assert spec.submodule_search_locations is not None
    [package] = spec.submodule_search_locations
    path = Path(package) / "networks" / "asce-tf-wdst" / "BWSN_Network_2.inp"
    counts = plan_import(prepare_network(path, ImportOptions()), None).counts
    assert counts[AssetKind.JUNCTION] == 12_523
    assert counts[AssetKind.PIPE] == 14_822
    assert counts[AssetKind.VALVE] == 5


# --- again ----------------------------------------------------------------------------------------


def test_the_same_again_records_nothing_and_says_so(
    bring: Bring, networks: Path, journal: Ledger
) -> None:
    bring(networks / "net3" / "network.inp", crs="local", time_zone="UTC")
    height = journal.height
    report = bring(networks / "net3" / "network.inp")
    assert journal.height == height
    assert not report.is_changed
    assert any("home is unchanged" in sentence for sentence in report.sentences())


def test_only_what_changed_is_recorded_again(
    bring: Bring, networks: Path, net3_changed: Change, journal: Ledger
) -> None:
    bring(networks / "net3" / "network.inp")
    report = bring(net3_changed("\t189.95", "\t200.00"))
    # The junction and its user.
    assert (report.n_added, report.n_changed, report.n_retired) == (0, 2, 0)
    user = load_assets(journal, "net3")[parse_ref("user:101")]
    assert user.properties["base_demand_m3s"] == pytest.approx(200 * 6.30901964e-5)


def test_what_the_file_no_longer_holds_is_retired(
    bring: Bring, folder: Path, journal: Ledger
) -> None:
    bring(folder)
    text = (folder / "links.csv").read_text().replace("RC1,", "RC9,")
    (folder / "links.csv").write_text(text)
    report = bring(folder)
    assert (report.n_added, report.n_changed, report.n_retired) == (1, 0, 1)
    assets = load_assets(journal, "cycle")
    assert parse_ref("link:RC1") not in assets
    assert parse_ref("link:RC9") in assets
    assert events_of(journal)[EventKind.ASSET_RETIRED] == 1


def test_a_changed_pattern_changes_the_model_and_no_asset(
    bring: Bring, networks: Path, net3_changed: Change, journal: Ledger
) -> None:
    first = bring(networks / "net3" / "network.inp").network
    report = bring(net3_changed("Accuracy           \t0.001", "Accuracy           \t0.0001"))
    assert report.is_changed
    assert (report.n_added, report.n_changed, report.n_retired) == (0, 0, 0)
    assert load_network(journal, "net3").inp_sha256 != first.inp_sha256
    assert events_of(journal)[EventKind.NETWORK_IMPORTED] == 2


def test_what_is_not_said_again_stays_as_it_is(bring: Bring, networks: Path) -> None:
    bring(
        networks / "cycle",
        crs="EPSG:32650",
        time_zone="Asia/Shanghai",
        model_start_ns=parse_instant("2024-03-01T00:00:00+08:00"),
    )
    report = bring(networks / "cycle")
    assert not report.is_changed
    assert report.network.crs == "EPSG:32650"
    assert report.network.is_model_start_given


def test_a_new_zone_moves_an_unsaid_start_with_it(bring: Bring, networks: Path) -> None:
    bring(networks / "net3" / "network.inp")
    report = bring(networks / "net3" / "network.inp", time_zone="+02:00")
    assert report.is_changed
    assert report.network.model_start_ns == parse_instant("2018-01-01T00:00:00+02:00")


def test_a_dry_run_says_the_same_and_records_nothing(
    bring: Bring, networks: Path, journal: Ledger
) -> None:
    dry = bring(networks / "cycle", dry_run=True)
    assert journal.height == 0
    assert (dry.n_added, dry.is_dry_run) == (107, True)
    assert bring(networks / "cycle").n_added == dry.n_added


def test_a_plan_needs_no_ledger(networks: Path) -> None:
    prepared = prepare_network(networks / "cycle", ImportOptions())
    assert plan_import(prepared, None).n_added == 107


def test_an_import_that_a_crash_cut_short_is_completed_by_the_same_import(
    networks: Path, journal: Ledger
) -> None:
    class Dying:
        """A journal that dies after the first fifty events of a call."""

        def __getattr__(self, name: str) -> object:
            return getattr(journal, name)

        def record(self, events: list[object]) -> None:
            journal.record(events[:50])  # type: ignore[arg-type]
            raise OSError(28, "No space left on device")

    source = networks / "cycle"
    with pytest.raises(OSError, match="No space"):
        import_network(source, ImportOptions(), Dying(), lambda: 1)  # type: ignore[arg-type]
    assert len(load_assets(journal, "cycle")) == 49
    report = import_network(source, ImportOptions(), journal, lambda: 2)
    assert report.n_added == 107 - 49
    assert len(load_assets(journal, "cycle")) == 107


_WORDS = [
    "",
    "0",
    "-1",
    "nan",
    "1e300",
    "CLOSED",
    "10",
    "R1",
    "HEAD",
    "*",
    "LPS",
    "[END]",
    "[PIPES]",
]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_change_to_a_file_is_taken_or_refused_by_name(
    data: st.DataObject, networks: Path, tmp_path: Path
) -> None:
    lines = (networks / "cycle" / "network.inp").read_text().split("\n")
    for _ in range(data.draw(st.integers(1, 3))):
        words = lines[at := data.draw(st.integers(0, len(lines) - 1))].split() or [""]
        words[data.draw(st.integers(0, len(words) - 1))] = data.draw(st.sampled_from(_WORDS))
        lines[at] = " ".join(words)
    path = tmp_path / "changed.inp"
    path.write_text("\n".join(lines))
    with suppress(NetworkRefusedError):
        assert plan_import(prepare_network(path, ImportOptions()), None).n_added > 0


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("[JUNCTIONS]\n", "[JUNCTIONS]\n 10 1 0\n", "net3.inp, line 12 [JUNCTIONS] 10: node '10'"),
        ("\t147 ", "\tnan ", "net3.inp, line 11 [JUNCTIONS] 10: elevation 'nan'"),
        ("[TAGS]", "[TAXES]", "net3.inp, line 243 [TAXES]: no section"),
        ("\tGPM", "\tBUCKETS", "net3.inp"),
    ],
)
def test_a_broken_file_is_refused_with_its_place_and_nothing_is_recorded(  # noqa: PLR0913, PLR0917
    bring: Bring, net3_changed: Change, journal: Ledger, old: str, new: str, place: str
) -> None:
    with pytest.raises(NetworkRefusedError) as refused:
        bring(net3_changed(old, new))
    assert place in str(refused.value)
    assert "your home is unchanged" in str(refused.value)
    assert (refused.value.exit_code, journal.height) == (2, 0)
    assert not list(journal.folder.glob("files/*"))


def test_every_fault_is_told_at_once(bring: Bring, net3_changed: Change) -> None:
    with pytest.raises(NetworkRefusedError, match="has 3 faults") as refused:
        bring(net3_changed("[JUNCTIONS]\n", "[JUNCTIONS]\n 10 x 0\n 15 1 0\n"))
    assert [f.severity for f in refused.value.findings].count(Severity.FATAL) == 3


def test_a_file_that_only_epanet_refuses_is_refused(bring: Bring, net3_changed: Change) -> None:
    # A pump whose lift grows with its flow: WNTR reads it, EPANET does not run it (error 227).
    path = net3_changed("\t4000.       \t63. ", "\t4000.       \t263. ")
    with pytest.raises(NetworkRefusedError, match="invalid head curve"):
        bring(path)


def test_a_broken_file_leaves_what_was_imported_before(
    bring: Bring, networks: Path, net3_changed: Change, journal: Ledger
) -> None:
    bring(networks / "net3" / "network.inp")
    height, assets = journal.height, load_assets(journal, "net3")
    with pytest.raises(NetworkRefusedError):
        bring(net3_changed("\t147 ", "\tnan "))
    assert (journal.height, load_assets(journal, "net3")) == (height, assets)


def test_a_file_that_is_not_there_is_named(bring: Bring, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r"there is no file .*none\.inp"):
        bring(tmp_path / "none.inp")
    with pytest.raises(UnreadableError, match=r"holds no network\.inp"):
        bring(tmp_path)


def test_the_name_is_the_stem_or_the_folder_or_what_is_said(
    networks: Path, net3_changed: Change, tmp_path: Path
) -> None:
    def name_of(path: Path, **said: str) -> str:
        return prepare_network(path, ImportOptions(**said)).files.name  # type: ignore[arg-type]

    path = net3_changed("EPANET", "EPANET")
    assert name_of(path) == "net3"
    assert name_of(networks / "net3" / "network.inp") == "net3"
    assert name_of(networks / "cycle") == "cycle"
    assert name_of(path, name="other") == "other"
    spaced = tmp_path / "my net (1).inp"
    path.rename(spaced)
    with pytest.raises(UnreadableError, match="or say --network NAME"):
        name_of(spaced)


def test_other_encodings_are_read_kept_as_they_are_and_handed_on_as_utf_8(
    bring: Bring, networks: Path, journal: Ledger, tmp_path: Path
) -> None:
    text = (networks / "net3" / "network.inp").read_text().replace("EPANET Ex", "Réseau, ex")
    source = tmp_path / "net3.inp"
    source.write_bytes(text.encode("utf-16"))
    report = bring(source)
    assert any("was read as utf-16" in sentence for sentence in report.sentences())
    assert report.network.inp_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert journal.file(report.network.inp_sha256) == source.read_bytes()
    scratch = model_path(journal, report.network, tmp_path / "scratch")
    assert scratch.read_text(encoding="utf-8") == text
    assert model_path(journal, report.network, tmp_path / "scratch") == scratch


def test_a_network_that_was_never_imported_is_named_with_those_that_were(
    bring: Bring, networks: Path, journal: Ledger
) -> None:
    with pytest.raises(NotFoundError, match="import one with"):
        load_network(journal, "net3")
    bring(networks / "net3" / "network.inp")
    with pytest.raises(NotFoundError, match="there is net3"):
        load_network(journal, "net4")
    assert list(load_networks(journal)) == ["net3"]
