"""From what a message holds to what it means: one function per field of a mapping, made once. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge import measurands
from bridge.events import ConnectorStatus
from bridge.mqtt import payload as payloads
from bridge.mqtt.format import Field, Kind, Scalar, Source
from bridge.mqtt.payload import MISSING
from bridge.mqtt.topics import captures_of

_BOOLEAN_KINDS = frozenset({Kind.CONNECTED, Kind.CHARGING, Kind.ALLOWED, Kind.AVAILABILITY})
_INFO_NAMES = ("firmware", "model", "serial", "text")
_SESSION_EVENTS = ("start", "end")
_OPEN_TABLES = frozenset({Kind.IDTAG, Kind.INFO})  # their tables name exceptions, all others are complete


def converter(field: Field, source: Source) -> Callable[[Any], Any]:
    """``found -> value`` for one field: ``MISSING`` when it says nothing, ``None`` when it takes its value back.
    Raises ValueError when the field cannot be meant so."""
    odd_bit = next((bit for bit in field.bits if not bit.isdecimal() or int(bit) > 63), None)
    if odd_bit is not None:
        raise ValueError(f"bits: '{odd_bit}' is no bit; they are numbered from 0 to 63")
    ignored = {payloads.as_text(value) for value in (*source.ignore, *field.ignore)}
    mean = _MEANINGS.get(field.kind, _text)(field)
    table = {key: _checked(field, value) for key, value in {**field.values, **field.bits}.items()}
    default = MISSING if field.default is None else _checked(field, field.default)
    if not ignored and not table and default is MISSING:
        return lambda value: None if value is None else mean(value)  # most numbers, and there are many

    def convert(value: Any) -> Any:
        text = payloads.as_text(value)
        if text in ignored:
            return MISSING
        if field.bits:
            return _first_bit(value, table, default)
        if text in table:
            return table[text]
        if default is not MISSING:
            return default
        if table and field.kind not in _OPEN_TABLES:
            return MISSING
        return None if value is None else mean(value)

    return convert


def _first_bit(value: Any, table: dict[str, Any], default: Any) -> Any:
    number = payloads.as_number(value)
    if number is None or number < 0 or not number.is_integer():
        return MISSING
    return next((meaning for bit, meaning in table.items() if int(number) >> int(bit) & 1), default)


def _checked(field: Field, value: Scalar) -> Any:
    """A value of an enum must be what the kind can say."""
    kind = field.kind
    if kind is Kind.STATUS:
        if value not in list(ConnectorStatus):
            raise ValueError(f"values: '{value}' is no status; use one of {', '.join(ConnectorStatus)}")
        return ConnectorStatus(str(value))
    if kind in _BOOLEAN_KINDS and not isinstance(value, bool):
        raise ValueError(f"values: '{value}' must be true or false for kind {kind}")
    if kind is Kind.SESSION_EVENT and value not in _SESSION_EVENTS:
        raise ValueError(f"values: '{value}' must be one of {', '.join(_SESSION_EVENTS)}")
    if kind is Kind.MEASURE:
        return _number(field)(value)
    return value


def _number(field: Field) -> Callable[[Any], Any]:
    if not field.measurand:
        raise ValueError("a measure needs a measurand (or another kind)")
    phase = "L1" if captures_of(field.phase) else field.phase
    column = measurands.resolve(field.measurand, field.unit, phase)
    if column is None:
        raise ValueError(f"there is no measurand '{field.measurand}' with phase '{field.phase}'; see measurands.py")
    low, high = field.range or (float("-inf"), float("inf"))

    def number(value: Any) -> Any:
        raw = payloads.as_number(value)
        if raw is None:
            return MISSING
        scaled = raw * field.scale + field.offset
        return scaled * column.factor + column.offset if low <= scaled <= high else MISSING

    return number


def _boolean(field: Field) -> Callable[[Any], Any]:
    def boolean(value: Any) -> Any:
        said = payloads.as_bool(value)
        return MISSING if said is None else said

    return boolean


def _text(field: Field) -> Callable[[Any], Any]:
    return payloads.as_text


def _info(field: Field) -> Callable[[Any], Any]:
    if field.name not in _INFO_NAMES:
        raise ValueError(f"name: '{field.name}' must be one of {', '.join(_INFO_NAMES)} for kind info")
    return payloads.as_text


def _enum_only(field: Field) -> Callable[[Any], Any]:
    if not field.values and not field.bits:
        raise ValueError(f"kind {field.kind} needs a table of values")
    return lambda value: MISSING


_MEANINGS: dict[Kind, Callable[[Field], Callable[[Any], Any]]] = {
    Kind.MEASURE: _number,
    Kind.STATUS: _enum_only,
    Kind.ERROR: _enum_only,
    Kind.SESSION_EVENT: _enum_only,
    Kind.CONNECTED: _boolean,
    Kind.CHARGING: _boolean,
    Kind.ALLOWED: _boolean,
    Kind.AVAILABILITY: _boolean,
    Kind.IDTAG: _text,
    Kind.INFO: _info,
}
