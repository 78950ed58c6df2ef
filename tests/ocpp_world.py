"""A whole OCPP server on a real journal and a real socket, and a charger to speak to it."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ocpp_samples import NOW
from websockets.asyncio.client import ClientConnection, connect

from bridge.access import Directory, Entry
from bridge.billing.price import Tariff
from bridge.book import Book
from bridge.events import (
    AnyEvent,
    FrameMended,
    decode,
    utc_now,
)
from bridge.intake import Frame, Intake, Outcome
from bridge.journal import Journal
from bridge.ocpp.commands import Calls, Waiting
from bridge.ocpp.ledger import Ledger
from bridge.ocpp.server import VERSIONS, OcppServer
from bridge.ocpp.station import Talk
from bridge.ocpp.versions import Version
from bridge.session import Session
from bridge.settings import Ocpp, Stations, Unknown
from bridge.stores.database import Database

PEPPER = b"pepper"
TARIFF = Tariff(
    id="test-1",
    currency="EUR",
    energy_per_kwh=Decimal("0.50"),
    time_per_minute=Decimal(0),
    flat=Decimal(0),
    vat_percent=Decimal(19),
)


class World:
    """``server`` runs on ``intake`` over ``journal``; ``url(station)`` is where a charger connects."""

    def __init__(self, server: OcppServer, intake: Intake) -> None:
        self.server = server
        self.intake = intake
        self.journal = intake.journal
        self.book = intake.book

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.server.port}{path}"

    def sessions(self, station: str) -> list[Session]:
        return list(self.book.sessions.get(station, {}).values())

    @asynccontextmanager
    async def charger(self, station: str, protocol: str = "ocpp1.6", **options: Any) -> AsyncIterator[Charger]:
        async with connect(self.url(f"/ocpp/{station}"), subprotocols=[protocol], **options) as link:
            yield Charger(link)

    async def events(self) -> list[Any]:
        """All events in the journal, after what waits has been committed."""
        await self.until(lambda: self.journal.committed >= self.journal.head, "the commit")
        return [event for _, entry in self.journal.read(0, 100_000) for event in decode(entry.events)]

    async def until(self, is_so: Callable[[], Any], what: str) -> None:
        """Wait until something is so; fails by the loop's timeout of the caller's test otherwise."""
        for _ in range(500):
            if is_so():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"never came: {what}")


class Charger:
    """Calls and waits for the matching answer; answers the server's calls from ``answers`` (action -> payload)."""

    def __init__(self, link: ClientConnection) -> None:
        self.link = link
        self.answers: dict[str, Any] = {}
        self.calls: list[tuple[str, Any]] = []
        self._ids = itertools.count(1)

    async def call(self, action: str, payload: Any) -> Any:
        """The CALLRESULT's payload, or the whole CALLERROR."""
        message_id = f"m{next(self._ids)}"
        await self.link.send(json.dumps([2, message_id, action, payload]))
        return await self.answer_to(message_id)

    async def say(self, raw: str | bytes) -> list[Any]:
        """Send anything and read the next frame."""
        await self.link.send(raw)
        return json.loads(await self.link.recv())

    async def answer_to(self, message_id: str) -> Any:
        while True:
            frame = json.loads(await self.link.recv())
            if frame[0] == 2:
                await self.reply(frame)
            elif frame[1] == message_id:
                return frame[2] if frame[0] == 3 else frame

    async def reply(self, frame: list[Any]) -> None:
        """Answer a call of the server."""
        self.calls.append((frame[2], frame[3]))
        await self.link.send(json.dumps([3, frame[1], self.answers.get(frame[2], {})]))

    async def boot(self) -> Any:
        return await self.call("BootNotification", {"chargePointVendor": "Acme", "chargePointModel": "Box"})


def own_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key, as PEM files."""
    certificate, key = folder / "c.pem", folder / "k.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", *files]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def new_intake(path: Path, directory: Directory | None = None, tokens: Unknown = Unknown.REJECT) -> Intake:
    """A book, an opened journal and a tariff."""
    journal = Journal(path / "journal.db", commit_every_s=0.0)
    journal.open()
    return Intake(Book("test"), journal, tokens, TARIFF, directory)


@asynccontextmanager
async def world(
    path: Path,
    directory: Directory | None = None,
    unknown: Unknown = Unknown.ACCEPT,
    adopt: Callable[[str], None] | None = None,
    records: Database | None = None,
    stations: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    """A server that listens on a free port; everything is closed at the end."""
    intake = new_intake(path, directory)
    intake.recover()  # of a server that was there before
    ocpp = Ocpp(**{"port": 0, "security_profile": 0} | settings)
    waiting = Stations(unknown=unknown, **(stations or {}))
    past = {} if adopt is None else {"adopt": lambda station: asyncio.to_thread(adopt, station)}
    ledger = Ledger(records, waiting, "test")
    server = OcppServer(ocpp, waiting, PEPPER, intake, ledger=ledger, **past)
    loop = asyncio.get_running_loop()
    intake.journal.on_commit = lambda seq: loop.call_soon_threadsafe(server.flush, seq)
    await server.start()
    try:
        yield World(server, intake)
    finally:
        await server.stop(2.0)
        intake.journal.on_commit = lambda seq: None
        intake.journal.close()


class Desk:
    """One station's conversation without a socket: ``say`` returns the answer, ``events`` what became of it."""

    def __init__(self, intake: Intake, version: Version, station: str = "CP", entry: Entry = Entry.ACCEPTED) -> None:
        self.intake = intake
        self.station = station
        self.entry = entry
        self.calls = Calls(version.protocol, lambda action, frame: None)
        self.talk = Talk(station, version, intake, self.calls, lambda: self.entry, 300, 100_000)
        self.events: tuple[AnyEvent, ...] = ()
        self._keep = intake.keep
        intake.keep = self._kept  # type: ignore[method-assign]

    def _kept(self, frame: Frame, outcome: Outcome, reply: bytes = b"") -> int:
        self.events = outcome.events
        return self._keep(frame, outcome, reply)

    def say(self, action: str, payload: Any, now: datetime | None = None) -> Any:
        """The CALLRESULT's payload, or the whole CALLERROR."""
        answer = self.send(json.dumps([2, "1", action, payload]), now)
        return answer[2] if answer[0] == 3 else answer

    def send(self, raw: str | bytes, now: datetime | None = None) -> Any:
        data = raw if isinstance(raw, bytes) else raw.encode()
        reply = self.talk.handle(data, now or utc_now()).frame
        return json.loads(reply) if reply else None

    @property
    def notes(self) -> str:
        return " ".join(note for event in self.events if isinstance(event, FrameMended) for note in event.notes)

    @property
    def sessions(self) -> list[Session]:
        return list(self.intake.book.sessions.get(self.station, {}).values())


@contextmanager
def desk(path: Path, version: Version, tokens: Unknown = Unknown.ACCEPT, **options: Any) -> Iterator[Desk]:
    """A desk on a real journal, which is closed at the end."""
    intake = new_intake(path, options.pop("directory", None), tokens)
    try:
        yield Desk(intake, version, **options)
    finally:
        intake.journal.close()


BY_PROTOCOL = {version.protocol: version for version in VERSIONS}


def answer_to(there: Desk, action: str, payload: Any, answer: Any) -> tuple[AnyEvent, ...]:
    """The station answers a call of ours; what became of it."""
    ask(there, action, payload)
    there.send(json.dumps([3, "w", answer]), NOW)
    return there.events


def ask(there: Desk, action: str, payload: Any) -> None:
    there.calls._waiting = Waiting("w", action, payload, Future())  # type: ignore[arg-type]
