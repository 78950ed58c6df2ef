"""The terms of composed commands: what a parameter is, what a command is, and how what was given is read.

Pure. Screens build their forms from these, the REST interface its list.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from bridge.access import TokenEntry
from bridge.events import utc_now

V16, V201, V21 = "ocpp1.6", "ocpp2.0.1", "ocpp2.1"
ALL_VERSIONS = (V16, V201, V21)
OPERATOR, ADMIN = "operator", "admin"

Said = tuple[str, dict[str, Any]]  # an OCPP action and its payload


class CannotCompose(ValueError):
    """A composed command lacks a parameter or cannot be said in that version; the message says which, ``path`` names
    the parameter where it is one."""

    def __init__(self, message: str, path: str = "payload") -> None:
        super().__init__(message)
        self.path = path


class Kind(StrEnum):
    """What a parameter holds. TIME is RFC 3339 with an offset; an INTEGER or NUMBER may come as text."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    TIME = "time"
    JSON = "json"


class Parameter(NamedTuple):
    """One field of a form. ``label`` and ``help`` are for people; ``is_secret``: never shown again once sent."""

    name: str
    label: str
    kind: Kind = Kind.TEXT
    choices: tuple[str, ...] = ()
    default: Any = None
    required: bool = False
    help: str = ""
    is_secret: bool = False


class Target(NamedTuple):
    """For whom it is said: the station's protocol, what time it is, and the drivers' tokens by normalised token."""

    protocol: str
    now: datetime
    tokens: Mapping[str, TokenEntry]

    @property
    def is_16(self) -> bool:
        return self.protocol == V16

    def needs_2x(self, name: str, why: str) -> None:
        """Raises CannotCompose on 1.6."""
        if self.is_16:
            raise CannotCompose(f"{name} cannot be said in OCPP 1.6: {why}", "action")


class Given(dict[str, Any]):
    """What was given, read by kind, defaults filled in; a parameter that was left out is None."""

    def need(self, name: str, why: str = "") -> Any:
        """Raises CannotCompose for what is needed only in some cases and was left out."""
        value = self[name]
        if value is None:
            raise CannotCompose(f"'{name}' is needed{' ' + why if why else ''}", name)
        return value

    def some(self, **names: str) -> dict[str, Any]:
        """``{field of the payload: value}`` of the parameters that were given; ``field="parameter"``."""
        return {field: self[name] for field, name in names.items() if self[name] is not None}


class Composed(NamedTuple):
    """A command of ours. ``title`` is a button's text, ``consequence`` one sentence on what follows, ``role`` the
    least role that may give it, ``say`` the words of a version."""

    name: str
    title: str
    consequence: str
    parameters: tuple[Parameter, ...]
    say: Callable[[Target, Given], Said]
    role: str = OPERATOR
    versions: tuple[str, ...] = ALL_VERSIONS


def new_id() -> int:
    """A random positive number that fits every charger's integer."""
    return secrets.randbelow(2**31 - 1) + 1


def utc_text(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds, as chargers' small parsers like it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def times(given: Given, **names: str) -> dict[str, str]:
    """Like ``Given.some`` for times."""
    return {field: utc_text(value) for field, value in given.some(**names).items()}


def new_target(protocol: str, tokens: Mapping[str, TokenEntry], now: datetime | None) -> Target:
    return Target(protocol, now or utc_now(), tokens)


def read(command: Composed, params: Mapping[str, Any]) -> Given:
    """What was given for a command, by kind. Raises CannotCompose."""
    known = {parameter.name for parameter in command.parameters}
    unknown = sorted(set(params) - known)
    if unknown:
        listed = ", ".join(sorted(known)) or "none"
        raise CannotCompose(f"{command.name} has no parameter '{unknown[0][:64]}'; it has {listed}", unknown[0][:64])
    return Given({parameter.name: _read(command.name, parameter, params) for parameter in command.parameters})


def _read(command: str, parameter: Parameter, params: Mapping[str, Any]) -> Any:
    value = params.get(parameter.name)
    if value is None or (isinstance(value, str) and not value.strip()):
        if parameter.required:
            raise CannotCompose(f"{command} needs '{parameter.name}'", parameter.name)
        return parameter.default
    try:
        return _READERS[parameter.kind](parameter, value)
    except (TypeError, ValueError, OverflowError) as error:
        raise CannotCompose(f"{command}: '{parameter.name}' {error}", parameter.name) from error


def _text(parameter: Parameter, value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("is a text")
    return str(value).strip()


def _integer(parameter: Parameter, value: Any) -> int:
    number = _number(parameter, value)
    if not number.is_integer() or abs(number) >= 2**31:
        raise ValueError("is a whole number of at most 32 bits")
    return int(number)


def _number(parameter: Parameter, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("is a number")
    try:
        number = float(value)
    except (ValueError, OverflowError) as error:
        raise ValueError("is a number") from error
    if not math.isfinite(number):
        raise ValueError("is a number")
    return number


def _boolean(parameter: Parameter, value: Any) -> bool:
    found = value if isinstance(value, bool) else _WORDS.get(str(value).strip().lower())
    if found is None:
        raise ValueError("is true or false")
    return found


_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _choice(parameter: Parameter, value: Any) -> str:
    by_fold = {choice.casefold(): choice for choice in parameter.choices}
    found = by_fold.get(str(value).strip().casefold())
    if found is None:
        raise ValueError(f"is one of {', '.join(parameter.choices)}, not '{str(value)[:64]}'")
    return found


def _time(parameter: Parameter, value: Any) -> datetime:
    if isinstance(value, datetime):
        moment = value
    else:
        try:
            moment = msgspec.convert(value, datetime)
        except msgspec.ValidationError as error:
            raise ValueError("is a time as in 2027-01-31T08:00:00Z") from error
    if moment.tzinfo is None:
        raise ValueError("needs its offset, as in 2027-01-31T08:00:00Z")
    return moment


def _json(parameter: Parameter, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise ValueError(f"is no JSON: {error}") from error


_READERS: Mapping[Kind, Callable[[Parameter, Any], Any]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.CHOICE: _choice,
    Kind.TIME: _time,
    Kind.JSON: _json,
}
