"""The Open Charge Alliance's test cases of a central system for OCPP 1.6: local list, firmware, reservation, remote
trigger and smart charging profiles.

Each test plays the charge point of the case with that number; the steps follow section 5 of the specification.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from oca_world import LATER, REJECTED, Asked, Station16, cases, now

from bridge.events import ConnectorStatus, DetailKind, DetailsReported, utc_now
from bridge.session import SessionState

LATER_TEXT = "2099-01-01T00:00:00Z"


# local list


@cases("number", {"TC_042_1_CSMS": -1, "TC_042_2_CSMS": 0})
def test_TC_list_version(cp16: Station16, number: int) -> None:
    """-1: no local lists here; 0: there is none yet."""
    done = cp16.asked("GetLocalListVersion", {}, {"listVersion": number})
    assert (done.action, done.payload, done.result.payload) == ("GetLocalListVersion", {}, {"listVersion": number})
    assert cp16.details(DetailKind.LIST)["version"] == {"version": number}


@cases("status", {"TC_043_1_CSMS": "NotSupported", "TC_043_3_CSMS": "Failed"})
def test_TC_list_that_is_not_taken(cp16: Station16, status: str) -> None:
    done = cp16.asked("SendLocalList", {"update": "full"}, {"status": status})
    assert done.result.payload == {"status": status}
    assert done.is_refused
    assert cp16.details(DetailKind.LIST) == {}


def test_TC_043_4_CSMS_send_local_list_full(cp16: Station16) -> None:
    done = cp16.asked("SendLocalList", {"update": "full"})
    assert (done.action, done.payload["updateType"]) == ("SendLocalList", "Full")
    listed = {entry["idTag"]: entry["idTagInfo"] for entry in done.payload["localAuthorizationList"]}
    assert listed["CARD1"] == {"status": "Accepted", "parentIdTag": "FLEET"}
    assert listed["BLOCKED"]["status"] == "Blocked"
    assert listed["EXPIRED"]["status"] == "Expired"
    assert listed["UNTIL2099"] == {"status": "Accepted", "expiryDate": LATER_TEXT}
    version = done.payload["listVersion"]
    assert cp16.asked("GetLocalListVersion", {}, {"listVersion": version}).result.payload["listVersion"] == version
    assert cp16.details(DetailKind.LIST)["sent"]["entries"] == len(listed)


def test_TC_043_5_CSMS_send_local_list_differential(cp16: Station16) -> None:
    first = cp16.asked("SendLocalList", {"update": "full", "version": 7}).payload
    done = cp16.asked("SendLocalList", {"update": "differential", "tokens": "CARD2,NOBODY", "version": 8})
    assert done.payload["updateType"] == "Differential"
    assert done.payload["listVersion"] > first["listVersion"]
    known, gone = done.payload["localAuthorizationList"]
    assert known == {"idTag": "CARD2", "idTagInfo": {"status": "Accepted", "parentIdTag": "FLEET"}}
    assert gone == {"idTag": "NOBODY"}
    assert cp16.details(DetailKind.LIST)["version"] == {"version": 8}


# firmware and diagnostics


@cases(
    "steps",
    {
        "TC_044_1_CSMS": [("Downloading", "Downloaded", "Installing", "Installed")],
        "TC_044_2_CSMS": [("Downloading", "DownloadFailed")],
        "TC_044_3_CSMS": [("Downloading", "Downloaded", "Installing", "InstallationFailed")],
    },
)
def test_TC_firmware_update(cp16: Station16, steps: list[tuple[str, ...]]) -> None:
    done = cp16.asked("UpdateFirmware", {"location": "https://fw.example/1", "retries": 2}, {})
    assert done.action == "UpdateFirmware"
    assert done.payload["location"] == "https://fw.example/1"
    assert done.payload["retries"] == 2
    assert done.payload["retrieveDate"].endswith("Z")
    for status in steps[0]:
        assert cp16.say("FirmwareStatusNotification", {"status": status}) == {}
        assert cp16.details(DetailKind.FIRMWARE)["status"]["status"] == status
    if steps[0][-1] == "Installed":
        cp16.again()
        assert cp16.boot()["status"] == "Accepted"


@cases("last", {"TC_045_1_CSMS": "Uploaded", "TC_045_2_CSMS": "UploadFailed"})
def test_TC_diagnostics(cp16: Station16, last: str) -> None:
    since = utc_now() - timedelta(days=1)
    params = {"kind": "diagnostics", "location": "https://up.example/1", "since": since.isoformat()}
    done = cp16.asked("FetchLogs", params, {"fileName": "log.zip"})
    assert (done.action, done.payload["location"]) == ("GetDiagnostics", "https://up.example/1")
    assert done.payload["startTime"].startswith(since.strftime("%Y-%m-%dT%H:%M"))
    assert done.result.payload == {"fileName": "log.zip"}
    for status in ("Uploading", last):
        assert cp16.say("DiagnosticsStatusNotification", {"status": status}) == {}
    known = cp16.details(DetailKind.LOG)
    assert known["diagnostics asked"]["fileName"] == "log.zip"
    assert known["diagnostics status"]["status"] == last


# reservation


def reserved(cp16: Station16, connector: int = 1, status: str = "Accepted", token: str = "CARD1") -> Asked:
    until = {"until": LATER.isoformat(), "reservation_id": 5}
    done = cp16.asked("Reserve", {"token": token, "evse": connector} | until, {"status": status})
    expected = {"connectorId": connector, "expiryDate": LATER_TEXT, "idTag": token, "reservationId": 5}
    assert done.action == "ReserveNow"
    assert {name: value for name, value in done.payload.items() if name != "parentIdTag"} == expected
    return done


@cases("connector", {"TC_046_CSMS": 1, "TC_049_CSMS": 0})
def test_TC_reservation_that_is_used(cp16: Station16, connector: int) -> None:
    """049 reserves the charge point (connector 0), whichever connector the card then takes."""
    reserved(cp16, connector)
    if connector:
        cp16.status("Reserved")
        assert cp16.connector().status is ConnectorStatus.RESERVED
    assert set(cp16.details(DetailKind.RESERVATION)) == {"5"}
    assert cp16.authorize("CARD1")["status"] == "Accepted"
    cp16.status("Preparing")
    transaction = cp16.start("CARD1", reservationId=5)
    cp16.status("Charging")
    assert cp16.session(transaction).state is SessionState.CHARGING
    assert cp16.details(DetailKind.RESERVATION) == {}


def test_TC_047_CSMS_reservation_that_expires(cp16: Station16) -> None:
    """1.6 has no message for it: the connector is available again, and nobody was charged for."""
    reserved(cp16)
    cp16.status("Reserved")
    cp16.status("Available")
    assert cp16.connector().status is ConnectorStatus.AVAILABLE
    assert cp16.there.sessions("CP") == []


@cases(
    "status",
    {
        "TC_048_1_CSMS": "Faulted",
        "TC_048_2_CSMS": "Occupied",
        "TC_048_3_CSMS": "Unavailable",
        "TC_048_4_CSMS": "Rejected",
    },
)
def test_TC_reservation_that_is_not_taken(cp16: Station16, status: str) -> None:
    done = reserved(cp16, status=status)
    assert done.result.payload == {"status": status}
    assert done.is_refused
    assert cp16.details(DetailKind.RESERVATION) == {}


def test_TC_051_CSMS_cancel_reservation(cp16: Station16) -> None:
    reserved(cp16)
    done = cp16.asked("CancelReservation", {"reservation_id": 5})
    assert (done.action, done.payload) == ("CancelReservation", {"reservationId": 5})
    assert cp16.details(DetailKind.RESERVATION) == {}


def test_TC_052_CSMS_cancel_reservation_rejected(cp16: Station16) -> None:
    reserved(cp16)
    assert cp16.asked("CancelReservation", {"reservation_id": 6}, {"status": "Rejected"}).is_refused
    assert set(cp16.details(DetailKind.RESERVATION)) == {"5"}


def test_TC_053_CSMS_use_a_reserved_connector_with_parent_id_tag(cp16: Station16) -> None:
    done = reserved(cp16, token="CARD1")
    assert done.payload["parentIdTag"] == "FLEET"
    cp16.status("Reserved")
    assert cp16.authorize("CARD2") == {"status": "Accepted", "parentIdTag": "FLEET"}
    transaction = cp16.start("CARD2", reservationId=5)
    assert cp16.session(transaction).token == "CARD2"
    assert cp16.details(DetailKind.RESERVATION) == {}


# remote trigger

_METER = {"timestamp": "2026-11-25T10:00:00Z", "sampledValue": [{"value": "4200"}]}


@pytest.mark.parametrize(
    ("params", "asked", "sent"),
    [
        ({"message": "MeterValues", "evse": 1}, {"connectorId": 1}, {"connectorId": 1, "meterValue": [_METER]}),
        ({"message": "Heartbeat"}, {}, {}),
        (
            {"message": "StatusNotification", "evse": 1},
            {"connectorId": 1},
            {"connectorId": 1, "status": "Available", "errorCode": "NoError"},
        ),
        ({"message": "DiagnosticsStatusNotification"}, {}, {"status": "Idle"}),
        ({"message": "FirmwareStatusNotification"}, {}, {"status": "Idle"}),
        ({"message": "BootNotification"}, {}, {"chargePointVendor": "Acme", "chargePointModel": "Box"}),
    ],
    ids=lambda value: f"TC_054_CSMS {value['message']}" if "message" in value else "",
)
def test_TC_054_CSMS_trigger_message(
    cp16: Station16, params: dict[str, Any], asked: dict[str, Any], sent: dict[str, Any]
) -> None:
    done = cp16.asked("Trigger", params)
    assert (done.action, done.payload) == ("TriggerMessage", {"requestedMessage": params["message"]} | asked)
    cp16.say(params["message"], sent)
    assert cp16.new


def test_TC_055_CSMS_trigger_message_rejected(cp16: Station16) -> None:
    assert cp16.asked("Trigger", {"message": "MeterValues", "evse": 9}, REJECTED).is_refused


# smart charging


def test_TC_056_CSMS_tx_default_profile(cp16: Station16) -> None:
    done = cp16.asked("LimitPower", {"limit": 10, "unit": "A", "scope": "evse", "evse": 1, "duration_s": 3600})
    assert (done.action, done.payload["connectorId"]) == ("SetChargingProfile", 1)
    profile = done.payload["csChargingProfiles"]
    assert (profile["chargingProfilePurpose"], profile["chargingProfileKind"]) == ("TxDefaultProfile", "Absolute")
    assert profile["chargingSchedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 10.0}]
    assert profile["chargingSchedule"]["duration"] == 3600
    assert cp16.details(DetailKind.PROFILE)[str(profile["chargingProfileId"])] == profile


def test_TC_057_CSMS_tx_profile(cp16: Station16) -> None:
    transaction = cp16.charging()
    where = {"scope": "session", "evse": 1, "transaction_id": str(transaction)}
    profile = cp16.asked("LimitPower", {"limit": 6, "unit": "A"} | where).payload["csChargingProfiles"]
    assert (profile["chargingProfilePurpose"], profile["transactionId"]) == ("TxProfile", transaction)
    assert list(cp16.details(DetailKind.PROFILE)) == [str(profile["chargingProfileId"])]


def test_TC_059_CSMS_remote_start_with_charging_profile(cp16: Station16) -> None:
    cp16.status("Preparing")
    period = {"startPeriod": 0, "limit": 6.0}
    profile = {
        "chargingProfileId": 7, "stackLevel": 0, "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [period]},
    }  # fmt: skip
    done = cp16.asked("RemoteStartTransaction", {"idTag": "CARD1", "connectorId": 1, "chargingProfile": profile})
    assert done.payload["chargingProfile"] == profile
    transaction = cp16.start("CARD1")
    cp16.status("Charging")
    assert cp16.session(transaction).state is SessionState.CHARGING
    assert cp16.details(DetailKind.PROFILE) == {"7": profile}


def test_TC_066_CSMS_get_composite_schedule(cp16: Station16) -> None:
    schedule = {"chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6000.0}]}
    answer = {"status": "Accepted", "connectorId": 1, "scheduleStart": now(), "chargingSchedule": schedule}
    asked = {"connectorId": 1, "duration": 300, "chargingRateUnit": "W"}
    done = cp16.asked("GetCompositeSchedule", asked, answer)
    assert done.payload == asked
    assert cp16.details(DetailKind.SCHEDULE)["composite@1"]["chargingSchedule"] == schedule


def test_TC_067_CSMS_clear_charging_profile(cp16: Station16) -> None:
    cp16.asked("LimitPower", {"limit": 10, "unit": "A", "scope": "evse", "evse": 1})
    assert len(cp16.details(DetailKind.PROFILE)) == 1
    done = cp16.asked("ClearLimit", {"scope": "evse", "evse": 1})
    assert done.payload == {"connectorId": 1, "chargingProfilePurpose": "TxDefaultProfile"}
    assert [type(event) for event in done.told] == [DetailsReported]
    assert cp16.details(DetailKind.PROFILE) == {}
