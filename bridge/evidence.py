"""What was seen of a session, counted while it runs: what its bill will rest on. No I/O, no clock.

Theory. A bill needs three things: when, how much, and who. Each rests on messages, and messages get lost, come late
or are never sent. So a session carries small counts beside its energy: how its start was seen, how far apart its
readings were, which numbers of its sequence are missing, how wrong the charger's clock was, whether signed values
came. They only count; ``bridge/grades.py`` judges.

A message changes nothing here as long as all is well: the same ``Evidence`` is handed back, which keeps the hot path
short. A reading is *late* when it came by a queue; a late one that lies in a gap closes it.

Source: OCPP 1.6 sections 4.8, 4.10 and 7.43; OCPP 2.0.1 part 2 sections E (seqNo) and 2.46 (SignedMeterValueType).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from bridge.events import Event, MeterSampled, TransactionEnded, TransactionStarted

LATE_AFTER = timedelta(seconds=60)  # an older reading came by a queue: kept at its own time, never shown as live
GAP_FACTOR = 3  # as many usual intervals without a reading are a gap
GAP_LEAST_S = 60.0  # nothing shorter is one
GAP_UNPACED_S = 900.0  # nor this, while no pace is known: readings each quarter of an hour are common
_INSTANT_S = 1.0  # readings of one moment, sent in pieces
_DRIFT = 0.1  # a pace that changes less is the same pace
_SETTLE = 8  # the usual interval follows a new pace over about as many readings
_MOST_GAPS = 20
_MOST_HOLES = 50
_BEGIN, _END = "Transaction.Begin", "Transaction.End"


class Start(StrEnum):
    """How the start was seen."""

    UNCOUNTED = "uncounted"  # it began before evidence was counted
    OWN = "own"  # the charger's own message
    DERIVED = "derived"  # from the plug: this charger knows no transactions
    UNSEEN = "unseen"


class Gap(msgspec.Struct, frozen=True, array_like=True):
    """No reading in between, by the charger's clock, although energy flowed."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Counts of one session. Clocks are device minus ours in seconds, ``None`` where a message came late or gave
    no time; ``signed_begin`` and ``signed_end`` name the format of a signed value ("OCMF"), empty without one."""

    start: Start = Start.UNCOUNTED
    has_start_register: bool = False  # in the start itself
    is_token_accepted: bool | None = None  # None without a card
    clock_start_s: float | None = None
    clock_stop_s: float | None = None
    is_start_late: bool = False
    is_stop_late: bool = False
    interval_s: float | None = None  # between readings, usually
    gaps: tuple[Gap, ...] = ()  # against the pace at that time, the longest of them
    late_readings: int = 0
    seq_first: int | None = None
    seq_last: int | None = None
    seq_holes: tuple[tuple[int, int], ...] = ()  # missing numbers, first and last of each run
    register_jumps: int = 0  # fell or leapt during the session
    signed_begin: str = ""
    signed_end: str = ""

    @property
    def seq_missing(self) -> int:
        return sum(last - first + 1 for first, last in self.seq_holes)

    @property
    def gaps_that_matter(self) -> tuple[Gap, ...]:
        """Those that are gaps against the pace that the session settled on."""
        least_s = GAP_UNPACED_S if self.interval_s is None else _least_s(self.interval_s)
        return tuple(gap for gap in self.gaps if gap.seconds > least_s)


NONE = Evidence()


def is_late(event: Event) -> bool:
    """Did this come by a queue or a replay?"""
    return bool(getattr(event, "offline", False)) or event.received_at - event.at > LATE_AFTER


def begun(event: TransactionStarted) -> Evidence:
    """From a start."""
    clock_s, late = _clock(event)
    return Evidence(
        start=_start_of(event),
        has_start_register=event.meter_start_wh is not None and not event.start_unknown,
        is_token_accepted=event.accepted if event.token else None,
        clock_start_s=clock_s,
        is_start_late=late,
        seq_first=event.seq_no,
        seq_last=event.seq_no,
    )


def learnt(known: Evidence, event: TransactionStarted) -> Evidence:
    """From a start that came after its own updates."""
    first = begun(event)
    return replace(
        numbered(known, event.seq_no),
        start=first.start,
        has_start_register=first.has_start_register,
        is_token_accepted=first.is_token_accepted,
        clock_start_s=first.clock_start_s,
        is_start_late=first.is_start_late,
    )


def numbered(known: Evidence, seq_no: int | None) -> Evidence:
    """From a message's number: beyond the highest it may leave a hole, below it may fill one; a repeated one says
    nothing (field quirk 67: some simulators always send 0)."""
    if seq_no is None or seq_no == known.seq_last:
        return known
    first, last = known.seq_first, known.seq_last
    if first is None or last is None:
        return replace(known, seq_first=seq_no, seq_last=seq_no)
    if seq_no > last:
        return replace(known, seq_last=seq_no, seq_holes=_with_hole(known.seq_holes, last + 1, seq_no - 1))
    if seq_no < first:
        return replace(known, seq_first=seq_no, seq_holes=_with_hole(known.seq_holes, seq_no + 1, first - 1))
    return replace(known, seq_holes=_filled(known.seq_holes, seq_no)) if known.seq_holes else known


def read(
    known: Evidence, event: MeterSampled, before: tuple[datetime, datetime | None], has_gained: bool, has_jumped: bool
) -> Evidence:
    """From a reading newer than all; ``before``: the times of the start and of the last reading. The hot path: a
    reading at the usual pace returns what is known."""
    late = event.offline or event.received_at - event.at > LATE_AFTER
    start, last = before
    interval_s, usual_s = (event.at - (last or start)).total_seconds(), known.interval_s
    is_usual = usual_s is not None and abs(interval_s - usual_s) <= _DRIFT * usual_s
    if (is_usual or interval_s < _INSTANT_S) and not (late or has_jumped or event.signed):
        return known
    gap = Gap(last or start, event.at)
    if last is not None and interval_s >= _INSTANT_S and (has_gained or interval_s <= _least_s(usual_s)):
        usual_s = interval_s if usual_s is None else usual_s + (interval_s - usual_s) / _SETTLE
    return replace(
        _signed(known, event),
        interval_s=usual_s,
        gaps=_with_gap(known, gap) if has_gained else known.gaps,
        late_readings=known.late_readings + late,
        register_jumps=known.register_jumps + has_jumped,
    )


def read_late(known: Evidence, event: MeterSampled) -> Evidence:
    """From a reading older than the newest, or after the stop: it may lie in a gap, or be the signed one."""
    if not known.gaps and not event.signed:
        return known
    known = _signed(known, event)
    for gap in known.gaps:
        if gap.start < event.at < gap.end:
            pieces = (Gap(gap.start, event.at), Gap(event.at, gap.end))
            kept = tuple(piece for piece in pieces if piece.seconds > _least_s(known.interval_s))
            gaps = tuple(sorted({*known.gaps, *kept} - {gap}, key=lambda found: found.start))
            return replace(known, gaps=gaps[:_MOST_GAPS], late_readings=known.late_readings + 1)
    return known


def ended(known: Evidence, event: TransactionEnded, before: datetime, at: datetime, has_gained: bool) -> Evidence:
    """From the session's own stop, ``before`` it the time of the last reading, else of the start."""
    clock_s, late = _clock(event)
    return replace(
        numbered(known, event.seq_no),
        clock_stop_s=clock_s,
        is_stop_late=late,
        gaps=_with_gap(known, Gap(before, at)) if has_gained else known.gaps,
    )


def unplaced(event: TransactionEnded) -> Evidence:
    """From a stop without a start."""
    return ended(Evidence(start=Start.UNSEEN), event, event.at, event.at, False)


def _start_of(event: TransactionStarted) -> Start:
    if event.start_unknown:
        return Start.UNSEEN
    return Start.DERIVED if event.derived else Start.OWN


def _clock(event: Event) -> tuple[float | None, bool]:
    """The charger's clock less ours, where the message can tell; and whether it came late."""
    late = is_late(event)
    if late or event.at == event.received_at:  # it gave no time of its own, or none that can be
        return None, late
    return round((event.at - event.received_at).total_seconds(), 1), late


def _signed(known: Evidence, event: MeterSampled) -> Evidence:
    if not event.signed:
        return known
    if event.context == _BEGIN:
        return replace(known, signed_begin=event.signed)
    return replace(known, signed_end=event.signed) if event.context == _END else known


def _least_s(usual_s: float | None) -> float:
    return max(GAP_LEAST_S, GAP_FACTOR * (usual_s or 0.0))


def _with_gap(known: Evidence, gap: Gap) -> tuple[Gap, ...]:
    if gap.seconds <= _least_s(known.interval_s):
        return known.gaps
    if len(known.gaps) < _MOST_GAPS:
        return (*known.gaps, gap)
    longest = sorted((*known.gaps, gap), key=lambda found: found.seconds)[1:]
    return tuple(sorted(longest, key=lambda found: found.start))


def _with_hole(holes: tuple[tuple[int, int], ...], first: int, last: int) -> tuple[tuple[int, int], ...]:
    return holes if first > last else tuple(sorted((*holes, (first, last))))[:_MOST_HOLES]


def _filled(holes: tuple[tuple[int, int], ...], number: int) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for first, last in holes:
        if first <= number <= last:
            found += [(low, high) for low, high in ((first, number - 1), (number + 1, last)) if low <= high]
        else:
            found.append((first, last))
    return tuple(found[:_MOST_HOLES])
