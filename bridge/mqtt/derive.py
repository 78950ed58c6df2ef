"""Readings into events: statuses, samples, and sessions for chargers that know no transactions.

The theory of sessions and retained state stands in ``bridge/mqtt/evse.py``; here is the station around its EVSEs.

No I/O, no clock: ``received_at`` and ``now`` come with the call. State that must survive a restart is in the book.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from bridge.book import Book
from bridge.events import AnyEvent, StationBooted, StationConnected, StationDisconnected
from bridge.mqtt.evse import Evse
from bridge.mqtt.format import Kind, Reading
from bridge.mqtt.mapping import Mapping


class Tracker:
    """One station. ``take`` readings of one message, ``tick`` about once a second; both return events."""

    def __init__(self, station: str, mapping: Mapping, address: str) -> None:
        self.station = station
        self._rules = mapping.session
        self._source = mapping.source
        self._has_will = Kind.AVAILABILITY in mapping.kinds
        self._protocol = f"mqtt/{mapping.vendor}"
        self._address = address
        self._evses: dict[int, Evse] = {}
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
                tracker._evse(number).restore(connector, book.open_session(station, number))
        return tracker

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
            if reading.kind is Kind.INFO and reading.name != "text" and reading.value:
                self._info[reading.name] = reading.value
            elif reading.kind is not Kind.AVAILABILITY:
                by_evse.setdefault(reading.evse, []).append(reading)
        for number, said in by_evse.items():
            events += self._evse(number).take(said)
        return presence + self._identity(now) + events

    def tick(self, now: datetime) -> list[AnyEvent]:
        """What time alone makes true: ends that have held, finds that have settled, silence."""
        events: list[AnyEvent] = []
        for evse in self._evses.values():
            events += evse.tick(now)
        silent_s = self._source.silent_s
        if silent_s and self._live_at is not None and now - self._live_at > timedelta(seconds=silent_s):
            events += self.disconnect(now, f"silent for {silent_s:.0f} s")
        return events

    def disconnect(self, now: datetime, reason: str) -> list[AnyEvent]:
        if not self._is_connected:
            return []
        self._is_connected = False
        return [StationDisconnected(station=self.station, at=now, received_at=now, reason=reason)]

    def _evse(self, number: int) -> Evse:
        evse = self._evses.get(number)
        if evse is None:
            evse = self._evses[number] = Evse(self.station, number, self._rules)
        return evse

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
