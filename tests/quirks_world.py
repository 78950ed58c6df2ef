"""What the tests of field quirks share: a station's day in few words, and what a person is promised about it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ocpp_world import Desk, World, desk, world

from bridge import schemas
from bridge.access import Directory, StationEntry, TokenEntry
from bridge.events import AnyEvent, Detail, DetailKind, DetailsReported, decode
from bridge.journal import Entry
from bridge.ocpp import v16
from bridge.ocpp.versions import Version

NOW = datetime.now(UTC).replace(microsecond=0)
BOOT_16 = {"chargePointVendor": "Acme", "chargePointModel": "Box"}
BOOT_201 = {"reason": "PowerUp", "chargingStation": {"model": "Box", "vendorName": "Acme"}}
STATUS = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
REGISTER, POWER = "Energy.Active.Import.Register", "Power.Active.Import"
HEARTBEAT = '[2,"h","Heartbeat",{}]'


def when(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def at(seconds: float) -> str:
    return when(seconds).isoformat().replace("+00:00", "Z")


def start(there: Desk, connector: int = 1, meter: Any = 1000, seconds: float = -600, tag: str = "CARD") -> int:
    payload = {"connectorId": connector, "idTag": tag, "meterStart": meter, "timestamp": at(seconds)}
    transaction: int = there.say("StartTransaction", payload)["transactionId"]
    return transaction


def stop(there: Desk, transaction: int | None, meter: Any, seconds: float = 0, **more: Any) -> Any:
    payload = {"transactionId": transaction, "meterStop": meter, "timestamp": at(seconds)}
    return there.say("StopTransaction", payload | more)


def meter(
    there: Desk, seconds: float, *samples: Any, transaction: int | None = None, connector: int = 1, live: bool = False
) -> Any:
    """A bare number is the register in Wh. ``live``: received when it was read."""
    said = [sample if isinstance(sample, dict) else {"value": str(sample)} for sample in samples]
    payload: dict[str, Any] = {"connectorId": connector}
    payload["meterValue"] = [{"timestamp": at(seconds), "sampledValue": said}]
    if transaction is not None:
        payload["transactionId"] = transaction
    return there.say("MeterValues", payload, when(seconds) if live else None)


def sample(value: Any, measurand: str = REGISTER, **more: Any) -> dict[str, Any]:
    return {"value": value, "measurand": measurand} | more


def transaction_event(kind: str, seq: int, seconds: float, **more: Any) -> dict[str, Any]:
    info = {"transactionId": "T1"} | more.pop("info", {})
    fixed = {"eventType": kind, "timestamp": at(seconds), "triggerReason": "CablePluggedIn", "seqNo": seq}
    return fixed | {"transactionInfo": info} | more


def register(value: float, seconds: float, context: str = "Sample.Periodic") -> list[dict[str, Any]]:
    return [{"timestamp": at(seconds), "sampledValue": [{"value": value, "context": context}]}]


def status(there: Desk, word: str, seconds: float = 0, **more: Any) -> Any:
    return there.say("StatusNotification", STATUS | {"status": word, "timestamp": at(seconds)} | more)


def energies(there: Desk) -> list[int]:
    return [session.energy_wh for session in there.sessions]


def is_valid(there: Desk, action: str, answer: Any) -> bool:
    """Is it the CALLRESULT that the version's schema asks for?"""
    return isinstance(answer, dict) and not schemas.violations(
        there.talk.version.protocol, action, answer, is_response=True
    )


def with_policy(zone: str = "", cards: tuple[str, ...] = (), **policy: Any) -> Directory:
    """A directory in which a person has decided about the station CP."""
    tokens = {card: TokenEntry(token=card) for card in cards}
    return Directory(stations={"CP": StationEntry(id="CP", policy=policy, time_zone=zone)}, tokens=tokens)


@contextmanager
def station(path: Path, zone: str = "", version: Version = v16.VERSION, **policy: Any) -> Iterator[Desk]:
    with desk(path, version, directory=with_policy(zone, **policy)) as there:
        yield there


def entries(there: Desk | World) -> list[Entry]:
    """What the journal holds; a desk's is waited for, a world waits for its own with ``committed``."""
    journal = there.intake.journal
    if isinstance(there, Desk):
        done = threading.Event()
        journal.on_commit = lambda seq: done.set()
        while journal.committed < journal.head:
            assert done.wait(10), "the journal does not commit"
            done.clear()
    return [entry for _, entry in journal.read(0, 10_000)]


def kept_frames(there: Desk | World) -> list[bytes]:
    return [entry.frame for entry in entries(there)]


def journaled(there: Desk | World) -> list[AnyEvent]:
    """All events kept so far."""
    return [event for entry in entries(there) for event in decode(entry.events)]


async def committed(house: World) -> World:
    await house.until(lambda: house.journal.committed >= house.journal.head, "the commit")
    return house


def traits(there: Desk | World) -> dict[str, Detail]:
    """What was noticed about the station, by key; the last word counts."""
    known: dict[str, Detail] = {}
    for event in journaled(there):
        if isinstance(event, DetailsReported) and event.kind is DetailKind.TRAIT:
            for detail in event.details:
                known.pop(detail.key, None)
                if not event.is_gone:
                    known[detail.key] = detail
    return known


def play(path: Path, scene: Callable[[World], Awaitable[None]], **options: Any) -> None:
    """Run a scene on a server with real sockets."""

    async def run() -> None:
        async with asyncio.timeout(60), world(path, **options) as house:
            await scene(house)

    asyncio.run(run())


def frame(action: str, payload: Any, id: Any = "1") -> str:
    return json.dumps([2, id, action, payload])
