"""What a tick looks at: a few set-based reads of the records, the same few for ten stations and for a thousand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from bridge.events import ConnectorStatus
from bridge.session import SessionState
from bridge.stores.database import Database
from bridge.stores.tables import certificates, connectors, rule_states, sessions, sites, stations

HANDLED = "session-ended"  # rule_states: sessions whose end every rule has seen
MOST_ENDS = 5_000  # in one tick: after a long absence the rest is for the next ones, so no transaction is long


class StationFact(msgspec.Struct, frozen=True, kw_only=True):
    """A station that has been heard of at least once."""

    id: str
    name: str = ""
    site_id: str = ""
    site_name: str = ""
    protocol: str = ""
    is_connected: bool = True
    disconnected_at: datetime | None = None
    last_seen_at: datetime | None = None


class FaultFact(msgspec.Struct, frozen=True, kw_only=True):
    """A connector that reports Faulted; evse 0 is the station itself."""

    station: str
    evse: int
    connector: int = 1
    error_code: str = ""
    vendor_error_code: str = ""
    info: str = ""


class EndFact(msgspec.Struct, frozen=True, kw_only=True):
    """A session that has ended and whose end no rule has seen yet."""

    id: str
    station: str
    evse: int
    ended_at: datetime | None
    stop_received_at: datetime
    energy_wh: int
    charging_s: int
    duration_s: int
    cost: str
    currency: str
    stop_reason: str


class CertificateFact(msgspec.Struct, frozen=True, kw_only=True):
    """The newest certificate of its kind that a station, or our own listener, has; not revoked."""

    fingerprint: str
    station: str
    kind: str
    serial: str
    subject: str
    not_after: datetime


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    stations: tuple[StationFact, ...] = ()
    faults: tuple[FaultFact, ...] = ()
    ends: tuple[EndFact, ...] = ()
    certificates: tuple[CertificateFact, ...] = ()

    def names(self) -> dict[str, str]:
        """Station id -> what people call it."""
        return {station.id: station.name or station.id for station in self.stations}


def read_facts(records: Database, now: datetime, window: timedelta) -> Facts:
    """Everything the conditions need. ``window``: how far back to look for ends that were not seen yet.
    Raises RecordsUnavailable."""
    with records.reading() as connection:
        return Facts(
            stations=tuple(_station(row) for row in connection.execute(_STATIONS)),
            faults=tuple(_fault(row) for row in connection.execute(_FAULTS)),
            ends=tuple(_end(row) for row in connection.execute(_ends(now - window))),
            certificates=tuple(_newest(connection.execute(_CERTIFICATES))),
        )


_STATIONS = (
    sa.select(stations, sites.c.name.label("site_name"))
    .select_from(stations.outerjoin(sites))
    .where(stations.c.last_seen_at.is_not(None), stations.c.is_approved.is_not(sa.false()))
)
_CERTIFICATES = (
    sa.select(certificates).where(certificates.c.revoked_at.is_(None)).order_by(certificates.c.not_after.desc())
)
_FAULTS = sa.select(connectors).where(connectors.c.status == str(ConnectorStatus.FAULTED))


def _newest(rows: Iterable[Any]) -> Iterator[CertificateFact]:
    """A renewed certificate is nobody's worry; what stations are called decides, and for the others their subject."""
    seen: set[tuple[str, str]] = set()
    for row in rows:
        key = (row.kind, row.station or row.subject)
        if key not in seen:
            seen.add(key)
            yield CertificateFact(**{name: row._mapping[name] for name in CertificateFact.__struct_fields__})


def _ends(after: datetime) -> sa.Select[Any]:
    is_handled = sa.exists().where(rule_states.c.rule == HANDLED, rule_states.c.subject == sessions.c.id)
    return (
        sa.select(sessions)
        .where(sessions.c.stop_received_at >= after, sessions.c.state == str(SessionState.ENDED), ~is_handled)
        .order_by(sessions.c.stop_received_at, sessions.c.id)
        .limit(MOST_ENDS)
    )


def _station(row: Any) -> StationFact:
    return StationFact(
        id=row.id,
        name=row.name,
        site_id=row.site_id or "",
        site_name=row.site_name or "",
        protocol=row.protocol,
        is_connected=row.is_connected,
        disconnected_at=row.disconnected_at,
        last_seen_at=row.last_seen_at,
    )


def _fault(row: Any) -> FaultFact:
    return FaultFact(**{name: row._mapping[name] for name in FaultFact.__struct_fields__})


def _end(row: Any) -> EndFact:
    known = {name: row._mapping[name] for name in EndFact.__struct_fields__ if name != "duration_s"}
    ended_at = row.ended_at or row.stop_received_at
    return EndFact(**known, duration_s=max(0, int((ended_at - row.started_at) / timedelta(seconds=1))))
