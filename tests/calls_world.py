"""Our calls on a wire that remembers them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from bridge.command_bus import CommandOutcome
from bridge.ocpp.commands import CallOutcome, Calls


class Wire:
    """Remembers what was sent."""

    def __init__(self, protocol: str = "ocpp1.6") -> None:
        self.frames: list[list[Any]] = []
        self.calls = Calls(protocol, lambda action, frame: self.frames.append(json.loads(frame)))

    def answer(self, number: int, payload: dict[str, Any]) -> bool:
        waiting = self.calls.match(self.frames[number][1])
        if waiting is None:
            return False
        waiting.answer.set_result(CallOutcome(CommandOutcome.ANSWERED, payload))
        return True


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
