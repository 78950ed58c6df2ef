"""A charging session: a table of transitions and one function that advances it. No I/O, no clock.

Theory. A *session* is one transaction as we know it. It is opened by a start (or found already running),
moves while power flows or pauses, and is closed only by a stop, never by a connector's status alone:
chargers send Finishing and Available long before a queued StopTransaction (field quirk 63). A session
that is bounded by something else than its own stop (the next start on its connector, a stop nobody can
place) is ORPHANED: kept, priced, and put before a person.

Source: OCPP 1.6 sections 4.6-4.10 and 7.7; OCPP 2.0.1 part 2 section E (TransactionEvent).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from bridge.events import ConnectorStatus, EnergySource


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


class Session(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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
    energy_carried_wh: int = 0  # counted before the register fell or restarted
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
    revision: int = 0

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    def duration_s(self, now: datetime) -> int:
        """Whole seconds from start to end, or to ``now``; never negative."""
        return max(0, int(((self.ended_at or now) - self.started_at) / timedelta(seconds=1)))
