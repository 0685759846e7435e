"""Tag maps: which tag of a source is which quantity of which asset, in which unit.

```yaml
time_zone: "+02:00"        # for times without an offset: an IANA name or a fixed offset
tags:
  - {tag: n1, asset: "node:n1", quantity: pressure, unit: m}
  - {tag: CL2_OUT, asset: "node:R1", quantity: concentration, unit: mg/L,
     parameter: free_chlorine, sampling_point: plant_outlet}
  - {tag: n1.demand, column: n1, asset: "node:n1", quantity: demand, unit: L/h}
```

A tag is one series, whatever file it comes from; where the file has another name for it, `column`
gives that name.

Scalars are read as the text that was written: `asset: 10` is the asset `10`, and a zone of `+10:00`
or a tag called `on` does not become a number or a truth value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import yaml

from twin.assets import Asset, AssetKind
from twin.errors import RefusedError, UnreadableError
from twin.findings import Finding, Severity
from twin.ids import AssetNameError, AssetRef, Space, resolve_ref
from twin.readings import FloatArray, IndexArray, PrivacyClass, Quantity, Series
from twin.units import STORED_UNIT, Unit, UnitError, parse_unit

MAX_BYTES = 4 * 1024 * 1024
MAX_TAGS = 20_000
MAX_TEXT = 256  # characters of a tag, asset, parameter or node
_MAX_DEPTH = 4  # the map, its list, an entry, and one for a message that names the key
_N_NAMED = 5  # faults that an error spells out

_REQUIRED = ("tag", "asset", "quantity", "unit")
_OPTIONAL = ("parameter", "sampling_point", "scale", "offset", "class", "node", "column")
_FIXED_OFFSET = re.compile(r"[+-](?:0\d|1[0-4]):[0-5]\d")
_SAMPLE = (Quantity.CONCENTRATION, Quantity.TURBIDITY, Quantity.PH, Quantity.TEMPERATURE)

_NODES = (Space.NODE, Space.USER)
_SPACES: Mapping[Quantity, tuple[Space, ...]] = {
    Quantity.PRESSURE: _NODES,
    Quantity.LEVEL: _NODES,
    Quantity.DEMAND: _NODES,
    Quantity.FLOW: (Space.LINK, Space.NODE),
    Quantity.VOLUME: (Space.LINK, Space.USER, Space.NODE),
    Quantity.STATUS: (Space.LINK, Space.NODE),
    **dict.fromkeys(_SAMPLE, (Space.NODE, Space.LINK, Space.USER)),
}
"""Where the asset of each quantity may be, and where a bare id is looked up first."""

_LINKS = frozenset(
    {
        AssetKind.PIPE,
        AssetKind.PUMP,
        AssetKind.VALVE,
        AssetKind.ABSTRACTION,
        AssetKind.SERVICE,
        AssetKind.DRAIN,
        AssetKind.SEWER,
        AssetKind.DISCHARGE,
        AssetKind.REACH,
    }
)
_FLOW_NODES = frozenset(
    {AssetKind.SOURCE, AssetKind.PLANT, AssetKind.SEWAGE_PLANT, AssetKind.OUTFALL}
)
_KINDS: Mapping[Quantity, frozenset[AssetKind]] = {
    Quantity.FLOW: _LINKS | _FLOW_NODES,
    Quantity.LEVEL: frozenset(AssetKind) - _LINKS - {AssetKind.JUNCTION, AssetKind.USER},
}
"""The kinds of asset that have a quantity, where not all have it."""

_WHY_NOT = {
    Quantity.FLOW: "a flow is of a link, or of a source, plant, sewage plant or outfall; "
    "what leaves the network at a node is its demand",
    Quantity.LEVEL: "a level is of a tank, source, plant, manhole, outfall or water body",
}


class TagMapUnreadableError(UnreadableError):
    """A tag map cannot be read as one."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"tag map {self.path}: {self.reason}"


class TagMapRefusedError(RefusedError):
    """A tag map says something that cannot be; nothing was recorded.

    Attributes:
        path: The file.
        findings: What is wrong, in the order of the file.
    """

    code = "TAG_MAP_REFUSED"

    def __init__(self, path: str, findings: tuple[Finding, ...]) -> None:
        super().__init__(path, findings)
        self.path = path
        self.findings = findings

    def __str__(self) -> str:
        said = "; ".join(finding.message for finding in self.findings[:_N_NAMED])
        more = len(self.findings) - _N_NAMED
        tail = f"; and {more} more" if more > 0 else ""
        return f"tag map {self.path}: {said}{tail}; nothing was recorded"


@dataclass(frozen=True, slots=True)
class Tag:
    """One entry of a tag map.

    Attributes:
        tag: The source's own name.
        asset: The asset as written: a full name or a bare id.
        quantity: What is measured.
        unit: The unit that values arrive in.
        parameter: The substance of a concentration.
        sampling_point: Where in the system a sample is taken.
        scale: Factor on the raw value, before the unit is converted; finite, not 0.
        offset: Added after the factor, in the unit; finite.
        privacy: Who may see the series.
        node: OPC UA NodeId, where it is not the tag itself.
        column: Its name in a file, where it is not the tag itself.
    """

    tag: str
    asset: str
    quantity: Quantity
    unit: Unit
    parameter: str | None = None
    sampling_point: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    privacy: PrivacyClass = PrivacyClass.ALLIANCE
    node: str | None = None
    column: str | None = None


@dataclass(frozen=True, slots=True)
class TagMap:
    """A tag map as read, before its assets are looked up.

    Attributes:
        path: Where it was read, for messages.
        tags: Its entries, each tag once.
        time_zone: Zone of times without an offset: IANA name or fixed offset, None for none.
    """

    path: str
    tags: tuple[Tag, ...]
    time_zone: str | None


@dataclass(frozen=True, slots=True)
class Intake:
    """The series of a source, and how its raw values become theirs.

    Attributes:
        series: One for each tag of the map, in its order.
        node: OPC UA NodeId of each.
        column: Name of each in a file.
        time_zone: Zone of times without an offset, None for none.
        scale: Factor on raw values, shape (n_series,).
        offset: Added after it, in the source's unit, shape (n_series,).
        times: Numerator of the unit's factor, shape (n_series,).
        over: Its denominator, shape (n_series,).
        plus: Stored value at zero of the unit, shape (n_series,).
    """

    series: tuple[Series, ...]
    node: tuple[str, ...]
    column: tuple[str, ...]
    time_zone: str | None
    scale: FloatArray
    offset: FloatArray
    times: FloatArray
    over: FloatArray
    plus: FloatArray

    def stored(self, raw: FloatArray, series_index: IndexArray) -> FloatArray:
        """Return values in the stored units.

        Args:
            raw: Values as they arrived, any shape; NaN stays NaN, what overflows is infinite.
            series_index: Which series each is of, a shape that broadcasts with `raw`.
        """
        i = series_index
        with np.errstate(over="ignore", invalid="ignore"):
            in_unit = raw * self.scale[i] + self.offset[i]
            return in_unit * self.times[i] / self.over[i] + self.plus[i]


def read_tag_map(path: Path) -> TagMap:
    """Return the tag map of a YAML file.

    Raises:
        TagMapUnreadableError: The file cannot be read, is no YAML, or is no tag map.
        TagMapRefusedError: An entry says what cannot be.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise TagMapUnreadableError(str(path), f"{reason}; give the path of a YAML file") from error
    return parse_tag_map(content, str(path))


def parse_tag_map(content: bytes, path: str) -> TagMap:
    """Return the tag map of a YAML text in UTF-8; `path` is for messages.

    Raises:
        TagMapUnreadableError: The text is too long, no YAML, or no tag map.
        TagMapRefusedError: An entry says what cannot be.
    """
    document = _load(content, path)
    unknown = [key for key in document if key not in ("tags", "time_zone")]
    if unknown:
        reason = f"unknown key {unknown[0]!r}; beside `tags` only `time_zone` is known"
        raise TagMapUnreadableError(path, reason)
    entries = document.get("tags")
    if not isinstance(entries, list) or not entries:
        raise TagMapUnreadableError(path, "no entries; write a list of tags under `tags:`")
    if len(entries) > MAX_TAGS:
        raise TagMapUnreadableError(path, f"{len(entries)} tags; at most {MAX_TAGS} are read")
    findings: list[Finding] = []
    time_zone = _time_zone(document.get("time_zone"), findings)
    tags = [_entry(i + 1, entry, findings) for i, entry in enumerate(entries)]
    known = tuple(tag for tag in tags if tag is not None)
    return _judged(TagMap(path, known, time_zone), findings)


def make_tag_map(path: str, tags: Sequence[Tag], time_zone: str) -> TagMap:
    """Return the tag map of a file that says itself what it holds; `path` is for messages.

    Raises:
        TagMapRefusedError: The zone is none, or a tag or column stands twice.
    """
    findings: list[Finding] = []
    return _judged(TagMap(path, tuple(tags), _time_zone(time_zone, findings)), findings)


def _judged(tag_map: TagMap, findings: list[Finding]) -> TagMap:
    """Return a tag map with nothing against it."""
    findings += _twice(tag_map.tags)
    if findings:
        raise TagMapRefusedError(tag_map.path, tuple(findings))
    return tag_map


class _TextLoader(yaml.CBaseLoader):
    """Reads maps, lists and text only, and refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the signature is PyYAML's
        seen: set[object] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or name in seen:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: key {name!r} is no text, or stands twice")
            seen.add(name)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def _check_shape(text: str) -> None:
    """Refuse deep nesting, on which libyaml's loader overflows the stack, and aliases."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CBaseLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH or isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise yaml.YAMLError(f"line {line}: write plain entries, without nesting or aliases")


def _load(content: bytes, path: str) -> dict[str, Any]:
    if len(content) > MAX_BYTES:
        raise TagMapUnreadableError(path, f"longer than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
        _check_shape(text)
        loader = _TextLoader(text)
        try:
            document = loader.get_single_data()
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise TagMapUnreadableError(path, "not UTF-8; save it as UTF-8") from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise TagMapUnreadableError(path, f"no YAML that can be read: {reason}") from error
    if not isinstance(document, dict):
        raise TagMapUnreadableError(path, "no tag map; write a list of tags under `tags:`")
    return document


def _fault(code: str, where: str, message: str, tag: str | None = None) -> Finding:
    return Finding(code, f"{where}: {message}", Severity.FATAL, subject=tag)


def _time_zone(text: object, findings: list[Finding]) -> str | None:
    if text is None:
        return None
    if isinstance(text, str) and _FIXED_OFFSET.fullmatch(text):
        return text
    try:
        ZoneInfo(text if isinstance(text, str) else "")
    except (KeyError, ValueError, OSError):
        message = f"{text!r} is no zone; write an IANA name such as Asia/Nicosia, or +02:00"
        findings.append(_fault("time-zone", "key time_zone", message))
    return str(text)


def _texts(where: str, entry: object, findings: list[Finding]) -> dict[str, str] | None:
    """Return the keys of an entry as text, or None with what is wrong added to `findings`."""
    if not isinstance(entry, dict):
        findings.append(_fault("entry", where, "is no map; write {tag, asset, quantity, unit}"))
        return None
    before = len(findings)
    for key, value in entry.items():
        if key not in _REQUIRED + _OPTIONAL:
            known = ", ".join(_REQUIRED + _OPTIONAL)
            findings.append(_fault("unknown-key", where, f"unknown key {key!r}; known: {known}"))
        elif not isinstance(value, str) or len(value) > MAX_TEXT or not value.isprintable():
            message = f"key {key}: write one line of text, at most {MAX_TEXT} characters"
            findings.append(_fault("key", where, message))
    findings += [
        _fault("missing-key", where, f"key {key} is missing")
        for key in _REQUIRED
        if not entry.get(key)
    ]
    return None if len(findings) > before else {k: v for k, v in entry.items() if v != ""}


def _entry(number: int, entry: object, findings: list[Finding]) -> Tag | None:
    name = entry.get("tag") if isinstance(entry, dict) else None
    where = f"entry {number}" + (f" (tag {name})" if isinstance(name, str) else "")
    before = len(findings)
    texts = _texts(where, entry, findings)
    if texts is None:
        return None
    quantity = _quantity(where, texts, findings)
    unit = _unit(where, texts, quantity, findings)
    scale = _number(where, "scale", texts.get("scale", "1"), findings)
    offset = _number(where, "offset", texts.get("offset", "0"), findings)
    privacy = _privacy(where, texts, findings)
    if scale == 0.0:
        findings.append(_fault("number", where, "key scale: 0 would erase every value"))
    if len(findings) > before or quantity is None or unit is None:
        return None
    return Tag(
        tag=texts["tag"],
        asset=texts["asset"],
        quantity=quantity,
        unit=unit,
        parameter=texts.get("parameter"),
        sampling_point=texts.get("sampling_point"),
        scale=scale,
        offset=offset,
        privacy=privacy,
        node=texts.get("node"),
        column=texts.get("column"),
    )


def _quantity(where: str, texts: dict[str, str], findings: list[Finding]) -> Quantity | None:
    text = texts["quantity"]
    if text not in list(Quantity):
        message = f"key quantity: {text!r} is unknown; write {', '.join(Quantity)}"
        findings.append(_fault("unknown-quantity", where, message))
        return None
    if text == Quantity.CONCENTRATION:
        findings += [
            _fault("missing-key", where, f"key {key} is missing: a concentration names it")
            for key in ("parameter", "sampling_point")
            if key not in texts
        ]
    elif "parameter" in texts:
        message = f"key parameter: only a concentration has one, a {text} has not"
        findings.append(_fault("key", where, message))
    return Quantity(text)


def _unit(
    where: str, texts: dict[str, str], quantity: Quantity | None, findings: list[Finding]
) -> Unit | None:
    if quantity is None:
        return None
    try:
        return parse_unit(texts["unit"], quantity)
    except UnitError as error:
        findings.append(_fault("unit-misfit", where, f"key unit: {error}"))
        return None


def _number(where: str, key: str, text: str, findings: list[Finding]) -> float:
    try:
        value = float(text) if re.fullmatch(r"[0-9eE+.-]+", text) else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        message = f"key {key}: {text!r} is no finite number; write it with a decimal point"
        findings.append(_fault("number", where, message))
    return value


def _privacy(where: str, texts: dict[str, str], findings: list[Finding]) -> PrivacyClass:
    text = texts.get("class", PrivacyClass.ALLIANCE)
    if text == PrivacyClass.PERSONAL:
        message = (
            "key class: personal series are refused until they can be kept private, "
            "because what is recorded cannot be taken back; leave this tag out"
        )
        findings.append(_fault("personal", where, message, texts["tag"]))
    elif text not in list(PrivacyClass):
        message = f"key class: {text!r} is unknown; write public or alliance"
        findings.append(_fault("unknown-class", where, message))
    else:
        return PrivacyClass(text)
    return PrivacyClass.ALLIANCE


def _twice(tags: Sequence[Tag]) -> list[Finding]:
    seen: set[str] = set()
    findings = []
    for tag in tags:
        if tag.tag in seen:
            message = "stands in two entries; a tag is one series"
            findings.append(_fault("duplicate-tag", f"tag {tag.tag}", message, tag.tag))
        seen.add(tag.tag)
    return findings + _one_column_twice(tags)


def _one_column_twice(tags: Sequence[Tag]) -> list[Finding]:
    reader: dict[str, str] = {}
    findings = []
    for tag in tags:
        column = tag.column or tag.tag
        if reader.setdefault(column, tag.tag) != tag.tag:
            message = f"reads column {column!r}, as tag {reader[column]} does; a column is one tag"
            findings.append(_fault("duplicate-column", f"tag {tag.tag}", message, tag.tag))
    return findings


def open_intake(
    tag_map: TagMap,
    network: str,
    assets: Mapping[AssetRef, Asset],
    *,
    source: str,
    recorded: Sequence[Series] = (),
) -> Intake:
    """Return the series that a tag map makes in a network.

    A tag that is recorded already keeps its series, whichever door it came through first.

    Args:
        tag_map: The map.
        network: Name of the network.
        assets: The network's assets.
        source: The door, such as `csv`.
        recorded: The series that the network has so far.

    Raises:
        TagMapRefusedError: An asset is unknown or has no such quantity, or a tag is recorded
            with another meaning.
    """
    findings: list[Finding] = []
    known = {series.tag: series for series in recorded if series.network == network}
    series = [_series(tag, network, assets, source, findings) for tag in tag_map.tags]
    settled = [_settle(one, known.get(one.tag), findings) for one in series if one is not None]
    if findings:
        raise TagMapRefusedError(tag_map.path, tuple(findings))
    ratios = [tag.unit.scale.as_integer_ratio() for tag in tag_map.tags]
    return Intake(
        series=tuple(settled),
        node=tuple(tag.node or tag.tag for tag in tag_map.tags),
        column=tuple(tag.column or tag.tag for tag in tag_map.tags),
        time_zone=tag_map.time_zone,
        scale=np.array([tag.scale for tag in tag_map.tags], dtype=np.float64),
        offset=np.array([tag.offset for tag in tag_map.tags], dtype=np.float64),
        times=np.array([float(times) for times, _ in ratios], dtype=np.float64),
        over=np.array([float(over) for _, over in ratios], dtype=np.float64),
        plus=np.array([float(tag.unit.offset) for tag in tag_map.tags], dtype=np.float64),
    )


def _series(
    tag: Tag,
    network: str,
    assets: Mapping[AssetRef, Asset],
    source: str,
    findings: list[Finding],
) -> Series | None:
    where = f"tag {tag.tag}"
    try:
        asset = assets[_resolve(tag, assets)]
    except AssetNameError as error:
        findings.append(_fault("unknown-asset", where, f"key asset: {error}", tag.tag))
        return None
    if asset.kind not in _KINDS.get(tag.quantity, frozenset(AssetKind)):
        message = f"key asset: {asset.ref} is a {asset.kind}; {_WHY_NOT[tag.quantity]}"
        findings.append(_fault("asset-misfit", where, message, tag.tag))
        return None
    return Series(
        network=network,
        tag=tag.tag,
        asset=str(asset.ref),
        quantity=tag.quantity,
        unit=STORED_UNIT[tag.quantity],
        source=source,
        privacy=tag.privacy,
        parameter=tag.parameter,
        sampling_point=tag.sampling_point,
    )


def _resolve(tag: Tag, assets: Mapping[AssetRef, Asset]) -> AssetRef:
    """Return the asset of a tag; a bare id is looked up where its quantity belongs."""
    spaces = _SPACES[tag.quantity]
    for space in spaces:
        ref = AssetRef(space, tag.asset)
        if ref in assets:
            return ref
    ref = resolve_ref(tag.asset, assets, spaces)
    if ref.space not in spaces:
        reason = f"a {tag.quantity} is of a {' or '.join(spaces)}"
        raise AssetNameError(tag.asset, reason)
    return ref


def _settle(new: Series, recorded: Series | None, findings: list[Finding]) -> Series:
    """Return the recorded series of a tag, or the new one where there is none."""
    if recorded is None:
        return new
    if replace(new, source=recorded.source) != recorded:
        message = (
            f"is recorded as {_meaning(recorded)}, and the map says {_meaning(new)}; "
            "give the new meaning a new tag"
        )
        findings.append(_fault("tag-changed", f"tag {new.tag}", message, new.tag))
    return recorded


def _meaning(series: Series) -> str:
    substance = f" of {series.parameter}" if series.parameter else ""
    place = f", sampling point {series.sampling_point}" if series.sampling_point else ""
    return f"{series.quantity}{substance} at {series.asset}{place}, class {series.privacy}"
