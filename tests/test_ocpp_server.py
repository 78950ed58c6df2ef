"""The OCPP server over real sockets: handshake, keys, replies after the commit, commands, limits."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from door_world import MAY_DISPLACE, play
from ocpp_world import PEPPER, Charger, World
from raw_world import basic, handshake, raw_get
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode

from bridge.access import Directory, StationEntry, key_hmac
from bridge.command_bus import CommandOutcome, Request
from bridge.events import StationConnected, StationDisconnected
from bridge.settings import Unknown

HEARTBEAT = '[2,"h","Heartbeat",{}]'


# the handshake


@pytest.mark.parametrize(
    ("offered", "spoken"),
    [
        (["ocpp1.6"], "ocpp1.6"),
        (["ocpp2.0.1"], "ocpp2.0.1"),
        (["ocpp1.6", "ocpp2.0.1"], "ocpp2.0.1"),
        (["ocpp2.1", "ocpp1.6"], "ocpp2.1"),
        (["ocpp1.6", "ocpp2.0.1", "ocpp2.1"], "ocpp2.1"),
        (["ocpp2.2", "ocpp1.6"], "ocpp1.6"),
        (["OCPP1.6"], "OCPP1.6"),
    ],
)
def test_the_newest_version_that_both_speak_is_chosen(tmp_path: Path, offered: list[Any], spoken: str) -> None:
    async def scene(house: World) -> None:
        async with connect(house.url("/ocpp/CP"), subprotocols=offered) as link:
            assert link.subprotocol == spoken
            assert (await Charger(link).call("Heartbeat", {}))["currentTime"]

    play(tmp_path, scene)


def test_a_charger_that_offers_nothing_we_speak_is_told_what_we_speak(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        with pytest.raises(InvalidStatus) as refused:
            await connect(house.url("/ocpp/CP"), subprotocols=["ocpp1.5"])  # type: ignore[list-item]
        assert refused.value.response.status_code == 400
        assert b"ocpp2.1, ocpp2.0.1, ocpp1.6" in (refused.value.response.body or b"")

    play(tmp_path, scene)


@pytest.mark.parametrize("path", ["/", "/ocpp", "/ocpp/", "/a/b/c", "/ocpp/%00"])
def test_a_path_without_a_station_is_not_found(tmp_path: Path, path: str) -> None:
    async def scene(house: World) -> None:
        with pytest.raises(InvalidStatus) as refused:
            await connect(house.url(path), subprotocols=["ocpp1.6"])
        assert refused.value.response.status_code == 404

    play(tmp_path, scene)


def test_health_is_answered_on_the_same_port(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        url = f"http://127.0.0.1:{house.server.port}"
        with await asyncio.to_thread(urllib.request.urlopen, f"{url}/healthz") as response:
            assert (response.status, response.read()) == (200, b"ok\n")
        assert b" 426 " in await raw_get(house, "GET /ocpp/CP HTTP/1.1\r\nHost: x\r\n\r\n")

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "request_text",
    [
        "POST /ocpp/CP HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x02\x00\r\n\r\n",
        "GET /ocpp/CP HTTP/1.1\r\nbroken header\r\n\r\n",
        "GET /" + "x" * 9000 + " HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n" + "".join(f"a{n}: b\r\n" for n in range(200)) + "\r\n",
    ],
)
def test_what_is_no_handshake_is_a_bad_request(tmp_path: Path, request_text: str) -> None:
    async def scene(house: World) -> None:
        assert b" 400 " in await raw_get(house, request_text)
        async with house.charger("CP") as charger:
            await charger.boot()

    play(tmp_path, scene)


def test_a_handshake_that_never_ends_is_cut(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
        writer.write(b"GET /ocpp/CP HTTP/1.1\r\n")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()

    play(tmp_path, scene, handshake_timeout_s=0.2)


# keys


def keyed(key: bytes, **entry: Any) -> Directory:
    return Directory(stations={"CP": StationEntry(id="CP", key_hmac=key_hmac(PEPPER, key), **entry)})


def test_a_station_with_its_key_comes_in_and_without_it_does_not(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP", additional_headers=basic("CP", b"key")) as charger:
            assert (await charger.boot())["status"] == "Accepted"
        for headers in ({}, basic("CP", b"other"), {"Authorization": "Bearer key"}):
            with pytest.raises(InvalidStatus) as refused:
                await connect(house.url("/ocpp/CP"), subprotocols=["ocpp1.6"], additional_headers=headers)
            assert refused.value.response.status_code == 401
            assert refused.value.response.headers["WWW-Authenticate"].startswith("Basic ")
        security = [event.security for event in await house.events() if isinstance(event, StationConnected)]
        assert security == ["basic+local"]

    play(tmp_path, scene, directory=keyed(b"key"), unknown=Unknown.REJECT)


def test_an_unknown_station_is_refused_like_one_with_a_wrong_key(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        answers = [await raw_get(house, handshake(f"/ocpp/{name}")) for name in ("CP", "WHO")]
        lines = [[line for line in answer.split(b"\r\n") if not line.startswith(b"Date")] for answer in answers]
        assert lines[0] == lines[1]
        assert b" 401 " in lines[0][0]

    play(tmp_path, scene, directory=keyed(b"key"), unknown=Unknown.REJECT)


async def guess(house: World, station: str, times: int) -> None:
    for number in range(times):
        answer = await raw_get(house, handshake(f"/ocpp/{station}", **basic(station, b"guess%d" % number)))
        assert b" 401 " in answer


def test_who_keeps_guessing_a_stations_key_is_braked_and_its_neighbours_are_not(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        house.intake.directory = Directory(
            stations={name: StationEntry(id=name, key_hmac=key_hmac(PEPPER, b"key")) for name in ("CP", "NEXT")}
        )
        await guess(house, "CP", 300)
        assert b" 401 " in await raw_get(house, handshake("/ocpp/CP", **basic("CP", b"key")))
        assert b" 401 " in await raw_get(house, handshake("/ocpp/cp", **basic("CP", b"key"))), "by any spelling"
        async with house.charger("NEXT", additional_headers=basic("NEXT", b"key")):
            assert list(house.server.connections) == ["NEXT"]

    play(tmp_path, scene, unknown=Unknown.REJECT)


def test_an_address_that_tries_many_stations_is_braked_as_a_whole(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        for number in range(300):
            await guess(house, f"S{number}", 1)
        assert b" 401 " in await raw_get(house, handshake("/ocpp/CP", **basic("CP", b"key")))

    play(tmp_path, scene, directory=keyed(b"key"), unknown=Unknown.REJECT)


def test_a_held_station_waits_for_a_person(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("NEW") as charger:
            assert (await charger.boot())["status"] == "Pending"
            assert (await charger.call("Heartbeat", {}))[2] == "SecurityError"
            house.intake.directory = Directory(stations={"NEW": StationEntry(id="NEW")})
            assert (await charger.boot())["status"] == "Accepted"
            assert (await charger.call("Heartbeat", {}))["currentTime"]

    play(tmp_path, scene, unknown=Unknown.HOLD)


# coming and going


def test_a_station_that_leaves_is_offline(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            await charger.boot()
            assert house.book.stations["CP"].is_connected
            assert house.server.holds("CP")
        await house.until(lambda: not house.book.stations["CP"].is_connected, "the disconnect")
        assert not house.server.holds("CP")
        reasons = [event.reason for event in await house.events() if isinstance(event, StationDisconnected)]
        assert reasons == ["closed 1000"]

    play(tmp_path, scene)


def test_what_another_bridge_knew_is_fetched_before_the_first_frame(tmp_path: Path) -> None:
    asked, gate = [], threading.Event()

    def adopt(station: str) -> None:
        asked.append(station)
        gate.wait(10)

    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            await charger.link.send(HEARTBEAT)
            await house.until(lambda: asked == ["CP"], "the question")
            assert house.server.messages == 0
            gate.set()
            assert json.loads(await charger.link.recv())[0] == 3

    play(tmp_path, scene, adopt=adopt)


def test_a_station_that_leaves_while_its_past_is_fetched_again_is_offline(tmp_path: Path) -> None:
    asked, gate = [], threading.Event()

    def adopt(station: str) -> None:
        asked.append(station)
        if len(asked) > 1:
            gate.wait(10)

    async def scene(house: World) -> None:
        try:
            async with house.charger("CP") as charger:
                await charger.boot()
                async with house.charger("CP"):
                    await house.until(lambda: len(asked) == 2, "the second connection")
            await house.until(lambda: not house.server.connections, "the end of both")
            assert not house.book.stations["CP"].is_connected
        finally:
            gate.set()

    play(tmp_path, scene, adopt=adopt, directory=MAY_DISPLACE)


def test_a_past_that_cannot_be_fetched_holds_nobody_up(tmp_path: Path) -> None:
    def adopt(station: str) -> None:
        raise ConnectionError

    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            assert (await charger.boot())["status"] == "Accepted"

    play(tmp_path, scene, adopt=adopt)


def test_a_server_that_stops_says_goodbye(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            await charger.boot()
            await house.server.stop(2.0)
            with pytest.raises(ConnectionClosed) as closed:
                await charger.link.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == CloseCode.GOING_AWAY
            assert not house.book.stations["CP"].is_connected

    play(tmp_path, scene)


# commands


def test_a_command_reaches_its_station_and_its_answer_comes_back(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger, house.charger("CP2", "ocpp2.0.1") as other:
            await charger.boot()
            charger.answers["RemoteStartTransaction"] = {"status": "Accepted"}
            request = Request(id="r", action="StartForToken", payload={"token": "CARD", "evse": 1}, reply_to="x")
            done = asyncio.create_task(house.server.execute(request, "CP"))
            await charger.reply(json.loads(await charger.link.recv()))
            answer = await done
            assert (answer.id, answer.outcome, answer.payload) == ("r", CommandOutcome.ANSWERED, {"status": "Accepted"})
            assert charger.calls == [("RemoteStartTransaction", {"idTag": "CARD", "connectorId": 1})]
            assert (await other.call("Heartbeat", {}))["currentTime"]
        frames = [(entry.direction, entry.action) for _, entry in house.journal.read(0, 100) if entry.station == "CP"]
        assert ("<", "RemoteStartTransaction") in frames
        assert (">", "RemoteStartTransaction") in frames

    play(tmp_path, scene)


def test_a_callerror_is_a_refusal_with_its_words(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            await charger.boot()
            done = asyncio.create_task(house.server.call("CP", "ClearCache", {}, 5.0))
            message_id = json.loads(await charger.link.recv())[1]
            await charger.link.send(json.dumps([4, message_id, "NotSupported", "no cache here", {}]))
            outcome = await done
            assert (outcome.outcome, outcome.code) == (CommandOutcome.REFUSED, "NotSupported")
            assert "no cache here" in outcome.detail

    play(tmp_path, scene)


def test_null_in_an_answer_is_as_good_as_absent(tmp_path: Path) -> None:
    """ocpp-go 0.19 sends ``statusInfo: null`` with many answers of 2.0.1."""

    async def scene(house: World) -> None:
        async with house.charger("CP", "ocpp2.0.1") as charger:
            station = {"vendorName": "Acme", "model": "Box"}
            await charger.call("BootNotification", {"reason": "PowerUp", "chargingStation": station})
            charger.answers["Reset"] = {"status": "Accepted", "statusInfo": None}
            done = asyncio.create_task(house.server.call("CP", "Reset", {"type": "OnIdle"}, 5.0))
            await charger.reply(json.loads(await charger.link.recv()))
            assert (await done).payload == {"status": "Accepted"}

    play(tmp_path, scene)


def test_a_command_for_a_station_elsewhere_or_without_sense_is_a_value(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        request = Request(id="r", action="Reset", payload={}, reply_to="x")
        assert (await house.server.execute(request, "NOBODY")).outcome is CommandOutcome.OFFLINE
        async with house.charger("CP") as charger:
            await charger.boot()
            for action, payload in (("StopSession", {}), ("Nonsense", {}), ("Reset", {"type": "Warm"})):
                request = Request(id="r", action=action, payload=payload, reply_to="x")
                answer = await house.server.execute(request, "CP")
                assert answer.outcome is CommandOutcome.INVALID
                assert answer.detail

    play(tmp_path, scene)


def test_a_call_waits_on_a_closing_connection_no_longer_than_it_lives(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            await charger.boot()
            done = asyncio.create_task(house.server.call("CP", "ClearCache", {}, 30.0))
            await charger.link.recv()
        assert (await done).outcome is CommandOutcome.OFFLINE

    play(tmp_path, scene)
