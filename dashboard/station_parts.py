"""The head of a station's page and what it is about now: facts, connectors, identity, traits, alarms. No I/O."""

from __future__ import annotations

import math
from typing import Any

from dash import html

from bridge.events import ConnectorStatus
from bridge.live import ROOT, connector_topic, segment
from bridge.session import Session
from bridge.stores.records import ConnectorRow
from dashboard import formats, ribbon
from dashboard.components import Child, Fact, attrs, breadcrumb, card, chip, empty, pairs, priority_mark
from dashboard.formats import plain
from dashboard.links import STATIONS, station_path
from dashboard.ribbon_parts import lane_name
from dashboard.station_dossier import StationDossier
from dashboard.timeline import timeline

_MOST_HAPPENED = 40
_CLOCK_OFF_S = 5.0  # field: bills by the hour go wrong before anybody notices
TABS = {
    "": "Overview",
    "device": "Device",
    "commands": "Commands",
    "messages": "Messages",
    "files": "Files",
    "settings": "Settings",
}


def live_attributes(dossier: StationDossier) -> dict[str, Any]:
    """What the script needs to keep ages and power current from the feed."""
    return attrs(data_station=segment(dossier.station.id))


def bread(dossier: StationDossier) -> Child:
    site = [(plain(dossier.site.name, 60), f"{STATIONS}?site={dossier.site.id}")] if dossier.site else []
    return breadcrumb([("Stations", STATIONS), *site, (plain(dossier.station.id, 60), "")])


def tabs(dossier: StationDossier, chosen: str, allowed: set[str]) -> Child:
    def tab(key: str) -> Child:
        current = attrs(aria_current="page") if key == chosen else {}
        return html.A(TABS[key], href=station_path(dossier.station.id, show=key), **current)

    return html.Nav([tab(key) for key in TABS if key in allowed], className="page-tabs", **attrs(aria_label="Station"))


def head(dossier: StationDossier) -> list[Child]:
    return [html.H1(plain(dossier.name, 60)), html.Div(chips(dossier), className="chips")]


def chips(dossier: StationDossier) -> list[Child]:
    station = dossier.station
    found = [_connection(dossier)]
    if station.protocol:
        found.append(chip(formats.secured(station.protocol, station.security)))
    if station.security_profile is not None:
        found.append(chip(f"Security profile {station.security_profile}"))
    if station.clock_skew_s is not None and station.is_connected:
        is_off = abs(station.clock_skew_s) > _CLOCK_OFF_S
        found.append(chip(f"Clock {formats.skew(station.clock_skew_s)}", "warn" if is_off else ""))
    if station.is_approved is False:
        found.append(chip("Shut out" if station.refused_at else "Needs approval", "warn"))
    return found


def _connection(dossier: StationDossier) -> Child:
    station = dossier.station
    if not station.is_connected and station.last_seen_at is None:
        return chip("Never connected")
    at = station.connected_at if station.is_connected else station.disconnected_at or station.last_seen_at
    word = "Connected" if station.is_connected else "Offline"
    age = formats.span(max(0.0, (dossier.now - at).total_seconds())) if at else ""
    given = {"data_since": at.isoformat()} if at else {}
    kind = "" if station.is_connected else "warn"
    return chip(f"{word} {age}".strip(), kind, data_chip="connection", data_word=word, **given)


# ---- facts


def facts_of(dossier: StationDossier) -> list[Fact]:
    return [_power(dossier), _energy(dossier), _busy(dossier), _uptime(dossier), _heard(dossier), _refused(dossier)]


def _power(dossier: StationDossier) -> Fact:
    rated = sum(c.rated_power_w or 0 for c in dossier.connectors)
    note = f"of {formats.rated_kw(rated)} rated" if rated else "rated power not known"
    if not dossier.station.is_connected:
        return Fact("Power", formats.NONE, "", "not known while offline")
    return Fact("Power", formats.kw(sum(s.power_w or 0.0 for s in dossier.sessions)), "kW", note, "station-power")


def _energy(dossier: StationDossier) -> Fact:
    energy = sum(s.energy_wh for s in dossier.sessions)
    note = "in sessions that run" if dossier.sessions else "no session runs"
    return Fact("Energy", formats.kwh(energy), "kWh", note)


def _busy(dossier: StationDossier) -> Fact:
    outlets = [c for c in dossier.connectors if c.evse > 0]
    charging = sum(c.status == ConnectorStatus.CHARGING for c in outlets)
    broken = sum(c.status == ConnectorStatus.FAULTED for c in outlets)
    note = f"{broken} faulted" if broken else "none is faulted"
    return Fact("Charging", str(charging), f"of {len(outlets)}", note)


def _uptime(dossier: StationDossier) -> Fact:
    share = ribbon.availability(dossier.lanes)
    days = round((dossier.now - dossier.start).total_seconds() / 86_400)
    note = "able to charge, 24 h" if days == 1 else f"able to charge, {days} d"
    shown = formats.NONE if share is None else f"{math.floor(1_000 * share + 1e-9) / 10:.1f}".removesuffix(".0")
    unit = "" if share is None else "%"
    return Fact("Availability", shown, unit, note)  # cut, not rounded: 100 % is said of nothing less


def _heard(dossier: StationDossier) -> Fact:
    station = dossier.station
    if station.last_seen_at is None:
        return Fact("Last heard", formats.NONE, "", "not yet")
    age = formats.span(max(0.0, (dossier.now - station.last_seen_at).total_seconds()))
    every = f"heartbeat each {formats.span(station.heartbeat_s)}" if station.heartbeat_s else "any message counts"
    return Fact("Last heard", age, "ago", every, "station-seen")


def _refused(dossier: StationDossier) -> Fact:
    count = dossier.station.refused_frames
    return Fact("Messages refused", str(count), "", "since the bridge started" if count else "none was refused")


# ---- connectors


def connectors_card(dossier: StationDossier) -> Child:
    outlets = [c for c in dossier.connectors if c.evse > 0]
    if not outlets:
        return card("Connectors", [empty("Connectors appear here as soon as the station tells their state.")])
    many = any(c.connector > 1 for c in outlets)
    return card("Connectors", [html.Div([_outlet(dossier, c, many) for c in outlets], className="outlets")])


def _outlet(dossier: StationDossier, row: ConnectorRow, many: bool) -> Child:
    session = dossier.session_at(row.evse, row.connector)
    kind = " ".join(
        filter(None, (plain(row.kind, 20), f"{formats.rated_kw(row.rated_power_w)} kW" if row.rated_power_w else ""))
    )
    head = html.Div(
        [html.B(lane_name(row.evse, row.connector, many)), html.Span(kind or "type not known", className="dim")]
    )
    lines = [head, _status(dossier, row), _flowing(dossier, row, session)]
    if said := _fault_words(row):
        lines.append(html.Div(said, className="problem"))
    if session is not None:
        lines.append(
            html.A(
                f"Session since {formats.time_of(session.started_at, dossier.where, dossier.now)}",
                href=f"/session/{session.id}",
            )
        )
    key = connector_topic(row.station, row.evse, row.connector).removeprefix(f"{ROOT}/")
    return html.Div(lines, className="outlet", key=key, **attrs(data_outlet=key))


def _status(dossier: StationDossier, row: ConnectorRow) -> Child:
    word = formats.CONNECTOR_WORDS.get(str(row.status or ""), "Not told yet")
    age = formats.span(max(0.0, (dossier.now - row.status_at).total_seconds())) if row.status_at else ""
    kinds = {ConnectorStatus.FAULTED: ("bad", "◆ "), ConnectorStatus.CHARGING: ("on", "● ")}
    kind, shape = kinds.get(row.status, ("", "")) if row.status else ("", "")
    if not dossier.station.is_connected:
        kind, shape, word = "old", "", f"Last known: {word.lower()}"
    return html.Div(
        [html.Span([shape, word], className=f"cell-state {kind}"), html.Span(f" {age}", className="dim num")]
    )


def _flowing(dossier: StationDossier, row: ConnectorRow, session: Session | None) -> Child:
    sample = dossier.last.get(row.evse)
    if session is None or sample is None or "power_w" not in sample.values:
        return html.Div(
            [html.Span(formats.NONE, className="value"), html.Span("no power reported", className="dim")],
            className="flow",
        )
    age = max(0.0, (dossier.now - sample.received_at).total_seconds())
    word = f"late, received {formats.span(age)} ago" if sample.is_late else f"{formats.span(age)} old"
    value = [html.Span(formats.kw(sample.values["power_w"]), className="value"), html.Span("kW", className="unit")]
    note = html.Span(f"{word}, {formats.kwh(session.energy_wh)} kWh so far", className="dim")
    return html.Div([html.Span(value), note], className="flow num" + (" late" if sample.is_late else ""))


def _fault_words(row: ConnectorRow) -> str:
    said = [row.error_code if row.error_code != "NoError" else "", row.vendor_error_code, row.info]
    return plain(", ".join(part for part in said if part))


# ---- beside


def identity_card(dossier: StationDossier) -> Child:
    station = dossier.station
    booted = formats.time_of(station.booted_at, dossier.where, dossier.now) if station.booted_at else formats.NONE
    rows: list[tuple[str, Child]] = [
        ("Vendor", plain(station.vendor, 60)),
        ("Model", plain(station.model, 60)),
        ("Serial number", plain(station.serial, 60)),
        ("Firmware", plain(station.firmware, 60)),
        ("Meter", plain(" ".join(filter(None, (station.meter_type, station.meter_serial))), 60)),
        ("SIM", plain(" ".join(filter(None, (station.iccid, station.imsi))), 60)),
        ("Started up", booted + (f", {plain(station.boot_reason, 40)}" if station.boot_reason else "")),
        ("Address", plain(station.address, 60)),
        ("Bridge", plain(station.bridge, 40)),
        ("Its key", "registered" if station.has_key else "none"),
    ]
    return card("Who it is", [pairs([(name, value) for name, value in rows if value])], note=plain(station.id, 40))


def alarms_card(dossier: StationDossier) -> Child:
    if not dossier.alarms:
        return card("Alarms", [html.P("Nothing is wrong.", className="dim")])
    rows = []
    for alarm in sorted(dossier.alarms, key=lambda a: (a.priority, a.raised_at)):
        words = [
            html.B(plain(alarm.title)),
            *(html.P(plain(text, 300)) for text in (alarm.detail, alarm.action) if text),
        ]
        age = formats.span(max(0.0, (dossier.now - alarm.raised_at).total_seconds()))
        rows.append(
            html.Div(
                [priority_mark(alarm.priority), html.Div(words), html.Span(age, className="num dim")],
                className="small-alarm",
            )
        )
    return card("Alarms", rows, note=html.A("Faults", href="/faults"))


def happened_card(dossier: StationDossier) -> Child:
    items = [item for item in dossier.happened if item.code != "NotifyReport"]
    if not items:
        text = "Cannot be read right now." if dossier.is_series_away else "Nothing was told in the last 24 hours."
        return card("What happened", [empty(text)])
    note: Child = "the last 24 hours"
    if len(items) > _MOST_HAPPENED:
        more = html.A("All messages", href=station_path(dossier.station.id, show="messages"))
        note = html.Span([f"the newest {_MOST_HAPPENED} of the last 24 hours, ", more])
    return card("What happened", [timeline(items[:_MOST_HAPPENED], dossier.where, dossier.now)], note=note)
