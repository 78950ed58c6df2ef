"""What happened, as lines that open onto the raw message."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo

from dash import html

from dashboard import formats
from dashboard.components import Child, attrs
from dashboard.happenings import Happening


def timeline(items: Sequence[Happening], where: tzinfo, now: datetime | None = None) -> Child:
    """As ``items`` are; with ``now``, those of another day say which."""
    is_dated = any(not _is_today(item, where, now) for item in items)
    return html.Div([_event(item, where, now) for item in items], className="events dated" if is_dated else "events")


def _is_today(item: Happening, where: tzinfo, now: datetime | None) -> bool:
    return now is None or item.at.astimezone(where).date() == now.astimezone(where).date()


def _event(item: Happening, where: tzinfo, now: datetime | None) -> Child:
    is_today = _is_today(item, where, now)
    time = formats.seconds_of(item.at, where) if is_today else formats.time_of(item.at, where, now)
    line = [
        html.Span(time, className="num"),
        html.I(**attrs(aria_hidden="true")),
        html.Span(item.text),
        html.Code(item.code),
    ]
    kind = "event warn" if item.is_abnormal else "event"
    said = item.text.partition(":" if item.code == "MeterSampled" else ", ")[0]  # what follows may still grow
    key = f"{item.at.isoformat()}-{item.code}-{said[:40]}"
    if not item.raw:
        return html.Div(line, className=kind, key=key)
    raw = html.Pre(formats.plain_lines(item.raw))
    return html.Details([html.Summary(line), raw], className=kind, key=key, **attrs(data_key=key))
