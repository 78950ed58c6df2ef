"""The records: stations, connectors, sites and sessions as the road leaves them and people complete them.

The bridge writes snapshots (``upsert``), the dashboard, the alerts and the REST interface read. What people
edit (site, name, approval, key, connector type, rated power) is never touched by a snapshot.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from bridge import access
from bridge.events import ConnectorStatus, EnergySource
from bridge.evidence import Evidence
from bridge.grades import grade
from bridge.session import OPEN_STATES, Session, SessionState
from bridge.snapshots import Connector, Station
from bridge.stores import tables
from bridge.stores.database import Database, RecordsRejected, RecordsUnavailable
from bridge.stores.shapes import (
    MAX_PAGE,
    BadCursor,
    ConnectorRow,
    DayTotals,
    Page,
    SessionQuery,
    Site,
    StationRow,
    Success,
    Usual,
    decode_cursor,
    encode_cursor,
)

__all__ = [
    "BadCursor",
    "ConnectorRow",
    "DayTotals",
    "Page",
    "Records",
    "RecordsRejected",
    "RecordsUnavailable",
    "SessionQuery",
    "Site",
    "StationRow",
    "Success",
    "Usual",
    "decode_cursor",
    "encode_cursor",
]

T = TypeVar("T")

DELIVERED_WH = 100  # a session below both of these is a failed plug-in
DELIVERED_S = 120
WEEKS_BACK = 4


class Records(Database):
    """Raises RecordsUnavailable from any method while the database does not answer."""

    # ---- the road writes

    def upsert(
        self,
        stations: Sequence[Station] = (),
        connectors: Sequence[Connector] = (),
        sessions: Sequence[Session] = (),
    ) -> None:
        """Take in snapshots in one transaction; an older or equal revision than the recorded one changes nothing.

        Raises RecordsRejected when rows can never be stored, after storing all others.
        """
        jobs = [
            *_rows(tables.stations, stations),
            *_rows(tables.connectors, connectors),
            *_rows(tables.sessions, sessions),
        ]
        try:
            with self.writing() as connection:
                for table in (tables.stations, tables.connectors, tables.sessions):
                    if rows := [row for of, row in jobs if of is table]:
                        upsert_newer(connection, table, rows)
        except RecordsRejected:
            self._upsert_one_by_one(jobs)

    def _upsert_one_by_one(self, jobs: Sequence[tuple[sa.Table, dict[str, Any]]]) -> None:
        refused = []
        for table, row in jobs:
            try:
                with self.writing() as connection:
                    upsert_newer(connection, table, [row])
            except RecordsRejected as error:
                key = "/".join(str(row[column.name]) for column in table.primary_key)
                refused.append(f"{table.name} {key}: {error}")
        if refused:
            raise RecordsRejected("; ".join(refused))

    # ---- sessions

    def open_sessions(self, station: str | None = None) -> list[Session]:
        """Sessions that have not ended, oldest first."""
        sessions = tables.sessions
        query = sa.select(sessions).where(sessions.c.state.in_([str(s) for s in OPEN_STATES]))
        if station is not None:
            query = query.where(sessions.c.station == station)
        return self._all(query.order_by(sessions.c.started_at, sessions.c.id), _session)

    def session(self, id: str) -> Session | None:
        return self._first(sa.select(tables.sessions).where(tables.sessions.c.id == id), _session)

    def sessions(self, query: SessionQuery = SessionQuery()) -> Page[Session]:  # noqa: B008 (frozen)
        """Newest first by (started_at, id), in pages that stay in step while rows arrive. Raises BadCursor."""
        sessions = tables.sessions
        limit = min(max(query.limit, 1), MAX_PAGE)
        statement = sa.select(sessions).where(*_conditions(query))
        statement = statement.order_by(sessions.c.started_at.desc(), sessions.c.id.desc()).limit(limit + 1)
        found = self._all(statement, _session)
        last = found[limit - 1] if len(found) > limit else None
        return Page(found[:limit], encode_cursor(last.started_at, last.id) if last else None)

    # ---- stations, connectors, sites

    def stations(self, site: str | None = None) -> list[StationRow]:
        """All stations, or those of a site, by id."""
        query = _STATIONS.order_by(tables.stations.c.id)
        return self._all(query if site is None else query.where(tables.stations.c.site_id == site), _station)

    def station(self, id: str) -> StationRow | None:
        return self._first(_STATIONS.where(tables.stations.c.id == id), _station)

    def connectors(self, station: str | None = None) -> list[ConnectorRow]:
        """By station, evse, connector."""
        connectors = tables.connectors
        query = sa.select(connectors).order_by(*connectors.primary_key)
        return self._all(query if station is None else query.where(connectors.c.station == station), _connector)

    def sites(self) -> list[Site]:
        return self._all(sa.select(tables.sites).order_by(tables.sites.c.name), _site)

    def save_site(self, site: Site) -> None:
        """Add a site or replace what is known of it."""
        self._save(tables.sites, msgspec.structs.asdict(site))

    def assign_site(self, station: str, site: str | None) -> None:
        """Put a station (known yet or not) on a site. Raises RecordsRejected when there is no such site."""
        self._save(tables.stations, {"id": station, "site_id": site})

    def approve_station(self, station: str, is_approved: bool) -> None:
        """A person's word on a station: let in, or held."""
        self._save(tables.stations, {"id": station, "is_approved": is_approved})

    def policy(self, station: str) -> dict[str, Any]:
        """A person's word on a station's ways; what is known of its model is not in it."""
        found = self._all(sa.select(tables.stations.c.policy).where(tables.stations.c.id == station), _first)
        return dict(found[0] or {}) if found else {}

    def rate_connector(
        self, station: str, evse: int, connector: int, kind: str, rated_power_w: int | None
    ) -> None:
        """What a person knows of a connector: its type ("CCS2") and rated power."""
        key = {"station": station, "evse": evse, "connector": connector}
        self._save(tables.connectors, key | {"kind": kind, "rated_power_w": rated_power_w})

    def directory(self) -> access.Directory:
        """Who may come in. A station nobody has decided about is not in it: the policy for unknown ones holds."""
        stations, tokens = tables.stations, tables.driver_tokens
        joined = stations.outerjoin(tables.sites, tables.sites.c.id == stations.c.site_id)
        chosen = sa.select(stations, tables.sites.c.timezone).select_from(joined)
        decided = chosen.where(stations.c.is_approved.is_not(None))
        revoked = sa.select(tables.certificates.c.fingerprint).where(tables.certificates.c.revoked_at.is_not(None))
        with self.reading() as connection:
            entries = [_station_entry(row) for row in connection.execute(decided)]
            accepted = [_token_entry(row) for row in connection.execute(sa.select(tokens))]
            shut = frozenset(connection.execute(revoked).scalars())
        return access.Directory(
            stations={e.id: e for e in entries}, tokens={e.token: e for e in accepted}, revoked=shut
        )

    # ---- figures of a day

    def day_totals(self, start: datetime, end: datetime) -> DayTotals:
        """Sessions that started or ended in [start, end), and the energy and gross revenue of the ended."""
        sessions = tables.sessions
        ended = (
            sa.select(sessions.c.currency, sessions.c.cost, sa.func.count(), sa.func.sum(sessions.c.energy_wh))
            .where(*_ended(start, end))
            .group_by(sessions.c.currency, sessions.c.cost)
        )
        with self.reading() as connection:
            started = connection.execute(_count_started(start, end)).scalar_one()
            groups = connection.execute(ended).all()
        revenue: dict[str, Decimal] = {}
        for currency, cost, count, _ in groups:
            revenue[currency] = revenue.get(currency, Decimal()) + Decimal(cost) * count
        return DayTotals(started, sum(g[2] for g in groups), sum(int(g[3]) for g in groups), revenue)

    def success(self, start: datetime, end: datetime) -> Success:
        """Of the sessions that ended in [start, end), those that delivered 100 Wh or charged for two minutes."""
        sessions = tables.sessions
        delivered = (sessions.c.energy_wh >= DELIVERED_WH) | (sessions.c.charging_s >= DELIVERED_S)
        query = sa.select(sa.func.count(), sa.func.count().filter(delivered)).where(*_ended(start, end))
        with self.reading() as connection:
            ended, good = connection.execute(query).one()
        return Success(ended, good, good / ended if ended else None)

    def usual(self, day_start: datetime, now: datetime) -> Usual | None:
        """How many sessions had typically started between the day's start and this time of day, over the last
        four same weekdays; ``None`` when the records do not reach back one. Times in the site's own zone keep
        the comparison right over a change of the clocks.
        """
        sessions = tables.sessions
        with self.reading() as connection:
            first = connection.execute(sa.select(sa.func.min(sessions.c.started_at))).scalar_one()
            counts = [
                connection.execute(_count_started(day_start - back, now - back)).scalar_one()
                for back in (timedelta(weeks=week) for week in range(1, WEEKS_BACK + 1))
                if first is not None and first <= day_start - back
            ]
        return Usual(statistics.median(counts), len(counts)) if counts else None

    # ---- plumbing

    def _all(self, query: sa.Select[Any], shape: Callable[[Any], T]) -> list[T]:
        with self.reading() as connection:
            return [shape(row) for row in connection.execute(query)]

    def _first(self, query: sa.Select[Any], shape: Callable[[Any], T]) -> T | None:
        with self.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else shape(row)

    def _save(self, table: sa.Table, row: dict[str, Any]) -> None:
        with self.writing() as connection:
            save(connection, table, row)


def save(connection: Connection, table: sa.Table, row: dict[str, Any]) -> None:
    """Insert a row, or set these columns of the one with its primary key."""
    insert = _insert(connection, table).values(row)
    key = [column.name for column in table.primary_key]
    change = {name: insert.excluded[name] for name in row if name not in key}
    connection.execute(insert.on_conflict_do_update(index_elements=key, set_=change))


def _insert(connection: Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def upsert_newer(
    connection: Connection, table: sa.Table, rows: Sequence[dict[str, Any]], newest_by: str = "revision"
) -> None:
    """Insert rows of the same columns, or change the known ones where ``newest_by`` is higher."""
    insert = _insert(connection, table)
    key = [column.name for column in table.primary_key]
    statement = insert.on_conflict_do_update(
        index_elements=key,
        set_={name: insert.excluded[name] for name in rows[0] if name not in key},
        where=insert.excluded[newest_by] > table.c[newest_by],
    )
    connection.execute(statement, rows)


def _rows(table: sa.Table, snapshots: Iterable[msgspec.Struct]) -> list[tuple[sa.Table, dict[str, Any]]]:
    """In the order of the key, so that two bridges that write at once cannot lock each other out."""
    rows = [_columns(table, item) for item in snapshots]
    key = [column.name for column in table.primary_key]
    return [(table, row) for row in sorted(rows, key=lambda row: [row[name] for name in key])]


def _columns(table: sa.Table, item: msgspec.Struct) -> dict[str, Any]:
    values = {name: getattr(item, name) for name in item.__struct_fields__ if name in table.c}
    if isinstance(item, Session):
        values |= {"evidence": msgspec.to_builtins(item.evidence), "grade": str(grade(item).grade)}
    return {name: "" if value is None and not table.c[name].nullable else value for name, value in values.items()}


def _conditions(query: SessionQuery) -> list[sa.ColumnElement[bool]]:
    sessions = tables.sessions.c
    found: list[sa.ColumnElement[bool]] = []
    if query.station is not None:
        found.append(sessions.station == query.station)
    if query.states:
        found.append(sessions.state.in_(sorted(str(state) for state in query.states)))
    if query.since is not None:
        found.append(sessions.started_at >= query.since)
    if query.until is not None:
        found.append(sessions.started_at < query.until)
    if query.site is not None:
        of_site = sa.select(tables.stations.c.id).where(tables.stations.c.site_id == query.site)
        found.append(sessions.station.in_(of_site))
    if query.text:
        columns = (sessions.station, sessions.token, sessions.transaction_id, sessions.id)
        found.append(sa.or_(*(column.icontains(query.text, autoescape=True) for column in columns)))
    if query.cursor is not None:
        at, id = decode_cursor(query.cursor)
        found.append((sessions.started_at < at) | ((sessions.started_at == at) & (sessions.id < str(id))))
    return found


def _ended(start: datetime, end: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    sessions = tables.sessions.c
    return sessions.state == str(SessionState.ENDED), sessions.ended_at >= start, sessions.ended_at < end


def _count_started(start: datetime, end: datetime) -> sa.Select[int]:
    sessions = tables.sessions.c
    return sa.select(sa.func.count()).where(sessions.started_at >= start, sessions.started_at < end)


_STATIONS = sa.select(
    tables.stations,
    tables.stations.c.key_hmac.is_not(None).label("has_key"),
    sa.func.coalesce(tables.sites.c.name, "").label("site_name"),
).select_from(tables.stations.outerjoin(tables.sites))


def _station(row: Any) -> StationRow:
    known = row._mapping
    return StationRow(**{name: known[name] for name in StationRow.__struct_fields__})


def _connector(row: Any) -> ConnectorRow:
    status = ConnectorStatus(row.status) if row.status else None
    return ConnectorRow(**(dict(row._mapping) | {"status": status}))


def _first(row: Any) -> Any:
    return row[0]


def _site(row: Any) -> Site:
    return Site(**row._mapping)


def _session(row: Any) -> Session:
    typed = {
        "state": SessionState(row.state),
        "energy_source": EnergySource(row.energy_source),
        "review": tuple(row.review),
        "evidence": msgspec.convert(row.evidence or {}, Evidence),
    }
    return Session(**({name: row._mapping[name] for name in Session.__struct_fields__} | typed))


def _station_entry(row: Any) -> access.StationEntry:
    return access.StationEntry(
        id=row.id,
        site_id=row.site_id or "",
        is_approved=row.is_approved,
        is_refused=row.refused_at is not None,
        key_hmac=row.key_hmac or b"",
        next_key_hmac=row.next_key_hmac or b"",
        proved=row.security,
        security_profile=row.security_profile,
        policy=row.policy or {},
        time_zone=row.timezone or "",
    )


def _token_entry(row: Any) -> access.TokenEntry:
    return access.TokenEntry(
        token=row.token, group=row.group, is_blocked=row.is_blocked, expires_at=row.expires_at
    )
