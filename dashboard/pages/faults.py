"""What is wrong now, what it means and what to do: open alarms, connectors out of order, and what is over."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dash import ALL, Dash, Input, Output, ctx, dcc, html, no_update
from flask_login import current_user

from bridge.stores.database import RecordsUnavailable
from bridge.stores.people import Role
from dashboard import fault_parts
from dashboard.alerts.lifecycle import AlarmState
from dashboard.alerts.store import AlarmQuery, AlarmStore, NoSuchAlarm
from dashboard.auth import audit, has_role, needs
from dashboard.components import Child, stores_away
from dashboard.services import services

PATH = "/faults"
NAME = "Faults"
ORDER = 20

_REFRESH_MS = 5_000
_RECENT = 20


def layout(**_: Any) -> Child:
    return html.Div(
        [
            dcc.Interval(id="faults-tick", interval=_REFRESH_MS),
            html.Div(html.H1("Faults"), className="head"),
            html.Div(_body(), id="faults-body"),
        ],
        className="page faults-page",
    )


def register(app: Dash) -> None:
    app.callback(
        Output("faults-body", "children"),
        Input("faults-tick", "n_intervals"),
        prevent_initial_call=True,
    )(refresh)
    app.callback(
        Output("faults-body", "children", allow_duplicate=True),
        Input({"acknowledge": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )(acknowledge)


@needs(Role.VIEWER)
def refresh(_ticks: int | None) -> Child:
    return _or_away()


@needs(Role.OPERATOR)
def acknowledge(_clicks: list[int | None]) -> Child:
    """A person has seen an alarm. A button that was merely drawn anew has no click."""
    if not isinstance(ctx.triggered_id, dict) or not ctx.triggered or not ctx.triggered[0]["value"]:
        return no_update
    found = services()
    number = int(ctx.triggered_id["acknowledge"])
    try:
        alarm = AlarmStore(found.records).acknowledge(number, current_user.name, found.now())
        audit("acknowledge_alarm", subject=str(number), detail=f"{alarm.rule} {alarm.subject}"[:200])
    except NoSuchAlarm:
        audit("acknowledge_alarm", subject=str(number), detail="no such alarm")
    return _or_away()


def _or_away() -> Child:
    try:
        return _body()
    except RecordsUnavailable:
        return stores_away("The records")


def _body() -> list[Child]:
    found = services()
    now: datetime = found.now()
    store = AlarmStore(found.records)
    stations = {row.id: row for row in found.records.stations()}
    broken = fault_parts.broken(stations, found.records.connectors())
    over = store.alarms(AlarmQuery(states=frozenset({AlarmState.NORMAL}), limit=_RECENT)).items
    return [
        fault_parts.alarms_card(store.open_alarms(), now, may_acknowledge=has_role(Role.OPERATOR)),
        fault_parts.broken_card(broken, now),
        fault_parts.history_card(over, now),
    ]
