"""One station: what it does, its past day, what it is made of, what may be asked of it, and every word it said."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from dash import Dash, Input, Output, State, dcc, html, no_update

from bridge.policies import load_quirks
from bridge.stores.details import Details
from bridge.stores.people import Role
from dashboard import (
    command_parts,
    device_parts,
    files_actions,
    files_parts,
    message_parts,
    ribbon_parts,
    settings_parts,
    station_actions,
    station_edits,
    station_parts,
)
from dashboard.auth import has_role, needs
from dashboard.components import Child, facts, not_found, notice
from dashboard.links import STATIONS
from dashboard.services import services
from dashboard.station_dossier import StationDossier, open_station
from dashboard.trait_parts import traits_card

PATH = "/station/<station_id>"
NAME = "Station"
ORDER = -1  # reached from the list, not from the navigation

_REFRESH_MS = 10_000
_FILES_MS = 5_000  # a log comes within seconds, and somebody waits for it
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
            dcc.Store(id="station-show", data=[show, span]),
            dcc.Store(id="station-edits"),
            dcc.Store(id=files_parts.STORE),
            dcc.Store(id="files-seen"),
            dcc.Interval(id="station-tick", interval=_REFRESH_MS, disabled=show != ""),
            dcc.Interval(id="files-tick", interval=_FILES_MS) if show == "files" else "",
            station_parts.bread(dossier),
            html.Div(station_parts.head(dossier), id="station-head", className="head"),
            station_parts.tabs(dossier, show, allowed),
            html.Div("", id="station-said", role="status"),
            html.Div(_tab(dossier, show, span, given), id="station-body"),
        ],
        className="page station-page",
        **station_parts.live_attributes(dossier),
    )


def _tab(dossier: StationDossier, show: str, span: str, given: dict[str, Any]) -> list[Child]:
    found = services()
    match show:
        case "messages":
            return message_parts.messages_tab(found, dossier, message_parts.asked_of(given))
        case "commands":
            return command_parts.commands_tab(found, dossier, given)
        case "device":
            details = Details(found.records).of_station(dossier.station.id)
            return device_parts.device_tab(dossier, details, has_role(Role.OPERATOR))
        case "files":
            return files_actions.files_tab(dossier)
        case "settings":
            return _settings(dossier)
        case _:
            return _overview(dossier, span)


def _settings(dossier: StationDossier) -> list[Child]:
    found, station = services(), dossier.station
    quirks = load_quirks(found.settings.ocpp.quirks)
    known = quirks.known_of(station.policy or {}, station.vendor, station.model, station.firmware)
    return settings_parts.settings_tab(dossier, found.records.sites(), known, found.settings.ocpp.security_profile)


def _overview(dossier: StationDossier, span: str) -> list[Child]:
    main = [
        ribbon_parts.ribbon_card(dossier, span),
        station_parts.connectors_card(dossier),
        station_parts.happened_card(dossier),
    ]
    side = [
        station_parts.alarms_card(dossier),
        traits_card(dossier, has_role(Role.ADMIN)),
        station_parts.identity_card(dossier),
    ]
    return [facts(station_parts.facts_of(dossier)), html.Div([html.Div(main), html.Div(side)], className="cols")]


def register(app: Dash) -> None:
    shown = [State("station-id", "data"), State("station-show", "data")]
    app.callback(
        Output("station-head", "children"),
        Output("station-body", "children"),
        Input("station-tick", "n_intervals"),
        *shown,
        prevent_initial_call=True,
    )(refresh)
    app.callback(
        Output("station-said", "children"),
        Output("station-head", "children", allow_duplicate=True),
        Output("station-body", "children", allow_duplicate=True),
        Input("station-edits", "data"),
        *shown,
        prevent_initial_call=True,
    )(edit)
    station_actions.register(app)
    files_actions.register(app)


@needs(Role.VIEWER)
def refresh(_ticks: int | None, station_id: object, shown: object) -> tuple[Child, Child]:
    """Of what happens by itself; where a person fills something in, only the head."""
    head, body = _as_it_is(station_id, shown)
    return head, body if isinstance(shown, list) and shown and not shown[0] else no_update


@needs(Role.ADMIN)
def edit(given: object, station_id: object, shown: object) -> tuple[Child, Child, Child]:
    """Carry out what a form of the page asked for, and show the station as it is then."""
    if not given or services().records.station(str(station_id)) is None:
        return no_update, no_update, no_update
    done = station_edits.edit(str(station_id), given)
    if not done.is_done:
        return notice("Nothing was changed.", done.text), no_update, no_update
    return notice("Done.", done.text, "good"), *_as_it_is(station_id, shown)


def _as_it_is(station_id: object, shown: object) -> tuple[Child, Child]:
    show, span = shown if isinstance(shown, list) and len(shown) == 2 else ("", "")
    span = span if span in ribbon_parts.SPANS else ""
    dossier = open_station(services(), str(station_id), ribbon_parts.SPANS[span][0])
    if dossier is None:
        return no_update, no_update
    is_settings = show == "settings" and has_role(Role.ADMIN)
    return station_parts.head(dossier), _settings(dossier) if is_settings else _overview(dossier, span)
