"""The words of a virtual station in OCPP 2.0.1. Source: OCPP 2.0.1 edition 3 part 2, sections 2 and 3."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from bridge.demo.bay import Bay, Began, StatusIs, Stopped
from bridge.demo.meter import Reading
from bridge.demo.obey2x import COMMANDS
from bridge.demo.station import Station
from bridge.demo.words import Call, Payload, StationPlan, Transaction, rfc3339
from bridge.events import ConnectorStatus as Status

_CONNECTOR_STATUS = {
    Status.AVAILABLE: "Available",
    Status.UNAVAILABLE: "Unavailable",
    Status.FAULTED: "Faulted",
    Status.RESERVED: "Reserved",
}  # everything else is Occupied
_CHARGING_STATE = {
    Status.CHARGING: "Charging",
    Status.SUSPENDED_EV: "SuspendedEV",
    Status.SUSPENDED_EVSE: "SuspendedEVSE",
}
# OCPP 1.6's reason -> (trigger, stopped reason)
_STOPS = {
    "Local": ("StopAuthorized", "Local"),
    "EVDisconnected": ("EVDeparted", "EVDisconnected"),
    "Remote": ("RemoteStop", "Remote"),
    "DeAuthorized": ("Deauthorized", "DeAuthorized"),
    "SoftReset": ("ResetCommand", "ImmediateReset"),
    "HardReset": ("ResetCommand", "ImmediateReset"),
    "UnlockCommand": ("UnlockCommand", "Other"),
    "Reboot": ("AbnormalCondition", "Reboot"),
}
_COMPONENTS = {  # which part of the station has the problem
    "GroundFailure": "RCD",
    "OverCurrentFailure": "OverCurrentProtection",
    "PowerSwitchFailure": "PowerContactor",
    "HighTemperature": "TemperatureSensor",
    "EVCommunicationError": "CPPWMController",
    "ConnectorLockFailure": "ConnectorPlugRetentionLock",
}
_FAULT_REASONS = {"GroundFailure": "GroundFault", "OverCurrentFailure": "OvercurrentFault"}


class Station201(Station):
    """OCPP 2.0.1: one connector an EVSE. A transaction starts when its card is accepted."""

    subprotocol = "ocpp2.0.1"
    malformed_code = "FormatViolation"
    _event_id = 0

    def __init__(self, plan: StationPlan, bays: dict[int, Bay], meter_interval_s: float) -> None:
        super().__init__(plan, bays, meter_interval_s)
        self._broken_part: dict[int, str] = {}

    def boot_call(self) -> Call:
        plan = self.plan
        station = {
            "model": plan.model[:20],
            "vendorName": plan.vendor,
            "serialNumber": plan.id[:25],
            "firmwareVersion": self.firmware,
        }
        return Call("BootNotification", {"reason": self.boot_reason, "chargingStation": station})

    def station_status_call(self, at: float) -> Call | None:
        return None  # 2.0.1 reports connectors only

    def status_calls(self, evse: int, status: StatusIs) -> Iterable[Call]:
        word = _CONNECTOR_STATUS.get(status.status, "Occupied")
        if self._last_status.get(evse) != word:
            was_faulted = self._last_status.get(evse) == "Faulted"
            self._last_status[evse] = word
            payload = {
                "timestamp": rfc3339(status.at),
                "connectorStatus": word,
                "evseId": evse,
                "connectorId": 1,
            }
            yield Call("StatusNotification", payload, evse=evse)
            if word == "Faulted" or was_faulted:
                yield self._problem(evse, status, is_cleared=word != "Faulted")

    def state_calls(self, evse: int, status: StatusIs) -> Iterable[Call]:
        transaction, state = self.transactions.get(evse), _CHARGING_STATE.get(status.status)
        if transaction is not None and state is not None and status.at >= transaction.began_at:
            yield self._event(transaction, "Updated", "ChargingStateChanged", status.at, chargingState=state)

    def _problem(self, evse: int, status: StatusIs, *, is_cleared: bool) -> Call:
        self._event_id += 1
        if not is_cleared:
            self._broken_part[evse] = _COMPONENTS.get(status.error_code, "Connector")
        part = self._broken_part.get(evse, "Connector")
        entry: Payload = {
            "eventId": self._event_id,
            "timestamp": rfc3339(status.at),
            "trigger": "Alerting",
            "actualValue": "false" if is_cleared else "true",
            "eventNotificationType": "HardWiredNotification",
            "component": {"name": part, "evse": {"id": evse, "connectorId": 1}},
            "variable": {"name": "Problem"},
            "cleared": is_cleared,
        }
        if not is_cleared:
            entry |= {"techCode": status.vendor_code or "E-000", "techInfo": status.info}
        payload = {"generatedAt": rfc3339(status.at), "seqNo": 0, "eventData": [entry]}
        return Call("NotifyEvent", payload, evse=evse)

    def authorize_call(self, evse: int, token: str) -> Call:
        return Call("Authorize", {"idToken": _id_token(token)}, evse=evse)

    def start_call(self, transaction: Transaction, began: Began) -> Call:
        transaction.id = str(uuid4())
        trigger = "Authorized" if began.remote_start_id is None else "RemoteStart"
        meter = [_meter_value(began.reading, not self.bays[transaction.evse].meter.outlet.phases, "Transaction.Begin")]
        call = self._event(transaction, "Started", trigger, began.at, meter=meter, chargingState="EVConnected")
        call.payload["idToken"] = _id_token(began.token)
        if began.remote_start_id is not None:
            call.payload["transactionInfo"]["remoteStartId"] = began.remote_start_id
        if transaction.reservation is not None:
            call.payload["reservationId"] = transaction.reservation
        return call

    def sample_call(self, evse: int, transaction: Transaction | None, at: float, context: str) -> Call:
        bay = self.bays[evse]
        meter = [_meter_value(bay.reading(at), not bay.meter.outlet.phases, context)]
        if transaction is None:
            return Call("MeterValues", {"evseId": evse, "meterValue": meter}, evse=evse)
        trigger = {"Sample.Clock": "MeterValueClock", "Trigger": "Trigger"}.get(context, "MeterValuePeriodic")
        state = {"chargingState": _CHARGING_STATE[bay.status]} if bay.status in _CHARGING_STATE else {}
        return self._event(transaction, "Updated", trigger, at, meter=meter, **state)

    def stop_call(self, transaction: Transaction, stopped: Stopped) -> Call:
        trouble = self.bays[transaction.evse].trouble
        fault = _FAULT_REASONS.get(trouble.error_code, "Other") if trouble is not None else "Other"
        trigger, reason = _STOPS.get(stopped.reason, ("AbnormalCondition", fault))
        meter = [_meter_value(stopped.reading, not self.bays[transaction.evse].meter.outlet.phases, "Transaction.End")]
        call = self._event(
            transaction, "Ended", trigger, stopped.at, meter=meter, chargingState="EVConnected", stoppedReason=reason
        )
        if stopped.token:
            call.payload["idToken"] = _id_token(stopped.token)
        return call

    def _event(
        self,
        transaction: Transaction,
        kind: str,
        trigger: str,
        at: float,
        meter: list[dict[str, Any]] | None = None,
        **info: Any,
    ) -> Call:
        payload: Payload = {
            "eventType": kind,
            "timestamp": rfc3339(at),
            "triggerReason": trigger,
            "seqNo": transaction.seq_no,
            "transactionInfo": {"transactionId": transaction.id, **info},
            "evse": {"id": transaction.evse, "connectorId": 1},
        }
        transaction.seq_no += 1
        if meter is not None:
            payload["meterValue"] = meter
        if not self.is_online:
            payload["offline"] = True
        return Call("TransactionEvent", payload, True, transaction.evse, transaction)

    def verdict_of(self, call: Call, reply: Payload) -> bool:
        info = reply.get("idTokenInfo")
        return info is None or info.get("status") == "Accepted"

    # files and reservations

    def log_status_call(self, status: str, request_id: int | None) -> Call:
        number = {} if request_id is None else {"requestId": request_id}
        return Call("LogStatusNotification", {"status": status} | number)

    def firmware_status_call(self, status: str, request_id: int | None) -> Call:
        number = {} if request_id is None else {"requestId": request_id}
        return Call("FirmwareStatusNotification", {"status": status} | number)

    def reservation_calls(self, id: int, status: str) -> Iterable[Call]:
        yield Call("ReservationStatusUpdate", {"reservationId": id, "reservationUpdateStatus": status})

    COMMANDS = COMMANDS


class Station21(Station201):
    """OCPP 2.1: what it says is valid in both, so it speaks 2.0.1 where the central system has no 2.1."""

    subprotocol = "ocpp2.1"
    offered = ("ocpp2.1", "ocpp2.0.1")


def _id_token(token: str) -> Payload:
    return {"idToken": token, "type": "ISO14443"}


def _sampled(
    value: float, context: str, measurand: str, unit: str, phase: str = "", location: str = "Outlet"
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "value": value,
        "context": context,
        "measurand": measurand,
        "location": location,
        "unitOfMeasure": {"unit": unit},
    }
    if phase:
        entry["phase"] = phase
    return entry


def _meter_value(reading: Reading, is_dc: bool, context: str) -> dict[str, Any]:
    entries = [_sampled(reading.register_wh, context, "Energy.Active.Import.Register", "Wh")]
    if context != "Sample.Clock":
        entries.append(_sampled(round(reading.power_w), context, "Power.Active.Import", "W"))
    if context in ("Sample.Periodic", "Trigger"):
        entries.extend(_details(reading, is_dc, context))
    if is_dc and reading.soc_percent is not None and context != "Sample.Clock":
        entries.append(_sampled(round(reading.soc_percent), context, "SoC", "Percent", location="EV"))
    return {"timestamp": rfc3339(reading.at), "sampledValue": entries}


def _details(reading: Reading, is_dc: bool, context: str) -> Iterable[dict[str, Any]]:
    phases = ("",) if is_dc else ("L1", "L2", "L3")
    for phase, current in zip(phases, reading.currents_a, strict=True):
        yield _sampled(round(current, 2), context, "Current.Import", "A", phase)
    for phase, voltage in zip(phases, reading.voltages_v, strict=True):
        yield _sampled(round(voltage, 1), context, "Voltage", "V", phase and phase + "-N")
    if is_dc:
        yield _sampled(round(reading.offered_w), context, "Power.Offered", "W")
    else:
        yield _sampled(round(reading.offered_a, 1), context, "Current.Offered", "A")
