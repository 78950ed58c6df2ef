"""Sessions as rows of a grid: columns, formats, theme. The script in ``assets/screens.js`` makes the same rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bridge.live import mask
from bridge.session import Session
from bridge.stores.records import StationRow
from dashboard.dossier import seconds_of
from dashboard.formats import plain

Row = dict[str, Any]

def names_of(station: str, row: StationRow | None) -> list[str]:
    """[name, site name, site id] as shown and searched."""
    if row is None:
        return [plain(station, 60), "", ""]
    return [plain(row.name or station, 60), plain(row.site_name, 60), row.site_id or ""]


def row_of(session: Session, station: StationRow | None, now: datetime) -> Row:
    """Plain JSON; energy in Wh, power in W, times RFC 3339."""
    name, site, site_id = names_of(session.station, station)
    return {
        "id": session.id,
        "station": session.station,
        "name": name,
        "site": site,
        "site_id": site_id,
        "evse": session.evse,
        "state": str(session.state),
        "power_w": session.power_w,
        "at": _iso(session.sample_received_at),
        "energy_wh": session.energy_wh,
        "soc": session.soc_percent,
        "started": _iso(session.started_at),
        "ended": _iso(session.ended_at),
        "seconds": seconds_of(session, now),
        "cost": session.cost,
        "currency": session.currency,
        "token": mask(session.token) if session.token else "",
        "review": [plain(reason, 120) for reason in session.review],
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _number(field: str, name: str, width: int, formatter: str, **more: Any) -> dict[str, Any]:
    return {
        "field": field,
        "headerName": name,
        "width": width,
        "type": "rightAligned",
        "valueFormatter": {"function": formatter},
    } | more


def columns(is_open: bool) -> list[dict[str, Any]]:
    """The columns of live sessions, or of ended ones."""
    place = {
        "field": "name",
        "headerName": "Station",
        "flex": 2,
        "minWidth": 150,
        "cellRenderer": "CwPlace",
    }
    state = {"field": "state", "headerName": "State", "width": 142, "cellRenderer": "CwState"}
    power = _number("power_w", "Power", 178, "cwKw(params)", cellRenderer="CwPower")
    when = {"field": "ended", "headerName": "Ended", "width": 150, "valueFormatter": {"function": "cwWhen(params)"}}
    if not is_open:
        when |= {"type": "rightAligned"}
    shared = [
        _number("energy_wh", "Energy", 120, "cwKwh(params)"),
        _number("soc", "Battery", 104, "cwPercent(params)"),
        _number("seconds", "Time", 110, "cwClock(params)", valueGetter={"function": "cwSeconds(params)"}),
        _number("cost", "Cost", 116, "cwMoney(params)", comparator={"function": "cwCompare"}),
        {"field": "token", "headerName": "Token", "width": 120},
        {
            "field": "review",
            "headerName": "To check",
            "flex": 1,
            "minWidth": 110,
            "cellRenderer": "CwReview",
            "cellDataType": False,
        },
    ]
    return [place, state, power, *shared] if is_open else [place, state, when, *shared]
