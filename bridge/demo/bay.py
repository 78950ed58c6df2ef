"""One bay of a virtual charger: what happens at it, and what its meter reads. Pure; time is a parameter.

Times are Unix seconds on the wall clock. A bay keeps an agenda of what is due (a car arrives, a card is
shown, the driver leaves) and integrates the car's power between; ``advance`` returns what happened.
``speed`` quickens behaviour and batteries, never the meter: the register is always the integral of power over
real time, so a fast fleet still sends figures that a plausibility check believes.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sin
from random import Random
from typing import NamedTuple

import msgspec

from bridge.demo import car as cars
from bridge.demo.day import REFUSED_CARDS, Kind, Trouble, Visit, card, draw_visit, until_arrival_s
from bridge.events import ConnectorStatus as Status

_AMBIENT_C = 21.0
_HEAT_TAU_S = 420.0
_NEVER = float("inf")


class Outlet(msgspec.Struct, frozen=True, kw_only=True):
    """``kind``: CCS2 or Type2. ``phases`` 0 means DC."""

    kind: str
    rated_power_w: int
    phases: int = 3

    @property
    def rated_current_a(self) -> float:
        return self.rated_power_w / (max(self.phases, 1) * cars.NOMINAL_V)


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


class StatusIs(NamedTuple):
    at: float
    status: Status
    error_code: str = "NoError"
    info: str = ""
    vendor_code: str = ""


class CardShown(NamedTuple):
    """Somebody must answer with ``Bay.verdict``."""

    at: float
    token: str


class Began(NamedTuple):
    at: float
    token: str
    reading: Reading
    remote_start_id: int | None = None


class Stopped(NamedTuple):
    at: float
    reason: str  # OCPP 1.6 section 7.36
    token: str
    reading: Reading


Happening = StatusIs | CardShown | Began | Stopped


class Bay:
    """``utc_offset_s``: what to add to UTC for the site's own time of day."""

    def __init__(
        self, outlet: Outlet, kind: Kind, rng: Random, now: float, *, speed: float = 1.0, utc_offset_s: float = 0.0
    ) -> None:
        self.outlet, self.kind, self.speed = outlet, kind, speed
        self.status = Status.AVAILABLE
        self.trouble: Trouble | None = None
        self.register_wh = float(rng.randrange(200_000, 90_000_000))
        self.power_w = 0.0
        self.soc_percent = 0.0
        self.temperature_c = _AMBIENT_C
        self.share = 1.0  # what load management leaves of the rated power
        self.has_transaction = False
        self.step_s = 5.0
        self.visit: Visit | None = None
        self._rng, self._last, self._utc_offset_s = rng, now, utc_offset_s
        self._plugged_at = self._power_since = self.began_at = now
        self._start_wh = self.register_wh
        self.token = ""
        self._currents: tuple[float, ...] = ()
        self._happened: list[Happening] = []
        self._swing = rng.random() * 6.28
        self._is_enabled = True
        self._awaits_verdict = False
        self._remote_start_id: int | None = None
        self._agenda: dict[str, float] = {"arrive": now + self._until_arrival_s(now)}

    # what others may do to it

    def due(self) -> float:
        """When something happens of itself, at the latest; at once while news waits to be taken."""
        if self._happened:
            return self._last
        return min(self._agenda.values(), default=_NEVER)

    def advance(self, now: float) -> list[Happening]:
        """Let time pass up to ``now``; returns what happened, in order. Going backwards is ignored."""
        while True:
            self._integrate(min(now, min(self._agenda.values(), default=_NEVER)))
            name, at = min(self._agenda.items(), key=lambda entry: entry[1], default=("", _NEVER))
            if at > now:
                break
            del self._agenda[name]
            _HANDLERS[name](self, at)
        happened, self._happened = self._happened, []
        return happened

    def verdict(self, at: float, is_accepted: bool) -> None:
        """The answer to a ``CardShown``; without one nothing happens."""
        if not self._awaits_verdict or self.status is not Status.PREPARING or self.visit is None:
            return
        self._awaits_verdict = False
        if is_accepted:
            self._begin(at, self.visit.token)
        elif self._rng.random() < 0.5:
            self.visit = msgspec.structs.replace(self.visit, token=card(self._rng))
            self._agenda = {"card": at + 20 / self.speed}
        else:
            self._agenda = {"free": at + 35 / self.speed}

    def remote_start(self, at: float, token: str, remote_start_id: int | None = None) -> bool:
        """Start for ``token`` now; where no cable is plugged, its driver plugs in within seconds."""
        if self.has_transaction or self.status not in (Status.AVAILABLE, Status.PREPARING):
            return False
        self._remote_start_id, self._awaits_verdict = remote_start_id, False
        if self.status is Status.AVAILABLE:
            self._arrive(at)
        if self.visit is not None:
            self.visit = msgspec.structs.replace(self.visit, token=token)
        self._agenda = {"authorised": at + 6 / self.speed}
        return True

    def stop(self, at: float, reason: str) -> bool:
        """End the transaction from outside (Remote, SoftReset, DeAuthorized, UnlockCommand ...)."""
        if not self.has_transaction:
            return False
        self._integrate(at)
        self._end(at, reason, "")
        self._finish(at)
        return True

    def break_down(self, at: float, trouble: Trouble) -> None:
        """A fault, now."""
        self._integrate(at)
        self._break(at, trouble)

    def pause(self, at: float, seconds: float) -> bool:
        """Load management stops the flow for a while."""
        if self.status is not Status.CHARGING:
            return False
        self._integrate(at)
        self._agenda["resume"] = at + seconds
        self._be(at, Status.SUSPENDED_EVSE)
        return True

    def enable(self, at: float, is_enabled: bool) -> bool:
        """ChangeAvailability; False when it waits for the running transaction to end."""
        self._is_enabled = is_enabled
        if self.has_transaction:
            return False
        if not is_enabled:
            self._agenda = {}
            self._be(at, Status.UNAVAILABLE)
        elif self.status is Status.UNAVAILABLE:
            self._free(at)
        return True

    def arrive_at(self, at: float) -> None:
        """The next car of a free bay comes then."""
        if self.status is Status.AVAILABLE:
            self._agenda = {"arrive": at}

    def bring(self, at: float, token: str) -> bool:
        """A driver with this card comes to a free bay now."""
        if self.status is not Status.AVAILABLE:
            return False
        self._integrate(at)
        self._arrive(at)
        if self.visit is not None:
            self.visit = msgspec.structs.replace(self.visit, token=token)
        return True

    def rejoin(self, at: float) -> None:
        """The station starts anew with a car at the bay: its session begins now, its battery is as it is.

        A car that was full is a little less so, or its session would never see any energy.
        """
        self._happened = []
        self._last = max(self._last, at)
        if self.has_transaction:
            if self.status is Status.SUSPENDED_EV and self.visit is not None:
                self.soc_percent = self.visit.soc_target - 3.0 * self._rng.random() ** 2
                self.status, self._power_since = Status.CHARGING, at
            self._start_wh, self.began_at = self.register_wh, at
            self._happened.append(Began(at, self.token, self.reading(at)))

    def reading(self, at: float) -> Reading:
        """What the meter shows. Call ``advance`` first."""
        offered_w = 0.0 if self.status is Status.SUSPENDED_EVSE else self.outlet.rated_power_w * self.share
        is_dc = not self.outlet.phases
        voltages = (self._pack_v(),) if is_dc else self._grid_v(at)
        offered_a = offered_w / (voltages[0] or 400.0) if is_dc else offered_w / (self.outlet.phases * cars.NOMINAL_V)
        return Reading(
            at,
            int(self.register_wh),
            self.power_w,
            voltages,
            self._currents or ((0.0,) if is_dc else (0.0, 0.0, 0.0)),
            offered_w,
            offered_a,
            self.temperature_c,
            self.soc_percent if self.visit is not None and self.has_transaction else None,
            int(self.register_wh) - int(self._start_wh),
        )

    @property
    def rated_demand_w(self) -> float:
        """What it would take without load management."""
        return self.power_w / self.share if self.share else 0.0

    # the agenda

    def _arrive(self, at: float) -> None:
        self.visit = draw_visit(self._rng, self.kind, not self.outlet.phases)
        self.soc_percent, self._plugged_at = self.visit.soc_start, at
        self._agenda = {"card": at + self.visit.card_after_s / self.speed}
        self._be(at, Status.PREPARING)

    def _present_card(self, at: float) -> None:
        if self.visit is not None:
            self._awaits_verdict = True
            self._happened.append(CardShown(at, self.visit.token))

    def _authorised(self, at: float) -> None:
        if self.visit is not None:
            self._begin(at, self.visit.token)

    def _begin(self, at: float, token: str) -> None:
        visit = self.visit
        assert visit is not None
        self._integrate(at)
        self.token, self._start_wh, self._power_since, self.has_transaction = token, self.register_wh, at, True
        self.began_at = at
        self._agenda = {"leave": max(self._plugged_at + visit.stay_s / self.speed, at + 60)}
        if visit.pause_after_s is not None:
            self._agenda["pause"] = at + visit.pause_after_s / self.speed
        if visit.trouble is not None:
            self._agenda["trouble"] = at + visit.trouble_after_s / self.speed
        self._happened.append(Began(at, token, self.reading(at), self._remote_start_id))
        self._remote_start_id = None
        self._be(at, Status.CHARGING)

    def _pause(self, at: float) -> None:
        if self.visit is not None:
            self.pause(at, self.visit.pause_s / self.speed)

    def _resume(self, at: float) -> None:
        self._power_since = at
        self._be(at, Status.CHARGING)

    def _full(self, at: float) -> None:
        self._agenda.pop("pause", None)
        if self.visit is not None and self.visit.linger_s is not None:
            self._agenda["leave"] = min(self._agenda.get("leave", _NEVER), at + self.visit.linger_s / self.speed)
        self._be(at, Status.SUSPENDED_EV)

    def _leave(self, at: float) -> None:
        by_card = self.visit is None or self.visit.stops_by_card
        self._end(at, "Local" if by_card else "EVDisconnected", self.token if by_card else "")
        self._finish(at)

    def _finish(self, at: float) -> None:
        self._agenda = {"free": at + self._rng.uniform(5, 40) / self.speed}
        self._be(at, Status.FINISHING)

    def _free(self, at: float) -> None:
        self.visit, self.trouble = None, None
        if self._is_enabled:
            self._agenda = {"arrive": at + self._until_arrival_s(at)}
            self._be(at, Status.AVAILABLE)
        else:
            self._agenda = {}
            self._be(at, Status.UNAVAILABLE)

    def _strike(self, at: float) -> None:
        if self.visit is not None and self.visit.trouble is not None:
            self._break(at, self.visit.trouble)

    def _break(self, at: float, trouble: Trouble) -> None:
        if self.has_transaction:
            self._end(at, trouble.stop_reason, "")
        self.trouble = trouble
        self._agenda = {"free": at + trouble.lasts_s / self.speed}
        self._be(at, Status.FAULTED)

    def _end(self, at: float, reason: str, token: str) -> None:
        self._set_power(0.0, ())
        self._happened.append(Stopped(at, reason, token, self.reading(at)))
        self.has_transaction = False

    def _be(self, at: float, status: Status) -> None:
        self.status = status
        if status is not Status.CHARGING:
            self._set_power(0.0, ())
        self._happened.append(self.status_now(at))

    def status_now(self, at: float) -> StatusIs:
        """The status as it would be reported at ``at``."""
        if self.trouble is None:
            return StatusIs(at, self.status)
        return StatusIs(at, self.status, self.trouble.error_code, self.trouble.info, self.trouble.vendor_code)

    def _until_arrival_s(self, at: float) -> float:
        return until_arrival_s(self._rng, self.kind, (at + self._utc_offset_s) % 86_400) / self.speed

    # the meter

    def _integrate(self, to: float) -> None:
        while self._last < to:
            if self.status is not Status.CHARGING or self.visit is None:
                self._cool(to - self._last)
                self._last = to
                return
            dt = min(to - self._last, self.step_s)
            self._charge(self.visit, dt)
            self._last += dt
            if self.soc_percent >= self.visit.soc_target:
                self._agenda["full"] = self._last
                return

    def _charge(self, visit: Visit, dt: float) -> None:
        if self.outlet.phases:
            self._draw_ac(visit)
        else:
            self._draw_dc(visit)
        self.register_wh += self.power_w * dt / 3600
        efficiency = cars.AC_EFFICIENCY if self.outlet.phases else cars.DC_EFFICIENCY
        gained = self.power_w * efficiency * dt / 36 * self.speed / visit.car.battery_wh
        self.soc_percent = min(self.soc_percent + gained, visit.soc_target)
        self._cool(dt)

    def _draw_ac(self, visit: Visit) -> None:
        offered_a = self.outlet.rated_current_a * self.share
        drawn_a = cars.ac_current_a(visit.car, self.soc_percent, offered_a)
        phases = min(visit.car.ac_phases, self.outlet.phases)
        wobble = self._rng.random
        currents = tuple(drawn_a * (0.985 + 0.012 * wobble()) if n < phases else 0.0 for n in range(3))
        power_w = sum(v * a for v, a in zip(self._grid_v(self._last), currents, strict=True))
        self._set_power(power_w, currents)

    def _draw_dc(self, visit: Visit) -> None:
        since = (self._last - self._power_since) * self.speed
        wanted_w = cars.dc_power_w(visit.car, self.soc_percent, max(since, 0.0), visit.is_cold)
        power_w = min(wanted_w, self.outlet.rated_power_w * self.share) * (0.994 + 0.006 * self._rng.random())
        self._set_power(power_w, (power_w / self._pack_v(),))

    def _set_power(self, power_w: float, currents: tuple[float, ...]) -> None:
        self.power_w, self._currents = power_w, currents

    def _grid_v(self, at: float) -> tuple[float, float, float]:
        """230 V with a slow swing of its own for each phase; the same instant reads the same."""
        t = at / 700 + self._swing
        return (231.0 + 1.6 * sin(t) + 0.3 * sin(at), 230.2 + 1.4 * sin(t + 2), 230.7 + 1.5 * sin(t + 4))

    def _pack_v(self) -> float:
        return cars.pack_voltage_v(self.visit.car, self.soc_percent) if self.visit is not None else 0.0

    def _cool(self, dt: float) -> None:
        load = self.power_w / self.outlet.rated_power_w
        target = _AMBIENT_C + (34.0 if self.outlet.phases else 46.0) * load * load
        self.temperature_c += (target - self.temperature_c) * min(1.0, dt / _HEAT_TAU_S)


def live_alone(bay: Bay, until: float, sample_s: float = _NEVER) -> Iterator[Happening | Reading]:
    """What happens at a bay up to ``until`` when every card but the refused ones is accepted at once, with a
    reading every ``sample_s`` of a transaction."""
    sample_at = _NEVER
    while True:
        at = min(bay.due(), sample_at, until)
        news = bay.advance(at)
        if any(isinstance(entry, CardShown) and entry.token in REFUSED_CARDS for entry in news):
            bay.verdict(at, False)
        else:
            bay.verdict(at, True)
        news += bay.advance(at)
        yield from news
        if at >= until:
            return
        if bay.has_transaction:
            if at >= sample_at:
                yield bay.reading(at)
            sample_at = at + sample_s if at >= sample_at or sample_at == _NEVER else sample_at
        else:
            sample_at = _NEVER


_HANDLERS = {
    "arrive": Bay._arrive,
    "card": Bay._present_card,
    "authorised": Bay._authorised,
    "leave": Bay._leave,
    "pause": Bay._pause,
    "resume": Bay._resume,
    "full": Bay._full,
    "free": Bay._free,
    "trouble": Bay._strike,
}
