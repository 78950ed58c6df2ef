"""A charger that others wrote, as a process beside our server: what it said and heard comes as lines of JSON."""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from charger_programs import Program
from ocpp_world import PEPPER, World, world

from bridge.access import Directory, StationEntry, TokenEntry, key_hmac
from bridge.events import FrameMended, FrameRefused, decode
from bridge.grades import grade
from bridge.ocpp.server import VERSIONS
from bridge.session import Session
from bridge.settings import Unknown

_MAX_LINE_BYTES = 2**24
STATION, KEY, CARD = "INDIE/1 ü", "correct horse battery", "CARD-A"
DIRECTORY = Directory(
    stations={STATION: StationEntry(id=STATION, key_hmac=key_hmac(PEPPER, KEY.encode()))},
    tokens={CARD: TokenEntry(token=CARD)},
)

RPC = [("ocpp-rpc", version.protocol) for version in VERSIONS]  # it speaks whatever we speak
GO = [("ocpp-go", "ocpp1.6"), ("ocpp-go", "ocpp2.0.1")]
PYTHON = [("ocpp-python", version.protocol) for version in VERSIONS if version.protocol != "ocpp1.6"]
SPEAKERS = pytest.mark.parametrize(("charger_program", "protocol"), RPC + GO, indirect=["charger_program"])
EACH = pytest.mark.parametrize("charger_program", ["ocpp-rpc", "ocpp-go"], indirect=True)
ONLY_RPC = pytest.mark.parametrize("charger_program", ["ocpp-rpc"], indirect=True)


class Independent:
    """``lines``: {event}, {said, answer | refused}, {asked, payload} and {violation} as they came."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self.lines: list[dict[str, Any]] = []
        self._process = process
        self._news = asyncio.Condition()
        self._is_over = False
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            async for line in self._process.stdout:
                async with self._news:
                    self.lines.append(json.loads(line))
                    self._news.notify_all()
        finally:
            async with self._news:
                self._is_over = True
                self._news.notify_all()

    def find(self, **parts: Any) -> list[dict[str, Any]]:
        """The lines with these parts."""
        return [line for line in self.lines if parts.items() <= {k: v for k, v in line.items() if k in parts}.items()]

    async def until(self, times: int = 1, **parts: Any) -> dict[str, Any]:
        """Wait for a line with these parts, for the so-manieth time."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.find(**parts)) >= times or self._is_over)
        found = self.find(**parts)
        assert len(found) >= times, f"it ended before {parts}: {self.lines[-5:]} {await self._errors()}"
        return found[times - 1]

    def go_on(self) -> None:
        """Tell it to do what comes next in its scene."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go on\n")

    async def end(self) -> None:
        """Tell it to end; fails when it saw anything that is against the protocol."""
        self.go_on()
        await self.ended()

    async def ended(self) -> None:
        """Wait until it has ended by itself, and in peace."""
        await self._reading
        errors = await self._errors()
        code = await self._process.wait()
        wrong = [line["violation"] for line in self.lines if "violation" in line]
        assert (wrong, code, errors) == ([], 0, ""), (wrong, code, errors)

    async def code(self) -> int:
        """What it ended with."""
        return await self._process.wait()

    async def _errors(self) -> str:
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode()

    async def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._reading
        await self._errors()
        await self._process.wait()


@asynccontextmanager
async def independent(program: Program, house: World, scene: str, **changes: Any) -> AsyncIterator[Independent]:
    """A charger that plays a scene; killed at the end if it is still there."""
    facts = {"url": house.url("/ocpp"), "station": STATION, "key": KEY, "card": CARD, "scene": scene} | changes
    environment = os.environ | program.environment
    command = (*program.command, json.dumps(facts))
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, limit=_MAX_LINE_BYTES
    )
    charger = Independent(program.name, process)
    try:
        yield charger
    finally:
        await charger.close()


def play(path: Path, scene: Callable[[World], Awaitable[None]], **options: Any) -> None:
    """Run a scene on a server that knows our station and card and nobody else."""

    async def run() -> None:
        facts = {"directory": DIRECTORY, "unknown": Unknown.REJECT} | options
        async with asyncio.timeout(60), world(path, **facts) as house:
            await scene(house)

    asyncio.run(run())


async def events(house: World, kind: type | None = None) -> list[Any]:
    """What is in the journal, of one kind or of all."""
    await house.until(lambda: house.journal.committed >= house.journal.head, "the commit")
    found = [event for _, entry in house.journal.read(0, 10_000) for event in decode(entry.events)]
    return [event for event in found if kind is None or isinstance(event, kind)]


async def is_clean(house: World) -> None:
    """Nothing of theirs had to be mended, and only what we do not speak was refused."""
    assert await events(house, FrameMended) == []
    assert {event.code for event in await events(house, FrameRefused)} <= {"NotSupported", "NotImplemented"}


def facts(session: Session) -> tuple[Any, ...]:
    """Where, who, how much, how it ended, and what speaks against billing it."""
    return session.evse, session.token, session.energy_wh, session.state, session.stop_reason, grade(session).reasons
