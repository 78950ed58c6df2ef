"""How a virtual station obeys in OCPP 1.6: one function a command. Source: OCPP 1.6 edition 2 section 5, and the
security whitepaper for GetLog, SignedUpdateFirmware and ExtendedTriggerMessage.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bridge.demo.belongings import Reservation
from bridge.demo.device import Spec
from bridge.demo.profiles import MAX_STACK, profile_of
from bridge.demo.schedule import composite
from bridge.demo.updates import update_firmware, upload_log

if TYPE_CHECKING:
    from bridge.demo.station import Station
    from bridge.demo.words import Payload


def moment(text: str | None, otherwise: float) -> float:
    """A time of a payload as Unix seconds."""
    return otherwise if not text else datetime.fromisoformat(text).timestamp()


def status(is_accepted: bool) -> Payload:
    return {"status": "Accepted" if is_accepted else "Rejected"}


def _remote_start(station: Station, payload: Payload, at: float) -> Payload:
    return status(station.start_remotely(payload.get("connectorId"), str(payload["idTag"]), at))


def _remote_stop(station: Station, payload: Payload, at: float) -> Payload:
    number = int(payload["transactionId"])
    found = [evse for evse, transaction in station.transactions.items() if transaction.id == number]
    return status(bool(found) and station.stop(found[0], at, "Remote"))


def _reset(station: Station, payload: Payload, at: float) -> Payload:
    station.reset(at, {"Hard": "HardReset", "Soft": "SoftReset"}[payload["type"]])
    return status(True)


def _trigger(station: Station, payload: Payload, at: float) -> Payload:
    wanted, evse = str(payload["requestedMessage"]), int(payload.get("connectorId") or 0)
    if wanted == "SignChargePointCertificate":
        return {"status": "NotImplemented"}
    if evse not in (0, *station.bays):
        return status(False)
    return {"status": station.trigger(wanted, evse, at)}


def _change_availability(station: Station, payload: Payload, at: float) -> Payload:
    is_operative = {"Operative": True, "Inoperative": False}[payload["type"]]
    return {"status": station.change_availability(int(payload["connectorId"]), at, is_operative)}


def _unlock(station: Station, payload: Payload, at: float) -> Payload:
    evse = int(payload["connectorId"])
    if evse not in station.bays:
        return {"status": "NotSupported"}
    station.stop(evse, at, "UnlockCommand")
    return {"status": "Unlocked"}


def _get_configuration(station: Station, payload: Payload, at: float) -> Payload:
    device = station.device
    asked: list[str] = payload.get("key") or [spec.key for spec in device.keys]
    found = [(name, device.key(name)) for name in asked]
    keys = [_key(spec, device.values[spec]) for _, spec in found if spec is not None]
    return {"configurationKey": keys, "unknownKey": [name for name, spec in found if spec is None]}


def _key(spec: Spec, value: str) -> dict[str, Any]:
    told: dict[str, Any] = {"key": spec.key, "readonly": not spec.is_writable}
    return told | {"value": value} if spec.is_readable else told


def _change_configuration(station: Station, payload: Payload, at: float) -> Payload:
    spec = station.device.key(str(payload["key"]))
    if spec is None:
        return {"status": "NotSupported"}
    return {"status": station.device.change(spec, str(payload["value"]))}


def _clear_cache(station: Station, payload: Payload, at: float) -> Payload:
    return status(True)


def _send_list(station: Station, payload: Payload, at: float) -> Payload:
    entries = [(str(entry["idTag"]), entry.get("idTagInfo")) for entry in payload.get("localAuthorizationList", ())]
    is_full = {"Full": True, "Differential": False}[payload["updateType"]]
    return {"status": station.local_list.update(int(payload["listVersion"]), is_full, entries)}


def _list_version(station: Station, payload: Payload, at: float) -> Payload:
    return {"listVersion": station.local_list.version}


def _reserve(station: Station, payload: Payload, at: float) -> Payload:
    new = Reservation(
        int(payload["reservationId"]),
        int(payload["connectorId"]),
        str(payload["idTag"]),
        str(payload.get("parentIdTag", "")),
        moment(payload["expiryDate"], at),
    )
    return {"status": station.reserve(new, at)}


def _cancel(station: Station, payload: Payload, at: float) -> Payload:
    return status(station.cancel_reservation(int(payload["reservationId"]), at))


def _set_profile(station: Station, payload: Payload, at: float) -> Payload:
    profile = profile_of(int(payload["connectorId"]), payload["csChargingProfiles"])
    running = station.transactions.get(profile.evse)
    if profile.purpose == "tx":  # section 3.13.1: without an id it is for the transaction that runs there
        profile = profile._replace(transaction=profile.transaction or str(running.id if running else ""))
        if running is None or str(running.id) != profile.transaction:
            return status(False)
    if profile.stack > MAX_STACK or profile.evse not in (0, *station.bays):
        return status(False)
    station.profiles.put(profile)
    station.limit_now(at)
    return status(True)


def _clear_profile(station: Station, payload: Payload, at: float) -> Payload:
    gone = station.profiles.clear(
        payload.get("id"), payload.get("connectorId"), payload.get("chargingProfilePurpose"), payload.get("stackLevel")
    )
    station.limit_now(at)
    return {"status": "Accepted" if gone else "Unknown"}


def _composite(station: Station, payload: Payload, at: float) -> Payload:
    evse, unit = int(payload["connectorId"]), payload.get("chargingRateUnit", "W")
    if evse not in (0, *station.bays):
        return status(False)
    start, schedule = composite(station, evse, float(payload["duration"]), unit, at)
    return {"status": "Accepted", "connectorId": evse, "scheduleStart": start, "chargingSchedule": schedule}


def _diagnostics(station: Station, payload: Payload, at: float) -> Payload:
    return {"fileName": upload_log(station, str(payload["location"]), "diagnostics", None, at)}


def _get_log(station: Station, payload: Payload, at: float) -> Payload:
    kind = {"DiagnosticsLog": "diagnostics", "SecurityLog": "security"}[payload["logType"]]
    name = upload_log(station, str(payload["log"]["remoteLocation"]), kind, int(payload["requestId"]), at)
    return {"status": "Accepted", "filename": name}


def _update(station: Station, payload: Payload, at: float) -> Payload:
    update_firmware(station, str(payload["location"]), moment(payload["retrieveDate"], at), at, None, False, at)
    return {}


def _signed_update(station: Station, payload: Payload, at: float) -> Payload:
    firmware, number = payload["firmware"], int(payload["requestId"])
    retrieve, install = moment(firmware["retrieveDateTime"], at), moment(firmware.get("installDateTime"), at)
    update_firmware(station, str(firmware["location"]), retrieve, install, number, True, at)
    return {"status": "Accepted"}


def _data_transfer(station: Station, payload: Payload, at: float) -> Payload:
    return {"status": "UnknownVendorId"}


COMMANDS: dict[str, Callable[[Any, Payload, float], Payload]] = {
    "CancelReservation": _cancel,
    "ChangeAvailability": _change_availability,
    "ChangeConfiguration": _change_configuration,
    "ClearCache": _clear_cache,
    "ClearChargingProfile": _clear_profile,
    "DataTransfer": _data_transfer,
    "ExtendedTriggerMessage": _trigger,
    "GetCompositeSchedule": _composite,
    "GetConfiguration": _get_configuration,
    "GetDiagnostics": _diagnostics,
    "GetLocalListVersion": _list_version,
    "GetLog": _get_log,
    "RemoteStartTransaction": _remote_start,
    "RemoteStopTransaction": _remote_stop,
    "ReserveNow": _reserve,
    "Reset": _reset,
    "SendLocalList": _send_list,
    "SetChargingProfile": _set_profile,
    "SignedUpdateFirmware": _signed_update,
    "TriggerMessage": _trigger,
    "UnlockConnector": _unlock,
    "UpdateFirmware": _update,
}
