"""A bridge that is killed in mid-session, again and again, loses and doubles nothing that it acknowledged."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from servers import free_port
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from bridge.bench.process import bridge_environment
from bridge.session import SessionState
from bridge.stores.records import Records, SessionQuery

STATIONS = 100
KILLS = 5
SESSIONS = 3
READINGS = 40
BEGIN = datetime.now(UTC).replace(microsecond=0)


class Charger:
    """Sends one call at a time and, like a real charger, sends it again until it is answered."""

    def __init__(self, number: int, port: int) -> None:
        self.id = f"KILL-{number:03d}"
        self._url = f"ws://127.0.0.1:{port}/ocpp/{self.id}"
        self._link = None
        self._calls = 0
        self.acknowledged: list[str] = []
        self.transactions: list[int] = []
        self.interruptions = 0

    async def run(self) -> None:
        for session in range(SESSIONS):
            at, meter = BEGIN + timedelta(minutes=session), 10_000 * (session + 1)
            start = {"connectorId": 1, "idTag": "CARD", "meterStart": meter, "timestamp": at.isoformat()}
            transaction = (await self._call("StartTransaction", start))["transactionId"]
            self.transactions.append(transaction)
            for reading in range(1, READINGS + 1):
                await self._call("MeterValues", self._reading(transaction, at, meter, reading))
                await asyncio.sleep(0.1)
            end = (at + timedelta(seconds=READINGS + 1)).isoformat()
            stop = {"transactionId": transaction, "meterStop": meter + 100 * (READINGS + 1), "timestamp": end}
            await self._call("StopTransaction", stop)

    def _reading(self, transaction: int, at: datetime, meter: int, reading: int) -> dict[str, object]:
        moment = (at + timedelta(seconds=reading)).isoformat()
        sampled = [{"value": str(meter + 100 * reading), "unit": "Wh"}]
        return {
            "connectorId": 1,
            "transactionId": transaction,
            "meterValue": [{"timestamp": moment, "sampledValue": sampled}],
        }

    async def _call(self, action: str, payload: dict[str, object]) -> dict[str, int]:
        self._calls += 1
        id = f"{self.id}-{self._calls}"
        while True:
            try:
                answer = await self._ask(json.dumps([2, id, action, payload]), id)
            except (OSError, WebSocketException, TimeoutError):
                self._link = None
                self.interruptions += 1
                await asyncio.sleep(0.1)
                continue
            assert answer[0] == 3, answer
            self.acknowledged.append(id)
            return answer[2]

    async def _ask(self, frame: str, id: str) -> list[object]:
        if self._link is None:
            self._link = await connect(self._url, subprotocols=["ocpp1.6"], compression=None, open_timeout=5)
        await self._link.send(frame)
        while True:
            answer = json.loads(await asyncio.wait_for(self._link.recv(), 10))
            if answer[1] == id:
                return answer


def start_bridge(folder: Path, port: int) -> subprocess.Popen[bytes]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CHARGEWATCH_")}
    with (folder / "bridge.log").open("ab") as log:
        environment = clean | bridge_environment(folder, port)
        return subprocess.Popen([sys.executable, "-m", "bridge"], env=environment, cwd=folder, stdout=log, stderr=log)


async def drive(folder: Path, port: int) -> list[Charger]:
    chargers = [Charger(number, port) for number in range(STATIONS)]
    bridge = start_bridge(folder, port)
    running = asyncio.gather(*(charger.run() for charger in chargers))
    try:
        for _ in range(KILLS):
            await asyncio.sleep(2.5)
            bridge.send_signal(signal.SIGKILL)
            bridge.wait()
            bridge = start_bridge(folder, port)
        await asyncio.wait_for(running, 120)
        await asyncio.to_thread(settle, folder)
    finally:
        bridge.terminate()
        bridge.wait(20)
    return chargers


def settle(folder: Path) -> None:
    """Wait until the records have followed the journal to its end."""
    journal = sqlite3.connect(folder / "journal.db", timeout=10)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        head = journal.execute("SELECT max(seq) FROM entries").fetchone()[0]
        cursors = dict(journal.execute("SELECT name, seq FROM cursors"))
        records_follow = cursors.get("records", 0) >= cursors["state-head"]
        if records_follow and min(cursors.get(name, 0) for name in ("checkpoint", "telemetry")) >= head:
            break
        time.sleep(0.1)
    journal.close()


@pytest.mark.timeout(180)
def test_five_kills_under_a_hundred_stations_lose_and_double_nothing(tmp_path: Path) -> None:
    chargers = asyncio.run(drive(tmp_path, free_port()))

    journal = sqlite3.connect(tmp_path / "journal.db")
    rows = journal.execute("SELECT CAST(frame AS TEXT) FROM entries WHERE source LIKE 'ocpp%' AND length(frame) > 0")
    frames = [json.loads(row[0]) for row in rows]
    journal.close()
    kept = {frame[1] for frame in frames}
    acknowledged = {id for charger in chargers for id in charger.acknowledged}
    assert len(acknowledged) == STATIONS * SESSIONS * (READINGS + 2)
    assert acknowledged <= kept, sorted(acknowledged - kept)[:5]
    assert min(charger.interruptions for charger in chargers) >= KILLS, "a kill hit nobody at work"

    with Records(f"sqlite:///{tmp_path / 'records.db'}") as records:
        for charger in chargers:
            sessions = records.sessions(SessionQuery(station=charger.id)).items
            assert [int(s.transaction_id) for s in reversed(sessions)] == charger.transactions
            assert {s.state for s in sessions} == {SessionState.ENDED}
            assert {s.energy_wh for s in sessions} == {100 * (READINGS + 1)}
            assert not any(s.review for s in sessions)

    telemetry = sqlite3.connect(tmp_path / "telemetry.db")
    assert telemetry.execute("SELECT count(*) FROM samples").fetchone()[0] == STATIONS * SESSIONS * READINGS
    telemetry.close()
