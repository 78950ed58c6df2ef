"""The Evidence card of the session page and its chip: what the bill rests on, and why it is no better. No I/O."""

from __future__ import annotations

from dash import html

from bridge.evidence import Start
from bridge.grades import MAX_SKEW_S, Grade, Stop, grade, stop_of
from bridge.session import Session
from dashboard import formats
from dashboard.components import Child, card, chip, pairs
from dashboard.dossier import Dossier
from dashboard.formats import plain

_Row = tuple[str, Child]
_START_WORDS = {
    Start.UNCOUNTED: "not counted then",
    Start.DERIVED: "read from the plug",
    Start.UNSEEN: "not seen",
}


def grade_chip(dossier: Dossier) -> Child:
    found = grade(dossier.session).grade
    return chip(f"Evidence: {found}", "" if found is Grade.FULL else "warn")


def evidence_card(dossier: Dossier) -> Child:
    session = dossier.session
    problems = [html.Div(["▲ ", plain(reason)], className="problem") for reason in grade(session).reasons]
    rows = [
        _start(session),
        *_sequence(session),
        *_readings(dossier),
        _clock(dossier),
        _signed(session),
        *_last_register(session),
        _stop(session),
    ]
    return card("Evidence", [*problems, pairs(rows)], note="what the bill rests on")


def _wh(value: int | None) -> str:
    return "register not given" if value is None else f"{value:,} Wh".replace(",", " ")


def _start(session: Session) -> _Row:
    seen, register = session.evidence, session.meter_start_wh
    if seen.start in _START_WORDS:
        return "Start and meter start", f"{_START_WORDS[seen.start]}, {_wh(register)}"
    if not seen.has_start_register:
        return "Start and meter start", f"seen, {_wh(None)}"
    return "Start and meter start", f"✓ seen, {_wh(register)}"


def _sequence(session: Session) -> list[_Row]:
    """Nothing where a charger does not count, or always says the same number."""
    seen = session.evidence
    if seen.seq_first is None or seen.seq_first == seen.seq_last:
        return []
    missing = f"{seen.seq_missing} missing" if seen.seq_missing else "✓ no gap"
    return [(f"Sequence {seen.seq_first} to {seen.seq_last}", missing)]


def _readings(dossier: Dossier) -> list[_Row]:
    seen = dossier.session.evidence
    if dossier.session.sample_at is None:
        return [("Meter values", "none" if not dossier.session.is_open else "none yet")]
    gaps = [gap.seconds for gap in seen.gaps_that_matter]
    words = f"{len(gaps)}, longest {formats.span(max(gaps))}" if gaps else "✓ none"
    late = f"{seen.late_readings}, at their own time" if seen.late_readings else "✓ none"
    return [("Gaps in the values", words), ("Values that came late", late)]


def _clock(dossier: Dossier) -> _Row:
    """At the stop, else at the start, else as the station is now."""
    seen, station = dossier.session.evidence, dossier.station
    now_s = station.clock_skew_s if station and dossier.session.is_open else None
    skew_s = next((found for found in (seen.clock_stop_s, seen.clock_start_s, now_s) if found is not None), None)
    if skew_s is None:
        return "Clock against ours", "came late" if seen.is_start_late else "not told"
    mark = "" if abs(skew_s) <= MAX_SKEW_S else "▲ "
    return "Clock against ours", f"{mark}{formats.skew(skew_s)}"


def _signed(session: Session) -> _Row:
    seen = session.evidence
    if not seen.signed_begin and not seen.signed_end:
        return "Signed values", "none"
    edges = [word for word, found in (("begin", seen.signed_begin), ("end", seen.signed_end)) if found]
    return "Signed values", f"{' and '.join(edges)}, {plain(seen.signed_begin or seen.signed_end, 20)}"


def _last_register(session: Session) -> list[_Row]:
    is_told = session.meter_last_wh is not None and session.meter_stop_wh is None
    return [("Meter at last value", _wh(session.meter_last_wh))] if is_told else []


def _stop(session: Session) -> _Row:
    stop = stop_of(session)
    if stop is Stop.TO_COME:
        return "Stop and meter stop", html.Span("still to come", className="dim")
    if stop is Stop.BOUNDED:
        return "Stop and meter stop", "never came"
    if session.meter_stop_wh is None:
        return "Stop and meter stop", f"seen, {_wh(None)}"
    return "Stop and meter stop", f"✓ seen, {_wh(session.meter_stop_wh)}"
