"""The OCPP server: listens, lets stations in, and sends a reply when the journal has what it acknowledges.

Everything happens on one asyncio loop, without a task or an executor per message. ``flush`` is what moves the
replies; the wiring calls it after each commit of the journal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import structlog
from prometheus_client import Gauge
from websockets.datastructures import MultipleValuesError
from websockets.http11 import Request, Response

from bridge.access import Entry
from bridge.command_bus import Answer, CommandOutcome
from bridge.command_bus import Request as CommandRequest
from bridge.compose import CannotCompose, compose
from bridge.events import AnyEvent, StationConnected, StationDisconnected, utc_now
from bridge.intake import Intake
from bridge.journal import JournalError
from bridge.ocpp import v16, v21, v201
from bridge.ocpp.commands import CallOutcome, Calls
from bridge.ocpp.errands import Errands
from bridge.ocpp.link import MAX_UNANSWERED, Link, selector
from bridge.ocpp.security import DoorBrake, admit_with_key, basic_key, station_of
from bridge.ocpp.station import Talk
from bridge.ocpp.tls import FailedHandshakes, shaking, tls_context
from bridge.ocpp.versions import Version
from bridge.ocpp.ways import Ways
from bridge.policies import Policy, load_quirks
from bridge.settings import Ocpp, Stations, Unknown

_log = structlog.get_logger("ocpp")
_connected = Gauge("chargewatch_ocpp_connections", "Stations connected over OCPP.")

VERSIONS: tuple[Version, ...] = (v21.VERSION, v201.VERSION, v16.VERSION)  # newest first
_BY_PROTOCOL = {version.protocol: version for version in VERSIONS}
_SECURITY_RANK = {"none": 0, "basic": 1}
_READ_BYTES = 16_384  # of one link at a time: what a flood from one may hold the others up
_UNAUTHORISED = "Unknown station, or wrong key.\n"


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
    ) -> None:
        self._settings = settings
        self._policy = Unknown(stations.unknown)
        self._pepper = pepper
        self._intake = intake
        self._adopt = adopt
        self._select = selector([version.protocol for version in VERSIONS])
        self._brake = DoorBrake()
        self._links: set[Link] = set()
        self._by_station: dict[str, Link] = {}
        self._calls: dict[Link, Calls] = {}
        self._doors: dict[Link, tuple[str, bytes | None]] = {}  # as whom and with which key a link came
        self._replies: deque[tuple[int, Link, bytes, bool]] = deque()  # seq, link, frame, is it an answer
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed_handshakes = FailedHandshakes()
        self._ways = Ways(intake, load_quirks(settings.quirks))
        self._errands = Errands(self, intake.book.stations.get)
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_throttled = False
        self._has_failed = False
        self.has_signer = False  # set by the wiring that gives an errand which signs certificates
        self.messages = 0
        self.read_buffer = memoryview(bytearray(_READ_BYTES))

    # life

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken, ssl.SSLError when the certificate cannot be read."""
        self._loop = asyncio.get_running_loop()
        settings = self._settings
        door = shaking(self._link, tls_context(settings), settings.handshake_timeout_s, self.failed_handshakes)
        self._server = await self._loop.create_server(door, settings.host, settings.port, backlog=4096)
        self._sweep()

    @property
    def port(self) -> int:
        """The port we listen on; the system's choice when the setting is 0."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> dict[str, Link]:
        """Stations whose socket we hold."""
        return self._by_station

    async def stop(self, grace_s: float) -> None:
        """Answer what waits for the disk, close all sockets with 1001, and wait at most ``grace_s``."""
        if self._server is not None:
            self._server.close()
        deadline = self._loop.time() + grace_s
        await self._until(lambda: not self._replies, deadline - grace_s / 2)
        for link in list(self._links):
            link.close(1001, "the bridge stops")
        await self._until(lambda: not self._links, deadline)
        for link in list(self._links):
            link.abort()
        self._errands.stop()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await asyncio.sleep(0)  # lets the transports say goodbye

    def flush(self, committed: int) -> None:
        """Send every reply whose journal entry is durable. -1: the journal has failed, nothing more is answered."""
        if committed < 0:
            self._fail()
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
        link = self._by_station.get(station)
        protocol = link.talk.version.protocol if link is not None and link.talk is not None else ""
        try:
            action, payload = compose(
                protocol, request.action, request.payload, self._intake.directory.tokens
            )
        except CannotCompose as error:
            return Answer(id=request.id, outcome=CommandOutcome.INVALID, detail=str(error), path=error.path)
        done = await self.call(station, action, payload, min(request.timeout_s, self._settings.call_timeout_s))
        return Answer(
            id=request.id,
            outcome=done.outcome,
            payload=dict(done.payload),
            code=done.code,
            detail=done.detail,
            path=done.path,
        )

    # for the links

    @property
    def is_full(self) -> bool:
        return self._intake.journal.is_full

    def greet(self, link: Link, request: Request) -> Response:
        """Answer a handshake, or a plain GET."""
        headers = request.headers
        if "Upgrade" not in headers:
            if request.path.partition("?")[0] == "/healthz":
                return link.reject(HTTPStatus.OK, "ok\n")
            return link.reject(HTTPStatus.UPGRADE_REQUIRED, "This is an OCPP server: connect by WebSocket.\n")
        if "upgrade" not in ",".join(headers.get_all("Connection")).lower():
            if "Connection" in headers:
                del headers["Connection"]
            headers["Connection"] = "Upgrade"  # some forget it (field quirk 2)
        station = station_of(request.path)
        if station is None:
            return link.reject(HTTPStatus.NOT_FOUND, "Connect to /ocpp/<station> or /<station>.\n")
        return self._admit(link, request, station)

    def welcome(self, link: Link) -> None:
        """The handshake is through."""
        self._links.add(link)
        station = self._doors[link][0]
        old = self._by_station.get(station)
        self._by_station[station] = link
        if old is not None:  # its late close says nothing about the new one (field quirk 10)
            old.is_replaced = True
            old.close(1000, "replaced by a newer connection")
        _connected.set(len(self._by_station))
        self._meet(link, station)
        past = self._adopt(station)
        if past is None:
            self._announce(link, station)
        else:
            link.is_waiting = True
            task = self._loop.create_task(self._fetch_past(link, station, past))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def take(self, link: Link, data: bytes, size: int) -> None:
        """A whole message of a station."""
        talk = link.talk
        if talk is None or self._has_failed:
            return
        self.messages += 1
        received_at = utc_now()
        try:
            if size > len(data):
                seq, frame, asks = talk.handle_big(data, size, received_at)
            else:
                seq, frame, asks = talk.handle(data, received_at)
        except JournalError:
            self._fail()
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
        self._doors.pop(link, None)
        calls = self._calls.pop(link, None)
        if calls is not None:
            calls.close()
        talk = link.talk
        if talk is None or self._by_station.get(talk.station) is not link:
            return
        del self._by_station[talk.station]
        _connected.set(len(self._by_station))
        known = self._intake.book.stations.get(talk.station)
        if not link.is_waiting or (known is not None and known.is_connected):
            now = utc_now()
            event = StationDisconnected(station=talk.station, at=now, received_at=now, reason=reason)
            self._wire(talk, event, "disconnect")

    # inside

    def _link(self) -> Link:
        settings = self._settings
        link = Link(self, self._select, settings.max_frame_bytes, settings.compression)
        self._links.add(link)
        return link

    def _admit(self, link: Link, request: Request, station: str) -> Response:
        try:
            key = basic_key(request.headers.get("Authorization"))
        except MultipleValuesError:
            key = None
        now_s = self._loop.time()
        admission = admit_with_key(self._intake.directory, self._policy, self._pepper, station, key)
        is_braked = self._brake.is_on(link.address, admission.station, now_s)
        old = self._by_station.get(admission.station)
        is_weaker = old is not None and _SECURITY_RANK[admission.security] < _SECURITY_RANK[old.security]
        if admission.entry is Entry.REFUSED or is_braked or is_weaker:
            self._brake.failed(link.address, admission.station, now_s)
            _log.warning("station refused", station=station, address=link.address, cause=admission.cause)
            response = link.reject(HTTPStatus.UNAUTHORIZED, _UNAUTHORISED)
            response.headers["WWW-Authenticate"] = 'Basic realm="ocpp", charset="UTF-8"'
            return response
        offers = "Sec-WebSocket-Protocol" in request.headers
        if not offers and self._ways.policy_of(admission.station).no_subprotocol == "refuse":
            return link.reject(HTTPStatus.BAD_REQUEST, f"Offer a subprotocol: {', '.join(_BY_PROTOCOL)}.\n")
        link.security = admission.security
        self._doors[link] = (admission.station, key)
        return link.accept(request)

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
            lambda: self._entry(link),
            settings.heartbeat_s,
            settings.max_frame_bytes,
            self.has_signer,
            self._ways,
        )

    def _entry(self, link: Link) -> Entry:
        """What the directory says now about a station that is already in."""
        station, key = self._doors.get(link, ("", None))
        return admit_with_key(self._intake.directory, self._policy, self._pepper, station, key).entry

    async def _until(self, is_done: Callable[[], bool], deadline_s: float) -> None:
        while not is_done() and self._loop.time() < deadline_s:  # noqa: ASYNC110 - only at the end of the process
            await asyncio.sleep(0.01)

    async def _fetch_past(self, link: Link, station: str, past: Awaitable[None]) -> None:
        try:
            await past
        except Exception:  # its past can be had later, its present cannot
            _log.exception("cannot fetch a station's past", station=station)
        if link in self._links and not link.is_replaced:
            self._announce(link, station)
            link.release()

    def _announce(self, link: Link, station: str) -> None:
        assert link.talk is not None
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
            self._fail()

    def _throttle_all(self) -> None:
        self._is_throttled = self.is_full
        for link in self._links:
            link.throttle()

    def _fail(self) -> None:
        """The disk does not take what we would acknowledge: stop before we say a thing that is not kept."""
        if self._has_failed:
            return
        self._has_failed = True
        self._replies.clear()
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.close(1011, "the journal failed")

    def _sweep(self) -> None:
        """Keep-alive and timeouts of all connections by one timer."""
        settings, now_s = self._settings, self._loop.time()
        self._ways.spread(link.talk for link in self._links)
        for link in list(self._links):
            if link.is_overdue(now_s) or (link.is_shaking and now_s - link.opened_s > settings.handshake_timeout_s):
                link.abort()
            elif link.is_open:
                link.keep_alive(settings.ping_interval_s, settings.heartbeat_s)
        every_s = max(0.05, min(5.0, settings.ping_interval_s / 4, settings.handshake_timeout_s / 4))
        self._sweeper = self._loop.call_later(every_s, self._sweep)
