"""The one door to OPC UA: subscribes to a server and records what it sends. It never writes to one.

Readings are held in a bounded buffer and become durable once a second, or when 10,000 are there.
A link that breaks is built up again; the silence is one event, and what the server's history holds
of it is read in. A value in the buffer when the process is killed is lost to us unless the server
keeps history: OPC UA acknowledges a notification when it arrives, not when it is on disk.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState
from asyncua.common.subscription import (
    DataChangeEvent,
    OverflowPolicy,
    StatusChangeEvent,
    Subscription,
)
from asyncua.common.utils import ServiceError
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.observer import Observer
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors._base import UaError, UaStatusCodeError

from twin.errors import RefusedError, TwinError, UnreadableError
from twin.events import Event
from twin.ingest.deliveries import Delivery, named
from twin.ingest.live import Arrival, Buffer, dropped_readings, lost_link
from twin.ingest.times import MAX_NS, MIN_NS
from twin.instants import NS_PER_S, Clock, datetime_to_ns, ns_to_datetime
from twin.readings import Origin, Status, quality_code
from twin.tags import Intake

APPLICATION_URI = "urn:watercourse:twin"
"""The name that our certificate must carry as its URI."""

_LOST = (ConnectionError, OSError, TimeoutError, ServiceError, UaError)
_QUEUE = 20_000  # notifications that the library holds at least: two of its largest messages
_SEVERITY = 30  # the two highest bits of a StatusCode
_SUBCODE = 0xFFFF0000
_OVERFLOW = 0x0480  # "these are bits of a data value", and "some before it were dropped"
_ORIGINS = {
    int(StatusCodes.GoodLocalOverride) & _SUBCODE: Origin.MANUAL,
    int(StatusCodes.UncertainSubstituteValue) & _SUBCODE: Origin.SUBSTITUTED,
}


class SourceLostError(TwinError):
    """A source does not answer, or refuses us.

    Attributes:
        url: Its address, without credentials.
        reason: What was said.
    """

    code = "SOURCE_LOST"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.url} cannot be read: {self.reason}; check address, network and access"


class UnknownNodesError(RefusedError):
    """A server does not have some nodes of the tag map; nothing was recorded.

    Attributes:
        url: The server, without credentials.
        nodes: Their NodeIds, as written.
    """

    code = "UNKNOWN_NODES"

    def __init__(self, url: str, nodes: tuple[str, ...]) -> None:
        super().__init__(url, nodes)
        self.url = url
        self.nodes = nodes

    def __str__(self) -> str:
        return (
            f"{self.url} has no {named(self.nodes)}; write each tag (or its `node`) as the server "
            "names it, such as ns=2;s=P1; nothing was recorded"
        )


@dataclass(frozen=True, slots=True)
class Security:
    """How a link is protected: Basic256Sha256, signed and encrypted.

    Attributes:
        certificate: Our certificate; it carries `APPLICATION_URI`.
        key: Its private key.
        trust: The server's certificate, or a folder of such.
    """

    certificate: Path
    key: Path
    trust: Path

    @staticmethod
    def of_files(
        certificate: Path | None, key: Path | None, trust: Path | None, *, is_insecure: bool
    ) -> Security | None:
        """Return the protection that was asked for, None where it was given up in so many words.

        Raises:
            UnreadableError: Files are missing, and nobody said that the link may be open.
        """
        if is_insecure:
            return None
        if certificate is None or key is None or trust is None:
            raise UnreadableError(
                "an OPC UA link is signed and encrypted: give --certificate, --key and --trust; "
                "or say --insecure where anyone on the network may read and forge the readings"
            )
        return Security(certificate, key, trust)


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """How a server is listened to.

    Attributes:
        url: `opc.tcp://HOST:PORT/…`.
        network: Name of the network that its readings belong to.
        security: How the link is protected, None for not at all.
        run_for_s: When to stop by itself [s], None for never.
        block_s: Readings become durable after so long [s] …
        block_readings: … or when so many are there.
        buffer_readings: How many are held at most; what comes then is dropped and counted.
        publishing_ms: How often the server reports [ms].
        item_queue: How many values of one node the server holds between two reports.
        watchdog_s: How often a quiet link is tried [s].
        timeout_s: How long a request may take [s].
        chunk: How many nodes are subscribed to in one request.
        history_values: How many values of a node are read to fill a gap.
    """

    url: str
    network: str
    security: Security | None
    run_for_s: float | None = None
    block_s: float = 1.0
    block_readings: int = 10_000
    buffer_readings: int = 200_000
    publishing_ms: float = 250.0
    item_queue: int = 16
    watchdog_s: float = 15.0
    timeout_s: float = 10.0
    chunk: int = 1_000
    history_values: int = 10_000

    @property
    def source(self) -> str:
        """The address without user and password."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class Sink(Protocol):
    """Where readings become durable."""

    def take(self, delivery: Delivery) -> None:
        """Queue readings."""

    def flush(self) -> None:
        """Make them durable."""

    def note(self, events: Sequence[Event]) -> None:
        """Record events."""


@dataclass(slots=True)
class LiveReport:
    """What happened while listening.

    Attributes:
        n_gaps: How often the link was lost.
        dropped: Readings that were dropped, by tag: by us, or at least so many by the server.
    """

    n_gaps: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


def listen(  # noqa: PLR0913 - the neighbours of one door
    settings: LiveSettings,
    intake: Intake,
    sink: Sink,
    clock: Clock,
    *,
    say: Callable[[str], None] = lambda _: None,
    is_done: Callable[[], bool] = lambda: False,
) -> LiveReport:
    """Record what a server sends until the time is over or the process is interrupted.

    Args:
        settings: Which server, and how.
        intake: What its nodes mean.
        sink: Where readings become durable; it is called from one thread of its own.
        clock: Tells when a link was lost.
        say: Told once when the link is lost, and once when it is back.
        is_done: Asked after each block whether it is enough.

    Raises:
        SourceLostError: The server does not answer, or refuses us, at the beginning.
        UnknownNodesError: It does not have the nodes of the tag map.
    """
    return asyncio.run(_Listener(settings, intake, sink, clock, say, is_done).run())


class _Listener(Observer):
    """One subscription, from connecting to the last block."""

    def __init__(  # noqa: PLR0913, PLR0917 - what `listen` was given
        self,
        settings: LiveSettings,
        intake: Intake,
        sink: Sink,
        clock: Clock,
        say: Callable[[str], None],
        is_done: Callable[[], bool],
    ) -> None:
        self._is_done = is_done
        self._settings = settings
        self._sink = sink
        self._clock = clock
        self._say = say
        self._nodes = intake.node
        self._place = _places(settings, intake.node)
        self._tags = [series.tag for series in intake.series]
        self._buffer = Buffer(intake, settings.buffer_readings)
        self._report = LiveReport()
        self._events: list[Event] = []
        self._heard_ns = clock()
        self._lost_ns: int | None = None
        self._is_broken = False
        self._wakes = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # What the library tells us.

    def on_state_change(self, state: UaClientState) -> None:
        """Note when the link is lost, and when it is back."""
        now_ns = self._clock()
        if state is UaClientState.RECONNECTING and self._lost_ns is None:
            # It was whole when it last spoke, or was last tried.
            tried_s = self._settings.watchdog_s + self._settings.timeout_s
            self._lost_ns = max(self._heard_ns, now_ns - int(tried_s * NS_PER_S))
            self._say(f"{self._settings.source}: link lost, trying again")
        elif state is UaClientState.CONNECTED and self._lost_ns is not None:
            from_ns = self._lost_ns
            self._end_gap(now_ns, is_back=True)
            self._say(f"{self._settings.source}: link is back")
            self._start(self._fill(from_ns, now_ns))

    def on_notification(self, subscription_id: int | None, event_count: int) -> None:
        """Note that the link is alive."""
        del subscription_id, event_count
        self._heard_ns = self._clock()

    # The life of the link.

    async def run(self) -> LiveReport:
        """Listen, and return what happened."""
        client = _client(self._settings, self)
        with ThreadPoolExecutor(1, thread_name_prefix="record") as thread:
            try:
                subscription = await self._open(client)
                await self._listen(client, subscription, thread)
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await client.disconnect()
        return self._report

    async def _open(self, client: Client) -> Subscription:
        try:
            if self._settings.security is not None:
                await _secure(client, self._settings)
            await client.connect(auto_reconnect=True)
            return await self._subscribe(client)
        except _LOST as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise SourceLostError(self._settings.source, reason[:300]) from error

    async def _subscribe(self, client: Client) -> Subscription:
        """Subscribe to every node, in chunks; refuse where the server lacks one."""
        settings = self._settings
        # The buffer is where readings are dropped and counted. Should the library's own queue run
        # over, for all that it is emptied at once, the link is given up: a gap is an event too.
        subscription = await client.create_subscription(
            settings.publishing_ms,
            queue_maxsize=max(_QUEUE, 4 * len(self._nodes) * settings.item_queue),
            overflow=OverflowPolicy.DISCONNECT,
        )
        unknown: list[str] = []
        for start in range(0, len(self._nodes), settings.chunk):
            names = self._nodes[start : start + settings.chunk]
            found = await subscription.subscribe_data_change(
                [client.get_node(name) for name in names], queuesize=settings.item_queue
            )
            answers = zip(names, found, strict=True)
            unknown += [name for name, answer in answers if isinstance(answer, ua.StatusCode)]
        if unknown:
            raise UnknownNodesError(settings.source, tuple(unknown))
        return subscription

    async def _listen(
        self, client: Client, subscription: Subscription, thread: ThreadPoolExecutor
    ) -> None:
        """Make readings durable at intervals, until the time is over or someone stops us."""
        self._client = client
        loop = asyncio.get_running_loop()
        run_for_s = self._settings.run_for_s
        ends_at = math.inf if run_for_s is None else loop.time() + run_for_s
        self._start(self._receive(subscription))
        try:
            while loop.time() < ends_at and not self._is_done():
                await self._rest(min(self._settings.block_s, ends_at - loop.time()))
                await self._store(thread)
        finally:
            if self._lost_ns is not None:
                self._end_gap(self._clock(), is_back=False)
            if not self._is_broken:
                await self._store(thread)

    async def _rest(self, seconds: float) -> None:
        """Wait for a while, or until a block is full or a task has ended."""
        self._wakes.clear()
        if len(self._buffer) < self._settings.block_readings:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wakes.wait(), max(0.0, seconds))
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            await task  # raises what the task raised: a bug of ours

    async def _store(self, thread: ThreadPoolExecutor) -> None:
        """Make durable what is held, in a thread of its own, so that the link stays alive."""
        dropped = self._buffer.take_drops()
        if dropped:
            self._report.dropped += dropped
            event = dropped_readings(
                self._settings.network, self._settings.source, self._clock(), dropped
            )
            self._events.append(event)
        if self._buffer.is_empty and not self._events:
            return
        delivery, events = self._buffer.take(), self._events
        self._events = []
        work = partial(_make_durable, self._sink, delivery, events)
        try:
            await asyncio.get_running_loop().run_in_executor(thread, work)
        except Exception:
            self._is_broken = True
            raise

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda _: self._wakes.set())
        self._tasks.add(task)

    # What comes in.

    async def _receive(self, subscription: Subscription) -> None:
        async for event in subscription:
            if isinstance(event, DataChangeEvent):
                self._put(self._place[event.node.nodeid], event.data.monitored_item.Value)
            elif isinstance(event, StatusChangeEvent):
                self._say(f"{self._settings.source}: {event.notification.Status}")
            if len(self._buffer) >= self._settings.block_readings:
                self._wakes.set()

    def _put(self, place: int, value: ua.DataValue) -> None:
        """Hold one value, or say why it cannot be held."""
        tag = self._tags[place]
        code = 0 if value.StatusCode is None else int(value.StatusCode.value)
        if code & _OVERFLOW == _OVERFLOW:
            self._buffer.dropped[tag] += 1  # at least one: the server does not say how many
        raw = _number(value)
        at_ns = _source_ns(value)
        if raw is None:
            message = "the node holds no single number; map another node"
            self._buffer.reject("value-unreadable", tag, message)
        elif at_ns is None:
            message = "the value has no usable time; let the source give its timestamps"
            self._buffer.reject("time-missing", tag, message)
        else:
            self._buffer.put(Arrival(place, at_ns, raw, quality_of_status(code)))

    # What was missed.

    def _end_gap(self, to_ns: int, *, is_back: bool) -> None:
        assert self._lost_ns is not None
        settings = self._settings
        gap = lost_link(settings.network, settings.source, self._lost_ns, to_ns, is_back=is_back)
        self._events.append(gap)
        self._report.n_gaps += 1
        self._lost_ns = None

    async def _fill(self, from_ns: int, to_ns: int) -> None:
        """Read what the server's history holds of a gap; many servers keep none."""
        for name, place in zip(self._nodes, self._place.values(), strict=True):
            try:
                values = await self._client.get_node(name).read_raw_history(
                    ns_to_datetime(from_ns),
                    ns_to_datetime(to_ns),
                    numvalues=self._settings.history_values,
                    return_bounds=False,
                )
            except UaStatusCodeError:
                continue  # this node has no history
            except _LOST:
                return  # lost again: that is the next gap
            for value in values:
                self._put(place, value)
            while len(self._buffer) >= self._settings.block_readings:
                self._wakes.set()
                await asyncio.sleep(self._settings.block_s / 10)


def _make_durable(sink: Sink, delivery: Delivery, events: Sequence[Event]) -> None:
    sink.take(delivery)
    sink.flush()
    sink.note(events)


def _client(settings: LiveSettings, observer: Observer) -> Client:
    """Return a client that is not connected yet.

    Raises:
        UnreadableError: The address is none.
    """
    parts = urlsplit(settings.url)
    try:
        is_address = parts.scheme == "opc.tcp" and bool(parts.hostname) and bool(parts.port)
    except ValueError:
        is_address = False
    if not is_address:
        raise UnreadableError(f"{settings.source!r} is no address; write opc.tcp://HOST:PORT")
    logging.getLogger("asyncua").addHandler(logging.NullHandler())  # we say what matters once
    client = Client(
        settings.url,
        timeout=settings.timeout_s,
        watchdog_intervall=settings.watchdog_s,
        auto_reconnect=True,
    )
    client.name = client.description = "Watercourse"
    client.application_uri = APPLICATION_URI
    client.uaclient.observer = observer
    return client


async def _secure(client: Client, settings: LiveSettings) -> None:
    """Prepare a signed and encrypted link to a server whose certificate is trusted."""
    security = settings.security
    assert security is not None
    trusted = _trusted(security.trust)
    policy, mode = SecurityPolicyBasic256Sha256, ua.MessageSecurityMode.SignAndEncrypt
    endpoints = await client.connect_and_get_server_endpoints()
    offered = client.find_endpoint(endpoints, mode, policy.URI).ServerCertificate
    fingerprint = sha256(offered).hexdigest()
    if fingerprint not in trusted:
        reason = (
            f"its certificate (SHA-256 {fingerprint}) is not in {security.trust}; "
            "compare it with the server's, then put it there"
        )
        raise SourceLostError(settings.source, reason)
    client.certificate_validator = CertificateValidator(
        CertificateValidatorOptions.TIME_RANGE | CertificateValidatorOptions.PEER_SERVER
    ).validate
    try:
        await client.set_security(
            policy, security.certificate, security.key, None, str(trusted[fingerprint]), mode
        )
    except ValueError as error:
        raise UnreadableError(f"{security.certificate} or {security.key}: {error}") from error


def _trusted(place: Path) -> dict[str, Path]:
    """Return the files of trusted certificates by the SHA-256 of what they hold."""
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    found = {}
    for file in files:
        content = file.read_bytes()
        if content.startswith(b"-----BEGIN CERTIFICATE"):
            content = ssl.PEM_cert_to_DER_cert(content.decode("ascii"))
        found[sha256(content).hexdigest()] = file
    return found


def _places(settings: LiveSettings, nodes: Sequence[str]) -> dict[ua.NodeId, int]:
    """Return which series each node is of, in their order.

    Raises:
        UnreadableError: A node is spelled wrongly, or stands for two tags.
    """
    places: dict[ua.NodeId, int] = {}
    for i, name in enumerate(nodes):
        try:
            node_id = ua.NodeId.from_string(name)
        except UaError as error:
            message = f"{name!r} is no NodeId of {settings.source}; write it like ns=2;s=P1"
            raise UnreadableError(message) from error
        if node_id in places:
            raise UnreadableError(f"node {name!r} stands for two tags; keep one of them")
        places[node_id] = i
    return places


def _number(value: ua.DataValue) -> float | None:
    """Return the number in a value, NaN where it holds nothing, None where it is no number."""
    held = None if value.Value is None else value.Value.Value
    if held is None:
        return math.nan
    return float(held) if isinstance(held, bool | int | float) else None


def _source_ns(value: ua.DataValue) -> int | None:
    """Return the source's time of a value, else the server's, None where neither can be held."""
    moment = value.SourceTimestamp or value.ServerTimestamp
    if moment is None:
        return None
    at_ns = datetime_to_ns(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return at_ns if MIN_NS <= at_ns <= MAX_NS else None


def quality_of_status(code: int) -> int:
    """Return the quality byte of a StatusCode.

    Source:
        OPC 10000-4, 7.39: severity in the two highest bits, where 11 counts as bad.
    """
    status = (Status.GOOD, Status.UNCERTAIN, Status.BAD, Status.BAD)[(code >> _SEVERITY) & 3]
    return quality_code(status, _ORIGINS.get(code & _SUBCODE, Origin.MEASURED))
