"""The device model of OCPP 2.x: components and variables, what they report and what happens to them.

Source: OCPP 2.0.1 part 2 sections B05 to B08 and N07; part 1 section 4 (device model). OCPP 2.1 keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import field

from bridge import secrecy
from bridge.events import AnyEvent, Detail, DetailKind, DeviceEventNotified
from bridge.ocpp.blocks.details import detail, reported
from bridge.ocpp.blocks.readings import moment
from bridge.ocpp.versions import Action, Context, Payload

Evse = Annotated[int, msgspec.Meta(ge=0, le=999)]
Counter = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]


class EvseRef(Payload, frozen=True):
    id: Evse
    connector_id: Evse = 0  # unsaid: the EVSE as a whole


class Named(Payload, frozen=True):
    name: str
    instance: str = ""
    evse: EvseRef | None = None


class EventData(Payload, frozen=True):
    component: Named
    variable: Named
    actual_value: str = ""
    timestamp: str = ""
    trigger: str = ""
    cleared: bool = False
    tech_code: str = ""
    tech_info: str = ""


class NotifyEvent(Payload, frozen=True):
    event_data: list[EventData]


class VariableAttribute(Payload, frozen=True):
    type: str = "Actual"
    value: str = ""
    mutability: str = "ReadWrite"  # section 2.51: the default


class ReportData(Payload, frozen=True):
    component: Named
    variable: Named
    variable_attribute: list[VariableAttribute] = field(default_factory=list)
    variable_characteristics: dict[str, Any] = field(default_factory=dict)


class NotifyReport(Payload, frozen=True):
    request_id: Counter
    generated_at: str = ""
    seq_no: Counter = 0
    tbc: bool = False
    report_data: list[ReportData] = field(default_factory=list)


def full_name(named: Named) -> str:
    """A component or variable with its instance, EVSE and connector: ``CPPWMController/left@1``, ``Connector@1:2``."""
    name = f"{named.name}/{named.instance}" if named.instance else named.name
    if named.evse is None:
        return name
    return f"{name}@{named.evse.id}:{named.evse.connector_id}" if named.evse.connector_id else f"{name}@{named.evse.id}"


def _notify_event(request: NotifyEvent, context: Context) -> list[AnyEvent]:
    return [
        DeviceEventNotified(
            station=context.station,
            at=moment(data.timestamp, context.received_at),
            received_at=context.received_at,
            component=full_name(data.component),
            variable=full_name(data.variable),
            value=secrecy.HIDDEN if secrecy.is_secret(data.variable.name) else secrecy.text(data.actual_value),
            trigger=data.trigger,
            evse=None if data.component.evse is None else data.component.evse.id,
            cleared=data.cleared,
            tech_code=data.tech_code,
            tech_info=secrecy.text(data.tech_info),
        )
        for data in request.event_data
    ]


def _notify_report(request: NotifyReport, context: Context) -> list[AnyEvent]:
    """Only the full inventory describes the whole; GetReport, a smaller base report and what comes unasked do not."""
    found = (_reported_variable(data, known) for data in request.report_data for known in data.variable_attribute)
    more = {"request_id": request.request_id, "seq_no": request.seq_no, "more": request.tbc}
    is_partial = request.request_id != context.full_report
    return [reported(context, DetailKind.VARIABLE, found, request.generated_at, is_partial=is_partial, **more)]


def _reported_variable(data: ReportData, attribute: VariableAttribute) -> Detail:
    said = {"value": attribute.value, "mutability": attribute.mutability} | data.variable_characteristics
    return variable_detail(data.component, data.variable, attribute.type, said)


def variable_detail(component: Named, variable: Named, attribute: str, said: Mapping[str, Any]) -> Detail:
    """A variable's attribute as a record: ``EVSE@1 Power Actual``."""
    place = {"component": full_name(component), "variable": full_name(variable), "attribute": attribute}
    evse = None if component.evse is None else component.evse.id
    return detail(f"{place['component']} {place['variable']} {attribute}", place | dict(said), evse)


ACTIONS_2 = {"NotifyEvent": Action(NotifyEvent, _notify_event), "NotifyReport": Action(NotifyReport, _notify_report)}
