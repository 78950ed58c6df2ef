"""Readings into events: statuses, samples, and sessions for chargers that know no transactions.

Theory. A session is the time a car is plugged in. It opens at the first "on" and closes when an "off" has
lasted ``hold_s``; its end is that first "off". An "on" that follows a known "off" and came live has a known start.
Any other (retained state, a first word, after a restart) was under way already: it is opened when the retained
state has settled, with ``start_unknown``.

Retained state is old until proven new: it sets states and levels, its samples are marked ``offline``, flows
(power, current) are not believed at all, it makes no station connected, and an "off" found in it ended the
session when we last heard live from the EVSE.

A vendor with one topic per quantity fills one row per second: samples received within ``BURST`` of the first
share its time and each carries all values of the burst, so that the upsert on (EVSE, time) leaves one wide row.

No I/O, no clock: ``received_at`` and ``now`` come with the call. State that must survive a restart is in the book.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bridge.book import Book
from bridge.events import (
    AnyEvent,
    ConnectorStatus,
    MeterSampled,
    StationBooted,
    StationConnected,
    StationDisconnected,
    StatusChanged,
    TokenPresented,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
)
from bridge.measurands import FLOW_FIELDS
from bridge.mqtt.mapping import Kind, Mapping, Reading, SessionMode

BURST = timedelta(seconds=1)
REGISTER = "energy_import_wh"
COUNTER = "session_energy_wh"
_LEVELS = (REGISTER, COUNTER, "soc_percent")

_ON = frozenset(
    {
        ConnectorStatus.PREPARING,
        ConnectorStatus.CHARGING,
        ConnectorStatus.SUSPENDED_EV,
        ConnectorStatus.SUSPENDED_EVSE,
        ConnectorStatus.FINISHING,
    }
)


@dataclass
class _Burst:
    at: datetime
    retained: bool
    values: dict[str, float]


@dataclass
class _Open:
    """The session now open; ``off_*`` while an "off" waits to be believed."""

    transaction_id: str
    started_at: datetime
    token: str = ""
    off_at: datetime | None = None
    off_seen_at: datetime | None = None
    off_is_stale: bool = False


@dataclass
class _Evse:
    number: int
    said: dict[Kind, Any] = field(default_factory=dict)  # newest value of each kind
    text: str = ""
    shown: tuple[Any, ...] = ()  # the status as last sent
    is_on: bool | None = None
    has_charged: bool = False
    register_wh: float | None = None
    counter_wh: float | None = None
    soc_percent: float | None = None
    live_at: datetime | None = None  # device time of the newest live reading
    open: _Open | None = None
    found_at: datetime | None = None  # a session found under way waits here for its state to settle
    burst: _Burst | None = None


class Tracker:
    """One station. ``take`` readings of one message, ``tick`` about once a second; both return events."""

    def __init__(self, station: str, mapping: Mapping, address: str) -> None:
        self.station = station
        self._rules = mapping.session
        self._source = mapping.source
        self._has_will = Kind.AVAILABILITY in mapping.kinds
        self._protocol = f"mqtt/{mapping.vendor}"
        self._address = address
        self._evses: dict[int, _Evse] = {}
        self._info: dict[str, str] = {}
        self._shown_info: dict[str, str] = {}
        self._is_online: bool | None = None  # what the last will says
        self._is_connected = False
        self._live_at: datetime | None = None

    @classmethod
    def restored(cls, station: str, mapping: Mapping, address: str, book: Book) -> Tracker:
        """With what the book knows of the station, so that a session goes on where it was."""
        tracker = cls(station, mapping, address)
        known = book.stations.get(station)
        if known is not None:
            tracker._is_connected = known.is_connected
            tracker._live_at = known.last_seen_at
            told = ("vendor", "firmware", "model", "serial")
            info = {name: str(getattr(known, name)) for name in told}
            tracker._info = {name: text for name, text in info.items() if text}
            tracker._shown_info = dict(tracker._info) if known.vendor else {}
        for (owner, number, _), connector in book.connectors.items():
            if owner == station:
                tracker._restore(number, connector.status, connector.register_wh, book)
        return tracker

    def _restore(self, number: int, status: ConnectorStatus | None, register_wh: int | None, book: Book) -> None:
        evse = self._evse(number)
        evse.register_wh = register_wh
        if status is not None:
            evse.is_on = True if status in _ON else False if status is ConnectorStatus.AVAILABLE else None
        session = book.open_session(self.station, number)
        if session is not None:
            evse.open = _Open(session.transaction_id, session.started_at, session.token)
            evse.live_at = session.sample_at or session.started_at
            evse.has_charged = session.energy_wh > 0
            evse.is_on = True
        elif evse.is_on:
            evse.is_on = None  # a status without its session: found under way when it is said again

    @property
    def is_connected(self) -> bool:
        return self._is_connected

    def take(self, readings: list[Reading]) -> list[AnyEvent]:
        """The readings of one message."""
        if not readings:
            return []
        now = readings[0].received_at
        presence = self._presence(readings, now)
        events: list[AnyEvent] = []
        by_evse: dict[int, list[Reading]] = {}
        for reading in readings:
            if reading.kind is not Kind.AVAILABILITY:
                by_evse.setdefault(reading.evse, []).append(reading)
        for number, said in by_evse.items():
            events += self._take_evse(self._evse(number), said)
        return presence + self._identity(now) + events

    def tick(self, now: datetime) -> list[AnyEvent]:
        """What time alone makes true: ends that have held, finds that have settled, silence."""
        events: list[AnyEvent] = []
        for evse in self._evses.values():
            events += self._end_if_held(evse, now)
            if evse.found_at is not None and now - evse.found_at >= timedelta(seconds=self._rules.settle_s):
                events += self._open_found(evse, now)
        silent_s = self._source.silent_s
        if silent_s and self._live_at is not None and now - self._live_at > timedelta(seconds=silent_s):
            events += self.disconnect(now, f"silent for {silent_s:.0f} s")
        return events

    def disconnect(self, now: datetime, reason: str) -> list[AnyEvent]:
        if not self._is_connected:
            return []
        self._is_connected = False
        return [StationDisconnected(station=self.station, at=now, received_at=now, reason=reason)]

    def _evse(self, number: int) -> _Evse:
        return self._evses.setdefault(number, _Evse(number))

    # the station

    def _presence(self, readings: list[Reading], now: datetime) -> list[AnyEvent]:
        for reading in readings:
            if reading.kind is Kind.AVAILABILITY and reading.value is not None:
                self._is_online = reading.value
        is_live = any(not reading.retained for reading in readings)
        if is_live:
            self._live_at = now
        if self._has_will and self._is_online is False:
            return self.disconnect(now, "its last will says so")
        if self._is_connected or not (is_live or (self._has_will and self._is_online)):
            return []
        self._is_connected = True
        return [
            StationConnected(
                station=self.station, at=now, received_at=now, address=self._address, protocol=self._protocol
            )
        ]

    def _identity(self, now: datetime) -> list[AnyEvent]:
        if self._info == self._shown_info and (self._shown_info or not self._source.maker):
            return []
        self._info.setdefault("vendor", self._source.maker)
        self._shown_info = dict(self._info)
        return [StationBooted(station=self.station, at=now, received_at=now, **self._info)]

    # one EVSE

    def _take_evse(self, evse: _Evse, readings: list[Reading]) -> list[AnyEvent]:
        newest = readings[-1]
        at = next((r.at for r in readings if r.at is not None), newest.received_at)
        values: dict[str, float] = {}
        events: list[AnyEvent] = []
        for reading in readings:
            if reading.kind is Kind.MEASURE:
                self._measure(evse, reading, values)
            elif reading.kind is Kind.INFO:
                self._inform(evse, reading)
            elif reading.kind is not Kind.SESSION_EVENT:
                evse.said[reading.kind] = reading.value
        events += self._bound_sessions(evse, readings, at) + self._token(evse, at, newest)
        events += self._status(evse, at, newest)
        if values:
            events += self._sample(evse, values, at, newest)
        if not newest.retained:
            evse.live_at = at if evse.live_at is None else max(evse.live_at, at)
        return events

    def _measure(self, evse: _Evse, reading: Reading, values: dict[str, float]) -> None:
        name, value = reading.name, reading.value
        if value is None or (reading.retained and name in FLOW_FIELDS):
            return
        if name == REGISTER:
            if value == 0 and evse.register_wh:
                return  # a hub that has just started says 0 before it has read its meter
            evse.register_wh = value
        elif name == COUNTER:
            evse.counter_wh = value
        elif name == "soc_percent":
            evse.soc_percent = value
        values[name] = value

    def _inform(self, evse: _Evse, reading: Reading) -> None:
        if reading.name == "text":
            evse.text = reading.value or ""
        elif reading.value:
            self._info[reading.name] = reading.value

    def _sample(self, evse: _Evse, values: dict[str, float], at: datetime, newest: Reading) -> list[AnyEvent]:
        burst = evse.burst
        is_same = burst is not None and burst.retained is newest.retained and newest.received_at - burst.at < BURST
        if newest.at is None and burst is not None and is_same:
            burst.values |= values
            at, values = burst.at, dict(burst.values)
        elif newest.at is None:
            evse.burst = _Burst(at, newest.retained, dict(values))
        return [
            MeterSampled(
                station=self.station,
                at=at,
                received_at=newest.received_at,
                evse=evse.number,
                transaction_id=evse.open.transaction_id if evse.open else "",
                values=values,
                offline=newest.retained,
            )
        ]

    # status

    def _status(self, evse: _Evse, at: datetime, newest: Reading) -> list[AnyEvent]:
        status = self._status_now(evse)
        if status is None:
            return []
        if status is ConnectorStatus.CHARGING:
            evse.has_charged = True
        error = evse.said.get(Kind.ERROR) or "NoError"
        shown = (status, error, evse.text)
        if shown == evse.shown:
            return []
        evse.shown = shown
        return [
            StatusChanged(
                station=self.station,
                at=at,
                received_at=newest.received_at,
                evse=evse.number,
                status=status,
                error_code=error,
                info=evse.text,
            )
        ]

    def _status_now(self, evse: _Evse) -> ConnectorStatus | None:
        said = evse.said
        reported: ConnectorStatus | None = said.get(Kind.STATUS)
        if reported is not None or self._rules.mode is SessionMode.STATUS:
            return reported
        if said.get(Kind.ERROR, "NoError") not in ("NoError", None):
            return ConnectorStatus.FAULTED
        connected = said.get(Kind.CONNECTED)
        if connected is None:
            return None
        if not connected:
            return ConnectorStatus.AVAILABLE
        if said.get(Kind.CHARGING):
            return ConnectorStatus.CHARGING
        if said.get(Kind.ALLOWED) is False:
            return ConnectorStatus.SUSPENDED_EVSE
        return ConnectorStatus.SUSPENDED_EV if evse.has_charged else ConnectorStatus.PREPARING

    # sessions

    def _bound_sessions(self, evse: _Evse, readings: list[Reading], at: datetime) -> list[AnyEvent]:
        newest = readings[-1]
        if self._rules.mode is SessionMode.EVENTS:
            return [event for r in readings if r.kind is Kind.SESSION_EVENT for event in self._by_event(evse, r, at)]
        is_on = self._is_on(evse)
        before, evse.is_on = evse.is_on, is_on
        if is_on is None:
            evse.found_at = None
            return []
        return self._turned_on(evse, before, at, newest) if is_on else self._turned_off(evse, at, newest)

    def _is_on(self, evse: _Evse) -> bool | None:
        """Is a car plugged in? ``None``: nobody knows. A fault or a reservation leaves it as it was."""
        if self._rules.mode is SessionMode.CONNECTED:
            connected: bool | None = evse.said.get(Kind.CONNECTED, evse.is_on)
            return connected
        if Kind.STATUS not in evse.said:
            return evse.is_on
        status = evse.said[Kind.STATUS]
        if status is None:
            return None
        return True if status in _ON else False if status is ConnectorStatus.AVAILABLE else evse.is_on

    def _turned_on(self, evse: _Evse, before: bool | None, at: datetime, newest: Reading) -> list[AnyEvent]:
        if evse.open is not None:
            if evse.open.off_at is not None:
                evse.open.off_at = evse.open.off_seen_at = None
            return []
        if before is False and not newest.retained:
            return [self._start(evse, at, newest.received_at, evse.register_wh)]
        if evse.found_at is None and before is not True:
            evse.found_at = newest.received_at
        return []

    def _turned_off(self, evse: _Evse, at: datetime, newest: Reading) -> list[AnyEvent]:
        evse.found_at = None
        if evse.open is not None and evse.open.off_at is None:
            stale_at = max(evse.live_at or at, evse.open.started_at)
            evse.open.off_at = min(stale_at, at) if newest.retained else at
            evse.open.off_seen_at = newest.received_at
            evse.open.off_is_stale = newest.retained
        return []

    def _start(
        self, evse: _Evse, at: datetime, received_at: datetime, register_wh: float | None, unknown: bool = False
    ) -> TransactionStarted:
        return self._begin(evse, at, received_at, register_wh, f"{evse.number}-{_stamp(at)}", unknown)

    def _begin(
        self,
        evse: _Evse,
        at: datetime,
        received_at: datetime,
        register_wh: float | None,
        transaction_id: str,
        unknown: bool,
    ) -> TransactionStarted:
        token = evse.said.get(Kind.IDTAG) or ""
        evse.open = _Open(transaction_id, at, token)
        evse.found_at = evse.burst = None
        status = self._status_now(evse)
        evse.has_charged = status is ConnectorStatus.CHARGING
        return TransactionStarted(
            station=self.station,
            at=at,
            received_at=received_at,
            evse=evse.number,
            transaction_id=transaction_id,
            token=token,
            meter_start_wh=None if register_wh is None else round(register_wh),
            charging=evse.has_charged,
            start_unknown=unknown,
        )

    def _open_found(self, evse: _Evse, now: datetime) -> list[AnyEvent]:
        """Its register at plug-in is what it is now less the charger's own count. Without a count it begins as it is
        now: what flowed unseen may have been another car's, and nobody pays for that."""
        found_at = evse.found_at or now
        register = evse.register_wh
        if evse.register_wh is not None and evse.counter_wh is not None:
            register = evse.register_wh - evse.counter_wh
        events: list[AnyEvent] = [self._start(evse, found_at, now, register, unknown=True)]
        levels = dict(zip(_LEVELS, (evse.register_wh, evse.counter_wh, evse.soc_percent), strict=True))
        values = {name: value for name, value in levels.items() if value is not None}
        if values and evse.open is not None:
            events.append(
                MeterSampled(
                    station=self.station,
                    at=found_at,
                    received_at=now,
                    evse=evse.number,
                    transaction_id=evse.open.transaction_id,
                    values=values,
                    offline=True,
                )
            )
        return events

    def _token(self, evse: _Evse, at: datetime, newest: Reading) -> list[AnyEvent]:
        """A card is often named after the plug-in: the session learns whose it is."""
        token = evse.said.get(Kind.IDTAG) or ""
        if evse.open is None or not token or evse.open.token:
            return []
        evse.open.token = token
        said: dict[str, Any] = {
            "station": self.station,
            "at": at,
            "received_at": newest.received_at,
            "evse": evse.number,
            "token": token,
        }
        return [TokenPresented(**said), TransactionUpdated(transaction_id=evse.open.transaction_id, **said)]

    def _end_if_held(self, evse: _Evse, now: datetime) -> list[AnyEvent]:
        session = evse.open
        if session is None or session.off_at is None or session.off_seen_at is None:
            return []
        if now - session.off_seen_at < timedelta(seconds=self._rules.hold_s):
            return []
        return [self._finish(evse, session, session.off_at, now, "EVDisconnected", session.off_is_stale)]

    def _finish(
        self, evse: _Evse, session: _Open, at: datetime, now: datetime, reason: str, is_stale: bool = False
    ) -> TransactionEnded:
        evse.open = None
        evse.counter_wh = None
        evse.has_charged = False
        return TransactionEnded(
            station=self.station,
            at=at,
            received_at=now,
            transaction_id=session.transaction_id,
            evse=evse.number,
            meter_stop_wh=None if evse.register_wh is None else round(evse.register_wh),
            stop_reason=reason,
            offline=is_stale,
        )

    def _by_event(self, evse: _Evse, reading: Reading, at: datetime) -> list[AnyEvent]:
        """The charger says itself when a session starts and ends, with an id of its own if it has one."""
        now = reading.received_at
        if reading.name == "start" and evse.open is None:
            transaction_id = reading.value or f"{evse.number}-{_stamp(at)}"
            return [self._begin(evse, at, now, evse.register_wh, transaction_id, reading.retained)]
        if reading.name == "end" and evse.open is not None:
            return [self._finish(evse, evse.open, at, now, "Local", reading.retained)]
        return []


def _stamp(at: datetime) -> str:
    return f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03d}Z"
