"""The words of a mapping file, and what a message turns into. Described for people in docs/mqtt.md."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec


class MappingError(Exception):
    """A mapping file cannot be used; the message names file and key and says what to do."""


class Kind(StrEnum):
    """What a reading says."""

    MEASURE = "measure"  # a number of ``measurands.FIELDS``
    STATUS = "status"  # a ConnectorStatus
    ERROR = "error"  # an OCPP 1.6 error code; NoError is none
    CONNECTED = "connected"  # is a car plugged in
    CHARGING = "charging"  # does energy flow
    ALLOWED = "allowed"  # does the charger offer energy
    IDTAG = "idtag"  # the driver's token; empty is none
    SESSION_EVENT = "session_event"  # start or end, where the charger has transactions of its own
    AVAILABILITY = "availability"  # online or offline, by the charger's last will
    INFO = "info"  # firmware, model, serial or text


class SessionMode(StrEnum):
    CONNECTED = "connected"  # a session is the time a car is plugged in, by a plug sensor
    STATUS = "status"  # the same, read from the status: Preparing to Finishing
    EVENTS = "events"  # the charger says when


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One fact out of a message. ``value`` is ``None`` where the charger took it back. ``at`` is the device's
    time, ``None`` when it gave none. ``name``: the field of a measure, which info, the session's own id."""

    device: str
    evse: int
    kind: Kind
    name: str = ""
    value: Any
    at: datetime | None = None
    received_at: datetime
    retained: bool = False


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


Scalar = str | int | float | bool


class Source(Strict, frozen=True, kw_only=True):
    label: str
    base: list[str]
    maker: str = ""
    decode: Literal["auto", "json", "text", "split", "raw"] = "auto"
    device: str = "1"
    connector: str | int = 1
    empty: Literal["clear", "ignore"] = "clear"
    time: str = ""
    ignore: list[Scalar] = []
    silent_s: Annotated[float, msgspec.Meta(ge=0)] = 300.0  # 0: only its last will says that it is gone


class Field(Strict, frozen=True, kw_only=True):
    kind: Kind = Kind.MEASURE
    path: str = ""
    measurand: str = ""
    unit: str = ""
    phase: str = ""
    scale: float = 1.0
    offset: float = 0.0
    range: tuple[float, float] | None = None
    values: dict[str, Scalar] = {}
    bits: dict[str, Scalar] = {}
    default: Scalar | None = None
    ignore: list[Scalar] = []
    name: str = ""
    format: str = ""
    time: str = ""
    connector: str | int | None = None


class Map(Field, frozen=True, kw_only=True, forbid_unknown_fields=True):
    topic: str
    decode: Literal["", "auto", "json", "text", "split", "raw"] = ""
    fields: list[Field] = []


class Publish(Strict, frozen=True, kw_only=True):
    """A keep-alive: once after each connection, or every ``every`` seconds."""

    topic: str
    payload: str = ""
    on: Literal["", "connect"] = ""
    every: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class SessionRules(Strict, frozen=True, kw_only=True):
    """``hold_s``: an "off" must last this long to end a session. ``settle_s``: how long retained state may take
    to arrive before a session found under way is opened."""

    mode: SessionMode = SessionMode.STATUS
    hold_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 5.0
    settle_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 2.0


class Example(Strict, frozen=True, kw_only=True):
    """A message and what it must mean; every one is run by the tests. ``expect``: field, kind or info to value,
    "cleared" for a value taken back; empty when the message means nothing. ``refused``: not decodable."""

    topic: str
    payload: str
    retained: bool = False
    device: str = "1"
    evse: int = 1
    at: str = ""
    expect: dict[str, Any] = {}
    refused: bool = False
