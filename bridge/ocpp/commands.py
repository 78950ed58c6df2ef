"""Our calls to a charger: one at a time, matched by unique ids, never before its boot is answered.

Whatever comes of a call is a value (``CallOutcome``); nothing is raised across the bus. The calls of a charger
and ours share no lock, so neither direction can hold up the other (field quirk 23).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from bridge import schemas
from bridge.command_bus import CommandOutcome
from bridge.ocpp import frames
from bridge.portions import merged


class CallOutcome(NamedTuple):
    """``payload`` of the CALLRESULT; ``code`` of the CALLERROR; ``detail`` says in words why not, ``path`` where in
    our payload."""

    outcome: CommandOutcome
    payload: Mapping[str, Any] = MappingProxyType({})
    code: str = ""
    detail: str = ""
    path: str = ""


class Waiting(NamedTuple):
    """A call that was sent and waits for its answer."""

    id: str
    action: str
    payload: Mapping[str, Any]
    answer: asyncio.Future[CallOutcome]


class _Gate:
    """``ready`` when calls may go out at all, ``turn`` for one after the other; kept while there are ``calls``."""

    def __init__(self, is_open: bool) -> None:
        self.calls = 0
        self.turn = asyncio.Lock()
        self.ready = asyncio.Event()
        if is_open:
            self.ready.set()


class Calls:
    """Our calls on one connection. ``send(action, frame)`` journals and sends. Used on the loop only."""

    def __init__(self, protocol: str, send: Callable[[str, bytes], None]) -> None:
        self._protocol = protocol
        self._send = send
        self._gate: _Gate | None = None  # most stations are rarely called
        self._waiting: Waiting | None = None
        self._is_closed = False
        self.is_open = False
        self.ask_single_keys = True
        self.full_report: int | None = None  # the id of the newest request for all that the station has (2.x)

    def open(self) -> None:
        """The boot is answered: calls may go out (field quirk 16)."""
        self.is_open = True
        if self._gate is not None:
            self._gate.ready.set()

    async def call(
        self, action: str, payload: Mapping[str, Any], timeout_s: float, is_early: bool = False
    ) -> CallOutcome:
        """Send when it is our turn and wait. ``timeout_s`` covers all of it. ``is_early``: even before its boot was
        accepted, as a station that is Pending may be asked to boot again (OCPP 1.6 section 4.2)."""
        if action == "GetConfiguration" and not self.ask_single_keys:
            payload = {}  # all of it: some restart when asked for one key (field quirk 17)
        wrong = what_is_wrong(self._protocol, action, payload)
        if wrong is not None:
            return wrong
        waiting = Waiting(str(uuid.uuid4()), action, payload, asyncio.get_running_loop().create_future())
        gate = self._gate = self._gate or _Gate(self.is_open)
        gate.calls += 1
        try:
            async with asyncio.timeout(timeout_s):
                if not is_early:
                    await gate.ready.wait()
                async with gate.turn:
                    return await self._call_now(waiting)
        except TimeoutError:
            return self._late(waiting, timeout_s)
        finally:
            gate.calls -= 1
            if not gate.calls:
                self._gate = None

    def match(self, message_id: str | int) -> Waiting | None:
        """The call this answers, once; ``None`` for a late or unknown answer."""
        waiting = self._waiting
        if waiting is None or waiting.id != message_id or waiting.answer.done():
            return None
        self._waiting = None
        return waiting

    def close(self) -> None:
        """The connection is gone: nobody will answer."""
        self._is_closed = True
        self.open()
        if self._waiting is not None and not self._waiting.answer.done():
            self._waiting.answer.set_result(_gone())

    def _late(self, waiting: Waiting, timeout_s: float) -> CallOutcome:
        """Whoever asked must know whether the charger may have heard it."""
        answer = waiting.answer
        if answer.done() and not answer.cancelled():  # it came in the same moment
            return answer.result()
        if not self.is_open:
            return CallOutcome(CommandOutcome.OFFLINE, detail="the station has not booted yet; nothing was sent")
        if not answer.cancelled():
            detail = f"not sent: the station was busy with earlier calls for {round(timeout_s, 2):g} s"
            return CallOutcome(CommandOutcome.TIMEOUT, detail=detail)
        return CallOutcome(CommandOutcome.TIMEOUT, detail=f"no answer within {round(timeout_s, 2):g} s")

    async def _call_now(self, waiting: Waiting) -> CallOutcome:
        if self._is_closed:
            return _gone("the connection closed before this was sent")
        self._waiting = waiting
        if waiting.payload.get("reportBase") == "FullInventory":
            self.full_report = waiting.payload.get("requestId")
        try:
            self._send(waiting.action, frames.call(waiting.id, waiting.action, waiting.payload))
            return await waiting.answer
        finally:
            if self._waiting is waiting:
                self._waiting = None


def what_is_wrong(protocol: str, action: str, payload: Mapping[str, Any]) -> CallOutcome | None:
    """Why this must not be sent: no call of ours in that version, or a payload that breaks its schema."""
    if action not in schemas.calls_to_station(protocol):
        detail = f"{action[:64]} is no call to a charger in {protocol}"
        return CallOutcome(CommandOutcome.INVALID, detail=detail, path="action")
    found = schemas.violations(protocol, action, dict(payload))
    return CallOutcome(CommandOutcome.INVALID, detail=found[0].detail, path=found[0].path) if found else None


def _gone(detail: str = "the connection closed before an answer came") -> CallOutcome:
    return CallOutcome(CommandOutcome.OFFLINE, detail=detail)


async def in_portions(
    action: str, portions: Sequence[dict[str, Any]], call: Callable[[dict[str, Any]], Awaitable[CallOutcome]]
) -> CallOutcome:
    """Several calls as one (``bridge/portions.py``). The first that is not taken is the outcome, with what was
    answered until then."""
    answers: list[Mapping[str, Any]] = []
    for number, portion in enumerate(portions, 1):
        done = await call(portion)
        answers.append(done.payload)
        is_refused = done.payload.get("status", "Accepted") != "Accepted"
        if done.outcome is not CommandOutcome.ANSWERED or is_refused:
            detail = f"{number - 1} of {len(portions)} portions were taken; {done.detail or 'then it refused'}"
            return done._replace(payload=merged(action, answers), detail=detail)
    return done._replace(payload=merged(action, answers))
