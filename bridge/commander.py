"""Answers commands from the bus for the stations whose socket this bridge holds."""

from __future__ import annotations

import asyncio
from typing import Protocol
from urllib.parse import unquote

import msgspec
import structlog

from bridge.broker import BrokerClient
from bridge.command_bus import ANSWER_ROOT, Answer, CommandOutcome, Request
from bridge.live import COMMAND_ROOT

_log = structlog.get_logger("commands")


class Holder(Protocol):
    """Whoever holds stations' sockets."""

    def holds(self, station: str) -> bool: ...

    async def execute(self, request: Request, station: str) -> Answer: ...


class Commander:
    """Listens on ``chargewatch/command/+``. A station that another bridge holds is not ours to answer for."""

    def __init__(self, broker: BrokerClient, holder: Holder) -> None:
        self._broker = broker
        self._holder = holder
        self._loop = asyncio.get_running_loop()
        self._running: set[asyncio.Task[None]] = set()
        broker.subscribe(f"{COMMAND_ROOT}/+", self._on_request)

    def _on_request(self, topic: str, payload: bytes, retained: bool) -> None:
        if retained:
            return  # a command is for now; one that lies on the broker is nobody's wish any more
        try:
            request = msgspec.json.decode(payload, type=Request)
        except msgspec.MsgspecError as error:
            _log.warning("a command that cannot be read", error=str(error))
            return
        station = unquote(topic.rsplit("/", 1)[1])
        if self._holder.holds(station) and request.reply_to.startswith(f"{ANSWER_ROOT}/"):
            self._loop.call_soon_threadsafe(self._begin, request, station)

    def _begin(self, request: Request, station: str) -> None:
        task = self._loop.create_task(self._execute(request, station))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _execute(self, request: Request, station: str) -> None:
        self._say(request, Answer(id=request.id, outcome=CommandOutcome.TAKEN))
        answer = await self._holder.execute(request, station)
        _log.info("command", station=station, action=request.action, outcome=answer.outcome)
        self._say(request, answer)

    def _say(self, request: Request, answer: Answer) -> None:
        self._broker.publish(request.reply_to, msgspec.json.encode(answer), qos=1)
