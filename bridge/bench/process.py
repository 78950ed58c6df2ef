"""A server under measurement, in a process of its own: started, pinned, watched, ended."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class Server(NamedTuple):
    """A running server on loopback. Reads ``/proc``: Linux only."""

    pid: int
    port: int

    def cpu_s(self) -> float:
        """Processor seconds of all its threads since it started."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_kib(self) -> int:
        """Resident memory."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0


@contextlib.contextmanager
def serving(
    command: list[str], port: int, folder: Path, core: int | None = None, **environment: str
) -> Iterator[Server]:
    """Start ``command`` in ``folder``, on one core if it is named; ends it at the end. Raises ConnectionError with
    its last words when it does not come up."""
    log = folder / "server.log"
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CHARGEWATCH_")}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, env=clean | environment)  # noqa: S603
    try:
        if core is not None:  # it has one thread yet; those to come inherit
            os.sched_setaffinity(process.pid, {core})
        _wait_for(port, process, log)
        yield Server(process.pid, port)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()


@contextlib.contextmanager
def serving_bridge(folder: Path, core: int | None = None, **environment: str) -> Iterator[Server]:
    """A real bridge on embedded stores; ``environment`` holds settings besides."""
    port = free_port()
    environment = bridge_environment(folder, port) | environment
    with serving([sys.executable, "-m", "bridge"], port, folder, core, **environment) as server:
        yield server


def bridge_environment(folder: Path, port: int) -> dict[str, str]:
    """A bridge on embedded stores that lets everybody in: for loopback only."""
    return {
        "CHARGEWATCH_OCPP__PORT": str(port),
        "CHARGEWATCH_OCPP__SECURITY_PROFILE": "0",
        "CHARGEWATCH_STATIONS__UNKNOWN": "accept",
        "CHARGEWATCH_TOKENS__UNKNOWN": "accept",
        "CHARGEWATCH_DATA_DIR": str(folder),
        "CHARGEWATCH_JOURNAL__PATH": str(folder / "journal.db"),
        "CHARGEWATCH_RECORDS__URL": f"sqlite:///{folder / 'records.db'}",
        "CHARGEWATCH_TELEMETRY__PATH": str(folder / "telemetry.db"),
        "CHARGEWATCH_ADMIN__BRIDGE_PORT": "0",
        "CHARGEWATCH_MQTT__PORT": str(free_port()),  # nobody listens: the bench measures the road to the stores
        "CHARGEWATCH_LOG__LEVEL": "WARNING",
    }


def spare_core() -> int | None:
    """A core to pin a server to; ``None`` where the system cannot pin."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def machine() -> str:
    """What was measured on, for the result's head."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    raise ConnectionError(f"the server did not come up: {log.read_text()[-800:]}")
