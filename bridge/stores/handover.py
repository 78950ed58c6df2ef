"""What one bridge leaves to the next in the records: a station's last snapshots, and the tariff versions."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from bridge.billing.price import Tariff
from bridge.snapshots import Connector, Snapshot, Station
from bridge.stores import tables
from bridge.stores.records import Records, SessionQuery


class TariffChanged(Exception):
    """A tariff version was given other prices; the message says to give it a new id."""


def snapshots(records: Records, station: str) -> list[Snapshot]:
    """A station, its connectors and its newest sessions as the records hold them, to go on from where another
    bridge stopped. Raises RecordsUnavailable."""
    with records.reading() as connection:
        of_station = {tables.stations: tables.stations.c.id, tables.connectors: tables.connectors.c.station}
        stations, connectors = (
            connection.execute(sa.select(table).where(column == station)).all() for table, column in of_station.items()
        )
    recent = records.sessions(SessionQuery(station=station, limit=20)).items
    sessions = {session.id: session for session in [*recent, *records.open_sessions(station)]}
    return [
        *(_as(Station, row) for row in stations),
        *(_as(Connector, row) for row in connectors),
        *sorted(sessions.values(), key=lambda session: session.started_at),
    ]


def stations_elsewhere(records: Records, bridge: str) -> frozenset[str]:
    """Stations last held by another bridge. Raises RecordsUnavailable."""
    held = sa.select(tables.stations.c.id).where(tables.stations.c.bridge.not_in(["", bridge]))
    with records.reading() as connection:
        return frozenset(connection.execute(held).scalars())


def stations_held(records: Records, bridge: str) -> frozenset[str]:
    """Stations last held by this bridge. Raises RecordsUnavailable."""
    held = sa.select(tables.stations.c.id).where(tables.stations.c.bridge == bridge)
    with records.reading() as connection:
        return frozenset(connection.execute(held).scalars())


def _as(kind: type[Any], row: Any) -> Any:
    known = row._mapping
    fields = {name: known[name] for name in kind.__struct_fields__ if name in known}
    if kind is Station:
        fields["items_per_call"] = fields["items_per_call"] or {}
    if kind is Connector:
        fields["status"] = fields["status"] or None
    return msgspec.convert(fields, kind, strict=False)


def keep_tariff(records: Records, tariff: Tariff) -> dict[str, Tariff]:
    """Register a version and return all of them by id. Raises TariffChanged, RecordsUnavailable."""
    body = msgspec.to_builtins(tariff)
    with records.writing() as connection:
        known = {row.id: row.body for row in connection.execute(sa.select(tables.tariffs))}
        if tariff.id not in known:
            connection.execute(sa.insert(tables.tariffs).values(id=tariff.id, body=body))
    if known.get(tariff.id, body) != body:
        raise TariffChanged(
            f"billing.tariff {tariff.id!r} is on record with other prices and sessions rest on it;"
            " set billing.tariff to a new name for the new prices"
        )
    return {id: msgspec.convert(found, Tariff) for id, found in (known | {tariff.id: body}).items()}
