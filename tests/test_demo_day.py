"""The demo's cars, days and bays: physics and behaviour, without any socket."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bridge.demo.bay import Bay, Began, StatusIs, Stopped, live_alone
from bridge.demo.car import AC_EFFICIENCY, CARS, Car, ac_current_a, curve_share, dc_power_w
from bridge.demo.day import KINDS, REFUSED_CARDS, TROUBLES, draw_visit, until_arrival_s
from bridge.demo.meter import Outlet, Reading
from bridge.events import ConnectorStatus

T0 = 1_700_000_000.0
DAY_S = 86_400.0
AC = Outlet(kind="Type2", rated_power_w=22_000)
DC = Outlet(kind="CCS2", rated_power_w=150_000, phases=0)
DC_CARS = [car for car in CARS.values() if car.dc_power_w]


def a_bay(outlet: Outlet = AC, kind: str = "mall", seed: int = 1, speed: float = 1.0) -> Bay:
    return Bay(outlet, KINDS[kind], Random(seed), T0, speed=speed)


def charging(outlet: Outlet, seed: int = 1, speed: float = 1.0) -> Bay:
    """A bay at T0 whose session has just begun."""
    bay = a_bay(outlet, seed=seed, speed=speed)
    assert bay.remote_start(T0, "CARD")
    assert bay.visit is not None
    bay.visit = replace(bay.visit, trouble=None, pause_after_s=None)
    bay.advance(T0 + 7)
    assert bay.status is ConnectorStatus.CHARGING
    return bay


@pytest.mark.parametrize("car", DC_CARS, ids=lambda car: car.name)
def test_dc_power_only_falls_above_the_knee(car: Car) -> None:
    socs = [car.knee_percent + n * (100 - car.knee_percent) / 200 for n in range(201)]
    powers = [dc_power_w(car, soc, 1000, False) for soc in socs]
    assert all(a >= b for a, b in pairwise(powers))
    assert powers[-1] < 0.15 * powers[0]


@pytest.mark.parametrize("car", DC_CARS, ids=lambda car: car.name)
def test_the_taper_begins_no_later_than_80_percent(car: Car) -> None:
    assert curve_share(car, 85) < curve_share(car, 50)


def test_a_cold_battery_takes_less_until_it_is_warm() -> None:
    car = CARS["family car"]
    assert dc_power_w(car, 30, 60, True) < 0.6 * dc_power_w(car, 30, 60, False)
    assert dc_power_w(car, 30, 600, True) == dc_power_w(car, 30, 600, False)


@pytest.mark.parametrize(("offered_a", "drawn_a"), [(32.0, 16.0), (10.0, 10.0), (5.9, 0.0)])
def test_a_car_draws_what_both_sides_allow_and_nothing_below_6_a(offered_a: float, drawn_a: float) -> None:
    assert ac_current_a(CARS["compact"], 50, offered_a) == drawn_a


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), is_dc=st.booleans(), speed=st.sampled_from([1.0, 20.0]))
def test_the_register_is_the_integral_of_the_reported_power(seed: int, is_dc: bool, speed: float) -> None:
    bay = charging(DC if is_dc else AC, seed, speed)
    begin = bay.reading(T0 + 7).register_wh
    integral_wh = 0.0
    for step in range(1, 400):
        bay.advance(T0 + 7 + 5 * step)
        if bay.status is not ConnectorStatus.CHARGING:
            break
        reading = bay.reading(T0 + 7 + 5 * step)
        integral_wh += reading.power_w * 5 / 3600
        assert reading.register_wh - begin == pytest.approx(integral_wh, abs=1.5)


def test_power_is_volts_times_amperes() -> None:
    for outlet in (AC, DC):
        bay = charging(outlet)
        for step in range(1, 100):
            bay.advance(T0 + 7 + 10 * step)
            reading = bay.reading(T0 + 7 + 10 * step)
            product = sum(v * a for v, a in zip(reading.voltages_v, reading.currents_a, strict=True))
            assert product == pytest.approx(reading.power_w, rel=0.02, abs=20)


def test_the_battery_gains_what_the_meter_gave_less_the_losses() -> None:
    bay = charging(AC)
    assert bay.visit is not None
    soc, register = bay.meter.soc_percent, bay.meter.register_wh
    for step in range(1, 121):
        bay.advance(T0 + 7 + 5 * step)
    gained_wh = (bay.meter.soc_percent - soc) / 100 * bay.visit.car.battery_wh
    assert gained_wh == pytest.approx((bay.meter.register_wh - register) * AC_EFFICIENCY, rel=1e-6)
    assert gained_wh > 0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(sorted(KINDS)), is_dc=st.booleans())
def test_over_days_no_battery_overflows_and_no_register_falls(seed: int, kind: str, is_dc: bool) -> None:
    bay = a_bay(DC if is_dc else AC, kind, seed)
    bay.step_s = 60.0
    register = bay.meter.register_wh
    for news in live_alone(bay, T0 + 2 * DAY_S, 600):
        assert bay.meter.soc_percent <= 100
        assert bay.meter.power_w <= bay.meter.outlet.rated_power_w * 1.02
        if isinstance(news, Reading):
            assert news.register_wh >= int(register)
            register = news.register_wh


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(sorted(KINDS)))
def test_every_session_has_one_start_and_one_stop_in_time_order(seed: int, kind: str) -> None:
    bay = a_bay(AC, kind, seed)
    bay.step_s = 60.0
    is_running, last = False, T0
    for news in live_alone(bay, T0 + 3 * DAY_S):
        assert news.at >= last
        last = news.at
        if isinstance(news, Began):
            assert not is_running
            is_running = True
        elif isinstance(news, Stopped):
            assert is_running
            is_running = False
        elif isinstance(news, StatusIs) and news.status in (ConnectorStatus.AVAILABLE, ConnectorStatus.FAULTED):
            assert not is_running
    assert bay.has_transaction is is_running


def test_the_same_seed_gives_the_same_day_and_another_seed_another() -> None:
    days = [list(live_alone(a_bay(AC, "mall", seed), T0 + DAY_S, 600)) for seed in (7, 7, 8)]
    assert days[0] == days[1] != days[2]
    assert len(days[0]) > 20


def test_depots_fill_in_the_evening_and_offices_in_the_morning() -> None:
    def share_of_arrivals(kind: str, hours: range) -> float:
        rng, local_s, within, all_of = Random(3), 0.0, 0, 0
        while local_s < 200 * DAY_S:
            local_s += until_arrival_s(rng, KINDS[kind], local_s % DAY_S)
            all_of += 1
            within += int(local_s % DAY_S // 3600) in hours
        return within / all_of

    assert share_of_arrivals("depot", range(16, 24)) > 0.6
    assert share_of_arrivals("office", range(6, 10)) > 0.6


def test_only_cars_with_a_dc_inlet_come_to_dc_bays() -> None:
    rng = Random(5)
    assert all(draw_visit(rng, KINDS["mall"], True).car.dc_power_w > 0 for _ in range(300))


def test_a_full_car_stays_plugged_in_without_drawing_power() -> None:
    bay = a_bay(AC, "airport", 2)
    bay.step_s = 60.0
    for news in live_alone(bay, T0 + 10 * DAY_S):
        if isinstance(news, StatusIs) and news.status is ConnectorStatus.SUSPENDED_EV:
            assert bay.meter.power_w == 0
            return
    pytest.fail("no car ever became full")


def test_a_refused_card_starts_nothing() -> None:
    bay = a_bay()
    bay.bring(T0, REFUSED_CARDS[0])
    news = list(live_alone(bay, T0 + 60))
    assert not any(isinstance(entry, Began) and entry.token in REFUSED_CARDS for entry in news)


def test_a_fault_ends_the_session_and_is_cleared_in_time() -> None:
    bay = charging(AC)
    trouble = TROUBLES[0][0]
    bay.break_down(T0 + 100, trouble)
    stopped, status = bay.advance(T0 + 100)
    assert isinstance(stopped, Stopped)
    assert stopped.reason == trouble.stop_reason
    assert status == StatusIs(T0 + 100, ConnectorStatus.FAULTED, trouble.error_code, trouble.info, trouble.vendor_code)
    cleared = bay.advance(T0 + 100 + trouble.lasts_s)
    assert cleared == [StatusIs(T0 + 100 + trouble.lasts_s, ConnectorStatus.AVAILABLE)]


def test_load_management_pauses_and_the_flow_comes_back() -> None:
    bay = charging(AC)
    assert bay.pause(T0 + 60, 120)
    bay.advance(T0 + 61)
    assert (bay.status, bay.meter.power_w) == (ConnectorStatus.SUSPENDED_EVSE, 0.0)
    bay.advance(T0 + 200)
    assert bay.status is ConnectorStatus.CHARGING
    assert bay.meter.power_w > 0


def test_speed_quickens_the_battery_but_never_the_meter() -> None:
    gained_wh, gained_soc = [], []
    for speed in (1.0, 10.0):
        bay = charging(AC, 4, speed)
        register, soc = bay.meter.register_wh, bay.meter.soc_percent
        bay.advance(T0 + 67)
        gained_wh.append(bay.meter.register_wh - register)
        gained_soc.append(bay.meter.soc_percent - soc)
    assert gained_wh[1] == pytest.approx(gained_wh[0], rel=0.02)
    assert gained_soc[1] == pytest.approx(10 * gained_soc[0], rel=0.02)
