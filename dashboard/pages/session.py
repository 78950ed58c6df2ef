"""One session: what flows, what it costs and why, what happened, what the bill rests on."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, State, dcc, html, no_update
from flask import request
from flask_login import current_user

from bridge.stores.people import Role
from dashboard import figures, formats, session_parts
from dashboard.auth import has_role, needs
from dashboard.components import Child, breadcrumb, card, empty, facts, not_found, notice
from dashboard.dossier import Dossier, open_dossier
from dashboard.formats import plain
from dashboard.links import station_path
from dashboard.orders import NoWay, order
from dashboard.services import services

PATH = "/session/<session_id>"
NAME = "Session"
ORDER = -1  # reached from the list, not from the navigation

_REFRESH_MS = 10_000
_STOP_TIMEOUT_S = 20.0


def layout(session_id: str = "", **_: Any) -> Child:
    dossier = open_dossier(services(), session_id)
    if dossier is None:
        return not_found("There is no session with this id. It may have been mistyped, or removed by retention.")
    session = dossier.session
    return html.Div(
        [
            dcc.Store(id="session-id", data=session.id),
            dcc.Interval(id="session-tick", interval=_REFRESH_MS, disabled=not session.is_open),
            _bread(dossier),
            html.Div(
                [
                    html.H1(f"Session {session.id}"),
                    html.Div(session_parts.chips(dossier), id="session-chips"),
                    _actions(dossier),
                ],
                className="head",
            ),
            html.Div("", id="stop-answer", role="status"),
            html.Div(facts(session_parts.facts_of(dossier)), id="session-facts"),
            html.Div([_left(dossier), html.Div(session_parts.side(dossier), id="session-side")], className="cols"),
        ],
        className="page session-page",
        **session_parts.live_attributes(dossier),
    )


def register(app: Dash) -> None:
    app.callback(
        Output("session-chips", "children"),
        Output("session-facts", "children"),
        Output("session-figure", "figure"),
        Output("session-happened", "children"),
        Output("session-side", "children"),
        Output("session-tick", "disabled"),
        Input("session-tick", "n_intervals"),
        State("session-id", "data"),
        prevent_initial_call=True,
    )(refresh)
    app.callback(
        Output("stop-answer", "children"),
        Input("stop-now", "n_clicks"),
        State("session-id", "data"),
        prevent_initial_call=True,
        running=[(Output("stop-now", "disabled"), True, False)],
    )(stop)


@needs(Role.VIEWER)
def refresh(_ticks: int | None, session_id: str) -> tuple[Any, ...]:
    dossier = open_dossier(services(), str(session_id))
    if dossier is None:
        return (no_update,) * 6
    return (
        session_parts.chips(dossier),
        facts(session_parts.facts_of(dossier)),
        _figure(dossier) if dossier.curve.at else no_update,
        session_parts.happened(dossier),
        session_parts.side(dossier),
        not dossier.session.is_open,
    )


@needs(Role.OPERATOR)
def stop(clicks: int | None, session_id: str) -> Child:
    """Ask the station to stop, and say what it answered. The stop itself arrives as an event like any other."""
    records = services().records
    session = records.session(str(session_id)) if clicks else None
    station = records.station(session.station) if session else None
    if session is None or station is None:
        return no_update
    payload = {"transaction_id": session.transaction_id}
    given = {"role": current_user.user.role, "actor": current_user.name, "timeout_s": _STOP_TIMEOUT_S}
    try:
        answer = order(station, "StopSession", payload, **given)
    except NoWay as error:
        return notice("The stop could not be asked for.", f"{error}. Try again when it is back.")
    status = plain(str(answer.payload.get("status", "")), 40)
    return session_parts.stop_answer(answer.outcome, status, plain(answer.detail))


def _bread(dossier: Dossier) -> Child:
    site = [(dossier.site, "")] if dossier.site else []
    connector = f"Connector {dossier.session.evse}"
    if dossier.connector and dossier.connector.kind:
        connector += f", {plain(dossier.connector.kind, 40)}"
    if dossier.rated_w:
        connector += f" {formats.rated_kw(dossier.rated_w)} kW"
    station = (plain(dossier.place, 60), station_path(dossier.session.station))
    return breadcrumb([("Sessions", "/sessions"), *site, station, (connector, "")])


def _actions(dossier: Dossier) -> Child:
    """Only what works now: stopping needs an open session, a connected OCPP station, a broker and the right."""
    station = dossier.station
    can_stop = (
        dossier.session.is_open
        and services().commands is not None
        and station is not None
        and station.is_connected
        and station.protocol.startswith("ocpp")
        and has_role(Role.OPERATOR)
    )
    if not can_stop:
        return html.Div(className="act")
    question = [
        html.P(f"Stop charging at {plain(dossier.place, 60)}? The charger tells the driver, and the bill is closed."),
        html.Button("Stop now", id="stop-now", type="button", className="stop solid"),
    ]
    summary = html.Summary("Stop session", className="button stop")
    return html.Div(html.Details([summary, html.Div(question, className="ask")], className="confirm"), className="act")


def _left(dossier: Dossier) -> Child:
    return html.Div(
        [
            card(
                "Power, offered power and battery",
                [_graph(dossier) if dossier.curve.at else _no_samples(dossier)],
                note=session_parts.sampling(dossier),
            ),
            html.Div(session_parts.happened(dossier), id="session-happened"),
        ]
    )


def _no_samples(dossier: Dossier) -> Child:
    # the figure's place is kept, so that a refresh can fill it
    hidden = dcc.Graph(id="session-figure", style={"display": "none"})
    if dossier.is_series_away:
        sentence = "The time series do not answer right now, so there is no curve. What is above stands in the records."
    elif dossier.session.is_open:
        sentence = "No meter values yet. The curve begins with the charger's first one."
    else:
        sentence = "The charger sent no meter values in this session; start and stop are all there is."
    return html.Div([empty(sentence), hidden])


def _graph(dossier: Dossier) -> Child:
    figure = dcc.Graph(
        id="session-figure",
        figure=_figure(dossier),
        config={"displayModeBar": False, "responsive": True, "doubleClick": "reset"},
        style={"height": "100%"},
    )
    return html.Div(figure, className="figure")


def _figure(dossier: Dossier) -> Any:
    theme = request.cookies.get("theme", "light")
    return figures.session_figure(
        dossier.curve,
        dossier.where,
        figures.read_tokens(figures.tokens_path())[theme if theme in figures.THEMES else "light"],
        dossier.session.currency,
        session_parts.marks(dossier),
        revision=dossier.session.id,
    )
