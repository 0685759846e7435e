"""GB 5749-2022 as data: known answers from its tables, and what is never guessed."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import pytest

import twin.standards
from ledger.journal import Ledger
from twin.errors import NotFoundError
from twin.events import EventKind
from twin.standards import (
    Limit,
    NoLimit,
    Standard,
    StandardFileError,
    adopt,
    adopted,
    load_standard,
    parse_standard,
)

NOW_NS = 1_710_000_000_000_000_000
FILE = Path(twin.standards.__file__).parent / "gb5749-2022.toml"


@pytest.fixture(scope="module")
def gb5749() -> Standard:
    return load_standard()


def test_the_edition_is_that_of_2022_and_its_hash_is_that_of_the_file(gb5749: Standard) -> None:
    assert gb5749.id == "GB5749-2022"
    assert gb5749.edition == "2022"
    assert gb5749.issued == date(2022, 3, 15)
    assert gb5749.effective == date(2023, 4, 1)
    assert gb5749.sha256 == hashlib.sha256(FILE.read_bytes()).hexdigest()


def test_it_has_43_routine_and_54_extended_items(gb5749: Standard) -> None:
    assert len(gb5749.parameters) == 43 + 54  # the foreword of GB 5749-2022


@pytest.mark.parametrize(
    ("parameter", "point", "limits", "clause"),
    [  # GB 5749-2022, table 2: upper limit, residual at plant outlet, residual at network end
        ("free_chlorine", "plant_outlet", (0.3, 2.0), "table 2, item 40"),
        ("free_chlorine", "network_end", (0.05, 2.0), "table 2, item 40"),
        ("total_chlorine", "plant_outlet", (0.5, 3.0), "table 2, item 41"),
        ("total_chlorine", "network_end", (0.05, 3.0), "table 2, item 41"),
        ("ozone", "plant_outlet", (None, 0.3), "table 2, item 42"),
        ("ozone", "network_end", (0.02, 0.3), "table 2, item 42"),
        ("chlorine_dioxide", "plant_outlet", (0.1, 0.8), "table 2, item 43"),
        ("chlorine_dioxide", "network_end", (0.02, 0.8), "table 2, item 43"),
        ("arsenic", "network", (None, 0.01), "table 1, item 4"),
        ("lead", "network_end", (None, 0.01), "table 1, item 7"),
        ("nitrate_n", "plant_outlet", (None, 10.0), "table 1, item 11"),
    ],
)
def test_concentration_limits_are_those_of_the_tables(
    gb5749: Standard, parameter: str, point: str, limits: tuple[float | None, float], clause: str
) -> None:
    limit = gb5749.limit_for(parameter, point, "g/m3")
    assert isinstance(limit, Limit)
    assert (limit.low, limit.high) == limits
    assert limit.is_high_met
    assert limit.clause == clause
    assert limit.confidence == "high"


def test_ph_is_a_range_and_turbidity_a_limit(gb5749: Standard) -> None:
    ph = gb5749.limit_for("ph", "network_end", "1")
    turbidity = gb5749.limit_for("turbidity", "plant_outlet", "NTU")
    assert isinstance(ph, Limit)
    assert isinstance(turbidity, Limit)
    assert (ph.low, ph.high) == (6.5, 8.5)
    assert (turbidity.low, turbidity.high) == (None, 1.0)
    assert "3 for a small supply" in turbidity.note  # table 4 relaxes it, for those who claim it


@pytest.mark.parametrize(
    ("parameter", "point", "unit", "missing"),
    [
        (None, "network_end", "g/m3", "parameter"),
        ("free_chlorine", None, "g/m3", "sampling_point"),
        ("free_chlorine", "network", "g/m3", "a limit at 'network'"),
        ("free_chlorine", "somewhere", "g/m3", "plant_outlet, network_end"),
        ("free_chlorine", "network_end", "NTU", "readings in mg/L (these are in NTU)"),
        ("arsenic", "raw_water", "g/m3", "a limit at 'raw_water'"),
        ("unobtainium", "network", "g/m3", "a limit of GB5749-2022 for 'unobtainium'"),
        ("chlorate", "network", "g/m3", "whether this holds"),
        ("thm_ratio_sum", "network", "1", "all components of the sum"),
        ("e_coli", "network", "1", "detected or not detected"),
        ("odor_taste", "network", "1", "in words"),
        ("gross_alpha", "network", "g/m3", "readings in Bq/L"),
    ],
)
def test_what_is_missing_is_named_and_never_guessed(
    gb5749: Standard, parameter: str | None, point: str | None, unit: str, missing: str
) -> None:
    found = gb5749.limit_for(parameter, point, unit)
    assert isinstance(found, NoLimit)
    assert any(missing in text for text in found.missing), found.missing


def test_a_limit_below_which_one_must_stay_is_itself_not_met() -> None:
    text = FILE.read_text().replace('unit = "个/10 L"', 'unit = "1"')
    limit = parse_standard(text.encode(), "other.toml").limit_for("giardia", "network", "1")
    assert isinstance(limit, Limit)
    assert (limit.high, limit.is_high_met) == (1.0, False)  # table 3, item 44: < 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not [ toml", "no TOML"),
        ("[meta]\nid = 'X-1'", "lacks or misspells"),
        ("[other]", "lacks or misspells 'meta'"),
        ("meta = 3", "lacks or misspells"),
    ],
)
def test_a_file_that_is_no_standard_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(StandardFileError, match=f"standard, mine.toml: .*{said}"):
        parse_standard(text.encode(), "mine.toml")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("limit = 0.01\n", 'limit = "0.01"\n'),
        ("limit = 0.01\n", "limit = nan\n"),
        ("limit = 0.01\n", "limit = true\n"),
        ('op = "le"', 'op = "about"'),
        ('id = "cadmium"', 'id = "arsenic"'),
        ('issued = "2022-03-15"', 'issued = "spring"'),
    ],
)
def test_an_entry_that_cannot_be_is_refused(old: str, new: str) -> None:
    text = FILE.read_text().replace(old, new, 1)
    with pytest.raises(StandardFileError):
        parse_standard(text.encode(), "mine.toml")


def test_no_standard_of_a_name_that_does_not_come_along() -> None:
    for name in ("gb3838-1900", "../secret", ""):
        with pytest.raises(NotFoundError):
            load_standard(name)


def test_adoption_is_recorded_once_for_each_file_and_keeps_it(
    tmp_path: Path, gb5749: Standard
) -> None:
    own = parse_standard(gb5749.content + b"\n# our own copy\n", "own.toml")
    with Ledger.open_writer(tmp_path / "ledger", tmp_path / "keys", lambda: NOW_NS) as ledger:
        first = adopt(ledger, gb5749, lambda: NOW_NS)
        assert adopt(ledger, gb5749, lambda: NOW_NS) == first
        assert adopt(ledger, own, lambda: NOW_NS) != first
        events = list(ledger.events({EventKind.STANDARD_ADOPTED}))
        assert [e.event.body["sha256"] for e in events] == [gb5749.sha256, own.sha256]
        assert ledger.file(gb5749.sha256) == FILE.read_bytes()
        assert adopted(ledger) == [gb5749, own]
