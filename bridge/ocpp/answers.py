"""A charger's answers to our calls: what came of the call, what they tell, what they lack. Hostile ones are values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from bridge import schemas, secrecy
from bridge.command_bus import CommandOutcome
from bridge.events import AnyEvent
from bridge.ocpp import frames
from bridge.ocpp.commands import CallOutcome, Waiting
from bridge.ocpp.frames import BROKEN, Error, Result
from bridge.ocpp.versions import Context, Version

_log = structlog.get_logger("ocpp")


def outcome_of(frame: Result | Error) -> CallOutcome:
    """Null says as much as absence (field quirk 20)."""
    if isinstance(frame, Error):
        code = frame.code[:64] or "GenericError"
        return CallOutcome(CommandOutcome.REFUSED, code=code, detail=f"{code}: {frame.description[:255]}")
    payload = None if frames.is_deep(frame.payload) else frames.loose(bytes(frame.payload))
    said = payload if isinstance(payload, dict) else {}
    return CallOutcome(CommandOutcome.ANSWERED, {key: value for key, value in said.items() if value is not None})


def told_by(version: Version, waiting: Waiting, answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    """What the answer tells besides its status; nothing when it is outside its schema in a way that matters."""
    reader = version.answers.get(waiting.action)
    if reader is None:
        return []
    try:
        return reader(waiting.payload, answer, context)
    except (ArithmeticError, AttributeError, LookupError, TypeError, *BROKEN):
        _log.warning("an answer that tells nothing", station=context.station, action=waiting.action)
        return []


def complaint_about(version: Version, waiting: Waiting, answer: Mapping[str, Any]) -> bytes:
    """A CALLRESULTERROR for an answer that lacks what it must have (2.1 part 4 section 4.2.4); empty for all others
    and in versions that do not know it."""
    if not version.sends:
        return b""
    found = schemas.violations(version.protocol, waiting.action, secrecy.hidden(dict(answer)), is_response=True)
    for code, violation in ((frames.error_of(violation.keyword), violation) for violation in found):
        if code in frames.NEEDED:
            return frames.result_error(waiting.id, code.value, violation.detail)
    return b""
