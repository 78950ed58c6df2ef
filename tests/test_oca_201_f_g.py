"""The Open Charge Alliance's test cases of a CSMS for OCPP 2.0.1: blocks F, remote control, and G, availability.

Each test plays the charging station of the case with that number; the steps follow part 2 blocks F and G.
"""

from __future__ import annotations

from typing import Any

import pytest
from oca_world import REJECTED, Asked, Station201, cases, meter_value

from bridge.command_bus import CommandOutcome
from bridge.events import ConnectorStatus, DetailKind, DeviceEventNotified, MeterSampled, StationSeen
from bridge.session import SessionState

# start from afar


def remote_start(cs: Station201, answer: Any = None) -> Asked:
    params = {"token": "CARD1", "token_type": "ISO14443", "evse": 1, "remote_start_id": 77}
    done = cs.asked("StartForToken", params, answer or {"status": "Accepted"})
    wanted = {"idToken": {"idToken": "CARD1", "type": "ISO14443"}, "remoteStartId": 77, "evseId": 1}
    assert (done.action, done.payload) == ("RequestStartTransaction", wanted)
    return done


def test_TC_F_01_CSMS_remote_start_cable_first(cs201: Station201) -> None:
    """The transaction runs since the cable is in; the answer names it."""
    cs201.status("Occupied")
    going = cs201.transaction()
    assert going.event("Started", "CablePluggedIn", "EVConnected") == {}
    done = remote_start(cs201, {"status": "Accepted", "transactionId": going.id})
    assert done.result.payload["transactionId"] == going.id
    answer = going.event("Updated", "RemoteStart", "EVConnected", "CARD1", info={"remoteStartId": 77})
    assert answer["idTokenInfo"]["status"] == "Accepted"
    assert going.event("Updated", "ChargingStateChanged", "Charging") == {}
    assert (going.session.state, going.session.token) == (SessionState.CHARGING, "CARD1")


@cases("asks_first", {"TC_F_02_CSMS": True, "TC_F_03_CSMS": False})
def test_TC_remote_start_first(cs201: Station201, asks_first: bool) -> None:
    cs201.variable_set("AuthCtrlr.AuthorizeRemoteStart", str(asks_first).lower())
    remote_start(cs201)
    if asks_first:
        assert cs201.authorize("CARD1")["status"] == "Accepted"
    going = cs201.transaction()
    answer = going.event("Started", "RemoteStart", None, "CARD1", info={"remoteStartId": 77})
    assert answer["idTokenInfo"]["status"] == "Accepted"
    cs201.status("Occupied")
    assert going.event("Updated", "CablePluggedIn", "EVConnected") == {}
    assert going.event("Updated", "ChargingStateChanged", "Charging") == {}
    assert (going.session.state, going.session.token) == (SessionState.CHARGING, "CARD1")


def test_TC_F_04_CSMS_remote_start_and_nobody_plugs_in(cs201: Station201) -> None:
    remote_start(cs201)
    going = cs201.transaction()
    going.event("Started", "RemoteStart", None, "CARD1", info={"remoteStartId": 77})
    assert going.event("Ended", "EVConnectTimeout", None, reason="Timeout") == {}
    assert (going.session.state, going.session.stop_reason) == (SessionState.ENDED, "Timeout")


def test_TC_F_06_CSMS_remote_unlock(cs201: Station201) -> None:
    done = cs201.asked("Unlock", {"evse": 1, "connector": 1}, {"status": "Unlocked"})
    assert (done.action, done.payload) == ("UnlockConnector", {"evseId": 1, "connectorId": 1})
    assert done.result.payload == {"status": "Unlocked"}
    assert cs201.asked("Unlock", {"evse": 1}, {"status": "OngoingAuthorizedTransaction"}).is_refused


# triggers


def trigger(cs: Station201, message: str, evse: int | None = None, connector: int | None = None) -> None:
    """Ask for a message; the station says it will come."""
    place = {name: value for name, value in (("evse", evse), ("connector", connector)) if value is not None}
    done = cs.asked("Trigger", {"message": message} | place)
    wanted: dict[str, Any] = {"requestedMessage": message}
    if evse is not None:
        wanted["evse"] = {"id": evse} | ({"connectorId": connector} if connector else {})
    assert (done.action, done.payload, done.result.payload) == ("TriggerMessage", wanted, {"status": "Accepted"})


@cases("evse, evses", {"TC_F_11_CSMS": (1, (1,)), "TC_F_12_CSMS": (None, (1, 2))})
def test_TC_trigger_meter_values(cs201: Station201, evse: int | None, evses: tuple[int, ...]) -> None:
    trigger(cs201, "MeterValues", evse)
    for number in evses:
        said = {"evseId": number, "meterValue": [meter_value(4200, "Trigger")]}
        assert cs201.say("MeterValues", said) == {}
        sample = cs201.told(MeterSampled)[0]
        assert (sample.evse, sample.context, sample.values) == (number, "Trigger", {"energy_import_wh": 4200.0})


@cases("evse, evses", {"TC_F_13_CSMS": (1, (1,)), "TC_F_14_CSMS": (None, (1, 2))})
def test_TC_trigger_transaction_event(cs201: Station201, evse: int | None, evses: tuple[int, ...]) -> None:
    going = {number: cs201.transaction(f"tx-{number}", number) for number in (1, 2)}
    for one in going.values():
        one.event("Started", "Authorized", "Charging", "CARD1", 1000)
    trigger(cs201, "TransactionEvent", evse)
    for number in evses:
        value = [meter_value(1500, "Trigger")]
        assert going[number].event("Updated", "Trigger", "Charging", meterValue=value) == {}
        assert going[number].session.energy_wh == 500
    assert all(one.session.is_open for one in going.values())


@cases(
    "message, kind",
    {
        "TC_F_15_CSMS": ("LogStatusNotification", DetailKind.LOG),
        "TC_F_18_CSMS": ("FirmwareStatusNotification", DetailKind.FIRMWARE),
    },
)
def test_TC_trigger_idle_progress(cs201: Station201, message: str, kind: DetailKind) -> None:
    trigger(cs201, message)
    assert cs201.say(message, {"status": "Idle"}) == {}
    assert cs201.details(kind)["status"] == {"status": "Idle"}


def test_TC_F_20_CSMS_trigger_heartbeat(cs201: Station201) -> None:
    trigger(cs201, "Heartbeat")
    assert set(cs201.say("Heartbeat")) == {"currentTime"}
    assert len(cs201.told(StationSeen)) == 1


@cases("status, known", {
    "TC_F_23_CSMS": ("Available", ConnectorStatus.AVAILABLE), "TC_F_24_CSMS": ("Occupied", ConnectorStatus.PREPARING),
})  # fmt: skip
def test_TC_trigger_status_notification(cs201: Station201, status: str, known: ConnectorStatus) -> None:
    trigger(cs201, "StatusNotification", 1, 1)
    cs201.status(status)
    assert cs201.connector().status is known


def test_TC_F_27_CSMS_trigger_not_implemented(cs201: Station201) -> None:
    done = cs201.asked("Trigger", {"message": "SignV2GCertificate"}, {"status": "NotImplemented"})
    assert done.result.outcome is CommandOutcome.ANSWERED
    assert done.is_refused


# status


def test_TC_G_01_CSMS_status_notification(cs201: Station201) -> None:
    """By StatusNotification, and by the event that may take its place."""
    for status in ("Available", "Occupied", "Reserved", "Unavailable", "Faulted"):
        cs201.status(status, 2)
    assert cs201.connector(2).status is ConnectorStatus.FAULTED
    place = {"name": "Connector", "evse": {"id": 2, "connectorId": 1}}
    cs201.notified({"component": place, "variable": {"name": "AvailabilityState"}, "actualValue": "Available"})
    event = cs201.told(DeviceEventNotified)[0]
    assert (event.component, event.value, event.evse) == ("Connector@2:1", "Available", 2)


def test_TC_G_20_CSMS_lock_failure(cs201: Station201) -> None:
    cs201.status("Occupied")
    assert cs201.authorize("CARD1")["status"] == "Accepted"
    lock = {"name": "ConnectorPlugRetentionLock", "evse": {"id": 1, "connectorId": 1}}
    cs201.notified({"component": lock, "variable": {"name": "Problem"}, "actualValue": "true", "trigger": "Alerting"})
    event = cs201.told(DeviceEventNotified)[0]
    assert (event.variable, event.value, event.trigger, event.evse) == ("Problem", "true", "Alerting", 1)
    assert cs201.there.sessions("CP") == []


# availability


_EVSE, _STATION, _CONNECTOR = {"id": 1}, None, {"id": 1, "connectorId": 1}


@cases(
    "place, is_operative",
    {
        "TC_G_03_CSMS": (_EVSE, False),
        "TC_G_04_CSMS": (_EVSE, True),
        "TC_G_05_CSMS": (_STATION, False),
        "TC_G_06_CSMS": (_STATION, True),
        "TC_G_07_CSMS": (_CONNECTOR, False),
        "TC_G_08_CSMS": (_CONNECTOR, True),
    },
)
def test_TC_change_availability(cs201: Station201, place: dict[str, int] | None, is_operative: bool) -> None:
    cs201.status("Unavailable" if is_operative else "Available")
    change_availability(cs201, place, is_operative, "Accepted")
    cs201.status("Available" if is_operative else "Unavailable")
    known = ConnectorStatus.AVAILABLE if is_operative else ConnectorStatus.UNAVAILABLE
    assert cs201.connector().status is known


@cases("place", {"TC_G_11_CSMS": _EVSE, "TC_G_14_CSMS": (_STATION,), "TC_G_17_CSMS": _CONNECTOR})
def test_TC_change_availability_while_charging(cs201: Station201, place: dict[str, int] | None) -> None:
    """Scheduled: the transaction goes on, its end is what takes the place out of service."""
    going = cs201.charging("CARD1")
    change_availability(cs201, place, False, "Scheduled")
    assert going.session.is_open
    going.event("Ended", "StopAuthorized", "EVConnected", "CARD1", 2000, "Local")
    cs201.status("Unavailable")
    assert cs201.connector().status is ConnectorStatus.UNAVAILABLE
    assert going.session.state is SessionState.ENDED


def change_availability(cs: Station201, place: dict[str, int] | None, is_operative: bool, status: str) -> None:
    evse = {} if place is None else {"evse": place["id"]}
    connector = {"connector": place["connectorId"]} if place and "connectorId" in place else {}
    done = cs.asked("ChangeAvailability", {"operative": is_operative} | evse | connector, {"status": status})
    wanted = {"operationalStatus": "Operative" if is_operative else "Inoperative"} | ({"evse": place} if place else {})
    assert (done.action, done.payload, done.result.payload) == ("ChangeAvailability", wanted, {"status": status})


@pytest.mark.parametrize("refusal", [REJECTED, "NotSupported"])
def test_TC_F_CSMS_a_refused_start_begins_nothing(cs201: Station201, refusal: Any) -> None:
    assert remote_start(cs201, refusal).is_refused
    assert cs201.there.sessions("CP") == []
