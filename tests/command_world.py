"""Chargers that hold a real connection to a real server, and the command bus on a real broker before it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ocpp_world import PEPPER, Charger, world
from servers import Mosquitto

from bridge.access import Directory, StationEntry, TokenEntry
from bridge.broker import BrokerClient
from bridge.commander import Commander
from bridge.ocpp.server import OcppServer
from bridge.settings import Mqtt
from bridge.snapshots import Station
from bridge.stores.people import People
from bridge.stores.records import Records

Answers = Callable[[str, Any], Any]  # action, payload -> payload of the answer, a whole frame's tail, or None


class Fleet:
    """``connect`` lets a charger come, boot and answer by a function until the world ends."""

    def __init__(
        self, url: Callable[[str], str], loop: asyncio.AbstractEventLoop, server: OcppServer, records: Records
    ) -> None:
        self._loop, self.server = loop, server
        self._url, self._records = url, records
        self._tasks: list[asyncio.Task[None]] = []
        self.calls: dict[str, list[tuple[str, Any]]] = {}

    def connect(self, station: str, protocol: str, answers: Answers) -> None:
        """Register it. Returns when it has booted."""
        self._records.upsert([Station(id=station, protocol=protocol, revision=1)], [], [])
        self.run(self._connect(station, protocol, answers))

    def register_anew(self, station: str) -> None:
        """Whatever new key was sent to it is forgotten."""
        People(self._records, PEPPER).set_station_key(station, None)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _connect(self, station: str, protocol: str, answers: Answers) -> None:
        from websockets.asyncio.client import connect

        link = await connect(self._url(station), subprotocols=[protocol])  # type: ignore[list-item]
        charger = Charger(link)
        boot: dict[str, Any] = {"chargePointVendor": "Acme", "chargePointModel": "Box"}
        if protocol != "ocpp1.6":
            boot = {"chargingStation": {"vendorName": "Acme", "model": "Box"}, "reason": "PowerUp"}
        await charger.call("BootNotification", boot)
        self._tasks.append(self._loop.create_task(self._serve(station, charger, answers)))

    async def _serve(self, station: str, charger: Charger, answers: Answers) -> None:
        heard = self.calls.setdefault(station, [])
        async for text in charger.link:
            frame = json.loads(text)
            if frame[0] != 2:
                continue
            heard.append((frame[2], frame[3]))
            said = answers(frame[2], frame[3])
            if isinstance(said, list):
                await charger.link.send(json.dumps([4, frame[1], *said]))
            elif said is not None:
                await charger.link.send(json.dumps([3, frame[1], said]))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def directory(held: str, tokens: tuple[str, ...] = ("CARD-A", "CARD-B")) -> Directory:
    """One station that waits for approval; the others are unknown, which this world lets in."""
    return Directory(
        stations={held: StationEntry(id=held, is_approved=False)},
        tokens={token: TokenEntry(token=token) for token in tokens},
    )


@asynccontextmanager
async def _world(folder: Path, broker: Mosquitto, held: str) -> AsyncIterator[Fleet]:
    with Records(f"sqlite:///{folder}/bridge.db") as records:
        records.migrate()
        async with _house(folder, broker, held, records) as fleet:
            yield fleet


@asynccontextmanager
async def _house(folder: Path, broker: Mosquitto, held: str, records: Records) -> AsyncIterator[Fleet]:
    async with world(folder, directory(held), records=records, call_timeout_s=5.0) as built:
        client = BrokerClient(Mqtt(host=broker.host, port=broker.port), f"test-bridge-{folder.name}")
        Commander(client, built.server)
        client.start()
        loop = asyncio.get_running_loop()
        fleet = Fleet(lambda station: built.url(f"/ocpp/{quote(station, safe='')}"), loop, built.server, records)
        try:
            await built.until(lambda: client.is_connected, "the broker")
            yield fleet
        finally:
            await fleet.close()
            client.stop()


@contextmanager
def fleet_world(folder: Path, broker: Mosquitto, held: str) -> Iterator[Fleet]:
    """A server, its commander and a fleet on a loop of their own."""
    ready, stop, found = threading.Event(), threading.Event(), []

    async def live() -> None:
        async with _world(folder, broker, held) as fleet:
            found.append(fleet)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    try:
        assert ready.wait(20), "the world did not come up"
        yield found[0]
    finally:
        stop.set()
        thread.join(20)
