"""Every station, trouble first, kept current by the feed. What is looked for is in the address, so it can be shared."""

from __future__ import annotations

from typing import Any

import dash_ag_grid
from dash import dcc, html

from bridge.stores.records import Site
from dashboard import grids, station_rows
from dashboard.alerts.store import AlarmStore
from dashboard.components import Child, attrs, choice, empty
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
_HEIGHT = "calc(100vh - 150px)"


def layout(site: str = "", state: str = "", text: str = "", **_: Any) -> Child:
    found = services()
    sites = found.records.sites()
    rows = _rows(found)
    state = state if state in _STATES else ""
    return html.Div(
        [
            html.Div([html.H1("Stations"), html.Span("", className="dim num", id="station-count")], className="head"),
            _filters(sites, site, state, text[:100]) if rows else "",
            _grid(rows) if rows else _nothing(found),
        ],
        className="page stations-page",
        **attrs(data_site=site, data_state=state, data_text=text[:100]),
    )


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
    options = grids.options(
        True,
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
            style={"height": _HEIGHT, "minHeight": "320px"},
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
