"""What chargers do to a connection, and what a person is promised all the same. By the numbers of docs/quirks.md."""

from __future__ import annotations

import asyncio
import json
import random
import re
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fuzz_world import hostile
from ocpp_world import PEPPER, Charger, World, desk
from quirks_world import (
    BOOT_16,
    HEARTBEAT,
    NOW,
    STATUS,
    at,
    committed,
    entries,
    journaled,
    play,
    station,
    traits,
    with_policy,
)
from raw_world import Deaf, basic, handshake
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from bridge.access import Directory, StationEntry, key_hmac
from bridge.command_bus import CommandOutcome
from bridge.events import ConnectorStatus, FrameMended, StationDisconnected
from bridge.ocpp import v16, v21, v201
from bridge.ocpp.versions import Version
from bridge.ocpp.ways import Ways
from bridge.policies import load_quirks
from bridge.session import SessionState
from bridge.settings import Unknown

ALL = set(range(1, 74))
OCPP_16 = Subprotocol("ocpp1.6")


def test_every_quirk_has_its_test() -> None:
    source = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_quirks_*.py"))
    names = re.findall(r"^def test_quirk_(\d+)_\w+", source, re.MULTILINE)
    assert {int(number) for number in names} == ALL


def test_quirk_1_no_subprotocol_offered_is_16_and_noted(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with connect(house.url("/ocpp/CP")) as link:
            assert (await Charger(link).boot())["status"] == "Accepted"
        notes = [event.notes for event in journaled(await committed(house)) if isinstance(event, FrameMended)]
        assert notes == [("no subprotocol offered: taken as OCPP 1.6",)]

    play(tmp_path, scene)


def test_quirk_1_a_person_may_want_it_refused(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        with pytest.raises(InvalidStatus) as refused:
            await connect(house.url("/ocpp/CP"))
        assert refused.value.response.status_code == 400
        assert b"ocpp1.6" in (refused.value.response.body or b"")
        async with house.charger("CP") as charger, connect(house.url("/ocpp/OTHER")) as other:
            assert (await charger.boot())["status"] == (await Charger(other).boot())["status"] == "Accepted"

    play(tmp_path, scene, directory=with_policy(no_subprotocol="refuse"))


@pytest.mark.parametrize("value", ["", "keep-alive"])
def test_quirk_2_a_missing_connection_header_is_forgiven(tmp_path: Path, value: str) -> None:
    async def scene(house: World) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
        writer.write(handshake("/ocpp/CP", Connection=value).encode())
        assert b" 101 " in await reader.readline()
        writer.close()

    play(tmp_path, scene)


def test_quirk_3_the_version_may_change_between_reconnects(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        begun = {"connectorId": 1, "idTag": "CARD", "meterStart": 1000, "timestamp": at(-60)}
        async with house.charger("CP") as old:
            transaction = (await old.call("StartTransaction", begun))["transactionId"]
        async with house.charger("CP", "ocpp2.0.1") as new:
            assert (await new.call("Heartbeat", {}))["currentTime"]
            assert house.book.stations["CP"].protocol == "ocpp2.0.1"
        async with house.charger("CP") as old:
            end = {"transactionId": transaction, "meterStop": 1700, "timestamp": at(0)}
            assert await old.call("StopTransaction", end) == {}
        assert [(s.state, s.energy_wh) for s in house.sessions("CP")] == [(SessionState.ENDED, 700)]

    play(tmp_path, scene)


def test_quirk_4_bodies_of_16_on_a_connection_of_201(tmp_path: Path) -> None:
    with desk(tmp_path, v201.VERSION) as there:
        assert there.say("BootNotification", BOOT_16)["status"] == "Accepted"
        assert there.intake.book.stations["CP"].vendor == "Acme"
        assert "ocpp1.6" in there.notes
        assert there.say("StatusNotification", STATUS | {"status": "Charging"}) == {}
        assert there.intake.book.connectors["CP", 1, 1].status is ConnectorStatus.CHARGING
        begun = {"connectorId": 1, "idTag": "C", "meterStart": 0, "timestamp": at(0)}
        assert "transactionId" in there.say("StartTransaction", begun)


async def named(house: World, path: str) -> str:
    """The station that a connection by this path is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(handshake(path).encode("latin-1"))
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    (name,) = house.server.connections
    writer.close()
    await house.until(lambda: not house.server.connections, "its end")
    return name


@pytest.mark.parametrize("path", ["/ocpp/CP/", "//ocpp///CP//", "///CP", "/CP"])
def test_quirk_5_slashes_too_many(tmp_path: Path, path: str) -> None:
    async def scene(house: World) -> None:
        assert await named(house, path) == "CP"

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/ocpp/A+1*.x", "A+1*.x"), ("/ocpp/A%2FB", "A/B"), ("/ocpp/%C3%82", "Â"), ("/ocpp/%C2", "Â"), ("/A%20B", "A B")],
)
def test_quirk_6_odd_characters_in_an_id(tmp_path: Path, path: str, name: str) -> None:
    async def scene(house: World) -> None:
        assert await named(house, path) == name

    play(tmp_path, scene)


def keyed(key: bytes) -> Directory:
    return Directory(stations={"CP": StationEntry(id="CP", key_hmac=key_hmac(PEPPER, key))})


def test_quirk_7_an_id_in_another_case_is_the_registered_station(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("cp", additional_headers=basic("cp", b"key")):
            assert list(house.server.connections) == ["CP"]

    play(tmp_path, scene, directory=keyed(b"key"), unknown=Unknown.REJECT)


@pytest.mark.parametrize("sent", [b"\x01\xfe\x3a\x00", b"01fe3a00", b"01FE3A00"])
def test_quirk_8_binary_or_hex_passwords_and_any_user_name(tmp_path: Path, sent: bytes) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP", additional_headers=basic("admin", sent)) as charger:
            assert (await charger.boot())["status"] == "Accepted"

    play(tmp_path, scene, directory=keyed(b"\x01\xfe\x3a\x00"), unknown=Unknown.REJECT)


def test_quirk_9_a_charger_without_our_issuer_is_seen_by_its_address(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)

    async def scene(house: World) -> None:
        url = house.url("/ocpp/CP").replace("ws:", "wss:")
        with pytest.raises(ssl.SSLError):
            await connect(url, subprotocols=[OCPP_16], ssl=ssl.create_default_context())
        failed = house.server.failed_handshakes.by_address
        await house.until(lambda: failed, "the failure")
        assert failed == {"127.0.0.1": 1}
        context = ssl.create_default_context(cafile=str(certificate))
        async with connect(url, subprotocols=[OCPP_16], ssl=context) as link:
            assert (await Charger(link).boot())["status"] == "Accepted"
        assert failed == {"127.0.0.1": 1}

    play(tmp_path, scene, tls_certificate=certificate, tls_key=key)


def test_quirk_10_the_late_close_of_the_old_socket_does_not_wipe_the_new_one(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as old:
            await old.boot()
            async with house.charger("CP") as new:
                await new.boot()
                with pytest.raises(ConnectionClosed):
                    await old.link.recv()
                assert (await new.call("Heartbeat", {}))["currentTime"]
                assert house.book.stations["CP"].is_connected
                events = journaled(await committed(house))
                assert [event for event in events if isinstance(event, StationDisconnected)] == []

    play(tmp_path, scene, directory=with_policy(second_connection="displace"))


def test_quirk_11_one_socket_per_message_is_one_session(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async def once(action: str, payload: dict[str, Any]) -> Any:
            async with house.charger("CP") as charger:
                return await charger.call(action, payload)

        await once("BootNotification", {"chargePointVendor": "openWB", "chargePointModel": "Series 2"})
        assert house.server.policy_of("CP").second_connection == "displace"
        begun = await once("StartTransaction", {"connectorId": 1, "idTag": "C", "meterStart": 0, "timestamp": at(-9)})
        transaction = begun["transactionId"]
        reading = [{"timestamp": at(-5), "sampledValue": [{"value": "400"}]}]
        await once("MeterValues", {"connectorId": 1, "transactionId": transaction, "meterValue": reading})
        await once("StopTransaction", {"transactionId": transaction, "meterStop": 900, "timestamp": at(0)})
        assert [(s.state, s.energy_wh, s.review) for s in house.sessions("CP")] == [(SessionState.ENDED, 900, ())]

    play(tmp_path, scene, directory=with_policy(cards=("C",)))


def test_quirk_12_a_heartbeat_just_in_time_is_no_disconnect(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        deaf = await Deaf.connect(house)
        link = house.server.connections["CP"]
        for silent_s in (300.0, 590.0):  # one heartbeat, and nearly two
            link.heard_s = asyncio.get_running_loop().time() - silent_s
            link.keep_alive(30.0, 300.0)
            assert link.is_open
        link.heard_s = asyncio.get_running_loop().time() - 700.0
        link.keep_alive(30.0, 300.0)
        await house.until(lambda: not house.server.holds("CP"), "the end of patience")
        deaf.writer.close()

    play(tmp_path, scene)


def test_quirk_13_a_station_that_hears_nothing_is_told_of_until_it_hears(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            await charger.boot()
            for _ in range(3):
                assert (await house.server.call("CP", "ClearCache", {}, 0.05)).outcome is CommandOutcome.TIMEOUT
                charger.calls.append(json.loads(await charger.link.recv()))
                assert (await charger.call("Heartbeat", {}))["currentTime"]
            assert "3 calls in a row" in traits(await committed(house))["deaf"].body["said"]
            done = asyncio.create_task(house.server.call("CP", "ClearCache", {}, 5.0))
            await charger.reply(json.loads(await charger.link.recv()))
            assert (await done).outcome is CommandOutcome.ANSWERED
            assert traits(await committed(house)) == {}

    play(tmp_path, scene)


def test_quirk_14_who_answers_no_ping_but_speaks_is_alive(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        deaf = await Deaf.connect(house)
        received = b""
        while b"\x89\x00" not in received:  # until it was pinged
            received += await deaf.reader.read(10_000)
        deaf.say(HEARTBEAT)
        while b"currentTime" not in received:
            received += await deaf.reader.read(10_000)
        assert house.server.holds("CP")
        deaf.writer.close()

    play(tmp_path, scene, ping_interval_s=0.05)


def test_quirk_14_a_person_may_want_a_station_never_pinged(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            await charger.boot()
            link = house.server.connections["CP"]
            link.heard_s -= 100.0
            link.keep_alive(30.0, 300.0)
            assert link.pinged_s is None

    play(tmp_path, scene, directory=with_policy(pings=False))


def test_quirk_15_reboot_loops_are_told_and_a_missing_boot_holds_nobody_up(tmp_path: Path) -> None:
    with desk(tmp_path, v16.VERSION) as there:
        there.say("Heartbeat", {}, NOW)
        assert not there.calls.is_open
        there.say("Heartbeat", {}, NOW + timedelta(seconds=11))
        assert there.calls.is_open
        for minute in range(5):
            assert "reboots" not in traits(there)
            assert there.say("BootNotification", BOOT_16, NOW + timedelta(minutes=minute))["status"] == "Accepted"
        assert traits(there)["reboots"].body["policy"] == {"ask_configuration": "none"}


def test_quirk_16_nothing_is_asked_before_the_boot_is_answered(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            early = asyncio.create_task(house.server.call("CP", "ClearCache", {}, 30.0))
            await charger.link.send('[2,"b","BootNotification",{"chargePointVendor":"A","chargePointModel":"B"}]')
            assert json.loads(await charger.link.recv())[:2] == [3, "b"]
            await charger.reply(json.loads(await charger.link.recv()))
            assert (await early).outcome is CommandOutcome.ANSWERED

    play(tmp_path, scene)


def test_quirk_16_a_person_may_insist_on_the_boot_or_do_without(tmp_path: Path) -> None:
    with station(tmp_path / "boot", calls="boot") as there:
        there.say("Heartbeat", {}, NOW)
        there.say("Heartbeat", {}, NOW + timedelta(hours=1))
        assert not there.calls.is_open
        there.say("BootNotification", BOOT_16)
        assert there.calls.is_open
    with station(tmp_path / "once", calls="at_once") as there:
        assert there.calls.is_open


def test_quirk_17_a_model_that_restarts_when_asked_for_one_key_is_asked_for_all(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            await charger.call("BootNotification", {"chargePointVendor": "ABB", "chargePointModel": "TACW22"})
            done = asyncio.create_task(house.server.call("CP", "GetConfiguration", {"key": ["A"]}, 5.0))
            await charger.reply(json.loads(await charger.link.recv()))
            assert (await done).outcome is CommandOutcome.ANSWERED
            assert charger.calls == [("GetConfiguration", {})]

    play(tmp_path, scene)


def test_a_station_learns_its_ways_from_the_boot_and_from_a_person(tmp_path: Path) -> None:
    with desk(tmp_path, v16.VERSION) as there:
        ways = Ways(there.intake, load_quirks())
        assert ways.policy_of("CP").ask_single_keys
        there.say("BootNotification", {"chargePointVendor": "ABB", "chargePointModel": "Terra AC"})
        assert not ways.policy_of("CP").ask_single_keys
        there.intake.directory = with_policy(ask_single_keys=True, register="session")
        assert ways.policy_of("CP").ask_single_keys
        assert there.talk.policy.register == "lifetime"
        ways.spread([there.talk])
        assert there.talk.policy.register == "session"


def test_a_conversation_whose_station_nobody_has_spoken_of_is_left_as_it_is(tmp_path: Path) -> None:
    with desk(tmp_path, v16.VERSION) as there:
        before = there.talk.policy
        there.talk.learn_anew()
        assert there.talk.policy is before


def test_a_persons_word_reaches_a_station_that_is_connected(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger, house.charger("NEXT") as neighbour:
            await charger.boot()
            await neighbour.boot()
            house.intake.directory = with_policy(register="session")
            talks = [house.server.connections[name].talk for name in ("CP", "NEXT")]
            await house.until(lambda: [t and t.policy.register for t in talks] == ["session", "lifetime"], "the word")

    play(tmp_path, scene, ping_interval_s=0.2)


@pytest.mark.parametrize("version", [v16.VERSION, v201.VERSION, v21.VERSION], ids=lambda version: version.protocol)
def test_hostile_frames_find_nothing_to_break_where_a_policy_reads_them(tmp_path: Path, version: Version) -> None:
    everything = {"energy_unit": "kwh", "power_unit": "kw", "edge_unit": "kwh", "register": "session",
                  "meter_start": "first_reading", "clock": "local", "id_tag_bytes": 6}  # fmt: skip
    dice = random.Random(73)
    for total in ("sum", "l1_is_total"):
        with station(tmp_path / total, "Europe/Berlin", version, **everything, phase_total=total) as there:
            for _ in range(1_500):
                there.send(hostile(dice))
            assert b"InternalError" not in b"".join(entry.reply for entry in entries(there))


def test_a_zone_that_nobody_knows_costs_no_connection(tmp_path: Path) -> None:
    with station(tmp_path, "Europe/Nowhere", clock="local") as there:
        assert there.say("BootNotification", BOOT_16)["status"] == "Accepted"
