"""Stations, connectors and sessions for the tests of the alarms, written as the road writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.events import ConnectorStatus
from bridge.session import Session, SessionState
from bridge.snapshots import Connector, Station
from bridge.stores.records import Records

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_revisions = iter(range(1, 1_000_000))


def ago(**time: float) -> datetime:
    return NOW - timedelta(**time)


def station(id: str = "CP1", **change: Any) -> Station:
    known: dict[str, Any] = {"protocol": "ocpp1.6", "is_connected": True, "last_seen_at": NOW}
    return Station(id=id, revision=next(_revisions), **(known | change))


def offline(id: str = "CP1", since: datetime = NOW) -> Station:
    return station(id, is_connected=False, disconnected_at=since, last_seen_at=since)


def connector(status: ConnectorStatus, error_code: str = "NoError", **change: Any) -> Connector:
    known: dict[str, Any] = {"station": "CP1", "evse": 1, "status_at": NOW, "status_received_at": NOW}
    return Connector(status=status, error_code=error_code, revision=next(_revisions), **(known | change))


def session(id: str = "s1", reason: str = "Local", ended: datetime = NOW, **change: Any) -> Session:
    known: dict[str, Any] = {
        "station": "CP1",
        "evse": 1,
        "transaction_id": "77",
        "state": SessionState.ENDED,
        "started_at": ended - timedelta(hours=1),
        "start_received_at": ended - timedelta(hours=1),
        "ended_at": ended,
        "stop_received_at": ended,
        "energy_wh": 12_340,
        "cost": "6.05",
        "stop_reason": reason,
    }
    return Session(id=id, revision=next(_revisions), **(known | change))


def write(records: Records, *things: Station | Connector | Session) -> None:
    records.upsert(
        [t for t in things if isinstance(t, Station)],
        [t for t in things if isinstance(t, Connector)],
        [t for t in things if isinstance(t, Session)],
    )
