"""The official JSON schemas of OCPP, compiled; and mending of payloads that break them in ways we understand.

The ``ocpp`` package carries the schemas of the Open Charge Alliance. They are read and compiled on first use,
one per version, action and direction. Bridge and screen both read them: what may be sent, and the forms to fill in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from itertools import islice
from typing import Any, NamedTuple

import jsonschema_rs

_FOLDERS = {"ocpp1.6": ("v16", ""), "ocpp2.0.1": ("v201", "Request"), "ocpp2.1": ("v21", "Request")}
_WITHOUT_ANSWER = "NotifyPeriodicEventStream"  # a SEND of 2.1 (part 4 section 4.2.6): its schema's name has no suffix
_BOTH_WAYS = "DataTransfer"

# what a charger calls; the same name means the same direction in every version
_FROM_STATION = frozenset({
    "Authorize", "BatterySwap", "BootNotification", "ClearedChargingLimit", "ClosePeriodicEventStream",
    "DiagnosticsStatusNotification", "FirmwareStatusNotification", "Get15118EVCertificate",
    "GetCertificateChainStatus", "GetCertificateStatus", "Heartbeat", "LogStatusNotification", "MeterValues",
    "NotifyChargingLimit", "NotifyCustomerInformation", "NotifyDERAlarm", "NotifyDERStartStop",
    "NotifyDisplayMessages", "NotifyEVChargingNeeds", "NotifyEVChargingSchedule", "NotifyEvent",
    "NotifyMonitoringReport", "NotifyPeriodicEventStream", "NotifyPriorityCharging", "NotifyReport",
    "NotifySettlement", "OpenPeriodicEventStream", "PublishFirmwareStatusNotification", "PullDynamicScheduleUpdate",
    "ReportChargingProfiles", "ReportDERControl", "ReservationStatusUpdate", "SecurityEventNotification",
    "SignCertificate", "SignedFirmwareStatusNotification", "StartTransaction", "StatusNotification",
    "StopTransaction", "TransactionEvent", "VatNumberValidation",
})  # fmt: skip


class Violation(NamedTuple):
    """One breach of a schema: the keyword that was broken, where (``a.0.b``, "payload" for the whole), and in words."""

    keyword: str
    path: str
    detail: str


_MAX_VIOLATIONS = 8
_MOST_ITEMS = 50  # of a list or object that are looked at for several violations; no schema wants more


@cache
def known_actions(protocol: str) -> frozenset[str]:
    """Every action of that version, in either direction. Empty for a protocol that is not OCPP."""
    if protocol not in _FOLDERS:
        return frozenset()
    folder, suffix = _FOLDERS[protocol]
    names = (entry.name.removesuffix(".json") for entry in _schema_folder(folder).iterdir())
    return frozenset(name.removesuffix(suffix) for name in names if not name.endswith("Response"))


@cache
def calls_from_station(protocol: str) -> frozenset[str]:
    """The actions that a charger calls us with."""
    return known_actions(protocol) & (_FROM_STATION | {_BOTH_WAYS})


@cache
def calls_to_station(protocol: str) -> frozenset[str]:
    """The actions that we may call a charger with."""
    return known_actions(protocol) - _FROM_STATION


def schema(protocol: str, action: str, is_response: bool = False) -> dict[str, Any]:
    """The official schema of a payload. Raises KeyError for what is no action of that version."""
    if action not in known_actions(protocol):
        raise KeyError(f"{action[:64]!r} is no action of {protocol}")
    return _schema(protocol, action, is_response)


def violations(protocol: str, action: str, payload: Any, is_response: bool = False) -> list[Violation]:
    """What is wrong with a payload by the official schema, the first of it; empty when nothing is."""
    validator = _validator(protocol, action, is_response)
    if validator.is_valid(payload):  # the usual case, and much cheaper than to look for errors
        return []
    # all errors are made before the first is seen: half a million of them would hold up every other station
    head = _head(payload, _names(protocol, action, is_response))
    found = [_violation(error) for error in validator.iter_errors(head)]
    if not found:
        try:
            validator.validate(payload)
        except jsonschema_rs.ValidationError as error:
            found.append(_violation(error))
    return found[:_MAX_VIOLATIONS]


def mended(protocol: str, action: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The payload with what careless encoders do put right (field quirks 24 to 28): numbers for strings and the
    reverse, one object where an array is due, a plural for a singular name. Values out of range are kept."""
    schema = _schema(protocol, action, False)
    result = _mend(payload, schema, schema.get("definitions", {}))
    assert isinstance(result, dict)
    return result


def _violation(error: jsonschema_rs.ValidationError) -> Violation:
    where = ".".join(str(part) for part in error.instance_path) or "payload"
    return Violation(error.kind.name, where, f"{where}: {error.message}"[:255])


def _head(value: Any, names: frozenset[str]) -> Any:
    """The payload with the first items of its long lists; of its wide objects the fields that the schema names, and as
    many others."""
    if isinstance(value, list):
        return [_head(item, names) for item in value[:_MOST_ITEMS]]
    if not isinstance(value, dict):
        return value
    odd = islice((name for name in value if name not in names), _MOST_ITEMS)
    kept = {name for name in names if name in value}.union(odd)
    return {name: _head(item, names) for name, item in value.items() if name in kept}


@cache
def _names(protocol: str, action: str, is_response: bool) -> frozenset[str]:
    """Of all fields anywhere in a schema."""
    return frozenset(_field_names(_schema(protocol, action, is_response)))


def _field_names(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from part.get("properties", {})
        for inner in part.values():
            yield from _field_names(inner)


@cache
def _validator(protocol: str, action: str, is_response: bool) -> Any:
    return jsonschema_rs.validator_for(_schema(protocol, action, is_response))


@cache
def _schema(protocol: str, action: str, is_response: bool) -> dict[str, Any]:
    folder, suffix = _FOLDERS[protocol]
    name = action + ("Response" if is_response else "" if action == _WITHOUT_ANSWER else suffix)
    schema: dict[str, Any] = json.loads((_schema_folder(folder) / f"{name}.json").read_text("utf-8-sig"))
    return schema


def _schema_folder(version: str) -> Any:
    return resources.files("ocpp") / version / "schemas"


def _mend(value: Any, schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    kind = schema.get("type")
    if kind == "array":
        items = value if isinstance(value, list) else [] if value is None else [value]
        return [_mend(item, schema.get("items", {}), definitions) for item in items]
    if kind == "object" and isinstance(value, dict):
        return _mend_object(value, schema, definitions)
    return _mend_scalar(value, kind)


def _mend_object(value: dict[str, Any], schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    renamed = {}
    for key, item in value.items():
        if key not in properties:
            for other in (key.removesuffix("s"), key + "s"):
                if other in properties and other not in value:
                    key = other
                    break
        if item is not None:  # null says the same as absence
            renamed[key] = _mend(item, properties.get(key, {}), definitions)
    return renamed


def _mend_scalar(value: Any, kind: Any) -> Any:
    if kind == "string" and isinstance(value, int | float):
        return json.dumps(value) if isinstance(value, bool) else f"{value}"
    if kind == "integer" and isinstance(value, str | float) and not isinstance(value, bool):
        return _integer(value)
    if kind == "number" and isinstance(value, str):
        return _float(value)
    if kind == "boolean" and isinstance(value, str | int):
        return {"true": True, "1": True, "false": False, "0": False}.get(str(value).strip().lower(), value)
    return value


def _integer(value: str | float) -> Any:
    number = _float(value)
    if isinstance(number, float) and abs(number) < 1e15:
        return round(number)
    return value


def _float(value: str | float) -> Any:
    try:
        return float(value)
    except ValueError:
        return value
