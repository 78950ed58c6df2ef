"""Who waits for a person, over real sockets, and how a station that is in gets a new key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from door_world import KEY, PLAIN, PROXIED, SECURE, basic, knock, leave, play, stay
from ocpp_world import PEPPER, Charger, World
from websockets.exceptions import ConnectionClosed

from bridge.access import key_hmac
from bridge.command_bus import CommandOutcome, Request
from bridge.events import StationBooted, StationConnected
from bridge.ocpp.waiting_room import MAX_FRAMES, WaitingRoom
from bridge.settings import Unknown
from bridge.stores.people import People
from bridge.stores.provisioning import Provisioning
from bridge.stores.records import Records


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with Records(f"sqlite:///{tmp_path}/records.db") as records:
        records.migrate()
        yield records


# who waits


async def settle(house: World, records: Records) -> None:
    """What the bridge does every few seconds."""
    await house.server.ledger.write()
    house.intake.directory = records.directory()
    house.server.recheck()


def test_a_stranger_waits_and_is_in_the_inbox_and_nowhere_else(tmp_path: Path, records: Records) -> None:
    async def scene(house: World) -> None:
        async with house.charger("NEW", additional_headers=basic()) as charger:
            assert (await charger.boot())["status"] == "Pending"
            await charger.call("StatusNotification", {"connectorId": 1, "errorCode": "x", "status": "Charging"})
            await settle(house, records)
            (held,) = Provisioning(records).inbox()
            assert (held.vendor, held.model, held.address, held.is_connected) == ("Acme", "Box", "127.0.0.1", True)
            assert held.offered_key_hmac == key_hmac(PEPPER, KEY)
        await house.until(lambda: not house.server.connections, "its end")
        await settle(house, records)
        assert not Provisioning(records).inbox()[0].is_connected
        assert await house.events() == []
        assert (house.book.stations, house.book.connectors) == ({}, {})
        actions = [entry.action for _, entry in house.journal.read(0, 100)]
        assert actions == ["BootNotification", "StatusNotification"], "what it said is kept all the same"

    play(tmp_path, scene, unknown=Unknown.HOLD, records=records, security_profile=2)


def test_an_approved_station_is_asked_to_boot_and_comes_in(tmp_path: Path, records: Records) -> None:
    async def scene(house: World) -> None:
        async with house.charger("NEW", additional_headers=basic()) as charger:
            assert (await charger.boot())["status"] == "Pending"
            await settle(house, records)
            Provisioning(records).approve("NEW", "ann", held_since(records))
            await settle(house, records)
            message = json.loads(await charger.link.recv())
            assert message[2:] == ["TriggerMessage", {"requestedMessage": "BootNotification"}]
            charger.answers["TriggerMessage"] = {"status": "Accepted"}
            await charger.reply(message)
            assert (await charger.boot())["status"] == "Accepted"
            assert (await charger.call("Heartbeat", {}))["currentTime"]
            kinds = [type(event) for event in await house.events()]
            assert kinds.index(StationConnected) < kinds.index(StationBooted)
            assert house.book.stations["NEW"].is_connected
            await settle(house, records)
            assert Provisioning(records).inbox() == []
        assert await knock(house, "NEW", **basic(b"another-key-of-16")) == 401, "its key is pinned"

    play(tmp_path, scene, unknown=Unknown.HOLD, records=records, security_profile=2)


def held_since(records: Records) -> Any:
    return Provisioning(records).inbox()[0].first_seen_at


def test_a_station_that_is_shut_out_has_to_go_and_stays_out(tmp_path: Path, records: Records) -> None:
    People(records, PEPPER).set_station_key("CP", KEY.decode())

    async def scene(house: World) -> None:
        house.intake.directory = records.directory()
        async with house.charger("CP", additional_headers=basic()) as charger:
            await charger.boot()
            Provisioning(records).refuse("CP", "ann", house.book.stations["CP"].connected_at or 0)  # type: ignore[arg-type]
            await settle(house, records)
            with pytest.raises(ConnectionClosed) as closed:
                await charger.link.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
        assert await knock(house, **basic()) == 401

    play(tmp_path, scene, records=records)


def test_a_stranger_over_a_readable_wire_does_not_even_wait(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        assert await knock(house, "NEW", **basic(), **PLAIN) == 401
        assert await knock(house, "NEW", **basic(), **SECURE) == 101

    play(tmp_path, scene, unknown=Unknown.HOLD, security_profile=2, **PROXIED)


async def drain(charger: Charger) -> None:
    while True:
        await charger.link.recv()


def test_a_stranger_that_says_too_much_is_cut_off_and_too_big_is_not_kept(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("NEW") as charger:
            error = await charger.call("BootNotification", {"chargePointVendor": "x" * 20_000})
            assert error[0] == 4
            assert "at most 16384" in error[3]
            for n in range(MAX_FRAMES):
                await charger.link.send(f'[2,"{n}","Heartbeat",{{}}]')
            with pytest.raises(ConnectionClosed):
                await drain(charger)
            assert charger.link.close_code == 1008

    play(tmp_path, scene, unknown=Unknown.HOLD)


def test_an_address_fills_the_waiting_room_only_so_far_and_others_still_find_a_place(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        here = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}
        there = here | {"X-Forwarded-For": "198.51.100.8"}
        kept = [await stay(house, f"S{n}", **here) for n in range(3)]
        assert await knock(house, "S3", **here) == 401, "three of this address wait and are there"
        assert await knock(house, "S4", **there) == 101
        await leave(*(writer for _, writer in kept))

    few = {"max_held": 10, "max_held_per_address": 3}
    play(tmp_path, scene, unknown=Unknown.HOLD, security_profile=2, stations=few, **PROXIED)


def test_names_without_end_from_one_address_end_in_the_brake(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        statuses = [await knock(house, f"S{n}") for n in range(130)]
        assert statuses[:90] == [101] * 90
        assert statuses[-20:] == [401] * 20
        assert len(house.server.ledger.room.stations()) <= 5

    few = {"max_held": 5, "max_held_per_address": 5}
    play(tmp_path, scene, unknown=Unknown.HOLD, stations=few)


def test_the_waiting_room_forgets_who_is_gone_the_longest(frozen: Callable[[int], Any]) -> None:
    room = WaitingRoom(3, 3, "b")
    for n in range(3):
        room.enter(f"S{n}", "a", "ocpp1.6", "none", None, frozen(n))
    assert not room.has_place("S3", "a")
    for n in (2, 0):
        room.left(f"S{n}", frozen(10 - n))
    room.enter("S3", "a", "ocpp1.6", "none", None, frozen(20))
    assert room.stations() == ["S0", "S1", "S3"]
    changed, gone = room.take_news()
    assert ([held.station for held in changed], gone) == (["S0", "S1", "S3"], ["S2"])
    room.give_back(changed, gone)
    assert room.take_news() == (changed, gone)


@pytest.fixture
def frozen() -> Callable[[int], Any]:
    from datetime import UTC, datetime, timedelta

    return lambda second: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)


# a new key


@pytest.mark.parametrize(
    ("protocol", "action", "answer"),
    [
        ("ocpp1.6", "ChangeConfiguration", {"status": "Accepted"}),
        (
            "ocpp2.0.1",
            "SetVariables",
            {
                "setVariableResult": [
                    {
                        "attributeStatus": "Accepted",
                        "component": {"name": "SecurityCtrlr"},
                        "variable": {"name": "BasicAuthPassword"},
                    }
                ]
            },
        ),
    ],
)
def test_a_station_takes_a_new_key_and_both_open_until_it_has_come_with_it(
    tmp_path: Path, records: Records, protocol: str, action: str, answer: dict[str, Any]
) -> None:
    People(records, PEPPER).set_station_key("CP", KEY.decode())

    async def scene(house: World) -> None:
        house.intake.directory = records.directory()
        async with house.charger("CP", protocol, additional_headers=basic()) as charger:
            await boot(charger, protocol)
            charger.answers[action] = answer
            new = await rotated(house, charger)
        await house.until(lambda: not house.server.connections, "its end")
        assert await knock(house, **basic()) == 101, "its answer may have been lost on its way"
        await house.until(lambda: not house.server.connections, "its end")
        assert await knock(house, **basic(new)) == 101
        await settle(house, records)
        await house.until(lambda: not house.server.connections, "its end")
        assert await knock(house, **basic()) == 401
        assert await knock(house, **basic(new)) == 101

    play(tmp_path, scene, records=records)


async def boot(charger: Charger, protocol: str) -> None:
    if protocol == "ocpp1.6":
        await charger.boot()
    else:
        station = {"vendorName": "Acme", "model": "Box"}
        await charger.call("BootNotification", {"reason": "PowerUp", "chargingStation": station})


async def rotated(house: World, charger: Charger) -> bytes:
    request = Request(id="r", action="RotateKey", payload={}, reply_to="x")
    done = asyncio.create_task(house.server.execute(request, "CP"))
    message = json.loads(await charger.link.recv())
    await charger.reply(message)
    result = await done
    assert (result.outcome, result.payload) == (CommandOutcome.ANSWERED, {"status": "Accepted"})
    payload = message[3]
    value = payload["value"] if "value" in payload else payload["setVariableData"][0]["attributeValue"]
    assert isinstance(value, str)
    return value.encode()


def test_a_key_that_the_station_does_not_take_opens_nothing(tmp_path: Path, records: Records) -> None:
    People(records, PEPPER).set_station_key("CP", KEY.decode())

    async def scene(house: World) -> None:
        house.intake.directory = records.directory()
        async with house.charger("CP", additional_headers=basic()) as charger:
            await charger.boot()
            charger.answers["ChangeConfiguration"] = {"status": "Rejected"}
            request = Request(id="r", action="RotateKey", payload={"key": "fedcba9876543210"}, reply_to="x")
            done = asyncio.create_task(house.server.execute(request, "CP"))
            await charger.reply(json.loads(await charger.link.recv()))
            assert (await done).payload == {"status": "Rejected"}
        await settle(house, records)
        assert await knock(house, **basic(b"fedcba9876543210")) == 401
        assert await knock(house, **basic()) == 101

    play(tmp_path, scene, records=records)


def test_no_key_is_sent_to_a_station_that_nobody_has_registered(tmp_path: Path, records: Records) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            await charger.boot()
            request = Request(id="r", action="RotateKey", payload={}, reply_to="x")
            answer = await house.server.execute(request, "CP")
            assert answer.outcome is CommandOutcome.INVALID
            assert "register it" in answer.detail

    play(tmp_path, scene, records=records)
