"""What a leak run says, in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from twin.accounting.money import Price
from twin.assets import Network, local_datetime
from twin.leaks.artefacts import RunDetail
from twin.leaks.gathering import TagLeftOut
from twin.leaks.losses import flow_range_m3s, leak_cost_per_day, volume_per_day_m3
from twin.leaks.placed import PlacedLeak
from twin.leaks.records import Candidate, LeakRun, OneOfSeveral
from twin.leaks.unmetered import NO_METER
from twin.leaks.walking import Street

_LITRES = 1_000.0
_KILOMETRE_M = 1_000.0
_EXACT = 10.0
"""From here on a number is said without decimals."""
_NEARLY_ALL = 0.995
_NUMBERS = {2: "Two", 3: "Three", 4: "Four"}
_N_REJECTED = 10
_LARGEST_ODDS_LN = math.log(1_000_000)

LIKELIHOODS = (
    (0.99, "virtually certain"),
    (0.95, "extremely likely"),
    (0.90, "very likely"),
    (0.66, "likely"),
    (0.33, "about as likely as not"),
    (0.10, "unlikely"),
    (0.05, "very unlikely"),
    (0.01, "extremely unlikely"),
    (0.0, "exceptionally unlikely"),
)
"""Least probability of each word.

Source: M. D. Mastrandrea and others, Guidance Note for Lead Authors of the IPCC Fifth Assessment
Report on Consistent Treatment of Uncertainties, 2010, table 1; where its ranges overlap, the
narrower one.
"""

EVIDENCES = (
    (5.0, "very strong"),
    (3.0, "strong"),
    (1.0, "positive"),
    (-math.inf, "hardly any"),
)
"""Least ln of the evidence ratio of each word.

Source: R. E. Kass and A. E. Raftery, Bayes Factors, 1995, section 3.2 (20 to 1 is strong).
"""


def zone_sentence(detail: RunDetail) -> str:
    """Return how sure the run is, doubts first, in the words of the report."""
    return run_sentence(detail.run)


def run_sentence(run: LeakRun) -> str:
    """Return the same of a run as recorded, without its files."""
    return f"{doubt(run)} {if_all_the_same(run)}" if doubt(run) else f"{headline(run)} {lead(run)}"


def doubt(run: LeakRun) -> str:
    """Return that the readings do not ask for a leak, in one sentence; empty where they do."""
    if run.is_leak_evident:
        return ""
    better = "" if run.evidence_ratio <= 0 else f" better than none, {evidence_word(run)} evidence"
    return f"These readings do not ask for a leak: one explains them {odds(run)}{better}."


def if_all_the_same(run: LeakRun) -> str:
    """Return what a run without evidence says of the leak that may run all the same."""
    zone = headline(run)
    return f"If there is one all the same: {zone[0].lower()}{zone[1:]} {lead(run)}"


def headline(run: LeakRun) -> str:
    """Return the 90 % zone in one sentence; where more leaks than one are evident, that of each."""
    if run.several is not None and run.is_more_than_one:
        leaks = run.several.leaks
        *first, last = (length(one.zone_length_m["90"]) for one in leaks)
        return (
            f"{_NUMBERS[len(leaks)]} leaks show, each with 90 % probability in a zone of its own, "
            f"of {', '.join(first)} and {last} of pipe."
        )
    n_pipes = len(run.zones["90"])
    where = "one pipe" if n_pipes == 1 else f"one of {n_pipes} pipes"
    metres = length(run.zone_length_m["90"])
    return f"With 90 % probability the leak is on {where}, {metres} of pipe in all."


def lead(run: LeakRun) -> str:
    """Return the outflow, the narrower zone and the most probable place, or those of several."""
    if run.is_more_than_one:
        return (
            f"They lose {total_flow(run)} in all. {several_sentence(run)} "
            "Search the zones, not the pipes."
        )
    n_half = len(run.zones["50"])
    half = "one pipe" if n_half == 1 else f"{n_half} of them"
    return (
        f"It loses {flow_range(run)} (90 % range). Half of the probability is on {half}, "
        f"{length(run.zone_length_m['50'])} long. {place_sentence(run.best)}"
    )


def place_sentence(best: Candidate) -> str:
    """Return the most probable place, and that it is not the place to search alone."""
    place = f"{length(best.place * best.length_m)} along pipe {best.pipe_id} from its start node"
    return (
        f"The most probable single place is {place}; that pipe holds "
        f"{percent(best.probability)}, so search the zone, not the pipe."
    )


def one_leak_sentence(run: LeakRun) -> str:
    """Return what the run would say if there were one leak only, where more are evident."""
    zone = zone_text(len(run.zones["90"]), run.zone_length_m["90"])
    return (
        f"No single leak explains these readings as well. The place that explains them least "
        f"badly has a 90 % zone of {zone}, which may hold none of the leaks: do not search it."
    )


def total_flow(run: LeakRun) -> str:
    """Return the range of the outflow of all leaks in L/s."""
    flow = flow_range_m3s(run)
    return flow_between(flow.low, flow.high)


def several_sentence(run: LeakRun) -> str:
    """Return whether one leak is enough, and where each is if it is not."""
    several = run.several
    if several is None:
        return (
            "Whether more leaks than one run was not asked; ask with --leaks auto."
            if run.inputs.most_leaks == 1
            else "Whether more leaks than one run has no answer: EPANET found no state with them."
        )
    if len(several.number) == 1:
        return "No second leak shows: none would explain so much more that it was weighed."
    if len(several.leaks) == 1:
        least = "" if run.is_leak_evident else "if one runs at all, "
        return f"No second leak shows: {least}that it runs alone is {_sure(several.number[0])}."
    places = "; ".join(map(_one_of_several, several.leaks))
    return (
        f"That more leaks than one run is {_sure(several.probability_of_more)}: "
        f"{_NUMBERS[len(several.leaks)].lower()} explain the readings best, {places}."
    )


def number_words(run: LeakRun) -> str:
    """Return the calibrated word for more leaks than one; empty where that has no answer."""
    several = run.several
    return "" if several is None else _sure(several.probability_of_more)


def _one_of_several(leak: OneOfSeveral) -> str:
    flow = flow_between(leak.flow_low_m3s, leak.flow_high_m3s)
    zone = zone_text(leak.zone_sizes["90"], leak.zone_length_m["90"])
    return f"{flow} near pipe {leak.pipe_id} (90 % zone: {zone})"


def _sure(probability: float) -> str:
    return f"{likelihood(probability)} ({percent(probability)})"


def likelihood(probability: float) -> str:
    """Return the calibrated word for a probability."""
    return next(word for least, word in LIKELIHOODS if probability >= least)


def evidence_word(run: LeakRun) -> str:
    """Return the calibrated word for what the readings say for a leak, against none."""
    return next(word for least, word in EVIDENCES if run.evidence_ratio >= least)


def walk_sentences(streets: Sequence[Street]) -> list[str]:
    """Return where to begin, and how much of the walk holds the leak as likely as not.

    A sentence for each leak, which says whose it is where there are more.
    """
    numbers = sorted({one.leak for one in streets})
    said = [_walk_sentence([one for one in streets if one.leak == leak]) for leak in numbers]
    if len(numbers) == 1:
        return said
    return [f"Leak {leak}: {one}" for leak, one in zip(numbers, said, strict=True)]


def _walk_sentence(streets: Sequence[Street]) -> str:
    first = streets[0]
    pipes = "one pipe" if len(first.pipes) == 1 else f"{len(first.pipes)} pipes"
    half = next((one for one in streets if one.reached >= 1 / 2), streets[-1])
    return (
        f"Begin at node {first.start_node} and walk {length(first.length_m)} ({pipes}) to node "
        f"{first.end_node}: it is {likelihood(first.probability)} "
        f"({percent(first.probability)}) that the leak is there. After "
        f"{length(half.walked_m)} in all, {percent(half.reached)} is behind you."
    )


def volume_range(run: LeakRun) -> str:
    """Return the 90 % range of what is lost in a day."""
    volume = volume_per_day_m3(flow_range_m3s(run))
    return f"{_between(volume.low, volume.high)} m³ a day"


def cost_range(run: LeakRun, price: Price) -> str:
    """Return the 90 % range of what that costs."""
    cost = leak_cost_per_day(flow_range_m3s(run), price)
    return f"{_between(cost.low, cost.high)} {price.currency} a day"


def loss_sentence(run: LeakRun, price: Price | None) -> str:
    """Return what is lost in a day, as volume and, where it has a price, as money."""
    money = f", which costs {cost_range(run, price)} at {price_text(price)}" if price else ""
    loses = "They lose" if run.is_more_than_one else "It loses"
    return f"{loses} {volume_range(run)} (90 % range){money}."


def price_text(price: Price) -> str:
    """Return the price and who says so."""
    return f"{price.per_m3:g} {price.currency} per m³ ({price.source})"


def _between(low: float, high: float) -> str:
    """Return a range, large numbers without decimals."""
    first, last = (f"{one:,.0f}" if one >= _EXACT else f"{one:.2g}" for one in (low, high))
    return f"about {first}" if first == last else f"{first} to {last}"


def left_out_sentences(run: LeakRun) -> list[str]:
    """Return each rejected sensor, each meter that is missing, and whether more was left out."""
    whole = [one for one in run.left_out if one.is_whole]
    said = [f"Without {_tag(one)} at {one.asset}: {one.reason}." for one in whole[:_N_REJECTED]]
    if len(whole) > _N_REJECTED:
        said.append(f"Without {len(whole) - _N_REJECTED} more; --json and the report name them.")
    parts = {one.tag for one in run.left_out if not one.is_whole}
    if parts:
        n_tags = "one tag" if len(parts) == 1 else f"{len(parts)} tags"
        said.append(f"Some readings of {n_tags} were left out; --json and the report say why.")
    return said


def _tag(one: TagLeftOut) -> str:
    return "a meter" if one.tag == NO_METER else one.tag


def reference_sentence(run: LeakRun) -> str:
    """Return what the window was compared with, and how that was chosen."""
    reference = run.inputs.reference
    said = run.inputs.reference_said
    return f"Compared with {reference}: {said}." if reference else f"{said.capitalize()}."


def zone_text(n_pipes: int, zone_m: float) -> str:
    """Return how large a zone is."""
    return f"{n_pipes} {'pipe' if n_pipes == 1 else 'pipes'}, {length(zone_m)}"


def odds(run: LeakRun) -> str:
    """Return how much better a leak explains the data than none, as odds."""
    if run.evidence_ratio <= 0:
        return "no better than none"
    if run.evidence_ratio > _LARGEST_ODDS_LN:
        return "over 10⁶ to 1"
    return f"{math.exp(run.evidence_ratio):,.0f} to 1"


def flow_range(run: LeakRun) -> str:
    """Return the 90 % range of the outflow in L/s."""
    return flow_between(run.flow_low_m3s, run.flow_high_m3s)


def placed_flow(leak: PlacedLeak) -> str:
    """Return the 90 % range of one leak's outflow in L/s."""
    return flow_between(leak.flow_m3s.low, leak.flow_m3s.high)


def flow_between(low_m3s: float, high_m3s: float) -> str:
    """Return a range of outflow in L/s."""
    low, high = (f"{flow * _LITRES:.1f}" for flow in (low_m3s, high_m3s))
    return f"about {low} L/s" if low == high else f"{low} to {high} L/s"


def length(length_m: float) -> str:
    """Return a length as people say it."""
    if length_m >= _KILOMETRE_M:
        return f"{length_m / _KILOMETRE_M:.2f} km"
    return f"{length_m:.0f} m"


def percent(probability: float) -> str:
    """Return a probability in percent, small ones not rounded to nothing, nor large ones to all."""
    if probability > _NEARLY_ALL:
        return "over 99 %"
    return f"{probability * 100:.0f} %" if probability >= 1 / 10 else f"{probability * 100:.2g} %"


def moment(network: Network, at_ns: int) -> str:
    """Return an instant on the network's own clock, with its offset."""
    return local_datetime(at_ns, network.time_zone).isoformat(sep=" ", timespec="minutes")
