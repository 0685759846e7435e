"""`node` and `nodes`: anything that has an id, fetched again by it alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import strawberry

from api.graphql.assets import assets_of
from api.graphql.balances import find_water_balance
from api.graphql.context import Context, Info
from api.graphql.errors import ArgumentError
from api.graphql.evaluations import evaluation_at
from api.graphql.evidence import block_at
from api.graphql.fields import asked
from api.graphql.ids import read_global_id
from api.graphql.leak_book import find_found_leak
from api.graphql.leak_onsets import find_leak_onset
from api.graphql.leak_runs import find_leak_run
from api.graphql.leak_sightings import find_leak_sighting
from api.graphql.mutations import job_of
from api.graphql.networks import networks_by_name
from api.graphql.nodes import Node
from api.graphql.series import all_series
from api.graphql.traces import trace_at
from twin.errors import NotFoundError
from twin.events import RecordRef
from twin.ids import AssetNameError, parse_ref

MAX_IDS = 100


def _network(context: Context, name: str) -> Node | None:
    return networks_by_name(context).get(name)


def _asset(context: Context, network: str, name: str) -> Node | None:
    placed = context.graph().asset(network, parse_ref(name))
    return assets_of(context, [placed])[0] if placed else None


def _series(context: Context, network: str, tag: str) -> Node | None:
    named = [one for one in all_series(context, network) if one.tag == tag]
    return named[-1] if named else None


def _block(context: Context, height: str) -> Node | None:
    return block_at(context, int(height))


def _trace(context: Context, height: str, index: str) -> Node | None:
    return trace_at(context, RecordRef(int(height), int(index)))


def _evaluation(context: Context, height: str, index: str) -> Node | None:
    return evaluation_at(context, RecordRef(int(height), int(index)))


def _job(context: Context, job_id: str) -> Node | None:
    job = context.services.jobs.get(job_id)
    return job_of(job) if job else None


LOADERS: Final[dict[str, tuple[Callable[..., Node | None], int]]] = {
    "Network": (_network, 1),
    "Asset": (_asset, 2),
    "Series": (_series, 2),
    "Block": (_block, 1),
    "Trace": (_trace, 2),
    "LeakOnset": (find_leak_onset, 1),
    "LeakRun": (find_leak_run, 1),
    "LeakSighting": (find_leak_sighting, 1),
    "FoundLeak": (find_found_leak, 2),
    "WaterBalance": (find_water_balance, 1),
    "Evaluation": (_evaluation, 2),
    "Job": (_job, 1),
}
"""For each type: what loads it, and of how many parts its id is."""


def node_of(context: Context, text: str, argument: str = "id") -> Node | None:
    """Return the thing that an id names, or None when it is no longer there.

    Raises:
        ArgumentError: It is no id of ours.
    """
    named = read_global_id(text, argument)
    load, n_parts = LOADERS.get(named.type_name, (None, 0))
    if load is None or len(named.parts) != n_parts:
        raise ArgumentError(argument, "not an id; use one from an answer, or look up by name")
    try:
        return load(context, *named.parts)
    except (NotFoundError, AssetNameError, ValueError):
        return None


@strawberry.type
class NodeQueries:
    """Relay's entry points."""

    @asked("Anything by its id; null when it is not there.")
    def node(self, info: Info, id: strawberry.ID) -> Node | None:  # noqa: A002 - Relay's name
        """Fetch one thing again."""
        return node_of(info.context, id)

    @asked("Several things by their ids.", size_of="ids")
    def nodes(self, info: Info, ids: list[strawberry.ID]) -> list[Node | None]:
        """Fetch several things again, in the order given."""
        if len(ids) > MAX_IDS:
            raise ArgumentError("ids", f"give at most {MAX_IDS} ids, not {len(ids)}")
        return [node_of(info.context, one, "ids") for one in ids]
