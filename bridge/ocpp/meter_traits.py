"""What the readings of one meter give away about its units and its phases. Pure; times and values in, findings out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

Finding = tuple[str, str, dict[str, Any]]  # key, words, policy: a ``Trait``

_REGISTER, _POWER = "energy_import_wh", "power_w"
_L1, _L2, _L3 = "power_w_l1", "power_w_l2", "power_w_l3"
_WINDOW_WH = 2_000  # whole kWh must show
_WINDOWS = 2
_GAP_S = 600.0
_USUAL_W = (1_000.0, 1_000_000.0)
_LOOKS = 5
_LEAST_PHASE_W = 300.0


class MeterWatch:
    """Compares the register with power over time, window by window, and the phases with each other."""

    def __init__(self) -> None:
        self._at: datetime | None = None
        self._register = self._power = self._phase_sum = 0.0
        self._gained = self._by_power = self._by_phases = 0.0
        self._hours = 0.0
        self._verdict, self._verdicts = "", 0
        self._l1_looks = 0

    def look(self, at: datetime, values: dict[str, float]) -> list[Finding]:
        found = self._phases(values) if _L2 in values else []
        register, power = values.get(_REGISTER), values.get(_POWER)
        if register is None or power is None:
            return found
        has_phases = _L1 in values and _L2 in values and _L3 in values
        phase_sum = values[_L1] + values[_L2] + values[_L3] if has_phases else 0.0
        since_s = 0.0 if self._at is None else (at - self._at).total_seconds()
        if not 0.0 < since_s < _GAP_S or register < self._register:
            self._gained = self._by_power = self._by_phases = self._hours = 0.0
        else:
            hours = since_s / 3600
            self._hours += hours
            self._gained += register - self._register
            self._by_power += (power + self._power) / 2 * hours
            self._by_phases += (phase_sum + self._phase_sum) / 2 * hours
        self._at, self._register, self._power, self._phase_sum = at, register, power, phase_sum
        return found if max(self._gained, self._by_power) < _WINDOW_WH else [*found, *self._judge()]

    def _judge(self) -> list[Finding]:
        """Two windows that say the same are enough."""
        gained, by_power, by_phases, hours = self._gained, self._by_power, self._by_phases, self._hours
        self._gained = self._by_power = self._by_phases = self._hours = 0.0
        finding = unit_finding(gained, by_power, hours) or total_finding(gained, by_power, by_phases)
        verdict = "" if finding is None else finding[0] + repr(finding[2])
        self._verdicts = self._verdicts + 1 if verdict == self._verdict else 1
        self._verdict = verdict
        return [finding] if finding is not None and self._verdicts >= _WINDOWS else []

    def _phases(self, values: dict[str, float]) -> list[Finding]:
        powers = values.get(_L1, 0.0), values.get(_L2, 0.0), values.get(_L3, 0.0)
        self._l1_looks = self._l1_looks + 1 if is_first_the_total(*powers) else 0
        if self._l1_looks < _LOOKS:
            return []
        said = "power on L1 is {:.0f} W beside {:.0f} W on L2 and {:.0f} W on L3: L1 is the total".format(*powers)
        return [("phase_total", said, {"phase_total": "l1_is_total"})]


def unit_finding(gained_wh: float, by_power_wh: float, hours: float) -> Finding | None:
    """A thousand off either way; whichever of the two is then no usual power is in the wrong unit."""
    if gained_wh <= 0 or by_power_wh <= 0 or hours <= 0:
        return None
    factor, power_w = gained_wh / by_power_wh, by_power_wh / hours
    said = f"the register rose by {gained_wh:.3g} Wh while power over time gives {by_power_wh:.3g} Wh"
    is_usual = _USUAL_W[0] <= power_w <= _USUAL_W[1]
    if 1 / 2000 < factor < 1 / 500:
        policy = {"energy_unit": "kwh"} if is_usual else {"power_unit": "w"}
    elif 500 < factor < 2000:
        policy = {"energy_unit": "wh"} if is_usual else {"power_unit": "kw"}
    else:
        return None
    return next(iter(policy)), f"{said}: a thousand apart", policy


def total_finding(gained_wh: float, by_power_wh: float, by_phases_wh: float) -> Finding | None:
    """A total that is not the sum of its phases (field quirk 33): the register says which of them is right."""
    if by_phases_wh <= 0 or abs(by_power_wh - by_phases_wh) < 0.2 * max(by_power_wh, by_phases_wh):
        return None
    said = (
        f"the total power gives {by_power_wh:.3g} Wh, its phases {by_phases_wh:.3g} Wh, the register {gained_wh:.3g} Wh"
    )
    if abs(gained_wh - by_phases_wh) <= 0.1 * by_phases_wh:
        return "phase_total", f"{said}: the phases are right", {"phase_total": "sum"}
    return "phase_total", f"{said}: the total and its phases contradict each other", {}


def is_first_the_total(l1_w: float, l2_w: float, l3_w: float) -> bool:
    """Three even phases of which the first says all (field quirk 31)."""
    if min(l2_w, l3_w) < _LEAST_PHASE_W:
        return False
    is_even = abs(l2_w - l3_w) <= 0.1 * max(l2_w, l3_w)
    return is_even and abs(l1_w - 3 * (l2_w + l3_w) / 2) <= 0.1 * l1_w
