"""The state of each connector over time as bands to draw: what the station said, and whether it was connected. Pure.

Device time places a status, our own time a connection. What is not known stays empty: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from bridge.stores.records import ConnectorRow
from bridge.stores.telemetry import Bucket, Occurrence
from dashboard.formats import CONNECTOR_WORDS

KINDS = ("StatusChanged", "StationConnected", "StationDisconnected")
ABNORMAL = frozenset({"faulted", "offline"})
_QUARTER = timedelta(minutes=15)
_LEAST_WH = 50  # in a quarter: less is what electronics use
_MOST_BANDS = 300  # of a lane: narrower ones cannot be seen, but what is wrong is always drawn
_BANDS = {
    "Available": "free",
    "Charging": "charging",
    "Preparing": "idle",
    "SuspendedEV": "idle",
    "SuspendedEVSE": "idle",
    "Finishing": "idle",
    "Reserved": "reserved",
    "Unavailable": "out",
    "Faulted": "faulted",
}

Lane = tuple[int, int]  # evse, connector


class Band(NamedTuple):
    """``kind`` names its look: free, charging, idle, reserved, out, faulted, offline or unknown."""

    kind: str
    start: datetime
    end: datetime
    word: str

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


class _Said(NamedTuple):
    """``lane`` is None for a change of the connection, whose ``status`` is "up" or "down"."""

    at: datetime
    lane: Lane | None
    status: str
    error: str


def bands(
    before: Sequence[Occurrence],
    within: Sequence[Occurrence],
    connectors: Iterable[ConnectorRow],
    start: datetime,
    end: datetime,
    flows: Iterable[Bucket] = (),
) -> dict[Lane, list[Band]]:
    """Bands of each connector over [start, end), gapless. ``before`` are the newest occurrences ahead of ``start``.

    ``flows`` are quarters of an hour in which energy flowed: OCPP 2.x says of a connector only that it is occupied.
    """
    rows = {(row.evse, row.connector): row for row in connectors}
    told = sorted(_said([*before, *within]), key=lambda said: said.at)
    of_station = [said for said in told if said.lane is None]
    flowing: dict[int, list[tuple[datetime, datetime]]] = {}
    for flow in flows:
        if flow.energy_wh >= _LEAST_WH:
            flowing.setdefault(flow.evse, []).append((flow.start, flow.start + _QUARTER))
    found = {}
    for lane in sorted({*rows, *(said.lane for said in told if said.lane is not None)}):
        own = [said for said in told if said.lane == lane]
        known = _recorded(rows.get(lane))  # has the past when retention dropped it, and what 2.x says elsewhere
        if known and (not own or known.at > own[-1].at):
            own.append(known)
        steps = sorted([*own, *of_station], key=lambda said: said.at)
        drawn = _thinned(_flowing(_walk(steps, start, end), flowing.get(lane[0], [])))
        if lane[0] > 0 or any(band.kind in ("faulted", "out") for band in drawn):
            found[lane] = drawn
    return found


def share(bands: Sequence[Band], *kinds: str) -> float | None:
    """How much of the known time is of these kinds, 0 to 1."""
    known = sum(band.seconds for band in bands if band.kind != "unknown")
    return sum(band.seconds for band in bands if band.kind in kinds) / known if known else None


def availability(lanes: Mapping[Lane, Sequence[Band]]) -> float | None:
    """Share of the known time in which a connector could charge: connected, not faulted, in service."""
    shares = [share(bands, "free", "charging", "idle", "reserved") for lane, bands in lanes.items() if lane[0] > 0]
    known = [value for value in shares if value is not None]
    return sum(known) / len(known) if known else None


def _said(occurrences: Iterable[Occurrence]) -> list[_Said]:
    found = []
    for item in occurrences:
        if item.kind == "StatusChanged":
            body = _body(item)
            lane = (item.evse, _whole(body.get("connector", 1)))
            found.append(_Said(item.at, lane, str(body.get("status", "")), str(body.get("error_code", ""))))
        elif item.kind in KINDS:
            found.append(_Said(item.received_at, None, "up" if item.kind == "StationConnected" else "down", ""))
    return found


def _body(item: Occurrence) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(item.body)
    except msgspec.MsgspecError:
        return {}
    return found if isinstance(found, dict) else {}


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 1


def _recorded(row: ConnectorRow | None) -> _Said | None:
    """What the records know, where the occurrences have been dropped by retention."""
    if row is None or row.status is None or row.status_at is None:
        return None
    return _Said(row.status_at, (row.evse, row.connector), str(row.status), row.error_code)


def _walk(steps: Sequence[_Said], start: datetime, end: datetime) -> list[Band]:
    is_up, status, error = True, "", ""
    found: list[Band] = []
    at = start
    for step in steps:
        moment = min(max(step.at, start), end)
        _append(found, is_up, status, error, at, moment)
        at = moment
        if step.lane is None:
            is_up = step.status == "up"
        else:
            status, error = step.status, step.error
    _append(found, is_up, status, error, at, end)
    return found


def _append(found: list[Band], is_up: bool, status: str, error: str, start: datetime, end: datetime) -> None:
    known = CONNECTOR_WORDS.get(status, status) or "Not known"
    kind = _BANDS.get(status, "unknown") if is_up else "offline"
    word = known if is_up else f"Offline, last {known.lower()}" if status else "Offline"
    if kind == "faulted" and error not in ("", "NoError"):
        word = f"{word}: {error}"
    _join(found, Band(kind, start, end, word))


def _flowing(bands: list[Band], flows: Sequence[tuple[datetime, datetime]]) -> list[Band]:
    """Occupied becomes charging where energy flowed, to the quarter of an hour that the figures are kept by."""
    found: list[Band] = []
    for band in bands:
        cuts = [(max(a, band.start), min(b, band.end)) for a, b in flows if a < band.end and b > band.start]
        at = band.start
        for a, b in sorted(cuts) if band.kind == "idle" else ():
            _join(found, band._replace(start=at, end=a))
            _join(found, Band("charging", a, b, CONNECTOR_WORDS["Charging"]))
            at = b
        _join(found, band._replace(start=at))
    return found


def _join(found: list[Band], band: Band) -> None:
    if band.end <= band.start:
        return
    if found and (found[-1].kind, found[-1].word) == (band.kind, band.word):
        found[-1] = found[-1]._replace(end=band.end)
    else:
        found.append(band)


def _thinned(bands: list[Band]) -> list[Band]:
    if len(bands) <= _MOST_BANDS:
        return bands
    shortest: timedelta = (bands[-1].end - bands[0].start) / _MOST_BANDS
    found: list[Band] = []
    for band in bands:
        is_seen = band.kind in ABNORMAL or band.end - band.start >= shortest
        if found and not is_seen:
            found[-1] = found[-1]._replace(end=band.end)
        else:
            found.append(band)
    return found
