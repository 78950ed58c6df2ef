"""A new key for a station. The records know it before it is sent, so that a lost answer locks nobody out: both keys
open until the station has come with the new one, or has said that it did not take it.

Source: OCPP 1.6 security whitepaper edition 3 section 3.3 (AuthorizationKey), OCPP 2.0.1 part 2 A01.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec.structs import replace

from bridge.access import Directory, key_hmac
from bridge.command_bus import Answer, CommandOutcome, Request
from bridge.intake import Intake
from bridge.ocpp.ledger import Ledger
from bridge.stores.database import RecordsUnavailable
from bridge.stores.provisioning import ProvisioningError

ACTION = "RotateKey"
TAKEN = ("Accepted", "RebootRequired")
Send = Callable[[Request, str], Awaitable[Answer]]


async def rotate(
    request: Request, station: str, ledger: Ledger, pepper: bytes, intake: Intake, send: Send
) -> Answer:
    """Carry out RotateKey: ``key`` is made here when the request has none. The answer's payload is only the status."""
    key = str(request.payload.get("key") or secrets.token_hex(16))
    offered = key_hmac(pepper, key.encode())
    try:
        await ledger.offer_key(station, offered, "bridge")  # who asked stands in the audit of the command
    except ProvisioningError as error:
        return Answer(id=request.id, outcome=CommandOutcome.INVALID, detail=f"no key was sent: {error}")
    except RecordsUnavailable as error:
        return Answer(id=request.id, outcome=CommandOutcome.INVALID, detail=f"no key was sent: {error}")
    intake.directory = _with_offered_key(intake.directory, station, offered)
    answer = await send(replace(request, payload={"key": key}), station)
    status = status_of(answer.payload) if answer.outcome is CommandOutcome.ANSWERED else ""
    was_not_sent = answer.outcome in (CommandOutcome.INVALID, CommandOutcome.REFUSED)
    if was_not_sent or (status and status not in TAKEN):
        await ledger.withdraw_key(station, offered)
    return replace(answer, payload={"status": status} if status else {})


def status_of(payload: Mapping[str, Any]) -> str:
    """Of a ChangeConfiguration or SetVariables answer."""
    if "status" in payload:
        return str(payload["status"])
    results = payload.get("setVariableResult")
    first = results[0] if isinstance(results, list) and results else None
    return str(first.get("attributeStatus", "")) if isinstance(first, dict) else ""


def _with_offered_key(directory: Directory, station: str, offered: bytes) -> Directory:
    """The directory as the records have it now; the next reading of them says the same."""
    entry = directory.stations.get(station)
    if entry is None:
        return directory
    return replace(directory, stations=directory.stations | {station: replace(entry, next_key_hmac=offered)})
