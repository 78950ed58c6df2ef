"""The ribbon of a station's connectors: bands with words, on the site's own clock. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, tzinfo

from dash import html

from dashboard import formats, ribbon
from dashboard.components import Child, attrs, card, empty
from dashboard.formats import plain
from dashboard.links import station_path
from dashboard.ribbon import Band
from dashboard.station_dossier import StationDossier

SPANS = {"": (1, "24 hours"), "7d": (7, "7 days")}
_LEGEND = (
    ("free", "free"),
    ("charging", "charging"),
    ("idle", "occupied, not charging"),
    ("reserved", "reserved"),
    ("out", "out of service"),
    ("faulted", "faulted"),
    ("offline", "offline"),
)


def ribbon_card(dossier: StationDossier, span: str) -> Child:
    """The last day or week of each connector. ``span`` is a key of ``SPANS``."""
    days, words = SPANS[span]
    title = f"The last {words}"
    tabs = html.Div([_tab(dossier, key, span) for key in SPANS], className="tabs small", key="spans")
    if dossier.is_series_away:
        away = "The time series do not answer right now. What is above and beside this stands in the records."
        return card(title, [empty(away)], note=tabs)
    if not dossier.lanes:
        return card(
            title, [empty("Bands appear here as soon as the station tells the state of a connector.")], note=tabs
        )
    many = any(lane[1] > 1 for lane in dossier.lanes)
    lanes = [_lane(dossier, evse, connector, many) for evse, connector in dossier.lanes]
    axis = _axis(dossier.start, dossier.now, dossier.where, days)
    return card(title, [html.Div([*lanes, axis], className="ribbon"), _legend(dossier.lanes.values())], note=tabs)


def _tab(dossier: StationDossier, key: str, chosen: str) -> Child:
    current = attrs(aria_current="page") if key == chosen else {}
    return html.A(SPANS[key][1], href=station_path(dossier.station.id, span=key), **current)


def lane_name(evse: int, connector: int, many: bool = False) -> str:
    if not evse:
        return "Station"
    return f"Connector {evse}.{connector}" if many else f"Connector {evse}"


def _lane(dossier: StationDossier, evse: int, connector: int, many: bool) -> Child:
    bands = dossier.lanes[evse, connector]
    row = next((c for c in dossier.connectors if (c.evse, c.connector) == (evse, connector)), None)
    kind = plain(row.kind, 16) if row and row.kind else ""
    rated = f"{formats.rated_kw(row.rated_power_w)} kW" if row and row.rated_power_w else ""
    name = [html.B(lane_name(evse, connector, many)), html.Span(" ".join(filter(None, (kind, rated))), className="dim")]
    whole = (dossier.now - dossier.start).total_seconds()
    drawn = [_band(dossier, band, whole) for band in bands]
    track = html.Div(drawn, className="track", **attrs(role="img", aria_label=_in_words(bands)))
    charging = ribbon.share(bands, "charging")
    note = "" if charging is None or not evse else f"{formats.percent(100 * charging)} % charging"
    return html.Div(
        [html.Div(name, className="lane-name"), track, html.Div(note, className="lane-note num")], className="lane"
    )


def _band(dossier: StationDossier, band: Band, whole: float) -> Child:
    left = 100 * (band.start - dossier.start).total_seconds() / whole
    width = 100 * band.seconds / whole
    times = [formats.time_of(at, dossier.where, dossier.now) for at in (band.start, band.end)]
    until = "now" if band.end == dossier.now else times[1]
    words = f"{plain(band.word, 80)}, {times[0]} to {until}, {formats.span(band.seconds)}"
    edge = " at-start" if left + width / 2 < 18 else " at-end" if left + width / 2 > 82 else ""
    style = {"left": f"{left:.3f}%", "width": f"{width:.3f}%"}
    return html.I(className=f"band {band.kind}{edge}", style=style, **attrs(data_words=words))


def _in_words(bands: Sequence[Band]) -> str:
    seconds: Counter[str] = Counter()
    for band in bands:
        seconds[plain(band.word, 60)] += int(band.seconds)
    return "; ".join(f"{word} {formats.span(total)}" for word, total in seconds.most_common(8))


def _axis(start: datetime, end: datetime, where: tzinfo, days: int) -> Child:
    step = timedelta(hours=4 if days == 1 else 24)
    local = start.astimezone(where)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    whole = (end - start).total_seconds()
    ticks = []
    for number in range(1, int((days + 1) * 86_400 // step.total_seconds()) + 1):
        at = midnight + number * step  # wall clock, as the site reads it
        left = 100 * (at - start).total_seconds() / whole
        if 1 < left < 97:
            text = f"{at:%H:%M}" if days == 1 else f"{at:%a %d}"
            ticks.append(html.Span(text, style={"left": f"{left:.3f}%"}))
    zone = html.Span(formats.offset(end, where), className="lane-note")
    return html.Div(
        [html.Div(className="lane-name"), html.Div(ticks, className="ticks num"), zone], className="lane axis"
    )


def _legend(lanes: Iterable[Sequence[Band]]) -> Child:
    """Only what is drawn."""
    drawn = {band.kind for bands in lanes for band in bands}
    found = [html.Span([html.I(className=f"band {kind}"), words]) for kind, words in _LEGEND if kind in drawn]
    return html.Div(found, className="ribbon-legend", **attrs(aria_hidden="true"))
