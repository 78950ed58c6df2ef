"""One connection: the Sans-I/O WebSocket protocol of ``websockets`` on an asyncio transport.

It carries bytes and keeps them in order; what they mean is ``station.Talk``'s business, who may come in and
when a reply may leave is ``server``'s.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Protocol, cast

from websockets.exceptions import NegotiationError
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from bridge.ocpp.frames import MAX_ID
from bridge.ocpp.station import Talk
from bridge.ocpp.tls import Certificate, certificate_of
from bridge.ocpp.visitor import plain_address

MAX_UNANSWERED = 8  # a charger that keeps to OCPP has one (1.6J section 4.1.1)
_HARD_FACTOR = 8  # a frame up to 8 times the cap is answered with an error, a bigger one closes with 1009
_HEAD_BYTES = MAX_ID + 1000
_CLOSE_TIMEOUT_S = 5.0
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_DEFLATE = ServerPerMessageDeflateFactory(compress_settings={"memLevel": 5})
_quiet = logging.getLogger("websockets.server")


class House(Protocol):
    """What a link asks of the server it belongs to."""

    def meet(self, link: Link) -> bool: ...
    def greet(self, link: Link, request: Request) -> Response | None: ...
    def welcome(self, link: Link) -> None: ...
    def take(self, link: Link, data: bytes, size: int) -> None: ...
    def lost(self, link: Link, reason: str) -> None: ...
    @property
    def is_full(self) -> bool: ...
    @property
    def read_buffer(self) -> memoryview: ...


class Link(asyncio.BufferedProtocol):
    """A socket. ``talk`` is set once the handshake has succeeded; ``is_waiting`` while its past is fetched; ``is_held``
    while nobody has decided about the station. ``raw`` is the transport below TLS while that is being agreed."""

    __slots__ = (  # there are thousands, and beyond thirty attributes Python gives each a dictionary of its own
        "_backlog", "_close_by", "_early", "_has_request", "_house", "_is_choked", "_is_paused", "_loop",
        "_max_bytes", "_parts", "_parts_size", "_transport", "_ws", "address", "answers_pings", "certificate",
        "frames", "heard_s", "is_held", "is_replaced", "is_tls", "is_waiting", "on_heard", "opened_s", "pinged_s",
        "raw", "security", "talk", "unanswered", "was_asked_to_boot",
    )  # fmt: skip

    def __init__(
        self,
        house: House,
        select: Callable[[ServerProtocol, Sequence[Subprotocol]], Subprotocol | None],
        max_frame_bytes: int,
        compression: bool,
    ) -> None:
        self._house = house
        self._loop = asyncio.get_running_loop()
        self._max_bytes = max_frame_bytes
        self._ws = ServerProtocol(
            extensions=[_DEFLATE] if compression else None,
            select_subprotocol=select,
            max_size=max_frame_bytes * _HARD_FACTOR,
            logger=_quiet,
        )
        self._transport: asyncio.Transport | None = None
        self._parts: bytearray | None = None  # of a message in fragments
        self._parts_size = 0
        self._backlog: list[tuple[bytes, int]] = []  # mostly empty: thousands of empty deques would be megabytes
        self._has_request = False
        self._is_paused = False
        self._is_choked = False  # the peer does not read what we write
        self._close_by: float | None = None
        self._early = b""
        self.raw: asyncio.Transport | None = None
        self.address = ""
        self.certificate: Certificate | None = None
        self.is_tls = False
        self.talk: Talk | None = None
        self.security = "none"
        self.is_held = False
        self.was_asked_to_boot = False
        self.on_heard: Callable[[], None] | None = None  # called once, with the next byte
        self.is_waiting = False
        self.is_replaced = False
        self.unanswered = 0
        self.opened_s = self.heard_s = self._loop.time()
        self.pinged_s: float | None = None
        self.answers_pings = False

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # another loop's need not be one by name
        peer = transport.get_extra_info("peername")
        self.address = plain_address(str(peer[0])) if peer else ""
        self._read_certificate(transport.get_extra_info("ssl_object"))
        if not self._house.meet(self):
            self._transport.abort()
        elif self._early:
            early, self._early = self._early, b""
            self._receive(early)

    def _read_certificate(self, tls: ssl.SSLObject | None) -> None:
        self.is_tls = tls is not None
        der = tls.getpeercert(binary_form=True) if tls is not None else None
        if der:
            try:
                self.certificate = certificate_of(der)
            except ValueError:  # signed by our CA and still unreadable: it names nobody
                self.certificate = Certificate((), "")

    def get_buffer(self, sizehint: int) -> memoryview:
        """All links read into one buffer, each at its time: the loop's own way takes 256 KiB anew for every read."""
        return self._house.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._house.read_buffer[:nbytes])
        if self._transport is None:  # it came with the end of the TLS handshake
            self._early += data
        else:
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        self.heard_s = self._loop.time()
        if self.on_heard is not None:
            heard, self.on_heard = self.on_heard, None
            heard()
        ws = self._ws
        ws.receive_data(data)
        for event in ws.events_received():
            if isinstance(event, Frame):
                self._frame(event)
            elif isinstance(event, Request):
                self._greet(event)
        if ws.handshake_exc is not None and not self._has_request and self._transport is not None:
            self._has_request = True
            self._transport.write(_BAD_REQUEST)
        self.write()

    def eof_received(self) -> bool:
        self._ws.receive_eof()
        self.write()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.on_heard is not None:
            self.on_heard()  # nobody is: whoever waits need not wait on
        close = self._ws.close_rcvd or self._ws.close_sent
        reason = f"closed {close.code} {close.reason}".strip() if close else "connection lost"
        self._house.lost(self, reason)

    def give_up(self, reason: str) -> None:
        """It never came to a connection."""
        self._house.lost(self, reason)

    def pause_writing(self) -> None:
        self._is_choked = True
        self.throttle()

    def resume_writing(self) -> None:
        self._is_choked = False
        self.throttle()

    # for the server

    @property
    def is_open(self) -> bool:
        return self._ws.state is State.OPEN

    @property
    def is_shaking(self) -> bool:
        return self._ws.state is State.CONNECTING

    def queue_text(self, data: bytes) -> None:
        """Make ``data`` a text message; it leaves with the next ``write``."""
        if self._ws.state is State.OPEN:
            self._ws.send_text(data)

    def ping(self) -> None:
        if self._ws.state is State.OPEN:
            self._ws.send_ping(b"")
            self.pinged_s = self._loop.time()
            self.write()

    def keep_alive(self, interval_s: float, heartbeat_s: float) -> None:
        """A station that has answered pings is gone after two silent intervals; one that never did, or is not to be
        pinged (field quirk 14), only when it has missed its heartbeats as well."""
        now_s = self._loop.time()
        silent_s = now_s - self.heard_s
        if silent_s > (2 * interval_s if self.answers_pings else 2 * heartbeat_s + 2 * interval_s):
            self.close(1001, "no sign of life")
            self.abort()
        elif self.talk is None or not self.talk.policy.pings:
            return
        elif silent_s >= interval_s and now_s - (self.pinged_s or 0.0) >= interval_s:
            self.ping()

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; the peer has a few seconds for its part."""
        if self._ws.state is State.OPEN:
            self._ws.send_close(code, reason)
            self.write()
        elif self._ws.state is State.CONNECTING:
            self.abort()

    def abort(self) -> None:
        transport = self._transport or self.raw
        if transport is not None:
            transport.abort()

    def is_overdue(self, now_s: float) -> bool:
        """Has the peer had its time to close?"""
        return self._close_by is not None and now_s > self._close_by

    def release(self) -> None:
        """The past of the station is known: take what came meanwhile."""
        self.is_waiting = False
        self.throttle()

    def throttle(self) -> None:
        """Take what waits as far as it goes, then read on or let the kernel's buffer hold the peer back."""
        while self._backlog and not self._must_wait:
            self._house.take(self, *self._backlog.pop(0))
        should_pause = (
            self.unanswered > MAX_UNANSWERED
            or bool(self._backlog)
            or self._is_choked
            or (self.talk is not None and self._house.is_full)
        )
        if should_pause is self._is_paused or self._transport is None or self._transport.is_closing():
            return
        self._is_paused = should_pause
        if should_pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def write(self) -> None:
        """Send what the protocol has ready."""
        ws, transport = self._ws, self._transport
        if transport is None:
            return
        data = ws.data_to_send()
        if data:
            is_end = data[-1] == b""
            transport.write(b"".join(data))
            if is_end:
                self._end(transport)
        if self._close_by is None and ws.close_expected():
            self._close_by = self._loop.time() + _CLOSE_TIMEOUT_S

    # inside

    @property
    def _must_wait(self) -> bool:
        """One read may hold hundreds of messages: those beyond the limit wait here, not in the journal's queue."""
        return self.is_waiting or self.unanswered > MAX_UNANSWERED

    def _end(self, transport: asyncio.Transport) -> None:
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def _greet(self, request: Request) -> None:
        self._has_request = True
        response = self._house.greet(self, request)
        if response is not None:
            self.answer(response)
            request.headers.clear()  # the protocol keeps its request for ever
        elif self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()  # until it is decided; bounded by the time for a handshake

    def answer(self, response: Response) -> None:
        """End the handshake, at once or after a while."""
        if self._ws.state is not State.CONNECTING or self._transport is None:
            return
        self._ws.send_response(response)
        self.write()
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._house.welcome(self)
        self.throttle()

    async def answers(self, patience_s: float) -> bool:
        """Is anybody there? Pings and waits for any byte."""
        heard = asyncio.Event()
        self.on_heard = heard.set
        self.ping()
        try:
            async with asyncio.timeout(patience_s):
                await heard.wait()
        except TimeoutError:
            return False
        return self.is_open

    def accept(self, request: Request) -> Response:
        """The 101, or the response that says why not."""
        return self._ws.accept(request)

    def reject(self, status: HTTPStatus, text: str) -> Response:
        return self._ws.reject(status, text)

    @property
    def subprotocol(self) -> str | None:
        return self._ws.subprotocol

    def _frame(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY or opcode is Opcode.CONT:
            data = bytes(frame.data)
            if frame.fin and self._parts is None:
                self._message(data, len(data))
            else:
                self._gather(data, frame.fin)
        elif opcode is Opcode.PONG:
            self.answers_pings = True

    def _gather(self, data: bytes, is_last: bool) -> None:
        """Fragments, of which there may be a million of one byte; of a message above the cap only the head is kept."""
        parts = self._parts = bytearray() if self._parts is None else self._parts
        parts += data
        self._parts_size += len(data)
        if self._parts_size > self._max_bytes:
            del parts[_HEAD_BYTES:]
        if is_last:
            size, self._parts, self._parts_size = self._parts_size, None, 0
            self._message(bytes(parts), size)

    def _message(self, data: bytes, size: int) -> None:
        if self._backlog or self._must_wait:
            self._backlog.append((data, size))
            self.throttle()
        elif self.talk is not None:
            self._house.take(self, data, size)


def selector(speaks: Sequence[str]) -> Callable[[Any, Sequence[Subprotocol]], Subprotocol | None]:
    """Choose the newest of ``speaks`` (newest first) among what a charger offers. None offered is taken as 1.6
    (field quirk 1); none of ours offered is refused, as OCPP-J section 3.1.2 wants it."""

    def select(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        if not offered:
            return None
        by_name = {name.lower(): name for name in offered}
        for ours in speaks:
            if ours in by_name:
                return by_name[ours]
        raise NegotiationError(f"none of the offered subprotocols is spoken here; offer one of {', '.join(speaks)}")

    return select
