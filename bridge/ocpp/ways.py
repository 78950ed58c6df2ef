"""How a station is treated, by its policy: the one lookup, and the version of OCPP as that station means it.

A station whose policy is the default is read by the version itself, so that nobody pays for the ways of others; any
other gets a copy of the version whose actions put right what its policy names. Looked up when it connects, boots, or a
person has changed the directory, never per message.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Protocol

import msgspec
import structlog
from msgspec.structs import replace

from bridge.access import Decision, Directory, StationEntry, normalise_token
from bridge.book import Book
from bridge.events import AnyEvent, MeterSampled, TokenPresented, TransactionEnded, TransactionStarted
from bridge.intake import Intake
from bridge.measurands import DEFAULT_NAME
from bridge.ocpp import v201
from bridge.ocpp.blocks.readings import number
from bridge.ocpp.traits import Watch
from bridge.ocpp.versions import Action, Context, Version
from bridge.policies import DEFAULT, Policy, Quirks, zone_of
from bridge.session import Session

_log = structlog.get_logger("ocpp")
_NOBODY = StationEntry(id="")
_REGISTER = "energy_import_wh"
_SESSION_COUNT = "session_energy_wh"
_WH_PER_KWH = 1000


class Learner(Protocol):
    """A conversation that is told when a person's word on its station may have changed."""

    def learn_anew(self) -> None: ...


class Ways:
    """``policy_of`` is for the door, the conversation and the errands alike."""

    def __init__(self, intake: Intake, quirks: Quirks) -> None:
        self._intake = intake
        self._quirks = quirks
        self._directory = intake.directory
        self.watches: defaultdict[str, Watch] = defaultdict(Watch)  # outlive a connection: some open one per message

    def policy_of(self, station: str) -> Policy:
        """A person's word about it, else what is known of its model by its last boot, else the default."""
        known = self._intake.book.stations.get(station)
        told = ("", "", "") if known is None else (known.vendor, known.model, known.firmware)
        return self._quirks.policy_of(self._entry(station).policy, *told)

    def spread(self, talks: Iterable[Learner | None]) -> None:
        """A person has changed the directory: those who are connected are treated anew where it is about them."""
        if self._intake.directory is not self._directory:
            self._directory = self._intake.directory
            for talk in talks:
                if talk is not None:
                    talk.learn_anew()

    def word_on(self, station: str) -> tuple[Mapping[str, Any], str]:
        """What a person can change while the station is connected: its own policy and its site's zone."""
        entry = self._entry(station)
        return entry.policy, entry.time_zone

    def spoken(self, station: str, version: Version, policy: Policy) -> Version:
        """The version as this station means it; the version itself where its policy is the default."""
        if policy == DEFAULT:
            return version
        zone = self._zone(station, policy)
        return Correction(policy, zone, self._intake.book, lambda: self._intake.directory).version(version)

    def _zone(self, station: str, policy: Policy) -> tzinfo:
        """A site whose zone nobody knows must not cost its stations their connection."""
        name = policy.time_zone or self._entry(station).time_zone
        try:
            return zone_of(name) if name else UTC
        except ValueError as error:
            _log.warning("a station's clock is read as UTC", station=station, error=str(error))
            return UTC

    def _entry(self, station: str) -> StationEntry:
        return self._intake.directory.stations.get(station, _NOBODY)


class Correction:
    """Puts right what one station says, on its payloads where the words count and on the events where sessions do."""

    def __init__(self, policy: Policy, zone: tzinfo, book: Book, directory: Callable[[], Directory]) -> None:
        self._policy = policy
        self._zone = zone
        self._book = book
        self._directory = directory
        self._units = {
            "Energy.": {"wh": "Wh", "kwh": "kWh"}.get(policy.energy_unit, ""),
            "Power.": {"w": "W", "kw": "kW"}.get(policy.power_unit, ""),
        }

    def version(self, version: Version) -> Version:
        actions = {name: self._action(action) for name, action in version.actions.items()}
        fallback = None if version.fallback is None else self.version(version.fallback)
        return version._replace(actions=actions, fallback=fallback)

    def _action(self, action: Action) -> Action:
        new = copy.copy(action)
        plain_events, plain_reply = action.events, action.reply

        def events(request: Any, context: Context) -> list[AnyEvent]:
            context = self._context(context)
            return self._events(plain_events(self._request(request, context), context))

        def reply(request: Any, events: tuple[AnyEvent, ...], context: Context) -> Mapping[str, Any]:
            assert plain_reply is not None
            return plain_reply(request, events, self._context(context))

        new.events = events
        new.reply = None if plain_reply is None else reply
        return new

    def _context(self, context: Context) -> Context:
        if not self._policy.id_tag_bytes:
            return context

        def decide(token: str, now: datetime) -> Decision:
            return context.decide(self._card(token), now)

        return context._replace(decide=decide)

    # payloads

    def _request(self, request: Any, context: Context) -> Any:
        if not isinstance(request, msgspec.Struct):
            return request
        changes: dict[str, Any] = {}
        for name in ("meter_value", "transaction_data"):
            if instants := getattr(request, name, None):
                changes[name] = [self._instant(instant, context) for instant in instants]
        if self._policy.edge_unit == "kwh":
            for name in ("meter_start", "meter_stop"):
                said = getattr(request, name, None)
                if (found := number(said)) is not None:
                    changes[name] = found * _WH_PER_KWH
        if self._policy.clock == "local":
            changes |= self._times(request, context.received_at)
        return replace(request, **changes) if changes else request

    def _times(self, request: Any, received_at: datetime) -> dict[str, Any]:
        """The message's own time, and those of the events in a NotifyEvent."""
        changes: dict[str, Any] = {}
        for name in ("timestamp", "generated_at"):
            if said := getattr(request, name, ""):
                changes[name] = self._in_utc(said, received_at)
        if notified := getattr(request, "event_data", None):
            changes["event_data"] = [
                replace(one, timestamp=self._in_utc(one.timestamp, received_at)) if one.timestamp else one
                for one in notified
            ]
        return changes

    def _instant(self, instant: Any, context: Context) -> Any:
        samples = [self._sample(sample) for sample in instant.sampled_value]
        if self._policy.phase_total == "sum":
            by_phase = {sample.measurand for sample in samples if sample.phase}
            samples = [s for s in samples if s.phase or s.measurand not in by_phase or not _may_be_summed(s)]
        changes: dict[str, Any] = {"sampled_value": samples}
        if self._policy.clock == "local" and instant.timestamp:
            changes["timestamp"] = self._in_utc(instant.timestamp, context.received_at)
        return replace(instant, **changes)

    def _sample(self, sample: Any) -> Any:
        is_first = sample.phase in ("L1", "L1-N")
        if self._policy.phase_total == "l1_is_total" and is_first and _may_be_summed(sample):
            sample = replace(sample, phase="")
        name = sample.measurand or DEFAULT_NAME
        for start, unit in self._units.items():
            if unit and name.startswith(start) and not name.endswith("Factor"):
                return _with_unit(sample, unit.replace("W", "var") if ".Reactive." in name else unit)
        return sample

    def _in_utc(self, said: str, received_at: datetime) -> str:
        """A time that names its offset is believed. Of an hour that comes twice the nearer one is meant."""
        try:
            at = datetime.fromisoformat(said.strip())
            if at.utcoffset():
                return said
            both = [at.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
        except (ValueError, OverflowError):  # no time, or none that could be told in UTC
            return said
        return min(both, key=lambda found: abs(found - received_at)).isoformat()

    # events

    def _events(self, events: list[AnyEvent]) -> list[AnyEvent]:
        if self._policy.id_tag_bytes:
            events = [self._with_card(event) for event in events]
        if self._policy.meter_start == "first_reading":
            events = [self._without_edges(event) for event in events]
        if self._policy.register == "session":
            starts = {e.transaction_id: e.meter_start_wh for e in events if isinstance(e, TransactionStarted)}
            events = [self._with_lifetime(event, starts) for event in events]
        return events

    def _with_card(self, event: AnyEvent) -> AnyEvent:
        if isinstance(event, TokenPresented | TransactionStarted | TransactionEnded) and event.token:
            return replace(event, token=self._card(event.token))
        return event

    def _card(self, token: str) -> str:
        """The one known card that begins as this one does, as far as its reader reads."""
        known, digits = self._directory().tokens, 2 * self._policy.id_tag_bytes
        said = normalise_token(token)
        if said in known or len(said) < digits:
            return token
        found = [card for card in known if card[:digits] == said[:digits]]
        return found[0] if len(found) == 1 else token

    def _without_edges(self, event: AnyEvent) -> AnyEvent:
        if isinstance(event, TransactionStarted):
            return replace(event, meter_start_wh=None)
        if isinstance(event, TransactionEnded) and event.meter_stop_wh is not None:
            session = self._book.find_session(event.station, event.transaction_id)
            first_wh = None if session is None else session.meter_start_wh
            if first_wh is not None and event.meter_stop_wh < first_wh:
                return replace(event, meter_stop_wh=None)
        return event

    def _with_lifetime(self, event: AnyEvent, starts: Mapping[str, int | None]) -> AnyEvent:
        """What counts from the session's start is lifted by the register at that start. Without a start it is a
        session's own count; the registers of phases say nothing that could be kept."""
        if isinstance(event, MeterSampled) and _REGISTER in event.values:
            values = {name: value for name, value in event.values.items() if not name.startswith(_REGISTER)}
            session = self._book.session_for(event)
            start_wh = starts.get(event.transaction_id) if session is None else session.meter_start_wh
            if start_wh is None:
                values[_SESSION_COUNT] = event.values[_REGISTER]
            else:
                values[_REGISTER] = _lifted(event.values[_REGISTER], start_wh, session)
            return replace(event, values=values)
        if isinstance(event, TransactionEnded) and event.meter_stop_wh is not None:
            session = self._book.find_session(event.station, event.transaction_id)
            if session is not None and session.meter_start_wh is not None:
                stop_wh = _lifted(event.meter_stop_wh, session.meter_start_wh, session)
                return replace(event, meter_stop_wh=round(stop_wh))
        return event


def _lifted(said: float, start_wh: int, session: Session | None) -> float:
    """Of the count since the start and the lifetime, whichever it is by what was last read."""
    last_wh = session.meter_last_wh if session is not None and session.meter_last_wh is not None else start_wh
    return min(said + start_wh, said, key=lambda register: abs(register - last_wh))


def _may_be_summed(sample: Any) -> bool:
    name = sample.measurand or DEFAULT_NAME
    return bool(name.startswith(("Energy.Active.", "Power.Active.")))


def _with_unit(sample: Any, unit: str) -> Any:
    """2.x says the unit beside a power of ten, which stays."""
    if not hasattr(sample, "unit_of_measure"):
        return replace(sample, unit=unit)
    said = sample.unit_of_measure or v201.UnitOfMeasure()
    return replace(sample, unit_of_measure=replace(said, unit=unit))
