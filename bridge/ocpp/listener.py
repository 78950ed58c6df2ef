"""The listening socket: plain or TLS, with room for so many connections and no more.

TLS is begun here and not by ``create_server``, because asyncio keeps a failed handshake to itself, and a charger that
lacks our CA fails in silence (field quirk 9).
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import cast

import structlog
from prometheus_client import Counter as Metric

from bridge.ocpp.link import Link
from bridge.ocpp.tls import Tls, failure
from bridge.ocpp.visitor import Proxies, is_loopback, plain_address, side_of
from bridge.settings import Ocpp

_log = structlog.get_logger("ocpp")
_failures = Metric("chargewatch_ocpp_tls_failures", "TLS handshakes that failed, by reason.", ["reason"])
_turned_away = Metric("chargewatch_ocpp_turned_away", "Connections closed for want of room, by whose.", ["of"])

_QUIET_S = 60.0  # an address that fails is named once in so long
_MAX_ADDRESSES = 10_000
_OLD_SHAKE_S = 2.0  # a handshake as old as this makes room for a new one when there is none


class Listener:
    """``make_link`` makes the protocol of one connection. ``on_failure(address, reason, advice)`` is told of failed TLS
    handshakes, once in a while for each address."""

    def __init__(
        self,
        settings: Ocpp,
        proxies: Proxies,
        make_link: Callable[[], Link],
        on_failure: Callable[[str, str, str], None],
    ) -> None:
        self._settings = settings
        self._proxies = proxies
        self._make_link = make_link
        self._on_failure = on_failure
        self._tls: Tls | None = None
        self._server: asyncio.Server | None = None
        self._open: dict[Link, str] = {}  # and the address each is counted for
        self._of_address: Counter[str] = Counter()
        self.failed = FailedHandshakes()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises OSError when the address is taken, ssl.SSLError when the certificate cannot be read."""
        self._loop = asyncio.get_running_loop()
        settings = self._settings
        if settings.tls_certificate is not None:
            self._tls = Tls(settings)
        factory = self._new_link if self._tls is None else self._new_porch
        self._server = await self._loop.create_server(factory, settings.host, settings.port, backlog=4096)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def stop(self) -> None:
        """End the handshakes that are still under way."""
        for task in list(self._tasks):
            task.cancel()

    def refresh(self) -> None:
        """Take certificates anew whose files have changed."""
        if self._tls is not None:
            self._tls.refresh()

    # counting

    def meet(self, link: Link, address: str) -> bool:
        """Count a connection for an address: its peer's, or the one a trusted proxy names. Is there room?"""
        self._forget(link)
        if len(self._open) >= self._settings.max_connections and not self._make_room():
            _turned_away.labels("all").inc()
            return False
        side = side_of(address)
        if self._of_address[side] >= self._settings.max_connections_per_address and self._is_counted(address):
            _turned_away.labels("address").inc()
            return False
        self._open[link] = side
        self._of_address[side] += 1
        return True

    def lost(self, link: Link) -> None:
        self._forget(link)

    def _forget(self, link: Link) -> None:
        address = self._open.pop(link, None)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def _is_counted(self, address: str) -> bool:
        return not is_loopback(address) and not self._proxies.trusts(address)

    def _make_room(self) -> bool:
        """The oldest handshake that is not through goes, so that slow ones cannot keep everybody out."""
        now_s = self._loop.time()
        for link in self._open:
            if link.is_shaking and now_s - link.opened_s > _OLD_SHAKE_S:
                self._forget(link)
                link.abort()
                return True
        return False

    # TLS

    def _new_link(self) -> Link:
        return self._make_link()

    def _new_porch(self) -> Porch:
        return Porch(self._begin)

    def _begin(self, transport: asyncio.Transport) -> None:
        peer = transport.get_extra_info("peername")
        address = plain_address(str(peer[0])) if peer else ""
        link = self._make_link()
        if not self.meet(link, address):
            transport.abort()
            return
        link.raw = transport
        task = self._loop.create_task(self._secure(transport, link, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _secure(self, transport: asyncio.Transport, link: Link, address: str) -> None:
        assert self._tls is not None
        timeout_s = self._settings.handshake_timeout_s
        try:
            secured = await self._loop.start_tls(
                transport, link, self._tls.context, server_side=True, ssl_handshake_timeout=timeout_s
            )
        except OSError as error:  # ssl.SSLError and every kind of closed connection
            link.give_up("no TLS")
            transport.abort()
            self._note(address, error)
            return
        if secured is None or secured.is_closing():
            link.give_up("connection lost")
            return
        link.connection_made(secured)

    def _note(self, address: str, error: OSError) -> None:
        reason, advice = failure(error)
        _failures.labels(reason).inc()
        if self.failed.count(address, self._loop.time()):
            times = self.failed.by_address[address]
            _log.warning("TLS handshake failed", address=address, reason=reason, advice=advice, times=times)
            self._on_failure(address, reason, advice)


class FailedHandshakes:
    """How often each address failed, bounded."""

    def __init__(self) -> None:
        self.by_address: OrderedDict[str, int] = OrderedDict()
        self._told: dict[str, float] = {}

    def count(self, address: str, now_s: float) -> bool:
        """One more. Is it time to say so?"""
        self.by_address[address] = self.by_address.pop(address, 0) + 1
        if len(self.by_address) > _MAX_ADDRESSES:
            self._told.pop(self.by_address.popitem(last=False)[0], None)
        if now_s - self._told.get(address, -_QUIET_S) < _QUIET_S:
            return False
        self._told[address] = now_s
        return True


class Porch(asyncio.Protocol):
    """A socket before its TLS handshake: it is not read until that begins."""

    def __init__(self, begin: Callable[[asyncio.Transport], None]) -> None:
        self._begin = begin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raw = cast(asyncio.Transport, transport)
        raw.pause_reading()
        self._begin(raw)
