"""Conversations recorded from independent charger software, replayed over a real WebSocket.

``transcripts/*.jsonl``: a header (station, protocol, tokens that are known, the sessions that must come of it),
then one step a line: ["connect"], ["drop"], [">", action, payload, answer?] from the charger, ["<", action,
payload, answer] to it. Times are seconds after the start: "@12.3".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from ocpp_world import TARIFF, Charger, World, world

from bridge import schemas
from bridge.access import Directory, TokenEntry
from bridge.book import Book
from bridge.command_bus import CommandOutcome
from bridge.events import ConnectorStatus, MeterSampled
from bridge.events import decode as decode_events
from bridge.grades import grade
from bridge.intake import Intake
from bridge.journal import Journal
from bridge.session import Session
from bridge.settings import Unknown

FILES = sorted((Path(__file__).parent / "transcripts").glob("*.jsonl"))


class Replay:
    """Plays one recorded station. Ids of transactions are those that were answered here."""

    def __init__(self, house: World, head: dict[str, Any], steps: list[list[Any]]) -> None:
        self.head = head
        self.steps = steps
        self._house = house
        last_s = max(_seconds(steps), default=0.0)
        self.begin = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=last_s)
        self._transactions: dict[int, int] = {}
        self._charger: Charger | None = None
        self._links = AsyncExitStack()

    async def run(self) -> None:
        async with self._links:
            for step in self.steps:
                await self._step(*step)

    async def _step(self, kind: str, action: str = "", payload: Any = None, answer: Any = None) -> None:
        if kind == "connect":  # the one before may still be open and dead: its late close must do no harm
            if self._charger is not None:
                self._charger.link.transport.pause_reading()
            entered = self._house.charger(self.head["station"], self.head["protocol"], close_timeout=0.2)
            self._charger = await self._links.enter_async_context(entered)
        elif kind == "drop":
            assert self._charger is not None
            self._charger.link.transport.abort()
        elif kind == ">":
            await self._from_charger(action, self._localised(payload), answer)
        else:
            await self._to_charger(action, payload, answer)

    async def _from_charger(self, action: str, payload: Any, recorded: Any) -> None:
        assert self._charger is not None
        answer = await self._charger.call(action, payload)
        assert isinstance(answer, dict), f"{action} was refused: {answer}"
        assert schemas.violations(self.head["protocol"], action, answer, is_response=True) == []
        for key in ("idTagInfo", "idTokenInfo"):
            if recorded and key in recorded and action == "Authorize":
                assert answer[key]["status"] == recorded[key]["status"]
        if recorded and "transactionId" in recorded:
            self._transactions[recorded["transactionId"]] = answer["transactionId"]

    async def _to_charger(self, action: str, payload: Any, recorded: Any) -> None:
        assert self._charger is not None
        call = asyncio.create_task(self._house.server.call(self.head["station"], action, payload, 5.0))
        frame = json.loads(await self._charger.link.recv())
        assert frame[2:] == [action, payload]
        self._charger.answers[action] = recorded
        await self._charger.reply(frame)
        done = await call
        assert (done.outcome, done.payload) == (CommandOutcome.ANSWERED, recorded)

    def _localised(self, tree: Any) -> Any:
        if isinstance(tree, dict):
            tree = {key: self._localised(value) for key, value in tree.items()}
            if "transactionId" in tree:
                tree["transactionId"] = self._transactions.get(tree["transactionId"], tree["transactionId"])
            return tree
        if isinstance(tree, list):
            return [self._localised(item) for item in tree]
        if isinstance(tree, str) and tree.startswith("@"):
            at = self.begin + timedelta(seconds=float(tree[1:]))
            return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return tree


def _seconds(tree: Any) -> list[float]:
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list):
        return [second for item in tree for second in _seconds(item)]
    return [float(tree[1:])] if isinstance(tree, str) and tree.startswith("@") else []


def _directory(tokens: list[str]) -> Directory:
    return Directory(tokens={token: TokenEntry(token=token) for token in tokens})


async def _replay(tmp_path: Path, path: Path, check: Callable[[World, Replay], None]) -> None:
    steps = [json.loads(line) for line in path.read_text().splitlines()]  # noqa: ASYNC240
    head = steps.pop(0)
    async with world(tmp_path, _directory(head["tokens"]), contest_s=0.2) as house:
        replay = Replay(house, head, steps)
        await replay.run()
        await house.until(lambda: head["station"] not in house.server.connections, "the end of the connection")
        await house.until(lambda: house.journal.committed == house.journal.head, "the last commit")
        check(house, replay)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recorded_conversation_gives_its_sessions(path: Path, tmp_path: Path) -> None:
    def check(house: World, replay: Replay) -> None:
        found = [_facts(session) for session in house.sessions(replay.head["station"])]
        for facts, expected in zip(found, replay.head["sessions"], strict=True):
            assert {key: facts[key] for key in expected} == expected

    asyncio.run(_replay(tmp_path, path, check))


def _facts(session: Session) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(json.dumps(_struct(session)))
    return facts


def _struct(session: Session) -> dict[str, Any]:
    names = ("evse", "token", "energy_wh", "meter_start_wh", "meter_last_wh", "meter_stop_wh", "stop_reason")
    return {name: getattr(session, name) for name in names} | {
        "state": session.state.value,
        "review": list(session.review),
        "evidence": _evidence(session),
    }


def _evidence(session: Session) -> dict[str, Any]:
    """Without the clock: a replay is faster than what was recorded, so it would only tell the time of the test."""
    clock = {"clock_start_s": None, "clock_stop_s": None, "is_start_late": False, "is_stop_late": False}
    seen = replace(session.evidence, **clock)
    names = ("start", "has_start_register", "seq_first", "seq_last", "seq_missing")
    gaps = len(seen.gaps_that_matter)
    return {"grade": grade(replace(session, evidence=seen)).grade, "gaps": gaps} | {n: getattr(seen, n) for n in names}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_recorded_frame_is_in_the_journal_and_none_was_refused(path: Path, tmp_path: Path) -> None:
    def check(house: World, replay: Replay) -> None:
        entries = [entry for _, entry in house.journal.read(0, 10_000)]
        said = [entry.action for entry in entries if entry.direction == ">" and entry.reply]
        assert said == [step[1] for step in replay.steps if step[0] == ">"]
        ours = [entry.action for entry in entries if entry.direction == "<"]
        assert ours == [step[1] for step in replay.steps if step[0] == "<"]
        assert house.book.stations[replay.head["station"]].refused_frames == 0

    asyncio.run(_replay(tmp_path, path, check))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_reading_keeps_its_own_time_and_finds_its_session(path: Path, tmp_path: Path) -> None:
    def check(house: World, replay: Replay) -> None:
        events = [event for _, entry in house.journal.read(0, 10_000) for event in decode_events(entry.events)]
        readings = [event for event in events if isinstance(event, MeterSampled)]
        of_sessions = [event for event in readings if event.transaction_id]
        assert readings
        assert all(event.session_id and event.evse for event in of_sessions)
        assert all(event.unknown == () for event in readings)
        recorded = {round(second, 3) for second in _seconds(replay.steps)}
        assert {round((event.at - replay.begin) / timedelta(seconds=1), 3) for event in readings} <= recorded

    asyncio.run(_replay(tmp_path, path, check))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bridge_that_dies_reads_the_same_sessions_back(path: Path, tmp_path: Path) -> None:
    """Nothing is closed in order: a second journal opens the file as a new process would after a crash."""

    def check(house: World, replay: Replay) -> None:
        again = Journal(tmp_path / "journal.db")
        again.open()
        intake = Intake(Book("test"), again, Unknown.ACCEPT, TARIFF)
        assert intake.recover() == again.committed
        again.close()
        assert intake.book.sessions == house.book.sessions
        assert intake.book.connectors == house.book.connectors

    asyncio.run(_replay(tmp_path, path, check))


def test_a_connector_is_free_although_its_queued_stop_came_after(tmp_path: Path) -> None:
    def check(house: World, replay: Replay) -> None:
        connector = house.book.connectors["micro-16", 1, 1]
        assert connector.status is ConnectorStatus.AVAILABLE
        assert connector.power_w == 0.0

    path = next(path for path in FILES if path.stem == "micro-16")
    asyncio.run(_replay(tmp_path, path, check))
