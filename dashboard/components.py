"""The parts every operator page is made of: shell, chips, facts, cards. Numbers carry unit and comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dash import html, page_container

Child = Any  # what Dash takes as a child

# navigation path -> the count that the script keeps beside it
_COUNTS = {"/stations": "stations", "/sessions": "sessions", "/faults": "alarms"}

# priority -> how it is drawn: always a shape and a word, never colour alone
PRIORITY_SHAPES = {1: "diamond", 2: "triangle", 3: "circle", 4: "dot"}


class Page(NamedTuple):
    """A page module as the shell sees it. ``order`` below 0 keeps it out of the navigation."""

    path: str
    name: str
    order: int


class Fact(NamedTuple):
    """One figure: quiet ``label`` over it, quiet ``note`` under it. ``key`` lets the script keep it current."""

    label: str
    value: str
    unit: str = ""
    note: str = ""
    key: str = ""


def attrs(**given: str) -> dict[str, Any]:
    """``data_count="x"`` as the HTML attribute ``data-count``: Dash takes these only as unpacked keywords."""
    return {name.replace("_", "-"): value for name, value in given.items()}


def shell(title: str, pages: Sequence[Page], who: str, role: str) -> Child:
    """Navigation and the page beside it, for the person ``who``."""
    links = [_nav_link(page) for page in sorted(pages, key=lambda page: page.order) if page.order >= 0]
    person = html.Div(
        [
            html.Div([html.B(who), html.Span(role, className="dim")], className="who-name"),
            html.Button("Log out", id="logout", type="button", className="quiet"),
        ],
        className="who",
    )
    feed = html.Div("", id="feed-state", className="feed-state", **attrs(role="status"))
    nav = html.Nav(
        [html.Div(title, className="brand"), html.Div(links, className="nav-links"), feed, person],
        className="nav",
        **attrs(aria_label="Pages"),
    )
    return html.Div([nav, html.Main(page_container, id="page")], className="shell")


def bare_shell() -> Child:
    """The frame alone, for nobody in particular."""
    return html.Main(page_container)


def _nav_link(page: Page) -> Child:
    count = html.Span("", className="count num", **attrs(data_count=_COUNTS.get(page.path, "")))
    return html.A([page.name, count], href=page.path, className="nav-link", **attrs(data_path=page.path))


def chip(text: str, kind: str = "", **given: str) -> Child:
    """A short fact in a pill. ``kind``: "", "on" (energy flows), "warn", "bad", "stale"."""
    return html.Span(text, className=f"chip {kind}".strip(), **attrs(**given))


def facts(rows: Sequence[Fact]) -> Child:
    return html.Section([_fact(row) for row in rows], className="facts num")


def _fact(row: Fact) -> Child:
    given = attrs(data_fact=row.key) if row.key else {}
    value = [html.Span(row.value, className="value"), html.Span(row.unit, className="unit")]
    return html.Div(
        [html.Span(row.label, className="label"), html.B(value), html.Span(row.note, className="note")],
        className="fact",
        **given,
    )


def card(title: str, children: Sequence[Child], note: Child = "", **given: Any) -> Child:
    head = html.H2([title, html.Span(note, className="card-note")])
    return html.Section([head, *children], **({"className": "card"} | given))


def pairs(rows: Sequence[tuple[str, Child]]) -> Child:
    """Name and value, line by line."""
    lines = [html.Div([html.Dt(name, className="dim"), html.Dd(value)], className="pair") for name, value in rows]
    return html.Dl(lines, className="pairs num")


def empty(sentence: str, more: Child = "") -> Child:
    """What will appear here, in one sentence."""
    return html.Div([html.P(sentence), html.P(more, className="dim") if more else ""], className="empty")


def notice(title: str, text: str, kind: str = "bad") -> Child:
    """What happened, what is safe, what to do."""
    return html.Div([html.B(title), html.P(text)], className=f"notice {kind}", **attrs(role="alert"))


def priority_mark(priority: int) -> Child:
    shape = PRIORITY_SHAPES.get(priority, "dot")
    return html.Span(
        html.Span(str(priority), **attrs(aria_hidden="true")),
        className=f"mark {shape}",
        **attrs(role="img", aria_label=f"Priority {priority}"),
    )


def breadcrumb(parts: Sequence[tuple[str, str]]) -> Child:
    """(text, address) pairs; an empty address is plain text."""
    found: list[Child] = []
    for text, href in parts:
        found += [html.A(text, href=href) if href else html.Span(text), html.Span(" / ", className="faint")]
    return html.Div(found[:-1], className="bread")


def choice(name: str, label: str, options: Sequence[tuple[str, str]], chosen: str, **given: Any) -> Child:
    """A select of a form. The chosen option comes first in the list: React does not manage this control."""
    ordered = sorted(options, key=lambda option: option[0] != chosen) if chosen else options
    found = [html.Option(text, value=value) for value, text in ordered]
    return html.Select(found, name=name, key=f"{name}-{chosen}", **given, **attrs(aria_label=label))


def not_found(what: str, way_out: str = "Go to the live sessions", href: str = "/sessions") -> Child:
    return html.Div([html.H1("Not here"), empty(what, html.A(way_out, href=href))], className="page")


def stores_away(what: str) -> Child:
    """For a page whose store does not answer."""
    return html.Div(
        [
            html.H1("One moment"),
            notice(
                f"{what} cannot be read right now.",
                "Charging goes on and nothing is lost: the bridge keeps every message in its journal until the store "
                "is back. This page tries again by itself.",
            ),
        ],
        className="page",
        **attrs(data_retry="5"),
    )
