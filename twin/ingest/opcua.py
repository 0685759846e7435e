"""The one door to OPC UA: subscribes to a server and records what it sends. It never writes to one.

Readings are held in a bounded buffer and become durable once a second, or when 10,000 are there.
A link that breaks is given up whole, and another takes its place: a client, a session and a
subscription of its own, for a subscription that a library carried over may be silent, or lack
values, without a word. The silence is one event that ends with the new subscription, and what the
server's history holds of it is read in. A value in the buffer when the process is killed is lost to
us unless the server keeps history: OPC UA acknowledges a notification when it arrives, not when it
is on disk.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState
from asyncua.common.subscription import (
    DataChangeEvent,
    OverflowPolicy,
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
from twin.instants import Clock, datetime_to_ns, ns_to_datetime
from twin.readings import Origin, Status, quality_code
from twin.tags import Intake

APPLICATION_URI = "urn:watercourse:twin"
"""The name that our certificate must carry as its URI."""

_LOST = (ConnectionError, OSError, TimeoutError, ServiceError, UaError)
_QUEUE = 20_000  # notifications that the library holds at least: two of its largest messages
_TRIES = 2  # a slow loop of ours may let one request run out of time; a lost link, each of them
_LONGEST_RETRY_S = 30.0
_SESSION_MS = 60_000
_NEVER_S = 86_400.0  # the library's own watchdog gives up a link at the first request: we try it
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
        watchdog_s: How often the link is tried, and the server speaks at least [s].
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


class _Link(Observer):
    """One connection with one subscription. Once it is lost, it never comes back.

    Attributes:
        client: The connection.
        heard_ns: When the server last answered about the subscription.
        n_heard: How often it did.
        is_lost: Whether the link is lost.
        lost_ns: Until when it was whole, if it is lost.
        silence_s: How long the server may be silent [s].
    """

    subscription: Subscription

    def __init__(self, settings: LiveSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lost = asyncio.Event()
        self._was_connected = False
        self._before_ns = self.heard_ns = self.lost_ns = clock()
        self.n_heard = 0
        self.silence_s = settings.watchdog_s
        self.client = _client(settings, self)

    @property
    def is_lost(self) -> bool:
        return self._lost.is_set()

    # What the library tells us.

    def on_state_change(self, state: UaClientState) -> None:
        """Note when the connection is lost."""
        if state is UaClientState.CONNECTED:
            self._was_connected = True
        elif self._was_connected:
            self.lose()

    def on_request(self, request_type: str, duration: float, error: BaseException | None) -> None:
        """Note that the subscription is alive: it has values, or says that there are none."""
        del duration
        if request_type == ua.PublishRequest.__name__ and error is None:
            self._before_ns, self.heard_ns = self.heard_ns, self._clock()
            self.n_heard += 1

    # Its life.

    def lose(self) -> None:
        """Give the link up."""
        if not self.is_lost:
            self.lost_ns = self.heard_ns
            self._lost.set()

    def _overflow(self) -> None:
        if not self.is_lost:
            self.lose()
            self.lost_ns = self._before_ns  # what was heard last is not held

    async def wait(self) -> None:
        """Return when the link is lost."""
        await self._lost.wait()

    async def open(self, nodes: Sequence[str]) -> None:
        """Connect, and subscribe to every node.

        Raises:
            SourceLostError: The server does not answer, or refuses us.
            UnknownNodesError: It lacks a node.
        """
        try:
            if self._settings.security is not None:
                await _secure(self.client, self._settings)
            await self.client.connect(auto_reconnect=False)
            await self._subscribe(nodes)
        except _LOST as error:
            await self.close()
            reason = " ".join(str(error).split()) or type(error).__name__
            raise SourceLostError(self._settings.source, reason[:300]) from error
        except BaseException:
            await self.close()
            raise
        self._before_ns = self.heard_ns = self._clock()

    async def _subscribe(self, nodes: Sequence[str]) -> None:
        """Subscribe to every node, in chunks; refuse where the server lacks one."""
        settings = self._settings
        # The buffer is where readings are dropped and counted. Should the library's own queue run
        # over, for all that it is emptied at once, the link is given up: a gap is an event too.
        self.subscription = Subscription(
            self.client.uaclient.session,
            _asked(settings),
            queue_maxsize=max(_QUEUE, 4 * len(nodes) * settings.item_queue),
            overflow=OverflowPolicy.DISCONNECT,
        )
        self.subscription.set_overflow_disconnect_handler(self._overflow)
        given = await self.subscription.init()
        self.silence_s = given.RevisedPublishingInterval * given.RevisedMaxKeepAliveCount / 1_000
        unknown: list[str] = []
        for start in range(0, len(nodes), settings.chunk):
            names = nodes[start : start + settings.chunk]
            found = await self.subscription.subscribe_data_change(
                [self.client.get_node(name) for name in names], queuesize=settings.item_queue
            )
            answers = zip(names, found, strict=True)
            unknown += [name for name, answer in answers if isinstance(answer, ua.StatusCode)]
        if unknown:
            raise UnknownNodesError(settings.source, tuple(unknown))

    async def watch(self, on_whole: Callable[[], None]) -> None:
        """Try the link at intervals; lose it where it, or its subscription, is dead.

        Silence is counted in answers that the server gave to something else meanwhile, not in
        time: while we are slow, nothing is counted.
        """
        interval_s = self._settings.watchdog_s
        allowed = _TRIES + math.ceil(self.silence_s / interval_s)
        n_silent = 0
        while n_silent < allowed:
            n_heard = self.n_heard
            await asyncio.sleep(interval_s)
            if not await self._answers():
                break
            n_silent = n_silent + 1 if self.n_heard == n_heard else 0
            on_whole()
        self.lose()

    async def _answers(self) -> bool:
        for _ in range(_TRIES):
            with suppress(*_LOST):
                await self.client.nodes.server_state.read_value()
                return True
        return False

    async def history(self, name: str, from_ns: int, to_ns: int) -> list[ua.DataValue]:
        """Return what the server kept of a node, nothing where it keeps none."""
        for _ in range(_TRIES):
            with suppress(*_LOST):
                try:
                    return await self.client.get_node(name).read_raw_history(
                        ns_to_datetime(from_ns),
                        ns_to_datetime(to_ns),
                        numvalues=self._settings.history_values,
                        return_bounds=False,
                    )
                except UaStatusCodeError:
                    break  # this node has no history
        return []

    async def close(self) -> None:
        """Give back what the server still holds for us, and end `subscription` after its last."""
        with suppress(*_LOST):
            await asyncio.wait_for(self.client.disconnect(), self._settings.timeout_s)
        self.client.disconnect_socket()
        if hasattr(self, "subscription"):
            with suppress(*_LOST):
                await self.subscription.delete()  # there is no session: this ends its iterator


class _Listener:
    """One link after another, from connecting to the last block."""

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
        self._lost_ns: int | None = None
        self._missed_ns: int | None = None  # from when on the history was not read in yet
        self._retry_s = 0.0
        self._is_broken = False
        self._wakes = asyncio.Event()

    # The life of the link.

    async def run(self) -> LiveReport:
        """Listen, and return what happened."""
        link = await self._open()
        with ThreadPoolExecutor(1, thread_name_prefix="record") as thread:
            keeping = asyncio.get_running_loop().create_task(self._keep(link))
            keeping.add_done_callback(lambda _: self._wakes.set())
            try:
                await self._listen(keeping, thread)
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
        return self._report

    async def _open(self) -> _Link:
        link = _Link(self._settings, self._clock)
        await link.open(self._nodes)
        return link

    async def _keep(self, link: _Link) -> None:
        """Receive over one link after another; between two of them is a gap."""
        while True:
            await self._use(link)
            link = await self._again()
            self._end_gap(link.heard_ns, is_back=True)
            self._say(f"{self._settings.source}: link is back")

    async def _use(self, link: _Link) -> None:
        """Receive over a link until it is lost, and take in all that it brought."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(link))
                others = [group.create_task(link.watch(self._forget_failures))]
                if self._missed_ns is not None:
                    fill = self._fill(link, self._missed_ns, link.heard_ns)
                    others.append(group.create_task(fill))
                await link.wait()
                self._begin_gap(link.lost_ns)
                for task in others:
                    task.cancel()
                await link.close()
        finally:
            await link.close()

    async def _again(self) -> _Link:
        """Build up another link: at once, then at growing intervals while they fail or break."""
        while True:
            await asyncio.sleep(self._retry_s)
            self._retry_s = min(max(1.0, 2 * self._retry_s), _LONGEST_RETRY_S)
            with suppress(SourceLostError, UnknownNodesError, UnreadableError):
                return await self._open()

    def _forget_failures(self) -> None:
        self._retry_s = 0.0

    async def _listen(self, keeping: asyncio.Task[None], thread: ThreadPoolExecutor) -> None:
        """Make readings durable at intervals, until the time is over or someone stops us."""
        loop = asyncio.get_running_loop()
        run_for_s = self._settings.run_for_s
        ends_at = math.inf if run_for_s is None else loop.time() + run_for_s
        try:
            while loop.time() < ends_at and not self._is_done():
                await self._rest(min(self._settings.block_s, ends_at - loop.time()))
                if keeping.done():
                    await keeping  # raises what it raised: a bug of ours
                await self._store(thread)
        finally:
            if self._lost_ns is not None:
                self._end_gap(self._clock(), is_back=False)
            if not self._is_broken:
                await self._store(thread)

    async def _rest(self, seconds: float) -> None:
        """Wait for a while, or until a block is full or the link cannot be kept."""
        self._wakes.clear()
        if len(self._buffer) < self._settings.block_readings:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wakes.wait(), max(0.0, seconds))

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

    # What comes in.

    async def _receive(self, link: _Link) -> None:
        async for event in link.subscription:
            if isinstance(event, DataChangeEvent):
                self._put(self._place[event.node.nodeid], event.data.monitored_item.Value)
            else:
                link.lose()  # the server ended the subscription, or handed it to someone else
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

    def _begin_gap(self, from_ns: int) -> None:
        self._lost_ns = from_ns
        if self._missed_ns is None:
            self._missed_ns = from_ns
        self._say(f"{self._settings.source}: link lost, trying again")

    def _end_gap(self, to_ns: int, *, is_back: bool) -> None:
        assert self._lost_ns is not None
        settings = self._settings
        gap = lost_link(settings.network, settings.source, self._lost_ns, to_ns, is_back=is_back)
        self._events.append(gap)
        self._report.n_gaps += 1
        self._lost_ns = None

    async def _fill(self, link: _Link, from_ns: int, to_ns: int) -> None:
        """Read what the server's history holds of a gap; many servers keep none.

        If this link is lost as well, the next one reads the whole of it.
        """
        for name, place in zip(self._nodes, self._place.values(), strict=True):
            for value in await link.history(name, from_ns, to_ns):
                self._put(place, value)
            while len(self._buffer) >= self._settings.block_readings:
                self._wakes.set()
                await asyncio.sleep(self._settings.block_s / 10)
            if link.is_lost:
                return
        self._missed_ns = None


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
        watchdog_intervall=_NEVER_S,
        auto_reconnect=False,
    )
    # A session that a broken link leaves behind is soon no burden to the server.
    client.session_timeout = max(_SESSION_MS, int(4_000 * settings.watchdog_s))
    client.name = client.description = "Watercourse"
    client.application_uri = APPLICATION_URI
    client.uaclient.observer = observer
    return client


def _asked(settings: LiveSettings) -> ua.CreateSubscriptionParameters:
    """Return what we ask of a subscription: a word as often as the link is tried.

    Source:
        OPC 10000-4, 5.14.2: the lifetime is at least three times the keep-alive.
    """
    n_quiet = max(1, int(1_000 * settings.watchdog_s / settings.publishing_ms))
    return ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=settings.publishing_ms,
        RequestedMaxKeepAliveCount=n_quiet,
        RequestedLifetimeCount=4 * n_quiet,
        MaxNotificationsPerPublish=10_000,
        PublishingEnabled=True,
    )


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
