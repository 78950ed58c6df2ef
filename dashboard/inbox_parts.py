"""The stations that wait for a person, above the list. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dash import html

from bridge.stores.provisioning import Held
from bridge.stores.records import Site
from dashboard import formats
from dashboard.components import Child, attrs, card, choice
from dashboard.formats import plain
from dashboard.settings_parts import edit_form, field, save, sites_options, text_input

_MOST = 20


def inbox_card(held: Sequence[Held], sites: Sequence[Site], now: datetime, may_decide: bool) -> Child:
    """Nothing when nobody waits."""
    if not held:
        return ""
    rows = [_waiting(one, sites, now, may_decide) for one in held[:_MOST]]
    more = f", the first {_MOST} shown" if len(held) > _MOST else ""
    note = "" if may_decide else "; an administrator decides"
    text = html.P(
        "They are connected and answered, and may not charge anybody until a person lets them in.", className="dim"
    )
    return card("Waiting for approval", [text, *rows], note=f"{len(held)}{more}{note}", className="card inbox")


def _waiting(one: Held, sites: Sequence[Site], now: datetime, may_decide: bool) -> Child:
    since = formats.span(max(0.0, (now - one.first_seen_at).total_seconds()))
    built = plain(" ".join(filter(None, (one.vendor, one.model))), 60)
    more = [
        f"serial {plain(one.serial, 40)}" if one.serial else "",
        f"firmware {plain(one.firmware, 40)}" if one.firmware else "",
    ]
    says = ", ".join(filter(None, (built, *more))) or "it has not said yet what it is"
    where = " ".join(filter(None, ("from", plain(one.address, 60), "over", formats.protocol(plain(one.protocol, 40)))))
    there = "waiting" if one.is_connected else "gone again, waited"
    words = [
        html.Div(
            [html.B(plain(one.station, 60)), html.Span(f"{there} {since}", className="dim num")], className="trait-head"
        ),
        html.Div(says),
        html.Div(where if one.address else formats.protocol(plain(one.protocol, 40)), className="dim"),
        html.Div(_key(one)),
    ]
    return html.Div([html.Div(words), _decide(one, sites) if may_decide else ""], className="waiting", key=one.station)


def _key(one: Held) -> Child:
    if one.other_keys:
        text = f"It has come with {one.other_keys + 1} different keys: somebody else may use its name."
        return html.Span([html.Span("▲ ", **attrs(aria_hidden="true")), text], className="cell-state warn")
    if one.security == "mtls":
        return "It showed a certificate of its own."
    if one.key_id:
        return html.Span(["It showed a key, ", html.Code(one.key_id), ". Approving pins it."])
    return html.Span("It showed no key.", className="dim")


def _decide(one: Held, sites: Sequence[Site]) -> Child:
    profiles = [("", "Security as the setting says"), ("0", "Let in without a key (profile 0)")]
    fields = [
        field("Name", text_input("name", "", placeholder=plain(one.station, 60))),
        field("Site", choice("site", "Site", sites_options(sites), "")),
        field("Security", choice("security_profile", "Security", profiles, ""))
        if not one.key_id and one.security != "mtls"
        else "",
        save("Approve", className="solid", name="decision", value="approve"),
        save("Refuse", className="stop", name="decision", value="refuse"),
    ]
    return edit_form("decide", [html.Div(fields, className="inline")], data_station=one.station, data_key=one.key_id)
