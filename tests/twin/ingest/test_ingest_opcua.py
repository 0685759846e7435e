"""The live door, against a real OPC UA server in this process."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from asyncua import Server, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.server.history import HistoryDict
from cryptography.x509.oid import ExtendedKeyUsageOID

from api.cli import run
from ledger.errors import StorageFailedError
from ledger.journal import Ledger
from twin.errors import UnreadableError
from twin.events import Event, EventKind
from twin.ingest.opcua import (
    APPLICATION_URI,
    LiveSettings,
    Security,
    SourceLostError,
    UnknownNodesError,
    listen,
    quality_of_status,
)
from twin.pipeline import Pipeline
from twin.readings import Origin, Status, quality_code
from twin.tags import Intake

OpenIntake = Callable[..., Intake]
OnDurable = Callable[[int], None]

TAGS = """
tags:
  - {tag: P1, node: ns=2;s=P1, asset: n1, quantity: pressure, unit: bar}
  - {tag: ns=2;s=F1, asset: p1, quantity: flow, unit: L/s}
  - {tag: ns=2;s=TEXT, asset: p1, quantity: status, unit: "1"}
"""
START = datetime(2025, 6, 1, 12, tzinfo=UTC)
SERVER_URI = "urn:watercourse:test:server"
SERVER_AUTH, CLIENT_AUTH = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


class Memory(HistoryDict):
    """The server's history, which tells what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.has_more = asyncio.Condition()

    async def save_node_value(self, node_id: ua.NodeId, datavalue: ua.DataValue) -> None:
        await super().save_node_value(node_id, datavalue)
        async with self.has_more:
            self.has_more.notify_all()

    async def hold(self, node_id: ua.NodeId, at: datetime) -> None:
        """Return when the value of a moment is in the history."""

        def is_held() -> bool:
            return any(value.SourceTimestamp == at for value in self._datachanges[node_id])

        async with self.has_more:
            await self.has_more.wait_for(is_held)


class Plant:
    """A server with a pressure and a flow, on an event loop of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._nodes: dict[str, Any] = {}
        self.do(self._begin())

    def do(self, work: Any) -> Any:
        """Run a coroutine of the server's and return its answer."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    async def _begin(self) -> None:
        await _make_certificate(self.folder, "server", SERVER_URI, SERVER_AUTH)
        await _make_certificate(self.folder, "ours", APPLICATION_URI, CLIENT_AUTH)
        self.server = Server()
        await self.server.init()
        self.server.set_endpoint("opc.tcp://127.0.0.1:0")
        await self.server.set_application_uri(SERVER_URI)
        self.server.set_security_policy(
            [
                ua.SecurityPolicyType.NoSecurity,
                ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
            ]
        )
        await self.server.load_certificate(str(self.folder / "server.der"))
        await self.server.load_private_key(str(self.folder / "server.pem"))
        index = await self.server.register_namespace("urn:watercourse:test")
        for name, value in (("P1", 0.0), ("F1", 0.0), ("TEXT", "closed")):
            variable = await self.server.nodes.objects.add_variable(
                ua.NodeId(name, index), name, value
            )
            self._nodes[name] = variable
        await self.server.start()
        self.memory = Memory()
        self.server.iserver.history_manager.set_storage(self.memory)
        await self.server.historize_node_data_change(self._nodes["P1"], period=None)
        self._own = set(self.server.iserver.subscription_service.subscriptions)
        self.port = self.server.bserver._server.sockets[0].getsockname()[1]

    def send(self, name: str, value: Any, at: datetime, status: int = 0) -> None:
        """Set a value as the plant would measure it."""
        held = ua.DataValue(ua.Variant(value), ua.StatusCode(status), SourceTimestamp=at)
        self.do(self.server.write_attribute_value(self._nodes[name].nodeid, held))

    def send_and_remember(self, name: str, value: Any, at: datetime) -> None:
        """Set a value, and return when the server's history holds it."""
        self.send(name, value, at)
        self.do(self.memory.hold(self._nodes[name].nodeid, at))

    def cut(self) -> None:
        """Break every link, as a switch that loses power would."""

        async def abort() -> None:
            for client in list(self.server.bserver.clients):
                client.transport.abort()

        self.do(abort())

    def end_subscriptions(self) -> None:
        """Forget every subscription of a client, and leave its connection as it is."""

        async def forget() -> None:
            service = self.server.iserver.subscription_service
            await service.delete_subscriptions(sorted(set(service.subscriptions) - self._own))

        self.do(forget())

    def end(self) -> None:
        self.do(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _make_certificate(folder: Path, name: str, uri: str, usage: Any) -> None:
    await setup_self_signed_certificate(
        folder / f"{name}.pem", folder / f"{name}.der", uri, "localhost", [usage], {}
    )


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    server = Plant(tmp_path_factory.mktemp("plant"))
    yield server
    server.end()


class Recorder(Pipeline):
    """The real pipeline, which tells a test when something became durable."""

    def __init__(self, ledger: Ledger, now_ns: int, on_durable: OnDurable = lambda _: None) -> None:
        super().__init__(ledger, lambda: now_ns)
        self._on_durable = on_durable

    def note(self, events: Sequence[Event]) -> None:
        super().note(events)
        self._on_durable(self.report().recorded)

    def has(self, n_readings: int) -> Callable[[], bool]:
        return lambda: self.report().recorded >= n_readings


def settings(url: str, **more: Any) -> LiveSettings:
    given: dict[str, Any] = {"run_for_s": 120.0, "block_s": 0.05, "publishing_ms": 50.0} | more
    return LiveSettings(url, "net", given.pop("security", None), **given)


def values(ledger: Ledger, tag: str) -> list[tuple[int, float, int]]:
    [series] = [series for series in ledger.series() if series.tag == tag]
    column = ledger.column(series, 0, 2**62)
    rows = zip(column.time_ns.tolist(), column.value.tolist(), column.quality.tolist(), strict=True)
    return list(rows)


def ns(at: datetime) -> int:
    return int(at.timestamp()) * 10**9


def after(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def test_what_a_server_sends_is_recorded_in_our_units_with_its_own_time_and_quality(
    plant: Plant, intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    plant.send("P1", 3.0, after(0))
    plant.send("F1", 12.0, after(0), ua.StatusCodes.UncertainSubstituteValue)

    def more(n_recorded: int) -> None:
        if n_recorded == 2:
            plant.send("P1", None, after(4), ua.StatusCodes.BadSensorFailure)
            plant.send("P1", 4.0, after(5), ua.StatusCodes.UncertainLastUsableValue)

    sink = Recorder(ledger, now_ns, more)
    live = listen(
        settings(plant.url), intake_of(TAGS, "opcua"), sink, lambda: now_ns, is_done=sink.has(3)
    )
    bar_m = 100_000 / 9806.65
    assert values(ledger, "P1") == [
        (ns(after(0)), pytest.approx(3 * bar_m), quality_code(Status.GOOD)),
        (ns(after(5)), pytest.approx(4 * bar_m), quality_code(Status.UNCERTAIN)),
    ]
    substituted = quality_code(Status.UNCERTAIN, Origin.SUBSTITUTED)
    assert values(ledger, "ns=2;s=F1") == [(ns(after(0)), 0.012, substituted)]
    assert live.n_gaps == 0
    assert sink.report().gaps >= 1  # a failed sensor has no value
    assert sink.report().rejected.counts["value-unreadable"] >= 1  # and a word is none
    assert {series.source for series in ledger.series()} == {"opcua"}


class Cutter:
    """Cuts the link when so many readings are durable: once, however often it is told."""

    def __init__(self, plant: Plant, n_readings: int) -> None:
        self._plant = plant
        self._n_readings = n_readings
        self._is_cut = False

    def __call__(self, n_recorded: int) -> None:
        if n_recorded >= self._n_readings and not self._is_cut:
            self._is_cut = True
            self._plant.cut()


def test_a_lost_link_is_one_event_and_the_servers_history_fills_it(
    plant: Plant, intake_of: OpenIntake, ledger: Ledger
) -> None:
    hands = [ns(after(100))]
    said: list[str] = []
    plant.send_and_remember("P1", 3.0, after(99))
    plant.send("F1", 12.0, after(99))
    sink = Recorder(ledger, ns(after(1_000)), Cutter(plant, 2))

    def say(text: str) -> None:
        said.append(text)
        if "lost" in text:  # nobody listens: only the history knows the first of these
            plant.send_and_remember("P1", 3.5, after(110))
            plant.send_and_remember("P1", 3.75, after(120))
            hands[0] = ns(after(130))

    live = listen(
        settings(plant.url),
        intake_of(TAGS, "opcua"),
        sink,
        lambda: hands[0],
        say=say,
        is_done=sink.has(4),
    )
    assert live.n_gaps == 1
    [gap] = [found.event for found in ledger.events({EventKind.SOURCE_GAP})]
    assert (gap.network, gap.subject, gap.at_ns) == ("net", plant.url, ns(after(100)))
    assert gap.body == {
        "reason": "link-lost",
        "from_ns": ns(after(100)),
        "to_ns": ns(after(130)),
        "is_back": True,
    }
    assert [at_ns for at_ns, _, _ in values(ledger, "P1")] == [
        ns(after(99)),
        ns(after(110)),
        ns(after(120)),
    ]
    assert [text.rpartition(": ")[2] for text in said] == [
        "link lost, trying again",
        "link is back",
    ]


def test_a_link_that_is_lost_again_before_the_history_is_read_still_misses_nothing(
    plant: Plant, intake_of: OpenIntake, ledger: Ledger
) -> None:
    hands = [ns(after(150))]
    said: list[str] = []
    plant.send_and_remember("P1", 3.0, after(149))
    plant.send("F1", 12.0, after(149))
    sink = Recorder(ledger, ns(after(1_000)), Cutter(plant, 2))

    def say(text: str) -> None:
        said.append(text.rpartition(": ")[2])
        if len(said) == 1:
            plant.send_and_remember("P1", 3.5, after(160))
            plant.send_and_remember("P1", 3.75, after(170))
            hands[0] = ns(after(180))
        elif len(said) == 2:
            plant.cut()
        elif len(said) == 3:
            hands[0] = ns(after(190))

    live = listen(
        settings(plant.url),
        intake_of(TAGS, "opcua"),
        sink,
        lambda: hands[0],
        say=say,
        is_done=lambda: sink.has(4)() and len(said) == 4,
    )
    gaps = [found.event.body for found in ledger.events({EventKind.SOURCE_GAP})]
    assert [(gap["from_ns"], gap["to_ns"]) for gap in gaps] == [
        (ns(after(150)), ns(after(180))),
        (ns(after(180)), ns(after(190))),
    ]
    assert live.n_gaps == 2
    assert said == ["link lost, trying again", "link is back"] * 2
    assert [at_ns for at_ns, _, _ in values(ledger, "P1")] == [
        ns(after(149)),
        ns(after(160)),
        ns(after(170)),
    ]


def test_a_subscription_that_the_server_ends_is_a_gap_though_the_connection_stands(
    plant: Plant, intake_of: OpenIntake, ledger: Ledger
) -> None:
    plant.send("P1", 3.0, after(250))
    plant.send("F1", 12.0, after(250))
    said: list[str] = []
    ended: list[None] = []

    def end(n_recorded: int) -> None:
        if n_recorded >= 2 and not ended:
            ended.append(None)
            plant.end_subscriptions()

    def say(text: str) -> None:
        said.append(text.rpartition(": ")[2])
        if len(said) == 2:
            plant.send("P1", 3.5, after(260))

    sink = Recorder(ledger, ns(after(1_000)), end)
    live = listen(
        settings(plant.url, watchdog_s=0.25),
        intake_of(TAGS, "opcua"),
        sink,
        lambda: ns(after(255)),
        say=say,
        is_done=sink.has(3),
    )
    assert live.n_gaps == 1
    assert said == ["link lost, trying again", "link is back"]


def secured(plant: Plant, trust: str) -> Security:
    return Security(plant.folder / "ours.der", plant.folder / "ours.pem", plant.folder / trust)


def test_a_signed_and_encrypted_link_reads_the_same(
    plant: Plant, intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    plant.send("P1", 3.0, after(200))
    sink = Recorder(ledger, now_ns)
    listen(
        settings(plant.url, security=secured(plant, "server.der")),
        intake_of(TAGS, "opcua"),
        sink,
        lambda: now_ns,
        is_done=sink.has(2),
    )
    assert [at_ns for at_ns, _, _ in values(ledger, "P1")] == [ns(after(200))]


def test_a_server_whose_certificate_is_not_trusted_is_refused_with_its_fingerprint(
    plant: Plant, intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    asked = settings(plant.url, security=secured(plant, "ours.der"))
    fingerprint = sha256((plant.folder / "server.der").read_bytes()).hexdigest()
    with pytest.raises(SourceLostError, match=rf"SHA-256 {fingerprint}\) is not in"):
        listen(asked, intake_of(TAGS), Recorder(ledger, now_ns), lambda: now_ns)
    assert ledger.height == 0


def test_a_link_is_open_only_where_someone_says_so() -> None:
    with pytest.raises(UnreadableError, match="give --certificate, --key and --trust; or say --in"):
        Security.of_files(Path("a"), Path("b"), None, is_insecure=False)
    assert Security.of_files(None, None, None, is_insecure=True) is None


def test_a_tag_that_the_server_does_not_have_refuses_all_and_records_nothing(
    plant: Plant, intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    tags = TAGS + "  - {tag: ns=2;s=NO, asset: n4, quantity: pressure, unit: m}\n"
    with pytest.raises(UnknownNodesError, match="has no 'ns=2;s=NO'; write each tag") as refused:
        listen(settings(plant.url), intake_of(tags), Recorder(ledger, now_ns), lambda: now_ns)
    assert refused.value.exit_code == 1
    assert ledger.height == 0


def test_a_server_that_does_not_answer_is_named_without_its_password(
    intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    asked = settings(f"opc.tcp://reader:secret@127.0.0.1:{port}")
    with pytest.raises(SourceLostError, match=rf"^opc\.tcp://127\.0\.0\.1:{port} cannot be read"):
        listen(asked, intake_of(TAGS), Recorder(ledger, now_ns), lambda: now_ns)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "opc.tcp://", "opc.tcp://a:b:c", "plant"])
def test_what_is_no_address_is_refused(
    url: str, intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    with pytest.raises(UnreadableError, match=r"write opc\.tcp://HOST:PORT"):
        listen(settings(url), intake_of(TAGS), Recorder(ledger, now_ns), lambda: now_ns)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (TAGS.replace("ns=2;s=P1", "P one"), "'P one' is no NodeId"),
        (TAGS.replace("ns=2;s=P1", "ns=2;s=F1"), "stands for two tags; keep one of them"),
    ],
)
def test_a_tag_that_is_no_node_of_its_own_is_refused(
    tags: str, words: str, intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    with pytest.raises(UnreadableError, match=words):
        listen(settings("opc.tcp://h:1"), intake_of(tags), Recorder(ledger, now_ns), lambda: now_ns)


def test_a_disk_that_fails_ends_the_listening_with_its_own_words(
    plant: Plant, intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    class Full(Recorder):
        def flush(self) -> None:
            raise StorageFailedError("blocks", "write", errno.ENOSPC)

    with pytest.raises(StorageFailedError, match="blocks"):
        listen(settings(plant.url), intake_of(TAGS), Full(ledger, now_ns), lambda: now_ns)


def test_readings_that_come_faster_than_they_are_stored_are_counted_by_tag_in_an_event(
    plant: Plant, intake_of: OpenIntake, ledger: Ledger, now_ns: int
) -> None:
    plant.send("P1", 3.0, after(300))
    plant.send("F1", 3.0, after(300))
    sink = Recorder(ledger, now_ns)
    live = listen(
        settings(plant.url, buffer_readings=1, block_s=0.2),
        intake_of(TAGS, "opcua"),
        sink,
        lambda: now_ns,
        is_done=lambda: sink.has(1)() and bool(list(ledger.events({EventKind.SOURCE_GAP}))),
    )
    [event] = [found.event for found in ledger.events({EventKind.SOURCE_GAP})]
    assert event.body == {"reason": "dropped", "dropped": {"ns=2;s=F1": 1}}
    assert dict(live.dropped) == {"ns=2;s=F1": 1}
    assert [series.tag for series in ledger.series()] == ["P1"]


@pytest.mark.parametrize(
    ("code", "quality"),
    [
        (ua.StatusCodes.Good, quality_code(Status.GOOD)),
        (ua.StatusCodes.GoodLocalOverride, quality_code(Status.GOOD, Origin.MANUAL)),
        (ua.StatusCodes.UncertainLastUsableValue, quality_code(Status.UNCERTAIN)),
        (ua.StatusCodes.BadSensorFailure, quality_code(Status.BAD)),
        (0xC0000000, quality_code(Status.BAD)),  # OPC 10000-4, 7.39: treat 11 as bad
        (ua.StatusCodes.Good | 0x0480, quality_code(Status.GOOD)),  # with bits for overflow
    ],
)
def test_a_status_code_is_one_quality(code: int, quality: int) -> None:
    assert quality_of_status(code) == quality


def test_the_command_listens_for_as_long_as_it_is_told_and_prints_what_came_of_it(
    plant: Plant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(tmp_path / "home")]
    network = Path(__file__).parents[3] / "data" / "networks" / "cycle"
    assert run([*home, "import", str(network)]) == 0
    tags = tmp_path / "tags.yaml"
    tags.write_text("tags: [{tag: ns=2;s=P1, asset: A1, quantity: pressure, unit: bar}]")
    plant.send("P1", 3.0, after(400))
    capsys.readouterr()
    where = ["--network", "cycle", "--tags", str(tags), "--insecure", "--for", "2", "--json"]
    assert run([*home, "ingest", "opcua", plant.url, *where]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["recorded"], said["source_gaps"], said["dropped"]) == (1, 0, {})
    assert [block["n_readings"] for block in said["blocks"]] == [1]
    assert said["evaluations"] >= 1
