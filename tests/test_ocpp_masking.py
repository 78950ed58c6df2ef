"""Keys and passwords reach neither the journal nor the records, in whatever message they come."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp_samples import AT, FROM, TO
from ocpp_world import BY_PROTOCOL, answer_to, desk

from bridge import secrecy
from bridge.events import utc_now
from bridge.ocpp import masking

SECRET = "hunter2hunter2hunter2"
_NETWORK = TO["ocpp2.1"]["SetNetworkProfile"].payload
_VARIABLE = {"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"}}
_REPORT = {"generatedAt": AT, "requestId": 1, "seqNo": 0}

SAID: list[tuple[str, str, Any]] = [
    ("ocpp1.6", "DataTransfer", {"vendorId": "Acme", "data": json.dumps({"AuthorizationKey": SECRET})}),
    ("ocpp1.6", "DataTransfer", {"vendorId": "Acme", "data": f"WifiPassword={SECRET}; x=1"}),
    ("ocpp1.6", "Unheard", {"key": "AuthorizationKey", "value": SECRET}),
    ("ocpp1.6", "StatusNotification", {"password": SECRET}),
    ("ocpp1.6", "Unheard", {"passwords": [SECRET, {"old": SECRET}]}),
    ("ocpp2.0.1", "NotifyReport", _REPORT | {"reportData": [_VARIABLE | {"variableAttribute": [{"value": SECRET}]}]}),
    ("ocpp2.0.1", "NotifyEvent", {"generatedAt": AT, "seqNo": 0, "eventData": [_VARIABLE | {
        "eventId": 1, "timestamp": AT, "trigger": "Delta", "actualValue": SECRET,
        "eventNotificationType": "CustomMonitor"}]}),
    ("ocpp2.0.1", "NotifyReport", _REPORT | {"reportData": [
        _VARIABLE | {"variableAttribute": [{"value": SECRET * 200, "mutability": "Whatever"}]}]}),
    ("ocpp2.0.1", "LogStatusNotification", {"status": "Uploaded", "customData": {
        "vendorId": "x", "url": f"ftp://user:{SECRET}@up.example/"}}),
]  # fmt: skip
ASKED: list[tuple[str, str, Any, Any]] = [
    ("ocpp1.6", "GetConfiguration", {}, {"configurationKey": [
        {"key": "AuthorizationKey", "readonly": False, "value": SECRET}]}),
    ("ocpp1.6", "ChangeConfiguration", {"key": "AuthorizationKey", "value": SECRET}, {"status": "Accepted"}),
    ("ocpp1.6", "GetDiagnostics", {"location": f"ftp://user:{SECRET}@up.example/"}, {"fileName": "d.zip"}),
    ("ocpp2.0.1", "GetVariables", {"getVariableData": [_VARIABLE]}, {"getVariableResult": [
        _VARIABLE | {"attributeStatus": "Accepted", "attributeValue": SECRET}]}),
    ("ocpp2.1", "SetVariables", {"setVariableData": [_VARIABLE | {"attributeValue": SECRET}]},
     {"setVariableResult": [_VARIABLE | {"attributeStatus": "Accepted"}]}),
    ("ocpp2.1", "SetNetworkProfile", {"configurationSlot": 1, "connectionData": _NETWORK["connectionData"] | {
        "basicAuthPassword": SECRET, "apn": {"apn": "x", "apnPassword": SECRET, "apnAuthentication": "PAP"},
        "vpn": {"server": "s", "user": "u", "password": SECRET, "key": SECRET, "type": "IKEv2"}}},
     {"status": "Accepted"}),
]  # fmt: skip


def kept_in(path: Path) -> bytes:
    """All that a closed journal holds."""
    with closing(sqlite3.connect(path / "journal.db")) as connection:
        rows = connection.execute("SELECT frame, reply, events FROM entries").fetchall()
    return b"".join(bytes(part) for row in rows for part in row)


@pytest.mark.parametrize(("protocol", "action", "payload"), SAID, ids=[f"{row[0]}-{row[1]}" for row in SAID])
def test_a_secret_that_a_charger_says_is_not_kept(tmp_path: Path, protocol: str, action: str, payload: Any) -> None:
    with desk(tmp_path, BY_PROTOCOL[protocol]) as there:
        there.say(action, payload)
    kept = kept_in(tmp_path)
    assert SECRET.encode() not in kept
    assert secrecy.HIDDEN.encode() in kept
    assert action.encode() in kept


@pytest.mark.parametrize(("protocol", "action", "asked", "answer"), ASKED, ids=[f"{row[0]}-{row[1]}" for row in ASKED])
def test_a_secret_in_our_call_or_its_answer_is_not_kept(
    tmp_path: Path, protocol: str, action: str, asked: Any, answer: Any
) -> None:
    with desk(tmp_path, BY_PROTOCOL[protocol]) as there:
        there.talk.sent(action, json.dumps([2, "w", action, asked]).encode(), utc_now())
        answer_to(there, action, asked, answer)
        there.send(json.dumps([3, "late", answer]))
    kept = kept_in(tmp_path)
    assert SECRET.encode() not in kept
    assert secrecy.HIDDEN.encode() in kept


def test_a_secret_in_a_frame_that_no_parser_reads_is_not_kept(tmp_path: Path) -> None:
    with desk(tmp_path, BY_PROTOCOL["ocpp1.6"]) as there:
        there.send(f'[3,"x",{{"configurationKey":[{{"key":"AuthorizationKey","value":"{SECRET}"}}')
    kept = kept_in(tmp_path)
    assert SECRET.encode() not in kept
    assert b"AuthorizationKey" in kept


@pytest.mark.parametrize("protocol", BY_PROTOCOL)
def test_a_frame_without_secrets_is_kept_as_it_came(protocol: str) -> None:
    for action, said in FROM[protocol].items():
        raw = json.dumps([2, "1", action, said.payload], indent=1).encode()
        assert masking.masked(action, raw) is raw


@pytest.mark.parametrize(
    "name",
    ["AuthorizationKey", "authorization_key", "BasicAuthPassword", "WiFi-Password", "apnPassword", "simPin", "ApiKey",
     "ClientSecret", "AccessToken", "WPA-PSK"],
)  # fmt: skip
def test_a_name_that_tells_of_a_secret(name: str) -> None:
    assert secrecy.is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["HeartbeatInterval", "AuthorizeRemoteTxRequests", "AuthorizationCacheEnabled", "MeterPublicKey",
     "MasterPassGroupId", "idToken", "issuerKeyHash", "LocalPreAuthorize", "configurationKey", "unknownKey"],
)  # fmt: skip
def test_a_name_that_tells_of_none(name: str) -> None:
    assert not secrecy.is_secret(name)


@given(st.binary(max_size=200))
def test_any_bytes_can_be_masked(raw: bytes) -> None:
    assert isinstance(masking.masked("answer", raw + b'"password":'), bytes)


HUGE = ["psk" * 30_000, '"' + "psk" * 30_000, "password" + " " * 80_000, "://" * 30_000 + "a" * 10_000]


@pytest.mark.parametrize("text", HUGE)
def test_a_hostile_text_does_not_make_the_search_slow(text: str) -> None:
    """A search of unbounded lengths would not come to its end here."""
    assert masking.masked("answer", text.encode())
    assert secrecy.text("a:" + text)
