"""Every session: the open ones live, the ended ones by page. What is shown is in the address, so it can be shared."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import dash_ag_grid
import msgspec
from dash import dcc, html

from bridge.session import OPEN_STATES, Session, SessionState
from bridge.stores.records import BadCursor, Page, SessionQuery, Site
from dashboard import formats, grids, session_rows
from dashboard.components import Child, attrs, choice, empty
from dashboard.services import Services, services

PATH = "/sessions"
NAME = "Live sessions"
ORDER = 10

_PAGE_SIZE = 50
_MOST_AS_A_WHOLE = 15  # more rows than this scroll inside the grid, which then draws only what is seen
_OPEN, _ENDED = "open", "ended"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the address asks for; anything unknown in it is as good as absent."""

    show: str = _OPEN
    site: str = ""
    state: str = ""
    text: str = ""
    cursor: str = ""

    @property
    def states(self) -> frozenset[SessionState]:
        within = OPEN_STATES if self.show == _OPEN else frozenset(SessionState) - OPEN_STATES
        return frozenset({SessionState(self.state)}) if self.state in within else within

    def address(self, **changes: str) -> str:
        given = {k: v for k, v in (msgspec.structs.asdict(self) | changes).items() if v and (k, v) != ("show", _OPEN)}
        return PATH + ("?" + urlencode(given) if given else "")


def layout(show: str = _OPEN, site: str = "", state: str = "", text: str = "", cursor: str = "", **_: Any) -> Child:
    found = services()
    show = show if show in (_OPEN, _ENDED) else _OPEN
    asked = Asked(show=show, site=site, state=state, text=text[:100], cursor=cursor)
    sites = found.records.sites()
    stations = {row.id: row for row in found.records.stations()}
    page = _sessions(found, asked)
    now = found.now()
    rows = [session_rows.row_of(session, stations.get(session.station), now) for session in page.items]
    return html.Div(
        [
            html.Div([html.H1("Sessions"), _tabs(asked)], className="head"),
            _filters(asked, sites),
            _grid(asked, rows) if rows or asked.show == _OPEN else _nothing(asked),
            _pager(asked, page) if asked.show == _ENDED else "",
        ],
        className="page sessions-page",
        **attrs(
            data_show=asked.show,
            data_site=asked.site,
            data_state=asked.state,
            data_text=asked.text,
            data_stations=_stations_json(stations.values()) if asked.show == _OPEN else "{}",
        ),
    )


def _sessions(found: Services, asked: Asked) -> Page[Session]:
    query = SessionQuery(
        states=asked.states,
        site=asked.site or None,
        text=asked.text,
        cursor=asked.cursor or None,
        limit=500 if asked.show == _OPEN else _PAGE_SIZE,
    )
    try:
        return found.records.sessions(query)
    except BadCursor:
        return found.records.sessions(msgspec.structs.replace(query, cursor=None))


def _stations_json(stations: Any) -> str:
    """station -> [name, site, site id], for rows that the script adds."""
    named = {row.id: session_rows.names_of(row.id, row) for row in stations}
    return msgspec.json.encode(named).decode()


def _tabs(asked: Asked) -> Child:
    def tab(show: str, text: str) -> Child:
        current = attrs(aria_current="page") if asked.show == show else {}
        return html.A(text, href=Asked(show=show, site=asked.site, text=asked.text).address(), **current)

    return html.Div([tab(_OPEN, "Live"), tab(_ENDED, "Ended")], className="tabs")


def _filters(asked: Asked, sites: list[Site]) -> Child:
    within = sorted(OPEN_STATES if asked.show == _OPEN else frozenset(SessionState) - OPEN_STATES)
    states = [("", "All states"), *((str(state), formats.STATE_WORDS[state]) for state in within)]
    places = [("", "All sites"), *((site.id, site.name) for site in sites)]
    search = dcc.Input(
        id="session-text",
        name="text",
        type="search",
        value=asked.text,
        placeholder="Station, token, transaction",
        maxLength=100,
    )
    return html.Form(
        [
            choice("site", "Site", places, asked.site),
            choice("state", "State", states, asked.state),
            search,
            _hidden_show(asked),
            html.Button("Show", type="submit"),
            html.A("Clear", href=Asked(show=asked.show).address()) if asked.site or asked.state or asked.text else "",
        ],
        method="GET",
        action=PATH,
        className="filters",
        **attrs(role="search"),
    )


def _hidden_show(asked: Asked) -> Child:
    # Dash has no hidden input; a select with one option says the same
    return html.Select(
        html.Option(asked.show, value=asked.show), name="show", style={"display": "none"}, **attrs(aria_hidden="true")
    )


def _grid(asked: Asked, rows: list[dict[str, Any]]) -> Child:
    is_tall = asked.show == _OPEN and len(rows) > _MOST_AS_A_WHOLE
    return html.Div(
        dash_ag_grid.AgGrid(
            id="session-grid",
            rowData=rows,
            columnDefs=session_rows.columns(is_open=asked.show == _OPEN),
            defaultColDef={"sortable": True, "resizable": True, "suppressMovable": True},
            getRowId="params.data.id",
            className="",
            dashGridOptions=grids.options(is_tall),
            style={"height": "calc(100vh - 158px)", "minHeight": "320px"} if is_tall else {"height": None},
        ),
        className="grid-card",
    )


def _nothing(asked: Asked) -> Child:
    if asked.site or asked.state or asked.text or asked.cursor:
        everything = html.A("Show all ended sessions", href=Asked(show=_ENDED).address())
        return empty("No session fits this search.", everything)
    return empty("Ended sessions appear here as soon as the first driver unplugs.")


def _pager(asked: Asked, page: Page[Session]) -> Child:
    newest = html.A("Newest", href=asked.address(cursor=""), className="button") if asked.cursor else ""
    older = page.next_cursor
    further = html.A("Older", href=asked.address(cursor=older), className="button", rel="next") if older else ""
    return html.Div([html.Span(f"{len(page.items)} shown"), newest, further], className="pager")
