"""How far a session's record can be billed upon: a table of rules, judged at any time. No I/O, no clock.

Theory. Three grades, the worst rule that applies decides:

- *full*: its own start and stop were seen, both with the meter's register; no gap that matters, no number of its
  sequence missing, the charger's clock within 30 s of ours, the card accepted.
- *partial*: the energy is certain (the register at both ends, or a count that only rises), something else is missing.
- *reconstructed*: energy or time rests on inference: no start or no stop was seen, the power was summed up, the
  register did what a register cannot do.

While a session runs its stop is still to come and not held against it. Signed values are no condition: few chargers
have them, and they prove something only when they are verified, which is done with the bill. ``Session.review`` holds
what the road found odd; a reason there that no rule here says better is a rule of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from bridge.events import EnergySource
from bridge.evidence import Evidence, Start
from bridge.session import Session, SessionState, is_orphan_stop

MAX_SKEW_S = 30.0


class Grade(StrEnum):
    FULL = "full"
    PARTIAL = "partial"
    RECONSTRUCTED = "reconstructed"


class Stop(StrEnum):
    """How the stop was seen."""

    OWN = "own"
    TO_COME = "to_come"
    BOUNDED = "bounded"  # by what came next on the connector


class Verdict(NamedTuple):
    """A grade and why it is no better, in sentences."""

    grade: Grade
    reasons: tuple[str, ...]


class Rule(NamedTuple):
    """``says`` is a sentence where the rule applies, else empty. ``review``: how the reasons of ``Session.review`` that
    it stands for begin."""

    grade: Grade
    says: Callable[[Session], str]
    review: tuple[str, ...] = ()


def stop_of(session: Session) -> Stop:
    if session.is_open:
        return Stop.TO_COME
    return Stop.BOUNDED if session.state is SessionState.ORPHANED and not is_orphan_stop(session) else Stop.OWN


def grade(session: Session) -> Verdict:
    """The worst of ``RULES`` that applies, and the sentences of all that do."""
    applied = [(rule, said) for rule in RULES if (said := rule.says(session))]
    covered = tuple(start for rule, _ in applied for start in rule.review)
    odd = [_sentence(reason) for reason in session.review if not reason.startswith(covered)]
    grades = [rule.grade for rule, _ in applied] + [Grade.PARTIAL] * bool(odd)
    worst = max(grades, key=list(Grade).index, default=Grade.FULL)
    return Verdict(worst, (*(said for _, said in applied), *odd))


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}{'' if reason.endswith('?') else '.'}"


def _start_unseen(session: Session) -> str:
    is_unseen = session.evidence.start is Start.UNSEEN or is_orphan_stop(session)
    return "Its start was not seen: when it began, and at which register, is inferred." if is_unseen else ""


def _stop_unseen(session: Session) -> str:
    if stop_of(session) is not Stop.BOUNDED:
        return ""
    return "Its stop never came: it is taken to end with its last reading, bounded by what came next."


def _by_power(session: Session) -> str:
    is_summed = session.energy_source is EnergySource.POWER_INTEGRAL
    return "The energy is the sum of power over time: there was no register and no count." if is_summed else ""


def _not_the_difference(session: Session) -> str:
    start, last = session.meter_start_wh, session.meter_last_wh  # at the end that of the stop
    if start is None or last is None or is_orphan_stop(session) or session.energy_wh == last - start:
        return ""
    return "The energy is not the difference of the registers: it was carried over what the register did on the way."


def _uncounted(session: Session) -> str:
    is_old = session.evidence.start is Start.UNCOUNTED and not is_orphan_stop(session)
    return "It began before its evidence was counted." if is_old else ""


def _derived(session: Session) -> str:
    is_derived = session.evidence.start is Start.DERIVED
    return "Start and stop were read from the plug: this charger knows no transactions." if is_derived else ""


def _start_bare(session: Session) -> str:
    seen = session.evidence
    if seen.has_start_register or seen.start not in (Start.OWN, Start.DERIVED):
        return ""
    return "The start came without the register: the first reading stands in for it."


def _stop_bare(session: Session) -> str:
    if stop_of(session) is not Stop.OWN or session.meter_stop_wh is not None:
        return ""
    return "The stop came without the register: the last reading stands in for it."


def _by_counter(session: Session) -> str:
    if session.energy_source is not EnergySource.SESSION_COUNTER:
        return ""
    return "The energy is the charger's own count for this session, not its meter's register."


def _register_jumped(session: Session) -> str:
    times = session.evidence.register_jumps
    return f"The register fell or leapt during the session ({_times(times)})." if times else ""


def _gaps(session: Session) -> str:
    gaps = session.evidence.gaps_that_matter
    if not gaps:
        return ""
    longest = _span(max(gap.seconds for gap in gaps))
    if len(gaps) == 1:
        return f"Energy flowed over {longest} without a reading."
    return f"Energy flowed over {len(gaps)} gaps without a reading, the longest {longest}."


def _holes(session: Session) -> str:
    missing, seen = session.evidence.seq_missing, session.evidence
    if not missing:
        return ""
    verb = "is" if missing == 1 else "are"
    return f"Of the messages {seen.seq_first} to {seen.seq_last}, {missing} {verb} missing."


def _clock(session: Session) -> str:
    seen = session.evidence
    for edge, skew_s in (("start", seen.clock_start_s), ("stop", seen.clock_stop_s)):
        if skew_s is not None and abs(skew_s) > MAX_SKEW_S:
            how = "ahead of" if skew_s > 0 else "behind"
            return f"The charger's clock was {_span(abs(skew_s))} {how} ours at the {edge}."
    return ""


def _clock_untold(session: Session) -> str:
    """One message that came at once shows the clock; a queued one may be late or wrong."""
    if not _is_untold(session.evidence, session.is_open):
        return ""
    edges = "Its start" if session.is_open else "Its start and its stop"
    return f"{edges} came late, by a queue or by a clock that is behind: the clock could not be compared."


def _is_untold(seen: Evidence, is_open: bool) -> bool:
    return seen.is_start_late and seen.clock_start_s is None and (is_open or seen.is_stop_late)


def _card_refused(session: Session) -> str:
    is_refused = session.evidence.is_token_accepted is False
    return "The card that started it was not accepted." if is_refused else ""


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


RULES = (
    Rule(Grade.RECONSTRUCTED, _start_unseen, ("start not seen", "stop without a known start")),
    Rule(Grade.RECONSTRUCTED, _stop_unseen, ("no stop received",)),
    Rule(Grade.RECONSTRUCTED, _by_power),
    Rule(Grade.RECONSTRUCTED, _not_the_difference),
    Rule(Grade.PARTIAL, _uncounted),
    Rule(Grade.PARTIAL, _derived),
    Rule(Grade.PARTIAL, _start_bare),
    Rule(Grade.PARTIAL, _stop_bare),
    Rule(Grade.PARTIAL, _by_counter),
    Rule(Grade.PARTIAL, _register_jumped, ("register fell", "register leapt")),
    Rule(Grade.PARTIAL, _gaps),
    Rule(Grade.PARTIAL, _holes),
    Rule(Grade.PARTIAL, _clock),
    Rule(Grade.PARTIAL, _clock_untold),
    Rule(Grade.PARTIAL, _card_refused, ("token not accepted",)),
)
