"""The page and the tables of a water balance."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from api.report.balance_words import finding_lines, line_rows, words_of
from twin.accounting.amounts import Amount
from twin.accounting.evidence import Input
from twin.accounting.results import Accounting
from twin.instants import format_instant


def balance_files(found: Accounting) -> dict[str, bytes]:
    """Return balance.html, balance.csv (the lines) and inputs.csv (what they rest on)."""
    return {
        "balance.html": balance_page(found).encode(),
        "balance.csv": balance_csv(found),
        "inputs.csv": inputs_csv(found),
    }


def balance_page(found: Accounting) -> str:
    """Return the page of a balance, one file that needs no other."""
    window = found.basis.window
    page, css = _template()
    return page.render(
        css=Markup(css),  # noqa: S704 - our own file
        found=found,
        begin=format_instant(window.from_ns),
        end=format_instant(window.to_ns),
        rows=line_rows(found),
        words=words_of(found),
        findings=finding_lines(found),
        inputs=found.all_inputs,
    )


def balance_csv(found: Accounting) -> bytes:
    """Return the lines as CSV: line, value_m3, margin_m3; empty where a line is not known."""
    rows = [(line.value, *_texts(amount)) for line, amount in found.lines.items()]
    return _csv(("line", "value_m3", "margin_m3"), rows)


def inputs_csv(found: Accounting) -> bytes:
    """Return every input as CSV, with its readings' window, hash and places in the ledger."""
    heads = ("of", "value", "margin", "unit", "source", "tag", "asset", "from", "to")
    more = ("n_readings", "readings_sha256", "first", "last")
    return _csv((*heads, *more), map(_input_row, found.all_inputs))


def _input_row(one: Input) -> tuple[str, ...]:
    head = (one.of, *_texts(one.amount), one.unit, one.source)
    seen = one.evidence
    if seen is None:
        return (*head, *[""] * 8)
    ends = (format_instant(seen.from_ns), format_instant(seen.to_ns))
    places = (str(seen.n_readings), seen.readings_sha256, str(seen.first), str(seen.last))
    return (*head, seen.tag, seen.asset, *ends, *places)


def _texts(amount: Amount | None) -> tuple[str, str]:
    return ("", "") if amount is None else (repr(amount.value), repr(amount.margin))


def _csv(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(rows)
    return text.getvalue().encode()


@lru_cache(maxsize=1)
def _template() -> tuple[Template, str]:
    """Return the page and the style that it shares with the other reports."""
    loader = PackageLoader("api.report")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    css = loader.get_source(environment, "report.css")[0]
    return environment.get_template("balance.html.j2"), css
