"""What was seen of a session, and how far it can be billed upon."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bridge import evidence
from bridge.book import Book
from bridge.events import (
    AnyEvent,
    EnergySource,
    MeterSampled,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
)
from bridge.evidence import Evidence, Gap, Start
from bridge.grades import RULES, Grade, Stop, grade, stop_of
from bridge.session import Session, SessionState
from bridge.snapshots import decode_snapshot, encode_snapshot

BEGIN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def when(seconds: float, late_s: float = 0.0) -> dict[str, Any]:
    """The charger's time, and ours half a second later (or as much later as said)."""
    return {"station": "CP", "at": at(seconds), "received_at": at(seconds + 0.5 + late_s)}


def start(seconds: float = 0, late_s: float = 0.0, **more: Any) -> TransactionStarted:
    told = {"evse": 1, "transaction_id": "7", "token": "CARD", "meter_start_wh": 1000}
    return TransactionStarted(**when(seconds, late_s) | told | more)


def reading(seconds: float, wh: float | None = None, late_s: float = 0.0, **more: Any) -> MeterSampled:
    values = {"energy_import_wh": 1000.0 + seconds if wh is None else wh}
    return MeterSampled(**when(seconds, late_s) | {"evse": 1, "transaction_id": "7", "values": values} | more)


def update(seq_no: int) -> TransactionUpdated:
    return TransactionUpdated(**when(seq_no), evse=1, transaction_id="7", seq_no=seq_no)


def stop(seconds: float, wh: float | None = -1, late_s: float = 0.0, **more: Any) -> TransactionEnded:
    meter = None if wh is None else round(1000 + seconds if wh < 0 else wh)
    return TransactionEnded(**when(seconds, late_s) | {"evse": 1, "transaction_id": "7", "meter_stop_wh": meter} | more)


def each(first: int, last: int, step: int = 60, **more: Any) -> list[AnyEvent]:
    return [reading(second, **more) for second in range(first, last, step)]


def played(*events: AnyEvent) -> Session:
    book = Book("test")
    for event in events:
        book.apply(event)
    return next(iter(book.sessions["CP"].values()))


FULL = [start(), *each(60, 1800), stop(1800)]

CASES: dict[str, tuple[Sequence[AnyEvent], Grade, str]] = {
    "all seen": (FULL, Grade.FULL, ""),
    "still running": ([start(), *each(60, 600)], Grade.FULL, ""),
    "short, without a reading": ([start(), stop(300)], Grade.FULL, ""),
    "no reading in an hour": ([start(), stop(3600)], Grade.PARTIAL, "over 60 min without a reading"),
    "no reading in an hour in which nothing flowed": ([start(), stop(3600, 1000)], Grade.FULL, ""),
    "readings each quarter of an hour": ([start(), *each(500, 6000, 900), stop(6200)], Grade.FULL, ""),
    "a hole in the readings": (
        [start(), *each(60, 600), *each(1500, 3000), stop(3000)],
        Grade.PARTIAL,
        "over 16 min without a reading",
    ),
    "two holes": (
        [start(), *each(60, 600), *each(1500, 3000), *each(4500, 6000), stop(6000)],
        Grade.PARTIAL,
        "2 gaps without a reading, the longest 26 min",
    ),
    "a pause, in which nothing flowed": (
        [start(), *each(60, 600), *each(4000, 5000, wh=1540), stop(5000, 1540)],
        Grade.FULL,
        "",
    ),
    "a hole that the queue filled in order": (
        [start(), *each(60, 600), *each(600, 1500, late_s=900), *each(1500, 1800), stop(1800)],
        Grade.FULL,
        "",
    ),
    "a hole that the queue filled afterwards": (
        [start(), *each(60, 600), *each(1500, 1800), *each(600, 1500, late_s=1500), stop(1800)],
        Grade.FULL,
        "",
    ),
    "a hole that the queue filled after the stop": (
        [start(), *each(60, 600), stop(1500), *each(600, 1500, late_s=1500)],
        Grade.FULL,
        "",
    ),
    "start without the register": (
        [start(meter_start_wh=None), *each(1, 600), stop(600)],
        Grade.PARTIAL,
        "start came without the register",
    ),
    "stop without the register": ([start(), *each(60, 600), stop(600, None)], Grade.PARTIAL, "stop came without"),
    "start not seen": (
        [start(start_unknown=True), *each(60, 600), stop(600)],
        Grade.RECONSTRUCTED,
        "start was not seen",
    ),
    "start seen after its updates": (
        [update(1), reading(60), start(seq_no=0, late_s=90), *each(120, 600), stop(600, seq_no=2)],
        Grade.FULL,
        "",
    ),
    "bounded by the next": (
        [start(), *each(60, 600), start(900, transaction_id="8", meter_start_wh=1600)],
        Grade.RECONSTRUCTED,
        "bounded by what came next",
    ),
    "a stop alone": ([stop(0)], Grade.RECONSTRUCTED, "start was not seen"),
    "power alone": (
        [start(meter_start_wh=None), *each(60, 600, values={"power_w": 9000}), stop(600, None)],
        Grade.RECONSTRUCTED,
        "sum of power",
    ),
    "the charger's own count": (
        [start(meter_start_wh=None), reading(60, values={"session_energy_wh": 5}), stop(100, None)],
        Grade.PARTIAL,
        "own count",
    ),
    "a register that was reset": (
        [start(), reading(60, 1500), reading(120, 100), reading(180, 600), stop(200, 600)],
        Grade.RECONSTRUCTED,
        "carried over",
    ),
    "a register that fell a little": (
        [start(), reading(60, 1500), reading(120, 1499), stop(200, 1600)],
        Grade.PARTIAL,
        "fell or leapt during the session (once)",
    ),
    "read from the plug": ([start(derived=True), *each(60, 600), stop(600)], Grade.PARTIAL, "knows no transactions"),
    "a card that was not accepted": (
        [start(accepted=False, cause="unknown"), *each(60, 600), stop(600)],
        Grade.PARTIAL,
        "not accepted",
    ),
    "an unbroken sequence": ([start(seq_no=0), update(1), update(2), stop(3, seq_no=3)], Grade.FULL, ""),
    "a sequence that begins later": ([start(seq_no=7), update(8), stop(9, seq_no=9)], Grade.FULL, ""),
    "a broken sequence": (
        [start(seq_no=0), update(1), update(5), stop(6, seq_no=6)],
        Grade.PARTIAL,
        "Of the messages 0 to 6, 3 are missing",
    ),
    "a hole that the queue partly filled": (
        [start(seq_no=0), update(1), update(5), update(3), stop(6, seq_no=6)],
        Grade.PARTIAL,
        "Of the messages 0 to 6, 2 are missing",
    ),
    "a sequence in disorder": (
        [start(seq_no=0), update(3), update(1), update(2), update(2), stop(6, seq_no=4)],
        Grade.FULL,
        "",
    ),
    "quirk 67: always number 0": ([start(seq_no=0), update(0), update(0), stop(9, seq_no=0)], Grade.FULL, ""),
    "a clock ahead": ([start(late_s=-46), *each(60, 600), stop(600)], Grade.PARTIAL, "46 s ahead of ours at the start"),
    "a clock behind at the stop": ([start(), *each(60, 600), stop(600, late_s=40)], Grade.PARTIAL, "40 s behind ours"),
    "a clock within 30 s": ([start(late_s=-29), *each(60, 600), stop(600, late_s=29)], Grade.FULL, ""),
    "a start out of the queue, a stop at once": ([start(late_s=500), *each(60, 600), stop(600)], Grade.FULL, ""),
    "both out of the queue": ([start(late_s=500), stop(200, late_s=300)], Grade.PARTIAL, "could not be compared"),
    "no times of its own": ([start(late_s=-0.5), *each(60, 600), stop(600, late_s=-0.5)], Grade.FULL, ""),
}


@pytest.mark.parametrize(("events", "expected", "reason"), CASES.values(), ids=CASES.keys())
def test_a_session_has_the_grade_of_what_was_seen(events: Sequence[AnyEvent], expected: Grade, reason: str) -> None:
    verdict = grade(played(*events))
    assert verdict.grade is expected, verdict
    assert (reason in " ".join(verdict.reasons)) if reason else verdict.reasons == ()


def test_every_rule_applies_somewhere_but_that_of_the_past() -> None:
    applied = {rule.says.__name__ for events, *_ in CASES.values() for rule in RULES if rule.says(played(*events))}
    assert {rule.says.__name__ for rule in RULES} - applied == {"_uncounted"}


def test_reasons_are_sentences_and_what_the_road_found_odd_is_said_once() -> None:
    verdicts = [grade(played(*events)) for events, *_ in CASES.values()]
    for reason in (reason for verdict in verdicts for reason in verdict.reasons):
        assert reason[0].isupper()
        assert reason.endswith(".")
    odd = replace(played(*FULL), review=("longer than a week: was the charger's clock right?", "register fell"))
    assert grade(odd) == (
        Grade.PARTIAL,
        ("Longer than a week: was the charger's clock right?", "Register fell."),
    )


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40))
def test_what_is_missing_of_a_sequence_is_what_was_never_seen(numbers: list[int]) -> None:
    seen = Evidence()
    for number in numbers:
        seen = evidence.numbered(seen, number)
    assert seen.seq_missing == len(set(range(min(numbers), max(numbers))) - set(numbers))


def test_the_hot_path_hands_the_same_evidence_back() -> None:
    before = played(start(), *each(60, 600)).evidence
    assert evidence.read(before, reading(600), (at(0), at(540)), True, False) is before
    assert evidence.read_late(before, reading(30)) is before


def test_gaps_are_bounded_and_the_longest_are_kept() -> None:
    seconds, events = 0.0, [*each(10, 600, 10)]
    for number in range(60):
        seconds = 600 + number * 1000 + (number % 7) * 10
        events.append(reading(seconds))
        events += each(int(seconds) + 10, int(seconds) + 400, 10)
    seen = played(start(), *events).evidence
    assert len(seen.gaps) == 20
    assert list(seen.gaps) == sorted(seen.gaps, key=lambda gap: gap.start)


@pytest.mark.parametrize(
    ("contexts", "begin", "end"),
    [
        (["Transaction.Begin", "Transaction.End"], "OCMF", "OCMF"),
        (["Transaction.Begin"], "OCMF", ""),
        (["Sample.Periodic"], "", ""),
    ],
)
def test_signed_values_are_noted_at_both_ends(contexts: list[str], begin: str, end: str) -> None:
    signed: list[AnyEvent] = [
        reading(60 * number, values={}, signed="OCMF", context=context) for number, context in enumerate(contexts, 1)
    ]
    seen = played(start(), *signed, stop(300)).evidence
    assert (seen.signed_begin, seen.signed_end) == (begin, end)


def test_a_signed_value_that_comes_with_the_stop_or_after_it_counts() -> None:
    """OCPP 1.6 repeats both in the stop's transactionData."""
    repeated = reading(0, values={}, signed="OCMF", context="Transaction.Begin", offline=True)
    after = reading(600, values={}, signed="EDL", context="Transaction.End")
    seen = played(start(), *each(60, 600), repeated, stop(600), after).evidence
    assert (seen.signed_begin, seen.signed_end) == ("OCMF", "EDL")


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (played(start()), Stop.TO_COME),
        (played(start(), stop(60)), Stop.OWN),
        (played(start(), start(60, transaction_id="8")), Stop.BOUNDED),
        (played(start(), start(60, transaction_id="8"), stop(60, late_s=300)), Stop.OWN),  # its queued stop came
        (played(stop(0)), Stop.OWN),
    ],
)
def test_how_the_stop_was_seen(session: Session, expected: Stop) -> None:
    assert stop_of(session) is expected


def test_evidence_survives_the_journal() -> None:
    session = played(start(seq_no=0), update(4), *each(60, 600), *each(1500, 3000), stop(3000, seq_no=9))
    assert session.evidence.gaps == (Gap(at(540), at(1500)),)
    assert session.evidence.seq_holes == ((1, 3), (5, 8))
    assert decode_snapshot(encode_snapshot(session)) == session


def test_a_session_of_the_version_before_decodes_and_says_so() -> None:
    old = Session(
        id="s",
        station="CP",
        evse=1,
        transaction_id="7",
        state=SessionState.ENDED,
        started_at=BEGIN,
        start_received_at=BEGIN,
        meter_start_wh=1,
        meter_last_wh=5,
        meter_stop_wh=5,
        energy_wh=4,
    )
    blob = encode_snapshot(old)
    assert b"evidence" not in blob
    found = decode_snapshot(blob)
    assert isinstance(found, Session)
    assert found.evidence == Evidence(start=Start.UNCOUNTED)
    assert grade(found) == (Grade.PARTIAL, ("It began before its evidence was counted.",))
    assert found.energy_source is EnergySource.REGISTER
