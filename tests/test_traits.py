"""Habits that figures give away: what is noticed, what is not, and that the policy told of puts it right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ocpp_world import Desk, desk
from quirks_world import BOOT_16, NOW, POWER, at, journaled, meter, sample, start, station, status, stop, traits, when

from bridge.book import Book
from bridge.command_bus import CommandOutcome
from bridge.events import DetailsReported, MeterSampled, StationBooted
from bridge.ocpp import v16
from bridge.ocpp.meter_traits import MeterWatch, is_first_the_total, total_finding, unit_finding
from bridge.ocpp.traits import Watch

PHASES = ("L1", "L2", "L3")
Said = Callable[[float, float], list[dict[str, Any]]]  # (register in Wh, power in W) -> samples


def charge(there: Desk, said: Said, minutes: int = 60, power_w: float = 11_000.0) -> None:
    """An hour of charging, told every half minute by these words."""
    there.say("BootNotification", BOOT_16, when(-7_200))
    begun = {"connectorId": 1, "idTag": "CARD", "meterStart": 5_000_000, "timestamp": at(-7_100)}
    transaction = there.say("StartTransaction", begun, when(-7_100))["transactionId"]
    for half_minute in range(2 * minutes):
        wh = 5_000_000 + power_w * half_minute / 120
        meter(there, -7_000 + 30 * half_minute, *said(wh, power_w), transaction=transaction, live=True)


def plain(wh: float, w: float) -> list[dict[str, Any]]:
    return [sample(f"{wh:.0f}"), sample(w, POWER)]


def kwh_as_wh(wh: float, w: float) -> list[dict[str, Any]]:
    return [sample(f"{wh / 1000:.0f}", unit="Wh"), sample(w, POWER)]


def wh_as_kwh(wh: float, w: float) -> list[dict[str, Any]]:
    return [sample(wh, unit="kWh"), sample(w, POWER)]


def kw_as_w(wh: float, w: float) -> list[dict[str, Any]]:
    return [sample(wh), sample(w / 1000, POWER, unit="W")]


def w_as_kw(wh: float, w: float) -> list[dict[str, Any]]:
    return [sample(wh), sample(w, POWER, unit="kW")]


def total_on_l1(wh: float, w: float) -> list[dict[str, Any]]:
    return [sample(wh), *(sample(x, POWER, phase=phase) for phase, x in zip(PHASES, (w, w / 3, w / 3), strict=True))]


def wrong_total(wh: float, w: float) -> list[dict[str, Any]]:
    return [sample(wh), sample(w / 3, POWER), *(sample(w / 3, POWER, phase=phase) for phase in PHASES)]


@pytest.mark.parametrize(
    ("said", "key", "policy"),
    [
        (kwh_as_wh, "energy_unit", {"energy_unit": "kwh"}),
        (wh_as_kwh, "energy_unit", {"energy_unit": "wh"}),
        (kw_as_w, "power_unit", {"power_unit": "kw"}),
        (w_as_kw, "power_unit", {"power_unit": "w"}),
        (total_on_l1, "phase_total", {"phase_total": "l1_is_total"}),
        (wrong_total, "phase_total", {"phase_total": "sum"}),
    ],
)
def test_a_meter_that_speaks_in_its_own_way_is_noticed_and_read_rightly_by_the_policy_told(
    tmp_path: Path, said: Said, key: str, policy: dict[str, Any]
) -> None:
    with desk(tmp_path / "before", v16.VERSION) as there:
        charge(there, said)
        found = traits(there)
        assert list(found) == [key]
        assert found[key].body["policy"] == policy
        assert found[key].body["said"]
        assert sum(key in str(event) for event in _told(there)) == 1, "once"
    with station(tmp_path / "after", **policy) as there:
        charge(there, said)
        assert traits(there) == {}
        (session,) = there.sessions
        assert (session.energy_wh, session.review) == (pytest.approx(10_908, abs=1_000), ())
        assert session.power_w == pytest.approx(11_000.0)


def _told(there: Desk) -> list[DetailsReported]:
    return [event for event in journaled(there) if isinstance(event, DetailsReported)]


def test_a_meter_that_speaks_plainly_is_left_alone(tmp_path: Path) -> None:
    def by_phases(wh: float, w: float) -> list[dict[str, Any]]:
        return [sample(wh), sample(w, POWER), *(sample(w / 3, POWER, phase=phase) for phase in PHASES)]

    def on_one_phase(wh: float, w: float) -> list[dict[str, Any]]:
        return [sample(wh), *(sample(x, POWER, phase=phase) for phase, x in zip(PHASES, (w, 0, 0), strict=True))]

    for number, said in enumerate((plain, by_phases, on_one_phase)):
        with desk(tmp_path / str(number), v16.VERSION) as there:
            charge(there, said)
            assert traits(there) == {}


@pytest.mark.parametrize("stop_wh", [4_077_500, 1_500])
def test_a_register_that_restarts_is_noticed_by_one_plain_session_or_by_two(tmp_path: Path, stop_wh: int) -> None:
    with desk(tmp_path, v16.VERSION) as there:
        for number in range(2):
            transaction = start(there, meter=4_076_000, seconds=-900 + number)
            meter(there, -500, "104", transaction=transaction)
            meter(there, -400, "1353", transaction=transaction)
            stop(there, transaction, stop_wh, -300 + number)
            assert ("register" in traits(there)) is (number == 1 or stop_wh > 4_000_000)
        assert traits(there)["register"].body["policy"] == {"register": "session"}


def test_a_meter_that_was_reset_once_is_no_habit(tmp_path: Path) -> None:
    with desk(tmp_path, v16.VERSION) as there:
        first = start(there, meter=90_000, seconds=-900)
        meter(there, -800, "200", transaction=first)
        stop(there, first, 700, -700)
        second = start(there, meter=700, seconds=-600)
        meter(there, -500, "900", transaction=second)
        stop(there, second, 1_500)
        assert traits(there) == {}


def test_a_start_that_is_not_the_registers_is_noticed(tmp_path: Path) -> None:
    with desk(tmp_path, v16.VERSION) as there:
        transaction = start(there, meter=0)
        meter(there, -590, "939000", transaction=transaction)
        stop(there, transaction, 941_000)
        assert traits(there)["meter_start"].body["policy"] == {"meter_start": "first_reading"}


@pytest.mark.parametrize(
    ("ahead_s", "words"),
    [(7_200, "2 h 00 min ahead"), (-18_000, "5 h 00 min behind"), (20_700, "5 h 45 min ahead"), (400, ""), (0, "")],
)
def test_a_clock_on_local_time_is_noticed(tmp_path: Path, ahead_s: int, words: str) -> None:
    with desk(tmp_path, v16.VERSION) as there:
        there.say("BootNotification", BOOT_16, when(-3_600))
        for minute in range(30):
            there.intake.book.beat()
            payload = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
            now = when(60 * minute - 3_600)
            there.say("StatusNotification", payload | {"timestamp": at(60 * minute - 3_603 + ahead_s)}, now)
        found = traits(there)
        assert (words in found["clock"].body["said"]) if words else found == {}


def test_a_queue_that_is_late_by_the_quarter_hour_is_no_clock(tmp_path: Path) -> None:
    with desk(tmp_path, v16.VERSION) as there:
        there.say("BootNotification", BOOT_16, when(-3_600))
        for minute in range(30):
            there.intake.book.beat()
            status(there, "Available", -900 - 60 * minute)
        assert traits(there) == {}


def test_boots_are_counted_where_they_are_many_and_not_while_a_station_waits() -> None:
    watch, book = Watch(), Book("test")
    told = []
    for hour in range(20):
        now = NOW + timedelta(hours=hour)
        told += watch.look("CP", [StationBooted(station="CP", at=now, received_at=now)], now, book)
    assert told == []


def test_a_station_that_answers_in_between_is_not_deaf() -> None:
    watch = Watch()
    for outcome in (CommandOutcome.TIMEOUT, CommandOutcome.TIMEOUT, CommandOutcome.REFUSED) * 3:
        assert watch.called("CP", outcome, NOW) == []
    for _ in range(2):
        assert watch.called("CP", CommandOutcome.OFFLINE, NOW) == []


def test_looks_are_paced_and_meters_are_bounded() -> None:
    watch, book = Watch(), Book("test")
    for second in range(310):
        now = NOW + timedelta(seconds=second)
        if now >= watch.due:
            watch.look("CP", [], now, book)
    assert watch.due > NOW + timedelta(seconds=290)
    values = {"power_w": 1.0, "energy_import_wh": 1.0}
    fresh = Watch()
    for evse in range(1_000):
        event = MeterSampled(station="CP", at=NOW, received_at=NOW, evse=evse, values=values)
        fresh.look("CP", [event], NOW, book)
    assert len(fresh._meters) == 64


@pytest.mark.parametrize(
    ("gained", "by_power", "hours", "policy"),
    [
        (2_000.0, 2_000.0, 0.2, None),
        (2.0, 2_000.0, 0.2, {"energy_unit": "kwh"}),
        (2_000_000.0, 2_000.0, 0.2, {"energy_unit": "wh"}),
        (2_000.0, 2.0, 0.2, {"power_unit": "kw"}),
        (2_000.0, 2_000_000.0, 0.2, {"power_unit": "w"}),
        (0.0, 2_000.0, 0.2, None),
        (2_000.0, 0.0, 0.2, None),
        (100.0, 2_000.0, 0.2, None),
    ],
)
def test_a_thousand_apart_is_a_unit(gained: float, by_power: float, hours: float, policy: Any) -> None:
    found = unit_finding(gained, by_power, hours)
    assert (None if found is None else found[2]) == policy


def test_the_register_decides_between_a_total_and_its_phases() -> None:
    assert total_finding(3_000.0, 1_000.0, 3_000.0) is not None
    assert total_finding(3_000.0, 3_000.0, 3_000.0) is None
    undecided = total_finding(2_000.0, 1_000.0, 3_000.0)
    assert undecided is not None
    assert undecided[2] == {}
    assert total_finding(1_000.0, 1_000.0, 0.0) is None


def test_only_three_even_phases_show_a_total_on_the_first() -> None:
    assert is_first_the_total(9_000.0, 3_000.0, 3_000.0)
    assert not is_first_the_total(3_680.0, 0.0, 0.0)
    assert not is_first_the_total(9_000.0, 3_000.0, 1_000.0)
    assert not is_first_the_total(600.0, 200.0, 200.0)


def test_a_gap_or_a_fall_begins_anew() -> None:
    watch = MeterWatch()
    for minute, wh in ((0, 0.0), (1, 5.0), (30, 9.0), (31, 2.0), (32, 1e7)):
        assert watch.look(NOW + timedelta(minutes=minute), {"energy_import_wh": wh, "power_w": 5.0}) == []


def test_noticing_that_fails_loses_no_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(MeterWatch, "look", broken)
    with desk(tmp_path, v16.VERSION) as there:
        charge(there, plain, minutes=5)
        assert [session.energy_wh for session in there.sessions] == [pytest.approx(825, abs=2)]
