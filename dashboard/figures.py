"""Plotly figures in the house's language: one template, colours from ``assets/tokens.css``, labels at lines' ends."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import NamedTuple

import plotly.graph_objects as go

from dashboard import formats
from dashboard.curve import Curve
from dashboard.places import assets_folder

FONT = "Inter Variable, Inter, system-ui, sans-serif"
THEMES = ("light", "dark")
_UPPER, _LOWER = (0.36, 1.0), (0.0, 0.24)  # power and battery above, energy and cost below
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
            "margin": {"l": 44, "r": 84, "t": 16, "b": 46},
            "xaxis": axis | {"fixedrange": False, "spikecolor": tokens["ink-3"], "spikethickness": 1},
            "yaxis": axis | {"showgrid": True, "gridcolor": tokens["line"], "gridwidth": 1, "rangemode": "tozero"},
        }
    )


def session_figure(
    curve: Curve, where: tzinfo, tokens: Tokens, currency: str, marks: Sequence[Mark] = (), revision: str = ""
) -> go.Figure:
    """Power with its limit and the battery above, energy and cost below, on the site's own clock.

    ``revision`` keeps a person's zoom while the figure is refreshed.
    """
    times = [at.astimezone(where).replace(tzinfo=None) for at in curve.at]
    figure = go.Figure(layout={"template": template(tokens), "uirevision": revision or "same"})
    _draw_upper(figure, times, curve, tokens)
    _draw_lower(figure, times, curve, tokens, currency)
    figure.update_layout(
        xaxis={"anchor": "y3", "title": {"text": f"Time, {formats.offset(curve.at[-1], where)}"}, "nticks": 8},
        yaxis={"domain": _UPPER, "nticks": 5, "range": [0, _top(curve)], "ticklabelstandoff": 6},
        yaxis2={"overlaying": "y", "range": [0, 100], "visible": False},
        yaxis3={"domain": _LOWER, "nticks": 3, "rangemode": "tozero", "showgrid": True, "gridcolor": tokens["line"]},
        yaxis4={"overlaying": "y3", "rangemode": "tozero", "visible": False},
    )
    figure.update_yaxes(ticklabelstandoff=6, fixedrange=True, zeroline=False)
    _mark(figure, marks, where, tokens)
    _name_panels(figure, curve, tokens)
    return figure


def _top(curve: Curve) -> float:
    values = [v for v in (*curve.power_w, *curve.offered_w) if v is not None]
    return max(1.0, max(values, default=0.0) / 1000 * 1.12)


def _line(
    times: Sequence[datetime], values: Sequence[float | None], name: str, hover: str, **style: object
) -> go.Scatter:
    return go.Scatter(x=times, y=values, name=name, mode="lines", hovertemplate=hover + "<extra></extra>", **style)


def _in_kilo(values: Sequence[float | None]) -> list[float | None]:
    return [None if v is None else round(v / 1000, 3) for v in values]


def _draw_upper(figure: go.Figure, times: list[datetime], curve: Curve, tokens: Tokens) -> None:
    power, offered = _in_kilo(curve.power_w), _in_kilo(curve.offered_w)
    labels: list[tuple[float, str, str]] = []
    top = _top(curve)
    if any(v is not None for v in power):
        fill = tokens["energy-soft"]
        figure.add_trace(
            _line(
                times,
                power,
                "Power",
                "%{y:.1f} kW",
                line={"color": tokens["energy"], "width": 2},
                fill="tozeroy",
                fillcolor=_faded(fill, 0.55),
            )
        )
        labels.append((_last(power) / top, f"{_last(power):.1f} kW", tokens["energy"]))
    if any(v is not None for v in offered):
        figure.add_trace(
            _line(
                times,
                offered,
                "Offered",
                "%{y:.1f} kW offered",
                line={"color": tokens["ink-2"], "width": 1.5, "dash": "dash", "shape": "hv"},
            )
        )
        labels.append((_last(offered) / top, "offered", tokens["ink-2"]))
    if any(v is not None for v in curve.soc_percent):
        figure.add_trace(
            _line(
                times,
                curve.soc_percent,
                "Battery",
                "%{y:.0f} %",
                line={"color": tokens["ink"], "width": 1.5},
                yaxis="y2",
            )
        )
        labels.append((_last(curve.soc_percent) / 100, f"{_last(curve.soc_percent):.0f} %", tokens["ink"]))
    _label_ends(figure, labels, _UPPER)


def _draw_lower(figure: go.Figure, times: list[datetime], curve: Curve, tokens: Tokens, currency: str) -> None:
    energy = _in_kilo(curve.energy_wh)
    labels: list[tuple[float, str, str]] = []
    if any(v is not None for v in energy):
        figure.add_trace(
            _line(times, energy, "Energy", "%{y:.2f} kWh", line={"color": tokens["energy"], "width": 1.5}, yaxis="y3")
        )
        labels.append((0.95, f"{_last(energy):.2f} kWh", tokens["energy"]))
    if any(v is not None for v in curve.cost):
        shown = [None if v is None else formats.money(str(v), currency) for v in curve.cost]
        figure.add_trace(
            _line(
                times,
                curve.cost,
                "Cost",
                "%{text}",
                line={"color": tokens["ink"], "width": 1.5, "dash": "dot"},
                yaxis="y4",
                text=shown,
            )
        )
        labels.append((0.80, formats.money(str(_last(curve.cost)), currency), tokens["ink"]))
    _label_ends(figure, labels, _LOWER)


def _last(values: Sequence[float | None]) -> float:
    return next((v for v in reversed(values) if v is not None), 0.0)


def _faded(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _label_ends(figure: go.Figure, labels: list[tuple[float, str, str]], domain: tuple[float, float]) -> None:
    """Each label at the height of its line's end, pushed down from the one above it where they would touch."""
    height = domain[1] - domain[0]
    before = 2.0
    for share, text, colour in sorted(labels, key=lambda label: -label[0]):
        y = min(domain[0] + share * height, before - _LEAST_APART)
        before = y
        figure.add_annotation(
            x=1,
            y=y,
            xref="paper",
            yref="paper",
            text=text,
            showarrow=False,
            xanchor="left",
            xshift=8,
            font={"color": colour, "size": 12},
        )


def _mark(figure: go.Figure, marks: Sequence[Mark], where: tzinfo, tokens: Tokens) -> None:
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
            text=mark.text,
            showarrow=False,
            xanchor="left",
            yanchor="top",
            xshift=4,
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
            font={"size": 11, "color": tokens["ink-2"]},
        )
