"""One station: what it does, its past day, what it is made of, what may be asked of it, and every word it said."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from dash import Dash, Input, Output, State, dcc, html, no_update

from bridge.stores.details import Details
from bridge.stores.people import Role
from dashboard import command_parts, device_parts, message_parts, ribbon_parts, station_actions, station_parts
from dashboard.auth import has_role, needs
from dashboard.components import Child, facts, not_found
from dashboard.formats import plain
from dashboard.links import STATIONS
from dashboard.services import services
from dashboard.station_dossier import StationDossier, open_station

PATH = "/station/<station_id>"
NAME = "Station"
ORDER = -1  # reached from the list, not from the navigation

_REFRESH_MS = 10_000
_FOR = {"commands": Role.OPERATOR, "settings": Role.ADMIN}


def layout(station_id: str = "", show: str = "", span: str = "", **given: Any) -> Child:
    span = span if span in ribbon_parts.SPANS else ""
    dossier = open_station(services(), unquote(station_id), ribbon_parts.SPANS[span][0])
    if dossier is None:
        return not_found("There is no station with this id. It may have been mistyped.", "All stations", STATIONS)
    allowed = {key for key in station_parts.TABS if has_role(_FOR.get(key, Role.VIEWER))}
    show = show if show in allowed else ""
    return html.Div(
        [
            dcc.Store(id="station-id", data=dossier.station.id),
            dcc.Store(id="station-span", data=span),
            dcc.Interval(id="station-tick", interval=_REFRESH_MS, disabled=show != ""),
            station_parts.bread(dossier),
            html.Div(
                [
                    html.H1(plain(dossier.name, 60)),
                    html.Div(station_parts.chips(dossier), id="station-chips", className="chips"),
                ],
                className="head",
            ),
            station_parts.tabs(dossier, show, allowed),
            *_tab(dossier, show, span, given),
        ],
        className="page station-page",
        **station_parts.live_attributes(dossier),
    )


def _tab(dossier: StationDossier, show: str, span: str, given: dict[str, Any]) -> list[Child]:
    if show == "messages":
        return message_parts.messages_tab(services(), dossier, message_parts.asked_of(given))
    if show == "commands":
        return command_parts.commands_tab(services(), dossier, given)
    if show == "device":
        details = Details(services().records).of_station(dossier.station.id)
        return device_parts.device_tab(dossier, details, has_role(Role.OPERATOR))
    return [
        html.Div(facts(station_parts.facts_of(dossier)), id="station-facts"),
        html.Div(
            [
                html.Div(_main(dossier, span), id="station-main"),
                html.Div(_side(dossier), id="station-side"),
            ],
            className="cols",
        ),
    ]


def _main(dossier: StationDossier, span: str) -> list[Child]:
    return [
        ribbon_parts.ribbon_card(dossier, span),
        station_parts.connectors_card(dossier),
        station_parts.happened_card(dossier),
    ]


def _side(dossier: StationDossier) -> list[Child]:
    return [station_parts.alarms_card(dossier), station_parts.identity_card(dossier)]


def register(app: Dash) -> None:
    app.callback(
        Output("station-chips", "children"),
        Output("station-facts", "children"),
        Output("station-main", "children"),
        Output("station-side", "children"),
        Input("station-tick", "n_intervals"),
        State("station-id", "data"),
        State("station-span", "data"),
        prevent_initial_call=True,
    )(refresh)
    station_actions.register(app)


@needs(Role.VIEWER)
def refresh(_ticks: int | None, station_id: str, span: str) -> tuple[Any, ...]:
    span = span if span in ribbon_parts.SPANS else ""
    dossier = open_station(services(), str(station_id), ribbon_parts.SPANS[span][0])
    if dossier is None:
        return (no_update,) * 4
    head = station_parts.chips(dossier), facts(station_parts.facts_of(dossier))
    return *head, _main(dossier, span), _side(dossier)
