"""The Open Charge Alliance's test cases of a CSMS for OCPP 2.0.1: block B, provisioning.

Each test plays the charging station of the case with that number; the steps follow part 2 block B of the specification.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from oca_world import Played, Station201, cases, now
from websockets.exceptions import WebSocketException

from bridge.access import Directory, StationEntry
from bridge.command_bus import CommandOutcome
from bridge.events import ConnectorStatus, DetailKind, DeviceEventNotified, utc_now
from bridge.session import SessionState

WAITS = Directory(stations={"CP": StationEntry(id="CP", is_approved=False)})
KNOWN = Directory(stations={"CP": StationEntry(id="CP")})


def approve(cs: Station201) -> None:
    """A person lets it in; of its own it would wait for its next try, so it is asked to boot."""
    cs.decided(KNOWN)
    assert cs.called() == ("TriggerMessage", {"requestedMessage": "BootNotification"})


# boot


def test_TC_B_01_CSMS_cold_boot_accepted(cs201: Station201) -> None:
    answer = cs201.boot()
    assert answer["status"] == "Accepted"
    assert answer["interval"] > 0
    assert abs(datetime.fromisoformat(answer["currentTime"]) - utc_now()) < timedelta(seconds=5)
    cs201.status("Available")
    cs201.notified({"component": {"name": "Connector", "evse": {"id": 1, "connectorId": 1}},
                    "variable": {"name": "AvailabilityState"}, "actualValue": "Available"})  # fmt: skip
    assert cs201.told(DeviceEventNotified)[0].value == "Available"
    assert set(cs201.say("Heartbeat")) == {"currentTime"}
    assert cs201.connector().status is ConnectorStatus.AVAILABLE
    assert cs201.book.stations["CP"].boot_reason == "PowerUp"


def test_TC_B_02_CSMS_cold_boot_pending(played: Played) -> None:
    with played(Station201, WAITS) as cs:
        answer = cs.boot()
        assert answer["status"] == "Pending"
        assert 0 < answer["interval"] <= 30, "it is to ask again soon"
        approve(cs)
        assert cs.boot()["status"] == "Accepted"
        cs.status("Available")


def test_TC_B_30_CSMS_pending_and_the_station_does_not_wait(played: Played) -> None:
    with played(Station201, WAITS) as cs:
        assert cs.boot()["status"] == "Pending"
        said = {"evseId": 1, "connectorId": 1, "connectorStatus": "Available", "timestamp": now()}
        assert cs.refused("StatusNotification", said) == "SecurityError"
        assert cs.book.connectors == {}
        approve(cs)
        assert cs.boot()["status"] == "Accepted"
        cs.status("Available")


def test_TC_B_31_CSMS_trigger_of_the_boot_that_lets_it_in(played: Played) -> None:
    with played(Station201, WAITS) as cs:
        assert cs.boot()["status"] == "Pending"
        approve(cs)
        assert cs.boot("Triggered")["status"] == "Accepted"
        assert cs.book.stations["CP"].boot_reason == "Triggered"


def test_TC_B_58_CSMS_websocket_subprotocol(cs201: Station201) -> None:
    assert cs201.link.subprotocol == "ocpp2.0.1"
    cs201.close()
    cs201.protocol = "ocpp0.1"
    with pytest.raises(WebSocketException):
        cs201.again()


# variables


def variable(name: str, component: str = "OCPPCommCtrlr", **more: Any) -> dict[str, Any]:
    return {"component": {"name": component}, "variable": {"name": name}} | more


def got(name: str, value: str, component: str = "OCPPCommCtrlr") -> dict[str, Any]:
    return variable(name, component, attributeStatus="Accepted", attributeValue=value)


def test_TC_B_06_CSMS_get_variables_single_value(cs201: Station201) -> None:
    asked = {"keys": "OCPPCommCtrlr.OfflineThreshold"}
    done = cs201.asked("GetConfiguration", asked, {"getVariableResult": [got("OfflineThreshold", "60")]})
    assert (done.action, done.payload) == ("GetVariables", {"getVariableData": [variable("OfflineThreshold")]})
    assert cs201.details(DetailKind.VARIABLE)["OCPPCommCtrlr OfflineThreshold Actual"]["value"] == "60"


def test_TC_B_07_CSMS_get_variables_multiple_values(cs201: Station201) -> None:
    unknown = variable("Nonsense", attributeStatus="UnknownVariable")
    found = [got("OfflineThreshold", "60"), got("AuthorizeRemoteStart", "true", "AuthCtrlr"), unknown]
    keys = "OCPPCommCtrlr.OfflineThreshold, AuthCtrlr.AuthorizeRemoteStart, OCPPCommCtrlr.Nonsense"
    done = cs201.asked("GetConfiguration", {"keys": keys}, {"getVariableResult": found})
    wanted = [variable("OfflineThreshold"), variable("AuthorizeRemoteStart", "AuthCtrlr"), variable("Nonsense")]
    assert done.payload == {"getVariableData": wanted}
    known = cs201.details(DetailKind.VARIABLE)
    assert set(known) == {"OCPPCommCtrlr OfflineThreshold Actual", "AuthCtrlr AuthorizeRemoteStart Actual"}


def test_TC_B_08_CSMS_get_variables_no_more_than_it_takes(cs201: Station201) -> None:
    """It has said that it takes two at a time: five are asked for in three calls, and come back as one answer."""
    cs201.takes("DeviceDataCtrlr", "GetVariables", 2)
    names = ["A", "B", "C", "D", "E"]
    answers = [{"getVariableResult": [got(name, "1") for name in names[at : at + 2]]} for at in (0, 2, 4)]
    keys = ",".join(f"OCPPCommCtrlr.{name}" for name in names)
    done = cs201.asked_often("GetConfiguration", {"keys": keys}, answers)
    assert [len(one.payload["getVariableData"]) for one in done] == [2, 2, 1]
    assert [one["variable"]["name"] for one in done[0].result.payload["getVariableResult"]] == names


def test_TC_B_09_CSMS_set_variables_single_value(cs201: Station201) -> None:
    done = cs201.variable_set("OCPPCommCtrlr.OfflineThreshold", "123")
    assert done.payload == {"setVariableData": [variable("OfflineThreshold", attributeValue="123")]}


def test_TC_B_10_CSMS_set_variables_multiple_values(cs201: Station201) -> None:
    """What the station does not take is not recorded."""
    data = [variable("OfflineThreshold", attributeValue="123"), variable("HeartbeatInterval", attributeValue="-1")]
    said = [variable("OfflineThreshold", attributeStatus="RebootRequired"),
            variable("HeartbeatInterval", attributeStatus="Rejected")]  # fmt: skip
    done = cs201.asked("SetVariables", {"setVariableData": data}, {"setVariableResult": said})
    assert done.payload == {"setVariableData": data}
    known = cs201.details(DetailKind.VARIABLE)
    assert list(known) == ["OCPPCommCtrlr OfflineThreshold Actual"]
    assert known["OCPPCommCtrlr OfflineThreshold Actual"]["rebootRequired"] is True


# reports


def report(cs: Station201, request_id: int, names: list[str], seq_no: int = 0, tbc: bool = False) -> None:
    data = [variable(name, variableAttribute=[{"value": "1", "mutability": "ReadOnly"}]) for name in names]
    said = {"requestId": request_id, "generatedAt": now(), "seqNo": seq_no, "tbc": tbc, "reportData": data}
    assert cs.say("NotifyReport", said) == {}


@cases("base", {
    "TC_B_12_CSMS": "ConfigurationInventory", "TC_B_13_CSMS": "FullInventory", "TC_B_14_CSMS": "SummaryInventory",
})  # fmt: skip
def test_TC_get_base_report(cs201: Station201, base: str) -> None:
    done = cs201.asked("GetConfiguration", {"report": base})
    assert (done.action, done.payload["reportBase"]) == ("GetBaseReport", base)
    report(cs201, done.payload["requestId"], ["A", "B"], 0, tbc=True)
    assert cs201.book.stations["CP"].described_at is None, "there is more to come"
    report(cs201, done.payload["requestId"], ["C"], 1)
    is_described = cs201.book.stations["CP"].described_at is not None
    assert is_described is (base == "FullInventory"), "only that is all it has"
    assert len(cs201.details(DetailKind.VARIABLE)) == 3


def test_TC_B_18_CSMS_get_custom_report(cs201: Station201) -> None:
    asked = {"requestId": 4, "componentCriteria": ["Problem"], "componentVariable": [variable("Problem", "EVSE")]}
    assert cs201.asked("GetReport", asked).payload == asked
    report(cs201, 4, ["Problem"])
    assert list(cs201.details(DetailKind.VARIABLE)) == ["OCPPCommCtrlr Problem Actual"]
    nothing = cs201.asked("GetReport", {"requestId": 5, "componentCriteria": ["Active"]}, {"status": "EmptyResultSet"})
    assert nothing.is_refused


# reset


@cases(
    "kind, evse, is_charging",
    {
        "TC_B_20_CSMS": ("soft", None, False),
        "TC_B_21_CSMS": ("soft", None, True),
        "TC_B_22_CSMS": ("hard", None, True),
        "TC_B_25_CSMS": ("hard", 1, False),
        "TC_B_26_CSMS": ("soft", 1, True),
        "TC_B_27_CSMS": ("hard", 1, True),
    },
)
def test_TC_reset(cs201: Station201, kind: str, evse: int | None, is_charging: bool) -> None:
    """OnIdle waits for the end of the transaction (Scheduled), Immediate ends it; a reset EVSE does not boot."""
    going = cs201.charging() if is_charging else None
    is_on_idle = kind == "soft"
    status = "Scheduled" if is_on_idle and is_charging else "Accepted"
    done = cs201.asked("Reset", {"kind": kind} | ({"evse": evse} if evse else {}), {"status": status})
    assert done.payload == {"type": "OnIdle" if is_on_idle else "Immediate"} | ({"evseId": evse} if evse else {})
    assert done.result.payload["status"] == status
    if going is not None:
        assert going.session.is_open, "only its own end ends it"
        trigger, reason = ("StopAuthorized", "Local") if is_on_idle else ("ResetCommand", "ImmediateReset")
        going.event("Ended", trigger, reason=reason, wh=2000)
        assert (going.session.state, going.session.stop_reason) == (SessionState.ENDED, reason)
    if evse is None:
        cs201.again()
        assert cs201.boot("ScheduledReset" if is_on_idle else "RemoteReset")["status"] == "Accepted"
    else:
        cs201.status("Unavailable")
        assert cs201.connector().status is ConnectorStatus.UNAVAILABLE
    cs201.status("Available")
    assert cs201.connector().status is ConnectorStatus.AVAILABLE


# network connection profile


@cases("status, slot", {"TC_B_42_CSMS": ("Accepted", 1), "TC_B_44_CSMS": ("Failed", 9)})
def test_TC_network_connection_profile(cs201: Station201, status: str, slot: int) -> None:
    data = {"ocppVersion": "OCPP20", "ocppTransport": "JSON", "ocppCsmsUrl": "wss://csms.example/ocpp",
            "messageTimeout": 30, "securityProfile": 2, "ocppInterface": "Wired0"}  # fmt: skip
    asked = {"configurationSlot": slot, "connectionData": data}
    done = cs201.asked("SetNetworkProfile", asked, {"status": status})
    assert done.payload == asked
    assert done.result.outcome is CommandOutcome.ANSWERED
    assert done.result.payload == {"status": status}
    assert done.is_refused is (status == "Failed")
