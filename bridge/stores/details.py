"""What stations have, by kind and key: device model, configuration, profiles, reservations, progress, traits ...

One row a thing, the newest word stands. The bridge writes (``DetailsProjection``), pages and REST read. What one
station may have is bounded, in rows and in what each holds: beyond that what was told the longest ago goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
import structlog

from bridge.events import Detail, DetailKind, DetailsReported
from bridge.stores.database import Database, RecordsRejected
from bridge.stores.joining import JOINED, joined, part
from bridge.stores.learned import facts_of, learn
from bridge.stores.records import upsert_newer
from bridge.stores.tables import station_details

_log = structlog.get_logger("details")
_KEYS_A_QUERY = 250
_MAX_KEY = 1_000  # a longer key is cut: an index cannot hold it, and no charger needs it
_MAX_ROWS = {DetailKind.VARIABLE: 20_000, DetailKind.CUSTOMER: 20}  # of one station; big device models have 10,000
_MAX_OTHER_ROWS = 2_000
_MAX_BODY = {DetailKind.VARIABLE: 10_000, DetailKind.CUSTOMER: 3_000_000, DetailKind.LIST: 3_000_000}  # characters
_MAX_OTHER_BODY = 300_000  # a charging profile of 1024 periods fits three times


class DetailRow(msgspec.Struct, frozen=True, kw_only=True):
    """One detail as recorded. ``at`` is the station's time, ``received_at`` ours."""

    station: str
    kind: DetailKind
    key: str
    evse: int | None
    body: dict[str, Any]
    at: datetime
    received_at: datetime


class Details:
    """Raises RecordsUnavailable from any method while the database does not answer."""

    def __init__(self, records: Database) -> None:
        self._records = records

    def take(self, events: Iterable[DetailsReported]) -> None:
        """Take in reports in the order of their receipt; a replay changes nothing. What they teach about connectors
        goes to the connectors. Raises RecordsRejected when a report can never be stored, after storing all others."""
        steps = _steps(events)
        try:
            with self._records.writing() as connection:
                for step in steps:
                    _take(connection, step)
        except RecordsRejected:
            self._take_one_by_one(steps)

    def of_station(self, station: str, *kinds: DetailKind) -> list[DetailRow]:
        """By kind and key; every kind when none is named."""
        query = sa.select(station_details).where(station_details.c.station == station)
        if kinds:
            query = query.where(station_details.c.kind.in_([str(kind) for kind in kinds]))
        with self._records.reading() as connection:
            return [_row(found) for found in connection.execute(query.order_by(*station_details.primary_key))]

    def page(
        self, station: str, kinds: Iterable[DetailKind], after: tuple[str, str], limit: int
    ) -> list[DetailRow]:
        """The first ``limit`` behind the (kind, key) ``after``, by kind and key; ("", "") begins."""
        table = station_details.c
        behind = (table.kind > after[0]) | ((table.kind == after[0]) & (table.key > after[1]))
        wanted = (table.station == station) & table.kind.in_([str(kind) for kind in kinds]) & behind
        query = sa.select(station_details).where(wanted).order_by(table.kind, table.key).limit(limit)
        with self._records.reading() as connection:
            return [_row(found) for found in connection.execute(query)]

    def of_kind(self, kind: DetailKind, key: str | None = None) -> list[DetailRow]:
        """Of every station, by station and key."""
        query = sa.select(station_details).where(station_details.c.kind == str(kind))
        if key is not None:
            query = query.where(station_details.c.key == key)
        with self._records.reading() as connection:
            return [_row(found) for found in connection.execute(query.order_by(*station_details.primary_key))]

    def _take_one_by_one(self, steps: list[_Step]) -> None:
        refused = []
        for step in steps:
            for row in step.rows:
                try:
                    with self._records.writing() as connection:
                        _take(connection, _Step(step.is_gone, [row]))
                except RecordsRejected as error:
                    refused.append(f"{row['station']} {row['kind']} {row['key']}: {error}")
        if refused:
            raise RecordsRejected("; ".join(refused[:20]))


class _Step(NamedTuple):
    """A run of what came, or of what went; within it one row a key."""

    is_gone: bool
    rows: list[dict[str, Any]]


def _steps(events: Iterable[DetailsReported]) -> list[_Step]:
    """Runs in their order; within a run each key once, with the last word, or all parts of it."""
    runs: list[tuple[bool, dict[tuple[str, ...], dict[str, Any]]]] = []
    for event in events:
        if not runs or runs[-1][0] is not event.is_gone:
            runs.append((event.is_gone, {}))
        rows = runs[-1][1]
        for detail in event.details:
            row = _new_row(event, detail)
            place = (row["station"], row["kind"], row["key"], str(detail.body) if detail.key == Detail.ANY else "")
            rows[place] = row if event.is_gone else _after(rows.get(place), row)
    # in the order of the key, so that two bridges that write at once cannot lock each other out
    return [_Step(is_gone, [rows[place] for place in sorted(rows)]) for is_gone, rows in runs]


def _new_row(event: DetailsReported, detail: Detail) -> dict[str, Any]:
    body = detail.body
    if event.kind is DetailKind.CUSTOMER and not event.is_gone:
        body = part(body.get("text", ""), event.seq_no, event.more)
    if len(repr(body)) > _MAX_BODY.get(event.kind, _MAX_OTHER_BODY):
        body = {"isCut": True}  # the whole of it is in the frames
    return {
        "station": event.station,
        "kind": str(event.kind),
        "key": detail.key[:_MAX_KEY],
        "evse": detail.evse,
        "body": body,
        "at": event.at,
        "received_at": event.received_at,
    }


def _after(known: dict[str, Any] | None, row: dict[str, Any]) -> dict[str, Any]:
    if known is None:
        return row
    return row | {"body": joined(DetailKind(row["kind"]), known["body"], row["body"])}


def _take(connection: sa.Connection, step: _Step) -> None:
    if not step.rows:
        return
    if step.is_gone:
        for row in step.rows:
            _delete(connection, row)
        return
    rows = _joined_to_known(connection, step.rows)
    upsert_newer(connection, station_details, rows, "received_at")
    variables = [row for row in rows if row["kind"] == DetailKind.VARIABLE]
    learn(connection, [fact for row in variables for fact in facts_of(row["station"], row["body"])])
    for station, kind in sorted({(row["station"], row["kind"]) for row in rows}):
        _bound(connection, station, DetailKind(kind))


def _bound(connection: sa.Connection, station: str, kind: DetailKind) -> None:
    table, most = station_details.c, _MAX_ROWS.get(kind, _MAX_OTHER_ROWS)
    here = (table.station == station) & (table.kind == str(kind))
    if connection.execute(sa.select(sa.func.count()).where(here)).scalar_one() <= most:
        return
    newest = sa.select(table.key).where(here).order_by(table.received_at.desc(), table.key).limit(most)
    connection.execute(sa.delete(station_details).where(here, table.key.not_in(newest.scalar_subquery())))
    _log.warning("a station tells more than is kept: the oldest goes", station=station, kind=kind, kept=most)


def _joined_to_known(connection: sa.Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with what was known before of the things that are told in parts. What is known and newer stays as it is."""
    wanted = [row for row in rows if DetailKind(row["kind"]) in JOINED]
    known: dict[tuple[str, ...], dict[str, Any]] = {}
    table = station_details.c
    for start in range(0, len(wanted), _KEYS_A_QUERY):
        places = [(row["station"], row["kind"], row["key"]) for row in wanted[start : start + _KEYS_A_QUERY]]
        query = sa.select(station_details).where(sa.tuple_(table.station, table.kind, table.key).in_(places))
        known |= {(found.station, found.kind, found.key): dict(found._mapping) for found in connection.execute(query)}
    return [
        row if before is None or before["received_at"] >= row["received_at"] else _after(before, row)
        for row in rows
        for before in [known.get((row["station"], row["kind"], row["key"]))]
    ]


def _delete(connection: sa.Connection, row: dict[str, Any]) -> None:
    """What was told before this; of ``Detail.ANY`` all whose body and EVSE match."""
    table = station_details.c
    of_kind = (table.station == row["station"]) & (table.kind == row["kind"])
    of_kind &= table.received_at <= row["received_at"]
    if row["key"] != Detail.ANY:
        connection.execute(sa.delete(station_details).where(of_kind, table.key == row["key"]))
        return
    if row["evse"] is not None:
        of_kind &= table.evse == row["evse"]
    found = connection.execute(sa.select(table.key, table.body).where(of_kind)).all()
    for key, body in found:
        if row["body"].items() <= body.items():
            connection.execute(sa.delete(station_details).where(of_kind, table.key == key))


def _row(found: Any) -> DetailRow:
    row: Mapping[str, Any] = found._mapping
    return DetailRow(**{**row, "kind": DetailKind(row["kind"])})
