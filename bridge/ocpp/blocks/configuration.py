"""What a station is set to, as its answers tell: configuration keys of 1.6, variables of 2.x.

Source: OCPP 1.6 sections 5.3 and 5.8; 2.0.1 part 2 sections B05 and B06. A key of 1.6 is a variable without a
component. Values that nobody may read are hidden by ``bridge/secrecy.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import field

from bridge.events import AnyEvent, Detail, DetailKind
from bridge.ocpp.blocks.details import detail, gone, reported, taken, when_accepted
from bridge.ocpp.blocks.device_model import Named, variable_detail
from bridge.ocpp.versions import Context, Payload


class ConfigurationKey(Payload, frozen=True):
    key: str
    readonly: bool = False
    value: str | None = None


class GetConfiguration(Payload, frozen=True):
    """The answer."""

    configuration_key: list[ConfigurationKey] = field(default_factory=list)
    unknown_key: list[str] = field(default_factory=list)


class Variable(Payload, frozen=True):
    """An entry of a request to get or set variables, and of its answer."""

    component: Named
    variable: Named
    attribute_type: str = "Actual"
    attribute_status: str = ""
    attribute_value: str | None = None

    def detail(self, **said: Any) -> Detail:
        return variable_detail(self.component, self.variable, self.attribute_type, said)


class Variables(Payload, frozen=True):
    get_variable_result: list[Variable] = field(default_factory=list)
    set_variable_data: list[Variable] = field(default_factory=list)
    set_variable_result: list[Variable] = field(default_factory=list)


def _configuration(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    told = taken(answer, GetConfiguration)
    found = [_key(key.key, key.value, "ReadOnly" if key.readonly else "ReadWrite") for key in told.configuration_key]
    is_partial = bool(asked.get("key"))
    events: list[AnyEvent] = []
    if found:
        events.append(reported(context, DetailKind.VARIABLE, found, is_partial=is_partial))
    if told.unknown_key:
        events.append(gone(context, DetailKind.VARIABLE, *told.unknown_key))
    return events


def _key(name: str, value: str | None, mutability: str, **more: Any) -> Detail:
    return detail(name, {"variable": name, "value": value or "", "mutability": mutability} | more)


def _changed(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    new = _key(asked["key"], asked["value"], "ReadWrite", **_if_reboot(answer["status"]))
    return [reported(context, DetailKind.VARIABLE, [new], is_partial=True)]


def _if_reboot(status: str) -> dict[str, bool]:
    """The new value stands only after a reset."""
    return {"rebootRequired": True} if status == "RebootRequired" else {}


def _got(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    results = taken(answer, Variables).get_variable_result
    found = [one.detail(value=one.attribute_value or "") for one in results if one.attribute_status == "Accepted"]
    return [reported(context, DetailKind.VARIABLE, found, is_partial=True)] if found else []


def _set(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    """The values are the request's, whether they stand the answer says."""
    results = taken(answer, Variables).set_variable_result
    status = {(one.component, one.variable, one.attribute_type): one.attribute_status for one in results}
    found = []
    for one in taken(asked, Variables).set_variable_data:
        said = status.get((one.component, one.variable, one.attribute_type))
        if said in ("Accepted", "RebootRequired"):
            found.append(one.detail(value=one.attribute_value or "", **_if_reboot(said)))
    return [reported(context, DetailKind.VARIABLE, found, is_partial=True)] if found else []


ANSWERS_16 = {"ChangeConfiguration": when_accepted(_changed), "GetConfiguration": _configuration}
ANSWERS_2 = {"GetVariables": _got, "SetVariables": _set}
