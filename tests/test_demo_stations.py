"""Virtual OCPP stations without sockets: every message is valid, nothing is lost offline, commands are answered."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import jsonschema_rs
import ocpp
import pytest
from demo_world import AC, DC, T0, Centre, a_station, charging, connected

from bridge.demo.bay import Bay
from bridge.demo.day import KINDS, REFUSED_CARDS
from bridge.demo.fleet import PROTOCOLS
from bridge.demo.words import CommandRefused, StationPlan

BOTH = pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
FOLDERS = {"ocpp1.6": "v16", "ocpp2.0.1": "v201", "ocpp2.1": "v21"}


@cache
def schema(protocol: str, name: str) -> Any:
    folder = Path(str(ocpp.__file__)).parent / FOLDERS[protocol] / "schemas"
    file = folder / (f"{name}.json" if (folder / f"{name}.json").exists() else f"{name}Request.json")
    return jsonschema_rs.validator_for(json.loads(file.read_text(encoding="utf-8-sig")))


@BOTH
def test_every_message_of_two_days_is_valid_by_the_official_schemas(protocol: str) -> None:
    plan = StationPlan(id="DEMO-1", protocol=protocol, outlets=(AC, DC, AC, DC))
    bays = {n: Bay(o, KINDS["motorway"], Random(n), T0) for n, o in enumerate(plan.outlets, start=1)}
    centre = Centre(PROTOCOLS[protocol](plan, bays, 60))
    centre.validate = lambda action, payload: schema(protocol, action).validate(payload)
    centre.station.connected(T0)
    centre.live(T0, T0 + 2 * 86_400)
    seen = Counter(action for _, action, _ in centre.calls)
    words = {
        "ocpp1.6": {"Authorize", "BootNotification", "Heartbeat", "MeterValues", "StatusNotification"}
        | {"StartTransaction", "StopTransaction"},
        "ocpp2.0.1": {"Authorize", "BootNotification", "Heartbeat", "MeterValues", "StatusNotification"}
        | {"TransactionEvent", "NotifyEvent"},
    }
    assert set(seen) == words.get(protocol, words["ocpp2.0.1"])
    assert seen["MeterValues"] + seen["TransactionEvent"] > 1000


@BOTH
def test_it_boots_before_it_says_anything_else(protocol: str) -> None:
    centre = connected(protocol)
    actions = [action for _, action, _ in centre.calls]
    assert actions[0] == "BootNotification"
    assert actions[1:] == ["StatusNotification"] * (3 if protocol == "ocpp1.6" else 2)


@BOTH
def test_until_the_boot_is_accepted_nothing_else_is_sent(protocol: str) -> None:
    station = a_station(protocol)
    station.connected(T0)
    boot = station.next_call()
    assert boot is not None
    station.answered(boot, {"status": "Pending", "interval": 60}, T0)
    station.start_remotely(1, "CARD", T0)
    station.tick(T0 + 20)
    assert station.next_call() is None
    station.retry_boot(T0 + 61)
    again = station.next_call()
    assert again is not None
    assert again.action == "BootNotification"


def test_1_6_samples_carry_the_transaction_id_the_central_system_gave() -> None:
    centre, at = charging("ocpp1.6", interval=5)
    centre.live(at, at + 60)
    samples = [p for p in centre.of("MeterValues") if "transactionId" in p]
    assert len(samples) >= 10
    assert {p["transactionId"] for p in samples} == {1}


def test_2_0_1_events_count_from_zero_without_a_gap() -> None:
    centre, at = charging("ocpp2.0.1", interval=5)
    centre.live(at, at + 60)
    centre.station.stop(1, at + 60, "Remote")
    centre.serve(at + 60)
    events = centre.of("TransactionEvent")
    assert [event["seqNo"] for event in events] == list(range(len(events)))
    assert (events[0]["eventType"], events[-1]["eventType"]) == ("Started", "Ended")
    assert not any("offline" in event for event in events)


@BOTH
def test_what_happened_offline_is_told_later_in_order_with_its_own_times(protocol: str) -> None:
    centre, at = charging(protocol, interval=10)
    station, before = centre.station, len(centre.calls)
    station.disconnected(at)
    centre.live(at, at + 300)
    station.stop(1, at + 300, "Remote")
    assert len(centre.calls) == before
    station.connected(at + 600)
    centre.serve(at + 600)
    told = [
        p for _, action, p in centre.calls[before:] if action in ("MeterValues", "StopTransaction", "TransactionEvent")
    ]
    times = [_time(p) for p in told]
    assert len(told) >= 30
    assert all(a <= b for a, b in pairwise(times))
    assert times[0] < at + 30
    assert times[-1] == pytest.approx(at + 300, abs=1)
    if protocol == "ocpp2.0.1":
        assert all(p["offline"] is True for p in told)
    assert told[-1].get("reason") == "Remote" or told[-1]["transactionInfo"]["stoppedReason"] == "Remote"


def test_a_start_made_offline_gives_its_id_to_the_samples_that_waited_behind_it() -> None:
    centre = connected("ocpp1.6", busy=0.0001, interval=10)
    station = centre.station
    station.disconnected(T0 + 1)
    station.start_remotely(1, "04AABBCC", T0 + 1)
    centre.live(T0 + 1, T0 + 60)
    station.connected(T0 + 100)
    centre.serve(T0 + 100)
    waited = [p for p in centre.of("MeterValues") if p["connectorId"] == 1]
    assert len(waited) >= 4
    assert {p.get("transactionId") for p in waited} == {1}


@BOTH
def test_a_message_without_an_answer_is_sent_again_when_it_belongs_to_a_transaction(protocol: str) -> None:
    centre, at = charging(protocol)
    station = centre.station
    station.stop(1, at, "Remote")
    while (call := station.next_call()) is not None and not call.is_kept:
        station.answered(call, {}, at)
    assert call is not None
    before = call.message_id
    station.retry(call, at + 30)
    assert station.next_call() is call
    assert call.message_id != before


@BOTH
def test_a_card_that_is_refused_starts_no_transaction(protocol: str) -> None:
    centre = connected(protocol, busy=0.0001)
    centre.station.bays[1].bring(T0, REFUSED_CARDS[0])
    centre.live(T0, T0 + 15)
    assert len(centre.of("Authorize")) == 1
    assert not centre.station.transactions


@BOTH
def test_a_transaction_whose_card_is_refused_at_the_start_is_ended(protocol: str) -> None:
    centre = connected(protocol, busy=0.0001)
    centre.station.start_remotely(1, REFUSED_CARDS[0], T0)
    centre.live(T0, T0 + 30)
    ends = [p for p in centre.of("StopTransaction", "TransactionEvent") if p.get("eventType", "Ended") == "Ended"]
    reasons = [p.get("reason") or p["transactionInfo"]["stoppedReason"] for p in ends]
    assert reasons == ["DeAuthorized"]


TOKEN = {"idToken": "04AABBCC", "type": "ISO14443"}
COMMANDS: dict[str, list[tuple[str, dict[str, Any], str]]] = {
    "ocpp1.6": [
        ("RemoteStartTransaction", {"idTag": "04AABBCC", "connectorId": 2}, "Accepted"),
        ("RemoteStartTransaction", {"idTag": "04AABBCC", "connectorId": 1}, "Rejected"),
        ("RemoteStopTransaction", {"transactionId": 1}, "Accepted"),
        ("RemoteStopTransaction", {"transactionId": 77}, "Rejected"),
        ("Reset", {"type": "Soft"}, "Accepted"),
        ("TriggerMessage", {"requestedMessage": "StatusNotification"}, "Accepted"),
        ("TriggerMessage", {"requestedMessage": "FirmwareStatusNotification"}, "Accepted"),
        ("ExtendedTriggerMessage", {"requestedMessage": "SignChargePointCertificate"}, "NotImplemented"),
        ("ChangeAvailability", {"connectorId": 1, "type": "Inoperative"}, "Scheduled"),
        ("ChangeAvailability", {"connectorId": 2, "type": "Inoperative"}, "Accepted"),
        ("ChangeAvailability", {"connectorId": 9, "type": "Inoperative"}, "Rejected"),
        ("UnlockConnector", {"connectorId": 1}, "Unlocked"),
        ("GetConfiguration", {"key": ["HeartbeatInterval", "Nonsense"]}, ""),
    ],
    "ocpp2.0.1": [
        ("RequestStartTransaction", {"idToken": TOKEN, "remoteStartId": 5, "evseId": 2}, "Accepted"),
        ("RequestStartTransaction", {"idToken": TOKEN, "remoteStartId": 5, "evseId": 1}, "Rejected"),
        ("RequestStopTransaction", {"transactionId": "nobody's"}, "Rejected"),
        ("Reset", {"type": "Immediate"}, "Accepted"),
        ("Reset", {"type": "OnIdle"}, "Scheduled"),
        ("TriggerMessage", {"requestedMessage": "MeterValues", "evse": {"id": 1}}, "Accepted"),
        ("TriggerMessage", {"requestedMessage": "LogStatusNotification"}, "Accepted"),
        ("TriggerMessage", {"requestedMessage": "SignV2GCertificate"}, "NotImplemented"),
        ("ChangeAvailability", {"operationalStatus": "Inoperative", "evse": {"id": 2}}, "Accepted"),
        ("UnlockConnector", {"evseId": 1, "connectorId": 1}, "OngoingAuthorizedTransaction"),
        (
            "GetVariables",
            {
                "getVariableData": [
                    {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}},
                    {"component": {"name": "Nonsense"}, "variable": {"name": "Nonsense"}},
                ]
            },
            "",
        ),
    ],
}


@pytest.mark.parametrize(
    ("protocol", "action", "payload", "status"), [(p, *command) for p, listed in COMMANDS.items() for command in listed]
)
def test_a_command_gets_a_valid_answer(protocol: str, action: str, payload: dict[str, Any], status: str) -> None:
    centre, at = charging(protocol)
    schema(protocol, action).validate(payload)
    answer = centre.station.obey(action, payload, at)
    schema(protocol, f"{action}Response").validate(answer)
    assert answer.get("status", "") == status


@BOTH
def test_a_remote_stop_ends_the_transaction(protocol: str) -> None:
    centre, at = charging(protocol)
    number = centre.station.transactions[1].id
    action = "RemoteStopTransaction" if protocol == "ocpp1.6" else "RequestStopTransaction"
    assert centre.station.obey(action, {"transactionId": number}, at) == {"status": "Accepted"}
    centre.serve(at)
    assert not centre.station.transactions
    assert centre.of("StopTransaction", "TransactionEvent")[-1].get("eventType", "Ended") == "Ended"


@BOTH
def test_a_reset_station_boots_again_and_says_why(protocol: str) -> None:
    centre, at = charging(protocol)
    centre.station.obey("Reset", {"type": "Soft" if protocol == "ocpp1.6" else "Immediate"}, at)
    centre.serve(at)
    centre.station.disconnected(at + 1)
    centre.station.connected(at + 10)
    centre.serve(at + 10)
    boots = centre.of("BootNotification")
    assert len(boots) == 2
    assert boots[1].get("reason", "RemoteReset") == "RemoteReset"


@BOTH
def test_an_unknown_command_is_refused_by_name(protocol: str) -> None:
    with pytest.raises(CommandRefused, match="MakeCoffee") as refusal:
        a_station(protocol).obey("MakeCoffee", {}, T0)
    assert refusal.value.code == "NotImplemented"


@pytest.mark.parametrize(
    ("protocol", "code"), [("ocpp1.6", "FormationViolation"), ("ocpp2.0.1", "FormatViolation")]
)
def test_a_malformed_command_is_refused_and_harms_nothing(protocol: str, code: str) -> None:
    with pytest.raises(CommandRefused) as refusal:
        a_station(protocol).obey("Reset", {}, T0)
    assert refusal.value.code == code


@BOTH
def test_cars_that_are_there_at_the_start_begin_their_sessions_now(protocol: str) -> None:
    station = a_station(protocol, busy=0.9)
    centre = Centre(station)
    for bay in station.bays.values():
        assert bay.remote_start(T0, "04AABBCC")
        bay.advance(T0 + 600)
    station.rejoin(T0 + 600)
    station.connected(T0 + 601)
    centre.serve(T0 + 601)
    told = centre.of("StartTransaction", "TransactionEvent")
    starts = [p for p in told if p.get("eventType", "Started") == "Started"]
    assert len(starts) == 2
    assert all(_time(p) == T0 + 600 for p in starts)
    assert not any("offline" in p for p in starts)


def _time(payload: dict[str, Any]) -> float:
    text = payload.get("timestamp") or payload["meterValue"][0]["timestamp"]
    return datetime.fromisoformat(text).timestamp()
