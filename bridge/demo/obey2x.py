"""How a virtual station obeys in OCPP 2.0.1 and 2.1: one function a command. Source: OCPP 2.0.1 part 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bridge.demo.belongings import Reservation
from bridge.demo.obey16 import moment, status
from bridge.demo.profiles import MAX_STACK, profile_of
from bridge.demo.report import answer_of, report, reported
from bridge.demo.schedule import composite
from bridge.demo.updates import update_firmware, upload_log

if TYPE_CHECKING:
    from bridge.demo.station import Station
    from bridge.demo.words import Payload

_LOGS = {"DiagnosticsLog": "diagnostics", "SecurityLog": "security", "DataCollectorLog": "data"}


def _evse(payload: Payload) -> int:
    return int((payload.get("evse") or {}).get("id") or 0)


def _request_start(station: Station, payload: Payload, at: float) -> Payload:
    token, number = str(payload["idToken"]["idToken"]), int(payload["remoteStartId"])
    return status(station.start_remotely(payload.get("evseId"), token, at, number))


def _request_stop(station: Station, payload: Payload, at: float) -> Payload:
    wanted = str(payload["transactionId"])
    found = [evse for evse, transaction in station.transactions.items() if transaction.id == wanted]
    return status(bool(found) and station.stop(found[0], at, "Remote"))


def _reset(station: Station, payload: Payload, at: float) -> Payload:
    if payload["type"] == "OnIdle" and station.transactions:
        station.resets_when_idle = True
        return {"status": "Scheduled"}
    if payload["type"] not in ("OnIdle", "Immediate", "ImmediateAndResume"):
        raise ValueError(payload["type"])
    station.reset(at, "SoftReset")
    return status(True)


def _trigger(station: Station, payload: Payload, at: float) -> Payload:
    wanted, evse = str(payload["requestedMessage"]), _evse(payload)
    if wanted == "BootNotification":
        return status(False)  # F06.FR.17: refused when the last boot was accepted
    if wanted.startswith("Sign") or wanted in ("PublishFirmwareStatusNotification", "CustomTrigger"):
        return {"status": "NotImplemented"}
    if evse not in (0, *station.bays):
        return status(False)
    return {"status": station.trigger("MeterValues" if wanted == "TransactionEvent" else wanted, evse, at)}


def _change_availability(station: Station, payload: Payload, at: float) -> Payload:
    is_operative = {"Operative": True, "Inoperative": False}[payload["operationalStatus"]]
    return {"status": station.change_availability(_evse(payload), at, is_operative)}


def _unlock(station: Station, payload: Payload, at: float) -> Payload:
    evse = int(payload["evseId"])
    if evse not in station.bays or int(payload["connectorId"]) != 1:
        return {"status": "UnknownConnector"}
    if station.bays[evse].has_transaction:
        return {"status": "OngoingAuthorizedTransaction"}
    return {"status": "Unlocked"}


def _get_variables(station: Station, payload: Payload, at: float) -> Payload:
    return {"getVariableResult": [answer_of(station.device, asked) for asked in payload["getVariableData"]]}


def _set_variables(station: Station, payload: Payload, at: float) -> Payload:
    return {"setVariableResult": [_set(station, asked) for asked in payload["setVariableData"]]}


def _set(station: Station, asked: Payload) -> Payload:
    result: Payload = {"component": asked["component"], "variable": asked["variable"]}
    kind = asked.get("attributeType", "Actual")
    spec = station.device.variable(asked)
    if isinstance(spec, str):
        return result | {"attributeStatus": spec}
    if kind != "Actual":
        return result | {"attributeStatus": "NotSupportedAttributeType", "attributeType": kind}
    return result | {"attributeStatus": station.device.change(spec, str(asked["attributeValue"]))}


def _base_report(station: Station, payload: Payload, at: float) -> Payload:
    found = reported(station.device, payload["reportBase"])
    for call in report(int(payload["requestId"]), station.device, found, at):
        station.put(call)
    return {"status": "Accepted"}


def _get_report(station: Station, payload: Payload, at: float) -> Payload:
    wanted = [
        (entry["component"]["name"], (entry.get("variable") or {}).get("name"))
        for entry in payload.get("componentVariable", ())
    ]
    everything = reported(station.device, "FullInventory")
    found = [
        s for s in everything if not wanted or (s.component, s.variable) in wanted or (s.component, None) in wanted
    ]
    for call in report(int(payload["requestId"]), station.device, found, at):
        station.put(call)
    return {"status": "Accepted" if found else "EmptyResultSet"}


def _clear_cache(station: Station, payload: Payload, at: float) -> Payload:
    return status(True)


def _send_list(station: Station, payload: Payload, at: float) -> Payload:
    listed = payload.get("localAuthorizationList", ())
    entries = [(str(entry["idToken"]["idToken"]), entry.get("idTokenInfo")) for entry in listed]
    is_full = {"Full": True, "Differential": False}[payload["updateType"]]
    return {"status": station.local_list.update(int(payload["versionNumber"]), is_full, entries)}


def _list_version(station: Station, payload: Payload, at: float) -> Payload:
    return {"versionNumber": station.local_list.version}


def _reserve(station: Station, payload: Payload, at: float) -> Payload:
    new = Reservation(
        int(payload["id"]),
        int(payload.get("evseId") or 0),
        str(payload["idToken"]["idToken"]),
        str((payload.get("groupIdToken") or {}).get("idToken", "")),
        moment(payload["expiryDateTime"], at),
    )
    return {"status": station.reserve(new, at)}


def _cancel(station: Station, payload: Payload, at: float) -> Payload:
    return status(station.cancel_reservation(int(payload["reservationId"]), at))


def _set_profile(station: Station, payload: Payload, at: float) -> Payload:
    profile = profile_of(int(payload["evseId"]), payload["chargingProfile"])
    running = station.transactions.get(profile.evse)
    if profile.purpose == "tx" and (running is None or str(running.id) != profile.transaction):
        return status(False)
    if profile.stack > MAX_STACK or profile.evse not in (0, *station.bays):
        return status(False)
    station.profiles.put(profile)
    station.limit_now(at)
    return status(True)


def _clear_profile(station: Station, payload: Payload, at: float) -> Payload:
    criteria = payload.get("chargingProfileCriteria") or {}
    gone = station.profiles.clear(
        payload.get("chargingProfileId"),
        criteria.get("evseId"),
        criteria.get("chargingProfilePurpose"),
        criteria.get("stackLevel"),
    )
    station.limit_now(at)
    return {"status": "Accepted" if gone else "Unknown"}


def _get_profiles(station: Station, payload: Payload, at: float) -> Payload:
    evse = payload.get("evseId")
    found = [p for p in station.profiles.installed if evse is None or p.evse == evse]
    for number, profile in enumerate(found, start=1):
        told = {
            "requestId": int(payload["requestId"]),
            "chargingLimitSource": "CSO",
            "evseId": profile.evse,
            "chargingProfile": [profile.said],
        }
        station.say("ReportChargingProfiles", told | ({"tbc": True} if number < len(found) else {}))
    return {"status": "Accepted" if found else "NoProfiles"}


def _composite(station: Station, payload: Payload, at: float) -> Payload:
    evse, unit = int(payload["evseId"]), payload.get("chargingRateUnit", "W")
    if evse not in (0, *station.bays):
        return status(False)
    start, schedule = composite(station, evse, float(payload["duration"]), unit, at)
    del schedule["startSchedule"]
    return {"status": "Accepted", "schedule": {"evseId": evse, "scheduleStart": start} | schedule}


def _get_log(station: Station, payload: Payload, at: float) -> Payload:
    url, number = str(payload["log"]["remoteLocation"]), int(payload["requestId"])
    return {"status": "Accepted", "filename": upload_log(station, url, _LOGS[payload["logType"]], number, at)}


def _update(station: Station, payload: Payload, at: float) -> Payload:
    firmware, number = payload["firmware"], int(payload["requestId"])
    retrieve, install = moment(firmware["retrieveDateTime"], at), moment(firmware.get("installDateTime"), at)
    update_firmware(station, str(firmware["location"]), retrieve, install, number, "signature" in firmware, at)
    return {"status": "Accepted"}


def _show(station: Station, payload: Payload, at: float) -> Payload:
    return status(station.display.put(payload["message"]))


def _hide(station: Station, payload: Payload, at: float) -> Payload:
    return {"status": "Accepted" if station.display.take(int(payload["id"])) else "Unknown"}


def _shown(station: Station, payload: Payload, at: float) -> Payload:
    wanted = payload.get("id")
    found = [m for id, m in station.display.messages.items() if wanted is None or id in wanted]
    if found:
        station.say("NotifyDisplayMessages", {"requestId": int(payload["requestId"]), "messageInfo": found})
    return {"status": "Accepted" if found else "Unknown"}


def _transaction_status(station: Station, payload: Payload, at: float) -> Payload:
    wanted = payload.get("transactionId")
    waiting = any(call.transaction is not None and wanted in (None, call.transaction.id) for call in station.queue)
    told: Payload = {"messagesInQueue": waiting}
    if wanted is not None:
        told["ongoingIndicator"] = any(t.id == wanted for t in station.transactions.values())
    return told


def _data_transfer(station: Station, payload: Payload, at: float) -> Payload:
    return {"status": "UnknownVendorId"}


COMMANDS: dict[str, Callable[[Any, Payload, float], Payload]] = {
    "CancelReservation": _cancel,
    "ChangeAvailability": _change_availability,
    "ClearCache": _clear_cache,
    "ClearChargingProfile": _clear_profile,
    "ClearDisplayMessage": _hide,
    "DataTransfer": _data_transfer,
    "GetBaseReport": _base_report,
    "GetChargingProfiles": _get_profiles,
    "GetCompositeSchedule": _composite,
    "GetDisplayMessages": _shown,
    "GetLocalListVersion": _list_version,
    "GetLog": _get_log,
    "GetReport": _get_report,
    "GetTransactionStatus": _transaction_status,
    "GetVariables": _get_variables,
    "RequestStartTransaction": _request_start,
    "RequestStopTransaction": _request_stop,
    "ReserveNow": _reserve,
    "Reset": _reset,
    "SendLocalList": _send_list,
    "SetChargingProfile": _set_profile,
    "SetDisplayMessage": _show,
    "SetVariables": _set_variables,
    "TriggerMessage": _trigger,
    "UnlockConnector": _unlock,
    "UpdateFirmware": _update,
}
