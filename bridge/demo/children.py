"""Child processes of the demo: started with a log each, watched, and stopped without leaving orphans."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_STOP_S = 8.0
_LAST_LINES = 15
_SBIN = "/usr/sbin:/usr/local/sbin"  # mosquitto lies there and few people have it on PATH


class ChildDied(Exception):
    """A child ended by itself or never came up; the message has its name and last log lines."""


class Child:
    """One process in a session of its own, so that Ctrl-C reaches the demo alone and it stops them in order."""

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name, self.process, self.log = name, process, log

    def died(self) -> ChildDied:
        """What to say about its end."""
        with self.log.open(encoding="utf-8", errors="replace") as file:
            lines = "".join(f"    {line}" for line in deque(file, _LAST_LINES))
        return ChildDied(
            f"{self.name} stopped (exit code {self.process.returncode}). The end of {self.log}:\n{lines.rstrip()}"
        )

    async def watch(self) -> None:
        """Raises ChildDied when the process ends."""
        await self.process.wait()
        raise self.died()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL to whatever is left of its group."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), _STOP_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


async def start_child(name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Child:
    """Start ``command`` with its output appended to ``log``. Raises OSError when it cannot be run."""
    with _appending(log) as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            start_new_session=True,
        )
    return Child(name, process, log)


def _appending(log: Path) -> IO[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("ab")


async def wait_for_port(child: Child, port: int, seconds: float) -> None:
    """Until something listens on loopback ``port``. Raises ChildDied when the child ends first or takes too long."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        if child.process.returncode is not None:
            raise child.died()
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        if asyncio.get_running_loop().time() > end:
            raise ChildDied(f"{child.name} did not open port {port} within {seconds:.0f} s; see {child.log}")
        await asyncio.sleep(0.1)


def pick_port(wanted: int, taken: set[int]) -> int:
    """``wanted`` on loopback if it is free, else one that the system gives."""
    for candidate in (wanted, 0, 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            port = int(probe.getsockname()[1])
        if port not in taken:
            taken.add(port)
            return port
    raise OSError(f"no free port on 127.0.0.1 in place of {wanted}")


def broker_command(folder: Path, port: int) -> list[str]:
    """mosquitto if there is one, else amqtt; on loopback only. Writes the configuration into ``folder``."""
    mosquitto = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:{_SBIN}")
    if mosquitto is not None:
        path = folder / "mosquitto.conf"
        path.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest stdout\n")
        return [mosquitto, "-c", str(path)]
    path = folder / "amqtt.yaml"
    path.write_text(
        f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\n"
        "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
    )
    return [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(path)]
