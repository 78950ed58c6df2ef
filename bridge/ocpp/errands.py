"""What we do for a station of our own accord, after it was answered: a call, or several, that an event asks for.

An errand never delays an answer and never ends a connection: it runs as a task of its own, and what goes wrong in it
is logged. ``ERRANDS`` is the table; an action whose events it names sets ``asks``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from bridge.command_bus import CommandOutcome
from bridge.compose import compose
from bridge.events import AnyEvent, StationBooted
from bridge.ocpp.commands import CallOutcome
from bridge.policies import Policy
from bridge.snapshots import Station

_log = structlog.get_logger("ocpp")

SETTLE_S = (10.0, 40.0)  # after a boot: a charger is busy with itself, and a whole site may boot at once
_AGAIN_AFTER_S = 86_400.0  # what a station refused, or never answered, is not asked for again within a day
_MOST_ASKED = 50_000
_DESCRIBE_TIMEOUT_S = 60.0


class Caller(Protocol):
    """Whoever can call a station, and knows how it is treated."""

    async def call(self, station: str, action: str, payload: dict[str, Any], timeout_s: float) -> CallOutcome: ...

    def policy_of(self, station: str) -> Policy: ...


class Desk(Caller, Protocol):
    """What an errand may use. ``known`` is the station as the book has it; ``may_ask`` is True once a day for a
    station and subject."""

    def known(self, station: str) -> Station | None: ...

    def may_ask(self, station: str, subject: str) -> bool: ...


Errand = Callable[[Desk, Any], Awaitable[None]]


def wants_description(station: Station, policy: Policy) -> bool:
    """Does this station get asked for its whole device model, or configuration? Once for each firmware (the book
    forgets ``described_at`` when the firmware changes), unless its policy says that it cannot bear it."""
    return station.described_at is None and policy.ask_configuration == "all"


async def describe(desk: Desk, event: StationBooted) -> None:
    """A little after a boot ask for everything at once: GetBaseReport FullInventory, in 1.6 GetConfiguration without
    keys (single keys reboot some: field quirk 17). One that refuses, or dies of it, is left alone for a day."""
    await asyncio.sleep(random.uniform(*SETTLE_S))  # noqa: S311
    station = desk.known(event.station)
    if station is None or not station.is_connected or not wants_description(station, desk.policy_of(station.id)):
        return
    if not desk.may_ask(station.id, f"description of {station.firmware}"):
        return
    action, payload = compose(station.protocol, "GetConfiguration", {})
    done = await desk.call(station.id, action, payload, _DESCRIBE_TIMEOUT_S)
    if done.outcome is not CommandOutcome.ANSWERED:
        _log.info("a station did not describe itself", station=station.id, outcome=done.outcome, detail=done.detail)


ERRANDS: Mapping[type[AnyEvent], Errand] = {StationBooted: describe}


class Errands:
    """Runs errands on the loop; one running errand of a kind for a station is enough. It is the desk they run from."""

    def __init__(self, caller: Caller, known: Callable[[str], Station | None]) -> None:
        self.call = caller.call
        self.policy_of = caller.policy_of
        self.known = known
        self._table = dict(ERRANDS)
        self._asked: dict[tuple[str, str], float] = {}  # station, subject -> when, on the loop's clock
        self._running: dict[tuple[str, type[AnyEvent]], asyncio.Task[None]] = {}

    def teach(self, event: type[AnyEvent], errand: Errand) -> None:
        """One more, which needs what only the wiring has."""
        self._table[event] = errand

    def begin(self, station: str, events: Sequence[AnyEvent]) -> None:
        for event in events:
            errand, key = self._table.get(type(event)), (station, type(event))
            if errand is None or key in self._running:
                continue
            task = self._running[key] = asyncio.get_running_loop().create_task(self._run(errand, event))
            task.add_done_callback(lambda _, key=key: self._running.pop(key, None))  # type: ignore[misc]

    def may_ask(self, station: str, subject: str) -> bool:
        now_s = asyncio.get_running_loop().time()
        asked_s = self._asked.get((station, subject))
        if asked_s is not None and now_s - asked_s < _AGAIN_AFTER_S:
            return False
        self._asked.pop((station, subject), None)
        self._asked[station, subject] = now_s
        if len(self._asked) > _MOST_ASKED:  # a subject names a firmware, and that is whatever a station says
            del self._asked[next(iter(self._asked))]
        return True

    def stop(self) -> None:
        for task in list(self._running.values()):
            task.cancel()

    async def _run(self, errand: Errand, event: AnyEvent) -> None:
        try:
            await errand(self, event)
        except Exception:
            _log.exception("an errand failed", station=event.station, of=type(event).__name__)
