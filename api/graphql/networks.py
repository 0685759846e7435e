"""Networks: how they are called, where they lie, and how the model's clock maps to real time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import strawberry

from api.graphql.context import Context, Info
from api.graphql.enums import AssetKind
from api.graphql.evidence import Evidence
from api.graphql.fields import asked
from api.graphql.geometry import is_known_crs
from api.graphql.ids import global_id
from api.graphql.nodes import Node
from api.graphql.scalars import Hash, Instant
from graph.store import PlacedNetwork

if TYPE_CHECKING:
    from api.graphql.series import Series

NETWORK_COST = 2


@strawberry.type(description="How many assets of one kind a network has.")
class KindCount:
    """A kind and its count."""

    kind: AssetKind
    count: int


@strawberry.type(description="A network: an EPANET model, and what the model knows nothing of.")
class Network(Node):
    """One network as last imported."""

    name: str
    crs: str = strawberry.field(description="`EPSG:n`, or `LOCAL` where it is unknown.")
    has_map: bool = strawberry.field(
        description="Whether its geometry leaves in longitude and latitude."
    )
    time_zone: str = strawberry.field(description="IANA name, or a fixed offset.")
    model_start: Instant = strawberry.field(description="The instant of model time zero.")
    is_model_start_given: bool = strawberry.field(
        description="Whether a person said so; else only the place in the week counts."
    )
    inp_sha256: Hash | None = strawberry.field(description="Hash of the EPANET file.")
    evidence: Evidence = strawberry.field(description="Where its import stands in the record.")

    @asked("How many assets of each kind there are.", cost=50, size=18)
    def asset_counts(self, info: Info) -> list[KindCount]:
        """Count by kind, those that are there."""
        graph = info.context.graph()
        counts = {kind: graph.count(self.name, [kind]) for kind in AssetKind}
        return [KindCount(kind=kind, count=n) for kind, n in counts.items() if n]

    @asked(
        "What is measured in it, with the latest readings.",
        cost=5,
        size=50,
    )
    def series(self, info: Info) -> list[Annotated[Series, strawberry.lazy("api.graphql.series")]]:
        """Return the series of the network."""
        from api.graphql.series import all_series  # noqa: PLC0415 - a circle of types

        return all_series(info.context, self.name)


def network_of(placed: PlacedNetwork) -> Network:
    """Return a network as GraphQL shows it."""
    network = placed.network
    return Network(
        id=global_id("Network", network.name),
        name=network.name,
        crs=network.crs,
        has_map=is_known_crs(network.crs),
        time_zone=network.time_zone,
        model_start=Instant(network.model_start_ns),
        is_model_start_given=network.is_model_start_given,
        inp_sha256=Hash(network.inp_sha256) if network.inp_sha256 else None,
        evidence=Evidence(leaf_index=placed.evidence.index, height=placed.evidence.height),
    )


def networks_by_name(context: Context) -> dict[str, Network]:
    """Return the networks, looked up once for each question."""
    if "Network" not in context.known:
        placed = context.graph().networks()
        context.known["Network"] = {one.network.name: network_of(one) for one in placed}
    return cast("dict[str, Network]", context.known["Network"])


@strawberry.type
class NetworkQueries:
    """What may be asked of networks."""

    @asked("All networks, by name.", size=10)
    def networks(self, info: Info) -> list[Network]:
        """Return them in order of name."""
        return list(networks_by_name(info.context).values())

    @asked("One network; null when none has the name.")
    def network(self, info: Info, name: str) -> Network | None:
        """Look it up by name."""
        return networks_by_name(info.context).get(name)
