"""The wall's figures that need the past or the records: pure functions from rows to figures, and two jobs of the hub.

``plan``: sites, which station stands where, what a connector can give. ``summary``: today beside what is usual,
for the sites' own day (the zone most sites are in). What is live, the browser counts from its own documents.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec
import structlog

from bridge.session import Session, SessionState
from bridge.stores.database import RecordsUnavailable
from bridge.stores.records import ConnectorRow, DayTotals, Records, SessionQuery, Site, StationRow, Success
from bridge.stores.telemetry import StoreUnavailable, TelemetryStore, TotalPoint
from dashboard.formats import zone
from dashboard.live import Job

_log = structlog.get_logger("summary")

SLOT = timedelta(minutes=15)
SLOTS = 96
WEEKS_BACK = 4
REVIEW_DAYS = 30
PLAN_EVERY_S, SUMMARY_EVERY_S = 10.0, 5.0
USUAL_FOR = timedelta(minutes=15)

T = TypeVar("T")


class PlanSite(msgspec.Struct, frozen=True):
    id: str
    name: str
    place: str
    grid_limit_w: int | None


class PlanStation(msgspec.Struct, frozen=True):
    name: str
    site: str | None


class PlanConnector(msgspec.Struct, frozen=True):
    station: str
    evse: int
    connector: int
    kind: str
    rated_w: int | None


class Plan(msgspec.Struct, frozen=True):
    sites: list[PlanSite]
    stations: dict[str, PlanStation]
    connectors: list[PlanConnector]


class Band(msgspec.Struct, frozen=True):
    """Power in W over the day in 96 quarter hours: what is usual (median) and between which it lay."""

    low: list[float]
    usual: list[float]
    high: list[float]
    weeks: int


class Summary(msgspec.Struct, frozen=True):
    """``None`` is "not known": the store is away, or there is no history yet. ``day`` holds one mean power in W
    per quarter hour since midnight. Money is decimal text by currency."""

    at: datetime
    zone: str
    day_start: datetime
    day: list[float | None] | None
    band: Band | None
    energy_wh: int | None
    sessions: int | None
    usual_sessions: float | None
    revenue: dict[str, str] | None
    at_risk: dict[str, str] | None
    at_risk_sessions: int | None
    success_share: float | None
    ended_24h: int | None


def plan(sites: Sequence[Site], stations: Sequence[StationRow], connectors: Sequence[ConnectorRow]) -> Plan:
    """Static facts for drawing. Stations that no person let in are left out; evse 0 is no outlet."""
    shown = {row.id: PlanStation(row.name, row.site_id) for row in stations if row.is_approved is not False}
    return Plan(
        sites=[PlanSite(s.id, s.name, s.place, s.grid_limit_w) for s in sites],
        stations=shown,
        connectors=[
            PlanConnector(c.station, c.evse, c.connector, c.kind, c.rated_power_w)
            for c in connectors
            if c.evse > 0 and c.station in shown
        ],
    )


def common_zone(sites: Iterable[Site]) -> str:
    """The zone most sites are in, so that "today" is the day of the people there; UTC of none."""
    counted = Counter(site.timezone for site in sites)
    return max(sorted(counted), key=counted.__getitem__) if counted else "UTC"


def day_start(now: datetime, where: tzinfo) -> datetime:
    """The local midnight before ``now``."""
    return datetime.combine(now.astimezone(where).date(), time(), where)


def same_day_weeks_ago(start: datetime, weeks: int) -> datetime:
    """The same weekday's local midnight: wall-clock arithmetic keeps it over a change of the clocks."""
    return start - timedelta(weeks=weeks)


def day_curve(start: datetime, points: Sequence[TotalPoint]) -> list[float | None]:
    """Mean power per quarter hour of the day that begins at ``start``; None where nothing was measured."""
    slots: list[float | None] = [None] * SLOTS
    for point in points:
        index = int((point.start - start) / SLOT)
        if 0 <= index < SLOTS:
            slots[index] = round(point.power_mean_w)
    while slots and slots[-1] is None:
        slots.pop()
    return slots


def band(days: Sequence[list[float | None]]) -> Band | None:
    """What is usual, from the curves of earlier days; None without one."""
    full = [[value or 0.0 for value in [*day, *[None] * (SLOTS - len(day))]] for day in days if day]
    if not full:
        return None
    columns = list(zip(*full, strict=True))
    return Band(
        low=[min(column) for column in columns],
        usual=[round(statistics.median(column)) for column in columns],
        high=[max(column) for column in columns],
        weeks=len(full),
    )


def at_risk(sessions: Iterable[Session]) -> dict[str, Decimal]:
    """Money of sessions that a person must look at before they are billed, by currency."""
    found: dict[str, Decimal] = {}
    for session in sessions:
        found[session.currency] = found.get(session.currency, Decimal()) + Decimal(session.cost)
    return found


def needs_review(session: Session) -> bool:
    return bool(session.review) or session.state is SessionState.ORPHANED


def summary(
    now: datetime,
    zone_name: str,
    start: datetime,
    today: Sequence[TotalPoint] | None,
    usual: Band | None,
    totals: DayTotals | None,
    usual_sessions: float | None,
    review: Sequence[Session] | None,
    success: Success | None,
) -> Summary:
    """Everything the figures row says beyond what is live."""
    return Summary(
        at=now,
        zone=zone_name,
        day_start=start,
        day=None if today is None else day_curve(start, today),
        band=usual,
        energy_wh=None if today is None else round(sum(point.energy_wh for point in today)),
        sessions=None if totals is None else totals.started,
        usual_sessions=usual_sessions,
        revenue=None if totals is None else _texts(totals.revenue),
        at_risk=None if review is None else _texts(at_risk(review)),
        at_risk_sessions=None if review is None else len(review),
        success_share=None if success is None else success.share,
        ended_24h=None if success is None else success.ended,
    )


def _texts(money: dict[str, Decimal]) -> dict[str, str]:
    return {currency: f"{amount:.2f}" for currency, amount in sorted(money.items())}


class Figures:
    """The two jobs. A store that is away leaves its figures unknown and takes nothing else with it."""

    def __init__(self, records: Records, telemetry: TelemetryStore) -> None:
        self._records = records
        self._telemetry = telemetry
        self._zone = "UTC"
        self._usual: tuple[datetime, datetime, Band] | None = None  # good until, for the day, what

    def jobs(self) -> tuple[Job, ...]:
        return Job("plan", PLAN_EVERY_S, self.plan), Job("summary", SUMMARY_EVERY_S, self.summary)

    def plan(self, _now: datetime) -> bytes | None:
        """None while the records are away: the wall keeps the plan it has."""
        try:
            sites = self._records.sites()
            found = plan(sites, self._records.stations(), self._records.connectors())
        except RecordsUnavailable:
            return None
        self._zone = common_zone(sites)
        return msgspec.json.encode(found)

    def summary(self, now: datetime) -> bytes:
        start = day_start(now, zone(self._zone))
        review = _or_none(lambda: self._review(now))
        usual = _or_none(lambda: self._records.usual(start, now))
        found = summary(
            now,
            _zone_name(self._zone),
            start,
            _or_none(lambda: self._telemetry.totals(start, now)),
            _or_none(lambda: self._band(start, now)),
            _or_none(lambda: self._records.day_totals(start, now)),
            None if usual is None else usual.sessions,
            review,
            _or_none(lambda: self._records.success(now - timedelta(hours=24), now)),
        )
        return msgspec.json.encode(found)

    def _band(self, start: datetime, now: datetime) -> Band | None:
        known = self._usual if self._usual and self._usual[1] == start else None
        if known is None or now >= known[0]:
            days = [same_day_weeks_ago(start, week) for week in range(1, WEEKS_BACK + 1)]
            curves = [day_curve(day, self._telemetry.totals(day, day + timedelta(days=1))) for day in days]
            if (found := band(curves)) is None:
                return None  # not worth remembering: history may be on its way
            is_settled = known is not None and known[2] == found  # history may be on its way, newest first
            known = self._usual = (now + USUAL_FOR if is_settled else now, start, found)
        return known[2]

    def _review(self, now: datetime) -> list[Session]:
        closed = frozenset({SessionState.ENDED, SessionState.ORPHANED})
        query = SessionQuery(states=closed, since=now - timedelta(days=REVIEW_DAYS), limit=500)
        return [session for session in self._records.sessions(query).items if needs_review(session)]


def _zone_name(name: str) -> str:
    where = zone(name)
    return where.key if isinstance(where, ZoneInfo) else "UTC"


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (RecordsUnavailable, StoreUnavailable) as error:
        _log.warning("a figure of the wall is not known", reason=str(error))
        return None
