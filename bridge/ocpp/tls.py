"""TLS towards chargers: the context, and a handshake that tells when it fails.

A charger that has our certificate's issuer not installed closes without a word of OCPP (field quirk 9). asyncio drops
such a handshake in silence; here its address and reason are logged and counted, so that the engineer sees why.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, cast

import structlog
from prometheus_client import Counter

from bridge.settings import Ocpp

_log = structlog.get_logger("ocpp")
_failures = Counter("chargewatch_ocpp_tls_failures", "TLS handshakes of chargers that failed.")
_MAX_ADDRESSES = 1_000


def tls_context(settings: Ocpp) -> ssl.SSLContext | None:
    """Raises ssl.SSLError or OSError when the certificate cannot be read."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context


class FailedHandshakes:
    """How often each address failed, bounded; the log has the first failure and every power of ten."""

    def __init__(self) -> None:
        self.by_address: OrderedDict[str, int] = OrderedDict()

    def failed(self, address: str, reason: str) -> None:
        _failures.inc()
        count = self.by_address[address] = self.by_address.pop(address, 0) + 1
        if len(self.by_address) > _MAX_ADDRESSES:
            self.by_address.popitem(last=False)
        if str(count).strip("0") == "1":
            hint = "is the issuer of our certificate installed on the charger?"
            _log.warning("TLS handshake failed", address=address, reason=reason, times=count, hint=hint)


class Handshake(SSLProtocol):
    """Passes a connection on to ``inner`` once the handshake is through, and says so when it never is."""

    def __init__(
        self, inner: asyncio.BufferedProtocol, context: ssl.SSLContext, timeout_s: float, failed: FailedHandshakes
    ) -> None:
        loop = asyncio.get_running_loop()
        limit: Any = timeout_s  # typed as whole seconds, taken as any number
        nobody: Any = None  # waits for the end of the handshake
        super().__init__(loop, inner, context, nobody, server_side=True, ssl_handshake_timeout=limit)
        self._inner = inner
        self._failed = failed
        self._address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        super().connection_made(cast(asyncio.Transport, transport))

    def connection_lost(self, exc: BaseException | None) -> None:
        is_through = getattr(self._inner, "address", "") != ""  # the inner protocol was told of its connection
        super().connection_lost(exc)
        if not is_through:
            self._failed.failed(self._address, str(exc or "the charger closed the connection")[:200])
            self._inner.connection_lost(None)


def shaking(
    factory: Callable[[], asyncio.BufferedProtocol],
    context: ssl.SSLContext | None,
    timeout_s: float,
    failed: FailedHandshakes,
) -> Callable[[], asyncio.BaseProtocol]:
    """A factory of protocols for ``create_server``: plain where there is no context."""
    if context is None:
        return factory
    return lambda: Handshake(factory(), context, timeout_s, failed)
