"""A session's transitions and its energy, without I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bridge.events import EnergySource, MeterSampled, TransactionEnded, TransactionStarted
from bridge.session import (
    OPEN_STATES,
    TRANSITIONS,
    Session,
    SessionState,
    Trigger,
    moved,
    opened,
    orphan_stop,
    sampled,
    session_id,
    stopped,
    superseded,
)

BEGIN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def started(meter: int | None = 1000, **more: object) -> Session:
    fixed = {"station": "CP", "at": BEGIN, "received_at": BEGIN, "evse": 1, "transaction_id": "7", "token": "CARD"}
    return opened(TransactionStarted(**fixed | {"meter_start_wh": meter} | more))  # type: ignore[arg-type]


def reading(seconds: float, **values: float) -> MeterSampled:
    return MeterSampled(station="CP", at=at(seconds), received_at=at(seconds), evse=1, values=values)


def stop(seconds: float, meter: int | None, reason: str = "Local") -> TransactionEnded:
    return TransactionEnded(
        station="CP",
        at=at(seconds),
        received_at=at(seconds),
        transaction_id="7",
        meter_stop_wh=meter,
        stop_reason=reason,
    )


def played(session: Session, *events: MeterSampled | TransactionEnded) -> Session:
    for event in events:
        session = sampled(session, event) if isinstance(event, MeterSampled) else stopped(session, event)
    return session


def test_the_table_names_every_state_and_ends_only_where_it_should() -> None:
    assert set(TRANSITIONS) == set(SessionState)
    assert TRANSITIONS[SessionState.ENDED] == {}
    assert TRANSITIONS[SessionState.ORPHANED] == {Trigger.STOPPED: SessionState.ENDED}
    for state in OPEN_STATES:
        assert TRANSITIONS[state][Trigger.STOPPED] is SessionState.ENDED
        assert TRANSITIONS[state][Trigger.SUPERSEDED] is SessionState.ORPHANED


@given(st.lists(st.sampled_from(Trigger)))
def test_any_triggers_lead_along_the_table_and_never_back_from_the_end(triggers: list[Trigger]) -> None:
    session = started()
    for second, trigger in enumerate(triggers):
        before = session
        session = moved(session, trigger, at(second))
        assert session.state in {before.state, *TRANSITIONS[before.state].values()}
        assert session.charging_s >= before.charging_s


def test_the_time_of_charging_counts_only_while_energy_flows() -> None:
    session = moved(started(), Trigger.ENERGY_FLOWS, at(10))
    session = moved(session, Trigger.PAUSED, at(70))
    session = moved(session, Trigger.ENERGY_FLOWS, at(100))
    assert moved(session, Trigger.STOPPED, at(130)).charging_s == 90


def test_the_same_start_is_the_same_session_and_another_is_another() -> None:
    assert started().id == started().id == session_id("CP", "7", BEGIN)
    assert len({session_id("CP", "7", BEGIN), session_id("CP", "8", BEGIN), session_id("CP2", "7", BEGIN)}) == 3


def test_energy_is_the_difference_of_the_register() -> None:
    session = played(started(), reading(60, energy_import_wh=1500), reading(120, energy_import_wh=2000, power_w=30_000))
    assert (session.energy_wh, session.energy_source) == (1000, EnergySource.REGISTER)
    assert session.state is SessionState.CHARGING
    ended = played(session, stop(180, 2200))
    assert (ended.state, ended.energy_wh, ended.meter_stop_wh, ended.power_w) == (SessionState.ENDED, 1200, 2200, 0.0)
    assert ended.review == ()


@pytest.mark.parametrize(
    ("start", "registers", "meter_stop", "energy_wh", "needs_review"),
    [
        (1000, [1500, 2000], 2500, 1500, False),
        (1000, [], 2500, 1500, False),
        (None, [500, 700], 900, 400, False),  # the first register is the start
        (None, [], 900, 0, False),
        (1000, [1500, 100, 600], 600, 1000, True),  # quirk 35: the register fell, what was counted is carried
        (9000, [0, 500, 1000], 1000, 1000, True),  # quirk 35: lifetime at start, session-relative afterwards
        (1000, [2000], 900, 1000, True),  # quirk 35: the stop is below the start
        (1000, [2000], 1900, 900, True),  # below an earlier reading
    ],
)
def test_energy_whatever_the_register_does(
    start: int | None, registers: list[int], meter_stop: int, energy_wh: int, needs_review: bool
) -> None:
    readings = [reading(60 * number, energy_import_wh=wh) for number, wh in enumerate(registers, 1)]
    session = played(started(start), *readings, stop(9000, meter_stop))
    assert session.energy_wh == energy_wh
    assert bool(session.review) is needs_review


@given(st.lists(st.integers(0, 10**9), max_size=12), st.integers(0, 10**9))
def test_energy_is_never_negative_whatever_the_meter_says(registers: list[int], meter_stop: int) -> None:
    readings = [reading(number, energy_import_wh=wh) for number, wh in enumerate(registers, 1)]
    session = played(started(0), *readings, stop(10_000, meter_stop))
    assert session.energy_wh >= 0


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=12))
def test_a_register_that_only_rises_is_believed_to_the_watt_hour(steps: list[int]) -> None:
    registers = [1000 + sum(steps[: number + 1]) for number in range(len(steps))]
    readings = [reading(number, energy_import_wh=wh) for number, wh in enumerate(registers, 1)]
    session = played(started(1000), *readings, stop(10_000, registers[-1]))
    assert (session.energy_wh, session.review) == (sum(steps), ())


def test_without_a_register_the_chargers_count_is_taken_and_without_that_the_power() -> None:
    counted = played(started(None), reading(60, session_energy_wh=300), reading(120, session_energy_wh=250))
    assert (counted.energy_wh, counted.energy_source) == (300, EnergySource.SESSION_COUNTER)
    summed = played(started(None), reading(0, power_w=6000), reading(600, power_w=12_000))
    assert (summed.energy_wh, summed.energy_source) == (1500, EnergySource.POWER_INTEGRAL)


def test_quirk_37_an_older_reading_changes_nothing_but_the_evidence() -> None:
    session = played(started(), reading(120, energy_import_wh=2000, power_w=5000))
    later = played(session, reading(60, energy_import_wh=1500, power_w=9000))
    assert replace(later, evidence=session.evidence) == session
    assert (session.evidence.late_readings, later.evidence.late_readings) == (0, 1)


def test_quirks_36_and_41_nothing_flows_after_the_stop() -> None:
    ended = played(started(), stop(60, 1500))
    assert played(ended, reading(61, energy_import_wh=1600, power_w=9000)) == ended
    assert ended.power_w == 0.0


def test_quirk_45_a_stop_sent_twice_changes_nothing() -> None:
    ended = played(started(), stop(60, 1500, "EVDisconnected"))
    assert played(ended, stop(90, 9999, "Other")) == ended


def test_a_session_that_is_superseded_waits_for_a_person_until_its_stop_comes_after_all() -> None:
    orphan = superseded(played(started(), reading(60, energy_import_wh=1500)), at(100), at(100), "no stop")
    assert (orphan.state, orphan.ended_at, orphan.review) == (SessionState.ORPHANED, at(60), ("no stop",))
    assert superseded(orphan, at(200), at(200), "again") == orphan
    ended = played(orphan, stop(90, 1800))
    assert (ended.state, ended.energy_wh) == (SessionState.ENDED, 800)


def test_a_stop_without_a_start_is_an_orphan_for_review() -> None:
    orphan = orphan_stop(stop(60, 1500, "PowerLoss"))
    assert (orphan.state, orphan.energy_wh, orphan.stop_reason) == (SessionState.ORPHANED, 0, "PowerLoss")
    assert orphan.review == ("stop without a known start",)


def test_state_of_charge_keeps_its_first_and_its_last_value() -> None:
    session = played(started(), reading(10, soc_percent=20.0), reading(20, power_w=1.0), reading(30, soc_percent=80.0))
    assert (session.soc_start_percent, session.soc_percent) == (20.0, 80.0)


def test_a_refused_token_and_an_unseen_start_are_for_review() -> None:
    assert started(accepted=False, cause="unknown token").review == ("token not accepted: unknown token",)
    assert "start not seen" in started(start_unknown=True).review[0]


def test_a_lower_register_of_the_same_second_is_an_earlier_reading() -> None:
    """Whole seconds, and a stop that repeats the first reading after the second one of that second."""
    session = played(started(1000), reading(1, energy_import_wh=1150.0), reading(1, energy_import_wh=1000.0))
    assert (session.energy_wh, session.review) == (150, ())
    session = played(session, reading(2, energy_import_wh=1200.0), stop(3, 1200))
    assert (session.energy_wh, session.review) == (200, ())


def test_a_register_that_leaps_beyond_any_cable_is_not_billed() -> None:
    session = sampled(started(), reading(60, energy_import_wh=1500.0))
    session = sampled(session, reading(120, energy_import_wh=4_294_967_295.0))
    session = sampled(session, reading(180, energy_import_wh=1700.0))
    assert session.energy_wh == 500
    assert any("register leapt" in reason for reason in session.review)
    assert stopped(session, stop(240, 1800)).energy_wh == 600, "it counts on from there"
    ended = stopped(session, stop(240, 4_294_967_295))
    assert (ended.state, ended.energy_wh) == (SessionState.ENDED, 500)


def test_a_session_that_is_superseded_did_not_charge_beyond_its_last_reading() -> None:
    session = sampled(started(charging=True), reading(60, energy_import_wh=1500.0))
    bounded = superseded(session, BEGIN + timedelta(days=3), BEGIN + timedelta(days=3), "next start")
    assert bounded.charging_s == 60


def test_a_stop_by_a_clock_that_runs_ahead_ends_when_we_heard_it() -> None:
    heard = at(600)
    ended = stopped(started(), replace(stop(0, 1500), at=heard + timedelta(hours=20), received_at=heard))
    assert 600 <= ended.duration_s(heard) <= 660
    both = started(received_at=BEGIN - timedelta(hours=20))
    ended = stopped(both, replace(stop(600, 1500), received_at=heard - timedelta(hours=20)))
    assert ended.duration_s(heard) == 600, "ahead at both ends: its own difference is right"


def test_a_session_of_weeks_goes_before_a_person() -> None:
    assert stopped(started(), stop(8 * 86_400, 1500)).review == ("longer than a week: was the charger's clock right?",)
