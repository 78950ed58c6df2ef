"""One bay of a virtual charger: what happens at it, and what its meter reads. Pure; time is a parameter.

Times are Unix seconds on the wall clock. A bay keeps an agenda of what is due (a car arrives, a card is
shown, the driver leaves) and integrates the car's power between; ``advance`` returns what happened.
``speed`` quickens behaviour and batteries, never the meter: the register is always the integral of power over
real time, so a fast fleet still sends figures that a plausibility check believes.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import msgspec

from bridge.demo.day import REFUSED_CARDS, Kind, Trouble, Visit, card, draw_visit, until_arrival_s
from bridge.demo.meter import Meter, Outlet, Reading
from bridge.events import ConnectorStatus as Status

_NEVER = float("inf")


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
        self.meter, self.kind, self.speed = Meter(outlet, rng, speed), kind, speed
        self.status = Status.AVAILABLE
        self.trouble: Trouble | None = None
        self.has_transaction = False
        self.step_s = 5.0
        self.visit: Visit | None = None
        self._rng, self._last, self._utc_offset_s = rng, now, utc_offset_s
        self._plugged_at = self._power_since = self.began_at = now
        self.token = ""
        self._happened: list[Happening] = []
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

    def hold(self, at: float) -> None:
        """No power until ``release``: a limit leaves it too little."""
        self.pause(at, _NEVER)

    def release(self, at: float) -> None:
        """The end of ``hold``; a pause of another kind goes on."""
        if self._agenda.get("resume") == _NEVER:
            self._agenda["resume"] = at

    def reserve(self, at: float) -> bool:
        """Keep a free bay for somebody; nobody else comes."""
        if self.status is not Status.AVAILABLE:
            return False
        self._agenda = {}
        self._be(at, Status.RESERVED)
        return True

    def unreserve(self, at: float) -> None:
        """Open to everybody again."""
        if self.status is Status.RESERVED:
            self._free(at)

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

    def set_speed(self, speed: float) -> None:
        """Quicken what comes from now on."""
        self.speed = self.meter.speed = speed

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
                self.meter.soc_percent = self.visit.soc_target - 3.0 * self._rng.random() ** 2
                self.status, self._power_since = Status.CHARGING, at
            self.meter.start_wh, self.began_at = self.meter.register_wh, at
            self._happened.append(Began(at, self.token, self.reading(at)))

    def reading(self, at: float) -> Reading:
        """What the meter shows. Call ``advance`` first."""
        car = self.visit.car if self.visit is not None else None
        return self.meter.read(at, car, self.status is not Status.SUSPENDED_EVSE, self.has_transaction)

    # the agenda

    def _arrive(self, at: float) -> None:
        self.visit = draw_visit(self._rng, self.kind, not self.meter.outlet.phases)
        self.meter.soc_percent, self._plugged_at = self.visit.soc_start, at
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
        self.token, self.has_transaction, self.began_at, self._power_since = token, True, at, at
        self.meter.start_wh = self.meter.register_wh
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
        self.meter.cut()
        self._happened.append(Stopped(at, reason, token, self.reading(at)))
        self.has_transaction = False

    def _be(self, at: float, status: Status) -> None:
        self.status = status
        if status is not Status.CHARGING:
            self.meter.cut()
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
                self.meter.rest(to - self._last)
                self._last = to
                return
            dt = min(to - self._last, self.step_s)
            self.meter.charge(self.visit.car, self._last, dt, self._last - self._power_since, self.visit.is_cold)
            self._last += dt
            if self.meter.soc_percent >= self.visit.soc_target:
                self._agenda["full"] = self._last
                return


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
