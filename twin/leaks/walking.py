"""The streets of a zone in the order in which a crew should walk them.

A street is what a crew walks in one go: pipes that continue each other. Where two pipes meet alone
they do; where more meet, those do that turn least, and less than 45 degrees. No file says where
streets are, so this is a reading of the pipes.

The street with the most probability a metre comes first, which finds the leak soonest on average as
long as the ways between streets do not count. Each is walked from the end from which the leak is
met sooner.

Source:
    L. D. Stone, Theory of Optimal Search, 1975: search by probability over cost. Joining lines that
    turn least: R. C. Thomson and D. E. Richardson, The "good continuation" principle, 1999.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from hydraulics.network import NetworkModel
from hydraulics.paths import ways_from_m
from twin.leaks.artefacts import line
from twin.leaks.placed import PlacedLeak
from twin.leaks.records import Candidate
from twin.readings import FloatArray

MAX_STREETS = 200
"""A zone of more streets than these is no zone to walk; the first ones are given."""

_LARGEST_TURN = math.cos(math.radians(45.0))
_SHORTEST_M = 1.0

End = tuple[int, int]
"""A link and one of its nodes, by index."""


@dataclass(frozen=True, slots=True)
class WalkedPipe:
    """A pipe in the direction in which it is walked.

    Attributes:
        pipe_id: EPANET id.
        from_node: Node at which the crew comes to it.
        to_node: Node at which it leaves it.
        length_m: Length of the pipe [m].
        probability: Posterior probability that the leak is on it, 0..1.
    """

    pipe_id: str
    from_node: str
    to_node: str
    length_m: float
    probability: float


@dataclass(frozen=True, slots=True)
class Street:
    """Pipes to walk in one go.

    Attributes:
        rank: Which it is in the walk, counted from 1.
        pipes: In the order of walking.
        probability: Probability that the leak is on it, 0..1.
        reached: The same of it and all streets before.
        length_m: Metres of pipe on it.
        walked_m: Metres of pipe on it and all streets before.
        way_there_m: Way along pipes from the end of the street before [m]; 0 for the first,
            infinite where there is none.
        leak: Which leak it is walked for, counted from 1; each of several has a walk of its own.
    """

    rank: int
    pipes: tuple[WalkedPipe, ...]
    probability: float
    reached: float
    length_m: float
    walked_m: float
    way_there_m: float
    leak: int = 1

    @property
    def start_node(self) -> str:
        """Where to begin."""
        return self.pipes[0].from_node

    @property
    def end_node(self) -> str:
        """Where it ends."""
        return self.pipes[-1].to_node


def street_document(street: Street) -> dict[str, object]:
    """Return a street as JSON can hold it; a way that there is not is null."""
    return {
        "rank": street.rank,
        "leak": street.leak,
        "pipe_ids": [pipe.pipe_id for pipe in street.pipes],
        "start_node": street.start_node,
        "end_node": street.end_node,
        "length_m": street.length_m,
        "probability": street.probability,
        "walked_m": street.walked_m,
        "reached": street.reached,
        "way_there_m": street.way_there_m if math.isfinite(street.way_there_m) else None,
    }


def streets_to_walk(leaks: Sequence[PlacedLeak], model: NetworkModel) -> tuple[Street, ...]:
    """Return the streets of each leak's 95 % zone, the one to walk first first.

    Each leak has a walk of its own, of at most `MAX_STREETS`, the largest leak's first.
    """
    return tuple(
        replace(street, leak=leak.number) for leak in leaks for street in _walk_of(leak, model)
    )


def _walk_of(leak: PlacedLeak, model: NetworkModel) -> tuple[Street, ...]:
    index = {link_id: i for i, link_id in enumerate(model.link_id)}
    known = {index[one.pipe_id]: one for one in leak.widest if one.pipe_id in index}
    joined = _joined_ends(model, set(known))
    walks = [_best_way(chain, known, model) for chain in _chains(list(known), joined, model)]
    streets = [_street(walk, known, model) for walk in walks]
    streets.sort(
        key=lambda one: (-one.probability / max(one.length_m, _SHORTEST_M), one.pipes[0].pipe_id)
    )
    return _numbered(streets[:MAX_STREETS], model)


def _joined_ends(model: NetworkModel, links: set[int]) -> dict[End, int]:
    """Return for each end of a link which link of the zone goes on there, where one does."""
    at_node: dict[int, list[int]] = {}
    for link in range(model.n_links):
        for node in (int(model.start[link]), int(model.end[link])):
            at_node.setdefault(node, []).append(link)
    nodes = {int(node) for link in links for node in (model.start[link], model.end[link])}
    joined: dict[End, int] = {}
    for node in sorted(nodes):
        for one, other in _continuing(model, node, at_node[node]):
            if one in links and other in links:
                joined[one, node], joined[other, node] = other, one
    return joined


def _continuing(model: NetworkModel, node: int, links: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of links that go on into each other at a node, each link at most once."""
    if len(links) == 2 and links[0] != links[1]:  # noqa: PLR2004 - a pair
        yield links[0], links[1]
        return
    turns = [
        (_straightness(model, node, one, other), one, other)
        for one, other in combinations(links, 2)
    ]
    taken: set[int] = set()
    for straight, one, other in sorted(turns, key=lambda turn: -turn[0]):
        if straight > _LARGEST_TURN and not taken & {one, other}:
            taken |= {one, other}
            yield one, other


def _straightness(model: NetworkModel, node: int, one: int, other: int) -> float:
    """Return the cosine of the turn between two links; -1 where the file gives no places."""
    away = [_direction(model, node, link) for link in (one, other)]
    return -float(away[0] @ away[1]) if np.isfinite(away).all() else -1.0


def _direction(model: NetworkModel, node: int, link: int) -> FloatArray:
    """Return the unit vector in which a link leaves a node, NaN without coordinates."""
    points = line(model, link)
    if len(points) and int(model.start[link]) != node:
        points = points[::-1]
    steps = np.diff(points, axis=0)
    steps = steps[np.abs(steps).sum(axis=1) > 0.0]
    if not len(steps):
        return np.full(2, np.nan)
    first: FloatArray = steps[0] / np.hypot(*steps[0])
    return first


def _chains(
    links: Sequence[int], joined: Mapping[End, int], model: NetworkModel
) -> Iterator[list[End]]:
    """Yield each street as links, each with the node at which it is entered."""
    seen: set[int] = set()
    for link in links:
        if link in seen:
            continue
        first = _first_of(link, joined, model)
        chain = list(_from(first, joined, model))
        seen |= {one for one, _ in chain}
        yield chain


def _first_of(link: int, joined: Mapping[End, int], model: NetworkModel) -> End:
    """Return the link at which a street begins, and its free node; on a ring, where it was."""
    backwards = list(_from((link, int(model.end[link])), joined, model))
    last, entered = backwards[-1]
    return last, _other_end(model, last, entered)


def _from(first: End, joined: Mapping[End, int], model: NetworkModel) -> Iterator[End]:
    """Yield links from one that is entered at a node, until the street ends or closes."""
    seen: set[int] = set()
    link, entered = first
    while link not in seen:
        yield link, entered
        seen.add(link)
        left = _other_end(model, link, entered)
        if (link, left) not in joined:
            return
        link, entered = joined[link, left], left


def _other_end(model: NetworkModel, link: int, node: int) -> int:
    start, end = int(model.start[link]), int(model.end[link])
    return end if node == start else start


def _best_way(
    chain: Sequence[End], known: Mapping[int, Candidate], model: NetworkModel
) -> list[End]:
    """Return a street in the direction in which the leak is met sooner."""
    back = [(link, _other_end(model, link, entered)) for link, entered in reversed(chain)]
    return min((list(chain), back), key=lambda way: _metres_to_leak(way, known, model))


def _metres_to_leak(
    way: Sequence[End], known: Mapping[int, Candidate], model: NetworkModel
) -> float:
    """Return the mean way to the leak's place [m], weighed by probability."""
    walked_m = total = 0.0
    for link, entered in way:
        one = known[link]
        place = one.place if entered == int(model.start[link]) else 1.0 - one.place
        total += one.probability * (walked_m + place * one.length_m)
        walked_m += one.length_m
    return total


def _street(way: Sequence[End], known: Mapping[int, Candidate], model: NetworkModel) -> Street:
    pipes = tuple(
        WalkedPipe(
            pipe_id=known[link].pipe_id,
            from_node=model.node_id[entered],
            to_node=model.node_id[_other_end(model, link, entered)],
            length_m=known[link].length_m,
            probability=known[link].probability,
        )
        for link, entered in way
    )
    probability = sum(pipe.probability for pipe in pipes)
    length_m = sum(pipe.length_m for pipe in pipes)
    return Street(0, pipes, probability, probability, length_m, length_m, 0.0)


def _numbered(streets: Sequence[Street], model: NetworkModel) -> tuple[Street, ...]:
    """Return streets with what adds up along the walk."""
    node = {name: i for i, name in enumerate(model.node_id)}
    reached, walked_m, at, numbered = 0.0, 0.0, -1, []
    for rank, street in enumerate(streets, 1):
        reached, walked_m = reached + street.probability, walked_m + street.length_m
        way_m = float(ways_from_m(model, [at])[0, node[street.start_node]]) if at >= 0 else 0.0
        total = min(reached, 1.0)
        numbered.append(
            replace(street, rank=rank, reached=total, walked_m=walked_m, way_there_m=way_m)
        )
        at = node[street.end_node]
    return tuple(numbered)
