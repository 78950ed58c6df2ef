"""The parts of the faults page. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from dash import html

from bridge.events import ConnectorStatus
from bridge.stores.records import ConnectorRow, StationRow
from dashboard import formats
from dashboard.alerts.lifecycle import AlarmState
from dashboard.alerts.store import Alarm
from dashboard.components import Child, attrs, card, priority_mark
from dashboard.formats import plain
from dashboard.links import station_link, station_path

_STATE_WORDS = {
    AlarmState.UNACKNOWLEDGED: "new",
    AlarmState.ACKNOWLEDGED: "seen",
    AlarmState.RETURNED: "over, not yet seen",
    AlarmState.NORMAL: "over",
}


class Broken(NamedTuple):
    """A connector or station that cannot charge anybody now. ``rank`` sorts: faulted, offline, out of service."""

    rank: int
    since: datetime | None
    place: str
    site: str
    what: str
    detail: str
    session_id: str
    station: str


def broken(stations: Mapping[str, StationRow], connectors: Iterable[ConnectorRow]) -> list[Broken]:
    """Most severe first, then oldest. A connector of a station that is offline is not listed twice."""
    offline = [_offline(row) for row in stations.values() if not row.is_connected and row.last_seen_at is not None]
    away = {row.id for row in stations.values() if not row.is_connected}
    wrong = [_out_of_order(row, stations.get(row.station)) for row in connectors if row.station not in away]
    found = [*offline, *(item for item in wrong if item is not None)]
    return sorted(found, key=lambda item: (item.rank, item.since.timestamp() if item.since else 0.0, item.place))


def _offline(row: StationRow) -> Broken:
    since = row.disconnected_at or row.last_seen_at
    detail = "running sessions go on unseen; their values come when it is back"
    return Broken(1, since, plain(row.name or row.id, 60), plain(row.site_name, 60), "Offline", detail, "", row.id)


def _out_of_order(row: ConnectorRow, station: StationRow | None) -> Broken | None:
    ranks = {ConnectorStatus.FAULTED: (0, "Faulted"), ConnectorStatus.UNAVAILABLE: (2, "Out of service")}
    if row.status not in ranks:
        return None
    rank, what = ranks[row.status]
    name = (station.name if station else "") or row.station
    place = plain(name, 60) + (f", connector {row.evse}" if row.evse else "")
    said = [row.error_code if row.error_code != "NoError" else "", row.vendor_error_code, row.info]
    detail = plain(", ".join(part for part in said if part)) or "no reason given"
    site = plain(station.site_name, 60) if station else ""
    return Broken(rank, row.status_at, place, site, what, detail, row.session_id or "", row.station)


def alarms_card(alarms: Sequence[Alarm], now: datetime, may_acknowledge: bool) -> Child:
    """Open alarms, most urgent first, then oldest."""
    if not alarms:
        calm = html.Div([html.B("Nothing is wrong."), html.P("Alarms appear here with what to do.")], className="calm")
        return card("Alarms", [calm])
    new = sum(alarm.state == AlarmState.UNACKNOWLEDGED for alarm in alarms)
    rows = [_alarm(alarm, now, may_acknowledge) for alarm in alarms]
    return card("Alarms", [html.Div(rows)], note=f"{new} new, {len(alarms)} open")


def _alarm(alarm: Alarm, now: datetime, may_acknowledge: bool) -> Child:
    is_unseen = alarm.state in (AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED)
    words: list[Child] = [html.Div(_title(alarm), className="title")]
    words += [html.P(plain(text, 300)) for text in (alarm.detail, alarm.consequence) if text]
    if alarm.action:
        words.append(html.P(plain(alarm.action, 300), className="what"))
    age: list[Child] = [formats.span((now - alarm.raised_at).total_seconds()), html.Span(_state(alarm))]
    button: Child = ""
    if is_unseen and may_acknowledge:
        label = f"Acknowledge: {plain(alarm.title, 80)}"
        button = html.Button("Acknowledge", id={"acknowledge": alarm.id}, type="button", **attrs(aria_label=label))
    kind = f"alarm p{alarm.priority}" + (" unseen" if alarm.state == AlarmState.UNACKNOWLEDGED else "")
    return html.Div(
        [
            priority_mark(alarm.priority),
            html.Div(words),
            html.Div(age, className="age num"),
            html.Div(button, className="answer"),
        ],
        className=kind,
        key=str(alarm.id),
    )


def _title(alarm: Alarm) -> Child:
    text = plain(alarm.title)
    if alarm.session_id:
        return html.A(text, href=f"/session/{alarm.session_id}")
    return station_link(alarm.station, text) if alarm.station else text


def _state(alarm: Alarm) -> str:
    if alarm.state == AlarmState.ACKNOWLEDGED and alarm.acknowledged_by:
        return f"seen by {plain(alarm.acknowledged_by, 40)}"
    return _STATE_WORDS[alarm.state]


def broken_card(rows: Sequence[Broken], now: datetime) -> Child:
    if not rows:
        calm = html.Div([html.P("Every station is connected and every connector in service.")], className="empty")
        return card("Out of order now", [calm])
    names = [html.Th("Where"), html.Th("State"), html.Th("What it says"), html.Th("For", className="r")]
    head = html.Thead(html.Tr(names))
    body = html.Tbody([_broken_row(row, now) for row in rows])
    return card("Out of order now", [html.Table([head, body], className="rows num")], note=_count(rows))


def _broken_row(row: Broken, now: datetime) -> Child:
    shape, kind = {0: ("◆ ", "bad"), 1: ("▲ ", "warn")}.get(row.rank, ("○ ", ""))
    since = formats.span((now - row.since).total_seconds()) if row.since else formats.NONE
    state = html.Span([html.Span(shape, **attrs(aria_hidden="true")), row.what], className=f"cell-state {kind}".strip())
    name = html.A(html.B(row.place), href=station_path(row.station))
    where = [name, html.Span(f"  {row.site}", className="cell-sub")]
    return html.Tr([html.Td(where), html.Td(state), html.Td(row.detail), html.Td(since, className="r")])


def _count(rows: Sequence[Broken]) -> str:
    faulted, offline = sum(row.rank == 0 for row in rows), sum(row.rank == 1 for row in rows)
    parts = [f"{faulted} faulted" if faulted else "", f"{offline} offline" if offline else ""]
    return ", ".join(part for part in parts if part) or f"{len(rows)} out of service"


def history_card(alarms: Sequence[Alarm], now: datetime) -> Child:
    if not alarms:
        return card("Over", [html.Div(html.P("Alarms that are over stay listed here."), className="empty")])
    names = [html.Th(""), html.Th("Alarm"), html.Th("Seen by")]
    names += [html.Th(name, className="r") for name in ("Lasted", "Ago")]
    body = html.Tbody([_over_row(alarm, now) for alarm in alarms])
    return card("Over", [html.Table([html.Thead(html.Tr(names)), body], className="rows num")], note="the newest first")


def _over_row(alarm: Alarm, now: datetime) -> Child:
    ended = alarm.cleared_at or alarm.acknowledged_at
    lasted = formats.span((ended - alarm.raised_at).total_seconds()) if ended else formats.NONE
    ago = formats.span((now - (ended or alarm.raised_at)).total_seconds())
    cells = [
        html.Td(f"P{alarm.priority}", className="dim narrow"),
        html.Td(_title(alarm)),
        html.Td(plain(alarm.acknowledged_by, 40) or html.Span("nobody", className="dim")),
        html.Td(lasted, className="r"),
        html.Td(ago, className="r"),
    ]
    return html.Tr(cells)
