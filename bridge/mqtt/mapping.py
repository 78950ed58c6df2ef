"""A vendor's way of speaking MQTT as one TOML file; the folder is the registry, the file name the vendor's key.

``load_mapping`` reads and checks a file, ``Mapping.read`` turns one message into readings. Pure but for reading
the files. The format is described in docs/mqtt.md; an unknown key, a wrong value or a measurand that does not
exist is a MappingError that names the file, the key and what to do.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec

from bridge import measurands
from bridge.events import ConnectorStatus
from bridge.mqtt import payload as payloads
from bridge.mqtt.payload import MISSING
from bridge.mqtt.topics import TopicTrie, captures_of, fill, filters_of
from bridge.settings import Chargers

VENDORS = Path(__file__).parent / "vendors"
_CACHED_TOPICS = 20_000
_MAX_EVSE = 9999


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


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


_Scalar = str | int | float | bool


class Source(_Strict, frozen=True, kw_only=True):
    label: str
    base: list[str]
    maker: str = ""
    decode: Literal["auto", "json", "text", "split", "raw"] = "auto"
    device: str = "1"
    connector: str | int = 1
    empty: Literal["clear", "ignore"] = "clear"
    time: str = ""
    ignore: list[_Scalar] = []
    silent_s: Annotated[float, msgspec.Meta(ge=0)] = 300.0  # 0: only its last will says that it is gone


class Field(_Strict, frozen=True, kw_only=True):
    kind: Kind = Kind.MEASURE
    path: str = ""
    measurand: str = ""
    unit: str = ""
    phase: str = ""
    scale: float = 1.0
    offset: float = 0.0
    range: tuple[float, float] | None = None
    values: dict[str, _Scalar] = {}
    bits: dict[str, _Scalar] = {}
    default: _Scalar | None = None
    ignore: list[_Scalar] = []
    name: str = ""
    format: str = ""
    time: str = ""
    connector: str | int | None = None


class Map(Field, frozen=True, kw_only=True, forbid_unknown_fields=True):
    topic: str
    decode: Literal["", "auto", "json", "text", "split", "raw"] = ""
    fields: list[Field] = []


class Publish(_Strict, frozen=True, kw_only=True):
    """A keep-alive: once after each connection, or every ``every`` seconds."""

    topic: str
    payload: str = ""
    on: Literal["", "connect"] = ""
    every: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class SessionRules(_Strict, frozen=True, kw_only=True):
    """``hold_s``: an "off" must last this long to end a session. ``settle_s``: how long retained state may take
    to arrive before a session found under way is opened."""

    mode: SessionMode = SessionMode.STATUS
    hold_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 5.0
    settle_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 2.0


class Example(_Strict, frozen=True, kw_only=True):
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


class _Bound(NamedTuple):
    """A rule where it applies: to one device and connector."""

    device: str
    evse: int
    name: str
    format: str
    rule: _Rule


class _Rule(NamedTuple):
    kind: Kind
    decode: Callable[[bytes], Any]
    path: payloads.Path
    time_path: payloads.Path
    convert: Callable[[Any], Any]
    connector: str
    field: Field


class Mapping:
    """A checked mapping. ``filters`` are the MQTT subscriptions it needs."""

    def __init__(
        self,
        vendor: str,
        source: Source,
        maps: list[Map],
        publish: list[Publish],
        session: SessionRules,
        examples: list[Example],
    ) -> None:
        self.vendor = vendor
        self.source = source
        self.publish = publish
        self.session = session
        self.examples = examples
        self.kinds: set[Kind] = set()
        self._trie: TopicTrie[_Rule] = TopicTrie()
        self._bound: dict[str, list[_Bound]] = {}
        filters: dict[str, None] = {}
        for number, entry in enumerate(maps, 1):
            try:
                self._add(entry, filters)
            except ValueError as error:
                raise MappingError(f"map {number} (topic '{entry.topic}'): {error}") from error
        self.filters = tuple(filters)

    def wants(self, topic: str) -> bool:
        """Does any rule read this topic?"""
        return bool(self._rules(topic))

    def device(self, topic: str) -> str:
        """Whose topic this is; empty when no rule reads it."""
        rules = self._rules(topic)
        return rules[0].device if rules else ""

    def read(self, topic: str, payload: bytes, retained: bool, received_at: datetime) -> list[Reading]:
        """What a message says; empty when nothing. Raises PayloadError where it cannot be decoded."""
        rules = self._rules(topic)
        if rules and not payload:
            return [] if self.source.empty == "ignore" else [_cleared(one, retained, received_at) for one in rules]
        readings: list[Reading] = []
        documents: dict[Callable[[bytes], Any], Any] = {}
        for device, evse, name, form, rule in rules:
            if rule.decode not in documents:
                documents[rule.decode] = rule.decode(payload)
            document = documents[rule.decode]
            found = payloads.dig(document, rule.path)
            value = MISSING if found is MISSING else rule.convert(found)
            if value is MISSING:
                continue
            if rule.kind is Kind.SESSION_EVENT:
                name, value = value, _reference(document, rule)
            elif form and value:
                value = form.replace("{value}", value)
            at = payloads.as_time(payloads.dig(document, rule.time_path)) if rule.time_path else None
            readings.append(
                Reading(
                    device=device,
                    evse=evse,
                    kind=rule.kind,
                    name=name,
                    value=value,
                    at=at,
                    received_at=received_at,
                    retained=retained,
                )
            )
        return readings

    def _rules(self, topic: str) -> list[_Bound]:
        found = self._bound.get(topic)
        if found is None:
            if len(self._bound) >= _CACHED_TOPICS:
                self._bound.clear()  # somebody invents topics; the rest is looked up again
            found = self._bound[topic] = self._bind(topic)
        return found

    def _bind(self, topic: str) -> list[_Bound]:
        bound = []
        for rule, captures in self._trie.find(topic):
            device = captures.get("device", self.source.device)
            name = rule.field.name
            if rule.kind is Kind.MEASURE:
                phase = fill(rule.field.phase, captures).upper()
                column = measurands.resolve(rule.field.measurand, rule.field.unit, phase)
                if column is None:
                    continue  # a phase nobody has heard of
                name = column.field
            form = fill(rule.field.format, captures | {"device": device})
            bound.append(_Bound(device, _evse(fill(rule.connector, captures)), name, form, rule))
        return bound

    def _add(self, entry: Map, filters: dict[str, None]) -> None:
        decode = payloads.DECODERS[entry.decode or self.source.decode]
        for field in entry.fields or [entry]:
            rule = self._compile(field, decode, entry)
            self.kinds.add(rule.kind)
            for base in self.source.base:
                pattern = f"{base}/{entry.topic}" if base else entry.topic
                known = captures_of(pattern)
                _check_names(field, rule.connector, known)
                self._trie.add(pattern, rule)
                filters.update(dict.fromkeys(filters_of(pattern)))

    def _compile(self, field: Field, decode: Callable[[bytes], Any], entry: Map) -> _Rule:
        connector = next(c for c in (field.connector, entry.connector, self.source.connector) if c is not None)
        time = field.time or entry.time or self.source.time
        return _Rule(
            field.kind,
            decode,
            payloads.parse_path(field.path),
            payloads.parse_path(time),
            _converter(field, self.source),
            str(connector),
            field,
        )


def _cleared(one: _Bound, retained: bool, received_at: datetime) -> Reading:
    kind = one.rule.kind
    return Reading(
        device=one.device,
        evse=one.evse,
        kind=kind,
        name=one.name,
        value=None,
        received_at=received_at,
        retained=retained,
    )


def _reference(document: Any, rule: _Rule) -> str:
    """The charger's own id of the session, found at the path in ``name``."""
    found = payloads.dig(document, payloads.parse_path(rule.field.name)) if rule.field.name else MISSING
    return "" if found is MISSING else payloads.as_text(found)[:64]


def _evse(text: str) -> int:
    """A connector's number; a name counts by its digits at the end, else it is the only one."""
    digits = text[len(text.rstrip("0123456789")) :]
    number = int(digits[-5:]) if digits else 1
    return number if 0 < number <= _MAX_EVSE else 1


def _check_names(field: Field, connector: str, known: set[str]) -> None:
    for key, text in (("phase", field.phase), ("connector", connector), ("format", field.format)):
        unknown = captures_of(text) - known - {"value", "device"}
        if unknown:
            raise ValueError(f"{key} uses {{{unknown.pop()}}}, which the topic does not capture")


# from what was found to what it means

_BOOLEAN_KINDS = frozenset({Kind.CONNECTED, Kind.CHARGING, Kind.ALLOWED, Kind.AVAILABILITY})
_INFO_NAMES = ("firmware", "model", "serial", "text")
_SESSION_EVENTS = ("start", "end")
_OPEN_TABLES = frozenset({Kind.IDTAG, Kind.INFO})  # their tables name exceptions, all others are complete


def _converter(field: Field, source: Source) -> Callable[[Any], Any]:
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


def _checked(field: Field, value: _Scalar) -> Any:
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


# files

_TABLES = {"source", "map", "publish", "session", "example"}
S = TypeVar("S", bound=_Strict)


def parse_mapping(vendor: str, text: str) -> Mapping:
    """Compile a mapping from TOML text. Raises MappingError."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MappingError(f"not valid TOML: {error}") from error
    unknown = sorted(set(tables) - _TABLES)
    if unknown:
        raise MappingError(f"unknown table '{unknown[0]}'; known are {', '.join(sorted(_TABLES))}")
    if "source" not in tables or "map" not in tables:
        raise MappingError("a mapping needs a [source] table and at least one [[map]]")
    return Mapping(
        vendor,
        _convert(tables["source"], Source, "source"),
        _convert_all(tables["map"], Map, "map"),
        _convert_all(tables.get("publish", []), Publish, "publish"),
        _convert(tables.get("session", {}), SessionRules, "session"),
        _convert_all(tables.get("example", []), Example, "example"),
    )


def _convert(table: Any, kind: type[S], where: str) -> S:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        known = ", ".join(field.name for field in msgspec.structs.fields(kind))
        raise MappingError(f"[{where}] {error}; known keys are {known}") from error


def _convert_all(tables: Any, kind: type[S], where: str) -> list[S]:
    if not isinstance(tables, list):
        raise MappingError(f"'{where}' is written with double brackets: [[{where}]]")
    return [
        _convert(table, kind, f"{where} {number} ({table.get('topic', 'no topic')})")
        for number, table in enumerate(tables, 1)
    ]


def load_mapping(path: Path) -> Mapping:
    """Raises MappingError that names the file."""
    try:
        return parse_mapping(path.stem, path.read_text())
    except OSError as error:
        raise MappingError(f"{path}: cannot be read: {error.strerror}") from error
    except (MappingError, UnicodeDecodeError) as error:
        raise MappingError(f"{path}: {error}") from error


def available(folders: Iterable[Path]) -> dict[str, Path]:
    """Vendor to file; a later folder replaces an earlier one's vendor of the same name."""
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


def load_mappings(settings: Chargers) -> dict[str, Mapping]:
    """The mappings that the settings turn on. Raises MappingError."""
    folders = [VENDORS]
    if settings.mappings is not None:
        if not settings.mappings.is_dir():
            raise MappingError(f"chargers.mappings: {settings.mappings} is not a folder")
        folders.append(settings.mappings)
    files = available(folders)
    for vendor in settings.vendors:
        if vendor not in files:
            raise MappingError(f"chargers.vendors: no mapping '{vendor}'; there are {', '.join(sorted(files))}")
    return {vendor: load_mapping(files[vendor]) for vendor in settings.vendors}
