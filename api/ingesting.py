"""Wires a file of readings to the record and its rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twin.networks import load_assets, load_network
from twin.rules.progress import JudgedSoFar
from twin.rules.run import evaluate
from twin.tags import Intake, TagMap, open_intake

if TYPE_CHECKING:
    from twin.instants import Clock
    from twin.pipeline import Evaluate
    from twin.ports import Journal, Record


def open_door(record: Record, network: str, tag_map: TagMap, source: str) -> Intake:
    """Return what a door needs to read for a network: its tags, tied to its assets.

    Args:
        record: What is recorded so far.
        network: Name of the network.
        tag_map: Which tag is which quantity of which asset.
        source: The door, such as `csv`.

    Raises:
        NotFoundError: There is no such network.
        TagMapRefusedError: A tag does not fit the network.
    """
    load_network(record, network)  # refuses a name that is not recorded
    assets = load_assets(record, network)
    return open_intake(tag_map, network, assets, source=source, recorded=record.series(network))


def rules_of(journal: Journal, network: str, clock: Clock) -> Evaluate:
    """Return the rules of a network, as the pipeline calls them after each seal."""
    so_far = JudgedSoFar(network)

    def judge(from_ns: int, to_ns: int) -> int:
        return len(evaluate(journal, network, from_ns, to_ns, clock, so_far=so_far))

    return judge
