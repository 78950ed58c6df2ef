"""``chargewatch bench`` measures real processes, and says so when it cannot."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from ocpp_world import world
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from bridge.bench import connections
from bridge.bench.client import Client
from bridge.command_bus import CommandOutcome
from dashboard.cli import cli


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_FIRST", 5)
    monkeypatch.setattr(connections, "_SETTLE_S", 0.1)


@pytest.mark.usefixtures("quick")
def test_a_fleet_that_comes_at_once_is_measured(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    done = CliRunner().invoke(cli, ["bench", "connections", "--stations", "40", "--json", "--save", str(kept)])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result == json.loads(kept.read_text())
    assert result["stations"] == 40
    assert result["boots_per_s"] == pytest.approx(40 / result["seconds_to_all_booted"], rel=0.1)
    assert 0 < result["reply_p50_ms"] <= result["reply_p99_ms"]
    assert result["memory_fresh_mib"] > 10, "a bridge with its libraries"


class Listener(Client):
    refuses_calls = True

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.heard: list[bytes] = []

    def on_answer(self, payload: bytes) -> None:
        self.heard.append(payload)


def test_an_idle_station_answers_pings_and_takes_none_for_an_answer(tmp_path: Path) -> None:
    async def scene() -> None:
        async with world(tmp_path, ping_interval_s=0.05) as house:
            loop = asyncio.get_running_loop()
            _, client = await loop.create_connection(lambda: Listener("/ocpp/CP"), "127.0.0.1", house.server.port)
            assert await client.opened
            await house.until(lambda: house.server.connections["CP"].answers_pings, "a pong")
            client.say(b'[2,"1","Heartbeat",{}]')
            await house.until(lambda: client.heard, "the answer")
            assert [payload[:6] for payload in client.heard] == [b'[3,"1"']
            client.say(b'[2,"2","BootNotification",{"chargePointVendor":"a","chargePointModel":"b"}]')
            done = await house.server.call("CP", "ClearCache", {}, 10.0)
            assert (done.outcome, done.code) == (CommandOutcome.REFUSED, "NotSupported")
            client.close()

    asyncio.run(scene())


class Echoed(Listener):
    refuses_calls = False

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.said_last = asyncio.Event()

    def on_answer(self, payload: bytes) -> None:
        super().on_answer(payload)
        if b"last" in payload:
            self.said_last.set()


def test_of_an_echo_one_message_is_one_answer() -> None:
    """Else the floor that everything is held against would be half of what it is."""

    async def scene() -> None:
        async def echo(connection: ServerConnection) -> None:
            async for message in connection:
                await connection.send(message)

        async with serve(echo, "127.0.0.1", 0, subprotocols=[Subprotocol("ocpp1.6")], compression=None) as server:
            port = server.sockets[0].getsockname()[1]
            _, client = await asyncio.get_running_loop().create_connection(lambda: Echoed("/CP"), "127.0.0.1", port)
            assert await client.opened
            client.say(b'[2,"1","Heartbeat",{}]')
            client.say(b'[2,"2","Heartbeat",{}]')
            client.say(b'[2,"last","Heartbeat",{}]')
            async with asyncio.timeout(10):
                await client.said_last.wait()
            assert client.heard[:-1] == [b'[2,"1","Heartbeat",{}]', b'[2,"2","Heartbeat",{}]']
            client.close()

    asyncio.run(scene())


@pytest.mark.usefixtures("quick")
def test_a_station_that_is_turned_away_is_an_error_and_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_BOOT", {"chargePointVendor": ["not a text"]})
    done = CliRunner().invoke(cli, ["bench", "connections", "--stations", "3"])
    assert done.exit_code == 1
    assert "did not get through" in done.stderr


def test_too_few_open_files_are_named_before_anything_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "raise_open_file_limit", lambda: 1024)
    monkeypatch.setattr(connections, "serving_bridge", lambda *_: pytest.fail("a bridge was started"))
    done = CliRunner().invoke(cli, ["bench", "connections", "--stations", "5000"])
    assert done.exit_code == 1
    assert "1024 open files" in done.stderr
