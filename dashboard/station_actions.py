"""What people do on a station's page: callbacks that authorise again, and a line in the audit for each."""

from __future__ import annotations

from typing import Any

import msgspec
from dash import Dash, Input, Output, State, no_update

from bridge.compose import veiled
from bridge.stores.people import Role
from dashboard import command_parts
from dashboard.auth import audit, needs
from dashboard.command_parts import Forbidden, Unfit, Wish
from dashboard.components import Child, notice
from dashboard.services import services
from dashboard.station_dossier import open_station

_TIMEOUT_S = 30.0


def register(app: Dash) -> None:
    app.callback(
        Output("command-step", "children"),
        Input("command-check", "n_clicks"),
        State("station-id", "data"),
        State("command-name", "data"),
        State("command-raw", "value"),
        prevent_initial_call=True,
    )(check)
    app.callback(
        Output("command-answer", "children"),
        Output("command-step", "children", allow_duplicate=True),
        Input("command-now", "n_clicks"),
        State("station-id", "data"),
        State("command-name", "data"),
        State("command-confirmed", "data"),
        prevent_initial_call=True,
        running=[(Output("command-now", "disabled"), True, False)],
    )(send)


@needs(Role.OPERATOR)
def check(clicks: int | None, station_id: object, name: object, text: object) -> Child:
    """Say what would be sent and what follows, or what is wrong and where. Nothing leaves."""
    found = services()
    dossier = open_station(found, str(station_id)) if clicks else None
    if dossier is None:
        return no_update
    try:
        wish = command_parts.wish_of(found, dossier.station.protocol, name, text)
    except Unfit as error:
        return command_parts.faults(error.faults)
    except Forbidden:
        return command_parts.forbidden()
    return command_parts.confirm(dossier, wish, str(text or "{}"))


@needs(Role.OPERATOR)
def send(clicks: int | None, station_id: object, name: object, text: object) -> tuple[Any, Any]:
    """Send what was confirmed, and say what the station answered."""
    found = services()
    station = found.records.station(str(station_id)) if clicks else None
    if station is None:
        return no_update, no_update
    if found.commands is None:
        return notice("Commands cannot be sent from here.", "This dashboard runs without a broker."), ""
    try:
        wish = command_parts.wish_of(found, station.protocol, name, text)
    except Unfit as error:
        return no_update, command_parts.faults(error.faults)
    except Forbidden:
        audit("command_forbidden", subject=station.id, detail=str(name)[:200])
        return no_update, command_parts.forbidden()
    audit("command", subject=station.id, detail=_in_words(wish))
    answer = found.commands.request(station.id, wish.name, wish.params, _TIMEOUT_S)
    status = str(answer.payload.get("status", ""))
    audit("command_answer", subject=station.id, detail=f"{wish.action} {answer.outcome} {status} {answer.detail}"[:500])
    return command_parts.answered(wish, answer), ""


def _in_words(wish: Wish) -> str:
    said = msgspec.json.encode(veiled(wish.action, wish.payload, with_addresses=True)).decode()
    return f"{wish.name}: {wish.action} {said}"[:500]
