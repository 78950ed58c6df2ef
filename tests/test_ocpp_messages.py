"""What messages do to sessions, connectors and tokens, and which are refused. Quirks by their number. Every single
message of every version is in ``test_ocpp_every_message.py``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ocpp_samples import FROM
from ocpp_world import Desk, desk
from quirks_world import BOOT_16, NOW, STATUS, at, register, transaction_event

from bridge.access import Directory, Entry, TokenEntry
from bridge.events import (
    CommandAnswered,
    ConnectorStatus,
    DataTransferred,
    DeviceEventNotified,
    FrameRefused,
)
from bridge.ocpp import v16, v201
from bridge.session import SessionState
from bridge.settings import Unknown

METER = {"connectorId": 1, "meterValue": [{"timestamp": "2026-05-04T12:00:00Z", "sampledValue": [{"value": "1"}]}]}


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path, v16.VERSION) as there:
        yield there


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path, v201.VERSION) as there:
        yield there


def start(there: Desk, connector: int = 1, meter: int = 1000, seconds: float = -600, tag: str = "CARD") -> int:
    payload = {"connectorId": connector, "idTag": tag, "meterStart": meter, "timestamp": at(seconds)}
    transaction: int = there.say("StartTransaction", payload)["transactionId"]
    return transaction


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("Nonsense", {}, "NotImplemented"),
        ("RemoteStartTransaction", {"idTag": "x"}, "NotSupported"),
        ("BootNotification", {"chargePointVendor": "x"}, "OccurenceConstraintViolation"),
        ("StatusNotification", {"status": "Available", "errorCode": "NoError"}, "OccurenceConstraintViolation"),
        ("StatusNotification", STATUS | {"connectorId": "one"}, "TypeConstraintViolation"),
        ("StatusNotification", STATUS | {"connectorId": 70_000}, "PropertyConstraintViolation"),
        ("StatusNotification", [], "FormationViolation"),
        ("StatusNotification", "Available", "FormationViolation"),
        ("MeterValues", {"connectorId": 1}, "OccurenceConstraintViolation"),
        ("MeterValues", {"connectorId": {"a": 1}, "meterValue": []}, "TypeConstraintViolation"),
    ],
)
def test_what_cannot_be_understood_gets_the_code_of_16(old: Desk, action: str, payload: Any, code: str) -> None:
    answer = old.say(action, payload)
    assert answer[:3] == [4, "1", code]
    assert answer[3]
    refused = old.events[0]
    assert isinstance(refused, FrameRefused)
    assert (refused.action, refused.code) == (action, code)


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("Nonsense", {}, "NotImplemented"),
        ("RequestStartTransaction", {"remoteStartId": 1}, "NotSupported"),
        ("BootNotification", {"reason": "PowerUp"}, "OccurrenceConstraintViolation"),
        ("StatusNotification", {"evseId": 1}, "OccurrenceConstraintViolation"),
        ("StatusNotification", 5, "FormatViolation"),
        ("TransactionEvent", {"eventType": "Started"}, "OccurrenceConstraintViolation"),
        ("TransactionEvent", transaction_event("Started", 0, 0, evse="one"), "TypeConstraintViolation"),
    ],
)
def test_what_cannot_be_understood_gets_the_code_of_201(new: Desk, action: str, payload: Any, code: str) -> None:
    assert new.say(action, payload)[:3] == [4, "1", code]


def test_a_held_station_is_answered_pending_and_nothing_else(tmp_path: Path) -> None:
    with desk(tmp_path, v16.VERSION, entry=Entry.HELD) as held:
        assert held.say("BootNotification", BOOT_16)["status"] == "Pending"
        assert held.say("Heartbeat", {})[2] == "SecurityError"
        assert held.sessions == []
        assert not held.calls.is_open
        held.entry = Entry.ACCEPTED  # a person has approved it
        assert held.say("BootNotification", BOOT_16)["status"] == "Accepted"
        assert "currentTime" in held.say("Heartbeat", {})
        assert held.calls.is_open


def test_a_token_is_answered_in_the_words_of_each_version(tmp_path: Path) -> None:
    tokens = {
        "GOOD": TokenEntry(token="GOOD", group="FLEET"),
        "BAD": TokenEntry(token="BAD", is_blocked=True),
        "OLD": TokenEntry(token="OLD", expires_at=NOW - timedelta(days=1)),
    }
    directory = Directory(tokens=tokens)
    with desk(tmp_path / "16", v16.VERSION, Unknown.REJECT, directory=directory) as there:
        said = {tag: there.say("Authorize", {"idTag": tag})["idTagInfo"] for tag in ("good", "BAD", "OLD", "WHO")}
    assert [info["status"] for info in said.values()] == ["Accepted", "Blocked", "Expired", "Invalid"]
    assert said["good"]["parentIdTag"] == "FLEET"
    with desk(tmp_path / "201", v201.VERSION, Unknown.REJECT, directory=directory) as there:
        ask = {tag: {"idToken": {"idToken": tag, "type": "ISO14443"}} for tag in ("good", "BAD", "OLD", "WHO")}
        infos = [there.say("Authorize", payload)["idTokenInfo"] for payload in ask.values()]
    assert [info["status"] for info in infos] == ["Accepted", "Blocked", "Expired", "Unknown"]
    assert infos[0]["groupIdToken"] == {"idToken": "FLEET", "type": "Central"}


# sessions of 1.6


def test_a_session_of_16_from_start_to_stop(old: Desk) -> None:
    transaction = start(old)
    old.say("MeterValues", METER | {"transactionId": transaction, "meterValue": register(1500, -300)})
    old.say("StopTransaction", {"transactionId": transaction, "meterStop": 2200, "timestamp": at(-60)})
    session = old.sessions[0]
    assert (session.state, session.energy_wh, session.stop_reason) == (SessionState.ENDED, 1200, "Local")
    assert (session.meter_start_wh, session.meter_stop_wh, session.token) == (1000, 2200, "CARD")


def test_the_same_oddity_is_told_once_per_connection(old: Desk) -> None:
    for expected in (True, False):
        old.say("StatusNotification", STATUS | {"errorCode": "Error"})
        assert bool(old.notes) is expected


# sessions of 2.0.1


def test_a_session_of_201_from_start_to_end(new: Desk) -> None:
    card = {"idToken": "CARD", "type": "ISO14443"}
    started = transaction_event(
        "Started", 0, -600, evse={"id": 2, "connectorId": 1}, idToken=card, info={"chargingState": "EVConnected"},
        meterValue=register(0, -600, "Transaction.Begin"),
    )
    assert new.say("TransactionEvent", started) == {"idTokenInfo": {"status": "Accepted"}}
    assert new.sessions[0].state is SessionState.PENDING
    assert new.intake.book.connectors["CP", 2, 1].status is ConnectorStatus.PREPARING
    new.say("TransactionEvent", transaction_event("Updated", 1, -500, info={"chargingState": "Charging"}))
    assert new.intake.book.connectors["CP", 2, 1].status is ConnectorStatus.CHARGING
    new.say("TransactionEvent", transaction_event("Updated", 2, -300, meterValue=register(4000, -300)))
    new.say("TransactionEvent", transaction_event("Updated", 3, -200, info={"chargingState": "EVConnected"}))
    assert new.intake.book.connectors["CP", 2, 1].status is ConnectorStatus.FINISHING
    ended = transaction_event(
        "Ended", 4, -100, info={"stoppedReason": "EVDisconnected"}, meterValue=register(7000, -100, "Transaction.End")
    )
    assert new.say("TransactionEvent", ended) == {}
    session = new.sessions[0]
    assert (session.state, session.energy_wh, session.stop_reason) == (SessionState.ENDED, 7000, "EVDisconnected")
    assert (session.evse, session.meter_stop_wh, session.seq_no) == (2, 7000, 4)


def test_an_end_that_carries_all_the_readings_is_enough(new: Desk) -> None:
    new.say("TransactionEvent", transaction_event("Started", 0, -600, evse={"id": 1}))
    values = register(100, -600, "Transaction.Begin") + register(2600, -300) + register(5100, -1, "Transaction.End")
    new.say("TransactionEvent", transaction_event("Ended", 1, 0, meterValue=values))
    assert (new.sessions[0].energy_wh, new.sessions[0].stop_reason) == (5000, "Local")


def test_a_transaction_that_learns_its_evse_later_moves_there(new: Desk) -> None:
    new.say("TransactionEvent", transaction_event("Started", 0, -600))
    charging = {"chargingState": "Charging"}
    new.say("TransactionEvent", transaction_event("Updated", 1, -500, evse={"id": 2}, info=charging))
    assert [session.evse for session in new.sessions] == [2]
    assert new.intake.book.connectors["CP", 2, 1].session_id == new.sessions[0].id


def test_a_start_without_authorisation_needs_no_token(tmp_path: Path) -> None:
    with desk(tmp_path, v201.VERSION, Unknown.REJECT) as there:
        token = {"idToken": "", "type": "NoAuthorization"}
        started = transaction_event("Started", 0, 0, evse={"id": 1}, idToken=token)
        assert there.say("TransactionEvent", started) == {"idTokenInfo": {"status": "Accepted"}}
        assert there.sessions[0].review == ()


def test_a_notified_event_names_component_variable_and_evse(new: Desk) -> None:
    new.say("NotifyEvent", FROM["ocpp2.0.1"]["NotifyEvent"].payload)
    event = new.events[0]
    assert isinstance(event, DeviceEventNotified)
    assert (event.component, event.variable, event.value, event.evse) == ("EVSE@2", "Problem", "true", 2)


# answers of the charger, and what must never happen


def test_an_answer_nobody_waits_for_is_kept_and_not_answered(old: Desk) -> None:
    assert old.send('[3,"who",{"status":"Accepted"}]') is None
    answered = old.events[0]
    assert isinstance(answered, CommandAnswered)
    assert (answered.request_id, answered.status) == ("who", "Unexpected")
    assert old.send('[4,"who","GenericError","",{}]') is None


def test_calls_open_at_once_for_a_station_that_booted_before(tmp_path: Path) -> None:
    with desk(tmp_path, v16.VERSION) as there:
        there.say("BootNotification", BOOT_16)
        again = Desk(there.intake, v16.VERSION)
        again.say("Heartbeat", {})
        assert again.calls.is_open


def test_a_fault_of_ours_is_an_internal_error_and_the_frame_is_kept(
    old: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*events: object) -> None:
        monkeypatch.undo()
        raise ZeroDivisionError

    monkeypatch.setattr(old.intake, "handle", broken)
    assert old.say("Heartbeat", {})[2] == "InternalError"
    assert isinstance(old.events[0], FrameRefused)
    assert "currentTime" in old.say("Heartbeat", {})


def test_integers_beyond_64_bits_are_kept_as_what_they_can_be(old: Desk) -> None:
    raw = '[2,"1","DataTransfer",{"vendorId":"Acme","data":{"x":%s}}]' % ("9" * 400)
    assert old.send(raw)[0] == 3
    transferred = old.events[0]
    assert isinstance(transferred, DataTransferred)
    assert transferred.data == '{"x":null}'
