"""A junction is put into a pipe of an open EPANET project."""

from __future__ import annotations

from typing import Any

from epanet import toolkit

_COPIED = (toolkit.DIAMETER, toolkit.ROUGHNESS, toolkit.KBULK, toolkit.KWALL)


def split_pipe(
    handle: Any,  # noqa: ANN401 - the toolkit has no types
    pipe_id: str,
    place: float,
    node_id: str,
    rest_id: str,
) -> None:
    """Put a junction without demand into a pipe; the pipe keeps the part from its start node.

    Args:
        handle: EPANET's project. The indices of its tanks and reservoirs move up by one.
        pipe_id: The pipe.
        place: Fraction of its length from the start node, above 0 and below 1.
        node_id: Id of the new junction. Its elevation lies on the line between the ends.
        rest_id: Id of the part from the new junction to the end node.
    """
    pipe = toolkit.getlinkindex(handle, pipe_id)
    start, end = (toolkit.getnodeid(handle, n) for n in toolkit.getlinknodes(handle, pipe))
    node = toolkit.addnode(handle, node_id, toolkit.JUNCTION)
    low, high = (
        toolkit.getnodevalue(handle, toolkit.getnodeindex(handle, end_id), toolkit.ELEVATION)
        for end_id in (start, end)
    )
    toolkit.setnodevalue(handle, node, toolkit.ELEVATION, low + place * (high - low))
    kind = toolkit.getlinktype(handle, pipe)
    rest = toolkit.addlink(handle, rest_id, kind, node_id, end)
    _share(handle, pipe, rest, place)
    toolkit.setlinknodes(handle, pipe, toolkit.getnodeindex(handle, start), node)


def _share(handle: Any, pipe: int, rest: int, place: float) -> None:  # noqa: ANN401
    length = toolkit.getlinkvalue(handle, pipe, toolkit.LENGTH)
    minor = toolkit.getlinkvalue(handle, pipe, toolkit.MINORLOSS)
    for what in _COPIED:
        toolkit.setlinkvalue(handle, rest, what, toolkit.getlinkvalue(handle, pipe, what))
    if toolkit.getlinktype(handle, pipe) == toolkit.PIPE:  # a check valve has no status to set
        status = toolkit.getlinkvalue(handle, pipe, toolkit.INITSTATUS)
        toolkit.setlinkvalue(handle, rest, toolkit.INITSTATUS, status)
    for link, fraction in ((pipe, place), (rest, 1.0 - place)):
        toolkit.setlinkvalue(handle, link, toolkit.LENGTH, length * fraction)
        toolkit.setlinkvalue(handle, link, toolkit.MINORLOSS, minor * fraction)
