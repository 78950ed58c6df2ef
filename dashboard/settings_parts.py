"""What people say of a station: name and place, connectors, what it must prove, how its ways are met. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from dash import dcc, html

from bridge.policies import Known, Policy
from bridge.stores.records import ConnectorRow, Site
from dashboard import formats
from dashboard.components import Child, attrs, card, choice, empty
from dashboard.formats import plain
from dashboard.ribbon_parts import lane_name
from dashboard.station_dossier import StationDossier

NO_SITE = ""
AS_KNOWN = ""
PROFILES = {
    "0": "0, it need not prove anything",
    "1": "1, its key over an open line",
    "2": "2, its key over TLS",
    "3": "3, its own certificate",
}
_LABELS = {
    "no_subprotocol": "Connects without naming its version",
    "second_connection": "A second connection of the same station",
    "pings": "Is pinged",
    "calls": "When we may call it first",
    "ask_configuration": "Is asked for its settings after a start",
    "ask_single_keys": "May be asked for single settings",
    "energy_unit": "Unit of energy in meter values",
    "power_unit": "Unit of power in meter values",
    "edge_unit": "Unit of the meter at start and stop",
    "register": "Its register counts",
    "meter_start": "Its meter at the start",
    "phase_total": "Totals beside phases",
    "clock": "Its clock shows",
    "time_zone": "Time zone of that clock",
    "id_tag_bytes": "Bytes of a card that it reads (0: all)",
}


def settings_tab(
    dossier: StationDossier, sites: Sequence[Site], known: Mapping[str, Known], minimum_profile: int
) -> list[Child]:
    left = [_identity(dossier, sites), _connectors(dossier), _proof(dossier, minimum_profile), _decision(dossier)]
    return [html.Div([html.Div(left), _policy(dossier, known)], className="halves")]


def edit_form(action: str, children: Sequence[Child], **given: str) -> Child:
    """A form whose fields the script sends to the page's ``edits`` as ``{"action": ..., field: value}``."""
    return html.Form(list(children), className="edit no-submit", **attrs(data_action=action, **given))


def field(label: str, control: Child, note: Child = "") -> Child:
    words: list[Child] = [html.Span(label, className="field-name"), control]
    if note:
        words.append(html.Span(note, className="field-help"))
    return html.Label(words, className="field")


def text_input(name: str, value: str, **given: Any) -> Child:
    return dcc.Input(name=name, value=value, type="text", maxLength=200, autoComplete="off", **given)


def save(text: str = "Save", **given: Any) -> Child:
    return html.Button(text, type="submit", **given)


def sites_options(sites: Sequence[Site]) -> list[tuple[str, str]]:
    return [(NO_SITE, "No site"), *((site.id, plain(site.name, 60)) for site in sites)]


def _identity(dossier: StationDossier, sites: Sequence[Site]) -> Child:
    station = dossier.station
    fields = [
        field("Name", text_input("name", station.name), f"Its id stays {plain(station.id, 60)}."),
        field("Site", choice("site", "Site", sites_options(sites), station.site_id or NO_SITE)),
        save(),
    ]
    new = [
        field("Name of the site", text_input("name", "")),
        field("Id", text_input("id", ""), "Short and lasting: it stands in addresses and files."),
        field("Time zone", text_input("timezone", "Europe/Berlin")),
        save("Add the site"),
    ]
    more = html.Details([html.Summary("Add a site"), edit_form("site", new)], className="more")
    return card("Name and place", [edit_form("station", fields), more])


def _connectors(dossier: StationDossier) -> Child:
    rows = [row for row in dossier.connectors if row.evse > 0]
    if not rows:
        return card("Connectors", [empty("They appear here as soon as the station tells their state.")])
    many = any(row.connector > 1 for row in rows)
    return card("Connectors", [_connector(row, many) for row in rows])


def _connector(row: ConnectorRow, many: bool) -> Child:
    rated = formats.rated_kw(row.rated_power_w) if row.rated_power_w else ""
    fields = [
        html.B(lane_name(row.evse, row.connector, many)),
        field("Type", text_input("kind", row.kind, placeholder="CCS2, Type 2 ...")),
        field("Rated power, kW", text_input("rated_kw", rated, inputMode="decimal")),
        save(**attrs(aria_label=f"Save {lane_name(row.evse, row.connector, many)}")),
    ]
    return edit_form(
        "connector", [html.Div(fields, className="inline")], data_evse=str(row.evse), data_connector=str(row.connector)
    )


def _proof(dossier: StationDossier, minimum: int) -> Child:
    word = dossier.station.security_profile
    options = [(AS_KNOWN, f"As the setting says: profile {minimum}"), *PROFILES.items()]
    shown = formats.SECURITY_WORDS.get(dossier.station.security, dossier.station.security) or "not known"
    fields = [
        field(
            "Security profile",
            choice("security_profile", "Security profile", options, AS_KNOWN if word is None else str(word)),
            f"What it must prove at the door. It last showed: {plain(shown, 30)}.",
        ),
        save(),
    ]
    return card("What it must prove", [edit_form("security", fields)])


def _decision(dossier: StationDossier) -> Child:
    if dossier.station.is_approved is False and dossier.station.refused_at is None:
        text = "It is answered and waits: nobody has let it in. Approving pins the key that it showed, if any."
        approve = edit_form("approve", [save("Approve", className="solid")])
        return card("Needs approval", [html.P(text, className="dim"), approve])
    if dossier.station.is_approved is False:
        text = "It is not let in. Reconsider lets it knock again; it then waits on the page Stations for a decision."
        return card("Shut out", [html.P(text, className="dim"), edit_form("reconsider", [save("Reconsider")])])
    text = "Its connection ends and it is turned away from then on. What it sent before stays."
    ask = html.Div(
        [html.P(text), edit_form("refuse", [save("Shut it out now", className="stop solid")])], className="ask inflow"
    )
    summary = html.Summary("Shut it out", className="button stop")
    return card("Let in", [html.Details([summary, ask], className="confirm")])


# ---- its ways


def _policy(dossier: StationDossier, known: Mapping[str, Known]) -> Child:
    own = dossier.station.policy or {}
    rows = [_way(info, known[info.name], own) for info in _fields() if info.name in known]
    note = "a person's word stands before what is known of the model"
    return card("Its ways", [edit_form("policy", [html.Div(rows, className="ways"), save()])], note=note)


def _fields() -> Sequence[msgspec.inspect.Field]:
    found = msgspec.inspect.type_info(Policy)
    assert isinstance(found, msgspec.inspect.StructType)
    return found.fields


def _way(info: msgspec.inspect.Field, known: Known, own: Mapping[str, Any]) -> Child:
    name, chosen = info.name, said(own[info.name]) if info.name in own else AS_KNOWN
    options = choices_of(info)
    without = {"station": "set by a person", "default": "default"}.get(
        known.source, f"known of {plain(known.source, 30)}"
    )
    note = f"{words(said(known.value)) or 'none'}, {without}" + (f": {plain(known.seen, 160)}" if known.seen else "")
    if options:
        control = choice(name, name, [(AS_KNOWN, "As known"), *((o, words(o)) for o in options)], chosen)
    else:
        control = text_input(name, chosen, placeholder="As known")
    return field(_LABELS.get(name, words(name).capitalize()), control, f"Now {note}")


def choices_of(info: msgspec.inspect.Field) -> list[str]:
    """The values of a policy's field as a form gives them; none where any text is one."""
    if isinstance(info.type, msgspec.inspect.LiteralType):
        return [str(value) for value in info.type.values]
    return ["true", "false"] if isinstance(info.type, msgspec.inspect.BoolType) else []


def said(value: Any) -> str:
    """A policy's value as a form has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def words(value: str) -> str:
    return {"true": "yes", "false": "no"}.get(value, value.replace("_", " "))


def policy_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a person filled in; what was left as known is left out."""
    found: dict[str, Any] = {}
    for info in _fields():
        text = str(given.get(info.name) or "").strip()
        if not text:
            continue
        if isinstance(info.type, msgspec.inspect.BoolType):
            found[info.name] = text == "true"
        elif isinstance(info.type, msgspec.inspect.IntType) and text.lstrip("-").isdecimal() and len(text) < 10:
            found[info.name] = int(text)
        else:
            found[info.name] = text
    return found
