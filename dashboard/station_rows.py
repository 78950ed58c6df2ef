"""Stations as rows of a grid, trouble first: by site, within it by severity, then by age.

The script in ``assets/stations.js`` keeps the same rows current from the live feed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bridge.events import ConnectorStatus
from bridge.stores.records import ConnectorRow, StationRow
from dashboard import formats
from dashboard.alerts.store import Alarm
from dashboard.formats import plain

Row = dict[str, Any]

FAULTED, OFFLINE, OUT, MINOR, NEVER, FINE = 1, 2, 3, 4, 8, 9  # an open alarm counts as its priority, 1 to 4
_RANKS = {ConnectorStatus.FAULTED: FAULTED, ConnectorStatus.UNAVAILABLE: OUT}
_LAST = "\uffff"  # what has no site comes last


class Trouble(NamedTuple):
    """The worst of a station: lower is worse. ``since`` is None where nothing is wrong."""

    rank: int
    word: str
    since: datetime | None


def rows_of(stations: Iterable[StationRow], connectors: Iterable[ConnectorRow], alarms: Iterable[Alarm]) -> list[Row]:
    """Rows of sites and of their stations, in the order they are shown. Plain JSON, times RFC 3339."""
    of_station: dict[str, list[ConnectorRow]] = {}
    for connector in connectors:
        of_station.setdefault(connector.station, []).append(connector)
    raised: dict[str, list[Alarm]] = {}
    for alarm in alarms:
        raised.setdefault(alarm.station, []).append(alarm)
    rows = [row_of(s, of_station.get(s.id, []), raised.get(s.id, [])) for s in stations]
    return arranged(rows)


def row_of(station: StationRow, connectors: Sequence[ConnectorRow], alarms: Sequence[Alarm]) -> Row:
    trouble = trouble_of(station, connectors, alarms)
    return {
        "id": station.id,
        "name": plain(station.name or station.id, 60),
        "site": plain(station.site_name, 60),
        "site_id": station.site_id or "",
        "rank": trouble.rank,
        "word": trouble.word,
        "since": _iso(trouble.since),
        "up": station.is_connected,
        "at": _iso(station.connected_at if station.is_connected else station.disconnected_at or station.last_seen_at),
        "seen": _iso(station.last_seen_at),
        "protocol": formats.protocol(plain(station.protocol, 40)) if station.protocol else "",
        "security": formats.SECURITY_WORDS.get(station.security, plain(station.security, 20)),
        "charger": plain(" ".join(filter(None, (station.vendor, station.model))), 60),
        "firmware": plain(station.firmware, 40),
        "connectors": [[c.evse, c.connector, str(c.status or "")] for c in connectors if c.evse > 0],
        "own": next((str(c.status or "") for c in connectors if c.evse == 0), ""),
        "alarms": [[alarm.id, alarm.priority] for alarm in alarms],
    }


def trouble_of(station: StationRow, connectors: Iterable[ConnectorRow], alarms: Iterable[Alarm]) -> Trouble:
    """The worst thing about a station; of equals the oldest."""
    if not station.is_connected and station.last_seen_at is None:
        return Trouble(NEVER, "never connected", None)
    found = [Trouble(alarm.priority, "alarm", alarm.raised_at) for alarm in alarms]
    if not station.is_connected:
        found.append(Trouble(OFFLINE, "offline", station.disconnected_at or station.last_seen_at))
    else:  # what an absent station last said of its connectors is no news of now
        said = [(c, c.status) for c in connectors if c.status in _RANKS]
        found += [Trouble(_RANKS[status], _word(c), c.status_at) for c, status in said if status is not None]
    ordered = sorted(found, key=lambda t: (t.rank, t.word == "alarm", t.since.timestamp() if t.since else 0.0))
    return ordered[0] if ordered else Trouble(FINE, "", None)


def _word(connector: ConnectorRow) -> str:
    whole = "" if connector.evse else "station "
    return whole + ("faulted" if connector.status == ConnectorStatus.FAULTED else "out of service")


def arranged(rows: Iterable[Row]) -> list[Row]:
    """With a head for each site and ``order``, the text by which all are sorted."""
    sites: dict[str, list[Row]] = {}
    for row in rows:
        sites.setdefault(row["site_id"], []).append(row)
    found: list[Row] = []
    for site_id, of_site in sites.items():
        worst = min(of_site, key=_urgency)
        prefix = f"{_urgency(worst)}{_collated(worst['site']) if site_id else _LAST}\u0001{site_id}\u0001"
        found.append(
            {"id": f"site\u0001{site_id}", "head": True, "site_id": site_id, "site": worst["site"], "order": prefix}
        )
        found += [row | {"order": f"{prefix}{_urgency(row)}{_collated(row['name'])}"} for row in of_site]
    return sorted(found, key=lambda row: str(row["order"]))


def _urgency(row: Mapping[str, Any]) -> str:
    """Severity, then age: the oldest trouble first. What is in order has no age."""
    is_trouble = row["rank"] < NEVER and row["since"]
    seconds = int(datetime.fromisoformat(row["since"]).timestamp()) if is_trouble else 0
    return f"{row['rank']}{max(0, seconds):011d}"


def _collated(name: str) -> str:
    """So that station 2 stands before station 10."""
    return re.sub(r"\d{1,9}", lambda digits: digits[0].zfill(9), name.lower())


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def columns() -> list[Row]:
    """Cells are drawn by ``assets/stations.js``; the hidden column keeps trouble first until a person sorts."""
    return [
        {"field": "order", "hide": True, "sort": "asc", "comparator": {"function": "cwPlainOrder"}},
        {"field": "name", "headerName": "Station", "flex": 2, "minWidth": 170, "cellRenderer": "CwStation"},
        {
            "field": "rank",
            "headerName": "State",
            "width": 196,
            "cellRenderer": "CwStationState",
        },
        {
            "field": "connectors",
            "headerName": "Connectors",
            "width": 190,
            "sortable": False,
            "cellRenderer": "CwConnectors",
            "cellDataType": False,
        },
        {"field": "protocol", "headerName": "Protocol", "width": 190, "cellRenderer": "CwProtocol"},
        {"field": "charger", "headerName": "Charger", "flex": 2, "minWidth": 150, "cellRenderer": "CwCharger"},
        {"field": "seen", "headerName": "Last seen", "width": 128, "type": "rightAligned", "cellRenderer": "CwSeen"},
        {
            "field": "alarms",
            "headerName": "Alarms",
            "width": 108,
            "type": "rightAligned",
            "cellRenderer": "CwAlarms",
            "cellDataType": False,
            "comparator": {"function": "cwMostAlarms"},
        },
    ]
