"""Composed commands about sessions and the station's state: start, stop, reset, unlock, availability, trigger."""

from __future__ import annotations

from typing import Any

from bridge.compose.terms import CannotCompose, Composed, Given, Kind, Parameter, Said, Target, new_id

TOKEN_TYPES = ("Central", "eMAID", "ISO14443", "ISO15693", "KeyCode", "Local", "MacAddress", "NoAuthorization")
TOKEN_TYPE = Parameter(
    "token_type", "Kind of token", Kind.CHOICE, TOKEN_TYPES, "Central", help="Of OCPP 2.x; 1.6 knows no kinds."
)
EVSE = Parameter("evse", "EVSE", Kind.INTEGER, help="Number of the EVSE, from 1; in OCPP 1.6 the connector.")
CONNECTOR = Parameter("connector", "Connector", Kind.INTEGER, help="On the EVSE, from 1 (OCPP 2.x).")
_RESETS = {"soft": ("Soft", "OnIdle"), "hard": ("Hard", "Immediate")}

_TO_EXTEND = frozenset({"LogStatusNotification", "SignChargePointCertificate"})  # 1.6: not in TriggerMessage
_WORDS_16 = {"SignChargingStationCertificate": "SignChargePointCertificate"}
_WORDS_2X = {
    "SignChargePointCertificate": "SignChargingStationCertificate",
    "DiagnosticsStatusNotification": "LogStatusNotification",
}
_ONLY_2X = frozenset({"TransactionEvent", "SignV2GCertificate", "SignCombinedCertificate"})
MESSAGES = (
    "StatusNotification",
    "MeterValues",
    "Heartbeat",
    "BootNotification",
    "FirmwareStatusNotification",
    "LogStatusNotification",
    "DiagnosticsStatusNotification",
    "TransactionEvent",
    "SignChargingStationCertificate",
    "SignV2GCertificate",
    "SignCombinedCertificate",
)


def _start(to: Target, given: Given) -> Said:
    token = given["token"]
    if to.is_16:
        return "RemoteStartTransaction", {"idTag": token} | given.some(connectorId="evse")
    id_token = {"idToken": token, "type": given["token_type"]}
    number = given["remote_start_id"] or new_id()
    return "RequestStartTransaction", {"idToken": id_token, "remoteStartId": number} | given.some(evseId="evse")


def _stop(to: Target, given: Given) -> Said:
    transaction = given["transaction_id"]
    if not to.is_16:
        return "RequestStopTransaction", {"transactionId": transaction}
    if not transaction.lstrip("-").isdecimal():
        raise CannotCompose("StopSession: 'transaction_id' is a whole number in OCPP 1.6", "transaction_id")
    return "RemoteStopTransaction", {"transactionId": int(transaction)}


def _reset(to: Target, given: Given) -> Said:
    kind = _RESETS[given["kind"]][0 if to.is_16 else 1]
    return "Reset", {"type": kind} | ({} if to.is_16 else given.some(evseId="evse"))


def _unlock(to: Target, given: Given) -> Said:
    evse = given["evse"]
    if to.is_16:
        return "UnlockConnector", {"connectorId": evse}
    return "UnlockConnector", {"evseId": evse, "connectorId": given["connector"] or 1}


def _availability(to: Target, given: Given) -> Said:
    kind = "Operative" if given["operative"] else "Inoperative"
    if to.is_16:
        return "ChangeAvailability", {"connectorId": given["evse"] or 0, "type": kind}
    return "ChangeAvailability", {"operationalStatus": kind} | _place(given)


def _place(given: Given) -> dict[str, Any]:
    if given["evse"] is None:
        return {}
    return {"evse": {"id": given["evse"]} | given.some(connectorId="connector")}


def _trigger(to: Target, given: Given) -> Said:
    wanted = given["message"]
    if not to.is_16:
        return "TriggerMessage", {"requestedMessage": _WORDS_2X.get(wanted, wanted)} | _place(given)
    if wanted in _ONLY_2X:
        raise CannotCompose(f"Trigger: 'message' {wanted} is not known to OCPP 1.6", "message")
    wanted = _WORDS_16.get(wanted, wanted)
    action = "ExtendedTriggerMessage" if wanted in _TO_EXTEND else "TriggerMessage"
    return action, {"requestedMessage": wanted} | given.some(connectorId="evse")


def _clear_cache(to: Target, given: Given) -> Said:
    return "ClearCache", {}


COMMANDS = (
    Composed(
        "StartForToken",
        "Start charging",
        "A session begins for this card as soon as a car is plugged in, and is billed to it.",
        (
            Parameter("token", "Card or token", required=True, help="As its driver would present it."),
            EVSE,
            TOKEN_TYPE,
            Parameter("remote_start_id", "Number of the start", Kind.INTEGER, help="OCPP 2.x; random without it."),
        ),
        _start,
    ),
    Composed(
        "StopSession",
        "Stop charging",
        "The session ends now and the driver may unplug.",
        (Parameter("transaction_id", "Transaction", required=True, help="As in the session."),),
        _stop,
    ),
    Composed(
        "Reset",
        "Restart the station",
        "soft waits for sessions to end or ends them in order; hard ends every session of the station at once.",
        (Parameter("kind", "How", Kind.CHOICE, tuple(_RESETS), "soft"), EVSE._replace(help="OCPP 2.x: only this one.")),
        _reset,
    ),
    Composed(
        "Unlock",
        "Unlock the cable",
        "The plug is released; OCPP 1.6 ends a running session for it, 2.x refuses while one runs.",
        (EVSE._replace(required=True), CONNECTOR),
        _unlock,
    ),
    Composed(
        "ChangeAvailability",
        "Take in or out of service",
        "Out of service nobody can start there; a running session is left to end.",
        (
            Parameter("operative", "In service", Kind.BOOLEAN, required=True),
            EVSE._replace(help="Without it the whole station."),
            CONNECTOR,
        ),
        _availability,
    ),
    Composed(
        "Trigger",
        "Ask for a message",
        "The station sends this message now; nothing else changes.",
        (Parameter("message", "Message", Kind.CHOICE, MESSAGES, required=True), EVSE, CONNECTOR),
        _trigger,
    ),
    Composed(
        "ClearCache",
        "Forget remembered cards",
        "The station asks us about every card again.",
        (),
        _clear_cache,
    ),
)
