from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from api.report import words, writing
from api.report.charts import charts
from api.report.drawing import (
    Ground,
    class_of,
    close_up,
    overview,
    several_zones,
    street_marks,
)
from api.report.writing import report_html, write_report
from hydraulics.network import NetworkModel
from twin.accounting.money import Price
from twin.assets import Network
from twin.errors import UnreadableError
from twin.events import RecordRef
from twin.instants import NS_PER_S, parse_instant
from twin.leaks.artefacts import Residuals, RunDetail
from twin.leaks.gathering import TagLeftOut
from twin.leaks.losses import flow_range_m3s, leak_cost_per_day, price_of, volume_per_day_m3
from twin.leaks.placed import placed_leaks
from twin.leaks.records import (
    LEVELS,
    NO_LEAK_EVIDENCE,
    Candidate,
    Inputs,
    KnownInModel,
    LeakRun,
    OneOfSeveral,
    SensorResidual,
    Several,
)
from twin.leaks.unmetered import NO_METER
from twin.leaks.walk_files import residuals_csv, summary_csv
from twin.leaks.walking import streets_to_walk
from twin.leaks.windows import Window
from twin.ports import Record

HOSTILE = '"><script>alert(1)</script><img src=https://example.org/x>'
START_NS = parse_instant("2018-01-08T00:00:00+02:00")
DAY_NS = 86_400 * NS_PER_S


class Page(HTMLParser):
    """What a browser would see of the page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in {"style", "script"}:
            self.text += data

    def attributes(self, name: str) -> list[str]:
        return [value for _, given in self.tags if (value := given.get(name)) is not None]


@pytest.fixture
def network() -> Network:
    return Network("block", "LOCAL", "+02:00", START_NS, True, "a" * 64)


@pytest.fixture
def model() -> NetworkModel:
    """A square of four pipes of 100 m, drawn at half its size, with a source at one corner."""
    return NetworkModel(
        node_id=("J1", HOSTILE, "J3", "R1"),
        node_kind=np.array([0, 0, 0, 1]),
        elevation_m=np.zeros(4),
        base_demand_m3s=np.zeros(4),
        node_xy=np.array([[0.0, 0.0], [50.0, 0.0], [50.0, 50.0], [0.0, 50.0]]),
        link_id=("A", HOSTILE, "C", "D"),
        link_kind=np.zeros(4, np.int64),
        start=np.array([0, 1, 2, 3]),
        end=np.array([1, 2, 3, 0]),
        length_m=np.full(4, 100.0),
        diameter_m=np.full(4, 0.1),
        roughness=np.full(4, 120.0),
        minor_loss=np.zeros(4),
        is_open=np.ones(4, np.bool_),
        is_oneway=np.zeros(4, np.bool_),
        valve_type=("",) * 4,
        vertices=((),) * 4,
        start_clock_s=0,
        duration_s=0,
        headloss="H-W",
    )


@pytest.fixture
def run() -> LeakRun:
    shares = (0.45, 0.40, 0.10, 0.05)
    pipes = ("A", HOSTILE, "C", "D")
    inputs = Inputs(
        window=Window(START_NS, START_NS + DAY_NS),
        reference=Window(START_NS - 7 * DAY_NS, START_NS - 6 * DAY_NS),
        reference_said="the reference window was given",
        seed=7,
        settings={"n_points": 5},
        versions={"watercourse": "0.1.0"},
        inp_sha256="a" * 64,
        readings_sha256="b" * 64,
        places_sha256="c" * 64,
        n_readings=10,
        n_rows=5,
        step_s=300.0,
        known=(KnownInModel("leak-old", "D", 0.5, 0.0011, False),),
    )
    return LeakRun(
        run_id="leak-0123456789ab",
        network="block",
        at_ns=START_NS + 2 * DAY_NS,
        inputs=inputs,
        candidates=tuple(
            Candidate(pipe, share, 0.25, 0.002, 100.0)
            for pipe, share in zip(pipes, shares, strict=True)
        ),
        n_candidates=4,
        zones={"50": pipes[:2], "80": pipes[:2], "90": pipes[:3], "95": pipes[:3]},
        zone_length_m={"50": 200.0, "80": 200.0, "90": 300.0, "95": 300.0},
        flow_low_m3s=0.0014,
        flow_high_m3s=0.0026,
        evidence_ratio=9.0,
        left_out=(TagLeftOut(HOSTILE, f"node:{HOSTILE}", 3, "flat line", is_whole=True),),
        residuals=(
            SensorResidual("P1", "node:J1", 3, -0.1, -0.09, 0.02),
            SensorResidual(HOSTILE, f"node:{HOSTILE}", 0, 0.0, 0.0, 0.02),
        ),
        posterior_sha256="d" * 64,
        residuals_sha256="e" * 64,
        map_sha256="f" * 64,
        evidence=RecordRef(57, 3),
    )


@pytest.fixture
def detail(run: LeakRun) -> RunDetail:
    seen = np.array([[-0.1, np.nan], [np.nan, np.nan], [-0.12, np.nan]])
    residuals = Residuals(
        at_ns=START_NS + np.arange(3) * 3_600 * NS_PER_S,
        tags=("P1", HOSTILE),
        assets=("node:J1", f"node:{HOSTILE}"),
        residual_m=seen,
        explained_m=np.full((3, 2), -0.09),
        band_m=np.array([0.02, 0.02]),
    )
    return RunDetail(run, run.candidates, residuals)


@pytest.fixture
def html(detail: RunDetail, network: Network, model: NetworkModel) -> str:
    return report_html(detail, network, model)


def test_the_page_refers_to_nothing_outside_itself(html: str) -> None:
    page = Page(html)
    fetched = [*page.attributes("src"), *page.attributes("xlink:href"), *page.attributes("action")]
    assert fetched == []
    assert page.attributes("href") == ["data:,"]
    assert "@import" not in html
    assert not re.search(r"url\(", html)
    # The hostile name spells an address, as text that nothing follows.
    assert set(re.findall(r"\w+://[^ &<]*", html)) == {"https://example.org/x"}


def test_the_page_allows_no_script_but_its_own(html: str) -> None:
    page = Page(html)
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 1
    (policy,) = [
        given["content"] or ""
        for tag, given in page.tags
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)


def test_a_hostile_name_is_text_and_no_markup(html: str) -> None:
    page = Page(html)
    assert HOSTILE in page.text
    assert "<script>alert" not in html
    assert "img" not in {tag for tag, _ in page.tags}
    assert not [value for value in page.attributes("onclick") + page.attributes("onload") if value]


def test_the_page_says_in_words_how_sure_it_is(html: str) -> None:
    text = Page(html).text
    assert "With 90 % probability the leak is on one of 3 pipes, 300 m of pipe in all." in text
    assert "It loses 1.4 to 2.6 L/s (90 % range)" in text
    assert "25 m along pipe A from its start node; that pipe holds 45 %" in text


def test_the_page_names_every_input_and_how_to_verify(html: str) -> None:
    text = Page(html).text
    for digit in "abcde":
        assert digit * 64 in text
    assert "twin evidence leak-0123456789ab --out leak-0123456789ab.proof" in text
    assert "twin verify leak-0123456789ab.proof --trust" in text
    assert "record 3 of block 57" in text
    assert "2018-01-08 00:00+02:00 to 2018-01-09 00:00+02:00" in text
    assert "n_points 5" in text
    assert "D at 1.10 L/s (run leak-old)" in text
    assert "flat line" in text


def test_readings_that_ask_for_no_leak_are_called_so(
    detail: RunDetail, network: Network, model: NetworkModel
) -> None:
    doubtful = replace(detail, run=replace(detail.run, evidence_ratio=0.5))
    said = words.doubt(doubtful.run)
    assert said == (
        "These readings do not ask for a leak: one explains them 2 to 1 better than none, "
        "hardly any evidence."
    )
    page = report_html(doubtful, network, model)
    assert f"<h1>{said}</h1>" in page  # no zone stands above the doubt
    assert "If there is one all the same: with 90 % probability" in Page(page).text
    assert words.zone_sentence(doubtful).startswith(said)


def test_a_leak_that_explains_nothing_is_said_to_be_no_better_than_none_once(
    detail: RunDetail, network: Network, model: NetworkModel
) -> None:
    useless = replace(detail, run=replace(detail.run, evidence_ratio=-0.4))
    text = Page(report_html(useless, network, model)).text
    assert "one explains them no better than none." in text
    assert "better than none better than none" not in text.replace(",", "")
    assert "no better than none, " not in text


def test_what_a_run_did_without_is_said(detail: RunDetail) -> None:
    spikes = TagLeftOut("P7", "node:P7", 3, "spikes", is_whole=False)
    nothing = TagLeftOut(NO_METER, "node:R1", 0, "what users take is a guess", is_whole=True)
    flat = TagLeftOut("P9", "node:P9", 3, "stands still", is_whole=True)
    run = replace(detail.run, left_out=(spikes, flat, nothing))
    assert words.left_out_sentences(run) == [
        "Without P9 at node:P9: stands still.",
        "Without a meter at node:R1: what users take is a guess.",
        "Some readings of one tag were left out; --json and the report say why.",
    ]
    assert words.left_out_sentences(replace(run, left_out=())) == []


def test_a_network_without_coordinates_has_a_report_without_a_map(
    detail: RunDetail, network: Network, model: NetworkModel
) -> None:
    nowhere = replace(model, node_xy=np.full((4, 2), np.nan))
    html = report_html(detail, network, nowhere)
    assert "gives no coordinates" in html
    assert 'class="map"' not in html


def test_a_run_without_a_reference_says_so(
    detail: RunDetail, network: Network, model: NetworkModel
) -> None:
    inputs = replace(detail.run.inputs, reference=None, reference_said="there is none")
    alone = replace(detail, run=replace(detail.run, inputs=inputs))
    text = Page(report_html(alone, network, model)).text
    assert "none: there is none" in text
    assert "leak-free window is taken off" not in text


def test_a_local_scale_bar_is_measured_by_the_pipes_and_called_about(
    detail: RunDetail, network: Network, model: NetworkModel
) -> None:
    drawing = overview(detail, detail.leaks[0], Ground(network, model))
    assert drawing is not None
    # The square is drawn 50 units wide and is 100 m wide by its pipes; with margins 110 m.
    assert drawing.scale.text == "about 20 m"
    assert drawing.scale.length == pytest.approx(1_000 * 20 / 110)


def test_a_scale_bar_of_a_known_system_is_in_its_metres(
    detail: RunDetail, network: Network, model: NetworkModel
) -> None:
    utm = replace(model, node_xy=model.node_xy * 20 + [500_000.0, 3_870_000.0])
    drawing = overview(detail, detail.leaks[0], Ground(replace(network, crs="EPSG:32636"), utm))
    assert drawing is not None
    assert drawing.scale.text == "200 m"
    assert drawing.scale.length == pytest.approx(1_000 * 200 / 1_100, rel=0.01)


def test_the_detail_shows_the_zone_and_the_overview_frames_it(
    detail: RunDetail, network: Network, model: NetworkModel
) -> None:
    ground = Ground(network, model)
    (leak,) = detail.leaks
    whole, close = overview(detail, leak, ground), close_up(detail, leak, ground)
    assert whole is not None
    assert close is not None
    assert len(whole.frames) == 1
    assert close.frames == ()
    assert [level for level, _ in whole.zones] == list(reversed(LEVELS))
    assert {mark.kind for mark in whole.sensors} == {"used", "unused"}
    assert [mark.kind for mark in whole.plants] == ["source"]


@pytest.mark.parametrize(
    ("probability", "number"), [(1.0, 0), (0.1, 0), (0.099, 1), (0.01, 2), (0.003, 3), (0.0, 4)]
)
def test_a_pipe_has_the_colour_of_its_probability(probability: float, number: int) -> None:
    assert class_of(probability) == number


def test_a_gap_in_the_residuals_breaks_the_line(detail: RunDetail) -> None:
    _, (first, second) = charts(detail)
    assert (first.tag, first.residual.count("M")) == ("P1", 2)
    assert second.residual == ""


def test_charts_share_the_scale_of_the_largest_residual(detail: RunDetail) -> None:
    scale, _ = charts(detail)
    assert scale.low_m < -0.12 < -scale.tick_m
    assert scale.high_m > 2 * 0.02


def test_a_band_wider_than_the_chart_is_cut_and_its_width_is_said(detail: RunDetail) -> None:
    band_m = np.array([5.0, 0.02])
    summary = replace(detail.run.residuals[0], band_m=5.0)
    run = replace(detail.run, residuals=(summary, detail.run.residuals[1]))
    wide = replace(detail, run=run, residuals=replace(detail.residuals, band_m=band_m))
    scale, (first, _) = charts(wide)
    assert scale.low_m > -0.2
    assert (first.band_top, first.band_height) == (0.0, pytest.approx(96.0))
    assert first.band_cm == 1_000.0


@pytest.mark.parametrize(
    ("length_m", "said"), [(0.4, "0 m"), (499.6, "500 m"), (1_234.0, "1.23 km")]
)
def test_lengths_are_said_as_people_say_them(length_m: float, said: str) -> None:
    assert words.length(length_m) == said


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (1.0, "over 99 %"),
        (0.9951, "over 99 %"),
        (0.9949, "99 %"),
        (0.0123, "1.2 %"),
        (1e-4, "0.01 %"),
    ],
)
def test_probabilities_are_rounded_neither_to_nothing_nor_to_all(share: float, said: str) -> None:
    assert words.percent(share) == said


def test_a_range_that_rounds_to_one_number_is_said_as_about(run: LeakRun) -> None:
    assert words.flow_range(replace(run, flow_high_m3s=0.00141)) == "about 1.4 L/s"


PRICE = Price(0.8, "EUR", "a tariff")


def test_the_page_ranks_streets_to_walk_with_where_to_begin(html: str) -> None:
    text = Page(html).text
    assert "Streets to walk, in this order" in text
    assert "Begin at node" in text
    assert "walk.csv" in text
    assert "about as likely as not 33 to 66 %" in text


def test_a_hostile_name_is_text_in_the_walk_too(html: str) -> None:
    table = html[html.index('id="walk"') : html.index('id="top"')]
    assert HOSTILE not in table
    assert Page(table).text.count(HOSTILE) >= 1


def test_without_a_price_only_the_volume_is_told(html: str) -> None:
    text = Page(html).text
    assert "lost a day, 90 % range121 to 225 m³" in text  # 1.4 to 2.6 L/s
    assert "EUR" not in text


def test_with_a_price_the_page_tells_the_money_and_who_says_so(
    detail: RunDetail, network: Network, model: NetworkModel
) -> None:
    text = Page(report_html(detail, network, model, PRICE)).text
    assert "lost a day, 90 % range97 to 180 EUR" in text
    assert "0.8 EUR per m³ (a tariff)" in text


def test_the_loss_is_the_flow_of_a_day_with_its_range(run: LeakRun) -> None:
    volume = volume_per_day_m3(flow_range_m3s(run))
    assert (volume.low, volume.likely, volume.high) == pytest.approx((120.96, 172.8, 224.64))
    cost = leak_cost_per_day(flow_range_m3s(run), PRICE)
    assert (cost.low, cost.likely, cost.high) == pytest.approx((96.768, 138.24, 179.712))
    assert words.loss_sentence(run, PRICE) == (
        "It loses 121 to 225 m³ a day (90 % range), which costs 97 to 180 EUR a day "
        "at 0.8 EUR per m³ (a tariff)."
    )


def test_the_likely_flow_lies_within_its_range(run: LeakRun) -> None:
    above = replace(run, flow_high_m3s=0.0015)  # the candidates' own are 2 L/s
    assert flow_range_m3s(above).likely == 0.0015


def test_a_price_without_a_currency_is_none_and_so_is_a_currency_alone() -> None:
    assert price_of(None, "", "as given") is None
    with pytest.raises(UnreadableError, match="currency"):
        price_of(0.8, "", "as given")
    with pytest.raises(UnreadableError, match="needs a price"):
        price_of(None, "EUR", "as given")


@pytest.mark.parametrize(
    ("probability", "word"),
    [
        (1.0, "virtually certain"),
        (0.95, "extremely likely"),
        (0.90, "very likely"),
        (0.66, "likely"),
        (0.65, "about as likely as not"),
        (0.33, "about as likely as not"),
        (0.32, "unlikely"),
        (0.099, "very unlikely"),
        (0.049, "extremely unlikely"),
        (0.0, "exceptionally unlikely"),
    ],
)
def test_a_word_is_that_of_its_probability(probability: float, word: str) -> None:
    assert words.likelihood(probability) == word


@pytest.mark.parametrize(
    ("ln_ratio", "word"),
    [(-5.0, "hardly any"), (0.9, "hardly any"), (1.0, "positive"), (3.0, "strong"), (9.0, "very")],
)
def test_evidence_is_said_in_a_word(run: LeakRun, ln_ratio: float, word: str) -> None:
    assert words.evidence_word(replace(run, evidence_ratio=ln_ratio)).startswith(word)


def test_what_the_readings_call_strong_is_where_a_leak_is_evident() -> None:
    evident = {bound for bound, word in words.EVIDENCES if word == "strong"}
    assert evident == {NO_LEAK_EVIDENCE}


def test_a_walk_says_where_to_begin_and_when_half_is_behind(
    run: LeakRun, model: NetworkModel
) -> None:
    streets = streets_to_walk(placed_leaks(run, run.candidates, ()), model)
    (said,) = words.walk_sentences(streets)
    assert said.startswith(f"Begin at node {streets[0].start_node} and walk ")
    assert "is behind you" in said


class Kept:
    """A record that keeps for every hash a content that names it."""

    def file(self, sha256: str) -> bytes:
        return f"kept as {sha256}".encode()


def written(
    detail: RunDetail, network: Network, model: NetworkModel, folder: Path
) -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "load_network", lambda *_: network)
        patch.setattr(writing, "load_model", lambda *_: model)
        paths = write_report(cast("Record", Kept()), detail, folder, PRICE)
    return {path.name: path.read_text() for path in paths}


def test_a_run_writes_every_file_of_the_crew(
    detail: RunDetail, network: Network, model: NetworkModel, tmp_path: Path
) -> None:
    files = written(detail, network, model, tmp_path)
    tables = ["candidates.csv", "walk.csv", "residuals.csv", "summary.csv"]
    maps = ["zone.geojson", "walk.geojson"]
    assert files.keys() == {"report.html", *tables, *maps}
    (row,) = csv.DictReader(io.StringIO(files["summary.csv"]))
    assert float(row["cost_likely_per_day"]) == pytest.approx(138.24)
    assert (row["zone_90_m"], row["currency"], row["price_source"]) == ("300.0", "EUR", "a tariff")
    loss = json.loads(files["walk.geojson"])["loss_per_day"]
    assert loss["cost"]["high"] == pytest.approx(179.712)
    assert "97 to 180 EUR" in files["report.html"]
    assert files["walk.csv"].startswith("street,order,pipe_id")


def test_the_files_of_two_leaks_are_of_both_and_the_one_leak_is_set_apart(
    doubled: RunDetail, network: Network, model: NetworkModel, tmp_path: Path
) -> None:
    files = written(doubled, network, model, tmp_path)
    assert "several.csv" not in files
    several = doubled.run.several
    assert several is not None
    assert files["candidates.csv"] == f"kept as {several.sha256}"
    assert files["one-leak.csv"] == f"kept as {doubled.run.posterior_sha256}"
    assert files["zone.geojson"] == f"kept as {doubled.run.map_sha256}"
    rows = list(csv.DictReader(io.StringIO(files["summary.csv"])))
    assert [(row["leak"], row["zone_90_m"]) for row in rows] == [("1", "200.0"), ("2", "200.0")]
    flows = [float(row["flow_likely_m3s"]) for row in rows]
    assert sum(flows) == pytest.approx(flow_range_m3s(doubled.run).likely)
    begins = [one["properties"] for one in json.loads(files["walk.geojson"])["features"]]
    assert {one["leak"] for one in begins if one["is"] == "start"} == {1, 2}


def test_two_leaks_that_are_not_evident_are_files_beside_those_of_the_one(
    doubled: RunDetail, network: Network, model: NetworkModel, tmp_path: Path
) -> None:
    several = doubled.run.several
    assert several is not None
    weak = replace(doubled, run=replace(doubled.run, several=replace(several, number=(0.4, 0.6))))
    files = written(weak, network, model, tmp_path)
    assert files["candidates.csv"] == f"kept as {weak.run.posterior_sha256}"
    assert files["several.csv"] == f"kept as {several.sha256}"
    drawn = json.loads(files["several.geojson"])["features"]
    assert {one["properties"]["leak"] for one in drawn} == {1, 2}
    assert "one-leak.csv" not in files


def test_the_close_up_numbers_the_streets_on_their_first_pipe(
    detail: RunDetail, network: Network, model: NetworkModel, html: str
) -> None:
    streets = streets_to_walk(detail.leaks, model)
    marks = street_marks(detail.leaks[0], streets, Ground(network, model))
    assert [mark.name for mark in marks] == [str(one.rank) for one in streets]
    assert html.count('<circle class="street"') == len(streets)
    nowhere = replace(model, node_xy=np.full((4, 2), np.nan))
    assert street_marks(detail.leaks[0], streets, Ground(network, nowhere)) == ()


def test_without_a_price_the_summary_leaves_the_money_empty(run: LeakRun) -> None:
    (row,) = csv.DictReader(
        io.StringIO(summary_csv(run, placed_leaks(run, run.candidates, ()), None).decode())
    )
    assert float(row["flow_low_m3s"]) == 0.0014
    assert {row[name] for name in row if name.startswith(("cost_", "price", "currency"))} == {""}


@pytest.fixture
def doubled(detail: RunDetail) -> RunDetail:
    """The same run, whose readings two leaks explain better."""
    sizes, lengths_m = dict.fromkeys(LEVELS, 2), dict.fromkeys(LEVELS, 200.0)
    leaks = tuple(
        OneOfSeveral(pipe, 0.6, 0.5, flow, 0.9 * flow, 1.1 * flow, sizes, lengths_m)
        for pipe, flow in (("A", 0.005), (HOSTILE, 0.0031))
    )
    zones = tuple(
        tuple(
            Candidate(pipe, share, 0.5, 0.003, 100.0)
            for pipe, share in zip(pipes, (0.6, 0.4), strict=True)
        )
        for pipes in (("A", "C"), (HOSTILE, "D"))
    )
    several = Several((0.01, 0.98, 0.01), leaks, "a" * 64)
    return replace(detail, run=replace(detail.run, several=several), several=zones)


def test_two_leaks_are_said_first_and_each_has_its_zone_and_where_to_begin(
    doubled: RunDetail, network: Network, model: NetworkModel
) -> None:
    html = report_html(doubled, network, model)
    text = Page(html).text
    said = words.several_sentence(doubled.run)
    assert said.startswith("That more leaks than one run is virtually certain (99 %): two explain")
    assert "4.5 to 5.5 L/s near pipe A (90 % zone: 2 pipes, 200 m); 2.8 to 3.4 L/s" in said
    assert text.index(
        "Two leaks show, each with 90 % probability in a zone of its own"
    ) < text.index(said)
    assert "They lose 7.3 to 8.9 L/s in all." in text
    assert "It loses" not in text
    assert words.run_sentence(doubled.run).startswith("Two leaks show")
    assert html.count('class="zone leak') == 2
    assert "img" not in {tag for tag, _ in Page(html).tags}
    assert words.headline(doubled.run).endswith("of 200 m and 200 m of pipe.")


def test_each_of_two_leaks_has_a_walk_of_its_own_and_the_loss_is_that_of_both(
    doubled: RunDetail, model: NetworkModel
) -> None:
    streets = streets_to_walk(doubled.leaks, model)
    assert [(one.leak, one.rank) for one in streets if one.rank == 1] == [(1, 1), (2, 1)]
    for number, zone in enumerate(doubled.several, 1):
        walked = {pipe.pipe_id for one in streets if one.leak == number for pipe in one.pipes}
        assert walked == {pipe.pipe_id for pipe in zone}
    first, second = words.walk_sentences(streets)
    assert first.startswith("Leak 1: Begin at node")
    assert second.startswith("Leak 2: Begin at node")
    flow = flow_range_m3s(doubled.run)
    assert (flow.low, flow.likely, flow.high) == pytest.approx((0.00729, 0.0081, 0.00891))
    assert words.loss_sentence(doubled.run, None).startswith("They lose 630 to 770 m³ a day")


def test_each_of_two_leaks_has_a_sheet_with_its_close_up_and_its_streets(
    doubled: RunDetail, network: Network, model: NetworkModel
) -> None:
    html = report_html(doubled, network, model)
    sheets = re.findall(r'<section class="sheet".*?</section>', html, re.DOTALL)
    assert len(sheets) == 2
    for leak, sheet in zip(doubled.leaks, sheets, strict=True):
        text = Page(sheet).text
        streets = [one for one in streets_to_walk(doubled.leaks, model) if one.leak == leak.number]
        assert f"Leak {leak.number}: {words.placed_flow(leak)}, 90 % zone of 2 pipes" in text
        assert words.walk_sentences(streets)[0] in text
        assert f"begin at {streets[0].start_node}" in text
        assert sheet.count('<svg class="map"') == 1
        assert sheet.count('<circle class="street"') == len(streets)
        for pipe in leak.widest:
            assert pipe.pipe_id in text


def test_the_overview_of_two_leaks_frames_what_each_close_up_shows(
    doubled: RunDetail, network: Network, model: NetworkModel
) -> None:
    ground = Ground(network, model)
    whole = several_zones(doubled, doubled.leaks, ground, are_framed=True)
    assert whole is not None
    assert {name for name, _ in whole.zones} == {"leak1", "leak2"}
    assert len(whole.frames) == 2
    apart = several_zones(doubled, doubled.leaks, ground, are_framed=False)
    assert apart is not None
    assert apart.frames == ()


def test_a_page_of_two_leaks_says_of_the_one_that_it_would_be_only_not_to_search_it(
    doubled: RunDetail, network: Network, model: NetworkModel
) -> None:
    doubtful = replace(doubled, run=replace(doubled.run, evidence_ratio=-2.0))
    text = Page(report_html(doubtful, network, model)).text
    assert "do not ask for a leak" not in text  # no single leak explains them: two do
    assert "no better than no leak" not in text
    assert "more leaks than onevirtually certain (99 %)" in text
    assert "a 90 % zone of 3 pipes, 300 m, which may hold none of the leaks" in text
    assert "ten most probable pipes" not in text
    assert not words.zone_sentence(doubtful).startswith("These readings do not")


def test_two_leaks_without_coordinates_are_a_table_without_a_map(
    doubled: RunDetail, network: Network, model: NetworkModel
) -> None:
    nowhere = replace(model, node_xy=np.full((4, 2), np.nan))
    html = report_html(doubled, network, nowhere)
    assert 'class="zone leak' not in html
    assert "2.8 to 3.4 L/s" in Page(html).text


def test_one_leak_that_is_enough_is_said_after_the_zone(
    run: LeakRun, doubled: RunDetail, network: Network, model: NetworkModel
) -> None:
    several = doubled.run.several
    assert several is not None
    alone = replace(several, number=(0.97, 0.03), leaks=several.leaks[:1])
    one = replace(doubled, run=replace(run, several=alone), several=doubled.several[:1])
    text = Page(report_html(one, network, model)).text
    said = "No second leak shows: that it runs alone is extremely likely (97 %)."
    assert text.index("It loses") < text.index(said)


def test_how_sure_one_leak_is_alone_is_only_said_where_a_second_was_weighed(
    run: LeakRun, doubled: RunDetail
) -> None:
    several = doubled.run.several
    assert several is not None
    alone = replace(several, number=(0.97, 0.03), leaks=several.leaks[:1])
    doubtful = replace(run, several=alone, evidence_ratio=0.5)
    said = "if one runs at all, that it runs alone is extremely likely (97 %)"
    assert said in words.several_sentence(doubtful)
    untried = words.several_sentence(replace(run, several=replace(alone, number=(1.0,))))
    assert untried == "No second leak shows: none would explain so much more that it was weighed."


@pytest.mark.parametrize(
    ("most", "said"),
    [(1, "was not asked; ask with --leaks auto"), (4, "has no answer: EPANET found no state")],
)
def test_a_run_that_does_not_know_whether_one_is_enough_says_why(
    run: LeakRun, most: int, said: str
) -> None:
    unknown = replace(run, inputs=replace(run.inputs, most_leaks=most))
    assert said in words.several_sentence(unknown)


def test_weak_evidence_for_a_second_leak_does_not_come_first(doubled: RunDetail) -> None:
    several = doubled.run.several
    assert several is not None
    weak = replace(doubled.run, several=replace(several, number=(0.4, 0.6)))
    assert "about as likely as not (60 %)" in words.several_sentence(weak)
    assert words.run_sentence(weak).startswith("With 90 % probability")


def test_the_residuals_are_a_table_with_their_band(detail: RunDetail) -> None:
    rows = list(csv.DictReader(io.StringIO(residuals_csv(detail).decode())))
    assert len(rows) == 3 * 2
    assert rows[0] | {"at": ""} == {
        "tag": "P1",
        "asset": "node:J1",
        "at": "",
        "residual_m": "-0.1",
        "explained_m": "-0.09",
        "band_m": "0.02",
    }
    assert rows[1]["residual_m"] == ""
