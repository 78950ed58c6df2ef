"""The Open Charge Alliance's test cases of a central system for OCPP 1.6: core profile.

Each test plays the charge point of the case with that number; the steps follow sections 3 to 5 of the specification.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from oca_world import REJECTED, Asked, Station16, cases, now

from bridge.command_bus import CommandOutcome
from bridge.events import ConnectorStatus, DataTransferred, DetailKind, TokenPresented, utc_now
from bridge.session import SessionState

# start, stop and what they are started with


def test_TC_001_CSMS_cold_boot(cp16: Station16) -> None:
    answer = cp16.boot()
    assert answer["status"] == "Accepted"
    assert answer["interval"] > 0
    assert abs(datetime.fromisoformat(answer["currentTime"]) - utc_now()) < timedelta(seconds=5)
    for connector in (0, 1, 2):
        cp16.status("Available", connector)
    assert set(cp16.say("Heartbeat")) == {"currentTime"}
    assert cp16.connector(2).status is ConnectorStatus.AVAILABLE
    assert cp16.book.stations["CP"].vendor == "Acme"


def test_TC_003_CSMS_regular_session_plugin_first(cp16: Station16) -> None:
    cp16.status("Preparing")
    assert cp16.authorize("CARD1")["status"] == "Accepted"
    transaction = cp16.start("CARD1", 1000)
    cp16.status("Charging")
    assert cp16.session(transaction).state is SessionState.CHARGING
    value = {"value": "3000", "measurand": "Energy.Active.Import.Register"}
    meter = [{"timestamp": now(), "sampledValue": [value]}]
    assert cp16.say("MeterValues", {"connectorId": 1, "transactionId": transaction, "meterValue": meter}) == {}
    assert cp16.session(transaction).energy_wh == 2000
    assert cp16.authorize("CARD1")["status"] == "Accepted"
    assert cp16.stop(transaction, "Local", 5000, idTag="CARD1")["idTagInfo"]["status"] == "Accepted"
    cp16.status("Finishing")
    cp16.status("Available")
    session = cp16.session(transaction)
    assert (session.state, session.energy_wh, session.token) == (SessionState.ENDED, 4000, "CARD1")


def test_TC_004_1_CSMS_regular_session_identification_first(cp16: Station16) -> None:
    assert cp16.authorize("CARD1") == {"status": "Accepted", "parentIdTag": "FLEET"}
    cp16.status("Preparing")
    transaction = cp16.start("CARD1")
    cp16.status("Charging")
    assert cp16.session(transaction).token == "CARD1"
    assert cp16.connector().session_id == cp16.session(transaction).id


def test_TC_004_2_CSMS_identification_first_connection_time_out(cp16: Station16) -> None:
    assert cp16.authorize("CARD1")["status"] == "Accepted"
    cp16.status("Preparing")
    cp16.status("Available")
    assert cp16.there.sessions("CP") == []
    assert cp16.connector().status is ConnectorStatus.AVAILABLE


def test_TC_005_1_CSMS_ev_side_disconnected(cp16: Station16) -> None:
    for key in ("StopTransactionOnEVSideDisconnect", "UnlockConnectorOnEVSideDisconnect"):
        configured(cp16, key, "true")
    transaction = cp16.charging()
    cp16.status("SuspendedEV")
    assert cp16.session(transaction).state is SessionState.SUSPENDED
    assert cp16.stop(transaction, "EVDisconnected") == {}
    cp16.status("Finishing")
    cp16.status("Available")
    assert cp16.session(transaction).stop_reason == "EVDisconnected"


def test_TC_007_CSMS_regular_start_with_cached_id(cp16: Station16) -> None:
    """No Authorize: the start alone is what is decided on."""
    configured(cp16, "AuthorizationCacheEnabled", "true")
    cp16.status("Preparing")
    transaction = cp16.start("CARD2")
    assert cp16.session(transaction).token == "CARD2"


# remote start and stop


def test_TC_010_CSMS_remote_start_cable_plugged_in_first(cp16: Station16) -> None:
    cp16.status("Preparing")
    done = cp16.asked("StartForToken", {"token": "CARD1", "evse": 1})
    assert (done.action, done.payload) == ("RemoteStartTransaction", {"idTag": "CARD1", "connectorId": 1})
    assert done.result.payload == {"status": "Accepted"}
    assert cp16.authorize("CARD1")["status"] == "Accepted"
    transaction = cp16.start("CARD1")
    cp16.status("Charging")
    assert cp16.session(transaction).state is SessionState.CHARGING


def test_TC_011_1_CSMS_remote_start_first(cp16: Station16) -> None:
    assert cp16.asked("StartForToken", {"token": "CARD1"}).payload == {"idTag": "CARD1"}
    cp16.status("Preparing")
    transaction = cp16.start("CARD1")
    cp16.status("Charging")
    assert cp16.session(transaction).token == "CARD1"


def test_TC_011_2_CSMS_remote_start_first_time_out(cp16: Station16) -> None:
    configured(cp16, "ConnectionTimeOut", "5")
    assert cp16.asked("StartForToken", {"token": "CARD1", "evse": 1}).result.outcome is CommandOutcome.ANSWERED
    cp16.status("Preparing")
    cp16.status("Available")
    assert cp16.there.sessions("CP") == []


def test_TC_012_CSMS_remote_stop(cp16: Station16) -> None:
    transaction = cp16.charging()
    done = cp16.asked("StopSession", {"transaction_id": str(transaction)})
    assert (done.action, done.payload) == ("RemoteStopTransaction", {"transactionId": transaction})
    assert cp16.session(transaction).is_open
    assert cp16.stop(transaction, "Remote") == {}
    assert cp16.session(transaction).stop_reason == "Remote"


def test_TC_026_CSMS_remote_start_rejected(cp16: Station16) -> None:
    done = cp16.asked("StartForToken", {"token": "CARD1", "evse": 1}, REJECTED)
    assert done.is_refused
    assert cp16.there.sessions("CP") == []


def test_TC_028_CSMS_remote_stop_rejected(cp16: Station16) -> None:
    transaction = cp16.charging()
    unknown = transaction - 1
    done = cp16.asked("StopSession", {"transaction_id": str(unknown)}, REJECTED)
    assert done.payload == {"transactionId": unknown}
    assert done.is_refused
    assert cp16.session(transaction).is_open


# reset and unlock


@cases(
    "kind, word, reason",
    {"TC_013_CSMS": ("hard", "Hard", "HardReset"), "TC_014_CSMS": ("soft", "Soft", "SoftReset")},
)
def test_TC_reset(cp16: Station16, kind: str, word: str, reason: str) -> None:
    transaction = cp16.charging()
    done = cp16.asked("Reset", {"kind": kind})
    assert (done.action, done.payload, done.result.payload) == ("Reset", {"type": word}, {"status": "Accepted"})
    assert cp16.stop(transaction, reason) == {}
    cp16.again()
    assert cp16.boot()["status"] == "Accepted"
    cp16.status("Available")
    session = cp16.session(transaction)
    assert (session.state, session.stop_reason) == (SessionState.ENDED, reason)


@cases("status", {"TC_017_1_CSMS": "Unlocked", "TC_017_2_CSMS": "NotSupported", "TC_030_CSMS": "UnlockFailed"})
def test_TC_unlock_without_a_session(cp16: Station16, status: str) -> None:
    done = unlock(cp16, 1, status)
    assert (done.result.outcome, done.result.payload) == (CommandOutcome.ANSWERED, {"status": status})
    assert done.told == ()


def test_TC_018_1_CSMS_unlock_with_a_session(cp16: Station16) -> None:
    transaction = cp16.charging()
    assert unlock(cp16, 1, "Unlocked").result.payload == {"status": "Unlocked"}
    assert cp16.stop(transaction, "UnlockCommand") == {}
    cp16.status("Finishing")
    assert cp16.session(transaction).stop_reason == "UnlockCommand"


def test_TC_031_CSMS_unlock_unknown_connector(cp16: Station16) -> None:
    assert unlock(cp16, 9, "NotSupported").is_refused


def unlock(cp16: Station16, connector: int, status: str) -> Asked:
    done = cp16.asked("Unlock", {"evse": connector}, {"status": status})
    assert (done.action, done.payload) == ("UnlockConnector", {"connectorId": connector})
    return done


# configuration


def test_TC_019_1_CSMS_retrieve_all_configuration_keys(cp16: Station16) -> None:
    keys = [{"key": f"Key{number}", "readonly": number % 2 == 0, "value": str(number)} for number in range(50)]
    done = cp16.asked("GetConfiguration", {}, {"configurationKey": keys})
    assert (done.action, done.payload) == ("GetConfiguration", {})
    known = cp16.details(DetailKind.VARIABLE)
    assert len(known) == 50
    assert known["Key4"] == {"variable": "Key4", "value": "4", "mutability": "ReadOnly"}


def test_TC_019_2_CSMS_retrieve_specific_configuration_key(cp16: Station16) -> None:
    said = {"key": "SupportedFeatureProfiles", "readonly": True, "value": "Core"}
    done = cp16.asked("GetConfiguration", {"keys": "SupportedFeatureProfiles"}, {"configurationKey": [said]})
    assert done.payload == {"key": ["SupportedFeatureProfiles"]}
    assert cp16.details(DetailKind.VARIABLE)["SupportedFeatureProfiles"]["value"] == "Core"


def test_TC_021_CSMS_change_configuration(cp16: Station16) -> None:
    configured(cp16, "MeterValueSampleInterval", "30")
    assert cp16.details(DetailKind.VARIABLE)["MeterValueSampleInterval"]["value"] == "30"


@cases("status", {"TC_040_1_CSMS": "NotSupported", "TC_040_2_CSMS": "Rejected"})
def test_TC_configuration_that_is_not_taken(cp16: Station16, status: str) -> None:
    done = cp16.asked("SetConfiguration", {"key": "MeterValueSampleInterval", "value": "-1"}, {"status": status})
    assert done.result.payload == {"status": status}
    assert done.is_refused
    assert cp16.details(DetailKind.VARIABLE) == {}


def configured(cp16: Station16, key: str, value: str) -> None:
    done = cp16.asked("SetConfiguration", {"key": key, "value": value})
    assert (done.action, done.payload) == ("ChangeConfiguration", {"key": key, "value": value})


# cards that are not accepted, locks that fail


@cases(
    "tag, status",
    {
        "TC_023_1_CSMS": ("NOBODY", "Invalid"),
        "TC_023_2_CSMS": ("EXPIRED", "Expired"),
        "TC_023_3_CSMS": ("BLOCKED", "Blocked"),
    },
)
def test_TC_start_with_a_card_that_is_not_accepted(cp16: Station16, tag: str, status: str) -> None:
    cp16.status("Preparing")
    assert cp16.authorize(tag)["status"] == status
    presented = cp16.told(TokenPresented)[0]
    assert (presented.token, presented.accepted) == (tag, False)
    assert cp16.there.sessions("CP") == []


def test_TC_024_CSMS_start_with_lock_failure(cp16: Station16) -> None:
    cp16.status("Preparing")
    assert cp16.authorize("CARD1")["status"] == "Accepted"
    cp16.status("Faulted", error="ConnectorLockFailure")
    connector = cp16.connector()
    assert (connector.status, connector.error_code) == (ConnectorStatus.FAULTED, "ConnectorLockFailure")
    assert cp16.there.sessions("CP") == []


# power failure and offline


def test_TC_032_1_CSMS_power_failure_stops_transactions(cp16: Station16) -> None:
    transaction = cp16.charging()
    cp16.again()
    assert cp16.boot()["status"] == "Accepted"
    assert cp16.session(transaction).is_open
    assert cp16.stop(transaction, "PowerLoss", timestamp=now()) == {}
    cp16.status("Available")
    session = cp16.session(transaction)
    assert (session.state, session.stop_reason) == (SessionState.ENDED, "PowerLoss")


def test_TC_037_1_CSMS_offline_start_with_valid_card(cp16: Station16) -> None:
    cp16.again()
    at = now(-1200)
    transaction = cp16.start("CARD1", timestamp=at)
    cp16.status("Charging")
    session = cp16.session(transaction)
    assert session.started_at == datetime.fromisoformat(at)
    assert session.token == "CARD1"


def test_TC_037_3_CSMS_offline_start_with_invalid_card(cp16: Station16) -> None:
    """The start is taken, because it happened, and says that the card is not accepted; the charge point stops."""
    configured(cp16, "StopTransactionOnInvalidId", "true")
    cp16.again()
    said = {"connectorId": 1, "idTag": "NOBODY", "meterStart": 0, "timestamp": now(-1200)}
    answer = cp16.say("StartTransaction", said)
    assert answer["idTagInfo"]["status"] == "Invalid"
    transaction = answer["transactionId"]
    assert cp16.session(transaction).is_open
    assert cp16.stop(transaction, "DeAuthorized", 0) == {}
    assert cp16.session(transaction).stop_reason == "DeAuthorized"


def test_TC_039_CSMS_offline_transaction(cp16: Station16) -> None:
    cp16.again()
    transaction = cp16.start("CARD1", 1000, timestamp=now(-3600))
    answer = cp16.stop(transaction, "Local", 8000, timestamp=now(-600), idTag="CARD1")
    assert answer["idTagInfo"]["status"] == "Accepted"
    session = cp16.session(transaction)
    assert (session.state, session.energy_wh) == (SessionState.ENDED, 7000)
    assert session.ended_at is not None
    assert abs(session.ended_at - session.started_at - timedelta(minutes=50)) < timedelta(minutes=1)


# the rest of the core


def test_TC_061_CSMS_clear_authorization_data_in_cache(cp16: Station16) -> None:
    done = cp16.asked("ClearCache")
    assert (done.action, done.payload, done.result.payload) == ("ClearCache", {}, {"status": "Accepted"})


def test_TC_064_CSMS_data_transfer_to_a_central_system(cp16: Station16) -> None:
    said = {"vendorId": "com.acme", "messageId": "Weather", "data": "sunny"}
    assert cp16.say("DataTransfer", said)["status"] in ("UnknownVendorId", "UnknownMessageId", "Rejected")
    kept = cp16.told(DataTransferred)[0]
    assert (kept.vendor_id, kept.message_id, kept.data) == ("com.acme", "Weather", "sunny")
