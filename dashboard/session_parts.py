"""The parts of the session page that change while it runs, made from a dossier. No I/O."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from dash import html

from bridge.command_bus import CommandOutcome
from bridge.live import ROOT, connector_topic, mask
from bridge.session import SessionState
from dashboard import evidence_parts, formats
from dashboard.components import Child, Fact, attrs, card, chip, empty, notice, pairs
from dashboard.dossier import Dossier
from dashboard.figures import Mark
from dashboard.formats import plain
from dashboard.links import station_link
from dashboard.timeline import timeline

_MOST_SHOWN = 60
_MOST_MARKS = 4
_STATE_KINDS = {SessionState.CHARGING: "on", SessionState.ORPHANED: "warn"}
_FULL_PERCENT = 80


def live_attributes(dossier: Dossier) -> dict[str, Any]:
    """What the script needs to keep the page current from the feed."""
    session = dossier.session
    key = connector_topic(session.station, session.evse, session.connector).removeprefix(f"{ROOT}/")
    return attrs(
        data_session=session.id,
        data_connector=key,
        data_started=session.started_at.isoformat(),
        data_open="yes" if session.is_open else "no",
    )


def chips(dossier: Dossier) -> list[Child]:
    session = dossier.session
    found = [chip(formats.STATE_WORDS[session.state], _STATE_KINDS.get(session.state, ""), data_chip="state")]
    found.append(evidence_parts.grade_chip(dossier))
    if session.is_open:
        found.append(_age(dossier))
    return found


def _age(dossier: Dossier) -> Child:
    last = dossier.session.sample_received_at
    if last is None:
        return chip("No values yet", data_chip="age")
    age_s = max(0.0, (dossier.now - last).total_seconds())
    is_late = dossier.last is not None and dossier.last.is_late
    text = f"Late value, received {formats.span(age_s)} ago" if is_late else f"Live, {formats.span(age_s)} old"
    return chip(text, "stale" if is_late else "", data_chip="age", data_at=last.isoformat())


def facts_of(dossier: Dossier) -> list[Fact]:
    return [_power(dossier), _energy(dossier), _battery(dossier), _time(dossier), _cost(dossier), _started(dossier)]


def _power(dossier: Dossier) -> Fact:
    session = dossier.session
    if not session.is_open:
        mean = session.energy_wh * 3600 / session.charging_s if session.charging_s else 0.0
        is_sound = 0 < mean <= session.power_max_w  # too few samples can make it more than was ever seen
        note = f"mean {formats.kw(mean)} kW while charging" if is_sound else ""
        return Fact("Highest power", formats.kw(session.power_max_w or None), "kW", note)
    offered = next((v for v in reversed(dossier.curve.offered_w) if v is not None), None)
    is_rated = dossier.last is None or "power_offered_w" not in dossier.last.values
    word = "rated" if is_rated else "offered"
    note = f"of {formats.rated_kw(offered)} {word}" if offered else "no limit reported"
    return Fact("Power", formats.kw(session.power_w), "kW", note, "power")


def _energy(dossier: Dossier) -> Fact:
    source = formats.SOURCE_WORDS[dossier.session.energy_source]
    return Fact("Energy", formats.kwh(dossier.session.energy_wh), "kWh", f"from the {source}", "energy")


def _battery(dossier: Dossier) -> Fact:
    session = dossier.session
    if session.soc_percent is None:
        return Fact("Battery", formats.NONE, "", "not told by the car", "soc")
    began = f"from {formats.percent(session.soc_start_percent)} %" if session.soc_start_percent is not None else ""
    left = _minutes_to_full(dossier)
    note = f"{_FULL_PERCENT} % in about {left} min" if left else began
    return Fact("Battery", formats.percent(session.soc_percent), "%", note, "soc")


def _minutes_to_full(dossier: Dossier) -> int | None:
    """By the battery's pace over the last ten minutes; none when it stands still or is past it."""
    known = [(at, v) for at, v in zip(dossier.curve.at, dossier.curve.soc_percent, strict=True) if v is not None]
    if dossier.session.state != SessionState.CHARGING or len(known) < 2:
        return None
    newest, percent = known[-1]
    before, older = next((p for p in known if (newest - p[0]).total_seconds() <= 600), known[0])
    seconds, gained = (newest - before).total_seconds(), percent - older
    if gained < 1 or seconds < 60 or percent >= _FULL_PERCENT:
        return None
    return max(1, round((_FULL_PERCENT - percent) / gained * seconds / 60))


def _time(dossier: Dossier) -> Fact:
    session = dossier.session
    since = session.charging_since if session.is_open else None
    charging_s = session.charging_s + (max(0.0, (dossier.now - since).total_seconds()) if since else 0.0)
    flowing = f"{formats.span(charging_s)} with energy flowing" if charging_s else "no energy yet"
    return Fact("Time", formats.clock(dossier.seconds), "h", flowing, "time")


def _cost(dossier: Dossier) -> Fact:
    session = dossier.session
    label = "Cost so far" if session.is_open else "Cost"
    note = f"incl. {formats.money(dossier.bill.vat, dossier.bill.currency)} VAT" if dossier.bill else "as recorded"
    return Fact(label, formats.money(session.cost, session.currency), "", note, "cost")


def _started(dossier: Dossier) -> Fact:
    session, where = dossier.session, dossier.where
    if session.ended_at is not None:
        why = plain(session.stop_reason, 40) or "no reason given"
        return Fact("Ended", formats.time_of(session.ended_at, where, dossier.now), "", f"stop reason: {why}")
    if not session.is_open:
        return Fact("Ended", formats.NONE, "", "its stop never came")
    zone = formats.offset(session.started_at, where)
    return Fact("Started", formats.time_of(session.started_at, where, dossier.now), "", zone)


def sampling(dossier: Dossier) -> str:
    step = dossier.curve.step_s
    return f"every sample, {formats.span(step)}; drag to zoom" if step else ""


def marks(dossier: Dossier) -> list[Mark]:
    """The abnormal first, few enough to be read."""
    within = [h for h in dossier.happened if dossier.session.started_at < h.at]
    if dossier.session.ended_at:
        within = [h for h in within if h.at < dossier.session.ended_at]
    ordered = sorted((h for h in within if h.is_abnormal), key=lambda h: h.at)
    gaps = [Mark(gap.start, "no data", True) for gap in dossier.curve.gaps]
    return [Mark(h.at, plain(h.text.partition(": ")[0], 34), True) for h in ordered][:_MOST_MARKS] + gaps[:_MOST_MARKS]


# ---- the right column


def side(dossier: Dossier) -> list[Child]:
    return [_cost_card(dossier), _who_card(dossier), evidence_parts.evidence_card(dossier)]


def _cost_card(dossier: Dossier) -> Child:
    session, bill = dossier.session, dossier.bill
    title = "So far" if session.is_open else "Total"
    total = _cost_row(title, formats.money(session.cost, session.currency), "", "sum")
    if bill is None:
        note = f"Priced when it ran by tariff {plain(session.tariff, 40) or 'unknown'}; its lines are not known here."
        return card("Cost", [html.P(note, className="dim"), html.Div([total], className="lines num")])
    rows = [_line_row(line, bill.currency) for line in bill.lines]
    shown = bill.total if session.is_open else Decimal(session.cost)
    total = _cost_row(title, formats.money(shown, bill.currency), "", "sum")
    vat = _cost_row("of which VAT", formats.money(bill.vat, bill.currency), "prices include it", "quiet")
    return card("Cost", [html.Div([*rows, total, vat], className="lines num")], note=f"Tariff {plain(bill.tariff, 40)}")


def _line_row(line: Any, currency: str) -> Child:
    price, amount = formats.unit_money(line.unit_price, currency), formats.money(line.amount, currency)
    texts = {
        "ENERGY": f"Energy {line.quantity:.2f} kWh × {price}",
        "TIME": f"Time {line.quantity:.0f} min × {price}",
        "FLAT": "Start fee",
    }
    return _cost_row(texts.get(line.dimension, line.dimension), amount, line.why)


def _cost_row(text: str, amount: str, why: str, kind: str = "") -> Child:
    words: Child = [text, html.Span(why, className="why")] if why else text
    return html.Div([html.Div(words), html.Div(amount, className="amount")], className=f"line {kind}".strip())


def _who_card(dossier: Dossier) -> Child:
    session, station = dossier.session, dossier.station
    rows: list[tuple[str, Child]] = [("Token", mask(session.token) if session.token else "none: free charging")]
    if station is not None:
        built = " ".join(filter(None, (station.vendor, station.model)))
        rows += [
            ("Protocol", formats.protocol(plain(station.protocol, 40)) or formats.NONE),
            ("Charger", plain(built, 60) or formats.NONE),
            ("Firmware", plain(station.firmware, 40) or formats.NONE),
        ]
    rows += [
        ("Station id", station_link(session.station, plain(session.station, 60))),
        ("Transaction", plain(session.transaction_id, 60)),
    ]
    return card("Who and how", [pairs(rows)])


# ---- what happened


def happened(dossier: Dossier) -> Child:
    items = dossier.happened[:_MOST_SHOWN]
    note = f"{len(dossier.happened)} events, {dossier.frames} messages" if items else ""
    if not items:
        is_away = dossier.is_series_away
        is_open = dossier.session.is_open
        known = "Events appear here as the charger reports them." if is_open else "No events of this session are kept."
        text = "Cannot be read right now." if is_away else known
        return card("What happened", [empty(text)])
    return card("What happened", [timeline(items, dossier.where)], note=note)


def stop_answer(outcome: CommandOutcome, status: str, detail: str) -> Child:
    """What became of a stop, in words."""
    if outcome == CommandOutcome.ANSWERED and status == "Accepted":
        return notice("The charger accepts the stop.", "The session ends here when its last message arrives.", "good")
    if outcome == CommandOutcome.ANSWERED:
        return notice("The charger declined to stop.", f"It answered {status or 'nothing'}. {detail}".strip())
    if outcome == CommandOutcome.OFFLINE:
        return notice(
            "The station is not connected.", "The session goes on; its end is reported when the charger is back."
        )
    if outcome == CommandOutcome.TIMEOUT:
        return notice("No answer yet.", "The charger may still stop; this page shows it when it does.")
    return notice("The stop could not be asked for.", detail or "The charger refused the message.")
