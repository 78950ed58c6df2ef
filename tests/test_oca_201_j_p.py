"""The Open Charge Alliance's test cases of a CSMS for OCPP 2.0.1: blocks J, meter values, and P, data transfer.

Each test plays the charging station of the case with that number; the steps follow part 2 blocks J and P.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from oca_world import Station201, cases, meter_value, now

from bridge.events import DataTransferred, MeterSampled
from bridge.session import SessionState

_OCMF = {"signedMeterData": "T0NNRnx7fQ==", "signingMethod": "ECDSA", "encodingMethod": "OCMF", "publicKey": "MFk="}


# by the clock


@cases("is_signed", {"TC_J_01_CSMS": False, "TC_J_04_CSMS": True})
def test_TC_clock_aligned_without_a_transaction(cs201: Station201, is_signed: bool) -> None:
    value = meter_value(42_000, "Sample.Clock", **({"signedMeterValue": _OCMF} if is_signed else {}))
    for evse in (1, 2):
        assert cs201.say("MeterValues", {"evseId": evse, "meterValue": [value]}) == {}
        sample = cs201.told(MeterSampled)[0]
        assert (sample.evse, sample.context, sample.session_id) == (evse, "Sample.Clock", "")
        assert sample.values == {"energy_import_wh": 42_000.0}
        assert sample.signed == ("OCMF" if is_signed else "")
        assert cs201.connector(evse).register_wh == 42_000


def test_TC_J_02_CSMS_clock_aligned_during_a_transaction(cs201: Station201) -> None:
    going = cs201.charging("CARD1")
    said = meter_value(2500, "Sample.Clock")
    assert going.event("Updated", "MeterValueClock", "Charging", meterValue=[said]) == {}
    sample = cs201.told(MeterSampled)[0]
    assert (sample.context, sample.session_id) == ("Sample.Clock", going.session.id)
    assert going.session.energy_wh == 1500


def test_TC_J_03_CSMS_clock_aligned_in_the_end(cs201: Station201) -> None:
    """The end brings what was read by the clock on the way: the newest counts, in whatever order they come."""
    going = cs201.charging("CARD1")
    values = [meter_value(wh, "Sample.Clock", ahead_s) for wh, ahead_s in ((2500, 2), (1500, 1))]
    values.append(meter_value(3000, "Transaction.End", 3))
    going.event("Ended", "StopAuthorized", "EVConnected", reason="Local", meterValue=values)
    assert len(cs201.told(MeterSampled)) == 3
    assert (going.session.state, going.session.energy_wh) == (SessionState.ENDED, 2000)


# by the pace of the station


def sampled(wh: float, context: str, ahead_s: float = 0.0) -> dict[str, Any]:
    """Several measurands of one moment, one of them by phase and with a unit of its own."""
    more = [
        {"value": 7.4, "context": context, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "kW"}},
        {"value": 230.1, "context": context, "measurand": "Voltage", "phase": "L1-N", "unitOfMeasure": {"unit": "V"}},
    ]
    value = meter_value(wh, context, ahead_s)
    return value | {"sampledValue": value["sampledValue"] + more}


def test_TC_J_07_CSMS_sampled_at_the_start_evse_known(cs201: Station201) -> None:
    going = cs201.transaction()
    answer = going.event(
        "Started", "Authorized", "Charging", "CARD1", meterValue=[sampled(1000, "Transaction.Begin")]
    )
    assert answer["idTokenInfo"]["status"] == "Accepted"
    sample = cs201.told(MeterSampled)[0]
    assert (sample.evse, sample.context) == (1, "Transaction.Begin")
    assert sample.values["power_w"] == 7400.0
    assert going.session.meter_start_wh == 1000


def test_TC_J_08_CSMS_sampled_at_the_start_evse_not_known(cs201: Station201) -> None:
    """Begin comes with the message that first knows the EVSE, not with the start."""
    going = cs201.transaction(evse=None)
    assert going.event("Started", "Authorized", None, "CARD1")["idTokenInfo"]["status"] == "Accepted"
    assert going.session.meter_start_wh is None
    going.evse = 1
    going.event("Updated", "CablePluggedIn", "EVConnected", meterValue=[sampled(1000, "Transaction.Begin")])
    going.event("Updated", "MeterValuePeriodic", "Charging", meterValue=[sampled(1700, "Sample.Periodic")])
    assert (going.session.meter_start_wh, going.session.energy_wh) == (1000, 700)


def test_TC_J_09_CSMS_sampled_on_the_way(cs201: Station201) -> None:
    going = cs201.charging("CARD1")
    for wh in (1500, 2500):
        answer = going.event("Updated", "MeterValuePeriodic", "Charging", meterValue=[sampled(wh, "Sample.Periodic")])
        assert answer == {}
        assert going.session.energy_wh == wh - 1000
    assert (going.session.power_w, cs201.connector().power_w) == (7400.0, 7400.0)


def test_TC_J_10_CSMS_sampled_in_the_end(cs201: Station201) -> None:
    going = cs201.charging("CARD1")
    values = [sampled(1800, "Sample.Periodic", 1), sampled(4000, "Transaction.End", 2)]
    going.event("Ended", "StopAuthorized", "EVConnected", reason="Local", meterValue=values)
    assert (going.session.meter_stop_wh, going.session.energy_wh) == (4000, 3000)
    assert cs201.connector().power_w == 0.0


def test_TC_J_11_CSMS_sampled_and_signed(cs201: Station201) -> None:
    going = cs201.transaction()
    begin = meter_value(1000, "Transaction.Begin", signedMeterValue=_OCMF)
    going.event("Started", "Authorized", "Charging", "CARD1", meterValue=[begin])
    end = meter_value(3000, "Transaction.End", signedMeterValue=_OCMF)
    going.event("Ended", "StopAuthorized", "EVConnected", reason="Local", meterValue=[end])
    evidence = going.session.evidence
    assert (evidence.signed_begin, evidence.signed_end) == ("OCMF", "OCMF")
    assert going.session.energy_wh == 2000


# data transfer


@pytest.mark.parametrize(
    "said", [{"vendorId": "com.acme"}, {"vendorId": "com.acme", "messageId": "Weather", "data": "sunny"}]
)
def test_TC_P_02_CSMS_data_transfer_of_an_unknown_vendor(cs201: Station201, said: dict[str, str]) -> None:
    assert cs201.say("DataTransfer", said)["status"] in ("Rejected", "UnknownVendorId", "UnknownMessageId")
    kept = cs201.told(DataTransferred)[0]
    assert (kept.vendor_id, kept.message_id, kept.data) == ("com.acme", said.get("messageId", ""), said.get("data", ""))


def test_TC_P_03_CSMS_custom_data(cs201: Station201) -> None:
    """Custom data anywhere in a message is no fault of it, and it is kept with the frame."""
    custom = {"customData": {"vendorId": "com.acme", "mood": {"is": "sunny"}}}
    assert cs201.say("Heartbeat", custom).keys() == {"currentTime"}
    token = {"idToken": "CARD1", "type": "ISO14443"} | custom
    assert cs201.say("Authorize", {"idToken": token} | custom)["idTokenInfo"]["status"] == "Accepted"
    going = cs201.transaction()
    value = meter_value(1000, "Transaction.Begin") | custom
    going.event("Started", "Authorized", "Charging", "CARD1", meterValue=[value], info=custom, **custom)
    assert going.session.meter_start_wh == 1000
    assert going.session.started_at.isoformat()[:10] == now()[:10]
    kept = [frame for frame in cs201.frames if frame.action == "TransactionEvent"]
    assert json.loads(kept[0].raw)[3]["customData"] == custom["customData"]
