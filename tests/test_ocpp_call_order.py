"""Order and truth of our calls under stress: fifty at once, answers late, doubled, swapped, to nobody, reconnects."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from calls_world import Wire, settle
from door_world import MAY_DISPLACE
from ocpp_world import world

from bridge import events
from bridge.command_bus import CommandOutcome
from bridge.events import CommandAnswered
from bridge.ocpp.commands import CallOutcome

ANSWERED, OFFLINE, TIMEOUT = CommandOutcome.ANSWERED, CommandOutcome.OFFLINE, CommandOutcome.TIMEOUT


def question(number: int) -> dict[str, Any]:
    return {"vendorId": "test", "data": str(number)}


def echo(frame: list[Any]) -> dict[str, Any]:
    return {"status": "Accepted", "data": frame[3]["data"]}


class Trickster:
    """A charger that answers what it was asked, and much else besides. ``ignored``: numbers it stays silent about
    until something else is asked."""

    def __init__(self, wire: Wire, seed: int, ignored: frozenset[int] = frozenset()) -> None:
        self.wire, self.rng, self.ignored = wire, Random(seed), ignored
        self.handled = 0
        self.matched: list[str] = []

    def say(self, message_id: str | int, payload: dict[str, Any]) -> None:
        waiting = self.wire.calls.match(message_id)
        if waiting is not None:
            self.matched.append(waiting.id)
            waiting.answer.set_result(CallOutcome(ANSWERED, payload))

    def noise(self) -> None:
        old = self.wire.frames[: self.handled]
        for _ in range(self.rng.randrange(4)):
            lie = {"status": "Rejected", "data": "a lie"}
            self.say(self.rng.choice([*[frame[1] for frame in old], "nobody's", "", 0, -1, 7]), lie)

    async def live(self) -> None:
        while True:
            while self.handled < len(self.wire.frames):
                assert len(self.wire.frames) == self.handled + 1, "two calls at once"
                frame = self.wire.frames[self.handled]
                self.noise()
                self.handled += 1
                if int(frame[3]["data"]) not in self.ignored:
                    self.say(frame[1], echo(frame))
                    self.say(frame[1], {"status": "Rejected", "data": "twice"})
                    self.noise()
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(5))
def test_quirk_23_fifty_calls_at_once_get_their_own_answers_amid_noise(seed: int) -> None:
    async def scene() -> None:
        wire = Wire()
        wire.calls.open()
        trickster = Trickster(wire, seed)
        living = asyncio.create_task(trickster.live())
        calls = [wire.calls.call("DataTransfer", question(number), 20.0) for number in range(50)]
        done = await asyncio.gather(*calls)
        living.cancel()
        assert [(d.outcome, d.payload["data"], d.payload["status"]) for d in done] == [
            (ANSWERED, str(number), "Accepted") for number in range(50)
        ]
        assert [frame[3]["data"] for frame in wire.frames] == [str(number) for number in range(50)]
        assert len(set(trickster.matched)) == len(trickster.matched) == 50

    asyncio.run(scene())


@pytest.mark.parametrize("seed", range(3))
def test_quirk_23_answers_that_come_after_their_time_reach_nobody(seed: int) -> None:
    async def scene() -> None:
        wire = Wire()
        wire.calls.open()
        trickster = Trickster(wire, seed, frozenset(range(0, 50, 10)))
        living = asyncio.create_task(trickster.live())
        for first in range(0, 50, 10):  # the first of ten is never answered in time, the others are long patient
            numbers = range(first, first + 10)
            calls = [wire.calls.call("DataTransfer", question(n), 0.05 if n == first else 20.0) for n in numbers]
            done = await asyncio.gather(*calls)
            assert [d.outcome for d in done] == [TIMEOUT] + [ANSWERED] * 9
            assert [d.payload["data"] for d in done[1:]] == [str(n) for n in list(numbers)[1:]]
        living.cancel()
        assert len(trickster.matched) == 45

    asyncio.run(scene())


def test_whoever_waited_in_vain_hears_whether_it_was_sent() -> None:
    async def scene() -> None:
        wire = Wire()
        wire.calls.open()
        first = asyncio.create_task(wire.calls.call("DataTransfer", question(1), 0.1))
        await settle()
        second = await wire.calls.call("DataTransfer", question(2), 0.02)
        assert (second.outcome, second.detail[:8]) == (TIMEOUT, "not sent")
        assert (await first).detail == "no answer within 0.1 s"
        assert len(wire.frames) == 1

    asyncio.run(scene())


def test_an_answer_in_the_moment_of_the_timeout_is_believed() -> None:
    """The loop may take the answer and the timer in one turn: what was answered must not be told as silence."""

    async def scene() -> None:
        wire = Wire()
        wire.calls.open()
        call = asyncio.create_task(wire.calls.call("DataTransfer", question(1), 0.05))
        await settle()
        loop = asyncio.get_running_loop()
        end_s = loop.time() + 0.2
        while loop.time() < end_s:
            pass  # the loop is busy until the timer is overdue
        loop.call_soon(wire.answer, 0, {"status": "Accepted"})  # runs in the turn that finds the timer due
        assert (await call).outcome is ANSWERED

    asyncio.run(scene())


# ---- on a real socket


def test_a_reconnect_ends_the_old_calls_and_takes_none_of_their_answers(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, MAY_DISPLACE) as built, built.charger("CP") as old, asyncio.timeout(30):
            await old.boot()
            calls = [
                asyncio.create_task(built.server.call("CP", "DataTransfer", question(number), 20.0))
                for number in range(50)
            ]
            seen = []
            for _ in range(10):
                frame = json.loads(await old.link.recv())
                seen.append(frame)
                await old.link.send(json.dumps([3, frame[1], echo(frame)]))
            late = json.loads(await old.link.recv())  # sent, and the line breaks before it is answered
            async with built.charger("CP") as new:
                await new.boot()
                done = await asyncio.gather(*calls)
                assert [d.outcome for d in done] == [ANSWERED] * 10 + [OFFLINE] * 40
                assert [d.payload["data"] for d in done[:10]] == [str(number) for number in range(10)]
                newer = asyncio.create_task(built.server.call("CP", "DataTransfer", question(99), 20.0))
                frame = json.loads(await new.link.recv())
                for message_id in (late[1], seen[0][1]):
                    await new.link.send(json.dumps([3, message_id, {"status": "Rejected"}]))
                await new.link.send(json.dumps([3, frame[1], echo(frame)]))
                assert (await newer).payload == {"status": "Accepted", "data": "99"}
            await built.until(lambda: built.journal.committed == built.journal.head, "the commit")
            told = [
                event
                for _, entry in built.journal.read(0, 1000)
                for event in events.decode(entry.events)
                if isinstance(event, CommandAnswered) and event.status == "Unexpected"
            ]
            assert [event.request_id for event in told] == [late[1], seen[0][1]]

    asyncio.run(scene())


def test_the_two_directions_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path) as built, built.charger("CP") as charger, asyncio.timeout(20):
            await charger.boot()
            ours = asyncio.create_task(built.server.call("CP", "DataTransfer", question(1), 20.0))
            call = json.loads(await charger.link.recv())
            for number in range(50):  # theirs are answered while ours is not
                await charger.link.send(json.dumps([2, f"h{number}", "Heartbeat", {}]))
                assert json.loads(await charger.link.recv())[:2] == [3, f"h{number}"]
            await charger.link.send(json.dumps([3, call[1], echo(call)]))
            assert (await ours).payload["data"] == "1"

    asyncio.run(scene())


def test_two_stations_with_the_same_habits_never_share_an_answer(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path) as built, built.charger("A") as a, built.charger("B") as b, asyncio.timeout(20):
            await a.boot()
            await b.boot()
            of_a = asyncio.create_task(built.server.call("A", "DataTransfer", question(1), 20.0))
            of_b = asyncio.create_task(built.server.call("B", "DataTransfer", question(2), 20.0))
            to_a, to_b = json.loads(await a.link.recv()), json.loads(await b.link.recv())
            await a.link.send(json.dumps([3, to_b[1], {"status": "Rejected"}]))
            await b.link.send(json.dumps([3, to_a[1], {"status": "Rejected"}]))
            await a.link.send(json.dumps([3, to_a[1], echo(to_a)]))
            await b.link.send(json.dumps([3, to_b[1], echo(to_b)]))
            assert [(await of_a).payload["data"], (await of_b).payload["data"]] == ["1", "2"]

    asyncio.run(scene())
