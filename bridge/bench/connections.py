"""``chargewatch bench connections``: a whole fleet comes at once, as after a power cut, and then stays idle.

The bridge is the real one on its embedded stores, on one core where the system can pin. Every station connects,
boots, says the status of one connector, and sends one heartbeat. Some come before the measured ones and talk, so
that what fills up once (caches of the stores, code) is not counted to each of them; what the book and the live state
know of a station is.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from bridge.bench.client import Client
from bridge.bench.process import Server, machine, serving_bridge, spare_core
from bridge.descriptors import raise_open_file_limit
from bridge.events import utc_now

_FIRST = 1_000  # stations that come before the measured ones
_SPARE_FILES = 100  # besides one for each station
_PORTS = 20_000  # stations from one address of ours: Linux gives 28,000 ports to each by default
_PATIENCE_S = 120.0
_SETTLE_S = 45.0  # what the bridge asks of a station within a minute of its boot has been asked by then
_BOOT = {"chargePointVendor": "Acme", "chargePointModel": "Bench", "firmwareVersion": "1.0"}


def _calls(moment: str) -> list[bytes]:
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": moment}
    return [_call("BootNotification", _BOOT), _call("StatusNotification", status), _call("Heartbeat", {})]


def _call(action: str, payload: dict[str, Any]) -> bytes:
    return msgspec.json.encode([2, f"bench-{action}", action, payload])


_TALK = [_call("DataTransfer", {"vendorId": "bench", "data": "." * 1000})] * 25  # fills 16 MiB of telemetry's cache


class _Fleet:
    """Stations that come together. Raises ConnectionError when one is refused, dropped or left waiting."""

    def __init__(self, name: str, stations: int, calls: list[bytes]) -> None:
        self._name = name
        self._stations = stations
        self._left = stations
        self._is_through = asyncio.Event()
        self._failures: list[str] = []
        self._links: list[Client] = []
        self.calls = calls
        self.latencies: list[float] = []
        self.booted_at: list[float] = []

    async def arrive(self, port: int) -> None:
        """Returns when each has its last answer."""
        loop = asyncio.get_running_loop()
        for number in range(self._stations):
            new = partial(_Station, f"/ocpp/{self._name}-{number:06d}", self)
            ours = f"127.0.1.{1 + number // _PORTS}", 0
            _, link = await loop.create_connection(new, "127.0.0.1", port, local_addr=ours)
            self._links.append(link)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_through.wait(), _PATIENCE_S)
        self.check()

    def check(self) -> None:
        if self._failures or self._left:
            why = self._failures[0] if self._failures else f"no answer in {_PATIENCE_S:g} s"
            raise ConnectionError(f"{self._left} of {self._stations} stations did not get through: {why}")

    def through(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._is_through.set()

    def failed(self, why: str) -> None:
        self._failures.append(why)
        self._is_through.set()

    def leave(self) -> None:
        for link in self._links:
            link.close()


class _Station(Client):
    """Sends each call when the one before it is answered."""

    refuses_calls = True

    def __init__(self, path: str, fleet: _Fleet) -> None:
        super().__init__(path)
        self._fleet = fleet
        self._answered = 0
        self._sent_at = 0.0

    def on_open(self) -> None:
        self._send()

    def on_answer(self, payload: bytes) -> None:
        now, fleet = time.perf_counter(), self._fleet
        fleet.latencies.append(now - self._sent_at)
        if self._answered == 0:
            fleet.booted_at.append(now)
        if not payload.startswith(b"[3,") or (self._answered == 0 and b'"Accepted"' not in payload):
            fleet.failed(f"answered {payload[:200]!r}")
        self._answered += 1
        if self._answered < len(fleet.calls):
            self._send()
        else:
            fleet.through()

    def on_lost(self) -> None:
        self._fleet.failed("the connection was refused or lost: see the server's log")

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self.say(self._fleet.calls[self._answered])


async def _measure(server: Server, stations: int) -> dict[str, Any]:
    calls = _calls(utc_now().isoformat(timespec="seconds"))
    first, fleet = _Fleet("FIRST", _FIRST, calls + _TALK), _Fleet("BENCH", stations, calls)
    fresh_kib = server.memory_kib()
    try:
        await first.arrive(server.port)
        await asyncio.sleep(_SETTLE_S / 9)
        before_kib, before_cpu_s, began = server.memory_kib(), server.cpu_s(), time.perf_counter()
        await fleet.arrive(server.port)
        cpu_s = server.cpu_s() - before_cpu_s
        await asyncio.sleep(_SETTLE_S)
        idle_kib = server.memory_kib()
        fleet.check()
    finally:
        first.leave()
        fleet.leave()
    return {
        "stations": stations,
        **_speed(fleet, began),
        "cpu_ms_per_station": round(cpu_s * 1000 / stations, 2),
        "memory_fresh_mib": round(fresh_kib / 1024, 1),
        "memory_before_mib": round(before_kib / 1024, 1),
        "memory_idle_mib": round(idle_kib / 1024, 1),
        "kib_per_idle_station": round((idle_kib - before_kib) / stations, 1),
    }


def _speed(fleet: _Fleet, began: float) -> dict[str, Any]:
    took_s, latencies = max(fleet.booted_at) - began, sorted(fleet.latencies)
    p50_ms, p99_ms = (round(latencies[int(len(latencies) * share)] * 1000, 1) for share in (0.5, 0.99))
    return {
        "seconds_to_all_booted": round(took_s, 3),
        "boots_per_s": round(len(fleet.booted_at) / took_s),
        "reply_p50_ms": p50_ms,
        "reply_p99_ms": p99_ms,
    }


def run(stations: int) -> dict[str, Any]:
    """Measure; returns figures ready for JSON. Raises ConnectionError when a station does not get through, or when
    the system grants too few open files."""
    granted = raise_open_file_limit()
    if 0 <= granted < stations + _FIRST + _SPARE_FILES:
        raise ConnectionError(f"{granted} open files are granted: raise the hard limit (ulimit -Hn) or ask for fewer")
    core = spare_core()
    gc.freeze()  # the clients' collector must not make the server's tail
    with tempfile.TemporaryDirectory(prefix="chargewatch-bench-") as name, serving_bridge(Path(name), core) as server:
        return {
            "bench": "connections",
            "at": utc_now().isoformat(timespec="seconds"),
            "machine": machine(),
            "cores_of_the_bridge": 1 if core is not None else None,
            "load": "all at once: handshake, BootNotification, StatusNotification, Heartbeat; then idle",
            **asyncio.run(_measure(server, stations)),
        }
