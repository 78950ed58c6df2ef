"""The meter and the physics of one outlet: power, register, battery, cable temperature. Pure; time is a parameter."""

from __future__ import annotations

from math import sin
from random import Random
from typing import NamedTuple

import msgspec

from bridge.demo import car as cars
from bridge.demo.car import Car

_AMBIENT_C = 21.0
_HEAT_TAU_S = 420.0
_AC_HEAT_C, _DC_HEAT_C = 34.0, 46.0  # above ambient at full load


class Outlet(msgspec.Struct, frozen=True, kw_only=True):
    """``kind``: CCS2 or Type2. ``phases`` 0 means DC."""

    kind: str
    rated_power_w: int
    phases: int = 3


class Reading(NamedTuple):
    """The meter at one instant. AC: three voltages and currents; DC: one of each."""

    at: float
    register_wh: int
    power_w: float
    voltages_v: tuple[float, ...]
    currents_a: tuple[float, ...]
    offered_w: float
    offered_a: float
    temperature_c: float
    soc_percent: float | None
    session_wh: int


class Meter:
    """``speed`` quickens the battery, never the register: that is the integral of power over real time."""

    def __init__(self, outlet: Outlet, rng: Random, speed: float) -> None:
        self.outlet, self.speed = outlet, speed
        self.register_wh = self.start_wh = float(rng.randrange(200_000, 90_000_000))
        self.power_w = self.soc_percent = 0.0
        self.temperature_c = _AMBIENT_C
        self.share = 1.0  # what load management leaves of the rated power
        self.limit_w = float("inf")  # what charging profiles leave
        self._rng, self._swing = rng, rng.random() * 6.28
        self._currents: tuple[float, ...] = ()

    @property
    def offered_w(self) -> float:
        """What load management and profiles leave of the rated power."""
        return min(self.outlet.rated_power_w * self.share, self.limit_w)

    @property
    def rated_demand_w(self) -> float:
        """What it would take without load management."""
        return self.power_w / self.share if self.share else 0.0

    def charge(self, car: Car, at: float, dt: float, since_s: float, is_cold: bool) -> None:
        """``dt`` seconds of charging from ``at``; power has been flowing for ``since_s``."""
        if self.outlet.phases:
            self._draw_ac(car, at)
        else:
            self._draw_dc(car, max(since_s, 0.0) * self.speed, is_cold)
        self.register_wh += self.power_w * dt / 3600
        efficiency = cars.AC_EFFICIENCY if self.outlet.phases else cars.DC_EFFICIENCY
        gained = self.power_w * efficiency * dt / 36 * self.speed / car.battery_wh
        self.soc_percent = min(self.soc_percent + gained, 100.0)
        self._warm(dt)

    def rest(self, dt: float) -> None:
        """``dt`` seconds without current."""
        self._warm(dt)

    def cut(self) -> None:
        """No current from now on."""
        self.power_w, self._currents = 0.0, ()

    def read(self, at: float, car: Car | None, is_offering: bool, is_in_session: bool) -> Reading:
        """What it shows at ``at``."""
        is_dc = not self.outlet.phases
        offered_w = self.offered_w if is_offering else 0.0
        voltages = (self._pack_v(car),) if is_dc else self._grid_v(at)
        across = (voltages[0] or 400.0) if is_dc else self.outlet.phases * cars.NOMINAL_V
        return Reading(
            at,
            int(self.register_wh),
            self.power_w,
            voltages,
            self._currents or ((0.0,) if is_dc else (0.0, 0.0, 0.0)),
            offered_w,
            offered_w / across,
            self.temperature_c,
            self.soc_percent if car is not None and is_in_session else None,
            int(self.register_wh) - int(self.start_wh),
        )

    def _draw_ac(self, car: Car, at: float) -> None:
        offered_a = self.offered_w / (self.outlet.phases * cars.NOMINAL_V)
        drawn_a = cars.ac_current_a(car, self.soc_percent, offered_a)
        phases = min(car.ac_phases, self.outlet.phases)
        wobble = self._rng.random
        self._currents = tuple(drawn_a * (0.985 + 0.012 * wobble()) if n < phases else 0.0 for n in range(3))
        self.power_w = sum(v * a for v, a in zip(self._grid_v(at), self._currents, strict=True))

    def _draw_dc(self, car: Car, since_s: float, is_cold: bool) -> None:
        wanted_w = cars.dc_power_w(car, self.soc_percent, since_s, is_cold)
        self.power_w = min(wanted_w, self.offered_w) * (0.994 + 0.006 * self._rng.random())
        self._currents = (self.power_w / self._pack_v(car),)

    def _grid_v(self, at: float) -> tuple[float, float, float]:
        """230 V with a slow swing of its own for each phase; the same instant reads the same."""
        t = at / 700 + self._swing
        return (231.0 + 1.6 * sin(t) + 0.3 * sin(at), 230.2 + 1.4 * sin(t + 2), 230.7 + 1.5 * sin(t + 4))

    def _pack_v(self, car: Car | None) -> float:
        return cars.pack_voltage_v(car, self.soc_percent) if car is not None else 0.0

    def _warm(self, dt: float) -> None:
        load = self.power_w / self.outlet.rated_power_w
        target = _AMBIENT_C + (_AC_HEAT_C if self.outlet.phases else _DC_HEAT_C) * load * load
        self.temperature_c += (target - self.temperature_c) * min(1.0, dt / _HEAT_TAU_S)
