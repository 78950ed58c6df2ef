"""A charging session: a table of transitions and one function that advances it. No I/O, no clock.

Theory. A *session* is one transaction as we know it. It is opened by a start (or found already running),
moves while power flows or pauses, and is closed only by a stop, never by a connector's status alone:
chargers send Finishing and Available long before a queued StopTransaction (field quirk 63). A session
that is bounded by something else than its own stop (the next start on its connector, a stop nobody can
place) is ORPHANED: kept, priced, and put before a person.

Source: OCPP 1.6 sections 4.6-4.10 and 7.7; OCPP 2.0.1 part 2 section E (TransactionEvent).
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
from msgspec.structs import replace

from bridge import evidence
from bridge.events import (
    ConnectorStatus,
    EnergySource,
    Event,
    MeterSampled,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
)
from bridge.evidence import Evidence


class SessionState(StrEnum):
    PENDING = "pending"  # started, no energy yet
    CHARGING = "charging"
    SUSPENDED = "suspended"  # car or charger pauses
    FINISHING = "finishing"  # charging is over, cable still in, stop still to come
    ENDED = "ended"
    ORPHANED = "orphaned"


class Trigger(StrEnum):
    ENERGY_FLOWS = "energy_flows"
    PAUSED = "paused"
    FINISHING = "finishing"
    STOPPED = "stopped"
    SUPERSEDED = "superseded"  # another session took the connector before our stop arrived


_P, _C, _S, _F = SessionState.PENDING, SessionState.CHARGING, SessionState.SUSPENDED, SessionState.FINISHING
_E, _O = SessionState.ENDED, SessionState.ORPHANED

_ALWAYS = {Trigger.ENERGY_FLOWS: _C, Trigger.FINISHING: _F, Trigger.STOPPED: _E, Trigger.SUPERSEDED: _O}

TRANSITIONS: dict[SessionState, dict[Trigger, SessionState]] = {
    _P: _ALWAYS | {Trigger.PAUSED: _S},
    _C: _ALWAYS | {Trigger.PAUSED: _S},
    _S: _ALWAYS | {Trigger.PAUSED: _S},
    _F: _ALWAYS | {Trigger.PAUSED: _F},
    _E: {},  # final
    _O: {Trigger.STOPPED: _E},  # the queued stop came after all
}
OPEN_STATES = frozenset({_P, _C, _S, _F})

STATUS_TRIGGERS: dict[ConnectorStatus, Trigger] = {
    ConnectorStatus.CHARGING: Trigger.ENERGY_FLOWS,
    ConnectorStatus.SUSPENDED_EV: Trigger.PAUSED,
    ConnectorStatus.SUSPENDED_EVSE: Trigger.PAUSED,
    ConnectorStatus.FINISHING: Trigger.FINISHING,
}


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """One session as known now. Energy in whole Wh; ``cost`` a decimal string in ``currency``, gross.

    ``revision`` counts changes: of two snapshots the higher one is the newer truth.
    """

    id: str
    station: str
    evse: int
    connector: int = 1
    transaction_id: str
    token: str = ""
    state: SessionState = SessionState.PENDING
    started_at: datetime  # device time
    start_received_at: datetime
    ended_at: datetime | None = None
    stop_received_at: datetime | None = None
    meter_start_wh: int | None = None
    meter_last_wh: int | None = None
    meter_stop_wh: int | None = None
    energy_wh: int = 0
    energy_carried_wh: int = 0  # what the register forgot: energy_wh = carried + last - start
    energy_integral_wh: float = 0.0  # power over time, used only where there is no register or counter
    energy_source: EnergySource = EnergySource.REGISTER
    power_w: float | None = None
    power_max_w: float = 0.0
    soc_start_percent: float | None = None
    soc_percent: float | None = None
    sample_at: datetime | None = None  # device time of the newest reading
    sample_received_at: datetime | None = None
    charging_s: int = 0  # time with energy flowing
    charging_since: datetime | None = None
    cost: str = "0.00"
    currency: str = "EUR"
    tariff: str = ""  # id of the tariff version it started with
    stop_reason: str = ""
    seq_no: int | None = None  # 2.x, highest seen
    review: tuple[str, ...] = ()  # why a person should look before it is billed
    evidence: Evidence = evidence.NONE
    revision: int = 0

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    def duration_s(self, now: datetime) -> int:
        """Whole seconds from start to end, or to ``now``; never negative."""
        return max(0, int(((self.ended_at or now) - self.started_at) / timedelta(seconds=1)))


def session_id(station: str, transaction_id: str, started_at: datetime) -> str:
    """The natural key as a short stable id: the same start, resent or replayed, is the same session."""
    key = f"{station}\n{transaction_id}\n{started_at.isoformat()}".encode()
    return hashlib.blake2b(key, digest_size=8).hexdigest()


_SET_BACK = timedelta(seconds=60)
_WEEK = timedelta(days=7)
_UNSEEN = "start not seen: already charging when first heard of"


def is_older(event: Event, known_at: datetime | None) -> bool:
    """Is it older than what is known? A known time that is still to come was told by a clock that ran ahead and has
    been set right since: nothing is older than that."""
    return known_at is not None and event.at < known_at <= event.received_at + _SET_BACK


def is_placeholder(transaction_id: str) -> bool:
    """Is it no id: absent, 0 or below (field quirk 42)?"""
    try:
        return int(transaction_id) <= 0
    except ValueError:
        return not transaction_id


def unseen_start(event: TransactionUpdated) -> TransactionStarted:
    """The start that an update of an unknown transaction stands for."""
    return TransactionStarted(
        station=event.station,
        at=event.at,
        received_at=event.received_at,
        evse=event.evse or 0,
        transaction_id=event.transaction_id,
        token=event.token,
        seq_no=event.seq_no,
        offline=event.offline,
        start_unknown=True,
    )


def is_resent(session: Session, event: TransactionStarted) -> bool:
    """Is it the open session's own start again, known by its number because our clock dated it?"""
    is_same_number = event.seq_no is not None and event.seq_no == session.seq_no
    return session.is_open and event.at == event.received_at and is_same_number


def is_start_of(session: Session, event: TransactionStarted) -> bool:
    """Is it the start that was not seen, out of a queue?"""
    return _UNSEEN in session.review and event.at <= session.started_at


def start_learnt(session: Session, event: TransactionStarted) -> Session:
    """The start came after its own updates: what it says stands, what was counted since is kept."""
    changes: dict[str, Any] = {"started_at": event.at, "token": session.token or event.token}
    changes["review"] = tuple(reason for reason in session.review if reason != _UNSEEN)
    changes["evidence"] = evidence.learnt(session.evidence, event)
    start_wh, first_wh = event.meter_start_wh, session.meter_start_wh
    if start_wh is not None and first_wh is not None and 0 <= first_wh - start_wh <= _LEAP_WH:
        changes |= {"meter_start_wh": start_wh, "energy_wh": session.energy_wh + first_wh - start_wh}
    return replace(session, **changes)


def opened(event: TransactionStarted) -> Session:
    """A session from its start."""
    review = () if event.accepted else (f"token not accepted: {event.cause}",)
    if event.start_unknown:
        review = (*review, _UNSEEN)
    return Session(
        id=session_id(event.station, event.transaction_id, event.at),
        station=event.station,
        evse=event.evse,
        connector=event.connector,
        transaction_id=event.transaction_id,
        token=event.token,
        state=SessionState.CHARGING if event.charging else SessionState.PENDING,
        charging_since=event.at if event.charging else None,
        started_at=event.at,
        start_received_at=event.received_at,
        meter_start_wh=event.meter_start_wh,
        meter_last_wh=event.meter_start_wh,
        seq_no=event.seq_no,
        review=review,
        evidence=evidence.begun(event),
        revision=1,
    )


def moved(session: Session, trigger: Trigger, at: datetime) -> Session:
    """Take one step of ``TRANSITIONS``; a trigger that its state does not know changes nothing."""
    state = TRANSITIONS[session.state].get(trigger)
    if state is None or state is session.state:
        return session
    charging_s, since = session.charging_s, session.charging_since
    if since is not None and state is not SessionState.CHARGING:
        charging_s, since = charging_s + max(0, int((at - since) / timedelta(seconds=1))), None
    elif state is SessionState.CHARGING:
        since = at
    return replace(session, state=state, charging_s=charging_s, charging_since=since)


def sampled(session: Session, event: MeterSampled) -> Session:
    """Take in a reading. One older than the newest known changes no figure (it is stored at its own time)."""
    if not session.is_open or is_older(event, session.sample_at):
        seen = evidence.read_late(session.evidence, event)
        return session if seen is session.evidence else replace(session, evidence=seen)
    power_w, soc = event.values.get("power_w"), event.values.get("soc_percent")
    changes = _counted(session, event, power_w)
    has_gained = changes.get("energy_wh", session.energy_wh) != session.energy_wh
    before = (session.started_at, session.sample_at)
    seen = evidence.read(session.evidence, event, before, has_gained, "review" in changes)
    changes |= {"sample_at": event.at, "sample_received_at": event.received_at, "evidence": seen}
    if power_w is not None:
        changes |= {"power_w": power_w, "power_max_w": max(session.power_max_w, power_w)}
    if soc is not None:
        start = session.soc_start_percent
        changes |= {"soc_percent": soc, "soc_start_percent": soc if start is None else start}
    new = replace(session, **changes)
    if session.state is SessionState.PENDING and ((power_w or 0.0) > 0 or new.energy_wh > session.energy_wh):
        return moved(new, Trigger.ENERGY_FLOWS, event.at)
    return new


def _counted(session: Session, event: MeterSampled, power_w: float | None) -> dict[str, Any]:
    """What a reading changes about the energy, by the best witness there is."""
    register, counter = event.values.get("energy_import_wh"), event.values.get("session_energy_wh")
    if register is not None:
        return _counted_by_register(session, round(register), event.at)
    if session.meter_last_wh is not None:
        return {}  # the register is the better witness; wait for its next word
    if counter is not None and _is_leap(session, counter - session.energy_wh, event.at):
        return {"review": _with_reason(session, "the charger's own count leapt during the session")}
    if counter is not None:
        energy_wh = max(session.energy_wh, round(counter))
        return {"energy_wh": energy_wh, "energy_source": EnergySource.SESSION_COUNTER}
    if power_w is not None and session.energy_source is not EnergySource.SESSION_COUNTER:
        return _counted_by_power(session, event.at, power_w)
    return {}


_LEAP_WH = 1_000_000  # no battery takes more at once: beyond it, and a megawatt all the time, it is no charging
_FIRST_LEAP_WH = 100_000  # a start of 0 beside a lifetime of 939 kWh is another register (field quirk 35)


def _is_leap(session: Session, gained_wh: float, at: datetime) -> bool:
    hours = max(0.0, (at - (session.sample_at or session.started_at)) / timedelta(hours=1))
    is_first = not session.energy_wh and not session.energy_carried_wh
    return gained_wh > (_FIRST_LEAP_WH if is_first else _LEAP_WH) + _LEAP_WH * hours


def _counted_by_register(session: Session, register_wh: int, at: datetime) -> dict[str, Any]:
    last, start, carried = session.meter_last_wh, session.meter_start_wh, session.energy_carried_wh
    if last is not None and register_wh < last and at == session.sample_at:
        return {}  # no register falls within an instant: an earlier reading, repeated at the end, of the same second
    changes: dict[str, Any] = {}
    if last is None or start is None:  # first register: what other witnesses counted so far is carried
        start, carried = register_wh, session.energy_wh
        changes = {"meter_start_wh": start, "energy_carried_wh": carried, "energy_source": EnergySource.REGISTER}
    elif register_wh < last or _is_leap(session, register_wh - last, at):  # reset, another meter, or nonsense (35)
        carried = session.energy_wh - (register_wh - start)
        how = "fell" if register_wh < last else "leapt"
        review = _with_reason(session, f"register {how} during the session")
        changes = {"energy_carried_wh": carried, "review": review}
    changes["meter_last_wh"] = register_wh
    changes["energy_wh"] = carried + register_wh - start
    return changes


def _counted_by_power(session: Session, at: datetime, power_w: float) -> dict[str, Any]:
    integral = session.energy_integral_wh
    if session.sample_at is not None and session.power_w is not None:
        hours = (at - session.sample_at) / timedelta(hours=1)
        integral += (session.power_w + power_w) / 2 * max(0.0, hours)
    return {
        "energy_integral_wh": integral,
        "energy_wh": round(integral),
        "energy_source": EnergySource.POWER_INTEGRAL,
    }


def stopped(session: Session, event: TransactionEnded) -> Session:
    """Close by the transaction's own stop. A stop sent twice changes nothing."""
    if session.state is SessionState.ENDED:
        return session
    ended_at = max(_end_of(session, event), session.started_at)
    session = moved(session, Trigger.STOPPED, ended_at)
    if ended_at - session.started_at > _WEEK:
        session = _for_review(session, "longer than a week: was the charger's clock right?")
    session = replace(
        session,
        ended_at=ended_at,
        stop_received_at=event.received_at,
        stop_reason=event.stop_reason or session.stop_reason,
        power_w=0.0,  # a flow ends with its session (field quirk 41)
        seq_no=event.seq_no if event.seq_no is not None else session.seq_no,
    )
    settled = session if event.meter_stop_wh is None else _settled(session, event.meter_stop_wh, event.at)
    has_gained, before = settled.energy_wh != session.energy_wh, session.sample_at or session.started_at
    return replace(settled, evidence=evidence.ended(session.evidence, event, before, ended_at, has_gained))


def _end_of(session: Session, event: TransactionEnded) -> datetime:
    """A stop cannot be later than we heard it, unless its clock ran ahead at the start as well."""
    was_ahead = session.started_at > session.start_received_at + _SET_BACK
    return event.at if was_ahead else min(event.at, event.received_at + _SET_BACK)


def _settled(session: Session, stop_wh: int, at: datetime) -> Session:
    """Between the register's own difference and the one with resets carried, the plausible one is that
    nearest to what was counted on the way; a gap between them goes before a person."""
    if session.meter_start_wh is None:
        session = replace(session, meter_start_wh=stop_wh - session.energy_wh)
    start = session.meter_start_wh or 0
    plain, carried = stop_wh - start, session.energy_carried_wh + stop_wh - start
    counted = session.energy_wh
    energy_wh = min((plain, carried), key=lambda candidate: (candidate < 0, abs(candidate - counted)))
    if energy_wh < 0:
        session = _for_review(session, "register at stop is below the one at start")
        energy_wh = counted
    elif _is_leap(session, energy_wh - counted, at):
        session = _for_review(session, "register at stop is beyond anything a car can take")
        energy_wh = counted
    elif energy_wh < counted:
        session = _for_review(session, "register at stop is below an earlier reading")
    return replace(session, meter_stop_wh=stop_wh, meter_last_wh=stop_wh, energy_wh=energy_wh)


def superseded(session: Session, at: datetime, received_at: datetime, reason: str) -> Session:
    """Bound a session whose stop never came by what came next on its connector."""
    if not session.is_open:
        return session
    ended_at = session.sample_at or session.started_at
    session = moved(session, Trigger.SUPERSEDED, ended_at)
    return replace(
        _for_review(session, reason),
        ended_at=ended_at,
        stop_received_at=received_at,
        power_w=0.0,
    )


_NO_START = "stop without a known start"


def orphan_stop(event: TransactionEnded) -> Session:
    """A stop nobody can place, kept for a person (field quirks 42 and 64)."""
    return Session(
        id=session_id(event.station, event.transaction_id, event.at),
        station=event.station,
        evse=event.evse or 0,
        transaction_id=event.transaction_id,
        token=event.token,
        state=SessionState.ORPHANED,
        started_at=event.at,
        start_received_at=event.received_at,
        ended_at=event.at,
        stop_received_at=event.received_at,
        meter_stop_wh=event.meter_stop_wh,
        stop_reason=event.stop_reason,
        review=(_NO_START,),
        evidence=evidence.unplaced(event),
        revision=1,
    )


def is_orphan_stop(session: Session) -> bool:
    """Was it made of a stop alone? Then it has had its stop, and another one is another orphan."""
    return _NO_START in session.review


def _for_review(session: Session, reason: str) -> Session:
    return replace(session, review=_with_reason(session, reason))


def _with_reason(session: Session, reason: str) -> tuple[str, ...]:
    return session.review if reason in session.review else (*session.review, reason)
