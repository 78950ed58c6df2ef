"""Telemetry in one SQLite file: the embedded default. One process writes, any number read.

Samples are wide rows without rowid on (station, evse, time): a session's curve is one index walk. Fields that
have no column of their own go into ``extra`` as JSON. ``last`` names the newest sample of each EVSE.
"""
# ruff: noqa: S608 (statements are put together from the constants of this file, values are bound)

from __future__ import annotations

import json
import queue
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from bridge.bulk import insert_rows
from bridge.events import from_us, to_us
from bridge.measurands import MEASURANDS
from bridge.stores.hygiene import fingerprint, finite, span, stored_us, whole
from bridge.stores.rollup import FOLLOWED, QUARTER_US, Point, roll
from bridge.stores.telemetry import (
    ANY_FRAME,
    Batch,
    Bucket,
    FrameFilter,
    FrameRow,
    Occurrence,
    Sample,
    StoreRejected,
    StoreUnavailable,
    TotalPoint,
)
from bridge.stores.wal import enter_wal

_BUSY_S = 10.0
_VERSION = 1
_ROLL_ROWS = 5_000  # in one transaction
_EXPIRE_ROWS = 20_000  # at a time, so that a write waits for milliseconds only

# columns of their own: every sum, and the phases of what chargers send by phase
COLUMNS: tuple[str, ...] = (
    *(row.field for row in MEASURANDS),
    *(f"{stem}_{phase}" for stem in ("power_w", "current_a", "voltage_v") for phase in ("l1", "l2", "l3")),
)
_OWN = frozenset(COLUMNS)
_SCHEMA = f"""
CREATE TABLE samples (
  station TEXT NOT NULL, evse INTEGER NOT NULL, at_us INTEGER NOT NULL,
  received_us INTEGER NOT NULL, is_late INTEGER NOT NULL, session_id TEXT NOT NULL,
  {", ".join(f"{name} REAL" for name in COLUMNS)}, extra TEXT,
  PRIMARY KEY (station, evse, at_us)) WITHOUT ROWID;
CREATE TABLE last (
  station TEXT NOT NULL, evse INTEGER NOT NULL, at_us INTEGER NOT NULL,
  PRIMARY KEY (station, evse)) WITHOUT ROWID;
CREATE TABLE occurrences (
  station TEXT NOT NULL, at_us INTEGER NOT NULL, received_us INTEGER NOT NULL, kind TEXT NOT NULL,
  evse INTEGER NOT NULL, mark INTEGER NOT NULL, session_id TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (station, at_us, received_us, kind, evse, mark));
CREATE INDEX occurrences_by_time ON occurrences (at_us);
CREATE TABLE frames (
  station TEXT NOT NULL, received_us INTEGER NOT NULL, direction TEXT NOT NULL, mark INTEGER NOT NULL,
  source TEXT NOT NULL, action TEXT NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY (station, received_us, direction, mark));
CREATE INDEX frames_by_time ON frames (received_us);
CREATE TABLE quarters (
  start_us INTEGER NOT NULL, station TEXT NOT NULL, evse INTEGER NOT NULL,
  energy_wh REAL NOT NULL, power_mean_w REAL NOT NULL, power_max_w REAL NOT NULL, samples INTEGER NOT NULL,
  PRIMARY KEY (start_us, station, evse)) WITHOUT ROWID;
"""
_KEY = ("station", "evse", "at_us")
_HEAD = (*_KEY, "received_us", "is_late", "session_id")
_SAMPLES = f"SELECT {', '.join(_HEAD)}, extra, {', '.join(COLUMNS)}"
_NOTHING = "ON CONFLICT DO NOTHING"
_NEWER = "ON CONFLICT DO UPDATE SET at_us=excluded.at_us WHERE excluded.at_us > at_us"
_RECOMPUTED = """ON CONFLICT DO UPDATE SET energy_wh=excluded.energy_wh,
  power_mean_w=excluded.power_mean_w, power_max_w=excluded.power_max_w, samples=excluded.samples"""
_POINT = ", ".join(Point._fields)
_OF_EVSE = "FROM samples WHERE station=? AND evse=? AND at_us>=? AND at_us<?"


class SqliteTelemetry:
    """A ``TelemetryStore``. Building it opens nothing; the file and its folder are made on first use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: sqlite3.Connection | None = None
        self._write_lock = threading.Lock()
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()

    def write(self, batch: Batch) -> None:
        samples = [_sample_row(sample) for sample in batch.samples]
        newest: dict[tuple[str, int], int] = {}
        for _, (station, evse, at_us, *_) in samples:
            newest[station, evse] = max(at_us, newest.get((station, evse), at_us))
        with self._writing() as connection:
            for columns, run in groupby(samples, itemgetter(0)):  # chargers repeat themselves: runs are long
                insert, on_conflict = _put_sample(columns)
                insert_rows(connection, insert, [row for _, row in run], on_conflict)
            insert_rows(connection, "INSERT INTO last", [(*key, at_us) for key, at_us in newest.items()], _NEWER)
            insert_rows(connection, "INSERT INTO occurrences", [*map(_occurrence_row, batch.occurrences)], _NOTHING)
            insert_rows(connection, "INSERT INTO frames", [*map(_frame_row, batch.frames)], _NOTHING)

    def curve(self, station: str, evse: int, start: datetime, end: datetime) -> list[Sample]:
        query = f"{_SAMPLES} FROM samples WHERE station=? AND evse=? AND at_us>=? AND at_us<? ORDER BY at_us"
        return self._read(_sample, query, whole(station), evse, *span(start, end))

    def last(self, stations: Sequence[str] | None = None) -> list[Sample]:
        chosen, values = _of_stations("WHERE", stations)
        query = f"{_SAMPLES} FROM last JOIN samples USING (station, evse, at_us) {chosen} ORDER BY station, evse"
        return self._read(_sample, query, *values)

    def occurrences(
        self, station: str, start: datetime, end: datetime, limit: int = 500, kinds: Collection[str] = ()
    ) -> list[Occurrence]:
        chosen = f"AND kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
        query = f"""SELECT station, evse, at_us, received_us, kind, session_id, body FROM occurrences
                    WHERE station=? AND at_us>=? AND at_us<? {chosen}
                    ORDER BY at_us DESC, received_us DESC LIMIT ?"""
        return self._read(_occurrence, query, whole(station), *span(start, end), *map(whole, kinds), limit)

    def frames(
        self, station: str, start: datetime, end: datetime, limit: int = 200, only: FrameFilter = ANY_FRAME
    ) -> list[FrameRow]:
        chosen, values = _of_filter(only)
        query = f"""SELECT station, received_us, direction, source, action, text FROM frames
                    WHERE station=? AND received_us>=? AND received_us<? {chosen} ORDER BY received_us DESC LIMIT ?"""
        return self._read(_frame, query, whole(station), *span(start, end), *values, limit)

    def roll_up(self, start: datetime, end: datetime) -> int:
        start_us, end_us = (-(-moment // QUARTER_US) * QUARTER_US for moment in span(start, end))
        rolled = chain.from_iterable(
            roll(station, evse, self._points(station, evse, start_us, end_us), start_us, end_us)
            for station, evse in self._read(tuple, "SELECT station, evse FROM last")
        )
        written = 0
        while buckets := list(islice(rolled, _ROLL_ROWS)):
            with self._writing() as connection:
                insert_rows(connection, "INSERT INTO quarters", [*map(_bucket_row, buckets)], _RECOMPUTED)
            written += len(buckets)
        return written

    def buckets(self, start: datetime, end: datetime, stations: Sequence[str] | None = None) -> list[Bucket]:
        chosen, values = _of_stations("AND", stations)
        query = f"SELECT * FROM quarters WHERE start_us>=? AND start_us<? {chosen} ORDER BY start_us, station, evse"
        return self._read(_bucket, query, *span(start, end), *values)

    def totals(self, start: datetime, end: datetime, stations: Sequence[str] | None = None) -> list[TotalPoint]:
        chosen, values = _of_stations("AND", stations)
        query = f"""SELECT start_us, sum(power_mean_w), sum(energy_wh) FROM quarters
                    WHERE start_us>=? AND start_us<? {chosen} GROUP BY start_us ORDER BY start_us"""
        return self._read(_total, query, *span(start, end), *values)

    def expire(self, now: datetime, raw_days: int, frame_days: int, rollup_days: int) -> None:
        raw_us, frame_us, rollup_us = (to_us(now - timedelta(days=d)) for d in (raw_days, frame_days, rollup_days))
        for station, evse in self._read(tuple, "SELECT station, evse FROM last"):
            self._delete("samples", "at_us", "station=? AND evse=? AND at_us<?", station, evse, raw_us)
        self._delete("occurrences", "at_us", "at_us<?", raw_us)
        self._delete("frames", "received_us", "received_us<?", frame_us)
        self._delete("quarters", "start_us", "start_us<?", rollup_us)

    def check(self) -> None:
        self._read(tuple, "SELECT count(*) FROM last")

    def close(self) -> None:
        with self._write_lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _points(self, station: str, evse: int, start_us: int, end_us: int) -> list[Point]:
        """The samples of the range, and the neighbours that a rollup wants."""
        points = self._read(Point._make, f"SELECT {_POINT} {_OF_EVSE} ORDER BY at_us", station, evse, start_us, end_us)
        before, after = [], []
        for field, gap_us in FOLLOWED.items():
            nearest = f"SELECT at_us, {field}, session_id {_OF_EVSE} AND {field} IS NOT NULL ORDER BY at_us"
            earlier = self._read(tuple, f"{nearest} DESC LIMIT 1", station, evse, start_us - gap_us, start_us)
            later = self._read(tuple, f"{nearest} LIMIT 1", station, evse, end_us, end_us + gap_us)
            before += [Point(at_us, session_id=of, **{field: value}) for at_us, value, of in earlier]
            after += [Point(at_us, session_id=of, **{field: value}) for at_us, value, of in later]
        return [*before, *points, *after]

    def _delete(self, table: str, time: str, condition: str, *values: Any) -> None:
        """Oldest first, a slice at a time. The last of ``values`` is the time that ends what goes."""
        slice_end = f"SELECT {time} + 1 FROM {table} WHERE {condition} ORDER BY {time} LIMIT 1 OFFSET {_EXPIRE_ROWS}"
        while True:
            more = self._read(tuple, slice_end, *values)
            limit = more[0][0] if more else values[-1]
            with self._writing() as connection:
                connection.execute(f"DELETE FROM {table} WHERE {condition}", (*values[:-1], limit))
            if not more:
                return

    def _read(self, shape: Callable[[Any], Any], query: str, *values: Any) -> list[Any]:
        with _translated(), self._reading() as connection:
            return [shape(row) for row in connection.execute(query, values)]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = _open(self._path)
        try:
            yield connection
        finally:
            self._idle.put(connection)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._write_lock, _translated():
            if self._writer is None:
                self._writer = _open(self._path)
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        # FULL: the journal's cursor moves on our word, so a commit must survive a power cut
        # and a checkpoint seldom enough that a page written in every batch is copied once for many
        connection.executescript(
            "PRAGMA synchronous=FULL; PRAGMA cache_size=-16000; PRAGMA wal_autocheckpoint=8000;"
        )
        if connection.execute("PRAGMA user_version").fetchone()[0] < _VERSION:
            _create(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    enter_wal(connection, _BUSY_S)
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone()[0] < _VERSION:  # nobody was faster
        for statement in _SCHEMA.split(";")[:-1]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={_VERSION}")
    connection.execute("COMMIT")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OverflowError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.IntegrityError) as error:
        raise StoreRejected(f"the telemetry file cannot hold this: {error}") from error
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"the telemetry file does not answer: {error}") from error


def _of_stations(joint: str, stations: Sequence[str] | None) -> tuple[str, list[str]]:
    """A condition and its values. SQLite binds up to 32,766."""
    if stations is None:
        return "", []
    return f"{joint} station IN ({', '.join('?' * len(stations))})", [whole(station) for station in stations]


def _of_filter(only: FrameFilter) -> tuple[str, list[str]]:
    """Conditions on frames and their values. ``lower`` folds ASCII, as the other store does."""
    conditions = {"action=?": only.action, "direction=?": only.direction, "instr(lower(text), lower(?))": only.text}
    named = {condition: whole(value) for condition, value in conditions.items() if value}
    return " ".join(f"AND {condition}" for condition in named), list(named.values())


@lru_cache(maxsize=500)
def _put_sample(columns: tuple[str, ...]) -> tuple[str, str]:
    """Both ends of an upsert of these columns; a second message about the same instant leaves others as they are."""
    names = (*_HEAD, *columns)
    change = ", ".join(
        "extra=json_patch(coalesce(extra, '{}'), excluded.extra)" if name == "extra" else f"{name}=excluded.{name}"
        for name in names
        if name not in _KEY
    )
    return f"INSERT INTO samples ({', '.join(names)})", f"ON CONFLICT DO UPDATE SET {change}"


def _sample_row(s: Sample) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """The columns that the sample fills beside the head, and all its values."""
    head = whole(s.station), s.evse, stored_us(s.at), stored_us(s.received_at), s.is_late, whole(s.session_id)
    values = finite(s.values)
    if _OWN.issuperset(values):
        return tuple(values), (*head, *values.values())
    extra = {whole(name): value for name, value in values.items() if name not in _OWN}
    own = {name: value for name, value in values.items() if name in _OWN}
    return (*own, "extra"), (*head, *own.values(), json.dumps(extra))


def _sample(row: Sequence[Any]) -> Sample:
    station, evse, at_us, received_us, is_late, session_id, extra, *columns = row
    values = {name: value for name, value in zip(COLUMNS, columns, strict=True) if value is not None}
    if extra:
        values |= json.loads(extra)
    return Sample(station, evse, from_us(at_us), from_us(received_us), bool(is_late), session_id, values)


def _occurrence_row(o: Occurrence) -> tuple[Any, ...]:
    kind, body = whole(o.kind), whole(o.body)
    at_us, received_us = stored_us(o.at), stored_us(o.received_at)
    return whole(o.station), at_us, received_us, kind, o.evse, fingerprint(body), whole(o.session_id), body


def _occurrence(row: Sequence[Any]) -> Occurrence:
    station, evse, at_us, received_us, kind, session_id, body = row
    return Occurrence(station, evse, from_us(at_us), from_us(received_us), kind, session_id, body)


def _frame_row(f: FrameRow) -> tuple[Any, ...]:
    text = whole(f.text)
    mark = fingerprint(text)
    return whole(f.station), stored_us(f.received_at), f.direction, mark, whole(f.source), whole(f.action), text


def _frame(row: Sequence[Any]) -> FrameRow:
    station, received_us, *rest = row
    return FrameRow(station, from_us(received_us), *rest)


def _bucket_row(b: Bucket) -> tuple[Any, ...]:
    return to_us(b.start), b.station, b.evse, b.energy_wh, b.power_mean_w, b.power_max_w, b.samples


def _bucket(row: Sequence[Any]) -> Bucket:
    start_us, station, evse, *figures = row
    return Bucket(station, evse, from_us(start_us), *figures)


def _total(row: Sequence[Any]) -> TotalPoint:
    return TotalPoint(from_us(row[0]), row[1], row[2])
