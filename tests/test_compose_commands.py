"""Composed commands: every one fits the official schema of every version it can be said in, and says why where not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import commands_table
import pytest
from composed_samples import LATER, SAID

from bridge import schemas
from bridge.access import TokenEntry
from bridge.compose import (
    ADMIN,
    ALL_VERSIONS,
    COMPOSED,
    OPERATOR,
    CannotCompose,
    Kind,
    compose,
    composed_for,
    needed_role,
    veiled,
)

NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
TOKENS = {
    entry.token: entry
    for entry in (
        TokenEntry(token="GOOD", group="FLEET", expires_at=NOW + timedelta(days=30)),
        TokenEntry(token="OLD", expires_at=NOW - timedelta(days=1)),
        TokenEntry(token="BAD", is_blocked=True),
        TokenEntry(token="PLAIN"),
    )
}
# name -> parameters; the first line of each has only what is required
CASES = [(name, params) for name, listed in SAID.items() for params in listed]


def said(protocol: str, name: str, params: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return compose(protocol, name, params, TOKENS, NOW)


def test_every_composed_command_is_tried_with_every_parameter() -> None:
    assert SAID.keys() == COMPOSED.keys()
    for command in COMPOSED.values():
        used = {name for params in SAID[command.name] for name in params}
        assert {parameter.name for parameter in command.parameters} - used == set(), command.name
        required = {parameter.name for parameter in command.parameters if parameter.required}
        assert set(SAID[command.name][0]) == required, command.name


@pytest.mark.parametrize("protocol", ALL_VERSIONS)
@pytest.mark.parametrize(("name", "params"), CASES)
def test_a_composed_command_fits_the_schema_of_each_version(protocol: str, name: str, params: dict[str, Any]) -> None:
    if protocol not in COMPOSED[name].versions:
        with pytest.raises(CannotCompose, match="cannot be said in OCPP") as refusal:
            said(protocol, name, params)
        assert refusal.value.path == "action"
        return
    action, payload = said(protocol, name, params)
    assert action in schemas.calls_to_station(protocol)
    assert schemas.violations(protocol, action, payload) == []


def test_every_entry_of_the_table_can_be_a_form() -> None:
    for command in COMPOSED.values():
        assert command.title
        assert command.consequence.endswith(".")
        assert command.role in (OPERATOR, ADMIN)
        for parameter in command.parameters:
            assert parameter.label
            assert bool(parameter.choices) == (parameter.kind is Kind.CHOICE)
            assert parameter.default is None or not parameter.choices or parameter.default in parameter.choices
    assert [c.name for c in composed_for("ocpp1.6")] == [n for n in COMPOSED if not n.endswith("Message")]
    assert len(composed_for("ocpp2.1")) == len(COMPOSED)
    assert composed_for("mqtt/goe") == []


WORDS: list[tuple[str, str, dict[str, Any], str, dict[str, Any]]] = [
    ("ocpp1.6", "StopSession", {"transaction_id": "7"}, "RemoteStopTransaction", {"transactionId": 7}),
    ("ocpp2.1", "StopSession", {"transaction_id": "7"}, "RequestStopTransaction", {"transactionId": "7"}),
    ("ocpp2.0.1", "Reset", {"kind": "hard"}, "Reset", {"type": "Immediate"}),
    ("ocpp1.6", "Reset", {}, "Reset", {"type": "Soft"}),
    ("ocpp1.6", "Unlock", {"evse": 2}, "UnlockConnector", {"connectorId": 2}),
    ("ocpp2.0.1", "Unlock", {"evse": 2}, "UnlockConnector", {"evseId": 2, "connectorId": 1}),
    (
        *("ocpp1.6", "ChangeAvailability", {"operative": False}, "ChangeAvailability"),
        {"connectorId": 0, "type": "Inoperative"},
    ),
    (
        *("ocpp2.0.1", "ChangeAvailability", {"operative": True, "evse": 1, "connector": 2}, "ChangeAvailability"),
        {"operationalStatus": "Operative", "evse": {"id": 1, "connectorId": 2}},
    ),
    ("ocpp1.6", "GetConfiguration", {}, "GetConfiguration", {}),
    ("ocpp1.6", "GetConfiguration", {"keys": "A, B"}, "GetConfiguration", {"key": ["A", "B"]}),
    (
        *("ocpp2.0.1", "GetConfiguration", {"keys": "Connector/left@1:2.Available/x"}, "GetVariables"),
        {
            "getVariableData": [
                {
                    "component": {"name": "Connector", "instance": "left", "evse": {"id": 1, "connectorId": 2}},
                    "variable": {"name": "Available", "instance": "x"},
                }
            ]
        },
    ),
    (
        *("ocpp1.6", "SetConfiguration", {"key": "HeartbeatInterval", "value": 60}, "ChangeConfiguration"),
        {"key": "HeartbeatInterval", "value": "60"},
    ),
    (
        *("ocpp1.6", "Trigger", {"message": "LogStatusNotification"}, "ExtendedTriggerMessage"),
        {"requestedMessage": "LogStatusNotification"},
    ),
    (
        *("ocpp1.6", "Trigger", {"message": "SignChargingStationCertificate"}, "ExtendedTriggerMessage"),
        {"requestedMessage": "SignChargePointCertificate"},
    ),
    (
        *("ocpp1.6", "FetchLogs", {"location": "ftp://x/", "since": LATER}, "GetDiagnostics"),
        {"location": "ftp://x/", "startTime": "2026-11-25T19:00:00Z"},
    ),
    ("ocpp2.0.1", "ClearMessage", {"message_id": 3}, "ClearDisplayMessage", {"id": 3}),
    (
        *("ocpp1.6", "ClearLimit", {}, "ClearChargingProfile"),
        {"connectorId": 0, "chargingProfilePurpose": "ChargePointMaxProfile"},
    ),
]


@pytest.mark.parametrize(("protocol", "name", "params", "action", "payload"), WORDS)
def test_a_command_uses_the_words_of_its_version(
    protocol: str, name: str, params: dict[str, Any], action: str, payload: dict[str, Any]
) -> None:
    assert said(protocol, name, params) == (action, payload)


def test_numbers_are_random_where_the_charger_only_repeats_them() -> None:
    first, second = (said("ocpp2.0.1", "GetConfiguration", {})[1] for _ in range(2))
    assert first["reportBase"] == "FullInventory"
    assert first["requestId"] != second["requestId"]


def test_a_signed_update_is_another_action_in_1_6() -> None:
    plain, signed = (said("ocpp1.6", "UpdateFirmware", params) for params in SAID["UpdateFirmware"])
    assert plain == ("UpdateFirmware", {"location": "https://fw.example/1", "retrieveDate": "2026-11-25T08:00:00Z"})
    assert signed[0] == "SignedUpdateFirmware"


def test_the_local_list_says_what_the_door_would_say() -> None:
    action, payload = said("ocpp1.6", "SendLocalList", {})
    info = {entry["idTag"]: entry["idTagInfo"] for entry in payload["localAuthorizationList"]}
    assert (action, payload["updateType"]) == ("SendLocalList", "Full")
    assert info == {
        "GOOD": {"status": "Accepted", "expiryDate": "2026-12-25T08:00:00Z", "parentIdTag": "FLEET"},
        "OLD": {"status": "Expired", "expiryDate": "2026-11-24T08:00:00Z"},
        "BAD": {"status": "Blocked"},
        "PLAIN": {"status": "Accepted"},
    }
    _, newer = compose("ocpp2.0.1", "SendLocalList", {}, TOKENS, NOW + timedelta(seconds=1))
    assert newer["versionNumber"] == payload["listVersion"] + 1
    assert newer["localAuthorizationList"][0]["idTokenInfo"]["groupIdToken"]["idToken"] == "FLEET"


def test_a_card_that_we_no_longer_list_leaves_the_local_list() -> None:
    _, payload = said("ocpp1.6", "SendLocalList", {"update": "differential", "tokens": "good,GONE"})
    assert payload["updateType"] == "Differential"
    assert [sorted(entry) for entry in payload["localAuthorizationList"]] == [["idTag", "idTagInfo"], ["idTag"]]


def test_a_list_of_no_cards_is_a_list_without_entries() -> None:
    for protocol in ALL_VERSIONS:
        action, payload = compose(protocol, "SendLocalList", {}, {}, NOW)
        assert "localAuthorizationList" not in payload
        assert schemas.violations(protocol, action, payload) == []


def test_a_limit_is_a_profile_of_its_place() -> None:
    station = said("ocpp1.6", "LimitPower", {"limit": 11000})[1]
    assert station["connectorId"] == 0
    assert station["csChargingProfiles"]["chargingProfilePurpose"] == "ChargePointMaxProfile"
    session = said("ocpp2.0.1", "LimitPower", SAID["LimitPower"][3])[1]
    profile = session["chargingProfile"]
    assert (session["evseId"], profile["chargingProfilePurpose"], profile["transactionId"]) == (1, "TxProfile", "7")
    assert profile["chargingSchedule"][0]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 6.0}]
    again = said("ocpp2.0.1", "LimitPower", SAID["LimitPower"][3])[1]
    assert again["chargingProfile"]["id"] == profile["id"] != station["csChargingProfiles"]["chargingProfileId"]


def test_a_rotated_key_can_be_shown_as_text_or_bytes_in_1_6() -> None:
    digits = "0123456789abcdef0123456789abcdef"
    assert said("ocpp1.6", "RotateKey", {"key": digits})[1] == {"key": "AuthorizationKey", "value": digits}
    sent = said("ocpp1.6", "RotateKey", {"key": "no-hex-digits-here:1"})[1]["value"]
    assert bytes.fromhex(sent) == b"no-hex-digits-here:1"
    entry = said("ocpp2.0.1", "RotateKey", {"key": "no-hex-digits-here:1"})[1]["setVariableData"][0]
    assert entry["component"] == {"name": "SecurityCtrlr"}
    assert (entry["variable"], entry["attributeValue"]) == ({"name": "BasicAuthPassword"}, "no-hex-digits-here:1")


WRONG: list[tuple[str, str, dict[str, Any], str]] = [
    ("ocpp1.6", "StartForToken", {}, "token"),
    ("ocpp1.6", "StartForToken", {"token": " "}, "token"),
    ("ocpp2.0.1", "StartForToken", {"token": "A", "token_type": "RFID"}, "token_type"),
    ("ocpp2.0.1", "StartForToken", {"token": {"a": 1}}, "token"),
    ("ocpp1.6", "StartForToken", {"token": "A", "evse": "x"}, "evse"),
    ("ocpp1.6", "StartForToken", {"token": "A", "evse": 1.5}, "evse"),
    ("ocpp1.6", "StartForToken", {"token": "A", "evse": 2**40}, "evse"),
    ("ocpp1.6", "StartForToken", {"token": "A", "evse": True}, "evse"),
    ("ocpp1.6", "StartForToken", {"token": "A", "colour": 1}, "colour"),
    ("ocpp1.6", "StopSession", {"transaction_id": "abc"}, "transaction_id"),
    ("ocpp1.6", "Reset", {"kind": "warm"}, "kind"),
    ("ocpp1.6", "Trigger", {"message": "TransactionEvent"}, "message"),
    ("ocpp1.6", "Trigger", {"message": "Coffee"}, "message"),
    ("ocpp1.6", "Trigger", {"message": "Heartbeat", "evse": []}, "evse"),
    ("ocpp1.6", "ChangeAvailability", {"operative": "perhaps"}, "operative"),
    ("ocpp2.0.1", "GetConfiguration", {"keys": "HeartbeatInterval"}, "keys"),
    ("ocpp2.0.1", "SetConfiguration", {"key": "Heartbeat", "value": "1"}, "key"),
    ("ocpp1.6", "RotateKey", {"key": "short"}, "key"),
    ("ocpp1.6", "RotateKey", {"key": "longer-than-20-characters"}, "key"),
    ("ocpp2.0.1", "RotateKey", {"key": "with a blank inside"}, "key"),
    ("ocpp1.6", "SendLocalList", {"update": "differential"}, "tokens"),
    ("ocpp1.6", "SendLocalList", {"tokens": "A"}, "tokens"),
    ("ocpp1.6", "Reserve", {"token": "A", "until": "tomorrow"}, "until"),
    ("ocpp1.6", "Reserve", {"token": "A", "until": "2026-01-01T00:00:00"}, "until"),
    ("ocpp1.6", "LimitPower", {"limit": "NaN"}, "limit"),
    ("ocpp1.6", "LimitPower", {"limit": -1}, "limit"),
    ("ocpp1.6", "LimitPower", {"limit": 1, "scope": "evse"}, "evse"),
    ("ocpp1.6", "LimitPower", {"limit": 1, "scope": "session", "evse": 0, "transaction_id": "1"}, "evse"),
    ("ocpp1.6", "LimitPower", {"limit": 1, "scope": "session", "evse": 1}, "transaction_id"),
    ("ocpp1.6", "LimitPower", {"limit": 1, "scope": "session", "evse": 1, "transaction_id": "x"}, "transaction_id"),
    ("ocpp1.6", "UpdateFirmware", {"location": "x", "signature": "x"}, "signing_certificate"),
]


@pytest.mark.parametrize(("protocol", "name", "params", "path"), WRONG)
def test_a_command_that_cannot_be_said_names_the_parameter(
    protocol: str, name: str, params: dict[str, Any], path: str
) -> None:
    with pytest.raises(CannotCompose) as refusal:
        said(protocol, name, params)
    assert refusal.value.path == path
    assert path in str(refusal.value)


def test_other_names_and_ocpp_s_own_payloads_pass_as_they_are() -> None:
    for name, payload in (
        ("Reset", {"type": "Soft"}),
        ("UnlockConnector", {"connectorId": 1}),
        ("SendLocalList", {"listVersion": 1, "updateType": "Full"}),
        ("ChangeAvailability", {"connectorId": 1, "type": "Operative"}),
        ("UpdateFirmware", {"location": "x", "retrieveDate": LATER}),
        ("Nonsense", {"a": 1}),
    ):
        assert said("ocpp1.6", name, payload) == (name, payload)


# ---- who may, and what is shown of it


@pytest.mark.parametrize(
    ("name", "params", "role"),
    [
        ("Reset", {"kind": "hard"}, OPERATOR),
        ("StartForToken", {"token": "A"}, OPERATOR),
        ("RotateKey", {"key": "x"}, ADMIN),
        ("UpdateFirmware", {}, ADMIN),
        ("SignedUpdateFirmware", {}, ADMIN),
        ("InstallCertificate", {}, ADMIN),
        ("SetNetworkProfile", {}, ADMIN),
        ("SetConfiguration", {"key": "HeartbeatInterval", "value": "1"}, OPERATOR),
        ("SetConfiguration", {"key": " authorizationKEY", "value": "1"}, ADMIN),
        ("SetConfiguration", {"key": "SecurityCtrlr.Identity", "value": "1"}, ADMIN),
        ("SetConfiguration", {"key": "OCPPCommCtrlr.NetworkConfigurationPriority", "value": "1"}, ADMIN),
        ("ChangeConfiguration", {"key": "SecurityProfile", "value": "1"}, ADMIN),
        ("SetVariables", {"setVariableData": [{}, {"variable": {"name": "BasicAuthPassword"}}]}, ADMIN),
        ("SetVariables", {"setVariableData": [{"component": {"name": "SecurityCtrlr"}}]}, ADMIN),
        ("SetVariables", {"setVariableData": "x"}, OPERATOR),
        ("Trigger", {"message": "SignChargingStationCertificate"}, ADMIN),
        ("ExtendedTriggerMessage", {"requestedMessage": "SignChargePointCertificate"}, ADMIN),
        ("Trigger", {"message": "Heartbeat"}, OPERATOR),
        ("FetchLogs", {}, OPERATOR),
    ],
)
def test_what_changes_keys_certificates_firmware_or_the_network_needs_an_admin(
    name: str, params: dict[str, Any], role: str
) -> None:
    assert needed_role(name, params) == role


def test_the_table_and_the_roles_agree() -> None:
    for name, listed in SAID.items():
        assert needed_role(name, listed[0]) == COMPOSED[name].role, name


SECRET = "0123456789abcdef0123456789abcdef"
SECRETS: list[tuple[str, dict[str, Any]]] = [
    ("RotateKey", {"key": SECRET}),
    ("SetConfiguration", {"key": "AuthorizationKey", "value": SECRET}),
    ("SetConfiguration", {"key": "SecurityCtrlr.BasicAuthPassword", "value": SECRET}),
    ("ChangeConfiguration", {"key": "authorizationkey ", "value": SECRET}),
    ("SetVariables", compose("ocpp2.0.1", "RotateKey", {"key": SECRET})[1]),
    ("SetNetworkProfile", {"connectionData": {"basicAuthPassword": SECRET, "apn": {"apnPassword": SECRET}}}),
    ("SetNetworkProfile", {"connectionData": {"vpn": {"key": SECRET, "password": SECRET, "server": "a"}}}),
    ("GetLog", {"log": {"remoteLocation": f"https://u:p@logs.example/{SECRET}"}}),
    ("FetchLogs", {"location": f"https://[::{SECRET}"}),
    ("SetVariables", {"variable": {"name": "WifiPassword"}, "value": SECRET}),
    ("DataTransfer", {"vendorId": "Acme", "data": f"ApiKey={SECRET}"}),
    ("DataTransfer", {"vendorId": "Acme", "password": [SECRET, {"old": SECRET}]}),
]


@pytest.mark.parametrize(("name", "payload"), SECRETS)
def test_a_secret_is_never_shown(name: str, payload: dict[str, Any]) -> None:
    assert SECRET in str(payload)
    assert SECRET not in str(veiled(name, payload, with_addresses=True))


def test_what_is_no_secret_stays() -> None:
    payload = {"key": "HeartbeatInterval", "value": "60"}
    assert veiled("ChangeConfiguration", payload) == payload
    shown = veiled("GetLog", {"log": {"remoteLocation": "https://logs.example/a"}}, with_addresses=True)
    assert shown == {"log": {"remoteLocation": "https://logs.example/(hidden)"}}
    assert veiled("StartForToken", {"token": "A"}, with_addresses=True) == {"token": "A"}


def test_the_document_has_the_table() -> None:
    assert commands_table.table() in commands_table.PAGE.read_text(), "run python tests/commands_table.py"
