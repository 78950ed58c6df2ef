"""Every station, trouble first, kept current by the feed. What is looked for is in the address, so it can be shared."""

from __future__ import annotations

from typing import Any

import dash_ag_grid
from dash import Dash, Input, Output, State, dcc, html, no_update

from bridge.stores.people import Role
from bridge.stores.records import Site
from dashboard import grids, inbox_parts, plan_route, station_edits, station_rows
from dashboard.alerts.store import AlarmStore
from dashboard.auth import has_role, needs
from dashboard.components import Child, attrs, choice, empty, notice
from dashboard.formats import plain
from dashboard.links import STATIONS
from dashboard.pages.wall import charger_address
from dashboard.services import Services, services

PATH = STATIONS
NAME = "Stations"
ORDER = 5

_STATES = {
    "": "All states",
    "trouble": "In trouble",
    "faulted": "Faulted",
    "offline": "Offline",
    "out": "Out of service",
    "charging": "Charging",
    "connected": "Connected",
    "never": "Never connected",
}
_REFRESH_MS = 10_000
_MOST_AS_A_WHOLE = 18  # more rows than this scroll inside the grid, which then draws only what is seen
_HEIGHT = "calc(100vh - 150px)"


def layout(site: str = "", state: str = "", text: str = "", **_: Any) -> Child:
    found = services()
    sites = found.records.sites()
    rows = _rows(found)
    state = state if state in _STATES else ""
    inbox, seen = _inbox()
    return html.Div(
        [
            dcc.Store(id="inbox-edits"),
            dcc.Store(id="inbox-seen", data=seen),
            dcc.Interval(id="inbox-tick", interval=_REFRESH_MS),
            html.Div(
                [html.H1("Stations"), html.Span("", className="dim num", id="station-count"), _plan()], className="head"
            ),
            html.Div("", id="plan-said", role="status"),
            html.Div("", id="inbox-said", role="status"),
            html.Div(inbox, id="inbox"),
            _filters(sites, site, state, text[:100]) if rows else "",
            _grid(rows) if rows else _nothing(found),
        ],
        className="page stations-page",
        **attrs(data_site=site, data_state=state, data_text=text[:100]),
    )


def register(app: Dash) -> None:
    app.callback(
        Output("inbox", "children"),
        Output("inbox-seen", "data"),
        Input("inbox-tick", "n_intervals"),
        State("inbox-seen", "data"),
        prevent_initial_call=True,
    )(refresh)
    app.callback(
        Output("inbox-said", "children"),
        Output("inbox", "children", allow_duplicate=True),
        Output("inbox-seen", "data", allow_duplicate=True),
        Input("inbox-edits", "data"),
        prevent_initial_call=True,
    )(decide)


@needs(Role.VIEWER)
def refresh(_ticks: int | None, seen: object) -> tuple[Child, Any]:
    """Only when somebody came or went: a person may be typing."""
    inbox, now_seen = _inbox()
    return (no_update, no_update) if now_seen == seen else (inbox, now_seen)


@needs(Role.ADMIN)
def decide(given: object) -> tuple[Child, Child, Any]:
    if not isinstance(given, dict) or given.get("action") != "decide":
        return no_update, no_update, no_update
    done = station_edits.edit("", given)
    said = notice(
        "Done." if done.is_done else "Nothing was changed.", plain(done.text, 400), "good" if done.is_done else "bad"
    )
    return said, *_inbox()


def _inbox() -> tuple[Child, list[list[Any]]]:
    """The card, and by what it would be another."""
    found = services()
    held = station_edits.provisioning().inbox()
    seen = [[one.station, one.key_id, one.other_keys, one.is_connected, one.model] for one in held]
    return inbox_parts.inbox_card(held, found.records.sites(), found.now(), has_role(Role.ADMIN)), seen


def _plan() -> Child:
    """Out and in as CSV; the script adds the chooser of files."""
    if not has_role(Role.OPERATOR):
        return ""
    into = html.Span(className="plan-import", **attrs(data_to=plan_route.PATH)) if has_role(Role.ADMIN) else ""
    return html.Div([into, html.A("Export CSV", href=plan_route.PATH, className="button")], className="act")


def _rows(found: Services) -> list[station_rows.Row]:
    stations, connectors = found.records.stations(), found.records.connectors()
    return station_rows.rows_of(stations, connectors, AlarmStore(found.records).open_alarms())


def _filters(sites: list[Site], site: str, state: str, text: str) -> Child:
    places = [("", "All sites"), *((s.id, s.name) for s in sites)]
    search = dcc.Input(
        id="station-text",
        name="text",
        type="search",
        value=text,
        placeholder="Name, id, model, firmware",
        maxLength=100,
    )
    controls = [choice("site", "Site", places, site), choice("state", "State", [*_STATES.items()], state), search]
    # without the script the button does what each change does with it
    button = html.Noscript(html.Button("Show", type="submit"))
    return html.Form([*controls, button], method="GET", action=PATH, className="filters", **attrs(role="search"))


def _grid(rows: list[station_rows.Row]) -> Child:
    is_tall = len(rows) > _MOST_AS_A_WHOLE
    options = grids.options(
        is_tall,
        isFullWidthRow={"function": "cwIsHead(params)"},
        fullWidthCellRenderer="CwSite",
        isExternalFilterPresent={"function": "cwAlways()"},
        doesExternalFilterPass={"function": "cwFits(params)"},
        getRowHeight={"function": "cwHeight(params)"},
        noRowsOverlayComponent="CwNoStations",
    )
    return html.Div(
        dash_ag_grid.AgGrid(
            id="station-grid",
            rowData=rows,
            columnDefs=station_rows.columns(),
            defaultColDef={"sortable": True, "resizable": True, "suppressMovable": True},
            getRowId="params.data.id",
            className="",
            dashGridOptions=options,
            style={"height": _HEIGHT, "minHeight": "320px"} if is_tall else {"height": None},
        ),
        className="grid-card",
    )


def _nothing(found: Services) -> Child:
    """How the first charger gets here. The browser puts this machine's name where ``{host}`` is."""
    address = charger_address(found.settings.ocpp) + "ocpp/"
    enter = html.P(
        [
            "In the charger's settings, enter as the address of the central system: ",
            html.Code([address, html.Span("<its id>", className="dim")], **attrs(data_address=address)),
        ]
    )
    register = html.P(["Give it a key first: ", html.Code("chargewatch token add <its id> --role station")])
    return html.Section(
        [empty("Stations appear here as soon as one connects."), enter, register], className="card first"
    )
