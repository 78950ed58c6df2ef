"""Commands to chargers travel over the broker: asked by anyone, answered by the bridge that holds the socket.

Request on ``chargewatch/command/<station>``: {"id", "action", "payload", "reply_to"}; answer on ``reply_to``:
{"id", "outcome", "payload", "detail"}. ``action`` is an OCPP action of that station's version or one of the
composed ones of ``bridge/ocpp/commands.py`` (StartForToken, StopSession, Reset, Trigger).
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


class CommandOutcome(StrEnum):
    ANSWERED = "answered"  # a CALLRESULT
    REFUSED = "refused"  # a CALLERROR, or the payload does not fit the station's schema
    OFFLINE = "offline"  # no bridge holds a socket of that station
    TIMEOUT = "timeout"  # sent, and no answer in time


class Request(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    action: str
    payload: dict[str, Any]
    reply_to: str
    timeout_s: float = 30.0


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``payload`` of the CALLRESULT; ``detail`` says in words why not."""

    id: str
    outcome: CommandOutcome
    payload: dict[str, Any] = {}
    detail: str = ""


def command_topic(station: str) -> str:
    return f"{COMMAND_ROOT}/{segment(station)}"


class CommandClient:
    """Asks through a broker connection that its owner starts afterwards. Thread-safe."""

    def __init__(self, broker: BrokerClient) -> None:
        self._broker = broker
        self._topic = f"{ANSWER_ROOT}/{uuid.uuid4().hex}"
        self._waiting: dict[str, tuple[threading.Event, list[Answer]]] = {}
        broker.subscribe(self._topic, self._on_answer)

    def request(self, station: str, action: str, payload: dict[str, Any], timeout_s: float = 30.0) -> Answer:
        """Ask and wait. No answer at all within ``timeout_s`` + 2 s means that no bridge has the station."""
        request = Request(
            id=uuid.uuid4().hex, action=action, payload=payload, reply_to=self._topic, timeout_s=timeout_s
        )
        if not self._broker.is_connected:
            return Answer(id=request.id, outcome=CommandOutcome.OFFLINE, detail="the MQTT broker is away")
        done, answers = self._waiting[request.id] = (threading.Event(), [])
        try:
            self._broker.publish(command_topic(station), msgspec.json.encode(request), qos=1)
            if done.wait(timeout_s + 2.0):
                return answers[0]
            return Answer(id=request.id, outcome=CommandOutcome.OFFLINE, detail=f"no bridge holds {station}")
        finally:
            self._waiting.pop(request.id, None)

    def _on_answer(self, _topic: str, payload: bytes, _retained: bool) -> None:
        try:
            answer = msgspec.json.decode(payload, type=Answer)
        except msgspec.MsgspecError:
            return
        waiting = self._waiting.get(answer.id)
        if waiting is not None:
            waiting[1].append(answer)
            waiting[0].set()
