"""Virtual chargers on real sockets: against a small central system, and `chargewatch simulate` as a person runs it."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner
from websockets.asyncio.server import ServerConnection, serve

from bridge.commands.simulate import command
from bridge.demo.fleet import load_stations
from bridge.demo.link import Link, Tally, ack_record
from bridge.demo.run import run_links
from bridge.demo.words import Call


class Centre:
    """Answers every call, keeps what it got, and can be told to hang up."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, list[Any]]] = []
        self.sockets: dict[str, ServerConnection] = {}
        self.keys: set[str] = set()
        self.url = ""
        self._number = 0

    async def handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        station = socket.request.path.rpartition("/")[2]
        self.keys.add(socket.request.headers.get("Authorization", ""))
        self.sockets[station] = socket
        async for text in socket:
            frame = json.loads(text)
            self.frames.append((station, frame))
            if frame[0] == 2:
                await socket.send(json.dumps([3, frame[1], self.reply(frame[2])]))

    def reply(self, action: str) -> dict[str, Any]:
        if action == "BootNotification":
            return {"status": "Accepted", "interval": 60, "currentTime": "2026-01-01T00:00:00Z"}
        self._number += 1
        info = {"status": "Accepted"}
        return {
            "Authorize": {"idTagInfo": info, "idTokenInfo": info},
            "StartTransaction": {"transactionId": self._number, "idTagInfo": info},
        }.get(action, {})

    def of(self, *actions: str) -> list[list[Any]]:
        return [frame for _, frame in self.frames if frame[0] == 2 and frame[2] in actions]

    async def until(self, seen: Callable[[], object], seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not seen():
            assert time.monotonic() < end, f"not seen; got {[frame[2] for _, frame in self.frames if frame[0] == 2]}"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def a_centre() -> AsyncIterator[Centre]:
    centre = Centre()
    async with serve(centre.handle, "127.0.0.1", 0, subprotocols=["ocpp1.6", "ocpp2.0.1"]) as server:
        centre.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ocpp"
        yield centre


def links_to(centre: Centre, count: int = 2, protocol: str = "mix", key: str = "") -> list[Link]:
    stations = load_stations(
        count, 1, protocol, meter_interval_s=0.2, busy=1.0, now=time.time(), seed="T", speed=5.0
    )
    tally = Tally()
    return [Link(station, centre.url, tally, Random(1), key=key) for station in stations]


async def while_running(links: list[Link], work: Awaitable[None]) -> None:
    running = asyncio.create_task(run_links(links, 0.1))
    try:
        await work
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_a_station_boots_charges_and_sends_samples_over_a_real_socket() -> None:
    async def run() -> None:
        async with a_centre() as centre:
            await while_running(links_to(centre), centre.until(lambda: len(centre.of("MeterValues")) > 3))
            stations = {station for station, _ in centre.frames}
            assert stations == {"T-00001", "T-00002"}
            assert len(centre.of("BootNotification")) == 2
            assert centre.of("StartTransaction")
            assert centre.of("TransactionEvent")

    asyncio.run(run())


def test_the_key_goes_along_as_http_basic() -> None:
    async def run() -> None:
        async with a_centre() as centre:
            await while_running(links_to(centre, 1, key="s3cret"), centre.until(lambda: centre.of("BootNotification")))
            assert centre.keys == {"Basic " + base64.b64encode(b"T-00001:s3cret").decode()}

    asyncio.run(run())


def test_a_dropped_line_comes_back_without_a_second_boot_and_nothing_of_the_transaction_is_missing() -> None:
    async def run() -> None:
        async with a_centre() as centre:
            links = links_to(centre, 1, "2.0.1")

            async def drop_and_wait() -> None:
                await centre.until(lambda: len(centre.of("TransactionEvent")) > 4)
                await centre.sockets["T-00001"].close()
                before = len(centre.of("TransactionEvent"))
                await centre.until(lambda: len(centre.of("TransactionEvent")) > before + 6)

            await while_running(links, drop_and_wait())
            numbers = [frame[3]["seqNo"] for frame in centre.of("TransactionEvent")]
            assert sorted(set(numbers)) == list(range(max(numbers) + 1))
            assert any(frame[3].get("offline") for frame in centre.of("TransactionEvent"))
            assert len(centre.of("BootNotification")) == 1

    asyncio.run(run())


def test_a_command_over_the_socket_is_answered() -> None:
    async def run() -> None:
        async with a_centre() as centre:

            async def ask() -> None:
                await centre.until(lambda: centre.of("StartTransaction"))
                await centre.sockets["T-00002"].send('[2,"q1","GetConfiguration",{}]')
                await centre.sockets["T-00002"].send('[2,"q2","MakeCoffee",{}]')
                await centre.until(lambda: {"q1", "q2"} <= {frame[1] for _, frame in centre.frames})

            await while_running(links_to(centre, 2, "1.6"), ask())
            answers = {frame[1]: frame for _, frame in centre.frames if frame[0] in (3, 4)}
            assert answers["q1"][2]["configurationKey"]
            assert answers["q2"][0:3] == [4, "q2", "NotImplemented"]

    asyncio.run(run())


def test_a_new_key_is_shown_at_the_next_connection() -> None:
    async def run() -> None:
        async with a_centre() as centre:
            key = "0123456789abcdef"

            async def rotate() -> None:
                await centre.until(lambda: centre.of("StartTransaction"))
                change = {"key": "AuthorizationKey", "value": key}
                await centre.sockets["T-00001"].send(json.dumps([2, "k", "ChangeConfiguration", change]))
                await centre.until(lambda: any(frame[1] == "k" for _, frame in centre.frames))
                await centre.sockets["T-00001"].close()
                shown = "Basic " + base64.b64encode(f"T-00001:{key}".encode()).decode()
                await centre.until(lambda: shown in centre.keys)

            await while_running(links_to(centre, 1, "1.6", key="the first key"), rotate())
            assert len(centre.keys) == 2

    asyncio.run(run())


def test_a_file_that_cannot_be_moved_is_told_while_the_conversation_goes_on() -> None:
    async def run() -> None:
        async with a_centre() as centre:

            async def ask() -> None:
                await centre.until(lambda: centre.of("StartTransaction"))
                where = {"location": "http://127.0.0.1:1/here"}
                await centre.sockets["T-00001"].send(json.dumps([2, "d", "GetDiagnostics", where]))
                told = "DiagnosticsStatusNotification"
                await centre.until(lambda: len(centre.of(told)) == 2)
                assert [frame[3]["status"] for frame in centre.of(told)] == ["Uploading", "UploadFailed"]

            await while_running(links_to(centre, 1, "1.6"), ask())

    asyncio.run(run())


def test_a_2_1_station_speaks_2_0_1_where_that_is_the_newest() -> None:
    async def run() -> None:
        async with a_centre() as centre:
            await while_running(links_to(centre, 1, "2.1"), centre.until(lambda: centre.of("TransactionEvent")))
            assert centre.sockets["T-00001"].subprotocol == "ocpp2.0.1"

    asyncio.run(run())


def test_an_absent_central_system_is_tried_again_later_and_later() -> None:
    async def run() -> None:
        tally = Tally()
        stations = load_stations(1, 1, "1.6", meter_interval_s=1, busy=0, now=time.time(), seed="T", speed=1)
        link = Link(stations[0], "ws://127.0.0.1:9/ocpp", tally, Random(1))
        waits = [link._back_off_s() for _ in range(7)]
        assert waits[0] < 1.5 < waits[3] < waits[5]
        assert waits[6] <= 39

    asyncio.run(run())


def test_an_acknowledgement_record_finds_its_message_again() -> None:
    call = Call("MeterValues", {"connectorId": 2, "meterValue": [{"timestamp": "t", "sampledValue": []}]})
    record = ack_record("S", call, {})
    assert record == {"station": "S", "id": call.message_id, "action": "MeterValues", "connector": 2, "timestamp": "t"}


def test_simulate_counts_and_records_what_was_acknowledged(tmp_path: Path) -> None:
    acks = tmp_path / "acks.jsonl"

    async def run() -> tuple[int, dict[str, Any], list[str]]:
        async with a_centre() as centre:
            program = [
                *("--url", centre.url, "--stations", "5", "--meter-interval", "0.3", "--ramp", "0.2"),
                *("--duration", "4", "--record-acks", str(acks), "--json"),
            ]
            result = await asyncio.to_thread(_in_a_process, program)
            return result[0], json.loads(result[1]), [frame[1] for _, frame in centre.frames]

    code, figures, received = asyncio.run(run())
    lines = [json.loads(line) for line in acks.read_text().splitlines()]
    assert code == 0
    assert figures["acknowledged"] == len(lines) > 20
    assert figures["sent"] >= figures["acknowledged"]
    assert (figures["errors"], figures["timeouts"], figures["connections"]) == (0, 0, 5)
    assert figures["reply_p50_ms"] <= figures["reply_p99_ms"]
    assert {line["id"] for line in lines} <= set(received)
    assert {"station", "id", "action"} <= set(lines[-1])


def _in_a_process(program: list[str]) -> tuple[int, str]:
    code = "from bridge.commands.simulate import command; command()"
    done = subprocess.run([sys.executable, "-c", code, *program], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


@pytest.mark.parametrize(
    ("url", "says"),
    [("http://127.0.0.1:1", "must begin with ws://"), ("ws://127.0.0.1:9/ocpp", "nothing was acknowledged")],
)
def test_simulate_fails_with_one_clear_sentence(url: str, says: str) -> None:
    code, output = _in_a_process(["--url", url, "--stations", "1", "--ramp", "0", "--duration", "1", "--json"])
    assert code != 0
    assert says in output
    assert "Traceback" not in output


def test_simulate_explains_itself() -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "--record-acks" in result.output
