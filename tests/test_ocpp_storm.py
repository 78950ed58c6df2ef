"""Ten thousand malformed frames over a hundred sockets to a real bridge, while neighbours charge in peace."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import NamedTuple

import pytest
from ocpp_hostile import KINDS, PROTOCOLS, TEXT, call, carried, hostile, wire
from ocpp_world import Charger
from websockets.asyncio.client import ClientConnection, connect

from bridge.bench.process import Server, serving_bridge
from bridge.events import utc_now

SEED = 20_261_125
RAIDERS = 100
FRAMES = 100  # of each
PACE_S = 0.3  # between two of a station: together somewhat less than one bridge on one core can take
TALK = 60  # good messages of each before
NEIGHBOURS = 20
CAP = 65_536  # bytes; the least that a bridge can be set to, so that its limits are met often
PATIENCE_S = 30


class Raider:
    """A station that sends what it should not, and reads what it is answered."""

    def __init__(self, number: int, link: ClientConnection) -> None:
        dice = random.Random(SEED + number)
        kinds = list(KINDS) * (FRAMES // len(KINDS) + 1)
        dice.shuffle(kinds)
        self._messages = [carried(dice, hostile(dice, CAP, kind)) for kind in kinds[:FRAMES]]
        self._link = link

    async def talk(self) -> None:
        """As an ordinary station does: what fills up once in a bridge (caches, its tail of entries) is full then."""
        await self._send([wire(TEXT, call("talk", "DataTransfer", {"vendorId": "x", "data": "." * 1500}))] * TALK)

    async def raid(self) -> None:
        await self._send(self._messages, PACE_S)

    async def _send(self, messages: list[bytes], pace_s: float = 0.0) -> None:
        """Returns when it was answered to the end; its connection stands."""
        reading = asyncio.create_task(self._read_to("the end"))
        for message in messages:
            self._link.transport.write(message)
            await asyncio.sleep(pace_s)
        await self._link.send('[2,"the end","Heartbeat",{}]')
        await reading

    async def _read_to(self, id: str) -> None:
        async for text in self._link:
            frame = json.loads(text)
            if frame[0] == 2:
                continue  # what the bridge asks of a station a while after its boot
            assert frame[0] in (3, 4), text
            if frame[1] == id:
                assert frame[0] == 3, text
                return
        raise AssertionError(f"the bridge ended the connection: {self._link.close_code} {self._link.close_reason}")


class Neighbour:
    """A station that charges; notes how long each answer took and the ids of what was acknowledged."""

    def __init__(self, charger: Charger) -> None:
        self._charger = charger
        self.latencies_s: list[float] = []

    async def charge(self, is_over: asyncio.Event) -> int:
        """A whole session; returns how many calls were answered."""
        start = {"connectorId": 1, "idTag": "CARD", "meterStart": 0, "timestamp": utc_now().isoformat()}
        transaction = (await self._call("StartTransaction", start))["transactionId"]
        wh = 0
        while not is_over.is_set():
            wh += 10
            sample = {"meterValue": [{"timestamp": utc_now().isoformat(), "sampledValue": [{"value": str(wh)}]}]}
            answer = await self._call("MeterValues", {"connectorId": 1, "transactionId": transaction} | sample)
            assert answer == {}
            await asyncio.sleep(0.01)
        stop = {"transactionId": transaction, "meterStop": wh, "timestamp": utc_now().isoformat()}
        assert await self._call("StopTransaction", stop) == {}
        return len(self.latencies_s)

    async def _call(self, action: str, payload: dict[str, object]) -> dict[str, int]:
        asked_s = time.perf_counter()
        answer: dict[str, int] = await asyncio.wait_for(self._charger.call(action, payload), PATIENCE_S)
        self.latencies_s.append(time.perf_counter() - asked_s)
        return answer


@asynccontextmanager
async def connected(server: Server, station: str, protocol: str) -> AsyncIterator[ClientConnection]:
    url = f"ws://127.0.0.1:{server.port}/ocpp/{station}"
    async with connect(url, subprotocols=[protocol], compression=None, max_size=None) as link:  # type: ignore[list-item]
        yield link


class Weather(NamedTuple):
    """What a storm left: how many calls of the neighbours were answered, how long all but a hundredth of them took,
    and by how much the bridge grew."""

    answered: int
    p99_s: float
    grown_kib: int


async def storm(server: Server) -> Weather:
    async with asyncio.timeout(100), AsyncExitStack() as stack:
        links = [
            await stack.enter_async_context(connected(server, f"RAID-{number:03d}", PROTOCOLS[number % 2]))
            for number in range(RAIDERS)
        ]
        chargers = [
            Charger(await stack.enter_async_context(connected(server, f"PEACE-{number:02d}", "ocpp1.6")))
            for number in range(NEIGHBOURS)
        ]
        for charger in chargers:
            await charger.boot()
        raiders = [Raider(number, link) for number, link in enumerate(links)]
        await asyncio.gather(*(raider.talk() for raider in raiders))
        neighbours = [Neighbour(charger) for charger in chargers]
        before_kib, is_over = server.memory_kib(), asyncio.Event()
        charging = [asyncio.create_task(neighbour.charge(is_over)) for neighbour in neighbours]
        await asyncio.gather(*(raider.raid() for raider in raiders))
        is_over.set()
        answered = sum(await asyncio.gather(*charging))
        latencies_s = sorted(latency for neighbour in neighbours for latency in neighbour.latencies_s)
        p99_s = latencies_s[int(len(latencies_s) * 0.99)]
        return Weather(answered, p99_s, server.memory_kib() - before_kib)


def journaled(folder: Path, stations: str) -> list[tuple[str, bytes, bytes]]:
    """(action, frame, reply) of every message from stations like that."""
    with closing(sqlite3.connect(folder / "journal.db")) as journal:
        query = "SELECT action, frame, reply FROM entries WHERE station LIKE ? AND direction = '>' AND frame <> x''"
        return journal.execute(query, (stations,)).fetchall()


@pytest.mark.timeout(120)
def test_ten_thousand_malformed_frames_end_nothing_and_disturb_nobody(tmp_path: Path) -> None:
    with serving_bridge(tmp_path, CHARGEWATCH_OCPP__MAX_FRAME_BYTES=str(CAP)) as server:
        weather = asyncio.run(storm(server))
        assert server.memory_kib() > 0, "the process lives"
    assert weather.p99_s < 1.0
    assert weather.grown_kib < 50 * 1024
    good = [action for action, _, reply in journaled(tmp_path, "PEACE-%") if reply.startswith(b"[3,")]
    assert len(good) == weather.answered + NEIGHBOURS  # and their boots
    raids = journaled(tmp_path, "RAID-%")
    assert len(raids) > RAIDERS * (TALK + FRAMES * 0.9), "what cannot be taken is kept too, but for frames of no bytes"
    assert [frame[:300] for _, frame, reply in raids if b"InternalError" in reply] == []
