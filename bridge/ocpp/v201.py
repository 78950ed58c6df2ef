"""OCPP 2.0.1: payloads in, events out. Sections are those of part 2 of the OCPP 2.0.1 specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import field

from bridge.events import (
    AnyEvent,
    ConnectorStatus,
    CostReported,
    MessageReceived,
    MeterSampled,
    StationAsked,
    StationBooted,
    StatusChanged,
    TokenPresented,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
)
from bridge.ocpp import frames, v16
from bridge.ocpp.blocks import (
    charging,
    configuration,
    device_model,
    display,
    monitoring,
    progress,
    reservation,
    security_messages,
)
from bridge.ocpp.blocks.device_model import Counter, Evse, EvseRef
from bridge.ocpp.blocks.readings import Reading, moment, number, readings, register_wh
from bridge.ocpp.versions import Action, AnswerEvents, Context, Payload, Version, utc_text
from bridge.session import SessionState

PROTOCOL = "ocpp2.0.1"


class Modem(Payload, frozen=True):
    iccid: str = ""
    imsi: str = ""


class ChargingStation(Payload, frozen=True):
    model: str
    vendor_name: str
    serial_number: str = ""
    firmware_version: str = ""
    modem: Modem = Modem()


class BootNotification(Payload, frozen=True):
    charging_station: ChargingStation
    reason: str = ""


class StatusNotification(Payload, frozen=True):
    evse_id: Evse
    connector_status: str
    connector_id: Evse = 1
    timestamp: str = ""


class IdToken(Payload, frozen=True):
    id_token: str
    type: str = ""


class Authorize(Payload, frozen=True):
    id_token: IdToken
    certificate: str = ""
    iso15118_certificate_hash_data: list[Any] = field(default_factory=list)

    @property
    def brings_contract(self) -> bool:
        """Plug and charge (ISO 15118): the car shows a contract instead of its driver a card."""
        return bool(self.certificate or self.iso15118_certificate_hash_data)


class UnitOfMeasure(Payload, frozen=True):
    unit: str = "Wh"  # section 2.47
    multiplier: int = 0


class SampledValue(Payload, frozen=True):
    value: str | int | float | None = None
    measurand: str = ""
    phase: str = ""
    context: str = ""
    location: str = ""
    unit_of_measure: UnitOfMeasure | None = None
    signed_meter_value: Any = None  # whatever its shape: only its format is read

    format = ""  # a signed value travels beside the plain one

    @property
    def unit(self) -> str:
        return "" if self.unit_of_measure is None else self.unit_of_measure.unit

    @property
    def scale(self) -> float:
        if self.unit_of_measure is None or not self.unit_of_measure.multiplier:
            return 1.0
        return float(10.0 ** max(-12, min(12, self.unit_of_measure.multiplier)))


class MeterValue(Payload, frozen=True):
    sampled_value: list[SampledValue] = field(default_factory=list)
    timestamp: str = ""


class MeterValues(Payload, frozen=True):
    evse_id: Evse
    meter_value: list[MeterValue]


class TransactionInfo(Payload, frozen=True):
    transaction_id: str
    charging_state: str = ""
    stopped_reason: str = ""
    remote_start_id: Counter | None = None
    operation_mode: str = ""  # this and the cost came with 2.1


class TransactionEvent(Payload, frozen=True):
    event_type: str
    transaction_info: TransactionInfo
    timestamp: str = ""
    trigger_reason: str = ""
    seq_no: Counter | None = None
    offline: bool = False
    evse: EvseRef | None = None
    id_token: IdToken | None = None
    meter_value: list[MeterValue] = field(default_factory=list)
    reservation_id: Counter | None = None
    cost_details: dict[str, Any] | None = None


_STATUS = {
    "available": ConnectorStatus.AVAILABLE,
    "occupied": ConnectorStatus.PREPARING,
    "reserved": ConnectorStatus.RESERVED,
    "unavailable": ConnectorStatus.UNAVAILABLE,
    "faulted": ConnectorStatus.FAULTED,
}
_CHARGING = "Charging"
_CHARGING_STATES = {
    _CHARGING: ConnectorStatus.CHARGING,
    "SuspendedEV": ConnectorStatus.SUSPENDED_EV,
    "SuspendedEVSE": ConnectorStatus.SUSPENDED_EVSE,
}
_PLUGGED_STATES = frozenset(("EVConnected", "Idle"))
_NO_CONTRACTS = {"certificateStatus": "NoCertificateAvailable"}


def _boot(request: BootNotification, context: Context) -> list[AnyEvent]:
    station = request.charging_station
    return [
        StationBooted(
            station=context.station,
            at=context.received_at,
            received_at=context.received_at,
            vendor=station.vendor_name,
            model=station.model,
            serial=station.serial_number,
            firmware=station.firmware_version,
            iccid=station.modem.iccid,
            imsi=station.modem.imsi,
            reason=request.reason,
        )
    ]


def _status(request: StatusNotification, context: Context) -> list[AnyEvent]:
    station, received_at = context.station, context.received_at
    at = moment(request.timestamp, received_at)
    status = _STATUS.get(request.connector_status.strip().lower())
    if status is None:
        said = {"evseId": request.evse_id, "connectorStatus": request.connector_status}
        action = "StatusNotification"
        return [MessageReceived(station=station, at=at, received_at=received_at, action=action, payload=said)]
    evse, connector = request.evse_id, request.connector_id
    place: dict[str, Any] = {"evse": evse, "connector": connector or 1}
    return [StatusChanged(station=station, at=at, received_at=received_at, status=status, error_code="", **place)]


def _authorize(request: Authorize, context: Context) -> list[AnyEvent]:
    token, at = request.id_token, context.received_at
    station, card = context.station, token.id_token
    if request.brings_contract:
        about, answer = card[:200], _NO_CONTRACTS["certificateStatus"]
        subject = "whether a contract certificate is good"
        return [StationAsked(station=station, at=at, received_at=at, subject=subject, about=about, answer=answer)]
    return [TokenPresented(station=station, at=at, received_at=at, token=card, token_type=token.type)]


def _token_info(token: IdToken, context: Context) -> dict[str, Any]:
    """Section 3.38: an unknown token is Unknown here, Invalid in 1.6."""
    if token.type == "NoAuthorization":
        return {"status": "Accepted"}
    decision = context.decide(token.id_token, context.received_at)
    info: dict[str, Any] = {"status": "Unknown" if decision.status == "Invalid" else decision.status}
    if decision.group:
        info["groupIdToken"] = {"idToken": decision.group[:36], "type": "Central"}
    if decision.expires_at is not None:
        info["cacheExpiryDateTime"] = utc_text(decision.expires_at)
    return info


def _authorize_reply(request: Authorize, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    """Section C07: a contract certificate is vouched for by an OCSP responder or a pool of roots, which are no part of
    this system. Nobody charges on a contract that nobody checked."""
    if request.brings_contract:
        return {"idTokenInfo": {"status": "Invalid"}} | _NO_CONTRACTS
    return {"idTokenInfo": _token_info(request.id_token, context)}


def _transaction_event(request: TransactionEvent, context: Context) -> list[AnyEvent]:
    is_start = request.event_type == "Started"
    found = readings(request.meter_value, context.received_at, keep_zero_begin=is_start)
    evse = None if request.evse is None else request.evse.id
    samples: list[AnyEvent] = [
        _sample(reading, evse, request.transaction_info.transaction_id, request.offline, context) for reading in found
    ]
    if request.cost_details is not None:
        samples.append(_cost(request, request.cost_details, context))
    if is_start:
        used = reservation.used(request.reservation_id, context)
        return [_started(request, found, context), _updated(request, context), *samples, *used]
    if request.event_type == "Ended":
        return [*samples, _ended(request, found, context)]
    used = reservation.used(request.reservation_id, context)
    return [_updated(request, context), *samples, *used]


def _cost(request: TransactionEvent, details: dict[str, Any], context: Context) -> CostReported:
    """OCPP 2.1 part 2 section I: what the station reckons by its tariff; the larger, taxed total where it says both."""
    body: dict[str, Any] = frames.clean(details)
    sums = _object(body.get("totalCost"))
    total = _object(sums.get("total"))
    said = total.get("inclTax", total.get("exclTax"))
    amount = number(said) if isinstance(said, int | float) and not isinstance(said, bool) else None
    return CostReported(
        station=context.station,
        at=moment(request.timestamp, context.received_at),
        received_at=context.received_at,
        transaction_id=request.transaction_info.transaction_id,
        total="" if amount is None or body.get("failureToCalculate") else str(amount),
        currency=str(sums.get("currency", ""))[:3],
        evse=None if request.evse is None else request.evse.id,
        body=body,
    )


def _token_of(request: TransactionEvent) -> str:
    token = request.id_token
    return "" if token is None or token.type == "NoAuthorization" else token.id_token


def _started(request: TransactionEvent, found: list[Reading], context: Context) -> TransactionStarted:
    info, evse = request.transaction_info, request.evse
    return TransactionStarted(
        station=context.station,
        at=moment(request.timestamp, context.received_at),
        received_at=context.received_at,
        evse=0 if evse is None else evse.id,  # 0 until an update says which: authorised before plugged in
        connector=1 if evse is None else evse.connector_id or 1,
        transaction_id=info.transaction_id,
        token=_token_of(request),
        meter_start_wh=register_wh(found, "Transaction.Begin"),
        remote_start_id=info.remote_start_id,
        seq_no=request.seq_no,
        offline=request.offline,
        charging=info.charging_state == _CHARGING if info.charging_state else None,
    )


def _updated(request: TransactionEvent, context: Context) -> TransactionUpdated:
    return TransactionUpdated(
        station=context.station,
        at=moment(request.timestamp, context.received_at),
        received_at=context.received_at,
        transaction_id=request.transaction_info.transaction_id,
        evse=None if request.evse is None else request.evse.id,
        charging_state=_charging_state(request.transaction_info, context),
        trigger=request.trigger_reason,
        seq_no=request.seq_no,
        token=_token_of(request),
        offline=request.offline,
        operation_mode=request.transaction_info.operation_mode,
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _charging_state(info: TransactionInfo, context: Context) -> ConnectorStatus | None:
    """A car that is plugged in and draws nothing is preparing before energy has flowed, finishing after."""
    if info.charging_state not in _PLUGGED_STATES:
        return _CHARGING_STATES.get(info.charging_state)
    session = context.session_of(info.transaction_id)
    is_before = session is None or session.state is SessionState.PENDING
    return ConnectorStatus.PREPARING if is_before else ConnectorStatus.FINISHING


def _ended(request: TransactionEvent, found: list[Reading], context: Context) -> TransactionEnded:
    return TransactionEnded(
        station=context.station,
        at=moment(request.timestamp, context.received_at),
        received_at=context.received_at,
        transaction_id=request.transaction_info.transaction_id,
        evse=None if request.evse is None else request.evse.id,
        meter_stop_wh=register_wh(found, "Transaction.End"),
        stop_reason=request.transaction_info.stopped_reason or "Local",  # section 1.61.1: may be omitted when Local
        token=_token_of(request),
        seq_no=request.seq_no,
        offline=request.offline,
    )


def _sample(reading: Reading, evse: int | None, transaction: str, is_offline: bool, context: Context) -> MeterSampled:
    return MeterSampled(
        station=context.station,
        at=reading.at,
        received_at=context.received_at,
        evse=evse,
        transaction_id=transaction,
        context=reading.context,
        values=reading.values,
        unknown=reading.unknown,
        signed=reading.signed,
        offline=is_offline,
    )


def _transaction_reply(request: TransactionEvent, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    answer = {} if request.id_token is None else {"idTokenInfo": _token_info(request.id_token, context)}
    return answer | _final_cost(request, context) if request.event_type == "Ended" else answer


def _final_cost(request: TransactionEvent, context: Context) -> dict[str, Any]:
    """Section I03: in the currency of the station; the schema wants a number, which is no sum that is reckoned with."""
    session = context.session_of(request.transaction_info.transaction_id)
    cost = "" if session is None else context.cost_of(session, context.received_at)
    return {"totalCost": float(cost)} if cost else {}


def _meter_values(request: MeterValues, context: Context) -> list[AnyEvent]:
    found = readings(request.meter_value, context.received_at)
    return [_sample(reading, request.evse_id, "", False, context) for reading in found]


ACTIONS: dict[str, Action] = {
    "Authorize": Action(Authorize, _authorize, _authorize_reply),
    "BootNotification": Action(BootNotification, _boot, v16.boot_reply, asks=True),
    "DataTransfer": Action(v16.DataTransfer, v16.data_transfer, v16.data_transfer_reply),
    "Heartbeat": Action(v16.Heartbeat, v16.heartbeat, v16.heartbeat_reply, is_checked=False),
    "MeterValues": Action(MeterValues, _meter_values, is_checked=False),
    "StatusNotification": Action(StatusNotification, _status),
    "TransactionEvent": Action(TransactionEvent, _transaction_event, _transaction_reply, is_checked=False),
    **charging.ACTIONS_2,
    **device_model.ACTIONS_2,
    **display.ACTIONS_2,
    **monitoring.ACTIONS_2,
    **progress.ACTIONS_2,
    **reservation.ACTIONS_2,
    **security_messages.ACTIONS_2,
}
ANSWERS: dict[str, AnswerEvents] = {
    **charging.ANSWERS_2,
    **configuration.ANSWERS_2,
    **display.ANSWERS_2,
    **monitoring.ANSWERS_2,
    **progress.ANSWERS_2,
    **reservation.ANSWERS_2,
    **security_messages.ANSWERS_2,
}
VERSION = Version(PROTOCOL, ACTIONS, ANSWERS, fallback=v16.VERSION)
