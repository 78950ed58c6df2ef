"""Habits of a station that its figures give away: a unit that is off by a thousand, a clock on local time, a register
that restarts with every session, phases that say the total, a station that hears nothing or restarts all the time.

Pure functions over what was seen, one ``Watch`` a station. A trait is told once, in words, with the policy that would
put it right; it changes nothing by itself. Readings are looked at for a moment every five minutes: a habit shows itself
again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import structlog

from bridge.book import Book
from bridge.command_bus import CommandOutcome
from bridge.events import (
    AnyEvent,
    Detail,
    DetailKind,
    DetailsReported,
    MeterSampled,
    StationBooted,
    TransactionEnded,
)
from bridge.ocpp.meter_traits import MeterWatch
from bridge.session import Session

_log = structlog.get_logger("ocpp")
TELLING = frozenset(("BootNotification", "StopTransaction", "TransactionEvent"))  # looked at whenever they come
_PAUSE, _MOMENT = timedelta(seconds=298), timedelta(seconds=2)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_METERS = 64
_BOOTS, _BOOTS_WITHIN = 5, timedelta(minutes=30)
_TIMEOUTS = 3
_QUARTER_S, _QUARTER_SLACK_S, _CLOCK_LOOKS = 900, 90, 3
_LEAST_WH = 1_000  # a start below it may be the beginning of a meter


class Trait(NamedTuple):
    """``said`` is the evidence in words; ``policy`` what would put it right, where anything would."""

    key: str
    said: str
    policy: dict[str, Any]

    def event(self, station: str, at: datetime, is_gone: bool = False) -> DetailsReported:
        detail = Detail(key=self.key, body={"said": self.said, "policy": self.policy})
        return DetailsReported(
            station=station, at=at, received_at=at, kind=DetailKind.TRAIT, details=(detail,), is_gone=is_gone
        )


class Watch:
    """What is remembered of one station between looks. ``due``: readings before that are not looked at."""

    def __init__(self) -> None:
        self.due = _LONG_AGO
        self._open_until: datetime | None = None
        self._told: set[str] = set()
        self._boots: list[datetime] = []
        self._timeouts = 0
        self._quarter_s, self._quarter_looks = 0, 0
        self._relative_sessions = 0
        self._meters: dict[int, MeterWatch] = {}

    def look(self, station: str, events: Iterable[AnyEvent], now: datetime, book: Book) -> list[AnyEvent]:
        """What has become plain by these events, each trait once. Whatever goes wrong here, no frame is lost by it."""
        try:
            return self._look(station, events, now, book)
        except Exception:
            _log.exception("noticing failed", station=station)
            return []

    def _look(self, station: str, events: Iterable[AnyEvent], now: datetime, book: Book) -> list[AnyEvent]:
        is_due = now >= self.due
        found = self._pace(station, now, book) if is_due else []
        for event in events:
            if isinstance(event, MeterSampled):
                if is_due:
                    found += self._metered(event)
            elif isinstance(event, TransactionEnded):
                found.append(self._ended(event, book.find_session(station, event.transaction_id)))
            elif isinstance(event, StationBooted):
                found.append(self._booted(now))
        return [trait.event(station, now) for trait in found if trait is not None and self._is_new(trait)]

    def called(self, station: str, outcome: CommandOutcome, now: datetime) -> list[AnyEvent]:
        """A call of ours came to this. Deaf is who lets several in a row time out (field quirk 13)."""
        if outcome is CommandOutcome.TIMEOUT:
            self._timeouts += 1
            trait = _deaf(self._timeouts)
            return [trait.event(station, now)] if self._timeouts >= _TIMEOUTS and self._is_new(trait) else []
        if outcome not in (CommandOutcome.ANSWERED, CommandOutcome.REFUSED):
            return []
        self._timeouts, was_deaf = 0, _deaf(0).key in self._told
        self._told.discard(_deaf(0).key)
        return [_deaf(0).event(station, now, is_gone=True)] if was_deaf else []

    def _is_new(self, trait: Trait) -> bool:
        is_new = trait.key not in self._told
        self._told.add(trait.key)
        return is_new

    def _pace(self, station: str, now: datetime, book: Book) -> list[Trait | None]:
        """All messages of a moment are looked at, so that each connector has its turn; then there is a pause."""
        if self._open_until is None:
            self._open_until = now + _MOMENT
            known = book.stations.get(station)
            return [None if known is None else self._clocked(known.clock_skew_s)]
        if now > self._open_until:
            self.due, self._open_until = now + _PAUSE, None
        return []

    def _metered(self, event: MeterSampled) -> list[Trait | None]:
        evse = event.evse or 0
        meter = self._meters.get(evse)
        if meter is None:
            if len(self._meters) >= _MAX_METERS:
                return []
            meter = self._meters[evse] = MeterWatch()
        return [Trait(*found) for found in meter.look(event.at, event.values)]

    def _clocked(self, skew_s: float | None) -> Trait | None:
        """Local time marked as UTC is off by the same quarters of an hour at every look (field quirk 56)."""
        quarter_s = round((skew_s or 0.0) / _QUARTER_S) * _QUARTER_S
        if not quarter_s or abs((skew_s or 0.0) - quarter_s) > _QUARTER_SLACK_S:
            self._quarter_looks = 0
            return None
        self._quarter_looks = self._quarter_looks + 1 if quarter_s == self._quarter_s else 1
        self._quarter_s = quarter_s
        if self._quarter_looks < _CLOCK_LOOKS:
            return None
        hours, minutes = divmod(abs(quarter_s) // 60, 60)
        which = "ahead of" if quarter_s > 0 else "behind"
        said = f"its clock is steadily {hours} h {minutes:02} min {which} UTC: local time, marked as UTC"
        return Trait("clock", said, {"clock": "local"})

    def _booted(self, now: datetime) -> Trait | None:
        self._boots = [*self._boots, now][-_BOOTS:]
        if len(self._boots) < _BOOTS or now - self._boots[0] > _BOOTS_WITHIN:
            return None
        minutes = round((now - self._boots[0]) / timedelta(minutes=1))
        said = f"restarted {_BOOTS} times within {minutes} min; it may be asking for its configuration that restarts it"
        return Trait("reboots", said, {"ask_configuration": "none"})

    def _ended(self, event: TransactionEnded, session: Session | None) -> Trait | None:
        """The registers at both edges beside those between (field quirk 35)."""
        if session is None or not session.is_open or session.meter_last_wh is None or session.meter_start_wh is None:
            return None
        start_wh, last_wh, stop_wh = session.meter_start_wh, session.meter_last_wh, event.meter_stop_wh
        between = f"meterStart {start_wh} Wh, last reading {last_wh} Wh, meterStop {stop_wh} Wh"
        if session.energy_carried_wh < 0 and last_wh > start_wh:
            said = f"the register at the start is not that of the readings: {between}"
            return Trait("meter_start", said, {"meter_start": "first_reading"})
        if start_wh < _LEAST_WH or last_wh >= start_wh:
            self._relative_sessions = 0
            return None
        self._relative_sessions += 1
        is_plain = stop_wh is not None and stop_wh >= start_wh
        if not is_plain and self._relative_sessions < 2:  # once it may have been a reset
            return None
        return Trait("register", f"the register restarts with the session: {between}", {"register": "session"})


def _deaf(timeouts: int) -> Trait:
    said = f"speaks, and let {timeouts} calls in a row time out: it hears nothing of what we ask"
    return Trait("deaf", said, {})
