"""``chargewatch bench ingest``: the full durable path against two servers that keep nothing, in one run.

The figure that travels between machines is the ratio; a message per CPU-second counts all threads of the server
process, so the journal, the projections and their stores are in the bridge's figure.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bridge.bench.load import Result, drive
from bridge.events import utc_now

_TICKS = os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    raise ConnectionError(f"the server did not come up: {log.read_text()[-800:]}")


@contextlib.contextmanager
def _server(command: list[str], port: int, folder: Path, **environment: str) -> Iterator[int]:
    log = folder / "server.log"
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CHARGEWATCH_")}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, env=clean | environment)  # noqa: S603
    try:
        _wait_for(port, process, log)
        yield process.pid
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()


def bridge_environment(folder: Path, port: int) -> dict[str, str]:
    """A bridge on embedded stores that lets everybody in: for loopback only."""
    return {
        "CHARGEWATCH_OCPP__PORT": str(port),
        "CHARGEWATCH_STATIONS__UNKNOWN": "accept",
        "CHARGEWATCH_TOKENS__UNKNOWN": "accept",
        "CHARGEWATCH_DATA_DIR": str(folder),
        "CHARGEWATCH_JOURNAL__PATH": str(folder / "journal.db"),
        "CHARGEWATCH_RECORDS__URL": f"sqlite:///{folder / 'records.db'}",
        "CHARGEWATCH_TELEMETRY__PATH": str(folder / "telemetry.db"),
        "CHARGEWATCH_ADMIN__BRIDGE_PORT": "0",
        "CHARGEWATCH_MQTT__PORT": str(_free_port()),  # nobody listens: the bench measures the road to the stores
        "CHARGEWATCH_LOG__LEVEL": "WARNING",
    }


def _measure(kind: str, stations: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="chargewatch-bench-") as name:
        folder, port = Path(name), _free_port()
        if kind == "bridge":
            command, environment = [sys.executable, "-m", "bridge"], bridge_environment(folder, port)
        else:
            command, environment = [sys.executable, "-m", "bridge.bench.floor", kind, str(port)], {}
        with _server(command, port, folder, **environment) as pid:
            before_kib, cpu, began = _memory_kib(pid), _cpu_s(pid), time.monotonic()
            result: Result = asyncio.run(drive(port, stations, 1.0, seconds, utc_now().strftime("%Y-%m-%dT%H:%M:%S")))
            cpu_s, took = _cpu_s(pid) - cpu, time.monotonic() - began
            return _row(kind, result, cpu_s, took, before_kib, _memory_kib(pid))


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
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
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
