"""``chargewatch bench ingest``: the full durable path against two servers that keep nothing, in one run.

The figure that travels between machines is the ratio; a message per CPU-second counts all threads of the server
process, so the journal, the projections and their stores are in the bridge's figure.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bridge.bench.load import Result, drive
from bridge.bench.process import Server, free_port, machine, serving, serving_bridge
from bridge.events import utc_now


def _serving(kind: str, folder: Path) -> AbstractContextManager[Server]:
    if kind == "bridge":
        return serving_bridge(folder)
    port = free_port()
    return serving([sys.executable, "-m", "bridge.bench.floor", kind, str(port)], port, folder)


def _measure(kind: str, stations: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="chargewatch-bench-") as name, _serving(kind, Path(name)) as server:
        before_kib, cpu_s, began = server.memory_kib(), server.cpu_s(), time.monotonic()
        moment = utc_now().strftime("%Y-%m-%dT%H:%M:%S")
        result = asyncio.run(drive(server.port, stations, 1.0, seconds, moment))
        cpu_s, took = server.cpu_s() - cpu_s, time.monotonic() - began
        return _row(kind, result, cpu_s, took, before_kib, server.memory_kib())


def _row(kind: str, result: Result, cpu_s: float, took_s: float, before_kib: int, after_kib: int) -> dict[str, Any]:
    rate = result.answered / result.seconds
    core = cpu_s / took_s  # cores the server used, set-up and warm-up included
    return {
        "server": kind,
        "messages_per_s": round(rate),
        "cores": round(core, 2),
        "messages_per_cpu_s": round(rate / core),
        "reply_p50_ms": result.p50_ms,
        "reply_p99_ms": result.p99_ms,
        "errors": result.errors,
        "memory_mib": round(after_kib / 1024, 1),
        "memory_before_mib": round(before_kib / 1024, 1),
    }


def run(stations: int, seconds: float) -> dict[str, Any]:
    """Measure all three in turn; returns rows and ratios, ready for JSON."""
    rows = {kind: _measure(kind, stations, seconds) for kind in ("echo", "ocpp", "bridge")}
    rate = {kind: row["messages_per_cpu_s"] for kind, row in rows.items()}
    floor = "picows" if sys.modules.get("picows") or _has("picows") else "websockets"
    return {
        "bench": "ingest",
        "at": utc_now().isoformat(timespec="seconds"),
        "machine": machine(),
        "floor": f"{floor} {version(floor)} echo",
        "load": f"{stations} stations, closed loop, 70 % MeterValues of 9 samples, {seconds:g} s each",
        "rows": list(rows.values()),
        "ratio_to_echo": round(rate["bridge"] / rate["echo"], 3),
        "ratio_to_ocpp_package": round(rate["bridge"] / rate["ocpp"], 2),
    }


def _has(package: str) -> bool:
    try:
        version(package)
    except ModuleNotFoundError:
        return False
    return True
