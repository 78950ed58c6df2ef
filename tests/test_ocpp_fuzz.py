"""Five thousand hostile frames on one connection, while a neighbour charges in peace."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

from ocpp_hostile import ACTIONS, SHAPES, scalar, twisted
from ocpp_world import World, world
from websockets.asyncio.client import ClientConnection

from bridge.session import SessionState

FRAMES = 5_000
SEED = 20_260_504
ENDINGS = (b"", b"}", b"]", b"\x00", b'"')
WORST = (
    b"",
    b"null",
    b"[]",
    b"\xff\xfe\xfd",
    b'[2,null,"Heartbeat",{}]',
    b'[2,17,"Heartbeat",null]',
    b'[2,"' + b"i" * 100_000 + b'","Heartbeat",{}]',
    b'[2,"a",["Heartbeat"],{}]',
    b'[2,"a",{"Heartbeat":1},{}]',
    b'[2,"a","' + b"A" * 50_000 + b'",{}]',
    b"[" * 100_000,
    b'[2,"a","MeterValues",' + b"[" * 50_000 + b"]" * 50_000 + b"]",
    b'[2,"a","StopTransaction",{"transactionId":' + b"9" * 5_000 + b"}]",
    b'[2,"a","StartTransaction",{"connectorId":1,"idTag":"x","meterStart":' + b"9" * 30 + b',"timestamp":"now"}]',
    rb'[2,"a","Authorize",{"idTag":"\ud800"}]',
    rb'[2,"\ud800","Authorize",{"idTag":"x"}]',
    b'[2,"a","Authorize",{"idTag":"\x00"}]',
    b'[2,"a","MeterValues",{"connectorId":1,"meterValue":[{"sampledValue":[{"value":"NaN"},{"value":"1e999"}]}]}]',
    b'[2,"a","StatusNotification",{"connectorId":1e9,"status":"","errorCode":""}]',
    b'[3,"a",{}]',
    b'[4,"a","x","y",{}]',
    b'[3]',
    b'[5,"a","b",{}]',
    b'[2,"a","TransactionEvent",{"eventType":"Ended","transactionInfo":{"transactionId":""},"seqNo":-9999999999999}]',
)


def hostile(dice: random.Random) -> bytes:
    if dice.random() < 0.05:
        return dice.choice(WORST)
    kind = 6 if dice.random() < 0.02 else 2
    frame = [kind, f"m{dice.randrange(100)}", dice.choice(ACTIONS), twisted(dice, dice.choice(SHAPES))]
    if dice.random() < 0.1:
        frame[dice.randrange(3)] = scalar(dice)  # type: ignore[call-overload]
    raw = json.dumps(frame, ensure_ascii=dice.random() < 0.9).encode("utf-8", "surrogatepass")
    if dice.random() < 0.15:
        at = dice.randrange(len(raw))
        raw = raw[:at] + dice.choice([b"", b"\x00", b",", b"\xff", bytes([dice.randrange(256)])]) + raw[at + 1 :]
    if dice.random() < 0.05:
        raw = raw[: dice.randrange(len(raw))] + dice.choice(ENDINGS)
    return raw


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
