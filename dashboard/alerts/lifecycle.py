"""An alarm's life: a table of transitions and one function that takes a step. No I/O, no clock.

Theory. An alarm has two independent facts: whether its condition is there, and whether a person has seen it.
*unacknowledged* is there and unseen, *acknowledged* there and seen, *returned* gone but still unseen; *normal* is gone
and seen, and the alarm is over. A condition that comes back before anybody looked raises the same alarm again.

Source: ANSI/ISA-18.2-2016, the alarm state transition diagram, without shelving and suppression by design.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class AlarmState(StrEnum):
    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned"


class Trigger(StrEnum):
    RAISED = "raised"
    CLEARED = "cleared"
    ACKNOWLEDGED = "acknowledged"


_N, _U, _A, _R = AlarmState.NORMAL, AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED, AlarmState.RETURNED

TRANSITIONS: dict[AlarmState, dict[Trigger, AlarmState]] = {
    _N: {Trigger.RAISED: _U},
    _U: {Trigger.CLEARED: _R, Trigger.ACKNOWLEDGED: _A},
    _A: {Trigger.CLEARED: _N},
    _R: {Trigger.RAISED: _U, Trigger.ACKNOWLEDGED: _N},
}
ACTIVE_STATES = frozenset({_U, _A})  # the condition is there
OPEN_STATES = frozenset({_U, _A, _R})


class Edge(msgspec.Struct, frozen=True):
    """One step of an alarm's life, as it is stored."""

    old: AlarmState
    new: AlarmState
    reason: Trigger


def advance(state: AlarmState, trigger: Trigger) -> Edge | None:
    """The step that ``trigger`` causes; ``None`` where it changes nothing (a second look, a second acknowledge)."""
    new = TRANSITIONS[state].get(trigger)
    return None if new is None else Edge(state, new, trigger)
