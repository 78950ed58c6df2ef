"""What chargers do to a frame, and what is promised all the same: kept, answered, no neighbour disturbed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ocpp_world import Desk, World, desk
from quirks_world import BOOT_16, at, energies, frame, is_valid, kept_frames, meter, play, start, status, stop

from bridge.command_bus import CommandOutcome
from bridge.events import CommandAnswered, ConnectorStatus, MeterSampled
from bridge.ocpp import v16
from bridge.session import SessionState


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path, v16.VERSION) as there:
        yield there


@pytest.mark.parametrize("raw", [rb'"Acme\u0000"', b'"Acme\x00"', b'"\x00Acme"'])
def test_quirk_18_nul_in_a_text_is_no_part_of_it(old: Desk, raw: bytes) -> None:
    said = b'[2,"1","BootNotification",{"chargePointVendor":' + raw + b',"chargePointModel":"Box"}]'
    assert old.send(said)[2]["status"] == "Accepted"
    assert old.intake.book.stations["CP"].vendor == "Acme"
    assert said in kept_frames(old)


def test_quirk_19_broken_json_whose_meaning_is_plain_is_mended(old: Desk) -> None:
    start(old)
    broken = '{"connectorId":1,"transactionId":,"meterValue":[,{"timestamp":"%s","sampledValue":[{"value":"1400"}]}]}'
    assert old.send(f'[2,"1","MeterValues",{broken % at(-300)}]') == [3, "1", {}]
    assert energies(old) == [400]
    assert old.send(f'[2,"2","StopTransaction",{{"transactionId":,"meterStop":1900,"timestamp":"{at(0)}"}}]')[0] == 3
    assert energies(old) == [900]
    assert "mended" in old.notes


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (b"", [4, "-1", "FormationViolation"]),
        (b'[2,"1","Heartbeat",null]', [3, "1"]),
        (b'[2,"1","Heartbeat"]', [3, "1"]),
        (b'[2,"1","BootNotification",null]', [4, "1", "OccurenceConstraintViolation"]),
    ],
)
def test_quirk_20_empty_frames_and_null_payloads_are_answered(old: Desk, raw: bytes, answer: list[Any]) -> None:
    assert old.send(raw)[: len(answer)] == answer
    assert raw in kept_frames(old)


def test_quirk_20_a_binary_frame_is_a_frame(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            answer = await charger.say(frame("Heartbeat", {}).encode())
            assert "currentTime" in answer[2]

    play(tmp_path, scene)


@pytest.mark.parametrize("parts", [1, 40])
def test_quirk_21_a_big_frame_gets_a_clear_error_and_the_connection_lives(tmp_path: Path, parts: int) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            whole = frame("DataTransfer", {"vendorId": "x" * 100_000}, "big")
            size = len(whole) // parts + 1
            pieces = [whole[begin : begin + size] for begin in range(0, len(whole), size)]
            await charger.link.send(whole if parts == 1 else iter(pieces))
            error = json.loads(await charger.link.recv())
            assert error[:3] == [4, "big", "FormationViolation"]
            assert "at most 65536" in error[3]
            assert (await charger.call("Heartbeat", {}))["currentTime"]

    play(tmp_path, scene, max_frame_bytes=65_536)


def test_quirk_22_a_message_id_used_again_has_no_second_effect(old: Desk) -> None:
    transaction = start(old)
    reading = [{"timestamp": at(-300), "sampledValue": [{"value": "1500"}]}]
    meter = frame("MeterValues", {"connectorId": 1, "transactionId": transaction, "meterValue": reading}, "same")
    end = frame("StopTransaction", {"transactionId": transaction, "meterStop": 2000, "timestamp": at(0)}, "same")
    for raw in (meter, meter, end, end):
        assert old.send(raw)[:2] == [3, "same"]
    assert energies(old) == [1000]


def test_quirk_23_a_late_answer_matches_no_newer_call(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            await charger.boot()
            assert (await house.server.call("CP", "ClearCache", {}, 0.05)).outcome is CommandOutcome.TIMEOUT
            first = json.loads(await charger.link.recv())
            newer = asyncio.create_task(house.server.call("CP", "GetLocalListVersion", {}, 10.0))
            second = json.loads(await charger.link.recv())
            await charger.link.send(json.dumps([3, first[1], {"status": "Accepted"}]))
            assert (await charger.call("Heartbeat", {}))["currentTime"], "its own calls wait for none of ours"
            assert not newer.done()
            await charger.link.send(json.dumps([3, second[1], {"listVersion": 7}]))
            assert (await newer).payload == {"listVersion": 7}

    play(tmp_path, scene)


def test_quirk_24_an_over_long_serial_and_an_empty_vendor_are_kept(old: Desk) -> None:
    serial = "S" * 60
    answer = old.say("BootNotification", BOOT_16 | {"chargePointVendor": "", "chargePointSerialNumber": serial})
    assert answer["status"] == "Accepted"
    assert old.intake.book.stations["CP"].serial == serial
    assert "chargePointSerialNumber" in old.notes


def test_quirk_25_values_outside_the_enumeration_keep_their_message(old: Desk) -> None:
    assert status(old, "Charging", errorCode="Error") == {}
    connector = old.intake.book.connectors["CP", 1, 1]
    assert (connector.status, connector.error_code) == (ConnectorStatus.CHARGING, "Error")
    assert "errorCode" in old.notes
    assert status(old, "Dreaming") == {}
    assert old.intake.book.connectors["CP", 1, 1].status is ConnectorStatus.CHARGING
    odd = {"value": "50.02", "measurand": "Frequency", "unit": "Hz"}, {"value": "3", "measurand": "X-Cable.Length"}
    assert meter(old, 0, *odd, 1500) == {}
    sampled = old.events[0]
    assert isinstance(sampled, MeterSampled)
    assert sampled.values == {"frequency_hz": 50.02, "energy_import_wh": 1500.0}
    assert sampled.unknown == ("X-Cable.Length",)


def test_quirk_26_values_for_value_and_an_object_for_an_array(old: Desk) -> None:
    transaction = start(old)
    sample = {"values": "1500", "measurand": "Energy.Active.Import.Register"}
    payload = {"connectorId": 1, "transactionId": transaction}
    assert old.say("MeterValues", payload | {"meterValue": {"timestamp": at(0), "sampledValue": sample}}) == {}
    assert energies(old) == [500]
    assert old.notes


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (b'[2,17,"Heartbeat",{}]', [3, 17]),
        (b'[2,null,"Heartbeat",{}]', [4, "-1", "FormationViolation"]),
        (b'[2,"' + b"x" * 100_000 + b'","Heartbeat",{}]', [4, "-1", "FormationViolation"]),
        (b'[2,"a",["Heartbeat"],{}]', [4, "a", "FormationViolation"]),
        (b'[2,"a","DataTransfer",' + b"[" * 100_000, [4, "a", "FormationViolation"]),
        (b'[2,"a","StopTransaction",{"transactionId":' + b"9" * 5_000 + b',"meterStop":1}]', [3, "a"]),
        (rb'[2,"a","Authorize",{"idTag":"\ud800"}]', [3, "a"]),
    ],
    ids=["number", "null", "long", "list", "deep", "digits", "surrogate"],
)
def test_quirk_27_hostile_frames_end_no_connection(tmp_path: Path, raw: bytes, answer: list[Any]) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger, house.charger("NEXT") as neighbour:
            assert (await charger.say(raw))[: len(answer)] == answer
            assert (await charger.boot())["status"] == "Accepted"
            assert (await neighbour.boot())["status"] == "Accepted"
            kept = [entry.frame for _, entry in house.journal.read(0, 100) if entry.station == "CP"]
            assert any(one[:50] == raw[:50] for one in kept), "it is in the journal"

    play(tmp_path, scene, max_frame_bytes=200_000)


def test_an_answer_nobody_waits_for_is_kept(old: Desk) -> None:
    assert old.send('[3,"who",{"status":"Accepted"}]') is None
    assert isinstance(old.events[0], CommandAnswered)


def test_a_stop_is_answered_by_its_schema_whatever_it_lacks(old: Desk) -> None:
    answer = stop(old, start(old), 1100, transactionData=None, idTag="CARD")
    assert is_valid(old, "StopTransaction", answer)
    assert [session.state for session in old.sessions] == [SessionState.ENDED]
