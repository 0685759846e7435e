"""`assets.csv` and `links.csv`: what an EPANET file cannot hold.

Both are UTF-8 with a comma between values, a point for the decimal and a header line. `assets.csv`
has `id, kind, x, y` and `links.csv` has `id, kind, start, end`; further columns become properties,
a number where the name ends in an SI unit (`length_m`, `capacity_m3s`) or begins with `n_`, else
text. A row of `assets.csv` that names a node of the EPANET file adds to it: it may say that a
junction is a plant. Water in `links.csv` always flows from start to end.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from twin.assets import Asset, AssetKind, Point, Property
from twin.findings import Finding
from twin.ids import AssetNameError, AssetRef, Space, resolve_ref
from twin.networks.faults import finding

MAX_VALUE = 500
MAX_ROWS = 1_000_000
NODE_KINDS = frozenset(
    {
        AssetKind.PLANT,
        AssetKind.MANHOLE,
        AssetKind.SEWAGE_PLANT,
        AssetKind.OUTFALL,
        AssetKind.WATER_BODY,
        AssetKind.USER,
    }
)
"""What a row of `assets.csv` can bring that the EPANET file lacks."""
LINK_KINDS = frozenset(
    {
        AssetKind.ABSTRACTION,
        AssetKind.PIPE,
        AssetKind.DRAIN,
        AssetKind.SEWER,
        AssetKind.DISCHARGE,
        AssetKind.REACH,
    }
)
"""What a row of `links.csv` can be."""
_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,39}")
_ID = re.compile(r"[^\s:,;\"\[\]]{1,31}")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_NUMERIC = re.compile(r"n_.+|.+_(?:m|m2|m3|m3s|s|gm3|degc|deg)")
_OTHER_UNIT = re.compile(
    r".+_(?:mm|cm|km|ft|in|inch|l|lps|ls|lh|m3h|m3d|cmh|cmd|gpm|mgd|kpa|bar|psi|mgl|h|min)"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_OWN = frozenset({"id", "kind", "x", "y", "start", "end", "status"})


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of a CSV file, by column; values that are not there are empty."""

    file: str
    line: int
    values: Mapping[str, str]

    def fault(self, code: str, message: str, column: str | None = None) -> Finding:
        subject = self.values.get("id") or None
        return finding(self.file, code, message, line=self.line, section=column, subject=subject)


@dataclass(slots=True)
class FolderAssets:
    """The assets of a network after its two CSV files were read.

    Attributes:
        assets: The model's assets, with what the files add.
        findings: Every fault of the files.
        n_described: How many assets of the model the files say more of.
    """

    assets: dict[AssetRef, Asset]
    findings: list[Finding] = field(default_factory=list)
    n_described: int = 0


def read_folder(
    model_assets: Mapping[AssetRef, Asset], assets_csv: bytes | None, links_csv: bytes | None
) -> FolderAssets:
    """Return the assets of a model together with those of `assets.csv` and `links.csv`.

    Args:
        model_assets: The assets of the EPANET file.
        assets_csv: Content of `assets.csv`, None where there is no such file.
        links_csv: Content of `links.csv`, None where there is no such file.
    """
    found = FolderAssets(dict(model_assets))
    if assets_csv is not None:
        for row in _rows("assets.csv", assets_csv, ("id", "kind", "x", "y"), found):
            _take_asset(row, model_assets, found)
    if links_csv is not None:
        for row in _rows("links.csv", links_csv, ("id", "kind", "start", "end"), found):
            _take_link(row, found)
    found.findings += _dangling(found.assets)
    return found


# --- lines ----------------------------------------------------------------------------------------


def _rows(
    file: str, content: bytes, needed: tuple[str, ...], found: FolderAssets
) -> Iterator[_Row]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found.findings.append(finding(file, "not-text", "is not UTF-8; save it so", line=line))
        return
    if (control := _CONTROL.search(text)) is not None:
        line = text.count("\n", 0, control.start()) + 1
        found.findings.append(finding(file, "not-text", "is a binary file", line=line))
        return
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        faults = list(_header_faults(file, header, needed))
        found.findings += faults
        if not faults:
            yield from _data_rows(file, reader, header, found)
    except csv.Error as error:
        message = f"cannot be read as comma-separated values: {error}"
        found.findings.append(finding(file, "csv", message, line=reader.line_num))


def _header_faults(file: str, header: list[str], needed: tuple[str, ...]) -> Iterator[Finding]:
    for name in needed:
        if name not in header:
            message = f"has no column {name!r}; the first line names the columns"
            yield finding(file, "missing-column", message, line=1, section=name)
    for place, name in enumerate(header):
        if _COLUMN.fullmatch(name) is None:
            message = f"column {name[:40]!r} is not lower case letters, digits and '_'"
            yield finding(file, "column-name", message, line=1)
        elif name in header[:place]:
            yield finding(file, "column-name", "stands twice", line=1, section=name)
        elif _OTHER_UNIT.fullmatch(name):
            message = "is not in an SI unit; name and convert it, such as length_m or capacity_m3s"
            yield finding(file, "unit", message, line=1, section=name)


def _data_rows(
    file: str, reader: Iterator[list[str]], header: list[str], found: FolderAssets
) -> Iterator[_Row]:
    for line, raw in enumerate(reader, start=2):
        values = [value.strip() for value in raw]
        if not any(values):
            continue
        row = _Row(file, line, dict(zip(header, values, strict=False)))
        if len(values) != len(header):
            message = f"has {len(values)} values under {len(header)} columns"
            found.findings.append(row.fault("columns", message))
        elif (longest := max(values, key=len)) and len(longest) > MAX_VALUE:
            found.findings.append(row.fault("long-value", f"a value has over {MAX_VALUE} letters"))
        elif line > MAX_ROWS:
            found.findings.append(row.fault("too-large", f"more than {MAX_ROWS} rows"))
            return
        else:
            yield row


# --- assets ---------------------------------------------------------------------------------------


def _take_asset(row: _Row, model_assets: Mapping[AssetRef, Asset], found: FolderAssets) -> None:
    kind = _kind(row, found)
    faults = [*_id_faults(row)]
    point = _point(row, faults)
    properties = _properties(row, faults)
    if kind is None or faults:
        found.findings += faults
        return
    ref = AssetRef(Space.USER if kind is AssetKind.USER else Space.NODE, row.values["id"])
    asset = Asset(ref, kind, point, from_model=False, properties=properties)
    if ref in model_assets and found.assets[ref] is model_assets[ref]:
        _describe(row, asset, found)
    elif ref in found.assets:
        found.findings.append(row.fault("duplicate-id", f"{ref} stands already in this file"))
    elif kind not in NODE_KINDS:
        message = f"a {kind} comes from the EPANET file, which holds none of this id"
        found.findings.append(row.fault("kind", message, "kind"))
    elif not point and kind is not AssetKind.USER:
        found.findings.append(row.fault("no-coordinates", "has no x and y", "x"))
    else:
        found.assets[ref] = asset


def _describe(row: _Row, said: Asset, found: FolderAssets) -> None:
    """Add what a row says to the asset of the model that it names."""
    known = found.assets[said.ref]
    is_plant = said.kind is AssetKind.PLANT and known.kind is AssetKind.JUNCTION
    if said.kind is not known.kind and not is_plant:
        message = f"the EPANET file holds it as a {known.kind}, not a {said.kind}"
        found.findings.append(row.fault("kind", message, "kind"))
    elif said.geometry and known.geometry and said.geometry != known.geometry:
        message = f"the EPANET file places it at {known.geometry[0]}; leave x and y empty"
        found.findings.append(row.fault("coordinates", message, "x"))
    elif taken := sorted(set(said.properties) & set(known.properties)):
        message = f"{taken[0]} comes from the EPANET file; leave it empty"
        found.findings.append(row.fault("property", message, taken[0]))
    else:
        properties = {**known.properties, **said.properties}
        geometry = known.geometry or said.geometry
        found.assets[said.ref] = replace(
            known, kind=said.kind, geometry=geometry, properties=properties
        )
        found.n_described += 1


def _take_link(row: _Row, found: FolderAssets) -> None:
    kind = _kind(row, found)
    faults = [*_id_faults(row)]
    properties = _properties(row, faults)
    is_open = _is_open(row, faults)
    ends = [_end(row, column, found, faults) for column in ("start", "end")]
    ref = AssetRef(Space.LINK, row.values["id"])
    if kind is not None and kind not in LINK_KINDS:
        names = ", ".join(sorted(LINK_KINDS))
        faults.append(row.fault("kind", f"a link here is one of {names}", "kind"))
    if ref in found.assets:
        faults.append(row.fault("duplicate-id", f"{ref} stands already in this network"))
    if ends[0] is not None and ends[0] == ends[1]:
        faults.append(row.fault("link-to-itself", f"joins {ends[0]} to itself", "end"))
    found.findings += faults
    start, end = ends
    if kind is None or faults or start is None or end is None:
        return
    line = (*found.assets[start].geometry, *found.assets[end].geometry)
    found.assets[ref] = Asset(
        ref,
        kind,
        line if len(line) == len(ends) else (),
        start,
        end,
        is_open=is_open,
        is_oneway=True,
        from_model=False,
        properties=properties,
    )


def _end(row: _Row, column: str, found: FolderAssets, faults: list[Finding]) -> AssetRef | None:
    text = row.values[column]
    try:
        ref = resolve_ref(text, found.assets, (Space.NODE,))
    except AssetNameError as error:
        message = f"{text[:40]!r}: {error.reason}; write a node's id, or user:ID"
        faults.append(row.fault("unknown-node", message, column))
        return None
    if ref.space is Space.LINK:
        message = f"{text!r} is a link; a link joins two nodes or users"
        faults.append(row.fault("unknown-node", message, column))
        return None
    return ref


def _dangling(assets: Mapping[AssetRef, Asset]) -> Iterator[Finding]:
    """Find users whose node is not there."""
    nodes = {str(ref) for ref in assets if ref.space is Space.NODE}
    for ref, asset in assets.items():
        if asset.kind is AssetKind.USER and asset.properties.get("served_by") not in nodes:
            said = asset.properties.get("served_by", "")
            message = f"served_by is {said!r}; write node:ID, the node that gives it water"
            yield finding("assets.csv", "served-by", message, subject=ref.id)


# --- values ---------------------------------------------------------------------------------------


def _id_faults(row: _Row) -> Iterator[Finding]:
    if _ID.fullmatch(row.values["id"]) is None:
        message = f"id {row.values['id'][:40]!r} is not 1 to 31 letters without space, ':' or ';'"
        yield row.fault("id", message, "id")


def _kind(row: _Row, found: FolderAssets) -> AssetKind | None:
    text = row.values["kind"]
    if text in list(AssetKind):
        return AssetKind(text)
    names = ", ".join(sorted(NODE_KINDS if row.file == "assets.csv" else LINK_KINDS))
    found.findings.append(row.fault("kind", f"kind {text[:40]!r} is none of {names}", "kind"))
    return None


def _point(row: _Row, faults: list[Finding]) -> tuple[Point, ...]:
    x, y = row.values["x"], row.values["y"]
    if not x and not y:
        return ()
    numbers = [_number(row, column, faults) for column in ("x", "y")]
    return ((numbers[0], numbers[1]),)


def _properties(row: _Row, faults: list[Finding]) -> dict[str, Property]:
    properties: dict[str, Property] = {}
    for column, text in row.values.items():
        if column in _OWN or not text:
            continue
        is_number = _NUMERIC.fullmatch(column) is not None
        properties[column] = _number(row, column, faults) if is_number else text
    length_m = properties.get("length_m")
    if isinstance(length_m, float) and length_m <= 0:  # a NaN was told of already
        faults.append(row.fault("length-not-above-zero", f"length is {length_m} m", "length_m"))
    return properties


def _number(row: _Row, column: str, faults: list[Finding]) -> float:
    text = row.values[column]
    if _NUMBER.fullmatch(text) is None or not math.isfinite(float(text)):
        faults.append(row.fault("not-a-number", f"{text[:40]!r} is not a finite number", column))
        return math.nan
    return float(text)


def _is_open(row: _Row, faults: list[Finding]) -> bool:
    status = row.values.get("status", "")
    if status not in {"", "open", "closed"}:
        faults.append(row.fault("status", f"{status[:40]!r} is not open or closed", "status"))
    return status != "closed"
