"""A network comes in: read, checked, compared with what stands, recorded whole or not at all."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydraulics.errors import ModelFileError
from hydraulics.inp_scan import scan_inp
from hydraulics.network import NetworkModel
from twin.assets import Asset, AssetKind, Network
from twin.errors import UnreadableError
from twin.events import Event
from twin.findings import Finding, Severity
from twin.ids import AssetRef
from twin.instants import Clock
from twin.networks.assets_of_model import assets_of_model
from twin.networks.faults import finding, finding_of_error, finding_of_fault
from twin.networks.folder import read_folder
from twin.networks.model import FILES, asset_to_event, network_to_event, retired_event
from twin.networks.places import Placing, check_placing, outside_of, settle, start_text
from twin.networks.records import load_assets, load_files, load_networks, read_model
from twin.networks.source import Source, read_source
from twin.ports import Journal, Record

_N_LISTED = 20

_MANY = {
    AssetKind.PLANT: "plants",
    AssetKind.SEWAGE_PLANT: "sewage plants",
    AssetKind.WATER_BODY: "water bodies",
    AssetKind.REACH: "reaches",
    AssetKind.DISCHARGE: "discharges",
}


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What a person says of a network beyond its files; None keeps what is recorded.

    Attributes:
        name: Its name; the file's stem, or its folder's name for `network.inp`, where None.
        crs: `EPSG:n` or `local`; `local` where nothing is recorded.
        time_zone: IANA name, or an offset such as `+02:00`; `UTC` where nothing is recorded.
        model_start_ns: The instant of model time zero; a Monday at the file's start clock time
            where nothing is recorded.
    """

    name: str | None = None
    crs: str | None = None
    time_zone: str | None = None
    model_start_ns: int | None = None


class NetworkRefusedError(UnreadableError):
    """The files of a network have faults, and nothing of them was recorded.

    Attributes:
        source: Name of the file or folder.
        findings: Every fault, and the notes.
        n_left_out: How many more faults there are.
    """

    def __init__(self, source: str, findings: tuple[Finding, ...], n_left_out: int = 0) -> None:
        super().__init__(source, findings, n_left_out)
        self.source = source
        self.findings = findings
        self.n_left_out = n_left_out

    def __str__(self) -> str:
        fatal = [f.message for f in self.findings if f.severity is Severity.FATAL]
        n = len(fatal) + self.n_left_out
        listed = fatal[:_N_LISTED]
        rest = f"\n  … and {n - len(listed)} more" if n > len(listed) else ""
        what = "1 fault" if n == 1 else f"{n} faults"
        lines = "".join(f"\n  {message}" for message in listed)
        return f"{self.source} has {what} and is not imported; your home is unchanged:{lines}{rest}"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, or would do.

    Attributes:
        network: The network as it now stands.
        is_dry_run: Whether nothing was to be recorded.
        is_changed: Whether there was anything to record.
        counts: Assets by kind, as they now stand.
        n_added: Assets that are new.
        n_changed: Assets recorded again, for something of them changed.
        n_retired: Assets that the files no longer hold.
        n_described: Assets of the model that `assets.csv` says more of.
        findings: Notes: nothing here kept an asset out.
    """

    network: Network
    is_dry_run: bool
    is_changed: bool
    counts: Mapping[AssetKind, int]
    n_added: int
    n_changed: int
    n_retired: int
    n_described: int
    findings: tuple[Finding, ...]

    def sentences(self) -> list[str]:
        """Return what a person reads: what came in, how it is placed, and what to know."""
        name = self.network.name
        parts = [_counted(n, kind) for kind, n in self.counts.items()]
        said = [f"Network {name} has {_joined(parts)}.", self._change(), self._clock()]
        if self.n_described:
            said.append(f"assets.csv says more of {_n(self.n_described, 'asset')} of the model.")
        return said + [f"Note: {note.message}." for note in self.findings]

    def document(self) -> dict[str, object]:
        """Return the same as plain data."""
        return {
            "network": self.network.name,
            "crs": self.network.crs,
            "time_zone": self.network.time_zone,
            "model_start_ns": self.network.model_start_ns,
            "is_model_start_given": self.network.is_model_start_given,
            "inp_sha256": self.network.inp_sha256,
            "dry_run": self.is_dry_run,
            "changed": self.is_changed,
            "assets": {kind.value: n for kind, n in self.counts.items()},
            "added": self.n_added,
            "updated": self.n_changed,
            "retired": self.n_retired,
            "notes": [
                {"code": f.code, "message": f.message, "line": f.line} for f in self.findings
            ],
        }

    def _change(self) -> str:
        if not self.is_changed:
            return "It stands so already: nothing is recorded, and your home is unchanged."
        would = "Would record" if self.is_dry_run else "Recorded"
        added, changed = f"{self.n_added} new", f"{self.n_changed} changed"
        return f"{would} {added}, {changed} and {self.n_retired} retired assets."

    def _clock(self) -> str:
        how = "as given" if self.network.is_model_start_given else "for none was given"
        start = start_text(self.network)
        return (
            f"Coordinates are {self.network.crs}; model time zero is {start} "
            f"({self.network.time_zone}), {how}."
        )


@dataclass(frozen=True, slots=True)
class _Difference:
    """How the assets of the files differ from those that stand."""

    added: tuple[Asset, ...]
    changed: tuple[Asset, ...]
    retired: tuple[AssetRef, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.retired)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A network that was read and has no fault, before anything is compared or recorded.

    Attributes:
        files: Its files.
        given: What a person says of place and time.
        assets: Its assets.
        start_clock_s: START CLOCKTIME of the EPANET file [s].
        n_described: Assets of the model that `assets.csv` says more of.
        notes: What a person may want to know.
    """

    files: Source
    given: Placing
    assets: Mapping[AssetRef, Asset]
    start_clock_s: int
    n_described: int
    notes: tuple[Finding, ...]


def import_network(
    source: Path, options: ImportOptions, journal: Journal, clock: Clock, *, dry_run: bool = False
) -> ImportReport:
    """Read a network, and record it and what changed of its assets.

    Args:
        source: An EPANET file, or a folder with `network.inp` and maybe `assets.csv`, `links.csv`.
        options: What the files do not say.
        journal: Where it is recorded.
        clock: Gives the time of the events.
        dry_run: Whether to report only.

    Raises:
        NetworkRefusedError: The files have faults; nothing is recorded or kept.
        UnreadableError: There is no such file, or an option is spelled wrongly.
    """
    prepared = prepare_network(source, options)
    if dry_run:
        return plan_import(prepared, journal)
    return record_import(prepared, journal, clock)


def prepare_network(source: Path, options: ImportOptions) -> Prepared:
    """Read and check a network; nothing is written anywhere, so a home need not be opened yet.

    Raises:
        NetworkRefusedError: The files have faults.
        UnreadableError: There is no such file, or an option is spelled wrongly.
    """
    given = check_placing(options.crs, options.time_zone, options.model_start_ns)
    files = read_source(source, options.name)
    model, findings = _read_model(files)
    folder = read_folder(assets_of_model(model), files.assets_csv, files.links_csv)
    findings += [*folder.findings, *_alone(source, files.shown)]
    if any(found.severity is Severity.FATAL for found in findings):
        raise NetworkRefusedError(files.shown, tuple(findings))
    return Prepared(
        files, given, folder.assets, model.start_clock_s, folder.n_described, tuple(findings)
    )


def plan_import(prepared: Prepared, record: Record | None) -> ImportReport:
    """Return what an import would record, beside what a record holds; None holds nothing."""
    report, _ = _compare(prepared, record)
    return replace(report, is_dry_run=True)


def record_import(prepared: Prepared, journal: Journal, clock: Clock) -> ImportReport:
    """Record a network and what changed of its assets, or nothing where nothing did.

    The network's event comes first and the assets after it, in one call to the journal; whatever a
    crash cuts off, the same import records again.
    """
    report, difference = _compare(prepared, journal)
    if report.is_changed:
        files, n_assets = prepared.files, len(prepared.assets)
        first = network_to_event(report.network, files.sha256s(), files.shown, n_assets, clock())
        _record(journal, files, difference, first)
    return report


def _compare(prepared: Prepared, record: Record | None) -> tuple[ImportReport, _Difference]:
    name = prepared.files.name
    before = None if record is None else load_networks(record).get(name)
    network, more_notes = settle(prepared.files, before, prepared.given, prepared.start_clock_s)
    more_notes += _outside(network, prepared.assets)
    difference = _difference({} if record is None else load_assets(record, name), prepared.assets)
    kept = {} if record is None else load_files(record, name)
    report = ImportReport(
        network=network,
        is_dry_run=False,
        is_changed=bool(difference) or network != before or kept != prepared.files.sha256s(),
        counts=_counts(prepared.assets),
        n_added=len(difference.added),
        n_changed=len(difference.changed),
        n_retired=len(difference.retired),
        n_described=prepared.n_described,
        findings=(*prepared.notes, *more_notes),
    )
    return report, difference


def _outside(network: Network, assets: Mapping[AssetRef, Asset]) -> Iterator[Finding]:
    area = outside_of(network.crs, [point for a in assets.values() for point in a.geometry])
    if area is not None:
        message = f"its coordinates lie outside of where {network.crs} is used ({area})"
        yield Finding("outside-crs", message, Severity.NOTE, subject=network.name)


def _alone(source: Path, shown: str) -> Iterator[Finding]:
    """Find the rest of a folder of which only the EPANET file was asked for."""
    if source.name == "network.inp" and any((source.parent / name).exists() for name in FILES[1:]):
        message = "its folder also holds assets.csv or links.csv; import the folder to take them in"
        yield finding(shown, "alone", message, severity=Severity.NOTE)


def _read_model(files: Source) -> tuple[NetworkModel, list[Finding]]:
    """Return the model of an EPANET file, and what its scan and EPANET itself say of it."""
    scan = scan_inp(files.inp)
    findings = [finding_of_fault(files.inp_name, fault) for fault in scan.faults]
    if not scan.is_usable:
        raise NetworkRefusedError(files.shown, tuple(findings), scan.n_left_out)
    if scan.encoding not in {"utf-8", "utf-8-sig"}:
        message = f"was read as {scan.encoding}"
        findings.append(finding(files.inp_name, "encoding", message, severity=Severity.NOTE))
    try:
        model = read_model(scan.text)
    except ModelFileError as error:
        # EPANET names every line that it refuses; WNTR stops at one, and often without its place.
        faults = _epanet_findings(files.inp_name, scan.text)
        faults = faults or [finding_of_error(files.inp_name, error)]
        raise NetworkRefusedError(files.shown, (*faults, *findings)) from error
    return model, [*_epanet_findings(files.inp_name, scan.text), *findings]


def _epanet_findings(name: str, text: str) -> list[Finding]:
    """Return what EPANET's own reader says of a file that WNTR lets through."""
    from hydraulics.epanet.flows import open_faults  # noqa: PLC0415 - opens EPANET's library

    with tempfile.TemporaryDirectory(prefix="watercourse-") as scratch:
        path = Path(scratch) / "network.inp"
        path.write_bytes(text.encode())
        return [finding_of_error(name, fault) for fault in open_faults(path)]


def _difference(before: Mapping[AssetRef, Asset], after: Mapping[AssetRef, Asset]) -> _Difference:
    return _Difference(
        added=tuple(asset for ref, asset in after.items() if ref not in before),
        changed=tuple(a for ref, a in after.items() if ref in before and before[ref] != a),
        retired=tuple(ref for ref in before if ref not in after),
    )


def _record(journal: Journal, files: Source, difference: _Difference, first: Event) -> None:
    """Keep the files, then record the network and after it what changed of its assets."""
    for content in files.contents.values():
        journal.keep_file(content)
    network, at_ns = first.network, first.at_ns
    assets = (*difference.added, *difference.changed)
    reason = f"{files.shown} no longer holds it"
    journal.record(
        [
            first,
            *(asset_to_event(network, asset, at_ns) for asset in assets),
            *(retired_event(network, ref, at_ns, reason) for ref in difference.retired),
        ]
    )


def _counts(assets: Mapping[AssetRef, Asset]) -> dict[AssetKind, int]:
    counted = Counter(asset.kind for asset in assets.values())
    return {kind: counted[kind] for kind in AssetKind if counted[kind]}


def _counted(n: int, kind: AssetKind) -> str:
    name = kind.value.replace("_", " ")
    return f"{n} {name}" if n == 1 else f"{n} {_MANY.get(kind, f'{name}s')}"


def _joined(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def _n(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
