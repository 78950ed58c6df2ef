"""Commands to stations from the web process: who may give one, that it is audited, and how it is sent.

Pages and the REST interface give them here, so that nobody can send one past the audit.
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from bridge import schemas
from bridge.command_bus import Answer, CommandOutcome
from bridge.compose import Composed, composed_for, needed_role, veiled
from bridge.stores.database import RecordsUnavailable
from bridge.stores.people import Role
from bridge.stores.shapes import StationRow
from dashboard.auth import RANK, audit
from dashboard.services import services

_log = structlog.get_logger("orders")
_MAX_DETAIL = 2_000


class NotAllowed(Exception):
    """The command needs the role ``needed``."""

    def __init__(self, needed: Role) -> None:
        super().__init__(f"this command needs the role {needed}")
        self.needed = needed


class NoWay(Exception):
    """Commands do not get through at all: the broker is away."""


def order(
    station: StationRow, action: str, payload: dict[str, Any], *, role: Role, actor: str, timeout_s: float | None = None
) -> Answer:
    """Send a command of ours or an OCPP action to a station and wait. Two lines of audit: before it leaves, and what
    came of it. Raises NotAllowed, NoWay, RecordsUnavailable (then nothing was sent)."""
    found = services()
    needed = Role(needed_role(action, payload))
    if RANK[role] < RANK[needed]:
        audit("command_refused", station.id, f"{_words(action, payload)}: needs the role {needed}", actor)
        raise NotAllowed(needed)
    if found.commands is None or not found.commands.is_connected:
        raise NoWay("the MQTT broker is away: commands travel over it")
    audit("command", station.id, _words(action, payload), actor)
    most_s = found.settings.ocpp.call_timeout_s
    answer = found.commands.request(station.id, action, payload, min(timeout_s or most_s, most_s))
    try:
        audit("command_outcome", station.id, f"{_name(action)}: {outcome_words(answer)}"[:_MAX_DETAIL], actor)
    except RecordsUnavailable:  # it is done: whoever asked must hear it
        _log.error("a command's outcome is not audited", station=station.id, action=action, outcome=answer.outcome)
    return answer


def why_not(station: StationRow) -> str:
    """Why nothing can be sent to a station of this kind; empty where something can."""
    if station.protocol.startswith("mqtt/"):
        vendor = station.protocol.removeprefix("mqtt/")
        return f"{station.id} speaks MQTT ({vendor}) and is only listened to; commands go to OCPP stations"
    if not station.protocol:
        return f"{station.id} has never connected, so its version of OCPP is not known"
    return ""


def offered(station: StationRow) -> list[Composed]:
    """Commands of ours that can be said to this station."""
    return composed_for(station.protocol)


def actions(station: StationRow) -> dict[str, str]:
    """OCPP actions of the station's version: name -> title of its schema, by name."""
    protocol = station.protocol
    return {name: _title(protocol, name) for name in sorted(schemas.calls_to_station(protocol))}


def outcome_words(answer: Answer) -> str:
    """What came of a command, in a few words for an audit or a notice."""
    status = answer.payload.get("status")
    said = f"{status}" if isinstance(status, str) else ""
    words = answer.detail if answer.outcome is not CommandOutcome.ANSWERED else said
    return " ".join(f"{answer.outcome} {words}".split())


def _title(protocol: str, action: str) -> str:
    return str(schemas.schema(protocol, action).get("title") or f"{action}Request")


def _words(action: str, payload: dict[str, Any]) -> str:
    shown = veiled(action, payload, with_addresses=True)
    return f"{_name(action)} {msgspec.json.encode(shown).decode()}"[:_MAX_DETAIL]


def _name(action: str) -> str:
    """An action as the audit has it: on one line, whatever was asked for."""
    return "".join(character if character.isprintable() else "?" for character in action[:64])
