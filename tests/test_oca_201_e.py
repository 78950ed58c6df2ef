"""The Open Charge Alliance's test cases of a CSMS for OCPP 2.0.1: block E, transactions.

Each test plays the charging station of the case with that number; the steps follow part 2 block E.
"""

from __future__ import annotations

from typing import Any

from oca_world import Station201, Transaction, cases, meter_value

from bridge.events import ConnectorStatus, MeterSampled
from bridge.session import SessionState

_SIGNED = {"signedMeterData": "T0NNRg==", "signingMethod": "", "encodingMethod": "OCMF", "publicKey": ""}


# where a transaction starts


@cases(
    "point, trigger, state, has_token, has_place",
    {
        "TC_E_01_CSMS": ("PowerPathClosed", "Authorized", "EVConnected", True, True),
        "TC_E_02_CSMS": ("EnergyTransfer", "ChargingStateChanged", "Charging", True, True),
        "TC_E_09_CSMS": ("EVConnected", "CablePluggedIn", "EVConnected", False, True),
        "TC_E_10_CSMS": ("Authorized", "Authorized", None, True, False),
        "TC_E_11_CSMS": ("DataSigned", "SignedDataReceived", "EVConnected", True, True),
        "TC_E_12_CSMS": ("ParkingBayOccupancy", "EVDetected", "Idle", False, True),
    },
)
def test_TC_start_transaction_options(
    cs201: Station201, point: str, trigger: str, state: str | None, has_token: bool, has_place: bool
) -> None:
    cs201.variable_set("TxCtrlr.TxStartPoint", point)
    going = cs201.transaction(evse=1 if has_place else None)
    if has_token:
        assert cs201.authorize("CARD1")["status"] == "Accepted"
    more: dict[str, Any] = {}
    if point == "DataSigned":
        more["meterValue"] = [meter_value(1000, "Transaction.Begin", signedMeterValue=_SIGNED)]
    answer = going.event("Started", trigger, state, "CARD1" if has_token else None, **more)
    assert ("idTokenInfo" in answer) is has_token, "it is told of the card where it named one"
    assert going.session.is_open
    going.evse = 1
    if not has_token:
        answer = going.event("Updated", "Authorized", "EVConnected", "CARD1")
        assert answer["idTokenInfo"]["status"] == "Accepted"
    going.event("Updated", "ChargingStateChanged", "Charging", wh=2000)
    session = going.session
    assert (session.state, session.token, session.evse) == (SessionState.CHARGING, "CARD1", 1)
    assert cs201.connector().session_id == session.id


def test_TC_E_03_CSMS_local_start_cable_first(cs201: Station201) -> None:
    going = cs201.charging("CARD1")
    assert going.session.state is SessionState.CHARGING
    assert cs201.connector().status is ConnectorStatus.CHARGING


def test_TC_E_04_CSMS_local_start_authorization_first(cs201: Station201) -> None:
    assert cs201.authorize("CARD1")["status"] == "Accepted"
    going = cs201.transaction(evse=None)
    assert going.event("Started", "Authorized", None, "CARD1")["idTokenInfo"]["status"] == "Accepted"
    cs201.status("Occupied")
    going.evse = 1
    assert going.event("Updated", "CablePluggedIn", "EVConnected") == {}
    assert going.event("Updated", "ChargingStateChanged", "Charging") == {}
    assert (going.session.evse, going.session.state) == (1, SessionState.CHARGING)


def test_TC_E_38_CSMS_local_start_and_the_car_is_not_ready(cs201: Station201) -> None:
    cs201.status("Occupied")
    going = cs201.transaction()
    going.event("Started", "CablePluggedIn", "EVConnected")
    assert going.event("Updated", "Authorized", "EVConnected", "CARD1")["idTokenInfo"]["status"] == "Accepted"
    assert going.event("Updated", "ChargingStateChanged", "SuspendedEV") == {}
    assert going.session.state is SessionState.SUSPENDED
    assert cs201.connector().status is ConnectorStatus.SUSPENDED_EV


def test_TC_E_53_CSMS_sequence_numbers_start_again(cs201: Station201) -> None:
    """Each transaction counts from 0; that is no gap and no repetition."""
    for number in (1, 2):
        going = cs201.charging("CARD1", f"tx-{number}")
        going.event("Ended", "StopAuthorized", "EVConnected", "CARD1", reason="Local", wh=3000)
        assert (going.session.state, going.session.energy_wh) == (SessionState.ENDED, 2000)
        evidence = going.session.evidence
        assert (evidence.seq_first, evidence.seq_missing) == (0, 0)


# where it stops


@cases(
    "point, trigger, state, reason, has_token",
    {
        "TC_E_07_CSMS": ("PowerPathClosed", "StopAuthorized", "EVConnected", "Local", True),
        "TC_E_08_CSMS": ("EnergyTransfer", "StopAuthorized", "EVConnected", "Local", True),
        "TC_E_15_CSMS": ("Authorized", "StopAuthorized", "EVConnected", "Local", True),
        "TC_E_17_CSMS": ("Authorized", "EVCommunicationLost", "Idle", "EVDisconnected", False),
        "TC_E_19_CSMS": ("ParkingBayOccupancy", "EVDeparted", "Idle", "Local", False),
        "TC_E_20_CSMS": ("EVConnected", "EVCommunicationLost", "Idle", "EVDisconnected", False),
        "TC_E_22_CSMS": ("EnergyTransfer", "ChargingStateChanged", "SuspendedEV", "StoppedByEV", False),
    },
)
def test_TC_stop_transaction_options(
    cs201: Station201, point: str, trigger: str, state: str, reason: str, has_token: bool
) -> None:
    cs201.variable_set("TxCtrlr.TxStopPoint", point)
    going = cs201.charging("CARD1")
    answer = going.event("Ended", trigger, state, "CARD1" if has_token else None, 4000, reason)
    assert ("idTokenInfo" in answer) is has_token
    cs201.status("Available")
    session = going.session
    assert (session.state, session.stop_reason, session.energy_wh) == (SessionState.ENDED, reason, 3000)
    assert cs201.connector().status is ConnectorStatus.AVAILABLE


def test_TC_E_14_CSMS_stop_at_the_station_then_unplugged(cs201: Station201) -> None:
    cs201.variable_set("TxCtrlr.TxStopPoint", "EVConnected")
    going = cs201.charging("CARD1")
    answer = going.event("Updated", "StopAuthorized", "EVConnected", "CARD1")
    assert answer["idTokenInfo"]["status"] == "Accepted"
    assert going.session.state is SessionState.FINISHING, "charging is over, the cable is in"
    going.event("Ended", "EVCommunicationLost", "Idle", wh=4000, reason="Local")
    cs201.status("Available")
    assert going.session.state is SessionState.ENDED


def test_TC_E_16_CSMS_stop_because_the_card_is_invalid(cs201: Station201) -> None:
    """It was let in offline; we say no, the station ends it; what flowed is recorded."""
    cs201.variable_set("TxCtrlr.StopTxOnInvalidId", "true")
    going = cs201.transaction()
    answer = going.event("Started", "Authorized", "Charging", "NOBODY", 1000, offline=True)
    assert answer["idTokenInfo"]["status"] == "Unknown"
    assert going.event("Updated", "Deauthorized", "SuspendedEVSE") == {}
    assert going.event("Ended", "Deauthorized", "SuspendedEVSE", wh=1100, reason="DeAuthorized") == {}
    assert (going.session.stop_reason, going.session.energy_wh) == ("DeAuthorized", 100)


def test_TC_E_21_CSMS_stop_by_us(cs201: Station201) -> None:
    going = cs201.charging("CARD1")
    done = cs201.asked("StopSession", {"transaction_id": going.id})
    assert (done.action, done.payload) == ("RequestStopTransaction", {"transactionId": going.id})
    assert going.session.is_open
    assert going.event("Ended", "RemoteStop", "EVConnected", wh=2000, reason="Remote") == {}
    assert going.session.stop_reason == "Remote"


def test_TC_E_39_CSMS_stop_because_nobody_plugged_in(cs201: Station201) -> None:
    going = cs201.transaction(evse=None)
    assert going.event("Started", "Authorized", None, "CARD1")["idTokenInfo"]["status"] == "Accepted"
    assert going.event("Ended", "EVConnectTimeout", None, reason="Timeout") == {}
    assert (going.session.stop_reason, going.session.energy_wh) == ("Timeout", 0)


def test_TC_E_26_CSMS_unplugged_at_the_car_suspends(cs201: Station201) -> None:
    cs201.variable_set("TxCtrlr.StopTxOnEVSideDisconnect", "false")
    going = cs201.charging("CARD1")
    assert going.event("Updated", "EVCommunicationLost", "Idle") == {}
    assert going.session.is_open, "it may go on"
    assert going.event("Updated", "CablePluggedIn", "EVConnected") == {}
    assert going.event("Updated", "ChargingStateChanged", "Charging", wh=2000) == {}
    assert going.session.state is SessionState.CHARGING
    assert cs201.told(MeterSampled)[0].session_id == going.session.id


# where it stands


@cases(
    "has_id, is_ended, is_queued",
    {
        "TC_E_29_CSMS": (True, False, True),
        "TC_E_30_CSMS": (True, False, False),
        "TC_E_31_CSMS": (True, True, True),
        "TC_E_33_CSMS": (False, True, True),
        "TC_E_34_CSMS": (False, True, False),
    },
)
def test_TC_check_transaction_status(cs201: Station201, has_id: bool, is_ended: bool, is_queued: bool) -> None:
    """What waits at the station comes after the answer, and is taken as it happened."""
    going = cs201.charging("CARD1")
    if is_ended and not is_queued:
        ended(going, is_late=False)
    asked = {"transactionId": going.id} if has_id else {}
    answer = {"messagesInQueue": is_queued} | ({"ongoingIndicator": not is_ended} if has_id else {})
    done = cs201.asked("GetTransactionStatus", asked, answer)
    assert (done.payload, done.result.payload) == (asked, answer)
    if is_queued and is_ended:
        ended(going, is_late=True)
    elif is_queued:
        going.event("Updated", "MeterValuePeriodic", "Charging", wh=2500, offline=True)
        assert going.session.energy_wh == 1500
    assert going.session.is_open is not is_ended


def ended(going: Transaction, is_late: bool) -> None:
    going.event("Ended", "EVCommunicationLost", "Idle", wh=3000, reason="EVDisconnected", offline=is_late)
    assert going.session.energy_wh == 2000
