"""Everything one station's page shows, read once: record, connectors, their past day, sessions, details, alarms."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from bridge.events import DetailKind
from bridge.session import Session
from bridge.stores.details import DetailRow, Details
from bridge.stores.records import ConnectorRow, Site, StationRow
from bridge.stores.telemetry import FrameRow, Occurrence, Sample, StoreUnavailable, TelemetryStore
from dashboard import formats, ribbon
from dashboard.alerts.store import Alarm, AlarmQuery, AlarmStore
from dashboard.dossier import without_cards
from dashboard.happenings import KINDS, Happening, happenings
from dashboard.ribbon import Band, Lane
from dashboard.services import Services

_BEFORE = timedelta(days=30)
_MOST_STEPS = 5_000
_MOST_EVENTS, _MOST_FRAMES = 200, 400
_TOLD = tuple(kind for kind in KINDS if kind not in ("TransactionUpdated", "DetailsReported", "StreamReported"))


class StationDossier(NamedTuple):
    """``is_series_away`` when the time series do not answer: the record still stands. ``lanes`` cover [start, now)."""

    station: StationRow
    connectors: list[ConnectorRow]
    site: Site | None
    where: tzinfo
    sessions: list[Session]
    last: dict[int, Sample]  # evse -> its newest
    lanes: dict[Lane, list[Band]]
    start: datetime
    happened: list[Happening]
    traits: list[DetailRow]
    alarms: list[Alarm]
    is_series_away: bool
    now: datetime

    @property
    def name(self) -> str:
        return self.station.name or self.station.id

    def session_at(self, evse: int, connector: int) -> Session | None:
        found = [s for s in self.sessions if s.evse == evse]
        return next((s for s in found if s.connector == connector), found[0] if found else None)


def open_station(found: Services, station_id: str, days: int = 1) -> StationDossier | None:
    """``None`` for an id that no station has. Raises RecordsUnavailable."""
    station = found.records.station(station_id)
    if station is None:
        return None
    now = found.now()
    start = now - timedelta(days=days)
    connectors = found.records.connectors(station_id)
    site = next((s for s in found.records.sites() if s.id == station.site_id), None)
    last, lanes, happened, is_away = _series(found.telemetry, station_id, connectors, start, now)
    return StationDossier(
        station=station,
        connectors=connectors,
        site=site,
        where=formats.zone(site.timezone if site else "UTC"),
        sessions=found.records.open_sessions(station_id),
        last=last,
        lanes=lanes,
        start=start,
        happened=happened,
        traits=Details(found.records).of_station(station_id, DetailKind.TRAIT),
        alarms=AlarmStore(found.records).alarms(AlarmQuery(station=station_id)).items,
        is_series_away=is_away,
        now=now,
    )


def _series(
    store: TelemetryStore, station: str, connectors: list[ConnectorRow], start: datetime, now: datetime
) -> tuple[dict[int, Sample], dict[Lane, list[Band]], list[Happening], bool]:
    end = now + timedelta(seconds=1)
    try:
        within = store.occurrences(station, start, end, _MOST_STEPS, ribbon.KINDS)
        before = _before(store, station, start, len(connectors))
        told = store.occurrences(station, now - timedelta(days=1), end, _MOST_EVENTS, _TOLD)
        frames = [f._replace(text=without_cards(f.text)) for f in _frames(store, station, told)]
        flows = store.buckets(start, now, [station])
        last = {sample.evse: sample for sample in store.last([station])}
    except StoreUnavailable:
        return {}, {}, [], True
    return last, ribbon.bands(before, within, connectors, start, now, flows), happenings(told, frames), False


def _before(store: TelemetryStore, station: str, start: datetime, connectors: int) -> list[Occurrence]:
    """What held when the time shown began."""
    said = store.occurrences(station, start - _BEFORE, start, 40 * max(1, connectors), ["StatusChanged"])
    return [*said, *store.occurrences(station, start - _BEFORE, start, 1, ribbon.KINDS[1:])]


def _frames(store: TelemetryStore, station: str, told: list[Occurrence]) -> list[FrameRow]:
    if not told:
        return []
    first = min(item.received_at for item in told)
    return store.frames(station, first, max(item.received_at for item in told) + timedelta(seconds=1), _MOST_FRAMES)
