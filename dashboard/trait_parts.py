"""Habits of a station that were noticed: the evidence, and the policy that would put it right. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html

from bridge.stores.details import DetailRow
from dashboard import formats
from dashboard.components import Child, attrs, card
from dashboard.formats import plain
from dashboard.settings_parts import edit_form, save, words
from dashboard.station_dossier import StationDossier

_TITLES = {
    "register": "Its register counts per session",
    "meter_start": "Its meter at the start is no register",
    "clock": "Its clock runs on local time",
    "deaf": "It does not answer",
    "reboots": "It restarts again and again",
}


def traits_card(dossier: StationDossier, may_edit: bool) -> Child:
    if not dossier.traits:
        return ""
    return card("Noticed", [_trait(dossier, row, may_edit) for row in dossier.traits], note="of its ways")


def remedy_of(row: DetailRow) -> dict[str, Any]:
    found = row.body.get("policy")
    return found if isinstance(found, dict) else {}


def _trait(dossier: StationDossier, row: DetailRow, may_edit: bool) -> Child:
    remedy, own = remedy_of(row), dossier.station.policy or {}
    age = formats.span(max(0.0, (dossier.now - row.received_at).total_seconds()))
    title = _TITLES.get(row.key, plain(words(row.key), 60).capitalize())
    lines: list[Child] = [
        html.Div([html.B(title), html.Span(f"{age} ago", className="dim num")], className="trait-head"),
        html.P(plain(str(row.body.get("said") or "no evidence was kept"), 400)),
    ]
    if remedy and remedy.items() <= own.items():
        lines.append(html.P(f"Corrected: {_in_words(remedy)}.", className="ok"))
    elif remedy and may_edit:
        button = save("Correct", **attrs(aria_label=f"Correct: {title}"))
        what = html.Span(f"sets {_in_words(remedy)}", className="dim")
        lines.append(edit_form("trait", [html.Div([button, what], className="inline")], data_key=row.key))
    return html.Div(lines, className="trait", key=row.key)


def _in_words(remedy: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{plain(words(str(name)), 40)} to {plain(words(str(value)), 40)}" for name, value in remedy.items()
    )
