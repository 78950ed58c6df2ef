"""What stations have, by kind and key: device model, configuration, profiles, reservations, progress, traits ...

One row a thing, the newest word stands. The bridge writes (``DetailsProjection``), pages and REST read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from bridge.events import DetailKind, DetailsReported
from bridge.stores.database import Database, RecordsRejected
from bridge.stores.records import upsert_newer
from bridge.stores.tables import station_details

_MAX_KEY = 1_000  # a longer key is cut: an index cannot hold it, and no charger needs it


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
        """Take in reports in the order of their receipt; a replay changes nothing. Raises RecordsRejected when a
        report can never be stored, after storing all others."""
        steps = _steps(events)
        try:
            with self._records.writing() as connection:
                for step in steps:
                    _take(connection, *step)
        except RecordsRejected:
            self._take_one_by_one(steps)

    def of_station(self, station: str, *kinds: DetailKind) -> list[DetailRow]:
        """By kind and key; every kind when none is named."""
        query = sa.select(station_details).where(station_details.c.station == station)
        if kinds:
            query = query.where(station_details.c.kind.in_([str(kind) for kind in kinds]))
        with self._records.reading() as connection:
            return [_row(found) for found in connection.execute(query.order_by(*station_details.primary_key))]

    def of_kind(self, kind: DetailKind, key: str | None = None) -> list[DetailRow]:
        """Of every station, by station and key."""
        query = sa.select(station_details).where(station_details.c.kind == str(kind))
        if key is not None:
            query = query.where(station_details.c.key == key)
        with self._records.reading() as connection:
            return [_row(found) for found in connection.execute(query.order_by(*station_details.primary_key))]

    def _take_one_by_one(self, steps: list[tuple[bool, list[dict[str, Any]]]]) -> None:
        refused = []
        for is_gone, rows in steps:
            for row in rows:
                try:
                    with self._records.writing() as connection:
                        _take(connection, is_gone, [row])
                except RecordsRejected as error:
                    refused.append(f"{row['station']} {row['kind']} {row['key']}: {error}")
        if refused:
            raise RecordsRejected("; ".join(refused[:20]))


def _steps(events: Iterable[DetailsReported]) -> list[tuple[bool, list[dict[str, Any]]]]:
    """Runs of what came and what went, in their order; within a run the last word on a key."""
    steps: list[tuple[bool, dict[tuple[str, ...], dict[str, Any]]]] = []
    for event in events:
        if not steps or steps[-1][0] is not event.is_gone:
            steps.append((event.is_gone, {}))
        for detail in event.details:
            row = {
                "station": event.station,
                "kind": str(event.kind),
                "key": detail.key[:_MAX_KEY],
                "evse": detail.evse,
                "body": detail.body,
                "at": event.at,
                "received_at": event.received_at,
            }
            steps[-1][1][event.station, str(event.kind), detail.key] = row
    # in the order of the key, so that two bridges that write at once cannot lock each other out
    return [(is_gone, [rows[key] for key in sorted(rows)]) for is_gone, rows in steps]


def _take(connection: sa.Connection, is_gone: bool, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    if not is_gone:
        upsert_newer(connection, station_details, rows, "received_at")
        return
    table = station_details.c
    for row in rows:
        known = (table.station == row["station"]) & (table.kind == row["kind"]) & (table.key == row["key"])
        connection.execute(sa.delete(station_details).where(known, table.received_at <= row["received_at"]))


def _row(found: Any) -> DetailRow:
    row: Mapping[str, Any] = found._mapping
    return DetailRow(**{**row, "kind": DetailKind(row["kind"])})
