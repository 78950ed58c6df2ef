"""Records of what a station has, made from payloads: what the functional blocks share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from bridge import secrecy
from bridge.events import Detail, DetailKind, DetailsReported
from bridge.ocpp import frames
from bridge.ocpp.blocks.readings import moment
from bridge.ocpp.versions import AnswerEvents, Context, Payload

_T = TypeVar("_T")
_MAX_EVSE = 999
_SAID = frozenset(("Accepted", "RebootRequired"))


def body_of(payload: Payload, *without: str) -> dict[str, Any]:
    """What a payload says, in the words of the protocol; what it leaves out is left out."""
    fields: dict[str, Any] = msgspec.to_builtins(payload)
    return {key: value for key, value in fields.items() if key not in without and value not in ("", None, [], {})}


def detail(key: object, body: Mapping[str, Any], evse: Any = None) -> Detail:
    """One thing, fit to be stored: no secret, nothing a store cannot take. An ``evse`` that cannot be one is none."""
    place = evse if type(evse) is int and 0 <= evse <= _MAX_EVSE else None
    return Detail(key=str(key), body=secrecy.hidden(frames.clean(dict(body))), evse=place)


def reported(
    context: Context, kind: DetailKind, details: Iterable[Detail], said_at: str = "", **more: Any
) -> DetailsReported:
    """The event; ``said_at`` is the station's own time where the message has one."""
    return DetailsReported(
        station=context.station,
        at=moment(said_at, context.received_at),
        received_at=context.received_at,
        kind=kind,
        details=tuple(details),
        **more,
    )


def gone(context: Context, kind: DetailKind, *keys: object, **matching: Any) -> DetailsReported:
    """What a station no longer has: these keys, or without any key everything of that kind whose body and EVSE
    match."""
    if keys:
        return reported(context, kind, [Detail(key=str(key)) for key in keys], is_gone=True)
    evse = matching.pop("evse", None)
    return reported(context, kind, [Detail(key=Detail.ANY, body=matching, evse=evse)], is_gone=True)


def taken(asked: Mapping[str, Any], shape: type[_T]) -> _T:
    """A payload as ``shape``. Raises msgspec.ValidationError for one that cannot be that."""
    return msgspec.convert(asked, shape, strict=False)


def when_accepted(reader: AnswerEvents) -> AnswerEvents:
    """A reader of answers that only an accepted call is told to."""

    def read(asked: Mapping[str, Any], answer: Mapping[str, Any], context: Context) -> list[Any]:
        return reader(asked, answer, context) if is_accepted(answer) else []

    return read


def is_accepted(answer: Mapping[str, Any], field: str = "status") -> bool:
    status = answer.get(field)
    return isinstance(status, str) and status in _SAID
