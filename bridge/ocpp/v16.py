"""OCPP 1.6 JSON: payloads in, events out. Sections are those of the OCPP 1.6 edition 2 specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import field

from bridge import secrecy
from bridge.events import (
    AnyEvent,
    ConnectorStatus,
    DataTransferred,
    MessageReceived,
    MeterSampled,
    StationBooted,
    StationSeen,
    StatusChanged,
    TokenPresented,
    TransactionEnded,
    TransactionStarted,
)
from bridge.ocpp import frames
from bridge.ocpp.blocks import charging, configuration, progress, reservation, security_messages
from bridge.ocpp.blocks.readings import moment, readings, whole_wh
from bridge.ocpp.versions import Action, AnswerEvents, Context, Payload, Version, utc_text

PROTOCOL = "ocpp1.6"

Connector = Annotated[int, msgspec.Meta(ge=0, le=999)]
Number = str | int | float | None


class BootNotification(Payload, frozen=True):
    charge_point_vendor: str
    charge_point_model: str
    charge_point_serial_number: str = ""
    charge_box_serial_number: str = ""
    firmware_version: str = ""
    iccid: str = ""
    imsi: str = ""
    meter_type: str = ""
    meter_serial_number: str = ""


class Heartbeat(Payload, frozen=True):
    pass


class StatusNotification(Payload, frozen=True):
    connector_id: Connector
    status: str
    error_code: str = "NoError"
    info: str = ""
    vendor_error_code: str = ""
    timestamp: str = ""


class Authorize(Payload, frozen=True):
    id_tag: str


class StartTransaction(Payload, frozen=True):
    connector_id: Connector
    id_tag: str = ""
    meter_start: Number = None
    timestamp: str = ""
    reservation_id: progress.RequestId | None = None


class SampledValue(Payload, frozen=True):
    value: Number = None
    measurand: str = ""
    unit: str = ""
    phase: str = ""
    context: str = ""
    location: str = ""
    format: str = ""

    scale = 1.0
    signed_meter_value = None


class MeterValue(Payload, frozen=True):
    sampled_value: list[SampledValue] = field(default_factory=list)
    timestamp: str = ""


class MeterValues(Payload, frozen=True):
    connector_id: Connector
    meter_value: list[MeterValue]
    transaction_id: int | str | None = None


class StopTransaction(Payload, frozen=True):
    transaction_id: int | str | None = None
    meter_stop: Number = None
    timestamp: str = ""
    id_tag: str = ""
    reason: str = "Local"  # section 6.49: may be omitted when Local
    transaction_data: list[MeterValue] = field(default_factory=list)


class DataTransfer(Payload, frozen=True):
    vendor_id: str
    message_id: str = ""
    data: Any = ""


# chargers of the 1.5 days and careless ones
_STATUS = {status.value.lower(): status for status in ConnectorStatus} | {"occupied": ConnectorStatus.PREPARING}


def _boot(request: BootNotification, context: Context) -> list[AnyEvent]:
    return [
        StationBooted(
            station=context.station,
            at=context.received_at,
            received_at=context.received_at,
            vendor=request.charge_point_vendor,
            model=request.charge_point_model,
            serial=request.charge_point_serial_number or request.charge_box_serial_number,
            firmware=request.firmware_version,
            iccid=request.iccid,
            imsi=request.imsi,
            meter_type=request.meter_type,
            meter_serial=request.meter_serial_number,
        )
    ]


def boot_reply(request: Any, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    interval = context.heartbeat_s if context.registration == "Accepted" else min(context.heartbeat_s, 30)
    return {
        "currentTime": utc_text(context.received_at),
        "interval": interval,
        "status": context.registration,
    }


def heartbeat(request: Any, context: Context) -> list[AnyEvent]:
    return [StationSeen(station=context.station, at=context.received_at, received_at=context.received_at)]


def heartbeat_reply(request: Any, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    return {"currentTime": utc_text(context.received_at)}


def _status(request: StatusNotification, context: Context) -> list[AnyEvent]:
    station, received_at = context.station, context.received_at
    at = moment(request.timestamp, received_at)
    status = _STATUS.get(request.status.strip().lower())
    if status is None:  # a word of the charger's own: kept, the present does not change
        said = {"connectorId": request.connector_id, "status": request.status, "info": request.info}
        action = "StatusNotification"
        return [MessageReceived(station=station, at=at, received_at=received_at, action=action, payload=said)]
    return [
        StatusChanged(
            station=station,
            at=at,
            received_at=received_at,
            evse=request.connector_id,
            status=status,
            error_code=request.error_code or "NoError",
            info=request.info,
            vendor_error_code=request.vendor_error_code,
        )
    ]


def _authorize(request: Authorize, context: Context) -> list[AnyEvent]:
    at = context.received_at
    return [TokenPresented(station=context.station, at=at, received_at=at, token=request.id_tag)]


def _tag_info(token: str, context: Context) -> dict[str, Any]:
    decision = context.decide(token, context.received_at)
    info = {"status": decision.status}
    if decision.group:
        info["parentIdTag"] = decision.group[:20]
    if decision.expires_at is not None:
        info["expiryDate"] = utc_text(decision.expires_at)  # else a charge point's cache keeps it for ever
    return info


def _authorize_reply(request: Authorize, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    return {"idTagInfo": _tag_info(request.id_tag, context)}


def _start(request: StartTransaction, context: Context) -> list[AnyEvent]:
    return [
        TransactionStarted(
            station=context.station,
            at=moment(request.timestamp, context.received_at),
            received_at=context.received_at,
            evse=request.connector_id,
            token=request.id_tag,
            meter_start_wh=whole_wh(request.meter_start),
        ),
        *reservation.used(request.reservation_id, context),
    ]


def _start_reply(request: StartTransaction, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    started = events[0]
    assert isinstance(started, TransactionStarted)
    return {"transactionId": int(started.transaction_id), "idTagInfo": _tag_info(request.id_tag, context)}


def _samples(
    values: list[MeterValue], evse: int | None, transaction: int | str | None, context: Context, is_replay: bool
) -> list[AnyEvent]:
    return [
        MeterSampled(
            station=context.station,
            at=reading.at,
            received_at=context.received_at,
            evse=evse,
            transaction_id="" if transaction is None else str(transaction),
            context=reading.context,
            values=reading.values,
            unknown=reading.unknown,
            signed=reading.signed,
            offline=is_replay,
        )
        for reading in readings(values, context.received_at)
    ]


def _meter_values(request: MeterValues, context: Context) -> list[AnyEvent]:
    return _samples(request.meter_value, request.connector_id, request.transaction_id, context, False)


def _stop(request: StopTransaction, context: Context) -> list[AnyEvent]:
    """The samples come first: they are of the transaction that ends, and repeat what was sent on the way."""
    ended = TransactionEnded(
        station=context.station,
        at=moment(request.timestamp, context.received_at),
        received_at=context.received_at,
        transaction_id="" if request.transaction_id is None else str(request.transaction_id),
        meter_stop_wh=whole_wh(request.meter_stop),
        stop_reason=request.reason or "Local",
        token=request.id_tag,
    )
    return [*_samples(request.transaction_data, None, request.transaction_id, context, True), ended]


def _stop_reply(request: StopTransaction, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    return {"idTagInfo": _tag_info(request.id_tag, context)} if request.id_tag else {}


def data_transfer(request: DataTransfer, context: Context) -> list[AnyEvent]:
    data = request.data if isinstance(request.data, str) else msgspec.json.encode(frames.clean(request.data)).decode()
    return [
        DataTransferred(
            station=context.station,
            at=context.received_at,
            received_at=context.received_at,
            vendor_id=request.vendor_id,
            message_id=request.message_id,
            data=secrecy.text(data),
        )
    ]


def data_transfer_reply(request: Any, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    return {"status": "UnknownVendorId"}


ACTIONS: dict[str, Action] = {
    "Authorize": Action(Authorize, _authorize, _authorize_reply),
    "BootNotification": Action(BootNotification, _boot, boot_reply, asks=True),
    "DataTransfer": Action(DataTransfer, data_transfer, data_transfer_reply),
    "Heartbeat": Action(Heartbeat, heartbeat, heartbeat_reply, is_checked=False),
    "MeterValues": Action(MeterValues, _meter_values, is_checked=False),
    "StartTransaction": Action(StartTransaction, _start, _start_reply),
    "StatusNotification": Action(StatusNotification, _status),
    "StopTransaction": Action(StopTransaction, _stop, _stop_reply),
    **progress.ACTIONS_16,
    **security_messages.ACTIONS_16,
}
ANSWERS: dict[str, AnswerEvents] = {
    **charging.ANSWERS_16,
    **configuration.ANSWERS_16,
    **progress.ANSWERS_16,
    **reservation.ANSWERS_16,
    **security_messages.ANSWERS_16,
}
VERSION = Version(PROTOCOL, ACTIONS, ANSWERS)
