"""A session's samples as lines to draw: power, offer, battery, energy and cost on the device's own time. Pure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from bridge.billing.price import Tariff, total
from bridge.session import Session
from bridge.stores.telemetry import Sample

MOST_POINTS = 2_500
_DRAWN = ("power_w", "power_offered_w", "soc_percent")
_MOMENT = timedelta(milliseconds=1)
_LEAST_GAP = timedelta(seconds=90)


class Gap(NamedTuple):
    """No sample between ``start`` and ``end``."""

    start: datetime
    end: datetime


class Curve(NamedTuple):
    """Parallel lists by ``at``. Power in W, battery in percent, energy in Wh since the start, cost gross.
    ``None`` stands at both edges of each gap, so no line is drawn over time without data; a quantity that comes less
    often than the others keeps its last value between."""

    at: list[datetime]
    power_w: list[float | None]
    offered_w: list[float | None]
    soc_percent: list[float | None]
    energy_wh: list[float | None]
    cost: list[float | None]
    gaps: list[Gap]
    step_s: float | None  # usual time between samples
    late: int  # how many came by a queue


def curve_of(session: Session, samples: Sequence[Sample], tariff: Tariff | None, rated_w: float | None) -> Curve:
    """Lines of ``samples`` (in device-time order). ``rated_w`` stands in where the charger offers no figure."""
    step = _usual_step(samples)
    found = Curve([], [], [], [], [], [], _gaps(samples, step), step, sum(s.is_late for s in samples))
    ends = {gap.end: gap for gap in found.gaps}
    counter = _EnergyCounter(session)
    held: dict[str, float] = {}
    kept = set(range(0, len(samples), max(1, len(samples) // MOST_POINTS))) | {len(samples) - 1}
    for number, sample in enumerate(samples):
        energy = counter.after(sample)
        if gap := ends.get(sample.at):
            _append(found, gap.start + _MOMENT)
            _append(found, gap.end - _MOMENT)
        held |= {name: sample.values[name] for name in _DRAWN if name in sample.values}
        if number in kept or gap:
            _append(found, sample.at, held, energy, _cost(session, tariff, energy, sample.at), rated_w)
    return found


def _append(
    curve: Curve,
    at: datetime,
    values: dict[str, float] | None = None,
    energy_wh: float | None = None,
    cost: float | None = None,
    rated_w: float | None = None,
) -> None:
    values = values or {}
    curve.at.append(at)
    curve.power_w.append(values.get("power_w"))
    curve.offered_w.append(values.get("power_offered_w", rated_w))
    curve.soc_percent.append(values.get("soc_percent"))
    curve.energy_wh.append(energy_wh)
    curve.cost.append(cost)


def _usual_step(samples: Sequence[Sample]) -> float | None:
    if len(samples) < 3:
        return None
    steps = [(b.at - a.at).total_seconds() for a, b in itertools.pairwise(samples)]
    return statistics.median(steps)


def _gaps(samples: Sequence[Sample], step_s: float | None) -> list[Gap]:
    if step_s is None:
        return []
    longest = max(_LEAST_GAP, timedelta(seconds=4 * step_s))
    pairs = itertools.pairwise(samples)
    return [Gap(a.at, b.at) for a, b in pairs if b.at - a.at > longest]


class _EnergyCounter:
    """Energy since the start, by the best that the sample tells: register, session counter, power over time."""

    def __init__(self, session: Session) -> None:
        self._start = session.meter_start_wh
        self._carried = 0.0
        self._register: float | None = None
        self._integral = 0.0
        self._before: tuple[datetime, float] | None = None

    def after(self, sample: Sample) -> float | None:
        register, counted = sample.values.get("energy_import_wh"), sample.values.get("session_energy_wh")
        power = sample.values.get("power_w")
        if power is not None:
            if self._before is not None:
                self._integral += self._before[1] * (sample.at - self._before[0]).total_seconds() / 3600
            self._before = (sample.at, power)
        if register is not None:
            return self._by_register(register)
        if counted is not None:
            return counted
        return self._integral if power is not None and self._register is None else None

    def _by_register(self, register: float) -> float:
        if self._start is None:
            self._start = int(register)
        if self._register is not None and register < self._register:  # the meter restarted
            self._carried += self._register - self._start
            self._start = int(register)
        self._register = register
        return self._carried + register - self._start


def _cost(session: Session, tariff: Tariff | None, energy_wh: float | None, at: datetime) -> float | None:
    """A float is enough to draw with; what is billed comes from ``price`` alone."""
    if tariff is None or energy_wh is None:
        return None
    seconds = max(0, int((at - session.started_at).total_seconds()))
    return float(total(tariff, max(0, int(energy_wh)), seconds))
