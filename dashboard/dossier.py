"""Everything one session's page shows, read once: record, place, curve, bill and what happened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from bridge.billing.price import Bill, Tariff, price
from bridge.live import mask
from bridge.session import Session
from bridge.settings import Billing
from bridge.stores.records import ConnectorRow, StationRow
from bridge.stores.telemetry import FrameRow, Occurrence, Sample, StoreUnavailable
from dashboard import formats
from dashboard.curve import Curve, curve_of
from dashboard.happenings import Happening, concerns, happenings
from dashboard.services import Services

_AROUND = timedelta(minutes=2)  # a plug-in and its card come before the start, the free connector after the stop
_MOST_FRAMES = _MOST_OCCURRENCES = 500
_CARD = re.compile(r'("(?:idTag|idToken|parentIdTag|id_tag|tag)"\s*:\s*(?:\{\s*"idToken"\s*:\s*)?")([^"]{1,64})(")')


class Dossier(NamedTuple):
    """``is_series_away`` when the time series do not answer: the record still stands."""

    session: Session
    station: StationRow | None
    connector: ConnectorRow | None
    site: str
    where: tzinfo
    curve: Curve
    last: Sample | None
    bill: Bill | None
    happened: list[Happening]
    frames: int
    is_series_away: bool
    now: datetime

    @property
    def seconds(self) -> int:
        return seconds_of(self.session, self.now)

    @property
    def rated_w(self) -> float | None:
        return self.connector.rated_power_w if self.connector else None

    @property
    def place(self) -> str:
        return (self.station.name if self.station else "") or self.session.station


def open_dossier(found: Services, session_id: str) -> Dossier | None:
    """``None`` for an id that no session has. Raises RecordsUnavailable."""
    session = found.records.session(session_id)
    if session is None:
        return None
    now = found.now()
    station = found.records.station(session.station)
    connector = _connector(found, session)
    tariff = tariff_of(session, found.settings.billing)
    rated = connector.rated_power_w if connector else None
    samples, happened, frames, is_away = _series(found, session, now)
    return Dossier(
        session=session,
        station=station,
        connector=connector,
        site=station.site_name if station else "",
        where=_zone(found, station),
        curve=curve_of(session, samples, tariff, rated),
        last=samples[-1] if samples else None,
        bill=price(tariff, max(0, session.energy_wh), seconds_of(session, now)) if tariff else None,
        happened=happened,
        frames=frames,
        is_series_away=is_away,
        now=now,
    )


def tariff_of(session: Session, billing: Billing) -> Tariff | None:
    """The tariff version a session started with, when it is the one we know."""
    if session.tariff != billing.tariff:
        return None
    return Tariff(
        id=billing.tariff,
        currency=billing.currency,
        energy_per_kwh=billing.energy_per_kwh,
        time_per_minute=billing.time_per_minute,
        flat=billing.flat,
        vat_percent=billing.vat_percent,
    )


def seconds_of(session: Session, now: datetime) -> int:
    """How long it lasted: to now while it is open, to its last sign of life when its stop never came."""
    is_over = not session.is_open and session.ended_at is None
    return session.duration_s((session.sample_at or session.started_at) if is_over else now)


def without_cards(text: str) -> str:
    """A raw message with the numbers of cards masked."""
    return _CARD.sub(lambda match: match[1] + mask(match[2]) + match[3], text)


def _connector(found: Services, session: Session) -> ConnectorRow | None:
    rows = found.records.connectors(session.station)
    same = [row for row in rows if (row.evse, row.connector) == (session.evse, session.connector)]
    return same[0] if same else None


def _zone(found: Services, station: StationRow | None) -> tzinfo:
    sites = found.records.sites() if station and station.site_id else []
    names = [site.timezone for site in sites if station and site.id == station.site_id]
    return formats.zone(names[0] if names else "UTC")


def _series(found: Services, session: Session, now: datetime) -> tuple[Sequence[Sample], list[Happening], int, bool]:
    start = session.started_at - _AROUND
    end = (session.ended_at or now) + _AROUND
    try:
        samples = found.telemetry.curve(session.station, session.evse, session.started_at, end)
        occurrences = _occurrences(found, session.station, start, end)
        frames = _frames(found, session.station, start, end)
    except StoreUnavailable:
        return [], [], 0, True
    own = [item for item in occurrences if concerns(item, session.evse, session.transaction_id, session.token)]
    samples = [s for s in samples if s.session_id in ("", session.id)]
    return samples, happenings(own, frames, samples[-1] if samples else None), len(frames), False


def _occurrences(found: Services, station: str, start: datetime, end: datetime) -> list[Occurrence]:
    """As :func:`_frames`: a charger that sends an update with each meter value has many in an hour."""
    newest = found.telemetry.occurrences(station, start, end, _MOST_OCCURRENCES)
    if not newest or len(newest) < _MOST_OCCURRENCES:
        return newest
    first = found.telemetry.occurrences(station, start, min(start + 3 * _AROUND, end))
    return [*newest, *(item for item in first if item.at < newest[-1].at)]


def _frames(found: Services, station: str, start: datetime, end: datetime) -> list[FrameRow]:
    """The newest, and those around the start, which a long session would push out of them."""
    newest = found.telemetry.frames(station, start, end + _AROUND, _MOST_FRAMES)
    first = found.telemetry.frames(station, start, min(start + 3 * _AROUND, end), _MOST_FRAMES)
    known = {(row.received_at, row.direction) for row in newest}
    more = [row for row in first if (row.received_at, row.direction) not in known]
    return [row._replace(text=without_cards(row.text)) for row in (*newest, *more)]
