"""The words of a virtual station in OCPP 1.6J. Source: OCPP 1.6 edition 2, sections 4-7."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.demo.bay import Began, StatusIs, Stopped
from bridge.demo.day import TROUBLES
from bridge.demo.meter import Reading
from bridge.demo.obey16 import COMMANDS
from bridge.demo.station import Station
from bridge.demo.words import Call, Payload, Transaction, rfc3339

_NO_TRANSACTION = -1  # what chargers send for a transaction they never got an id for (field quirk 55)
# anything else travels as OtherError
_ERROR_CODES = frozenset(
    {"NoError"} | {trouble.error_code for trouble, _ in TROUBLES} | {"InternalError", "UnderVoltage", "WeakSignal"}
)


class Station16(Station):
    """OCPP 1.6J: connector n is EVSE n."""

    subprotocol = "ocpp1.6"
    malformed_code = "FormationViolation"

    def boot_call(self) -> Call:
        plan = self.plan
        return Call(
            "BootNotification",
            {
                "chargePointVendor": plan.vendor,
                "chargePointModel": plan.model,
                "chargePointSerialNumber": plan.id[:25],
                "firmwareVersion": self.firmware,
                "meterType": "MID class B",
            },
        )

    def station_status_call(self, at: float) -> Call:
        payload = {"connectorId": 0, "status": "Available", "errorCode": "NoError", "timestamp": rfc3339(at)}
        return Call("StatusNotification", payload)

    def status_calls(self, evse: int, status: StatusIs) -> Iterable[Call]:
        payload: Payload = {
            "connectorId": evse,
            "status": status.status.value,
            "errorCode": status.error_code if status.error_code in _ERROR_CODES else "OtherError",
            "timestamp": rfc3339(status.at),
        }
        if status.info:
            payload |= {"info": status.info, "vendorId": self.plan.vendor, "vendorErrorCode": status.vendor_code}
        yield Call("StatusNotification", payload, evse=evse)

    def authorize_call(self, evse: int, token: str) -> Call:
        return Call("Authorize", {"idTag": token}, evse=evse)

    def start_call(self, transaction: Transaction, began: Began) -> Call:
        payload: Payload = {
            "connectorId": transaction.evse,
            "idTag": began.token,
            "meterStart": began.reading.register_wh,
            "timestamp": rfc3339(began.at),
        }
        if transaction.reservation is not None:
            payload["reservationId"] = transaction.reservation
        return Call("StartTransaction", payload, True, transaction.evse, transaction)

    def sample_call(self, evse: int, transaction: Transaction | None, at: float, context: str) -> Call:
        bay = self.bays[evse]
        sampled = sampled_values(bay.reading(at), not bay.meter.outlet.phases, context)
        payload = {"connectorId": evse, "meterValue": [{"timestamp": rfc3339(at), "sampledValue": sampled}]}
        return Call("MeterValues", payload, transaction is not None, evse, transaction)

    def stop_call(self, transaction: Transaction, stopped: Stopped) -> Call:
        reading = stopped.reading
        end = [_sampled(str(reading.register_wh), "Transaction.End", "Energy.Active.Import.Register", "Wh")]
        if reading.soc_percent is not None and len(reading.voltages_v) == 1:
            end.append(_sampled(str(round(reading.soc_percent)), "Transaction.End", "SoC", "Percent", location="EV"))
        payload: Payload = {
            "meterStop": reading.register_wh,
            "timestamp": rfc3339(stopped.at),
            "reason": stopped.reason,
            "transactionData": [{"timestamp": rfc3339(stopped.at), "sampledValue": end}],
        }
        if stopped.token:
            payload["idTag"] = stopped.token
        return Call("StopTransaction", payload, True, transaction.evse, transaction)

    def filled(self, call: Call) -> Payload:
        if call.transaction is None or call.action == "StartTransaction":
            return call.payload
        number = call.transaction.id
        if call.action == "StopTransaction":
            return call.payload | {"transactionId": _NO_TRANSACTION if number is None else number}
        return call.payload if number is None else call.payload | {"transactionId": number}

    def verdict_of(self, call: Call, reply: Payload) -> bool:
        info = reply.get("idTagInfo")
        return info is None or info.get("status") == "Accepted"

    def answered(self, call: Call, reply: Payload, at: float) -> None:
        if call.action == "StartTransaction" and call.transaction is not None:
            call.transaction.id = reply.get("transactionId")  # also when the session has ended meanwhile
        super().answered(call, reply, at)

    # files

    def log_status_call(self, status: str, request_id: int | None) -> Call:
        if request_id is None:  # of GetDiagnostics, which knows no number
            return Call("DiagnosticsStatusNotification", {"status": _DIAGNOSTICS.get(status, status)})
        return Call("LogStatusNotification", {"status": status, "requestId": request_id})

    def firmware_status_call(self, status: str, request_id: int | None) -> Call:
        if request_id is None:
            return Call("FirmwareStatusNotification", {"status": status})
        return Call("SignedFirmwareStatusNotification", {"status": status, "requestId": request_id})

    COMMANDS = COMMANDS


_DIAGNOSTICS = {"UploadFailure": "UploadFailed"}


def _sampled(
    value: str, context: str, measurand: str, unit: str, phase: str = "", location: str = "Outlet"
) -> dict[str, Any]:
    entry = {"value": value, "context": context, "measurand": measurand, "location": location, "unit": unit}
    if phase:
        entry["phase"] = phase
    return entry


def sampled_values(reading: Reading, is_dc: bool, context: str) -> list[dict[str, Any]]:
    """The readings of one instant; clock-aligned ones carry the register only."""
    entries = [_sampled(str(reading.register_wh), context, "Energy.Active.Import.Register", "Wh")]
    if context == "Sample.Clock":
        return entries
    entries.append(_sampled(f"{reading.power_w:.0f}", context, "Power.Active.Import", "W"))
    phases = ("",) if is_dc else ("L1", "L2", "L3")
    for phase, current in zip(phases, reading.currents_a, strict=True):
        entries.append(_sampled(f"{current:.2f}", context, "Current.Import", "A", phase))
    for phase, voltage in zip(phases, reading.voltages_v, strict=True):
        entries.append(_sampled(f"{voltage:.1f}", context, "Voltage", "V", phase and phase + "-N"))
    if is_dc:
        entries.append(_sampled(f"{reading.offered_w:.0f}", context, "Power.Offered", "W"))
        if reading.soc_percent is not None:
            entries.append(_sampled(str(round(reading.soc_percent)), context, "SoC", "Percent", location="EV"))
    else:
        entries.append(_sampled(f"{reading.offered_a:.1f}", context, "Current.Offered", "A"))
    entries.append(_sampled(f"{reading.temperature_c:.1f}", context, "Temperature", "Celsius", location="Cable"))
    return entries
