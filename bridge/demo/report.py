"""The device model told in OCPP 2.x: answers about single variables, and reports in parts. 2.0.1 part 2 B05-B08."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bridge.demo.device import Device, Spec
from bridge.demo.words import Call, rfc3339

_PART = 10  # variables a NotifyReport


def answer_of(device: Device, asked: dict[str, Any]) -> dict[str, Any]:
    """One GetVariableResult."""
    result: dict[str, Any] = {"component": asked["component"], "variable": asked["variable"]}
    kind = asked.get("attributeType", "Actual")
    spec = device.variable(asked)
    if isinstance(spec, str):
        return result | {"attributeStatus": spec}
    if kind != "Actual":
        return result | {"attributeStatus": "NotSupportedAttributeType", "attributeType": kind}
    if not spec.is_readable:
        return result | {"attributeStatus": "Rejected"}
    return result | {"attributeStatus": "Accepted", "attributeValue": device.values[spec]}


def reported(device: Device, base: str) -> list[Spec]:
    """What belongs to a base report."""
    if base == "ConfigurationInventory":
        return [spec for spec in device.variables if spec.is_writable]
    if base == "SummaryInventory":
        return [spec for spec in device.variables if spec.component in ("ChargingStation", "EVSE", "Connector")]
    return list(device.variables)


def report(request_id: int, device: Device, found: list[Spec], at: float) -> Iterator[Call]:
    """NotifyReport calls, ``_PART`` variables each."""
    parts = [found[start : start + _PART] for start in range(0, len(found), _PART)]
    for number, part in enumerate(parts):
        payload = {
            "requestId": request_id,
            "generatedAt": rfc3339(at),
            "seqNo": number,
            "tbc": number + 1 < len(parts),
            "reportData": [_data(spec, device.values[spec]) for spec in part],
        }
        yield Call("NotifyReport", payload)


def _data(spec: Spec, value: str) -> dict[str, Any]:
    component: dict[str, Any] = {"name": spec.component}
    if spec.evse:
        component["evse"] = {"id": spec.evse} | ({"connectorId": 1} if spec.component == "Connector" else {})
    can = {(True, True): "ReadWrite", (True, False): "ReadOnly", (False, True): "WriteOnly"}
    attribute = {"type": "Actual", "mutability": can.get((spec.is_readable, spec.is_writable), "ReadOnly")}
    traits: dict[str, Any] = {"dataType": spec.kind, "supportsMonitoring": False}
    traits |= {"unit": spec.unit} if spec.unit else {}
    traits |= {"valuesList": spec.choices} if spec.choices else {}
    return {
        "component": component,
        "variable": {"name": spec.variable},
        "variableAttribute": [attribute | ({"value": value} if spec.is_readable else {})],
        "variableCharacteristics": traits,
    }
