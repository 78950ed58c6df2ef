"""Where things are found in the web process. A station's id may hold anything: it is one quoted step of the path."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from dash import html

from dashboard.components import Child

STATIONS = "/stations"


def station_path(station: str, **query: str) -> str:
    """The address of a station's page; empty ``query`` values are left out."""
    given = {name: value for name, value in query.items() if value}
    return f"/station/{quote(station, safe='')}" + (f"?{urlencode(given)}" if given else "")


def station_link(station: str, text: str) -> Child:
    return html.A(text, href=station_path(station))
