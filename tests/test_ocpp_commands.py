"""Our calls: checked, one at a time, matched once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from calls_world import Wire, settle

from bridge.command_bus import CommandOutcome


def play(scene: Callable[[Wire], Awaitable[None]]) -> None:
    async def run() -> None:
        await scene(Wire())

    asyncio.run(run())


def test_an_answer_goes_to_its_call() -> None:
    async def scene(wire: Wire) -> None:
        wire.calls.open()
        call = asyncio.create_task(wire.calls.call("ClearCache", {}, 5.0))
        await settle()
        assert wire.frames[0][2:] == ["ClearCache", {}]
        assert wire.answer(0, {"status": "Accepted"})
        assert (await call).payload == {"status": "Accepted"}

    play(scene)


def test_one_call_at_a_time_in_order_with_unique_ids() -> None:
    async def scene(wire: Wire) -> None:
        wire.calls.open()
        calls = [asyncio.create_task(wire.calls.call("ClearCache", {}, 5.0)) for _ in range(3)]
        for number in range(3):
            await settle()
            assert len(wire.frames) == number + 1
            wire.answer(number, {"status": str(number)})
        assert [(await call).payload["status"] for call in calls] == ["0", "1", "2"]
        assert len({frame[1] for frame in wire.frames}) == 3

    play(scene)


def test_quirk_16_nothing_is_sent_before_the_boot_is_answered() -> None:
    async def scene(wire: Wire) -> None:
        done = await wire.calls.call("ClearCache", {}, 0.01)
        assert (done.outcome, wire.frames) == (CommandOutcome.OFFLINE, [])
        call = asyncio.create_task(wire.calls.call("ClearCache", {}, 5.0))
        await settle()
        assert wire.frames == []
        wire.calls.open()
        await settle()
        assert len(wire.frames) == 1
        wire.answer(0, {})
        await call

    play(scene)


def test_quirk_23_a_late_answer_matches_no_newer_call() -> None:
    async def scene(wire: Wire) -> None:
        wire.calls.open()
        assert (await wire.calls.call("ClearCache", {}, 0.01)).outcome is CommandOutcome.TIMEOUT
        newer = asyncio.create_task(wire.calls.call("ClearCache", {}, 5.0))
        await settle()
        assert not wire.answer(0, {"status": "late"})
        assert wire.answer(1, {"status": "mine"})
        assert not wire.answer(1, {"status": "twice"})
        assert (await newer).payload == {"status": "mine"}

    play(scene)


def test_a_connection_that_closes_ends_the_waiting() -> None:
    async def scene(wire: Wire) -> None:
        wire.calls.open()
        calls = [asyncio.create_task(wire.calls.call("ClearCache", {}, 5.0)) for _ in range(2)]
        await settle()
        wire.calls.close()
        assert {(await call).outcome for call in calls} == {CommandOutcome.OFFLINE}
        assert len(wire.frames) == 1

    play(scene)


@pytest.mark.parametrize(
    ("action", "payload", "word"),
    [("Reset", {"type": "Warm"}, "type"), ("Reset", {}, "type"), ("Nonsense", {}, "Nonsense")],
)
def test_a_payload_that_breaks_the_schema_never_leaves(action: str, payload: dict[str, Any], word: str) -> None:
    async def scene(wire: Wire) -> None:
        wire.calls.open()
        done = await wire.calls.call(action, payload, 1.0)
        assert done.outcome is CommandOutcome.INVALID
        assert word in done.detail
        assert wire.frames == []

    play(scene)
