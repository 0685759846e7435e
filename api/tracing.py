"""Who is upstream or downstream of an asset, by the flow at one moment; each answer is an event.

The command line and GraphQL both ask here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from graph.topology import load_topology
from graph.traces import Direction, trace
from twin.assets import Network, model_time_s
from twin.errors import UnreadableError
from twin.events import Event, EventKind, Plain, Recorded, RecordRef
from twin.flows import flows_at
from twin.ids import AssetRef, parse_ref, resolve_ref
from twin.instants import Clock
from twin.networks import load_assets, load_network

if TYPE_CHECKING:
    from api.home import Home

MAX_IDS_IN_EVENT = 5_000
"""A longer answer is kept as a file, whose hash the event names."""


@dataclass(frozen=True, slots=True)
class TraceAnswer:
    """What lies upstream or downstream of an asset, which is itself part of the answer.

    Attributes:
        network: Name of the network.
        start: Where the trace began.
        direction: Which way it went.
        at_ns: The moment whose flows were used [ns since the Unix epoch].
        is_at_given: Whether a person named the moment; else it is model time zero.
        nodes: EPANET ids, sorted.
        links: EPANET ids, sorted.
        users: Ids of the junctions that serve them, sorted.
        evidence: Its place in the ledger.
    """

    network: str
    start: AssetRef
    direction: Direction
    at_ns: int
    is_at_given: bool
    nodes: tuple[str, ...]
    links: tuple[str, ...]
    users: tuple[str, ...]
    evidence: RecordRef | None


def trace_network(  # noqa: PLR0913, PLR0917 - the whole question, and the clock
    home: Home,
    network: str,
    asset_text: str,
    direction: str,
    at_ns: int | None,
    clock: Clock,
) -> TraceAnswer:
    """Trace from an asset by the flow direction of a moment, and record the answer.

    Args:
        home: Whose networks and graph are asked.
        network: Name of the network.
        asset_text: `node:10`, `link:10`, `user:10`, or a bare id that only one asset has.
        direction: `upstream` or `downstream`.
        at_ns: The moment [ns since the Unix epoch]; None is model time zero.
        clock: Says when the question was asked.

    Raises:
        NotFoundError: No such network.
        AssetNameError: The text names no asset of it, or more than one.
        UnreadableError: The direction is neither.
    """
    way = _direction(direction)
    record = home.reader()
    found = load_network(record, network)
    start = resolve_ref(asset_text, load_assets(record, network))
    moment = found.model_start_ns if at_ns is None else at_ns
    nodes, links, users = _reached(home, found, start, way, moment)
    answer = TraceAnswer(
        network, start, way, moment, at_ns is not None, nodes, links, users, evidence=None
    )
    return _recorded(home, found, answer, clock)


def from_event(recorded: Recorded, content: bytes | None = None) -> TraceAnswer:
    """Return the trace that an event holds.

    Args:
        recorded: An event of kind `trace`.
        content: The kept file that `answer_sha256` names, for an answer too long for the event.
    """
    body = recorded.event.body
    lists = cast("Mapping[str, Sequence[str]]", body if content is None else json.loads(content))
    return TraceAnswer(
        network=recorded.event.network,
        start=parse_ref(recorded.event.subject),
        direction=Direction(cast("str", body["direction"])),
        at_ns=cast("int", body["at_ns"]),
        is_at_given=bool(body["is_at_given"]),
        nodes=tuple(lists.get("nodes", ())),
        links=tuple(lists.get("links", ())),
        users=tuple(lists.get("users", ())),
        evidence=recorded.ref,
    )


def load_traces(home: Home, network: str) -> list[TraceAnswer]:
    """Return the recorded traces of a network, oldest first."""
    record = home.reader()
    answers = []
    for recorded in record.events([EventKind.TRACE], network):
        kept = recorded.event.body.get("answer_sha256")
        answers.append(from_event(recorded, record.file(kept) if isinstance(kept, str) else None))
    return answers


def _direction(text: str) -> Direction:
    if text not in list(Direction):
        raise UnreadableError(f"direction {text!r}: write upstream or downstream")
    return Direction(text)


def _reached(
    home: Home, network: Network, start: AssetRef, direction: Direction, at_ns: int
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    topology = load_topology(home.graph(), network.name)
    found = trace(topology, flows_at(home.reader(), network, at_ns), start, direction)
    return _ids(found.nodes), _ids(found.links), _ids(found.users)


def _ids(refs: Sequence[AssetRef]) -> tuple[str, ...]:
    return tuple(sorted(ref.id for ref in refs))


def _recorded(home: Home, network: Network, answer: TraceAnswer, clock: Clock) -> TraceAnswer:
    lists = {"nodes": answer.nodes, "links": answer.links, "users": answer.users}
    body: dict[str, Plain] = {
        "direction": answer.direction.value,
        "at_ns": answer.at_ns,
        "is_at_given": answer.is_at_given,
        "model_time_s": model_time_s(network, answer.at_ns),
        "inp_sha256": network.inp_sha256,
        "n_nodes": len(answer.nodes),
        "n_links": len(answer.links),
        "n_users": len(answer.users),
    }
    with home.writer() as journal:
        if sum(map(len, lists.values())) > MAX_IDS_IN_EVENT:
            body["answer_sha256"] = journal.keep_file(json.dumps(lists, sort_keys=True).encode())
        else:
            body |= {name: list(ids) for name, ids in lists.items()}
        event = Event(EventKind.TRACE, answer.network, str(answer.start), clock(), body)
        (ref,) = journal.record([event])
    return replace(answer, evidence=ref)
