"""The composite schedule: what all profiles together leave an EVSE over the next minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge.demo.words import rfc3339

if TYPE_CHECKING:
    from bridge.demo.station import Station

_STEP_S = 60.0


def composite(station: Station, evse: int, duration_s: float, unit: str, at: float) -> tuple[str, dict[str, Any]]:
    """(start, ChargingSchedule of 1.6) from ``at`` on; without a limit what the outlets are rated for."""
    start = rfc3339(at)
    periods: list[dict[str, Any]] = []
    after_s = 0.0
    while after_s < max(duration_s, 1.0):
        limit = round(_limit(station, evse, unit, at + after_s), 1)
        if not periods or periods[-1]["limit"] != limit:
            periods.append({"startPeriod": int(after_s), "limit": limit})
        after_s += _STEP_S
    schedule = {"chargingRateUnit": unit, "chargingSchedulePeriod": periods, "duration": int(duration_s)}
    return start, schedule | {"startSchedule": start}


def _limit(station: Station, evse: int, unit: str, at: float) -> float:
    numbers = [evse] if evse else list(station.bays)
    return sum(_of_bay(station, number, unit, at) for number in numbers)


def _of_bay(station: Station, evse: int, unit: str, at: float) -> float:
    bay, running = station.bays[evse], station.transactions.get(evse)
    outlet = bay.meter.outlet
    sharers = sum(b.has_transaction for b in station.bays.values())
    transaction = str(running.id) if running is not None else ""
    limit_w = station.profiles.limit_w(evse, outlet, transaction, at, bay.began_at, sharers)
    watts = min(float(outlet.rated_power_w), limit_w)
    return watts if unit == "W" else watts / (230.0 * outlet.phases if outlet.phases else 400.0)
