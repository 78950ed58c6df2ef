"""Periodic event streams of OCPP 2.1: values of one monitor, many to a frame, never answered.

Source: OCPP 2.1 part 2 section N11 to N15, part 4 section 4.2.6 (SEND).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from bridge.events import AnyEvent, Detail, DetailKind, StreamReported, StreamValue
from bridge.ocpp.blocks.details import detail, gone, reported, when_accepted
from bridge.ocpp.blocks.progress import RequestId
from bridge.ocpp.blocks.readings import moment
from bridge.ocpp.versions import Action, Context, Payload

_MAX_OFFSET_S = 366 * 86_400.0


class ConstantStreamData(Payload, frozen=True):
    id: RequestId
    params: dict[str, Any]
    variable_monitoring_id: RequestId


class OpenPeriodicEventStream(Payload, frozen=True):
    constant_stream_data: ConstantStreamData


class ClosePeriodicEventStream(Payload, frozen=True):
    id: RequestId


class StreamDataElement(Payload, frozen=True):
    t: float
    v: str


class NotifyPeriodicEventStream(Payload, frozen=True):
    id: RequestId
    data: list[StreamDataElement]
    pending: RequestId = 0
    basetime: str = ""


def _stream(data: ConstantStreamData) -> Detail:
    body = {"id": data.id, "params": data.params, "variableMonitoringId": data.variable_monitoring_id}
    return detail(data.id, body)


def _open(request: OpenPeriodicEventStream, context: Context) -> list[AnyEvent]:
    return [reported(context, DetailKind.STREAM, [_stream(request.constant_stream_data)])]


def _open_reply(request: Any, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
    return {"status": "Accepted"}


def _close(request: ClosePeriodicEventStream, context: Context) -> list[AnyEvent]:
    return [gone(context, DetailKind.STREAM, request.id)]


def _notify(request: NotifyPeriodicEventStream, context: Context) -> list[AnyEvent]:
    """``t`` is seconds after ``basetime``; one that leads nowhere is dated by the base."""
    base = moment(request.basetime, context.received_at)
    usable = [(item.t if abs(item.t) <= _MAX_OFFSET_S else 0.0, item.v) for item in request.data]
    values = tuple(StreamValue(base + timedelta(seconds=offset_s), value[:2500]) for offset_s, value in usable)
    return [
        StreamReported(
            station=context.station,
            at=values[-1].at if values else base,
            received_at=context.received_at,
            stream_id=request.id,
            pending=request.pending,
            values=values,
        )
    ]


def _adjusted(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    changed = detail(asked["id"], {"id": asked["id"], "params": asked["params"]})
    return [reported(context, DetailKind.STREAM, [changed])]


def _told(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    """The whole list: a stream that is not in it is no longer open."""
    found = [detail(item["id"], item) for item in answer.get("constantStreamData") or []]
    return [gone(context, DetailKind.STREAM), reported(context, DetailKind.STREAM, found)]


ACTIONS_21 = {
    "ClosePeriodicEventStream": Action(ClosePeriodicEventStream, _close),
    "NotifyPeriodicEventStream": Action(NotifyPeriodicEventStream, _notify),
    "OpenPeriodicEventStream": Action(OpenPeriodicEventStream, _open, _open_reply),
}
SENDS_21 = frozenset(("NotifyPeriodicEventStream",))
ANSWERS_21 = {"AdjustPeriodicEventStream": when_accepted(_adjusted), "GetPeriodicEventStream": _told}
