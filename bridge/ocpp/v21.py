"""OCPP 2.1: what it adds to 2.0.1, whose payloads it keeps. Sections are those of part 2 of the OCPP 2.1 specification.

Texts and lists may be longer, enumerations have more words, numbers more of them: the typed payloads of 2.0.1 take all
of it, and the official schemas of 2.1 are what a message is held against.
"""

from __future__ import annotations

from typing import Any

from bridge.events import AnyEvent, DetailKind
from bridge.ocpp import v201
from bridge.ocpp.blocks import charging, der, payments, security_messages, streams
from bridge.ocpp.blocks.details import detail, reported
from bridge.ocpp.blocks.progress import RequestId
from bridge.ocpp.versions import Action, AnswerEvents, Context, Payload, Version

PROTOCOL = "ocpp2.1"


class BatterySwap(Payload, frozen=True):
    battery_data: list[dict[str, Any]]
    event_type: str
    id_token: v201.IdToken
    request_id: RequestId


def _battery(request: BatterySwap, context: Context) -> list[AnyEvent]:
    """Section S: each battery under its serial number, with which way it went."""
    how = {"eventType": request.event_type, "requestId": request.request_id, "idToken": request.id_token.id_token}
    found = []
    for battery in request.battery_data:
        evse = battery.get("evseId")
        found.append(detail(battery.get("serialNumber") or f"evse {evse}", battery | how, evse))
    return [reported(context, DetailKind.BATTERY, found, request_id=request.request_id)]


ACTIONS: dict[str, Action] = {
    **v201.ACTIONS,
    "BatterySwap": Action(BatterySwap, _battery),
    **charging.ACTIONS_21,
    **der.ACTIONS_21,
    **payments.ACTIONS_21,
    **security_messages.ACTIONS_21,
    **streams.ACTIONS_21,
}
ANSWERS: dict[str, AnswerEvents] = {
    **v201.ANSWERS,
    **charging.ANSWERS_21,
    **der.ANSWERS_21,
    **payments.ANSWERS_21,
    **streams.ANSWERS_21,
}
VERSION = Version(PROTOCOL, ACTIONS, ANSWERS, v201.VERSION, streams.SENDS_21)
