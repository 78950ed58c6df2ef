"""The device model of OCPP 2.x: components and variables, what they report and what happens to them.

Source: OCPP 2.0.1 part 2 sections B05 to B08 and N07; part 1 section 4 (device model). OCPP 2.1 keeps it.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import field

from bridge.events import AnyEvent, Detail, DetailKind, DetailsReported, DeviceEventNotified
from bridge.ocpp.readings import moment
from bridge.ocpp.versions import Context, Payload

Evse = Annotated[int, msgspec.Meta(ge=0, le=999)]
Counter = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]


class EvseRef(Payload, frozen=True):
    id: Evse
    connector_id: Evse = 1


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
    """A component or variable with its instance and EVSE: ``Connector/left@1``."""
    name = f"{named.name}/{named.instance}" if named.instance else named.name
    return f"{name}@{named.evse.id}" if named.evse is not None else name


def notify_event(request: NotifyEvent, context: Context) -> list[AnyEvent]:
    return [
        DeviceEventNotified(
            station=context.station,
            at=moment(data.timestamp, context.received_at),
            received_at=context.received_at,
            component=full_name(data.component),
            variable=full_name(data.variable),
            value=data.actual_value,
            trigger=data.trigger,
            evse=None if data.component.evse is None else data.component.evse.id,
            cleared=data.cleared,
            tech_code=data.tech_code,
            tech_info=data.tech_info,
        )
        for data in request.event_data
    ]


def notify_report(request: NotifyReport, context: Context) -> list[AnyEvent]:
    return [
        DetailsReported(
            station=context.station,
            at=moment(request.generated_at, context.received_at),
            received_at=context.received_at,
            kind=DetailKind.VARIABLE,
            details=tuple(_variable(data, known) for data in request.report_data for known in data.variable_attribute),
            request_id=request.request_id,
            seq_no=request.seq_no,
            more=request.tbc,
        )
    ]


def _variable(data: ReportData, attribute: VariableAttribute) -> Detail:
    component, variable = full_name(data.component), full_name(data.variable)
    body = {"component": component, "variable": variable, "attribute": attribute.type, "value": attribute.value}
    body |= {"mutability": attribute.mutability} | data.variable_characteristics
    evse = None if data.component.evse is None else data.component.evse.id
    return Detail(key=f"{component} {variable} {attribute.type}", body=body, evse=evse)
