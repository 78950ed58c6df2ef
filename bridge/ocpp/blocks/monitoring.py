"""What a station watches by itself: monitors on variables, as reported, set and cleared.

Source: OCPP 2.0.1 part 2 sections N02 to N06. A monitor's id is unique within its station.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import field

from bridge.events import AnyEvent, Detail, DetailKind
from bridge.ocpp.blocks.details import detail, gone, reported, taken
from bridge.ocpp.blocks.device_model import Named, full_name
from bridge.ocpp.blocks.progress import RequestId
from bridge.ocpp.versions import Action, Context, Payload


class MonitoringData(Payload, frozen=True):
    component: Named
    variable: Named
    variable_monitoring: list[dict[str, Any]] = field(default_factory=list)


class NotifyMonitoringReport(Payload, frozen=True):
    request_id: RequestId
    seq_no: RequestId = 0
    tbc: bool = False
    generated_at: str = ""
    monitor: list[MonitoringData] = field(default_factory=list)


class SetMonitoring(Payload, frozen=True):
    """A request's entry and a result's have these in common."""

    component: Named
    variable: Named
    type: str
    severity: RequestId = 0
    id: RequestId | None = None
    status: str = ""
    value: float | None = None
    transaction: bool = False


class Settings(Payload, frozen=True):
    set_monitoring_data: list[SetMonitoring] = field(default_factory=list)
    set_monitoring_result: list[SetMonitoring] = field(default_factory=list)


def _report(request: NotifyMonitoringReport, context: Context) -> list[AnyEvent]:
    found = tuple(known for data in request.monitor for known in _monitors(data))
    more = {"request_id": request.request_id, "seq_no": request.seq_no, "more": request.tbc}
    return [reported(context, DetailKind.MONITOR, found, request.generated_at, **more)]


def _monitors(data: MonitoringData) -> list[Detail]:
    return [
        _monitor(monitor["id"], data.component, data.variable, monitor)
        for monitor in data.variable_monitoring
        if "id" in monitor
    ]


def _monitor(id: object, component: Named, variable: Named, body: Mapping[str, Any]) -> Detail:
    place = {"component": full_name(component), "variable": full_name(variable)}
    return detail(id, place | dict(body), None if component.evse is None else component.evse.id)


def _set(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    """Results come in the order of the request (N04): the request has the value, the result the id."""
    wanted, results = taken(asked, Settings).set_monitoring_data, taken(answer, Settings).set_monitoring_result
    found = []
    for entry, result in zip(wanted, results, strict=False):
        if result.status == "Accepted" and result.id is not None:
            said = {"id": result.id, "type": result.type, "severity": result.severity, "value": entry.value}
            said |= {"transaction": entry.transaction}
            found.append(_monitor(result.id, result.component, result.variable, said))
    return [reported(context, DetailKind.MONITOR, found)] if found else []


def _cleared(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    results = [item for item in answer.get("clearMonitoringResult") or [] if isinstance(item, dict)]
    ids = [item["id"] for item in results if item.get("status") in ("Accepted", "NotFound") and "id" in item]
    return [gone(context, DetailKind.MONITOR, *ids)] if ids else []


ACTIONS_2 = {"NotifyMonitoringReport": Action(NotifyMonitoringReport, _report)}
ANSWERS_2 = {"ClearVariableMonitoring": _cleared, "SetVariableMonitoring": _set}
