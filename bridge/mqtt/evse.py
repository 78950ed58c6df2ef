"""One EVSE of a charger that knows no transactions: its status, its samples, its sessions.

Theory. A session is the time a car is plugged in. It opens at the first "on" and closes when an "off" has
lasted ``hold_s``; its end is that first "off". An "on" that follows a known "off" and came live has a known start.
Any other (retained state, a first word, after a restart) was under way already: it is opened when the retained
state has settled, with ``start_unknown``.

Retained state is old until proven new: it sets states and levels, its samples are marked ``offline``, flows
(power, current) are not believed at all, it makes no station connected, and an "off" found in it ended the
session when we last heard live from the EVSE.

A vendor with one topic per quantity fills one row per second: samples received within ``BURST`` of the first
share its time and each carries all values of the burst, so that the upsert on (EVSE, time) leaves one wide row.

No I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bridge.events import (
    AnyEvent,
    ConnectorStatus,
    MeterSampled,
    StatusChanged,
    TokenPresented,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
)
from bridge.measurands import FLOW_FIELDS
from bridge.mqtt.format import Kind, Reading, SessionMode, SessionRules
from bridge.session import Session
from bridge.snapshots import Connector

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


class Evse:
    """``take`` readings of one message, ``tick`` about once a second; both return events."""

    def __init__(self, station: str, number: int, rules: SessionRules) -> None:
        self.station = station
        self.number = number
        self._rules = rules
        self.said: dict[Kind, Any] = {}  # newest value of each kind
        self.text: str = ""
        self.shown: tuple[Any, ...] = ()  # the status as last sent
        self.is_on: bool | None = None
        self.has_charged: bool = False
        self.register_wh: float | None = None
        self.counter_wh: float | None = None
        self.soc_percent: float | None = None
        self.live_at: datetime | None = None  # device time of the newest live reading
        self.open: _Open | None = None
        self.found_at: datetime | None = None  # a session found under way waits here for its state to settle
        self.burst: _Burst | None = None

    def restore(self, known: Connector, session: Session | None) -> None:
        """What the book knows of it; ``session`` is the open one. "On" without a session is found under way when it
        is said again."""
        self.register_wh = known.register_wh
        if known.status is not None:
            self.shown = (known.status, known.error_code, known.info)
        is_off = known.status is ConnectorStatus.AVAILABLE
        if is_off:
            self.is_on = False
        if session is None:
            return
        self.open = _Open(session.transaction_id, session.started_at, session.token)
        self.live_at = session.sample_at or session.started_at
        self.has_charged = session.energy_wh > 0
        if is_off:  # the bridge went down while the "off" waited to be believed
            self.open.off_at, self.open.off_seen_at = known.status_at, known.status_received_at
            return
        self.is_on = True
        if self._rules.mode is SessionMode.CONNECTED:
            self.said[Kind.CONNECTED] = True
            self.said[Kind.CHARGING] = known.status is ConnectorStatus.CHARGING

    def tick(self, now: datetime) -> list[AnyEvent]:
        """Ends that have held, and sessions found under way whose state has settled."""
        events = self._end_if_held(now)
        if self.found_at is not None and now - self.found_at >= timedelta(seconds=self._rules.settle_s):
            events += self._open_found(now)
        return events

    def take(self, readings: list[Reading]) -> list[AnyEvent]:
        """What one message says about this EVSE."""
        newest = readings[-1]
        at = next((r.at for r in readings if r.at is not None), newest.received_at)
        values: dict[str, float] = {}
        events: list[AnyEvent] = []
        for reading in readings:
            if reading.kind is Kind.MEASURE:
                self._measure(reading, values)
            elif reading.kind is Kind.INFO and reading.name == "text":
                self.text = reading.value or ""
            elif reading.kind is not Kind.SESSION_EVENT:
                self.said[reading.kind] = reading.value
        events += self._bound_sessions(readings, at) + self._token(at, newest)
        events += self._status(at, newest)
        if values:
            events += self._sample(values, at, newest)
        if not newest.retained:
            self.live_at = at if self.live_at is None else max(self.live_at, at)
        return events

    def _measure(self, reading: Reading, values: dict[str, float]) -> None:
        name, value = reading.name, reading.value
        if value is None or (reading.retained and name in FLOW_FIELDS):
            return
        if name == REGISTER:
            if value == 0 and self.register_wh:
                return  # a hub that has just started says 0 before it has read its meter
            self.register_wh = value
        elif name == COUNTER:
            self.counter_wh = value
        elif name == "soc_percent":
            self.soc_percent = value
        values[name] = value

    def _sample(self, values: dict[str, float], at: datetime, newest: Reading) -> list[AnyEvent]:
        burst = self.burst
        is_same = burst is not None and burst.retained is newest.retained and newest.received_at - burst.at < BURST
        if newest.at is None and burst is not None and is_same:
            burst.values |= values
            at, values = burst.at, dict(burst.values)
        elif newest.at is None:
            self.burst = _Burst(at, newest.retained, dict(values))
        return [
            MeterSampled(
                station=self.station,
                at=at,
                received_at=newest.received_at,
                evse=self.number,
                transaction_id=self.open.transaction_id if self.open else "",
                values=values,
                offline=newest.retained,
            )
        ]

    # status

    def _status(self, at: datetime, newest: Reading) -> list[AnyEvent]:
        status = self._status_now()
        if status is None:
            return []
        if status is ConnectorStatus.CHARGING:
            self.has_charged = True
        error = self.said.get(Kind.ERROR) or "NoError"
        shown = (status, error, self.text)
        if shown == self.shown:
            return []
        self.shown = shown
        return [
            StatusChanged(
                station=self.station,
                at=at,
                received_at=newest.received_at,
                evse=self.number,
                status=status,
                error_code=error,
                info=self.text,
            )
        ]

    def _status_now(self) -> ConnectorStatus | None:
        said = self.said
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
        return ConnectorStatus.SUSPENDED_EV if self.has_charged else ConnectorStatus.PREPARING

    # sessions

    def _bound_sessions(self, readings: list[Reading], at: datetime) -> list[AnyEvent]:
        newest = readings[-1]
        if self._rules.mode is SessionMode.EVENTS:
            return [event for r in readings if r.kind is Kind.SESSION_EVENT for event in self._by_event(r, at)]
        is_on = self._is_on()
        before, self.is_on = self.is_on, is_on
        if is_on is None:
            self.found_at = None
            return []
        return self._turned_on(before, at, newest) if is_on else self._turned_off(at, newest)

    def _is_on(self) -> bool | None:
        """Is a car plugged in? ``None``: nobody knows. A fault or a reservation leaves it as it was."""
        if self._rules.mode is SessionMode.CONNECTED:
            connected: bool | None = self.said.get(Kind.CONNECTED, self.is_on)
            return connected
        if Kind.STATUS not in self.said:
            return self.is_on
        status = self.said[Kind.STATUS]
        if status is None:
            return None
        return True if status in _ON else False if status is ConnectorStatus.AVAILABLE else self.is_on

    def _turned_on(self, before: bool | None, at: datetime, newest: Reading) -> list[AnyEvent]:
        if self.open is not None:
            if self.open.off_at is not None:
                self.open.off_at = self.open.off_seen_at = None
            return []
        if before is False and not newest.retained:
            return [self._start(at, newest.received_at, self.register_wh)]
        if self.found_at is None and before is not True:
            self.found_at = newest.received_at
        return []

    def _turned_off(self, at: datetime, newest: Reading) -> list[AnyEvent]:
        self.found_at = None
        if self.open is not None and self.open.off_at is None:
            stale_at = max(self.live_at or at, self.open.started_at)
            self.open.off_at = min(stale_at, at) if newest.retained else at
            self.open.off_seen_at = newest.received_at
            self.open.off_is_stale = newest.retained
        return []

    def _start(
        self, at: datetime, received_at: datetime, register_wh: float | None, unknown: bool = False
    ) -> TransactionStarted:
        return self._begin(at, received_at, register_wh, f"{self.number}-{_stamp(at)}", unknown, is_told=False)

    def _begin(
        self,
        at: datetime,
        received_at: datetime,
        register_wh: float | None,
        transaction_id: str,
        unknown: bool,
        is_told: bool,
    ) -> TransactionStarted:
        token = self.said.get(Kind.IDTAG) or ""
        self.open = _Open(transaction_id, at, token)
        self.found_at = self.burst = None
        status = self._status_now()
        self.has_charged = status is ConnectorStatus.CHARGING
        return TransactionStarted(
            station=self.station,
            at=at,
            received_at=received_at,
            evse=self.number,
            transaction_id=transaction_id,
            token=token,
            meter_start_wh=None if register_wh is None else round(register_wh),
            charging=self.has_charged,
            start_unknown=unknown,
            derived=not is_told,
        )

    def _open_found(self, now: datetime) -> list[AnyEvent]:
        """Its register at plug-in is what it is now less the charger's own count. Without a count it begins as it is
        now: what flowed unseen may have been another car's, and nobody pays for that."""
        found_at = self.found_at or now
        register = self.register_wh
        if self.register_wh is not None and self.counter_wh is not None:
            register = self.register_wh - self.counter_wh
        events: list[AnyEvent] = [self._start(found_at, now, register, unknown=True)]
        levels = dict(zip(_LEVELS, (self.register_wh, self.counter_wh, self.soc_percent), strict=True))
        values = {name: value for name, value in levels.items() if value is not None}
        if values and self.open is not None:
            events.append(
                MeterSampled(
                    station=self.station,
                    at=found_at,
                    received_at=now,
                    evse=self.number,
                    transaction_id=self.open.transaction_id,
                    values=values,
                    offline=True,
                )
            )
        return events

    def _token(self, at: datetime, newest: Reading) -> list[AnyEvent]:
        """A card is often named after the plug-in: the session learns whose it is."""
        token = self.said.get(Kind.IDTAG) or ""
        if self.open is None or not token or self.open.token:
            return []
        self.open.token = token
        said: dict[str, Any] = {
            "station": self.station,
            "at": at,
            "received_at": newest.received_at,
            "evse": self.number,
            "token": token,
        }
        return [TokenPresented(**said), TransactionUpdated(transaction_id=self.open.transaction_id, **said)]

    def _end_if_held(self, now: datetime) -> list[AnyEvent]:
        session = self.open
        if session is None or session.off_at is None or session.off_seen_at is None:
            return []
        if now - session.off_seen_at < timedelta(seconds=self._rules.hold_s):
            return []
        return [self._finish(session, session.off_at, now, "EVDisconnected", session.off_is_stale)]

    def _finish(
        self, session: _Open, at: datetime, now: datetime, reason: str, is_stale: bool = False
    ) -> TransactionEnded:
        self.open = None
        self.counter_wh = None
        self.has_charged = False
        return TransactionEnded(
            station=self.station,
            at=at,
            received_at=now,
            transaction_id=session.transaction_id,
            evse=self.number,
            meter_stop_wh=None if self.register_wh is None else round(self.register_wh),
            stop_reason=reason,
            offline=is_stale,
        )

    def _by_event(self, reading: Reading, at: datetime) -> list[AnyEvent]:
        """The charger says itself when a session starts and ends, with an id of its own if it has one."""
        now = reading.received_at
        if reading.name == "start" and self.open is None:
            transaction_id = reading.value or f"{self.number}-{_stamp(at)}"
            return [self._begin(at, now, self.register_wh, transaction_id, reading.retained, is_told=True)]
        if reading.name == "end" and self.open is not None:
            return [self._finish(self.open, at, now, "Local", reading.retained)]
        return []


def _stamp(at: datetime) -> str:
    return f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03d}Z"
