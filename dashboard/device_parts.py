"""What a station told of itself: its settings as a table to search, and everything else it has, by kind. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import dash_ag_grid
import msgspec
from dash import dcc, html

from bridge.compose import veiled
from bridge.events import DetailKind
from bridge.stores.details import DetailRow
from dashboard import formats, grids
from dashboard.components import Child, attrs, card, empty
from dashboard.formats import plain, plain_lines
from dashboard.links import station_path
from dashboard.station_dossier import StationDossier

_TITLES = {
    DetailKind.MONITOR: "What it watches by itself",
    DetailKind.PROFILE: "Charging profiles",
    DetailKind.LIMIT: "Limits set by others",
    DetailKind.NEEDS: "What the car asked for",
    DetailKind.SCHEDULE: "Charging schedules",
    DetailKind.MESSAGE: "Messages on the display",
    DetailKind.RESERVATION: "Reservations",
    DetailKind.LIST: "Local list of cards",
    DetailKind.FIRMWARE: "Firmware update",
    DetailKind.LOG: "Logs and diagnostics",
    DetailKind.CERTIFICATE: "Certificates",
    DetailKind.CUSTOMER: "Stored about customers",
    DetailKind.TARIFF: "Tariffs",
    DetailKind.DER: "Grid controls",
    DetailKind.STREAM: "Event streams",
    DetailKind.BATTERY: "Batteries",
    DetailKind.SETTLEMENT: "Settlements",
}
_ELSEWHERE = frozenset({DetailKind.VARIABLE, DetailKind.TRAIT})
_CARD_FIELDS = frozenset({"idtag", "idtoken", "token", "parentidtag", "groupidtoken"})
_MOST_OF_A_KIND = 60
_TALL = 12


def device_tab(dossier: StationDossier, details: Sequence[DetailRow], may_set: bool) -> list[Child]:
    variables = [row for row in details if row.kind == DetailKind.VARIABLE]
    others = [_kind_card(dossier, kind, details) for kind in _TITLES]
    shown = [one for one in others if one is not None]
    return [_variables(dossier, variables, may_set), html.Div(shown, className="detail-cards") if shown else ""]


# ---- settings


def _variables(dossier: StationDossier, rows: Sequence[DetailRow], may_set: bool) -> Child:
    title = "What the station says of itself"
    if not rows:
        ask = html.A("Ask it now", href=station_path(dossier.station.id, show="commands", command="GetConfiguration"))
        text = "Its settings appear here after it has started up and was asked for them."
        return card(title, [empty(text, ask if may_set and dossier.station.protocol.startswith("ocpp") else "")])
    search = dcc.Input(
        id="variable-text", type="search", value="", placeholder="Component, variable, value", maxLength=100
    )
    told = max(row.received_at for row in rows)
    age = formats.span(max(0.0, (dossier.now - told).total_seconds()))
    is_tall = len(rows) > _TALL
    grid = dash_ag_grid.AgGrid(
        id="variable-grid",
        rowData=[variable_row(dossier, row, may_set) for row in rows],
        columnDefs=_columns(
            any(row.body.get("component") for row in rows),
            any(row.body.get("attribute") not in (None, "", "Actual") for row in rows),
        ),
        defaultColDef={"sortable": True, "resizable": True, "suppressMovable": True},
        getRowId="params.data.id",
        className="",
        dashGridOptions=grids.options(is_tall, noRowsOverlayComponent="CwNoVariables"),
        style={"height": "calc(100vh - 240px)", "minHeight": "360px"} if is_tall else {"height": None},
    )
    head = html.H2([title, html.Span(f"{len(rows)} values, the newest told {age} ago", className="card-note num")])
    return html.Section(
        [html.Div([head, html.Div(search, className="filters")], className="grid-head"), grid],
        className="grid-card spaced",
    )


def variable_row(dossier: StationDossier, row: DetailRow, may_set: bool) -> dict[str, Any]:
    """A setting as a row; ``href`` leads to the form that changes it, where it can be changed."""
    body = row.body
    component, variable = str(body.get("component") or ""), str(body.get("variable") or row.key)
    attribute, value = str(body.get("attribute") or ""), _value(row)
    can_set = may_set and body.get("mutability") in ("ReadWrite", "WriteOnly")
    key = f"{component}.{variable}" if component else variable
    is_shown = value == str(body.get("value") or "")  # a secret stands in no address
    given = {"key": key, "value": value[:2_500] if is_shown else "", "attribute": attribute if component else ""}
    href = station_path(dossier.station.id, show="commands", command="SetConfiguration", **given) if can_set else ""
    return {
        "id": row.key,
        "component": plain(component, 80),
        "variable": plain(variable, 80),
        "attribute": "" if attribute == "Actual" else plain(attribute, 20),
        "value": plain(value, 500),
        "unit": plain(str(body.get("unit") or ""), 20),
        "mutability": _MUTABILITY.get(str(body.get("mutability") or ""), plain(str(body.get("mutability") or ""), 20)),
        "at": row.received_at.isoformat(timespec="seconds"),
        "href": href,
    }


_MUTABILITY = {"ReadOnly": "fixed", "ReadWrite": "can be set", "WriteOnly": "only set, never shown"}


def _value(row: DetailRow) -> str:
    shown = veiled(
        "SetVariables", {"variable": {"name": str(row.body.get("variable") or row.key)}, "value": row.body.get("value")}
    )
    return str(shown["value"] if shown["value"] is not None else "")


def _columns(has_components: bool, has_attributes: bool) -> list[dict[str, Any]]:
    component = {"field": "component", "headerName": "Component", "width": 240}
    return [
        *([component] if has_components else []),
        {"field": "variable", "headerName": "Variable" if has_components else "Setting", "flex": 2, "minWidth": 180},
        *([{"field": "attribute", "headerName": "Attribute", "width": 116}] if has_attributes else []),
        {"field": "value", "headerName": "Value", "flex": 2, "minWidth": 160, "cellRenderer": "CwVariable"},
        {"field": "mutability", "headerName": "Change", "width": 170, "cellClass": "cell-sub"},
        {"field": "at", "headerName": "Told", "width": 130, "type": "rightAligned", "cellRenderer": "CwSeen"},
        {"field": "href", "headerName": "", "width": 84, "sortable": False, "cellRenderer": "CwSet"},
    ]


# ---- everything else


def _kind_card(dossier: StationDossier, kind: DetailKind, details: Sequence[DetailRow]) -> Child | None:
    rows = [row for row in details if row.kind == kind]
    if not rows:
        return None
    shown = [_detail(dossier, row) for row in rows[:_MOST_OF_A_KIND]]
    more = f", {_MOST_OF_A_KIND} shown" if len(rows) > _MOST_OF_A_KIND else ""
    return card(_TITLES[kind], [html.Div(shown, className="details")], note=f"{len(rows)}{more}")


def _detail(dossier: StationDossier, row: DetailRow) -> Child:
    at = formats.span(max(0.0, (dossier.now - row.received_at).total_seconds()))
    where = f"EVSE {row.evse}, " if row.evse else ""
    body = without_cards(row.body)
    line = [
        html.B(plain(_key(row), 60)),
        html.Span(plain(_summary(body), 160), className="gist"),
        html.Span(f"{where}{at} ago", className="dim num"),
    ]
    text = msgspec.json.format(msgspec.json.encode(body), indent=2).decode()
    pre = html.Pre(plain_lines(text), className="json", tabIndex=0)
    key = f"{row.kind}-{crc32(row.key.encode()):x}"  # the key itself may be a card
    return html.Details([html.Summary(line), pre], className="detail", key=key, **attrs(data_key=key))


def _key(row: DetailRow) -> str:
    looks_like_a_card = row.kind in (DetailKind.LIST, DetailKind.CUSTOMER) and re.fullmatch(
        r"[0-9A-Fa-f]{8,32}", row.key
    )
    return f"••••{row.key[-4:]}" if looks_like_a_card else row.key or "–"


def _summary(body: Any) -> str:
    if not isinstance(body, dict):
        return str(body)
    scalars = [(name, value) for name, value in body.items() if isinstance(value, str | int | float) and value != ""]
    return ", ".join(f"{name} {_short(value)}" for name, value in scalars[:5])


def _short(value: str | float) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:39] + "…"


def without_cards(body: Any) -> Any:
    """A detail with the numbers of cards masked, however deep they stand."""
    if isinstance(body, list):
        return [without_cards(item) for item in body]
    if not isinstance(body, dict):
        return body
    return {
        name: _masked(value) if name.replace("_", "").casefold() in _CARD_FIELDS else without_cards(value)
        for name, value in body.items()
    }


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return f"••••{value[-4:]}" if len(value) > 4 else "••••" if value else value
    return without_cards(value)
