"""Distributed energy resources, of OCPP 2.1: the grid's controls that a station holds, which of them run, its alarms.

Source: OCPP 2.1 part 2 section R. A control's id is its key; "running <id>" and "alarm <type>" are there while it runs
and while the fault stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import field

from bridge.events import AnyEvent, Detail, DetailKind
from bridge.ocpp.blocks.details import body_of, detail, gone, reported, when_accepted
from bridge.ocpp.blocks.progress import RequestId
from bridge.ocpp.versions import Action, Context, Payload

Controls = list[dict[str, Any]]


class NotifyDERAlarm(Payload, frozen=True):
    control_type: str
    timestamp: str
    grid_event_fault: str = ""
    alarm_ended: bool = False
    extra_info: str = ""


class NotifyDERStartStop(Payload, frozen=True):
    control_id: str
    started: bool
    timestamp: str
    superseded_ids: list[str] = field(default_factory=list)


class ReportDERControl(Payload, frozen=True):
    request_id: RequestId
    tbc: bool = False
    curve: Controls = field(default_factory=list)
    enter_service: Controls = field(default_factory=list)
    fixed_p_f_absorb: Controls = field(default_factory=list, name="fixedPFAbsorb")
    fixed_p_f_inject: Controls = field(default_factory=list, name="fixedPFInject")
    fixed_var: Controls = field(default_factory=list)
    freq_droop: Controls = field(default_factory=list)
    gradient: Controls = field(default_factory=list)
    limit_max_discharge: Controls = field(default_factory=list)


# the field of a report or setting -> the type of control that stands in it (DERControlEnumType)
_TYPES = {
    "enterService": "EnterService",
    "fixedPFAbsorb": "FixedPFAbsorb",
    "fixedPFInject": "FixedPFInject",
    "fixedVar": "FixedVar",
    "freqDroop": "FreqDroop",
    "gradient": "Gradients",
    "limitMaxDischarge": "LimitMaxDischarge",
}


def _alarm(request: NotifyDERAlarm, context: Context) -> list[AnyEvent]:
    status = request.grid_event_fault or "Fault"
    body = body_of(request) | {"status": "Ended" if request.alarm_ended else f"{status} fault"}
    alarm = Detail(key=f"alarm {request.control_type}", body=body)
    return [reported(context, DetailKind.DER, [alarm], request.timestamp, is_gone=request.alarm_ended)]


def _start_stop(request: NotifyDERStartStop, context: Context) -> list[AnyEvent]:
    running = detail(f"running {request.control_id}", body_of(request))
    return [reported(context, DetailKind.DER, [running], request.timestamp, is_gone=not request.started)]


def _report(request: ReportDERControl, context: Context) -> list[AnyEvent]:
    found = [detail(control["id"], control | {"controlType": kind}) for kind, control in _controls(request)]
    return [reported(context, DetailKind.DER, found, request_id=request.request_id, more=request.tbc)]


def _controls(request: ReportDERControl) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, controls in body_of(request, "requestId", "tbc").items():
        for control in controls:
            if "id" in control:
                yield _TYPES.get(name) or str(control.get("curveType", "")), control


def _set(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    body = {**asked, "isSuperseded": False}
    superseded = [str(id) for id in answer.get("supersededIds") or []]
    found = [reported(context, DetailKind.DER, [detail(asked["controlId"], body)])]
    marks = [detail(id, {"controlId": id, "isSuperseded": True}) for id in superseded]
    return [*found, reported(context, DetailKind.DER, marks)] if marks else [*found]


def _cleared(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    """By id, or all defaults or all others, of one type where it is named."""
    if asked.get("controlId"):
        return [gone(context, DetailKind.DER, asked["controlId"])]
    named = {"controlType": asked["controlType"]} if asked.get("controlType") else {}
    return [gone(context, DetailKind.DER, isDefault=asked["isDefault"], **named)]


ACTIONS_21 = {
    "NotifyDERAlarm": Action(NotifyDERAlarm, _alarm),
    "NotifyDERStartStop": Action(NotifyDERStartStop, _start_stop),
    "ReportDERControl": Action(ReportDERControl, _report),
}
ANSWERS_21 = {"ClearDERControl": when_accepted(_cleared), "SetDERControl": when_accepted(_set)}
