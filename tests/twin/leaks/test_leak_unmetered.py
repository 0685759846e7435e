"""A run names the sources and tanks that nothing reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ledger.journal import Ledger
from twin.leaks.gathering import gather
from twin.leaks.unmetered import NO_METER, unmetered
from twin.leaks.windows import Window
from twin.networks import load_model, load_network
from twin.readings import Quantity

DAY = ("01-08T00:00", "01-09T00:00")
SOURCE, TANK = (NO_METER, "node:R1"), (NO_METER, "node:T1")


@pytest.mark.parametrize(
    ("read", "missing"),
    [
        ([], [SOURCE, TANK]),
        ([("link:IN", Quantity.FLOW)], [TANK]),
        ([("node:R1", Quantity.FLOW)], [TANK]),
        ([("link:UP", Quantity.FLOW)], [SOURCE, TANK]),
        ([("link:IN", Quantity.FLOW), ("node:T1", Quantity.LEVEL)], []),
    ],
)
def test_what_nothing_reads_is_named(  # noqa: PLR0913, PLR0917 - fixtures
    journal: Ledger,
    read_in: Callable[..., None],
    ticks: Callable[..., list[int]],
    window: Callable[[str, str], Window],
    read: list[tuple[str, Quantity]],
    missing: list[tuple[str, str]],
) -> None:
    times = ticks("01-08T00:00", 3)
    read_in("P1", "node:J11", times, [1, 2, 3])
    for tag, (asset, quantity) in enumerate(read):
        read_in(f"Q{tag}", asset, times, [1, 2, 3], quantity=quantity)
    network = load_network(journal, "block")
    model = load_model(journal, network)
    seen = gather(journal, network, model, window(*DAY), None).measurements
    named = unmetered(model, seen)
    assert [(one.tag, one.asset) for one in named] == missing
    assert all(one.is_whole and "guess" in one.reason for one in named)
