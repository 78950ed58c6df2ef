"""Five thousand hostile frames on one connection, while a neighbour charges in peace."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

from fuzz_world import hostile
from ocpp_world import World, world
from websockets.asyncio.client import ClientConnection

from bridge.session import SessionState

FRAMES = 5_000
SEED = 20_260_504


async def attack(link: ClientConnection, dice: random.Random) -> None:
    for _ in range(FRAMES):
        raw = hostile(dice)
        await link.send(raw, text=dice.random() < 0.9 and _is_text(raw))


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


async def drain(link: ClientConnection, until: str) -> int:
    """Read answers until the one with that id; every one of them is a frame of OCPP."""
    answers = 0
    async for text in link:
        frame = json.loads(text)
        assert frame[0] in (3, 4)
        answers += 1
        if frame[1] == until:
            return answers
    raise AssertionError("the connection ended")


async def peaceful(house: World) -> int:
    """A whole session beside the noise; returns the energy."""
    async with house.charger("PEACE") as charger:
        await charger.boot()
        begun = await charger.call("StartTransaction", {"connectorId": 1, "idTag": "CARD", "meterStart": 0})
        transaction = begun["transactionId"]
        for wh in range(10, 310, 10):
            sample = {"meterValue": [{"sampledValue": [{"value": str(wh)}]}]}
            assert await charger.call("MeterValues", {"connectorId": 1, "transactionId": transaction} | sample) == {}
            await asyncio.sleep(0.01)
        await charger.call("StopTransaction", {"transactionId": transaction, "meterStop": 300})
    session = house.sessions("PEACE")[0]
    assert session.state is SessionState.ENDED
    return session.energy_wh


def test_five_thousand_hostile_frames_end_no_connection_and_disturb_no_neighbour(tmp_path: Path) -> None:
    async def run(protocol: str, seed: int, folder: Path) -> None:
        async with world(folder) as house, house.charger("HOSTILE", protocol) as noisy:
            drained = asyncio.create_task(drain(noisy.link, "last"))
            peace = asyncio.create_task(peaceful(house))
            await attack(noisy.link, random.Random(seed))
            await noisy.link.send('[2,"last","Heartbeat",{}]')
            assert await drained > FRAMES * 0.8
            assert await peace == 300
            assert house.server.holds("HOSTILE")
            entries = sum(1 for _, entry in house.journal.walk(0) if entry.station == "HOSTILE")
            assert entries > FRAMES  # each of them is kept
            assert b"InternalError" not in b"".join(entry.reply for _, entry in house.journal.walk(0))

    asyncio.run(run("ocpp1.6", SEED, tmp_path / "16"))
    asyncio.run(run("ocpp2.0.1", SEED + 1, tmp_path / "201"))
    asyncio.run(run("ocpp2.1", SEED + 2, tmp_path / "21"))
