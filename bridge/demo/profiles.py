"""Charging profiles of a virtual station, and what they leave of the power at a moment.

Source: OCPP 1.6 section 3.13, 2.0.1 part 2 section K. One profile for each place, purpose and stack level; the highest
level prevails; a session's own profile stands before the default, and the station's maximum above both.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from bridge.demo.car import NOMINAL_V
from bridge.demo.meter import Outlet

MAX_STACK = 9
_DC_V = 400.0
_RECURRING_S = {"Daily": 86_400.0, "Weekly": 604_800.0}
_PURPOSES = {
    "ChargePointMaxProfile": "max",
    "ChargingStationMaxProfile": "max",
    "ChargingStationExternalConstraints": "max",
    "TxDefaultProfile": "default",
    "TxProfile": "tx",
}


class Period(NamedTuple):
    start_s: float
    limit: float
    phases: int | None


class Profile(NamedTuple):
    """``said`` is the profile as it came, to be reported again."""

    id: int
    evse: int
    stack: int
    purpose: str
    transaction: str
    unit: str
    starts_at: float | None  # None: relative to the session
    every_s: float | None
    duration_s: float | None
    periods: tuple[Period, ...]
    said: dict[str, Any]

    def limit(self, at: float, began_at: float) -> Period | None:
        """The period that holds at ``at``."""
        since = at - (began_at if self.starts_at is None else self.starts_at)
        if self.every_s is not None:
            since %= self.every_s
        if since < 0 or (self.duration_s is not None and since >= self.duration_s):
            return None
        holding = [period for period in self.periods if period.start_s <= since]
        return holding[-1] if holding else None


def profile_of(evse: int, said: dict[str, Any]) -> Profile:
    """Of either version's payload. Raises KeyError, TypeError, ValueError."""
    schedule = said["chargingSchedule"]
    schedule = schedule[0] if isinstance(schedule, list) else schedule
    kind, start = said["chargingProfileKind"], schedule.get("startSchedule")
    periods = [
        Period(float(p["startPeriod"]), float(p["limit"]), p.get("numberPhases"))
        for p in schedule["chargingSchedulePeriod"]
    ]
    return Profile(
        id=int(said.get("chargingProfileId", said.get("id", 0))),
        evse=evse,
        stack=int(said["stackLevel"]),
        purpose=_PURPOSES[said["chargingProfilePurpose"]],
        transaction=str(said.get("transactionId", "")),
        unit=schedule["chargingRateUnit"],
        starts_at=None if kind == "Relative" or not start else datetime.fromisoformat(start).timestamp(),
        every_s=_RECURRING_S[said["recurrencyKind"]] if kind == "Recurring" else None,
        duration_s=schedule.get("duration"),
        periods=tuple(sorted(periods)),
        said=said,
    )


class Profiles:
    """What is installed on one station."""

    def __init__(self) -> None:
        self.installed: list[Profile] = []

    def put(self, new: Profile) -> None:
        """In the place of the one with the same id, or the same place, purpose and level."""
        place = (new.evse, new.purpose, new.stack, new.transaction)
        self.installed = [
            p for p in self.installed if p.id != new.id and (p.evse, p.purpose, p.stack, p.transaction) != place
        ]
        self.installed.append(new)

    def clear(self, id: int | None, evse: int | None, purpose: str | None, stack: int | None) -> int:
        """How many went."""
        wanted = None if purpose is None else _PURPOSES.get(purpose, "?")

        def goes(p: Profile) -> bool:
            if id is not None:
                return p.id == id
            return evse in (None, p.evse) and wanted in (None, p.purpose) and stack in (None, p.stack)

        before = len(self.installed)
        self.installed = [p for p in self.installed if not goes(p)]
        return before - len(self.installed)

    def ended(self, transaction: str) -> None:
        """Its own profiles end with a session."""
        self.installed = [p for p in self.installed if p.purpose != "tx" or p.transaction != transaction]

    def limit_w(self, evse: int, outlet: Outlet, transaction: str, at: float, began_at: float, sharers: int) -> float:
        """What is left for one EVSE in W; infinite without a limit. ``sharers`` draw under the station's maximum."""
        own = self._holding(
            at, began_at, lambda p: p.purpose == "tx" and p.evse == evse and p.transaction == transaction
        )
        if own is None:
            own = self._holding(at, began_at, lambda p: p.purpose == "default" and p.evse in (0, evse))
        whole = self._holding(at, began_at, lambda p: p.purpose == "max")
        limit = float("inf") if own is None else _watts(*own, outlet)
        return limit if whole is None else min(limit, _watts(*whole, outlet) / max(1, sharers))

    def _holding(self, at: float, began_at: float, fits: Any) -> tuple[Period, str] | None:
        for profile in sorted(filter(fits, self.installed), key=lambda p: (p.stack, p.evse), reverse=True):
            period = profile.limit(at, began_at)
            if period is not None:
                return period, profile.unit
        return None


def _watts(period: Period, unit: str, outlet: Outlet) -> float:
    if unit == "W":
        return period.limit
    return period.limit * (NOMINAL_V * (period.phases or outlet.phases) if outlet.phases else _DC_V)
