"""Leak runs, windows and places in the ledger as the JSON of `twin leak`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twin.instants import format_instant

if TYPE_CHECKING:
    from twin.events import RecordRef
    from twin.leaks.runs import RunDetail
    from twin.leaks.windows import Window


def run_document(detail: RunDetail) -> dict[str, Any]:
    """Return a run as JSON: its leaks, the evidence, and what it rests on.

    `leaks` are those to search for. `candidates`, `zones` and the outflow beside them are those of
    one leak, whether or not more are evident.
    """
    from twin.leaks.placed import placed_document  # noqa: PLC0415 - loads NumPy

    run = detail.run
    return {
        "run_id": run.run_id,
        "network": run.network,
        "leaks": [placed_document(one) for one in detail.leaks],
        "candidates": [
            {
                "pipe_id": one.pipe_id,
                "probability": one.probability,
                "place": one.place,
                "flow_m3s": one.flow_m3s,
            }
            for one in detail.candidates
        ],
        "zones": {level: list(pipes) for level, pipes in run.zones.items()},
        "zone_length_m": dict(run.zone_length_m),
        "flow_low_m3s": run.flow_low_m3s,
        "flow_high_m3s": run.flow_high_m3s,
        "evidence_ratio": run.evidence_ratio,
        "leak_is_evident": run.is_leak_evident,
        "window": window_of(run.inputs.window),
        "reference": window_of(run.inputs.reference),
        "reference_said": run.inputs.reference_said,
        "known_leaks": [one.pipe_id for one in run.inputs.known],
        "left_out": [
            {
                "tag": one.tag,
                "asset": one.asset,
                "n_times": one.n_times,
                "is_whole": one.is_whole,
                "reason": one.reason,
            }
            for one in run.left_out
        ],
        "seed": run.inputs.seed,
        "versions": dict(run.inputs.versions),
        "inp_sha256": run.inputs.inp_sha256,
        "readings_sha256": run.inputs.readings_sha256,
        "evidence": place_of(run.evidence),
    }


def place_of(evidence: RecordRef | None) -> dict[str, int] | None:
    """Return a place in the ledger as JSON; null for what is not recorded."""
    return {"height": evidence.height, "index": evidence.index} if evidence else None


def window_of(window: Window | None) -> dict[str, str] | None:
    """Return a window as JSON; null where there is none."""
    if window is None:
        return None
    return {"from": format_instant(window.from_ns), "to": format_instant(window.to_ns)}
