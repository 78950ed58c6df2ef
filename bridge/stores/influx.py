"""Telemetry in InfluxDB 2: line protocol in through influxdb-client, InfluxQL with bound parameters out.

One string is built per batch and written synchronously: a ``Point`` object costs six times as much, and the
client's batching writer drops what it cannot deliver. Measurements: ``samples``, ``occurrences``, ``frames``,
``quarters``. Sources: InfluxDB 2.7 API reference, ``/api/v2/write``, ``/api/v2/delete`` and the 1.x compatible
``/query``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

import msgspec
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from bridge.events import from_us
from bridge.settings import Influx
from bridge.stores import lines
from bridge.stores.hygiene import span, whole
from bridge.stores.rollup import FOLLOWED, QUARTER_US, roll
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

T = TypeVar("T", Sample, Bucket)

_REFUSED = frozenset({400, 413, 422})  # anything else may be mended without losing the batch
_ROLL_US = 3_600_000_000  # raw samples asked for at a time
_MAX_NAMED = 50  # more stations than this are picked here instead of in the query
_POINT = ", ".join([*FOLLOWED, "session_id"])
_BY_EVSE = "GROUP BY station, evse"
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class _Series(msgspec.Struct):
    columns: list[str]
    values: list[list[Any]]
    tags: dict[str, str] = {}


class _Result(msgspec.Struct):
    series: list[_Series] = []
    error: str = ""


class _Answer(msgspec.Struct):
    results: list[_Result] = []


class _Where(NamedTuple):
    """Conditions and the values bound to their ``$names``."""

    conditions: list[str]
    bound: dict[str, Any]


class InfluxTelemetry:
    """A ``TelemetryStore``. Building it opens nothing. Retention is by the delete API, since one bucket holds
    what is kept for weeks and what is kept for years; the token has to read and write the bucket."""

    def __init__(self, settings: Influx) -> None:
        self._settings = settings
        self._client: Any = InfluxDBClient(  # its own types are in part missing
            url=settings.url.rstrip("/"),
            token=settings.token.get_secret_value(),
            org=settings.org,
            timeout=int(settings.timeout_s * 1000),
            enable_gzip=settings.gzip,
        )
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, batch: Batch) -> None:
        written = [lines.sample_line(sample) for sample in batch.samples]
        written += [lines.occurrence_line(occurrence) for occurrence in batch.occurrences]
        written += [lines.frame_line(frame) for frame in batch.frames]
        self._write(written)

    def curve(self, station: str, evse: int, start: datetime, end: datetime) -> list[Sample]:
        where = _where(span(start, end), station=lines.tag(station), evse=str(evse))
        return [lines.sample(row) for row in _whole("samples", self._rows("SELECT * FROM samples", where))]

    def last(self, stations: Sequence[str] | None = None) -> list[Sample]:
        newest = f"{_BY_EVSE} ORDER BY time DESC LIMIT 1"
        rows = self._rows("SELECT * FROM samples", _where(None, stations), newest)
        found = _picked(map(lines.sample, _whole("samples", rows)), stations)
        return sorted(found, key=lambda s: (s.station, s.evse))

    def occurrences(
        self, station: str, start: datetime, end: datetime, limit: int = 500, kinds: Collection[str] = ()
    ) -> list[Occurrence]:
        where = _any_of(_where(span(start, end), station=lines.tag(station)), "kind", kinds)
        rows = self._rows("SELECT * FROM occurrences", where, f"ORDER BY time DESC LIMIT {int(limit)}")
        found = map(lines.occurrence, _whole("occurrences", rows))
        return sorted(found, key=lambda o: (o.at, o.received_at), reverse=True)

    def frames(
        self, station: str, start: datetime, end: datetime, limit: int = 200, only: FrameFilter = ANY_FRAME
    ) -> list[FrameRow]:
        where = _filtered(_where(span(start, end), station=lines.tag(station)), only)
        rows = self._rows("SELECT * FROM frames", where, f"ORDER BY time DESC LIMIT {int(limit)}")
        return [lines.frame(row) for row in _whole("frames", rows)]

    def roll_up(self, start: datetime, end: datetime) -> int:
        at_us, end_us = (-(-moment // QUARTER_US) * QUARTER_US for moment in span(start, end))
        written = 0
        while at_us < end_us:
            step_us = min(at_us + _ROLL_US, end_us)
            buckets = self._rolled(at_us, step_us)
            self._write([lines.bucket_line(bucket) for bucket in buckets])
            written += len(buckets)
            at_us = step_us if buckets else self._next_quarter(step_us, end_us)
        return written

    def buckets(self, start: datetime, end: datetime, stations: Sequence[str] | None = None) -> list[Bucket]:
        rows = self._rows("SELECT * FROM quarters", _where(span(start, end), stations))
        found = _picked(map(lines.bucket, _whole("quarters", rows)), stations)
        return sorted(found, key=lambda b: (b.start, b.station, b.evse))

    def totals(self, start: datetime, end: datetime, stations: Sequence[str] | None = None) -> list[TotalPoint]:
        if stations is not None and len(stations) > _MAX_NAMED:
            return _summed(self.buckets(start, end, stations))
        sums = "SELECT sum(power_mean_w) AS power, sum(energy_wh) AS energy FROM quarters"
        rows = self._rows(sums, _where(span(start, end), stations), "GROUP BY time(15m) fill(none)")
        return [TotalPoint(from_us(row["time"]), float(row["power"]), float(row["energy"])) for row in rows]

    def expire(self, now: datetime, raw_days: int, frame_days: int, rollup_days: int) -> None:
        kept = {"samples": raw_days, "occurrences": raw_days, "frames": frame_days, "quarters": rollup_days}
        with _translated():
            for measurement, days in kept.items():
                limit = now.astimezone(UTC) - timedelta(days=days, microseconds=1)
                self._client.delete_api().delete(
                    _BEGINNING,
                    f"{limit:%Y-%m-%dT%H:%M:%S.%f}999Z",  # the API counts the end in, to the nanosecond
                    f'_measurement="{measurement}"',
                    bucket=self._settings.bucket,
                    org=self._settings.org,
                )

    def check(self) -> None:
        self._query("SHOW FIELD KEYS FROM samples LIMIT 1", {})  # an error where there is no such bucket

    def close(self) -> None:
        self._client.close()

    def _rolled(self, start_us: int, end_us: int) -> list[Bucket]:
        """Buckets from the samples of the range, and the neighbours that a rollup wants."""
        rows = self._rows(f"SELECT {_POINT} FROM samples", _where((start_us, end_us)), _BY_EVSE)  # noqa: S608
        for field, gap_us in FOLLOWED.items():
            nearest = "SELECT {0}({1}) AS {1}, session_id FROM samples"
            rows += self._rows(nearest.format("last", field), _where((start_us - gap_us, start_us)), _BY_EVSE)
            rows += self._rows(nearest.format("first", field), _where((end_us, end_us + gap_us)), _BY_EVSE)
        rows.sort(key=lambda row: (*lines.evse_of(row), row["time"]))
        buckets = []
        for (station, evse), of_evse in groupby(rows, lines.evse_of):
            buckets += roll(station, evse, [lines.point(row) for row in of_evse], start_us, end_us)
        return buckets

    def _next_quarter(self, start_us: int, end_us: int) -> int:
        """Where the next samples are: a range may begin years before them."""
        found = self._rows("SELECT first(received_us) FROM samples", _where((start_us, end_us)))
        return int(found[0]["time"] // QUARTER_US * QUARTER_US) if found else end_us

    def _write(self, written: Sequence[str]) -> None:
        if written:
            with _translated():
                self._writer.write(self._settings.bucket, self._settings.org, "\n".join(written).encode())

    def _rows(self, select: str, where: _Where, rest: str = "") -> list[lines.Row]:
        conditions = f"WHERE {' AND '.join(where.conditions)}" if where.conditions else ""
        series = self._query(f"{select} {conditions} {rest}", where.bound)
        return [s.tags | dict(zip(s.columns, row, strict=True)) for s in series for row in s.values]

    def _query(self, text: str, bound: dict[str, Any]) -> list[_Series]:
        api = self._client.api_client
        parameters = {
            "db": self._settings.bucket,  # a bucket is reachable as a database of its name
            "epoch": "u",
            "q": text,
            "params": msgspec.json.encode(bound).decode(),
        }
        url = f"{api.configuration.host}/query"
        with _translated():
            answer = api.rest_client.request("GET", url, parameters, dict(api.default_headers))
        result = msgspec.json.decode(answer.data, type=_Answer).results[0]
        if result.error:
            raise StoreUnavailable(f"InfluxDB cannot answer: {result.error}")
        return result.series


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        if error.status in _REFUSED:
            raise StoreRejected(f"InfluxDB refuses this: {_message(error)}") from error
        raise StoreUnavailable(f"InfluxDB does not take this now: {_message(error)}") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise StoreUnavailable(f"InfluxDB does not answer: {error}") from error


def _message(error: ApiException) -> str:
    """InfluxDB quotes a refused line in full: its beginning is enough."""
    return f"{error.status} {error.body or error.reason}"[:300]


def _where(range_us: tuple[int, int] | None, stations: Sequence[str] | None = None, **tags: str) -> _Where:
    conditions = [f'"{name}" = ${name}' for name in tags]
    bound: dict[str, Any] = dict(tags)
    if range_us is not None:
        conditions += ["time >= $start", "time < $end"]
        bound |= {name: from_us(us).isoformat() for name, us in zip(("start", "end"), range_us, strict=True)}
    if stations is not None and len(stations) <= _MAX_NAMED:
        named = {f"s{number}": lines.tag(station) for number, station in enumerate(stations)}
        conditions.append("(" + " OR ".join(f'"station" = ${name}' for name in named or {"none": ""}) + ")")
        bound |= named or {"none": ""}
    return _Where(conditions, bound)


def _any_of(where: _Where, tag: str, values: Collection[str]) -> _Where:
    if not values:
        return where
    bound = {f"{tag}{number}": lines.tag(value) for number, value in enumerate(values)}
    either = " OR ".join(f'"{tag}" = ${name}' for name in bound)
    return _Where([*where.conditions, f"({either})"], where.bound | bound)


def _filtered(where: _Where, only: FrameFilter) -> _Where:
    """A long text lies in several fields: what is looked for is found in the first of them, 15,000 characters."""
    conditions, bound = list(where.conditions), dict(where.bound)
    for field, value in (("action", whole(only.action)), ("direction", lines.tag(only.direction))):
        if value:
            conditions.append(f'"{field}" = ${field}')
            bound[field] = value
    if only.text:
        conditions.append('"text_0" =~ $text')
        bound["text"] = {"regex": "(?i)" + re.escape(whole(only.text))}
    return _Where(conditions, bound)


def _whole(measurement: str, rows: Iterable[lines.Row]) -> Iterator[lines.Row]:
    """Without rows that are being written: InfluxDB shows the fields of a point one by one as they arrive."""
    always = lines.ALWAYS[measurement]
    return (row for row in rows if all(row.get(name) is not None for name in always))


def _picked(rows: Iterator[T], stations: Sequence[str] | None) -> list[T]:
    wanted = None if stations is None else {whole(station) for station in stations}
    return [row for row in rows if wanted is None or row.station in wanted]


def _summed(buckets: Sequence[Bucket]) -> list[TotalPoint]:
    return [
        TotalPoint(start, sum(b.power_mean_w for b in of_start), sum(b.energy_wh for b in of_start))
        for start, of_start in ((start, list(group)) for start, group in groupby(buckets, lambda b: b.start))
    ]
