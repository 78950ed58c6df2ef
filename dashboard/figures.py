"""Plotly figures in the house's language: one template, colours from ``assets/tokens.css``, labels at lines' ends."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from functools import cache
from html import escape
from pathlib import Path
from typing import NamedTuple

import plotly.graph_objects as go

from dashboard import formats
from dashboard.curve import Curve
from dashboard.places import assets_folder

FONT = "Inter Variable, Inter, system-ui, sans-serif"
THEMES = ("light", "dark")
_UPPER, _LOWER = (0.36, 1.0), (0.0, 0.24)  # power and battery above, energy and cost below
_SHORTEST = timedelta(minutes=1)
_LEAST_APART = 0.055  # of the figure's height, between two labels

Tokens = Mapping[str, str]


class Mark(NamedTuple):
    """Something that happened, drawn on the time axis. ``is_abnormal`` spends colour."""

    at: datetime
    text: str
    is_abnormal: bool = False


def tokens_in(css: str) -> dict[str, dict[str, str]]:
    """``{"light": {"ink": "#1a1e22", ...}, "dark": ...}``: the colours of each ``[data-theme=...]`` block."""
    found: dict[str, dict[str, str]] = {}
    for theme, body in re.findall(r"""\[data-theme=["']?(\w+)["']?\][^{]*\{([^}]*)\}""", css):
        found.setdefault(theme, {}).update(re.findall(r"--([\w-]+):\s*(#[0-9a-fA-F]{3,8})\b", body))
    return found


def tokens_path() -> Path:
    return assets_folder() / "tokens.css"


@cache
def read_tokens(path: Path) -> dict[str, dict[str, str]]:
    return tokens_in(path.read_text())


def template(tokens: Tokens) -> go.layout.Template:
    """Only horizontal hairlines, no legend, no frame, one hover box."""
    axis = {
        "showgrid": False,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "tickfont": {"size": 12, "color": tokens["ink-2"]},
        "title": {"font": {"size": 12, "color": tokens["ink-2"]}, "standoff": 8},
        "fixedrange": True,
        "automargin": False,
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 12, "color": tokens["ink-2"]},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "showlegend": False,
            "hovermode": "x unified",
            "hoversubplots": "axis",
            "hoverlabel": {
                "bgcolor": tokens["panel"],
                "bordercolor": tokens["line"],
                "font": {"family": FONT, "size": 12, "color": tokens["ink"]},
            },
            "dragmode": "zoom",
            "margin": {"l": 44, "r": 84, "t": 24, "b": 46},
            "xaxis": axis | {"fixedrange": False, "spikecolor": tokens["ink-3"], "spikethickness": 1},
            "yaxis": axis | {"showgrid": True, "gridcolor": tokens["line"], "gridwidth": 1, "rangemode": "tozero"},
        }
    )


class _Drawn(NamedTuple):
    """One line: values as drawn, the axis' top they are drawn against, its label at the end, its look."""

    name: str
    values: Sequence[float | None]
    top: float
    label: str
    colour: str
    axis: str
    hover: str
    width: float = 1.5
    dash: str = "solid"
    shape: str = "linear"
    fill: str = ""
    texts: Sequence[str] | None = None


def session_figure(
    curve: Curve, where: tzinfo, tokens: Tokens, currency: str, marks: Sequence[Mark] = (), revision: str = ""
) -> go.Figure:
    """Power with its limit and the battery above, energy and cost below, on the site's own clock.

    ``curve`` holds at least one sample; ``revision`` keeps a person's zoom while the figure is refreshed.
    """
    times = [at.astimezone(where).replace(tzinfo=None) for at in curve.at]
    figure = go.Figure(layout={"template": template(tokens), "uirevision": revision or "same"})
    upper, lower = _upper(curve, tokens), _lower(curve, tokens, currency)
    for line in (*upper, *lower):
        if line.fill:
            figure.add_trace(_area(times, line))
        figure.add_trace(_trace(times, line))
    _label_ends(figure, upper, _UPPER)
    _label_ends(figure, lower, _LOWER)
    ends = (times[0], max(times[-1], times[0] + _SHORTEST))
    tops = {line.axis: line.top for line in (*upper, *lower)}
    _lay_axes(figure, ends, formats.offset(curve.at[-1], where), tops, tokens)
    _mark(figure, marks, where, ends, tokens)
    _name_panels(figure, curve, tokens)
    return figure


def _upper(curve: Curve, tokens: Tokens) -> list[_Drawn]:
    power, offered, battery = _in_kilo(curve.power_w), _in_kilo(curve.offered_w), curve.soc_percent
    top = max(1.0, _highest([*power, *offered]) * 1.12)
    at_end = f"{_last(power):.1f} kW"
    lines = [
        _Drawn("Power", power, top, at_end, tokens["energy"], "y", "%{y:.1f} kW", width=2, fill=tokens["energy-soft"]),
        _Drawn(
            "Offered", offered, top, "offered", tokens["ink-2"], "y", "%{y:.1f} kW offered", dash="dash", shape="hv"
        ),
        _Drawn("Battery", battery, 100, f"{_last(battery):.0f} %", tokens["ink"], "y2", "%{y:.0f} % battery"),
    ]
    return [line for line in lines if _has_values(line.values)]


def _lower(curve: Curve, tokens: Tokens, currency: str) -> list[_Drawn]:
    energy, cost = _in_kilo(curve.energy_wh), curve.cost
    texts = ["" if v is None else formats.money(str(v), currency) for v in cost]
    lines = [
        _Drawn(
            "Energy", energy, _highest(energy) * 1.1, f"{_last(energy):.2f} kWh", tokens["energy"], "y3", "%{y:.2f} kWh"
        ),
        # a scale of its own keeps the cost apart from the energy it mostly follows
        _Drawn("Cost", cost, _highest(cost) * 1.9, texts[-1], tokens["ink"], "y4", "%{text}", dash="dot", texts=texts),
    ]
    return [line for line in lines if _has_values(line.values) and line.top > 0]


def _trace(times: Sequence[datetime], line: _Drawn) -> go.Scatter:
    return go.Scatter(
        x=times,
        y=line.values,
        name=line.name,
        mode="lines",
        yaxis=line.axis,
        text=line.texts,
        hovertemplate=line.hover + "<extra></extra>",
        line={"color": line.colour, "width": line.width, "dash": line.dash, "shape": line.shape},
    )


def _area(times: Sequence[datetime], line: _Drawn) -> go.Scatter:
    """Under a line; a trace of its own because Plotly fills across the gaps of one that breaks."""
    return go.Scatter(
        x=times,
        y=[value or 0.0 for value in line.values],
        mode="lines",
        yaxis=line.axis,
        line={"width": 0},
        hoverinfo="skip",
        fill="tozeroy",
        fillcolor=_faded(line.fill, 0.55),
    )


def _lay_axes(
    figure: go.Figure, ends: tuple[datetime, datetime], offset: str, tops: Mapping[str, float], tokens: Tokens
) -> None:
    hours = (ends[1] - ends[0]).total_seconds() / 3600
    ticks = "%H:%M:%S" if hours < 0.2 else "%H:%M" if hours < 20 else None
    # a range of our own: Plotly's would make room for the words of the marks
    time = {"anchor": "y3", "title": {"text": f"Time, {offset}"}, "range": ends, "nticks": 6, "tickangle": 0}
    hidden = {"visible": False, "fixedrange": True}
    shown = {
        "showgrid": True,
        "gridcolor": tokens["line"],
        "zeroline": False,
        "fixedrange": True,
        "ticklabelstandoff": 6,
    }
    figure.update_layout(
        xaxis=time | {"tickformat": ticks},
        yaxis=shown | {"domain": _UPPER, "nticks": 5, "range": [0, tops.get("y", 1)]},
        yaxis2=hidden | {"overlaying": "y", "range": [0, 100]},
        yaxis3=shown | {"domain": _LOWER, "nticks": 3, "range": [0, tops.get("y3", 1)]},
        yaxis4=hidden | {"overlaying": "y3", "range": [0, tops.get("y4", 1)]},
    )


def _in_kilo(values: Sequence[float | None]) -> list[float | None]:
    return [None if v is None else round(v / 1000, 3) for v in values]


def _has_values(values: Sequence[float | None]) -> bool:
    return any(v is not None for v in values)


def _highest(values: Sequence[float | None]) -> float:
    return max((v for v in values if v is not None), default=0.0)


def _last(values: Sequence[float | None]) -> float:
    return next((v for v in reversed(values) if v is not None), 0.0)


def _faded(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _label_ends(figure: go.Figure, lines: Sequence[_Drawn], domain: tuple[float, float]) -> None:
    """Each label at the height of its line's end, pushed down from the one above it where they would touch."""
    ends = sorted(((_last(line.values) / line.top, line) for line in lines), key=lambda end: -end[0])
    before = 2.0
    for share, line in ends:
        before = min(domain[0] + share * (domain[1] - domain[0]), before - _LEAST_APART)
        figure.add_annotation(
            x=1,
            y=before,
            xref="paper",
            yref="paper",
            text=line.label,
            showarrow=False,
            xanchor="left",
            yanchor="middle",
            xshift=8,
            font={"color": line.colour, "size": 12},
        )


def _mark(
    figure: go.Figure, marks: Sequence[Mark], where: tzinfo, ends: tuple[datetime, datetime], tokens: Tokens
) -> None:
    middle = ends[0] + (ends[1] - ends[0]) / 2
    for mark in marks:
        at = mark.at.astimezone(where).replace(tzinfo=None)
        colour = tokens["p2"] if mark.is_abnormal else tokens["ink-3"]
        figure.add_shape(
            type="line",
            x0=at,
            x1=at,
            y0=_UPPER[0],
            y1=_UPPER[1],
            xref="x",
            yref="paper",
            line={"color": colour, "width": 1, "dash": "dot"},
        )
        figure.add_annotation(
            x=at,
            y=_UPPER[1],
            xref="x",
            yref="paper",
            text=escape(mark.text),
            showarrow=False,
            xanchor="right" if at > middle else "left",
            yanchor="top",
            xshift=-4 if at > middle else 4,
            font={"size": 11, "color": tokens["p2"] if mark.is_abnormal else tokens["ink-2"]},
        )


def _name_panels(figure: go.Figure, curve: Curve, tokens: Tokens) -> None:
    names = [("kW", _UPPER[1])]
    if any(v is not None for v in curve.energy_wh):
        names.append(("kWh", _LOWER[1]))
    for text, y in names:
        figure.add_annotation(
            x=0,
            y=y,
            xref="paper",
            yref="paper",
            text=text,
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
            xshift=-6,
            yshift=8,
            font={"size": 12, "color": tokens["ink-2"]},
        )
