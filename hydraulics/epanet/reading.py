"""An EPANET file becomes arrays."""

from __future__ import annotations

import logging
import re
import warnings
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from hydraulics.epanet.copying import save_copy
from hydraulics.errors import ModelFileError
from hydraulics.network import WATER_VISCOSITY_M2S, LinkKind, NetworkModel, NodeKind

with warnings.catch_warnings():  # importing wntr changes the process's warning filters
    import wntr

# What WNTR logs, it also raises; without a handler Python would print it to standard error.
logging.getLogger("wntr").addHandler(logging.NullHandler())

_NODE_KIND = {
    "Junction": NodeKind.JUNCTION,
    "Reservoir": NodeKind.RESERVOIR,
    "Tank": NodeKind.TANK,
}
_LEAST_RELATIVE_VISCOSITY = 1e-3
_UNITS_OF_FEET = frozenset({"CFS", "GPM", "MGD", "IMGD", "AFD"})
_AT_LINE = re.compile(r",? at line (\d+)")
_ERROR_NUMBER = re.compile(r"\(Error \d+\) ")
_LINK_KIND = {"Pipe": LinkKind.PIPE, "Pump": LinkKind.PUMP, "Valve": LinkKind.VALVE}


def read_network(path: Path) -> NetworkModel:
    """Return the network of an EPANET file, in SI units.

    A file that WNTR stumbles over and EPANET reads, such as one with words behind an option, is
    read from EPANET's own copy of it.

    Raises:
        ModelFileError: WNTR cannot read the file, and EPANET cannot either.
    """
    try:
        return read_as_written(path)
    except ModelFileError as error:
        with suppress(ModelFileError):
            return read_by_copy(path)
        raise error from error.__cause__


def read_by_copy(path: Path) -> NetworkModel:
    """Return the same from EPANET's own copy of the file.

    Raises:
        ModelFileError: EPANET cannot read the file, or WNTR its copy.
    """
    with TemporaryDirectory(prefix="watercourse-") as scratch:
        copy = Path(scratch) / "copy.inp"
        save_copy(path, copy)
        return read_as_written(copy)


def read_as_written(path: Path) -> NetworkModel:
    """Return the same from the file alone.

    WNTR lets duplicate ids, NaN and truncated files through: `hydraulics.inp_scan` looks first.

    Raises:
        ModelFileError: WNTR cannot read the file.
    """
    wn = _read_wntr(path)
    nodes = [wn.get_node(name) for name in wn.node_name_list]
    links = [wn.get_link(name) for name in wn.link_name_list]
    index = {name: i for i, name in enumerate(wn.node_name_list)}
    located = _located(wn)
    nowhere = (np.nan, np.nan)
    return NetworkModel(
        node_id=tuple(wn.node_name_list),
        node_kind=np.array([_NODE_KIND[node.node_type] for node in nodes], dtype=np.int64),
        elevation_m=_floats([_elevation_m(node) for node in nodes]),
        base_demand_m3s=_floats([_base_demand_m3s(node) for node in nodes]),
        node_xy=_floats(
            [node.coordinates if node.name in located else nowhere for node in nodes]
        ).reshape(-1, 2),
        link_id=tuple(wn.link_name_list),
        link_kind=np.array([_LINK_KIND[link.link_type] for link in links], dtype=np.int64),
        start=np.array([index[link.start_node_name] for link in links], dtype=np.int64),
        end=np.array([index[link.end_node_name] for link in links], dtype=np.int64),
        length_m=_floats([getattr(link, "length", 0.0) for link in links]),
        diameter_m=_floats([getattr(link, "diameter", 0.0) or 0.0 for link in links]),
        roughness=_floats([getattr(link, "roughness", 0.0) for link in links]),
        minor_loss=_floats([getattr(link, "minor_loss", 0.0) or 0.0 for link in links]),
        is_open=np.array([link.initial_status.name != "Closed" for link in links], dtype=np.bool_),
        is_oneway=np.array([_is_oneway(link) for link in links], dtype=np.bool_),
        valve_type=tuple(getattr(link, "valve_type", "") for link in links),
        vertices=tuple(tuple((float(x), float(y)) for x, y in link.vertices) for link in links),
        start_clock_s=int(wn.options.time.start_clocktime),
        duration_s=int(wn.options.time.duration),
        headloss=str(wn.options.hydraulic.headloss),
        tank_diameter_m=_of_tanks(nodes, "diameter"),
        tank_initial_level_m=_of_tanks(nodes, "init_level"),
        tank_minimum_level_m=_of_tanks(nodes, "min_level"),
        tank_maximum_level_m=_of_tanks(nodes, "max_level"),
        viscosity_m2s=_viscosity_m2s(wn.options.hydraulic),
    )


def _read_wntr(path: Path) -> Any:  # noqa: ANN401 - wntr carries no types
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return wntr.network.WaterNetworkModel(str(path))
    except Exception as error:
        raise _translated(error, path) from error


def _translated(error: Exception, path: Path) -> ModelFileError:
    """Return what WNTR said, with the line that hides in the words of the error's cause."""
    cause = error.__cause__ or error
    said = str(cause.args[0] if cause.args else cause)
    first_line = said.partition("\n")[0]
    found = _AT_LINE.search(first_line)
    reason = _AT_LINE.sub("", _ERROR_NUMBER.sub("", first_line)).strip(" ,:")
    if isinstance(cause, ValueError | IndexError | KeyError) and not _ERROR_NUMBER.match(said):
        reason = f"WNTR cannot read a value: {reason}"
    if found is None:
        return ModelFileError(reason or type(cause).__name__)
    line = int(found.group(1))
    return ModelFileError(reason, line, *_place(path, line))


def _place(path: Path, line: int) -> tuple[str | None, str | None]:
    """Return the section of a line of a file, and the id that the line begins with."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:line]
    heads = [text.strip() for text in lines if text.strip().startswith("[")]
    section = heads[-1].strip("[]").upper() if heads else None
    words = lines[-1].split() if lines else []
    return section, words[0] if words and not words[0].startswith("[") else None


def _located(wn: Any) -> set[str]:  # noqa: ANN401 - wntr carries no types
    """Return the ids of the nodes that the file places; WNTR puts the others at (0, 0)."""
    lines = wn._inpfile.sections["[COORDINATES]"]  # noqa: SLF001 - WNTR keeps it nowhere else
    return {text.split()[0] for _, text in lines if text.split() and text[0] != ";"}


def _elevation_m(node: Any) -> float:  # noqa: ANN401 - wntr carries no types
    return float(node.base_head if node.node_type == "Reservoir" else node.elevation)


def _base_demand_m3s(node: Any) -> float:  # noqa: ANN401 - wntr carries no types
    if node.node_type != "Junction":
        return 0.0
    return float(sum(demand.base_value for demand in node.demand_timeseries_list))


def _viscosity_m2s(options: Any) -> float:  # noqa: ANN401 - wntr carries no types
    """Return what VISCOSITY means: relative to water, or ft²/s or m²/s where it is very small."""
    value = float(options.viscosity)
    if value > _LEAST_RELATIVE_VISCOSITY:
        return value * WATER_VISCOSITY_M2S
    return value * 0.3048**2 if options.inpfile_units in _UNITS_OF_FEET else value


def _is_oneway(link: Any) -> bool:  # noqa: ANN401 - wntr carries no types
    return link.link_type == "Pump" or bool(getattr(link, "check_valve", False))


def _of_tanks(nodes: list[Any], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return _floats([getattr(n, name) if n.node_type == "Tank" else np.nan for n in nodes])


def _floats(values: list[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(values, dtype=np.float64)
