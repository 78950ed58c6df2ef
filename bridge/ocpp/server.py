"""The OCPP server: listens, lets stations in, and sends a reply when the journal has what it acknowledges.

Everything happens on one asyncio loop, without a task or an executor per message. ``flush`` is what moves the
replies; the wiring calls it after each commit of the journal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import structlog
from prometheus_client import Gauge
from websockets.http11 import Request, Response

from bridge.command_bus import Answer, CommandOutcome
from bridge.command_bus import Request as CommandRequest
from bridge.compose import CannotCompose, compose
from bridge.events import AnyEvent, CertificateRequested, StationConnected, StationDisconnected, utc_now
from bridge.intake import Intake
from bridge.journal import JournalError
from bridge.ocpp import rotation, v16, v21, v201
from bridge.ocpp.commands import CallOutcome, Calls, in_portions
from bridge.ocpp.errands import Errand, Errands
from bridge.ocpp.ledger import Ledger
from bridge.ocpp.link import MAX_UNANSWERED, Link, selector
from bridge.ocpp.listener import FailedHandshakes
from bridge.ocpp.station import Talk
from bridge.ocpp.threshold import Guest, Threshold
from bridge.ocpp.versions import Version
from bridge.ocpp.ways import Ways
from bridge.policies import Policy, load_quirks
from bridge.portions import split
from bridge.settings import Ocpp, Stations

_log = structlog.get_logger("ocpp")
_connected = Gauge("chargewatch_ocpp_connections", "Stations connected over OCPP.")

VERSIONS: tuple[Version, ...] = (v21.VERSION, v201.VERSION, v16.VERSION)  # newest first
_BY_PROTOCOL = {version.protocol: version for version in VERSIONS}
_READ_BYTES = 16_384  # of one link at a time: what a flood from one may hold the others up


class OcppServer:
    """``pepper`` keys the HMAC over station keys. ``adopt(station)`` is asked at each connection: what it returns is
    awaited before the first frame is taken, and may fetch what another bridge knew; ``None`` when nobody did."""

    def __init__(
        self,
        settings: Ocpp,
        stations: Stations,
        pepper: bytes,
        intake: Intake,
        adopt: Callable[[str], Awaitable[None] | None] = lambda station: None,
        ledger: Ledger | None = None,
    ) -> None:
        self._settings = settings
        self._pepper = pepper
        self._intake = intake
        self._adopt = adopt
        self._select = selector([version.protocol for version in VERSIONS])
        self.ledger = ledger or Ledger(None, stations)
        self._threshold = Threshold(settings, stations, pepper, intake, self.ledger, self)
        self._links: set[Link] = set()
        self._by_station: dict[str, Link] = {}
        self._calls: dict[Link, Calls] = {}
        self._replies: deque[tuple[int, Link, bytes, bool]] = deque()  # seq, link, frame, is it an answer
        self._tasks: set[asyncio.Task[None]] = set()
        self._errands = Errands(self, intake.book.stations.get)
        self._ways = Ways(intake, load_quirks(settings.quirks))
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_throttled = False
        self._has_failed = False
        self.has_signer = False
        self.messages = 0
        self.read_buffer = memoryview(bytearray(_READ_BYTES))

    # life

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken, ssl.SSLError when the certificate cannot be read."""
        self._loop = asyncio.get_running_loop()
        await self._threshold.listener.start()
        self._sweep()

    @property
    def port(self) -> int:
        """The port we listen on; the system's choice when the setting is 0."""
        return self._threshold.listener.port

    @property
    def connections(self) -> dict[str, Link]:
        """Stations whose socket we hold."""
        return self._by_station

    @property
    def failed_handshakes(self) -> FailedHandshakes:
        """Of TLS, by address."""
        return self._threshold.listener.failed

    def is_open(self, link: Link) -> bool:
        return link in self._links

    @property
    def protocols(self) -> Sequence[str]:
        return list(_BY_PROTOCOL)

    def calls_of(self, link: Link) -> Calls | None:
        return self._calls.get(link)

    def sign_by(self, signer: Errand) -> None:
        """Answer stations' certificate requests by this errand."""
        self._errands.teach(CertificateRequested, signer)
        self.has_signer = True

    def recheck(self) -> None:
        """The directory is a new one: act on what people have decided."""
        self._threshold.recheck()

    async def stop(self, grace_s: float) -> None:
        """Answer what waits for the disk, close all sockets with 1001, and wait at most ``grace_s``."""
        self._threshold.listener.close()
        deadline = self._loop.time() + grace_s
        await self._until(lambda: not self._replies, deadline - grace_s / 2)
        for link in list(self._links):
            link.close(1001, "the bridge stops")
        await self._until(lambda: not self._links, deadline)
        for link in list(self._links):
            link.abort()
        self._threshold.listener.stop()
        self._errands.stop()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await asyncio.sleep(0)  # lets the transports say goodbye

    def flush(self, committed: int) -> None:
        """Send every reply whose journal entry is durable. -1: the journal has failed, nothing more is answered."""
        if committed < 0:
            self.fail()
            return
        replies = self._replies
        touched: dict[Link, None] = {}
        while replies and replies[0][0] <= committed:
            _, link, frame, is_answer = replies.popleft()
            if frame:
                link.queue_text(frame)
            link.unanswered -= is_answer
            touched[link] = None
        for link in touched:
            link.write()
            link.throttle()
        if self._is_throttled and not self.is_full:
            self._throttle_all()

    # commands

    def holds(self, station: str) -> bool:
        """Is that station's socket here? Any thread."""
        return station in self._by_station

    async def call(self, station: str, action: str, payload: dict[str, object], timeout_s: float) -> CallOutcome:
        """Call a station by an action of its version and wait for the answer."""
        link = self._by_station.get(station)
        calls = None if link is None else self._calls.get(link)
        if calls is None:
            return CallOutcome(CommandOutcome.OFFLINE, detail=f"{station} is not connected here")
        if link is not None and link.talk is not None and link.talk.is_held:
            detail = f"{station} waits for approval; once approved it comes in with its next BootNotification"
            return CallOutcome(CommandOutcome.HELD, detail=detail)
        is_ready = calls.is_open
        done = await calls.call(action, payload, timeout_s)
        if is_ready and link is not None and link.talk is not None:
            self._notice(link.talk, done.outcome)
        return done

    def policy_of(self, station: str) -> Policy:
        """How that station is treated; for errands."""
        return self._ways.policy_of(station)

    async def execute(self, request: CommandRequest, station: str) -> Answer:
        """Carry out a request of the command bus."""
        if request.action == rotation.ACTION and station in self._by_station:
            return await rotation.rotate(request, station, self.ledger, self._pepper, self._intake, self._execute)
        return await self._execute(request, station)

    async def _execute(self, request: CommandRequest, station: str) -> Answer:
        link = self._by_station.get(station)
        protocol = link.talk.version.protocol if link is not None and link.talk is not None else ""
        try:
            action, payload = compose(
                protocol, request.action, request.payload, self._intake.directory.tokens
            )
        except CannotCompose as error:
            return Answer(id=request.id, outcome=CommandOutcome.INVALID, detail=str(error), path=error.path)
        done = await self._in_portions(station, action, payload, request.timeout_s)
        return Answer(
            id=request.id,
            outcome=done.outcome,
            payload=dict(done.payload),
            code=done.code,
            detail=done.detail,
            path=done.path,
        )

    async def _in_portions(
        self, station: str, action: str, payload: dict[str, object], timeout_s: float
    ) -> CallOutcome:
        """One call, or several where its list is longer than this station says that it takes."""
        known = self._intake.book.stations.get(station)
        portions = split(action, payload, known.items_per_call if known is not None else {})
        until_s = self._loop.time() + timeout_s

        async def send(portion: dict[str, object]) -> CallOutcome:
            left_s = max(0.0, until_s - self._loop.time())
            return await self.call(station, action, portion, min(left_s, self._settings.call_timeout_s))

        return await send(portions[0]) if len(portions) == 1 else await in_portions(action, portions, send)

    # for the links

    @property
    def is_full(self) -> bool:
        return self._intake.journal.is_full

    def meet(self, link: Link) -> bool:
        """A connection begins. Is there room for it?"""
        self._links.add(link)
        return self._threshold.listener.meet(link, link.address)

    def greet(self, link: Link, request: Request) -> Response | None:
        """Answer a handshake, or a plain GET; later, when the answer is None."""
        return self._threshold.greet(link, request)

    def welcome(self, link: Link) -> None:
        """The handshake is through."""
        self._links.add(link)
        station = self._threshold.station_of(link)
        old = self._by_station.get(station)
        self._by_station[station] = link
        if old is not None:  # its late close says nothing about the new one (field quirk 10)
            old.is_replaced = True
            old.close(1000, "replaced by a newer connection")
        _connected.set(len(self._by_station))
        self._meet(link, station)
        past = self._adopt(station)
        if past is None:
            self.announce(link, station)
        else:
            link.is_waiting = True
            task = self._loop.create_task(self._fetch_past(link, station, past))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def take(self, link: Link, data: bytes, size: int) -> None:
        """A whole message of a station."""
        talk = link.talk
        if talk is None or self._has_failed or self._threshold.is_too_much(link):
            return
        self.messages += 1
        received_at = utc_now()
        try:
            if size > len(data):
                seq, frame, asks = talk.handle_big(data, size, received_at)
            else:
                seq, frame, asks = talk.handle(data, received_at)
        except JournalError:
            self.fail()
            return
        self._replies.append((seq, link, frame, True))  # an answer of the station needs none, but takes its turn
        link.unanswered += 1
        if link.unanswered > MAX_UNANSWERED:
            link.throttle()
        if asks:
            self._errands.begin(talk.station, asks)
        if not self._is_throttled and self.is_full:
            self._throttle_all()

    def lost(self, link: Link, reason: str) -> None:
        """The socket is gone."""
        self._links.discard(link)
        self._threshold.lost(link)
        calls = self._calls.pop(link, None)
        if calls is not None:
            calls.close()
        talk = link.talk
        if talk is None or self._by_station.get(talk.station) is not link:
            return
        del self._by_station[talk.station]
        _connected.set(len(self._by_station))
        if link.is_held:
            return  # nobody knew that it was here
        known = self._intake.book.stations.get(talk.station)
        if not link.is_waiting or (known is not None and known.is_connected):
            now = utc_now()
            event = StationDisconnected(station=talk.station, at=now, received_at=now, reason=reason)
            self._wire(talk, event, "disconnect")

    # inside

    def make_link(self) -> Link:
        return Link(self, self._select, self._settings.max_frame_bytes, self._settings.compression)

    def _meet(self, link: Link, station: str) -> None:
        version = _BY_PROTOCOL[(link.subprotocol or v16.PROTOCOL).lower()]

        def send(action: str, frame: bytes) -> None:
            assert link.talk is not None
            seq = link.talk.sent(action, frame, utc_now())
            self._replies.append((seq, link, frame, False))

        calls = self._calls[link] = Calls(version.protocol, send)
        settings = self._settings
        link.talk = Talk(
            station,
            version,
            self._intake,
            calls,
            lambda: self._threshold.entry(link),
            settings.heartbeat_s,
            settings.max_frame_bytes,
            self.has_signer,
            self._ways,
            Guest(link, station, self.ledger, self.announce),
        )
        link.is_held = link.talk.is_stranger
        self._threshold.note(link)

    async def _until(self, is_done: Callable[[], bool], deadline_s: float) -> None:
        while not is_done() and self._loop.time() < deadline_s:  # noqa: ASYNC110 - only at the end of the process
            await asyncio.sleep(0.01)

    async def _fetch_past(self, link: Link, station: str, past: Awaitable[None]) -> None:
        try:
            await past
        except Exception:  # its past can be had later, its present cannot
            _log.exception("cannot fetch a station's past", station=station)
        if link in self._links and not link.is_replaced:
            self.announce(link, station)
            link.release()

    def announce(self, link: Link, station: str) -> None:
        assert link.talk is not None
        if link.is_held:
            return  # nobody knows it yet
        link.talk.learn()  # its past may have told its model
        now = utc_now()
        event = StationConnected(
            station=station,
            at=now,
            received_at=now,
            address=link.address,
            protocol=link.talk.version.protocol,
            security=link.security,
        )
        notes = () if link.subprotocol else ("no subprotocol offered: taken as OCPP 1.6",)
        self._wire(link.talk, event, "connect", *notes)

    def _notice(self, talk: Talk, outcome: CommandOutcome) -> None:
        """Heartbeats fine while every call times out?"""
        for event in self._ways.watches[talk.station].called(talk.station, outcome, utc_now()):
            self._wire(talk, event, "trait")

    def _wire(self, talk: Talk, event: AnyEvent, action: str, *notes: str) -> None:
        try:
            talk.wire(event, action, *notes)
        except JournalError:
            self.fail()

    def _throttle_all(self) -> None:
        self._is_throttled = self.is_full
        for link in self._links:
            link.throttle()

    def fail(self) -> None:
        """The disk does not take what we would acknowledge: stop before we say a thing that is not kept."""
        if self._has_failed:
            return
        self._has_failed = True
        self._replies.clear()
        self._threshold.listener.close()
        for link in list(self._links):
            link.close(1011, "the journal failed")

    def _sweep(self) -> None:
        """Keep-alive and timeouts of all connections by one timer."""
        self._threshold.listener.refresh()
        self._ways.spread(link.talk for link in self._links)
        settings, now_s = self._settings, self._loop.time()
        for link in list(self._links):
            if link.is_overdue(now_s) or (link.is_shaking and now_s - link.opened_s > settings.handshake_timeout_s):
                link.abort()
            elif link.is_open:
                link.keep_alive(settings.ping_interval_s, settings.heartbeat_s)
        every_s = max(0.05, min(5.0, settings.ping_interval_s / 4, settings.handshake_timeout_s / 4))
        self._sweeper = self._loop.call_later(every_s, self._sweep)
