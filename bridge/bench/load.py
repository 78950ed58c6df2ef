"""A closed-loop load of virtual stations on one thread, light enough to fill a server's core.

Every station sends its next message when the answer to its last one is there. Frames are encoded once; only
the message id changes. Talks to loopback, bounded in stations and seconds.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from functools import partial
from typing import NamedTuple

import msgspec

_ID, _MICROSECONDS, _REGISTER = b"0" * 12, b"@" * 6, b"#" * 7  # places that every message fills anew
_READINGS = (
    ("Energy.Active.Import.Register", "", "Wh", "#######"),
    ("Power.Active.Import", "", "W", "11040.5"),
    ("Current.Import", "L1", "A", "16.01"),
    ("Current.Import", "L2", "A", "15.98"),
    ("Current.Import", "L3", "A", "16.00"),
    ("Voltage", "L1-N", "V", "230.1"),
    ("Voltage", "L2-N", "V", "229.8"),
    ("Voltage", "L3-N", "V", "230.4"),
    ("SoC", "", "Percent", "55"),
)


class Result(NamedTuple):
    """What the clients saw. Latencies in milliseconds, from send to the answer's last byte."""

    answered: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int


def messages(moment: str) -> list[bytes]:
    """Ten OCPP 1.6 CALLs, seven of them MeterValues of nine samples. ``moment`` is a whole second."""
    moment = f"{moment}.{_MICROSECONDS.decode()}Z"
    common = {"context": "Sample.Periodic"}
    samples = [
        {"value": value, "measurand": name, "unit": unit} | common | ({"phase": phase} if phase else {})
        for name, phase, unit, value in _READINGS
    ]
    meter = {"connectorId": 1, "meterValue": [{"timestamp": moment, "sampledValue": samples}]}
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": moment}
    calls: list[tuple[str, dict[str, object]]] = [("MeterValues", meter)] * 7
    calls += [("StatusNotification", status), ("Heartbeat", {}), ("Authorize", {"idTag": "BENCH"})]
    return [_encoded(action, payload) for action, payload in calls]


def _encoded(action: str, payload: dict[str, object]) -> bytes:
    return msgspec.json.encode([2, _ID.decode(), action, payload])


def first_call(moment: str) -> bytes:
    """Opens a session, so that every reading is counted and priced."""
    start = {"connectorId": 1, "idTag": "BENCH", "meterStart": 0, "timestamp": f"{moment}.000000Z"}
    return _encoded("StartTransaction", start)


def _masked_header(size: int) -> bytes:
    """A client's text frame with a mask of zeros, which leaves the payload as it is (RFC 6455 section 5.3)."""
    if size < 126:
        return bytes((0x81, 0x80 | size)) + b"\0\0\0\0"
    return bytes((0x81, 0x80 | 126)) + size.to_bytes(2) + b"\0\0\0\0"


class _Station(asyncio.Protocol):
    def __init__(self, path: str, first: bytes, calls: list[bytes], stats: _Stats) -> None:
        self._path = path
        self._first = first
        self._calls = calls
        self._stats = stats
        self._sent = 0
        self._sent_at = 0.0
        self._buffer = b""
        self._is_open = False
        self.ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open:
            self._finish_handshake()
            return
        while size := _frame_size(self._buffer):
            self._buffer = self._buffer[size:]
            self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stats.errors += self._stats.is_running
        if not self.ready.done():
            self.ready.set_result(False)

    def send(self) -> None:
        body = self._calls[self._sent % len(self._calls)] if self._sent else self._first
        self._sent += 1
        body = body.replace(_ID, b"%012d" % self._sent, 1)
        body = body.replace(_MICROSECONDS, b"%06d" % self._sent, 1).replace(_REGISTER, b"%07d" % self._sent, 1)
        self._sent_at = time.perf_counter()
        self._transport.write(_masked_header(len(body)) + body)

    def close(self) -> None:
        self._transport.abort()

    def _finish_handshake(self) -> None:
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if mark:
            self._is_open = b" 101 " in head.split(b"\r\n", 1)[0]
            self._buffer = rest
            if not self.ready.done():
                self.ready.set_result(self._is_open)

    def _answered(self) -> None:
        self._stats.latencies.append(time.perf_counter() - self._sent_at)
        if self._stats.is_running:
            self.send()


class _Stats:
    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.errors = 0
        self.is_running = False


def _frame_size(buffer: bytes) -> int:
    """Bytes of the first whole server frame, 0 while it is incomplete."""
    if len(buffer) < 2:
        return 0
    size, head = buffer[1] & 0x7F, 2
    if size == 126:
        size, head = int.from_bytes(buffer[2:4]), 4
    elif size == 127:
        size, head = int.from_bytes(buffer[2:10]), 10
    return head + size if len(buffer) >= head + size else 0


async def drive(port: int, stations: int, warm_up_s: float, seconds: float, moment: str) -> Result:
    """Connect, warm up, measure. Raises ConnectionError when not every station could connect."""
    loop, stats, calls, first = asyncio.get_running_loop(), _Stats(), messages(moment), first_call(moment)
    fleet: list[_Station] = []
    for number in range(stations):
        rotated = calls[number % 10 :] + calls[: number % 10]
        new = partial(_Station, f"/ocpp/BENCH-{number:05d}", first, rotated, stats)
        _, station = await loop.create_connection(new, "127.0.0.1", port)
        fleet.append(station)
    if not all(await asyncio.gather(*(station.ready for station in fleet))):
        raise ConnectionError("not every station could connect: see the server's log")
    stats.is_running = True
    for station in fleet:
        station.send()
    await asyncio.sleep(warm_up_s)
    stats.latencies.clear()
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    took, latencies = time.perf_counter() - began, sorted(stats.latencies)
    stats.is_running = False
    for station in fleet:
        station.close()
    if not latencies:
        raise ConnectionError("no answer came: see the server's log")
    p50_ms, p99_ms = (round(latencies[int(len(latencies) * share)] * 1000, 2) for share in (0.5, 0.99))
    return Result(len(latencies), took, p50_ms, p99_ms, stats.errors)
