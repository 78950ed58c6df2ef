"""Messages on a station's display, and what it stores about a customer.

Source: OCPP 2.0.1 part 2 sections O and N09. Customer information comes as text in parts; each part is told with its
place in the report, and the store of details joins them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import field

from bridge.events import AnyEvent, Detail, DetailKind
from bridge.ocpp.blocks.details import detail, gone, reported, when_accepted
from bridge.ocpp.blocks.progress import RequestId
from bridge.ocpp.versions import Action, Context, Payload


class NotifyDisplayMessages(Payload, frozen=True):
    request_id: RequestId
    message_info: list[dict[str, Any]] = field(default_factory=list)
    tbc: bool = False


class NotifyCustomerInformation(Payload, frozen=True):
    request_id: RequestId
    data: str
    seq_no: RequestId = 0
    tbc: bool = False
    generated_at: str = ""


def _messages(request: NotifyDisplayMessages, context: Context) -> list[AnyEvent]:
    shown = [found for message in request.message_info for found in _message(message)]
    return [reported(context, DetailKind.MESSAGE, shown, request_id=request.request_id, more=request.tbc)]


def _message(message: Mapping[str, Any]) -> list[Detail]:
    display = message.get("display")
    place = display.get("evse") if isinstance(display, dict) else None
    evse = place.get("id") if isinstance(place, dict) else None
    return [detail(message["id"], message, evse)] if "id" in message else []


def _customer(request: NotifyCustomerInformation, context: Context) -> list[AnyEvent]:
    part = [detail(request.request_id, {"text": request.data})]
    more = {"request_id": request.request_id, "seq_no": request.seq_no, "more": request.tbc}
    return [reported(context, DetailKind.CUSTOMER, part, request.generated_at, **more)]


def _message_set(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    return [reported(context, DetailKind.MESSAGE, _message(asked["message"]))]


def _message_cleared(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[AnyEvent]:
    """Unknown says that it is not there, which is as good as Accepted."""
    is_away = answer.get("status") in ("Accepted", "Unknown")
    return [gone(context, DetailKind.MESSAGE, asked["id"])] if is_away else []


ACTIONS_2 = {
    "NotifyCustomerInformation": Action(NotifyCustomerInformation, _customer),
    "NotifyDisplayMessages": Action(NotifyDisplayMessages, _messages),
}
ANSWERS_2 = {
    "ClearDisplayMessage": _message_cleared,
    "SetDisplayMessage": when_accepted(_message_set),
}
