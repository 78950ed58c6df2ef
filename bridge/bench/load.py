"""A closed-loop load of virtual stations on one thread, light enough to fill a server's core.

Every station sends its next message when the answer to its last one is there. Frames are encoded once; only
the message id changes. Talks to loopback, bounded in stations and seconds.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import NamedTuple

import msgspec

from bridge.bench.client import Client

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


class _Station(Client):
    def __init__(self, path: str, first: bytes, calls: list[bytes], stats: _Stats) -> None:
        super().__init__(path)
        self._first = first
        self._calls = calls
        self._stats = stats
        self._sent = 0
        self._sent_at = 0.0

    def send(self) -> None:
        body = self._calls[self._sent % len(self._calls)] if self._sent else self._first
        self._sent += 1
        body = body.replace(_ID, b"%012d" % self._sent, 1)
        body = body.replace(_MICROSECONDS, b"%06d" % self._sent, 1).replace(_REGISTER, b"%07d" % self._sent, 1)
        self._sent_at = time.perf_counter()
        self.say(body)

    def on_answer(self, payload: bytes) -> None:
        self._stats.latencies.append(time.perf_counter() - self._sent_at)
        if self._stats.is_running:
            self.send()

    def on_lost(self) -> None:
        self._stats.errors += self._stats.is_running


class _Stats:
    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.errors = 0
        self.is_running = False


async def drive(port: int, stations: int, warm_up_s: float, seconds: float, moment: str) -> Result:
    """Connect, warm up, measure. Raises ConnectionError when not every station could connect."""
    loop, stats, calls, first = asyncio.get_running_loop(), _Stats(), messages(moment), first_call(moment)
    fleet: list[_Station] = []
    for number in range(stations):
        rotated = calls[number % 10 :] + calls[: number % 10]
        new = partial(_Station, f"/ocpp/BENCH-{number:05d}", first, rotated, stats)
        _, station = await loop.create_connection(new, "127.0.0.1", port)
        fleet.append(station)
    if not all(await asyncio.gather(*(station.opened for station in fleet))):
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
