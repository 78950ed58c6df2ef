"""What is said with each composed command: the least, and more."""

from __future__ import annotations

from typing import Any

LATER = "2026-11-25T20:00:00+01:00"


SAID: dict[str, list[dict[str, Any]]] = {
    "StartForToken": [{"token": "CARD-A"}, {"token": "CARD-A", "evse": 1, "token_type": "emaid", "remote_start_id": 9}],
    "StopSession": [{"transaction_id": "7"}, {"transaction_id": 7}],
    "Reset": [{}, {"kind": "soft"}, {"kind": "HARD", "evse": "2"}],
    "Unlock": [{"evse": 1}, {"evse": "2", "connector": 2}],
    "ChangeAvailability": [
        {"operative": True},
        {"operative": "false", "evse": 1},
        {"operative": 0, "evse": 1, "connector": 2},
    ],
    "Trigger": [
        {"message": "Heartbeat"},
        {"message": "statusnotification", "evse": 1, "connector": 1},
        {"message": "LogStatusNotification"},
        {"message": "SignChargingStationCertificate"},
        {"message": "DiagnosticsStatusNotification"},
    ],
    "ClearCache": [{}],
    "GetConfiguration": [{}, {"keys": "A.B, C/left@1:2.D/x"}, {"keys": ["A.B"]}, {"report": "SummaryInventory"}],
    "SetConfiguration": [{"key": "A.B", "value": "1"}, {"key": "A.B", "value": 5, "attribute": "Target"}],
    "RotateKey": [{}, {"key": "0123456789abcdef0123456789abcdef"}, {"key": "no-hex-digits-here:1"}],
    "SendLocalList": [{}, {"update": "differential", "tokens": "good, GONE"}, {"version": 12, "token_type": "Local"}],
    "Reserve": [
        {"token": "good", "until": LATER},
        {"token": "X", "until": LATER, "evse": 1, "reservation_id": 4, "token_type": "Local"},
    ],
    "CancelReservation": [{"reservation_id": 4}],
    "LimitPower": [
        {"limit": 11000},
        {"limit": "16.1", "unit": "A", "phases": 1, "duration_s": 600},
        {"limit": 0, "scope": "evse", "evse": 0},
        {"limit": 6, "unit": "A", "scope": "session", "evse": 1, "transaction_id": "7", "stack_level": 3},
    ],
    "ClearLimit": [{}, {"scope": "evse", "evse": 1}, {"scope": "session", "evse": 1}],
    "FetchLogs": [
        {"location": "https://logs.example/u/1"},
        {"location": "https://x/1", "kind": "security", "since": LATER, "until": LATER, "retries": 2, "request_id": 5},
    ],
    "UpdateFirmware": [
        {"location": "https://fw.example/1"},
        {"location": "https://x/1", "retrieve_at": LATER, "retries": 1, "request_id": 8, "install_at": LATER}
        | {"signing_certificate": "-----BEGIN CERTIFICATE-----", "signature": "c2ln"},
    ],
    "ShowMessage": [
        {"text": "Out of order"},
        {"text": "Grüße", "priority": "always in front", "state": "Idle", "since": LATER, "until": LATER}
        | {"language": "de", "transaction_id": "t", "message_id": 3},
    ],
    "ClearMessage": [{"message_id": 3}],
}
