"""Projections: threads that follow the journal with a cursor, each at its own pace.

A projection takes what lies behind its cursor, writes it, and only then moves the cursor. While its store is
away it waits with growing pauses and loses nothing; what a store will never take is logged, counted and
passed. One mechanism for every sink.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from bridge import events
from bridge.events import AnyEvent, DetailsReported, MeterSampled, StationSeen, from_us
from bridge.evidence import is_late
from bridge.journal import Entry, Journal
from bridge.session import Session
from bridge.snapshots import Connector, Station, decode_snapshot
from bridge.stores.details import Details
from bridge.stores.records import Records, RecordsRejected, RecordsUnavailable
from bridge.stores.telemetry import Batch, FrameRow, Occurrence, Sample, StoreRejected, StoreUnavailable, TelemetryStore

_log = structlog.get_logger("projections")
_lag = Gauge("chargewatch_projection_lag_seconds", "Age of the oldest thing not yet projected.", ["projection"])
_refused = Counter("chargewatch_projection_refused_total", "Writes that a store will never take.", ["projection"])
_behind = Gauge("chargewatch_projection_behind_entries", "Entries or snapshots not yet projected.", ["projection"])

_PAGE = 4000
_MAX_PAUSE_S = 30.0
QUARTER = timedelta(minutes=15)
_UNROLLED_AT_START = timedelta(hours=6)  # rolled up again at a start, whatever was noted
_UNROLLED = "unrolled"  # kept beside the journal: the oldest reading written and not yet rolled up


class Unavailable(Exception):
    """The sink is away; try the same again later."""


class Projection(Protocol):
    name: str
    every_s: float  # at least this long between two pages, so that many changes become one write

    @property
    def head(self) -> int:
        """The newest position that can be projected."""

    def waiting_since_us(self, cursor: int) -> int | None:
        """When what lies first behind the cursor came."""

    def advance(self, cursor: int) -> int:
        """Project one page behind ``cursor``; returns the new cursor (the same when there was nothing).
        Raises Unavailable."""


class Runner:
    """One projection on one thread, from ``start`` to ``stop``."""

    def __init__(self, journal: Journal, projection: Projection) -> None:
        self._journal = journal
        self._projection = projection
        self._wake = threading.Event()
        self._stopping = False
        self.cursor = 0
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, name=projection.name, daemon=True)

    @property
    def name(self) -> str:
        return self._projection.name

    def start(self) -> None:
        self.cursor = self._journal.cursor(self.name)
        self._thread.start()

    def wake(self) -> None:
        """New entries are committed."""
        self._wake.set()

    def lag_s(self, now_us: int) -> float:
        """How long the oldest unprojected entry has waited; 0 when there is none."""
        if self.cursor >= self._projection.head:
            return 0.0
        since_us = self._projection.waiting_since_us(self.cursor)
        return 0.0 if since_us is None else max(0.0, (now_us - since_us) / 1e6)

    def observe(self, now_us: int) -> float:
        """Set the metrics; returns the lag."""
        lag = self.lag_s(now_us)
        _lag.labels(self.name).set(lag)
        _behind.labels(self.name).set(max(0, self._projection.head - self.cursor))
        return lag

    def check(self) -> None:
        """Raises RuntimeError with the reason while the sink is away."""
        if self.trouble:
            raise RuntimeError(self.trouble)

    def stop(self, grace_s: float = 5.0) -> None:
        """Let it finish what is committed, at most ``grace_s``."""
        deadline = time.monotonic() + grace_s
        while not self.trouble and self.cursor < self._projection.head and time.monotonic() < deadline:
            self._wake.set()
            time.sleep(0.02)
        self._stopping = True
        self._wake.set()
        self._thread.join(grace_s)

    def _run(self) -> None:
        pause_s = 0.5
        while not self._stopping:
            try:
                is_idle = self._step()
                self.trouble, pause_s = "", 0.5
            except Exception as error:
                self._say(error)
                self._wait(pause_s)
                pause_s = min(_MAX_PAUSE_S, pause_s * 2)
                continue
            if is_idle:
                self._wait(1.0)
            if self._projection.every_s and not self._stopping:
                time.sleep(self._projection.every_s)

    def _say(self, error: Exception) -> None:
        if not isinstance(error, Unavailable):  # a fault of ours is tried again too: never ended in silence
            _log.error("a projection fails and tries again", projection=self.name, exc_info=error)
        elif not self.trouble:
            _log.warning("sink is away, the journal keeps", projection=self.name, error=str(error))
        self.trouble = str(error) or type(error).__name__

    def _wait(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _step(self) -> bool:
        after = self._projection.advance(self.cursor)
        if after == self.cursor:
            return True
        self._journal.move(self.name, after)
        self.cursor = after
        return after >= self._projection.head


@contextmanager
def _into_records(projection: str) -> Iterator[None]:
    """The cursor waits while the records are away; what they will never take is said, counted and passed."""
    try:
        yield
    except RecordsUnavailable as error:
        raise Unavailable(str(error)) from error
    except RecordsRejected as error:
        _refused.labels(projection).inc()
        _log.error("the records will never take this", projection=projection, error=str(error))


class RecordsProjection:
    """The newest snapshots into SQL. Compacted by the state table: hours of outage are one row per session."""

    name = "records"
    every_s = 1.0

    def __init__(self, journal: Journal, records: Records) -> None:
        self._journal = journal
        self._records = records

    @property
    def head(self) -> int:
        return self._journal.committed_state

    def waiting_since_us(self, cursor: int) -> int | None:
        return self._journal.state_waiting_since_us(cursor)

    def advance(self, cursor: int) -> int:
        head = self.head  # read first: what commits meanwhile is the next page's
        rows = self._journal.read_state(cursor, _PAGE)
        if not rows:
            return max(cursor, head)
        snapshots = [decode_snapshot(row.body) for _, row in rows]
        with _into_records(self.name):
            self._records.upsert(
                [s for s in snapshots if isinstance(s, Station)],
                [s for s in snapshots if isinstance(s, Connector)],
                [s for s in snapshots if isinstance(s, Session)],
            )
        return rows[-1][0]


class DetailsProjection:
    """What stations say that they have, into SQL."""

    name = "details"
    every_s = 1.0
    _MARK = DetailsReported.__name__.encode()  # in an entry's events when there is such an event among them

    def __init__(self, journal: Journal, details: Details) -> None:
        self._journal = journal
        self._details = details

    @property
    def head(self) -> int:
        return self._journal.committed

    def waiting_since_us(self, cursor: int) -> int | None:
        return self._journal.waiting_since_us(cursor)

    def advance(self, cursor: int) -> int:
        entries = self._journal.read(cursor, _PAGE)
        told = [
            event
            for _, entry in entries
            if self._MARK in entry.events
            for event in events.decode(entry.events)
            if isinstance(event, DetailsReported)
        ]
        if told:
            with _into_records(self.name):
                self._details.take(told)
        return entries[-1][0] if entries else cursor


class TelemetryProjection:
    """Samples, occurrences and raw frames into the time-series store; rolls quarters of an hour up."""

    name = "telemetry"
    every_s = 0.5

    def __init__(
        self, journal: Journal, store: TelemetryStore, roll_up_every: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._journal = journal
        self._store = store
        self._roll_up_every = roll_up_every
        self._clock = clock
        self._rolled_at = datetime.min.replace(tzinfo=UTC)
        self._oldest_unrolled: datetime | None = None
        self._is_new = True

    @property
    def head(self) -> int:
        return self._journal.committed

    def waiting_since_us(self, cursor: int) -> int | None:
        return self._journal.waiting_since_us(cursor)

    def advance(self, cursor: int) -> int:
        if self._is_new:
            self._take_up()
        entries = self._journal.read(cursor, _PAGE)
        try:
            if entries:
                self._write([entry for _, entry in entries])
            self._roll_up(self._clock())
        except StoreUnavailable as error:
            raise Unavailable(str(error)) from error
        return entries[-1][0] if entries else cursor

    def _write(self, entries: list[Entry]) -> None:
        """A refused batch is halved until the refused entry stands alone and is passed."""
        batch = batch_of(entries)
        try:
            self._store.write(batch)
        except StoreRejected as error:
            if len(entries) == 1:
                _refused.labels(self.name).inc()
                _log.error("the telemetry store will never take this", station=entries[0].station, error=str(error))
                return
            middle = len(entries) // 2
            self._write(entries[:middle])
            self._write(entries[middle:])
            return
        oldest = min((sample.at for sample in batch.samples), default=None)
        if oldest is not None:
            self._note_unrolled(oldest)

    def _take_up(self) -> None:
        """A bridge may end between writing and rolling up, and start again days later."""
        kept = self._journal.kept(_UNROLLED)
        self._oldest_unrolled = self._clock() - _UNROLLED_AT_START
        if kept is not None:
            self._note_unrolled(from_us(int(kept)))
        self._is_new = False

    def _note_unrolled(self, oldest: datetime) -> None:
        if self._oldest_unrolled is None or oldest < self._oldest_unrolled:
            self._oldest_unrolled = oldest
            self._journal.keep(_UNROLLED, b"%d" % events.to_us(oldest))

    def _roll_up(self, now: datetime) -> None:
        if self._oldest_unrolled is None or now - self._rolled_at < self._roll_up_every:
            return
        try:
            self._store.roll_up(quarter_of(self._oldest_unrolled), quarter_of(now) + QUARTER)
        except StoreRejected as error:
            _refused.labels(self.name).inc()
            _log.error("the telemetry store will never roll this up", error=str(error))
        self._rolled_at, self._oldest_unrolled = now, None


def quarter_of(moment: datetime) -> datetime:
    """The start of its quarter of an hour."""
    return moment.replace(minute=moment.minute - moment.minute % 15, second=0, microsecond=0)


def batch_of(entries: list[Entry]) -> Batch:
    """What a run of journal entries means to a telemetry store."""
    samples: list[Sample] = []
    occurrences: list[Occurrence] = []
    frames: list[FrameRow] = []
    for entry in entries:
        for event in events.decode(entry.events):
            if isinstance(event, MeterSampled):
                samples.append(_sample(event))
            elif not isinstance(event, StationSeen):
                occurrences.append(_occurrence(event))
        frames += _frames(entry)
    return Batch(samples, occurrences, frames)


def _sample(event: MeterSampled) -> Sample:
    late = is_late(event)
    return Sample(event.station, event.evse or 0, event.at, event.received_at, late, event.session_id, event.values)


def _occurrence(event: AnyEvent) -> Occurrence:
    return Occurrence(
        event.station,
        getattr(event, "evse", None) or 0,
        event.at,
        event.received_at,
        type(event).__name__,
        "",
        msgspec.json.encode(event).decode(),
    )


def _frames(entry: Entry) -> list[FrameRow]:
    received_at = from_us(entry.received_us)
    rows = []
    if entry.frame:
        text = entry.frame.decode(errors="replace")
        rows.append(FrameRow(entry.station, received_at, entry.direction, entry.source, entry.action, text))
    if entry.reply:
        text = entry.reply.decode(errors="replace")
        rows.append(FrameRow(entry.station, received_at, "<", entry.source, entry.action, text))
    return rows
