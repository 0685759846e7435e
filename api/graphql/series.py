"""Readings: the live state of every series, and windows of them in columns.

A window leaves in columns, never as a list of typed points. Each point's place in the record is two
more columns, asked for where it is wanted; `reading` gives the whole evidence of one point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, cast

import strawberry

from api.graphql.assets import Asset, find_asset
from api.graphql.context import Context, Info
from api.graphql.enums import PrivacyClass, Quantity
from api.graphql.errors import ArgumentError
from api.graphql.evidence import Evidence
from api.graphql.fields import asked
from api.graphql.ids import global_id
from api.graphql.nodes import Node
from api.graphql.scalars import Instant
from twin.readings import Column as TwinColumn
from twin.readings import Series as TwinSeries

MAX_TAGS = 100
MAX_SERIES = 1_000
MAX_POINTS = 20_000
MAX_POINTS_IN_ALL = 200_000

From = Annotated[Instant, strawberry.argument(name="from", description="First instant.")]
To = Annotated[Instant, strawberry.argument(name="to", description="First instant after.")]
MaxPoints = Annotated[
    int, strawberry.argument(description="How many points at most, of each series, 1 to 20,000.")
]


@strawberry.type(description="One value of a series, with its place in the record.")
class Reading:
    """One reading."""

    t: Instant = strawberry.field(description="When the source took it.")
    v: float = strawberry.field(description="The value, in the series' unit.")
    q: int = strawberry.field(
        description="Quality: 8 × status (0 good, 1 uncertain, 2 bad) + origin, as recorded."
    )
    unit: str
    evidence: Evidence


@strawberry.type(
    description=(
        "Readings of one series in [from, to), in columns of one length. `next` is where to go on "
        "when there are more than were asked for."
    )
)
class Column:
    """A window of one series."""

    series: Series
    unit: str = strawberry.field(description="Unit of `v`.")
    count: int = strawberry.field(description="Length of each column.")
    next: Instant | None = strawberry.field(description="`from` of the rest; null at the end.")
    column: strawberry.Private[TwinColumn]

    @asked("When the source took each.")
    def t(self) -> list[Instant]:
        """Return the times."""
        return cast("list[Instant]", self.column.time_ns.tolist())

    @asked("The values.")
    def v(self) -> list[float]:
        """Return the values."""
        return cast("list[float]", self.column.value.tolist())

    @asked("The qualities, as in `Reading.q`.")
    def q(self) -> list[int]:
        """Return the quality bytes."""
        return cast("list[int]", self.column.quality.tolist())

    @asked("Height of the block that holds each.")
    def height(self) -> list[int]:
        """Return the heights."""
        return cast("list[int]", self.column.height.tolist())

    @asked("Place of each in its block.")
    def leaf_index(self) -> list[int]:
        """Return the places."""
        return cast("list[int]", self.column.leaf_index.tolist())


@strawberry.type(description="What one source measures at one asset.")
class Series(Node):
    """One series."""

    network_name: str
    tag: str = strawberry.field(description="The source's own name for it.")
    asset_name: str = strawberry.field(description="Full name of the asset, such as `node:10`.")
    quantity: Quantity
    unit: str = strawberry.field(description="Unit that values are stored in.")
    source: str = strawberry.field(description="The door it came through.")
    privacy: PrivacyClass
    parameter: str | None = strawberry.field(description="For a concentration: which substance.")
    sampling_point: str | None
    series: strawberry.Private[TwinSeries]

    @asked("The asset; null where it is not recorded.", cost=3)
    def asset(self, info: Info) -> Asset | None:
        """Return the asset."""
        return find_asset(info.context, self.network_name, self.asset_name)

    @asked("The live state: the newest reading.", cost=10)
    def latest(self, info: Info) -> Reading | None:
        """Return the reading with the latest source time."""
        return latest_of(info.context, self.series)

    @asked("A window of it, in columns.", cost=50)
    def column(self, info: Info, from_: From, to: To, max_points: MaxPoints = 5_000) -> Column:
        """Return the readings in [from, to)."""
        return column_of(info.context, self, from_, to, max_points)


def series_of(series: TwinSeries) -> Series:
    """Return a series as GraphQL shows it."""
    return Series(
        id=global_id("Series", series.network, series.tag),
        network_name=series.network,
        tag=series.tag,
        asset_name=series.asset,
        quantity=series.quantity,
        unit=series.unit,
        source=series.source,
        privacy=series.privacy,
        parameter=series.parameter,
        sampling_point=series.sampling_point,
        series=series,
    )


def all_series(context: Context, network: str) -> list[Series]:
    """Return the series of a network, looked up once for each question."""
    key = ("Series", network)
    if key not in context.known:
        found = context.record().series(network)
        context.known[key] = [series_of(one) for one in found]
    return cast("list[Series]", context.known[key])


def column_of(
    context: Context, series: Series, from_ns: int, to_ns: int, max_points: int
) -> Column:
    """Return at most `max_points` readings of one series in [from, to).

    Raises:
        ArgumentError: The window is empty or the number out of range.
    """
    if not 1 <= max_points <= MAX_POINTS:
        raise ArgumentError("maxPoints", f"{max_points} is not between 1 and {MAX_POINTS}")
    if from_ns >= to_ns:
        raise ArgumentError("from", "the window must begin before it ends")
    whole = context.record().column(series.series, from_ns, to_ns)
    shown = _head(whole, max_points)
    more = len(whole) > len(shown)
    return Column(
        series=series,
        unit=series.unit,
        count=len(shown),
        next=Instant(int(whole.time_ns[len(shown)])) if more else None,
        column=shown,
    )


def latest_of(context: Context, series: TwinSeries) -> Reading | None:
    """Return the newest reading of a series by source time, or None."""
    record = context.record()
    newest_ns = record.last_time_ns(series)
    if newest_ns is None:
        return None
    column = record.column(series, newest_ns, newest_ns + 1)
    return reading_of(column, len(column) - 1) if len(column) else None


def reading_of(column: TwinColumn, index: int) -> Reading:
    """Return one point of a column."""
    return Reading(
        t=Instant(int(column.time_ns[index])),
        v=float(column.value[index]),
        q=int(column.quality[index]),
        unit=column.series.unit,
        evidence=Evidence(
            leaf_index=int(column.leaf_index[index]), height=int(column.height[index])
        ),
    )


def _head(column: TwinColumn, n_points: int) -> TwinColumn:
    """Return the first readings."""
    return TwinColumn(
        column.series,
        column.time_ns[:n_points],
        column.value[:n_points],
        column.quality[:n_points],
        column.height[:n_points],
        column.leaf_index[:n_points],
    )


def _chosen(context: Context, network: str, tags: Sequence[str]) -> list[Series]:
    """Return the series of some tags: more than one where a tag's unit or source has changed."""
    if not 1 <= len(tags) <= MAX_TAGS:
        raise ArgumentError("tags", f"name 1 to {MAX_TAGS} tags, not {len(tags)}")
    known = all_series(context, network)
    found = {tag: [one for one in known if one.tag == tag] for tag in tags}
    unknown = [tag for tag, named in found.items() if not named]
    if unknown:
        raise ArgumentError(
            "tags", f"no series of network {network!r} has the tag {', '.join(unknown[:5])}"
        )
    return [one for named in found.values() for one in named]


@strawberry.type
class SeriesQueries:
    """What may be asked of readings."""

    @asked(
        "Windows of several series, in columns.",
        cost=50,
        size_of="tags",
    )
    def series(  # noqa: PLR0913, PLR0917 - a window's arguments
        self,
        info: Info,
        network: str,
        tags: list[str],
        from_: From,
        to: To,
        max_points: MaxPoints = 5_000,
    ) -> list[Column]:
        """Return a column for each series, in the order of the tags."""
        if len(tags) * max_points > MAX_POINTS_IN_ALL:
            raise ArgumentError(
                "maxPoints", f"tags × maxPoints is above {MAX_POINTS_IN_ALL}; ask for fewer"
            )
        chosen = _chosen(info.context, network, tags)
        return [column_of(info.context, one, from_, to, max_points) for one in chosen]

    @asked(
        "The live state: all series of a network, or those of some tags.",
        cost=5,
        size=50,
    )
    def live_state(self, info: Info, network: str, tags: list[str] | None = None) -> list[Series]:
        """Return the series; ask each for `latest`."""
        if tags is None:
            every = all_series(info.context, network)
            if len(every) > MAX_SERIES:
                raise ArgumentError("tags", f"{len(every)} series; name {MAX_TAGS} tags at a time")
            return every
        return _chosen(info.context, network, tags)

    @asked(
        "The reading of a tag at exactly that instant; null when there is none.",
        cost=10,
    )
    def reading(self, info: Info, network: str, tag: str, at: Instant) -> Reading | None:
        """Return one reading with its evidence."""
        record = info.context.record()
        found = _chosen(info.context, network, [tag])
        columns = [record.column(one.series, at, at + 1) for one in found]
        points = [reading_of(column, len(column) - 1) for column in columns if len(column)]
        return points[-1] if points else None
