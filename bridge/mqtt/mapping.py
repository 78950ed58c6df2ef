"""A vendor's way of speaking MQTT as one TOML file; the folder is the registry, the file name the vendor's key.

``load_mapping`` reads and checks a file, ``Mapping.read`` turns one message into readings. Pure but for reading
the files. The format is described in docs/mqtt.md; an unknown key, a wrong value or a measurand that does not
exist is a MappingError that names the file, the key and what to do.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from bridge import measurands
from bridge.mqtt import payload as payloads
from bridge.mqtt.format import Example, Field, Kind, Map, MappingError, Publish, Reading, SessionRules, Source, Strict
from bridge.mqtt.meaning import converter
from bridge.mqtt.payload import MISSING
from bridge.mqtt.topics import TopicTrie, captures_of, fill, filters_of
from bridge.settings import Chargers

VENDORS = Path(__file__).parent / "vendors"
_CACHED_TOPICS = 20_000
_MAX_EVSE = 9999


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
            converter(field, self.source),
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


_TABLES = {"source", "map", "publish", "session", "example"}
S = TypeVar("S", bound=Strict)


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
