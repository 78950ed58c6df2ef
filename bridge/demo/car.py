"""Cars, and how much power each takes: pure, no clock, no randomness of its own.

AC: the car's on-board charger sets phases and current, and eases off in the last percents.
DC: a curve over the state of charge with its knee at 55-80 %, a ramp at the start, and a cold battery that
takes less until the charging itself has warmed it.
"""

from __future__ import annotations

from bisect import bisect_right

import msgspec

AC_EFFICIENCY = 0.90  # meter to battery
DC_EFFICIENCY = 0.95
NOMINAL_V = 230.0
_AC_TAPER_FROM = 96.0
_AC_TAPER_FLOOR = 0.35
_RAMP_S = 25.0  # a DC session reaches its power in about this time
_COLD_SHARE = 0.45
_WARM_UP_S = 600.0


class Car(msgspec.Struct, frozen=True, kw_only=True):
    """A type of car. ``dc_curve``: (SoC in %, share of ``dc_power_w``) with rising SoC, linear between.
    ``pack_v``: battery voltage at 0 and 100 %. ``dc_power_w`` 0: no DC inlet."""

    name: str
    battery_wh: int
    ac_phases: int
    ac_current_a: float
    dc_power_w: int = 0
    dc_curve: tuple[tuple[float, float], ...] = ()
    pack_v: tuple[float, float] = (330.0, 400.0)

    @property
    def knee_percent(self) -> float:
        """SoC above which the DC power only falls."""
        top = max((share for _, share in self.dc_curve), default=0.0)
        return max((soc for soc, share in self.dc_curve if share == top), default=0.0)


_EARLY = ((0, 0.75), (8, 1.0), (55, 1.0), (70, 0.68), (80, 0.48), (90, 0.22), (100, 0.05))
_FLAT = ((0, 0.8), (5, 1.0), (60, 1.0), (78, 0.92), (82, 0.55), (90, 0.3), (100, 0.06))
_STEPS = ((0, 0.7), (10, 1.0), (58, 0.97), (59, 0.75), (72, 0.7), (80, 0.4), (95, 0.14), (100, 0.05))
_BUS = ((0, 0.9), (4, 1.0), (80, 1.0), (90, 0.5), (100, 0.1))

CARS: dict[str, Car] = {
    car.name: car
    for car in (
        Car(name="plug-in hybrid", battery_wh=14_000, ac_phases=1, ac_current_a=16),
        Car(
            name="city car", battery_wh=37_000, ac_phases=1, ac_current_a=32, dc_power_w=50_000, dc_curve=_EARLY
        ),
        Car(
            name="compact", battery_wh=58_000, ac_phases=3, ac_current_a=16, dc_power_w=120_000, dc_curve=_EARLY
        ),
        Car(
            name="family car", battery_wh=77_000, ac_phases=3, ac_current_a=16, dc_power_w=170_000, dc_curve=_STEPS
        ),
        Car(
            name="fast tourer",
            battery_wh=84_000,
            ac_phases=3,
            ac_current_a=16,
            dc_power_w=240_000,
            dc_curve=_FLAT,
            pack_v=(620.0, 800.0),
        ),
        Car(
            name="large saloon",
            battery_wh=105_000,
            ac_phases=3,
            ac_current_a=32,
            dc_power_w=270_000,
            dc_curve=_FLAT,
            pack_v=(650.0, 815.0),
        ),
        Car(
            name="delivery van", battery_wh=75_000, ac_phases=3, ac_current_a=16, dc_power_w=110_000, dc_curve=_EARLY
        ),
        Car(
            name="bus",
            battery_wh=350_000,
            ac_phases=3,
            ac_current_a=32,
            dc_power_w=150_000,
            dc_curve=_BUS,
            pack_v=(600.0, 720.0),
        ),
    )
}


def curve_share(car: Car, soc_percent: float) -> float:
    """Share of the car's DC power at this SoC, 0..1."""
    curve = car.dc_curve
    place = bisect_right(curve, soc_percent, key=lambda point: point[0])
    if place == 0:
        return curve[0][1]
    if place == len(curve):
        return curve[-1][1]
    (low, share_low), (high, share_high) = curve[place - 1], curve[place]
    return share_low + (share_high - share_low) * (soc_percent - low) / (high - low)


def dc_power_w(car: Car, soc_percent: float, charging_s: float, is_cold: bool) -> float:
    """What the car asks of a DC charger, ``charging_s`` seconds into the session."""
    warmth = min(1.0, _COLD_SHARE + (1 - _COLD_SHARE) * charging_s / _WARM_UP_S) if is_cold else 1.0
    return car.dc_power_w * curve_share(car, soc_percent) * warmth * min(1.0, 0.04 + charging_s / _RAMP_S)


def ac_current_a(car: Car, soc_percent: float, offered_a: float) -> float:
    """Current a phase the car draws of an AC charger that offers ``offered_a``; below 6 A it draws none
    (IEC 61851-1 Annex A)."""
    current = min(car.ac_current_a, offered_a)
    if current < 6.0:
        return 0.0
    if soc_percent <= _AC_TAPER_FROM:
        return current
    rest = (100.0 - soc_percent) / (100.0 - _AC_TAPER_FROM)
    return max(current * (_AC_TAPER_FLOOR + (1 - _AC_TAPER_FLOOR) * rest), 6.0 * rest)


def pack_voltage_v(car: Car, soc_percent: float) -> float:
    """Battery voltage, straight between empty and full."""
    low, high = car.pack_v
    return low + (high - low) * soc_percent / 100.0
