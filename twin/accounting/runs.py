"""Draw the water balance of a period from what is recorded and stated, and record it.

The same readings, statements and settings give the same balance: its id is a hash over them, and
asking twice returns what is recorded. A balance whose rate can be told leaves a verdict too, an
evaluation of the rule `cjj92-leakage-rate`, so that it is found among the others.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from importlib import metadata

from hydraulics.network import NetworkModel
from twin.accounting.balance import Balance, Line, water_balance
from twin.accounting.cjj92 import Cjj92, load_cjj92
from twin.accounting.indicating import Asked, cjj_result, ili_result, nodes_sha256
from twin.accounting.meters import Meters
from twin.accounting.night_runs import NightAsked, NightHours, night_result
from twin.accounting.records import find_balance, to_event
from twin.accounting.results import Accounting, Basis
from twin.accounting.stated import Stated
from twin.accounting.verdicts import verdict_event
from twin.accounting.volumes import ASSUMED, Told, balance_inputs
from twin.accounting.zones import Zone, whole_network, zone_around, zone_of_nodes
from twin.assets import Network
from twin.errors import UnreadableError
from twin.events import Plain
from twin.instants import Clock
from twin.leaks.windows import Window
from twin.networks import load_model, load_network
from twin.ports import Journal, Record

METHOD_VERSION = "1"
_ID_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked.

    Attributes:
        network: Name of the network.
        window: The period.
        zone_node: A node whose zone is meant, cut by metered links; None for the whole network or
            the nodes that are stated.
        stated: What people state.
        hours: When the zone sleeps, local wall clock.
    """

    network: str
    window: Window
    zone_node: str | None = None
    stated: Stated = field(default_factory=Stated)
    hours: NightHours = field(default_factory=NightHours)


def run_accounting(journal: Journal, request: Request, clock: Clock) -> Accounting:
    """Draw the balance of a period and record it; see `compute_accounting` and `keep_accounting`.

    Raises:
        NotFoundError: No such network, or no such node.
        RefusedError: A zone holds a source.
        UnreadableError: What is stated is of another period, or names the zone twice.
    """
    return keep_accounting(journal, compute_accounting(journal, request, clock), request.stated)


def compute_accounting(record: Record, request: Request, clock: Clock) -> Accounting:
    """Draw the balance of a period without writing; one that is recorded is returned as it is."""
    _check(request)
    network = load_network(record, request.network)
    model, standard = load_model(record, network), load_cjj92()
    meters = Meters(record, network.name, model, request.window)
    zone = _zone(model, meters, request)
    basis = _basis(network, model, zone, request, standard)
    found = _computed(request, basis, model, meters, zone, standard)
    found = replace(found, balance_id=_id_of(found), at_ns=clock())
    return find_balance(record, found.balance_id, network.name) or found


def keep_accounting(journal: Journal, found: Accounting, stated: Stated) -> Accounting:
    """Record a balance with its verdict and files; one that is recorded is not recorded twice."""
    known = find_balance(journal, found.balance_id, found.network)
    if known is not None:
        return known
    standard = load_cjj92()
    for content in (standard.content, stated.content):  # before the events that name them
        if content:
            journal.keep_file(content)
    verdict = verdict_event(found, standard)
    places = journal.record([to_event(found), *([verdict] if verdict else [])])
    return found.recorded_at(places[0])


def _check(request: Request) -> None:
    stated = request.stated
    if stated.window is not None and stated.window != request.window:
        raise UnreadableError(
            f"the stated facts are of {stated.window}, but the balance is asked of "
            f"{request.window}; volumes of one period say nothing of another"
        )
    if request.zone_node is not None and stated.nodes:
        raise UnreadableError("the stated facts list the zone's nodes; do not name a zone as well")


def _zone(model: NetworkModel, meters: Meters, request: Request) -> Zone:
    stated, links = request.stated, meters.metered_links()
    if request.zone_node is not None:
        zone = zone_around(model, links, request.zone_node)
    elif stated.nodes:
        zone = zone_of_nodes(model, stated.zone or "stated zone", stated.nodes)
    else:
        zone = whole_network(model, links)
    return replace(zone, name=stated.zone) if stated.zone else zone


def _computed(  # noqa: PLR0913, PLR0917 - what it rests on
    request: Request,
    basis: Basis,
    model: NetworkModel,
    meters: Meters,
    zone: Zone,
    standard: Cjj92,
) -> Accounting:
    stated, window, told = request.stated, request.window, Told()
    if zone.closed:
        said = f"{', '.join(zone.closed)} through the boundary counts as closed, as built"
        told.note("closed-boundary", said)
    balance = water_balance(balance_inputs(meters, zone, window, stated, told))
    _say_negative(balance, told)
    night = night_result(
        NightAsked(meters, zone, window, stated, request.hours, basis.time_zone), told
    )
    asked = Asked(balance, meters, model, zone, window, stated)
    cjj, leakage_index = cjj_result(asked, standard, told), ili_result(asked, told)
    return Accounting(
        balance_id="",
        network=request.network,
        at_ns=0,
        basis=basis,
        lines=dict(balance.lines),
        inputs=tuple(told.inputs),
        night=night,
        cjj=cjj,
        ili=leakage_index,
        price=stated.price,
        findings=tuple(dict.fromkeys(told.findings)),
    )


def _say_negative(balance: Balance, told: Told) -> None:
    """Say where losses are below 0, which no network can have, or not surely above."""
    for line in (Line.LOSSES, Line.REAL):
        amount = balance[line]
        if amount is not None and amount.value < 0:
            said = f"{line} is below 0, so an input is wrong by more than that"
            told.note("negative-losses", said)
        elif amount is not None and amount.value <= amount.margin:
            told.note("losses-unsure", f"{line} is less than its margin, so it may be nothing")


def _basis(
    network: Network, model: NetworkModel, zone: Zone, request: Request, standard: Cjj92
) -> Basis:
    begin, end = request.hours.texts
    settings: dict[str, Plain] = {"night_from": begin, "night_to": end, **ASSUMED}
    return Basis(
        window=request.window,
        zone=zone.name,
        zone_said=zone.said,
        n_nodes=int(zone.inside.sum()),
        nodes_sha256=nodes_sha256(model, zone.inside),
        crossings=tuple(f"link:{model.link_id[one.link]}" for one in zone.crossings),
        time_zone=network.time_zone,
        inp_sha256=network.inp_sha256,
        stated_sha256=request.stated.sha256,
        standard_sha256=standard.sha256,
        settings=settings,
        versions={"method": METHOD_VERSION, "watercourse": metadata.version("watercourse")},
    )


def _id_of(found: Accounting) -> str:
    """Return the id: a hash over the event without its time and name."""
    body = to_event(found).body
    text = json.dumps([found.network, body], sort_keys=True, allow_nan=False)
    return f"balance-{hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]}"
