"""Commands from a station's page: checked, confirmed, then ordered, which audits them."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, State, no_update
from flask_login import current_user

from bridge.stores.people import Role
from dashboard import command_parts, orders
from dashboard.auth import needs
from dashboard.command_parts import Forbidden, Unfit
from dashboard.components import Child, notice
from dashboard.orders import NotAllowed, NoWay
from dashboard.services import services
from dashboard.station_dossier import open_station


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
    try:
        wish = command_parts.wish_of(found, station.protocol, name, text)
        given = {"role": current_user.user.role, "actor": current_user.name}
        answer = orders.order(station, wish.name, wish.params, **given)
    except Unfit as error:
        return no_update, command_parts.faults(error.faults)
    except (Forbidden, NotAllowed):
        return no_update, command_parts.forbidden()
    except NoWay as error:
        return notice("It was not sent.", f"{error}. Try again when it is back."), no_update
    return command_parts.answered(wish, answer), ""
