"""Commands to chargers travel over the broker: asked by anyone, answered by the bridge that holds the socket.

Request on ``chargewatch/command/<station>``: {"id", "action", "payload", "reply_to"}; answer on ``reply_to``:
{"id", "outcome", "payload", "code", "detail", "path"}, and before it one with the outcome ``taken``. ``action`` is
an OCPP action of that station's version or one of the composed ones of ``bridge/compose``.
"""

from __future__ import annotations

import threading
import uuid
from enum import StrEnum
from typing import Any

import msgspec

from bridge.broker import BrokerClient
from bridge.live import COMMAND_ROOT, segment

ANSWER_ROOT = "chargewatch/answer"
_TAKEN_WITHIN_S = 3.0


class CommandOutcome(StrEnum):
    ANSWERED = "answered"  # a CALLRESULT
    REFUSED = "refused"  # a CALLERROR
    INVALID = "invalid"  # not sent: no action of that station's version, or a payload that breaks its schema
    OFFLINE = "offline"  # no bridge holds a socket of that station
    HELD = "held"  # not sent: the station waits for a person's approval
    TIMEOUT = "timeout"  # no answer in time; detail says whether it was sent
    TAKEN = "taken"  # on the bus only: a bridge holds the station and has begun


class Request(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    action: str
    payload: dict[str, Any]
    reply_to: str
    timeout_s: float = 30.0


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``payload`` of the CALLRESULT; ``code`` of the CALLERROR; ``detail`` says in words why not, ``path`` where in
    the payload that was to be sent."""

    id: str
    outcome: CommandOutcome
    payload: dict[str, Any] = {}
    code: str = ""
    detail: str = ""
    path: str = ""


def command_topic(station: str) -> str:
    return f"{COMMAND_ROOT}/{segment(station)}"


class _Waiting:
    def __init__(self) -> None:
        self.taken = threading.Event()
        self.done = threading.Event()
        self.answer: Answer | None = None


class CommandClient:
    """Asks through a broker connection that its owner starts afterwards. Thread-safe."""

    def __init__(self, broker: BrokerClient) -> None:
        self._broker = broker
        self._topic = f"{ANSWER_ROOT}/{uuid.uuid4().hex}"
        self._waiting: dict[str, _Waiting] = {}
        broker.subscribe(self._topic, self._on_answer)

    @property
    def is_connected(self) -> bool:
        return self._broker.is_connected

    def request(self, station: str, action: str, payload: dict[str, Any], timeout_s: float = 30.0) -> Answer:
        """Ask and wait. A bridge that holds the station says at once that it has begun; where none does within
        ``_TAKEN_WITHIN_S`` the station is offline."""
        request = Request(
            id=uuid.uuid4().hex, action=action, payload=payload, reply_to=self._topic, timeout_s=timeout_s
        )
        if not self._broker.is_connected:
            return Answer(id=request.id, outcome=CommandOutcome.OFFLINE, detail="the MQTT broker is away")
        waiting = self._waiting[request.id] = _Waiting()
        try:
            self._broker.publish(command_topic(station), msgspec.json.encode(request), qos=1)
            if not waiting.taken.wait(_TAKEN_WITHIN_S):
                return Answer(id=request.id, outcome=CommandOutcome.OFFLINE, detail=f"no bridge holds {station}")
            if not waiting.done.wait(timeout_s + _TAKEN_WITHIN_S) or waiting.answer is None:
                detail = f"the bridge of {station} took the command and was not heard of again"
                return Answer(id=request.id, outcome=CommandOutcome.TIMEOUT, detail=detail)
            return waiting.answer
        finally:
            self._waiting.pop(request.id, None)

    def _on_answer(self, _topic: str, payload: bytes, _retained: bool) -> None:
        try:
            answer = msgspec.json.decode(payload, type=Answer)
        except msgspec.MsgspecError:
            return
        waiting = self._waiting.get(answer.id)
        if waiting is None:
            return
        if answer.outcome is not CommandOutcome.TAKEN:
            waiting.answer = answer
            waiting.done.set()
        waiting.taken.set()
