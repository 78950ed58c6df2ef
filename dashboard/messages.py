"""The raw frames of a station as conversations: a call and its answer side by side, with how long it took. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from bridge.stores.telemetry import FrameRow
from dashboard.dossier import without_cards

LATE_AFTER = timedelta(seconds=60)
_CALL, _SEND = 2, 6  # message types of OCPP-J (part 4, section 4.1); 3, 4 and 5 answer one
_ANSWERS = {3: "answered", 4: "refused", 5: "refused"}


class Frame(NamedTuple):
    """A frame as shown. ``kind`` is OCPP's message type, 0 for what is none; ``late`` how much older what it tells is
    than its receipt, when that is more than a minute."""

    row: FrameRow
    kind: int
    id: str
    body: Any
    late: timedelta | None


class Talk(NamedTuple):
    """A frame, and beside it its answer when that is known. ``first`` may be an answer whose call is not known."""

    first: Frame
    answer: Frame | None

    @property
    def took(self) -> timedelta | None:
        return self.answer.row.received_at - self.first.row.received_at if self.answer else None

    @property
    def outcome(self) -> str:
        return _ANSWERS.get(self.answer.kind, "") if self.answer else ""


def talks(rows: Sequence[FrameRow], around: Iterable[FrameRow] = ()) -> list[Talk]:
    """``rows`` newest first, each as a conversation once; ``around`` are further frames among which their counterparts
    may be."""
    shown = [read(row) for row in rows]
    known = [*shown, *(read(row) for row in around)]
    calls = {(frame.id, frame.row.direction): frame for frame in known if frame.kind == _CALL}
    answers = {(frame.id, frame.row.direction): frame for frame in known if frame.kind in _ANSWERS}
    found: dict[int, Talk] = {}
    for number, frame in enumerate(shown):
        call, answer = _pair(frame, calls, answers)
        first = call or frame
        found.setdefault(_identity(first, number), Talk(first, answer if first is not answer else None))
    return list(found.values())


def _pair(
    frame: Frame, calls: dict[tuple[str, str], Frame], answers: dict[tuple[str, str], Frame]
) -> tuple[Frame | None, Frame | None]:
    other = "<" if frame.row.direction == ">" else ">"
    if frame.kind == _CALL:
        return frame, answers.get((frame.id, other))
    if frame.kind in _ANSWERS:
        return calls.get((frame.id, other)), frame
    return None, None


def _identity(frame: Frame, number: int) -> int:
    return hash((frame.id, frame.row.direction)) if frame.kind == _CALL else -number - 1


def read(row: FrameRow) -> Frame:
    """With the numbers of cards masked. Text that is no JSON stays text."""
    row = row._replace(text=without_cards(row.text))
    try:
        body = msgspec.json.decode(row.text)
    except (msgspec.MsgspecError, RecursionError):
        return Frame(row, 0, "", None, None)
    is_ocpp = (
        isinstance(body, list) and len(body) >= 3 and isinstance(body[0], int) and body[0] in (_CALL, _SEND, *_ANSWERS)
    )
    kind = body[0] if is_ocpp else 0
    return Frame(row, kind, str(body[1])[:64] if kind else "", body, _late(row, body) if row.direction == ">" else None)


def payload_of(frame: Frame) -> Any:
    """What a frame carries, without the envelope."""
    if frame.kind in (_CALL, _SEND) and len(frame.body) > 3:
        return frame.body[3]
    return frame.body[2] if frame.kind == 3 else frame.body


def pretty(frame: Frame) -> str:
    """The frame as JSON by lines, or its text as it came."""
    if frame.body is None:
        return frame.row.text
    return msgspec.json.format(msgspec.json.encode(frame.body), indent=2).decode()


def _late(row: FrameRow, body: Any) -> timedelta | None:
    told = [at for at in map(_moment, _timestamps(body[3] if isinstance(body, list) and len(body) > 3 else body)) if at]
    if not told or row.received_at - max(told) <= LATE_AFTER:
        return None
    return row.received_at - max(told)


def _timestamps(payload: Any) -> Iterable[str]:
    if not isinstance(payload, dict):
        return
    for name in ("timestamp", "generatedAt"):
        if isinstance(payload.get(name), str):
            yield payload[name]
    values = payload.get("meterValue")
    for value in values if isinstance(values, list) else []:
        yield from _timestamps(value)


def _moment(text: str) -> datetime | None:
    try:
        found = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return found if found.tzinfo is not None else None
