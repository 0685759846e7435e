"""What a leak run says, in sentences."""

from __future__ import annotations

import math

from twin.assets import Network, local_datetime
from twin.leaks.artefacts import RunDetail
from twin.leaks.records import LeakRun

_LITRES = 1_000.0
_KILOMETRE_M = 1_000.0
_LARGEST_ODDS_LN = math.log(1_000_000)


def zone_sentence(detail: RunDetail) -> str:
    """Return how sure the run is, doubts first, in the words of the report."""
    run = detail.run
    doubt = "" if run.is_leak_evident else f"These readings do not ask for a leak: {odds(run)}. "
    return f"{doubt}{headline(run)} {lead(run)}"


def headline(run: LeakRun) -> str:
    """Return the 90 % zone in one sentence."""
    n_pipes = len(run.zones["90"])
    where = "one pipe" if n_pipes == 1 else f"one of {n_pipes} pipes"
    metres = length(run.zone_length_m["90"])
    return f"With 90 % probability the leak is on {where}, {metres} of pipe in all."


def lead(run: LeakRun) -> str:
    """Return the outflow, the narrower zone and the most probable place."""
    n_half = len(run.zones["50"])
    half = "one pipe" if n_half == 1 else f"{n_half} of them"
    best = run.best
    place = f"{length(best.place * best.length_m)} along pipe {best.pipe_id} from its start node"
    return (
        f"It loses {flow_range(run)} (90 % range). Half of the probability is on {half}, "
        f"{length(run.zone_length_m['50'])} long. The most probable single place is {place}; "
        f"that pipe holds {percent(best.probability)}, so search the zone, not the pipe."
    )


def reference_sentence(run: LeakRun) -> str:
    """Return what the window was compared with, and how that was chosen."""
    reference = run.inputs.reference
    said = run.inputs.reference_said
    return f"Compared with {reference}: {said}." if reference else f"{said.capitalize()}."


def odds(run: LeakRun) -> str:
    """Return how much better a leak explains the data than none, as odds."""
    if run.evidence_ratio <= 0:
        return "no better than no leak"
    if run.evidence_ratio > _LARGEST_ODDS_LN:
        return "over 10⁶ to 1"
    return f"{math.exp(run.evidence_ratio):,.0f} to 1"


def flow_range(run: LeakRun) -> str:
    """Return the 90 % range of the outflow in L/s."""
    low, high = (f"{flow * _LITRES:.1f}" for flow in (run.flow_low_m3s, run.flow_high_m3s))
    return f"about {low} L/s" if low == high else f"{low} to {high} L/s"


def length(length_m: float) -> str:
    """Return a length as people say it."""
    if length_m >= _KILOMETRE_M:
        return f"{length_m / _KILOMETRE_M:.2f} km"
    return f"{length_m:.0f} m"


def percent(probability: float) -> str:
    """Return a probability in percent, small ones not rounded to nothing."""
    return f"{probability * 100:.0f} %" if probability >= 1 / 10 else f"{probability * 100:.2g} %"


def moment(network: Network, at_ns: int) -> str:
    """Return an instant on the network's own clock, with its offset."""
    return local_datetime(at_ns, network.time_zone).isoformat(sep=" ", timespec="minutes")
