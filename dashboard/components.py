"""The parts every operator page is made of: shell, chips, facts, cards. Numbers carry unit and comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dash import dcc, html, page_container

Child = Any


class Page(NamedTuple):
    """A page module as the shell sees it. ``order`` below 0 keeps it out of the navigation."""

    path: str
    name: str
    order: int
    module: str


class Fact(NamedTuple):
    """One figure: quiet ``label`` over it, quiet ``note`` under it. ``key`` lets the script keep it current."""

    label: str
    value: str
    unit: str = ""
    note: str = ""
    key: str = ""


# navigation path -> the count the script keeps beside it
_COUNTS = {"/sessions": "sessions", "/faults": "alarms"}


def attrs(**given: str) -> dict[str, Any]:
    """``data_count="x"`` as the HTML attribute ``data-count``: Dash takes these only as unpacked keywords."""
    return {name.replace("_", "-"): value for name, value in given.items()}


def nav(title: str, pages: Sequence[Page]) -> Child:
    links = [
        dcc.Link(
            [page.name, html.Span("", className="count num", **attrs(data_count=_COUNTS.get(page.path, "")))],
            href=page.path,
            id={"nav": page.path},
            className="nav-link",
        )
        for page in sorted(pages, key=lambda page: page.order)
        if page.order >= 0
    ]
    return html.Nav(
        [
            html.Div(title, className="brand"),
            html.Div(links, className="nav-links"),
            html.Div(id="who", className="who"),
        ],
        className="nav",
        **attrs(aria_label="Pages"),
    )


def shell(title: str, pages: Sequence[Page]) -> Child:
    """Navigation and the page beside it."""
    return html.Div([nav(title, pages), html.Main(page_container, id="page")], className="shell")
