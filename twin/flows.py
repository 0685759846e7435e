"""Which way the water runs at a moment, by EPANET.

The model runs from model time zero to the moment, so its tanks and controls have their history, and
past the file's own duration, for patterns repeat. A model time of more than a week is taken as the
same hour of the same weekday of its first week, unless the file itself runs longer (up to 31 days).
A solution holds until the next one, as in EPANET.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from twin.assets import WEEK_S, Network, model_time_s
from twin.networks.records import load_assets, load_network, model_path
from twin.ports import Record

if TYPE_CHECKING:
    from hydraulics.epanet.flows import FlowRun

DAY_S = 86_400
LONGEST_S = 31 * DAY_S
MOST_RUNS = 8

_runs: OrderedDict[tuple[str, int], FlowRun] = OrderedDict()
_lock = Lock()


def flows_at(record: Record, network: Network | str, at_ns: int) -> dict[str, float]:
    """Return the flow of every link of a network at an instant.

    Args:
        record: Where the network stands.
        network: The network, or its name.
        at_ns: The instant [ns since the Unix epoch].

    Returns:
        Flow [m³/s] by link id, positive from start to end, 0 for closed links. A link that the
        model does not hold (a sewer, an abstraction) has no flow known, and always runs from start
        to end: 1 where it is open, 0 where it is closed.

    Raises:
        NotFoundError: No such network is recorded.
        ModelFileError: EPANET cannot open its file.
        NotConvergedError: EPANET finds no solution.
    """
    if isinstance(network, str):
        network = load_network(record, network)
    time_s = run_time_s(record, network, at_ns)
    run = _run_of_day(record, network, time_s // DAY_S)
    flows = dict(zip(run.link_id, map(float, run.at(time_s)), strict=True))
    for ref, asset in load_assets(record, network.name).items():
        if asset.is_link and not asset.from_model:
            flows[ref.id] = float(asset.is_open)
    return flows


def run_time_s(record: Record, network: Network, at_ns: int) -> int:
    """Return the time of an instant in the model's run [s], see the head of this module."""
    time_s = model_time_s(network, at_ns)
    if time_s < WEEK_S:
        return time_s
    longest_s = min(_duration_s(record, network), LONGEST_S)
    return time_s if time_s < max(WEEK_S, longest_s) else time_s % WEEK_S


def _duration_s(record: Record, network: Network) -> int:
    from hydraulics.epanet.flows import duration_s  # noqa: PLC0415 - opens EPANET's library

    with tempfile.TemporaryDirectory(prefix="watercourse-") as scratch:
        return duration_s(model_path(record, network, Path(scratch)))


def _run_of_day(record: Record, network: Network, day: int) -> FlowRun:
    """Return the flows of one day of the model's run, remembered by the hash of its file."""
    from hydraulics.epanet.flows import run_flows  # noqa: PLC0415 - opens EPANET's library

    key = (network.inp_sha256, day)
    with _lock:  # two that ask for one day wait for one run
        if key not in _runs:
            with tempfile.TemporaryDirectory(prefix="watercourse-") as scratch:
                path = model_path(record, network, Path(scratch))
                _runs[key] = run_flows(path, day * DAY_S, (day + 1) * DAY_S)
        _runs.move_to_end(key)
        while len(_runs) > MOST_RUNS:
            _runs.popitem(last=False)
        return _runs[key]
