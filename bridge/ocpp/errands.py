"""What we do for a station of our own accord, after it was answered: a call, or several, that an event asks for.

An errand never delays an answer and never ends a connection: it runs as a task of its own, and what goes wrong in it
is logged. ``ERRANDS`` is the table; an action whose events it names sets ``asks``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from bridge.events import AnyEvent
from bridge.ocpp.commands import CallOutcome
from bridge.policies import Policy

_log = structlog.get_logger("ocpp")


class Caller(Protocol):
    """Whoever can call a station, and knows how it is treated."""

    def policy_of(self, station: str) -> Policy: ...

    async def call(self, station: str, action: str, payload: dict[str, Any], timeout_s: float) -> CallOutcome: ...


Errand = Callable[[Caller, Any], Awaitable[None]]

ERRANDS: Mapping[type[AnyEvent], Errand] = {}


class Errands:
    """Runs errands on the loop; one running errand of a kind for a station is enough."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._running: dict[tuple[str, type[AnyEvent]], asyncio.Task[None]] = {}

    def begin(self, station: str, events: Sequence[AnyEvent]) -> None:
        for event in events:
            errand, key = ERRANDS.get(type(event)), (station, type(event))
            if errand is None or key in self._running:
                continue
            task = self._running[key] = asyncio.get_running_loop().create_task(self._run(errand, event))
            task.add_done_callback(lambda _, key=key: self._running.pop(key, None))  # type: ignore[misc]

    def stop(self) -> None:
        for task in list(self._running.values()):
            task.cancel()

    async def _run(self, errand: Errand, event: AnyEvent) -> None:
        try:
            await errand(self._caller, event)
        except Exception:
            _log.exception("an errand failed", station=event.station, of=type(event).__name__)
