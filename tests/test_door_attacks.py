"""Who comes under another's name, says what strangers may not, or stays when its leave has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from door_world import KEY, basic, keyed, knock, play
from ocpp_world import PEPPER, Charger, World
from websockets.exceptions import ConnectionClosed

from bridge.access import Directory, Entry, StationEntry
from bridge.intake import Intake
from bridge.ocpp import threshold
from bridge.ocpp.door import Door
from bridge.ocpp.tls import Certificate, common_name
from bridge.ocpp.visitor import Visitor, side_of
from bridge.ocpp.waiting_room import WaitingRoom
from bridge.settings import Unknown
from bridge.stores.people import People
from bridge.stores.provisioning import Provisioning
from bridge.stores.records import Records

NOW = datetime(2026, 5, 4, 3, tzinfo=UTC)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    found = Records(f"sqlite:///{tmp_path}/records.db")
    found.migrate()
    yield found
    found.close()


async def settle(house: World, records: Records) -> None:
    await house.server.ledger.write()
    house.intake.directory = records.directory()
    house.server.recheck()


async def is_let_go(charger: Charger) -> bool:
    try:
        while True:
            await charger.link.recv()
    except ConnectionClosed as closed:
        return closed.rcvd is not None and closed.rcvd.code == 1008


def test_a_stranger_gets_into_no_record_by_any_type_of_frame(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("NEW", "ocpp2.1") as charger:
            for frame in ([3, "a", {}], [4, "a", "x", "y", {}], [5, "a", "x", "y", {}], [6, "a", "Heartbeat", {}], [2]):
                await charger.link.send(json.dumps(frame))
            await charger.call("BootNotification", {"reason": "PowerUp", "chargingStation": {}})
            assert await house.events() == []
            assert (house.book.stations, house.book.connectors) == ({}, {})

    play(tmp_path, scene, unknown=Unknown.HOLD)


def test_of_strangers_nothing_is_remembered_when_they_have_gone(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        for number in range(5):
            assert await knock(house, f"NEW{number}") == 101
        assert dict(house.server._ways.watches) == {}

    play(tmp_path, scene, unknown=Unknown.HOLD)


def test_a_stranger_is_not_let_in_by_the_approval_of_a_name_in_another_case(tmp_path: Path, records: Records) -> None:
    async def scene(house: World) -> None:
        async with house.charger("cp1", additional_headers=basic()) as other:
            assert (await other.boot())["status"] == "Pending"
            async with house.charger("CP1", additional_headers=basic()) as charger:
                assert (await charger.boot())["status"] == "Pending"
                await settle(house, records)
                Provisioning(records).approve("CP1", "ann", NOW)
                await settle(house, records)
                assert await is_let_go(other), "it comes again, and then by the name that is registered"
                assert (await charger.boot())["status"] == "Accepted"
                assert set(house.book.stations) == {"CP1"}

    play(tmp_path, scene, unknown=Unknown.HOLD, records=records)


def test_whose_key_is_no_longer_good_has_to_go(tmp_path: Path, records: Records) -> None:
    People(records, PEPPER).set_station_key("CP", KEY.decode())
    People(records, PEPPER).set_station_key("OTHER", KEY.decode())

    async def scene(house: World) -> None:
        await settle(house, records)
        headers = basic()
        async with (
            house.charger("CP", additional_headers=headers) as charger,
            house.charger("OTHER", additional_headers=headers) as other,
        ):
            await charger.boot()
            await other.boot()
            People(records, PEPPER).set_station_key("CP", "another-key-of-16")
            await settle(house, records)
            assert await is_let_go(charger)
            assert (await other.call("Heartbeat", {}))["currentTime"]

    play(tmp_path, scene, records=records)


def test_another_that_comes_by_the_name_of_one_that_waits_shows_in_the_inbox(tmp_path: Path, records: Records) -> None:
    async def scene(house: World) -> None:
        async with house.charger("NEW", additional_headers=basic()) as charger:
            await charger.boot()
            assert await knock(house, "NEW", **basic(b"another-key-of-16")) == 401
            await settle(house, records)
            assert Provisioning(records).inbox()[0].other_keys == 1

    play(tmp_path, scene, unknown=Unknown.HOLD, records=records)


def with_certificate(house: World, directory: Directory, station: str, *names: str) -> Entry:
    intake = Intake(house.book, house.journal, Unknown.REJECT, house.intake._tariff, directory)
    door = Door(0, Unknown.REJECT, PEPPER, intake, WaitingRoom(1, 1, ""), lambda *_: None)
    return door.admission(Visitor(station, None, "192.0.2.1", True, False, Certificate(names, "f"))).entry


def test_a_certificate_opens_no_station_that_differs_from_its_own_by_case_only(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        both, one = keyed("CP1", "cp1"), Directory(stations={"CP1": StationEntry(id="CP1")})
        assert with_certificate(house, both, "CP1", "CP1") is Entry.ACCEPTED
        assert with_certificate(house, both, "cp1", "CP1") is Entry.REFUSED
        assert with_certificate(house, both, "Cp1", "CP1") is Entry.REFUSED
        assert with_certificate(house, one, "cp1", "CP1") is Entry.ACCEPTED, "field quirk 7"

    play(tmp_path, scene)


@pytest.mark.parametrize("subject", ["O=a\\,CN=CP2,CN=CP1", "CN=CP1,CN=CP2", "/O=a/CN=CP2/CN=CP1"])
def test_a_subject_that_could_name_two_names_nobody(subject: str) -> None:
    assert common_name(subject) == ""


def test_a_stranger_that_comes_again_and_again_may_say_no_more_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threshold, "MAX_FRAMES", 5)

    async def scene(house: World) -> None:
        for _ in range(2):
            async with house.charger("NEW") as charger:
                await charger.boot()
                await charger.boot()
        async with house.charger("NEW") as charger:
            for _ in range(4):
                await charger.link.send('[2,"1","Heartbeat",{}]')
            assert await is_let_go(charger)
        async with house.charger("NEWER") as charger:
            assert (await charger.boot())["status"] == "Pending"

    play(tmp_path, scene, unknown=Unknown.HOLD)


def test_all_addresses_of_one_ipv6_network_count_as_one() -> None:
    assert side_of("2001:db8::1") == side_of("2001:db8::ffff:1") != side_of("2001:db8:0:1::1")
    assert side_of("192.0.2.1") != side_of("192.0.2.2")
    room = WaitingRoom(10, 2, "")
    for number in range(2):
        assert room.has_place(f"NEW{number}", f"2001:db8::{number}")
        room.enter(f"NEW{number}", f"2001:db8::{number}", "ocpp1.6", "none", None, NOW)
    assert not room.has_place("NEW2", "2001:db8::2")
    assert room.has_place("NEW2", "2001:db8:0:1::2")
