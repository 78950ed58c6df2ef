"""Charge point software that others wrote comes to our server: the door, lost connections, compression.

Each program holds what it gets against its own idea of OCPP and ends with an error when something is against it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from charger_programs import Program
from independent_world import (
    CARD,
    DIRECTORY,
    EACH,
    ONLY_RPC,
    SPEAKERS,
    STATION,
    Independent,
    events,
    facts,
    independent,
    is_clean,
    play,
)
from msgspec.structs import replace
from ocpp_world import World, own_certificate, world

from bridge.access import Directory
from bridge.command_bus import CommandOutcome
from bridge.events import (
    DataTransferred,
    FrameMended,
    FrameRefused,
    StationDisconnected,
)
from bridge.session import SessionState
from bridge.settings import Unknown

# the door


@EACH
def test_who_does_not_belong_here_is_told_401(charger_program: Program, tmp_path: Path) -> None:
    async def comes(house: World, **changes: str | None) -> None:
        async with independent(charger_program, house, "refused", protocols=["ocpp1.6"], **changes) as charger:
            assert (await charger.until(event="refused"))["code"] == 401
            await charger.ended()

    async def scene(house: World) -> None:
        await asyncio.gather(comes(house, key="wrong"), comes(house, key=None), comes(house, station="NOBODY"))
        assert house.server.connections == {}
        assert await events(house) == []

    play(tmp_path, scene)


@SPEAKERS
def test_a_charger_that_is_new_waits_until_it_is_approved(
    charger_program: Program, protocol: str, tmp_path: Path
) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "held", protocols=[protocol]) as charger:
            await charger.until(event="held")
            early = await house.server.call(STATION, "ClearCache", {}, 0.1)
            assert early.outcome is CommandOutcome.HELD
            house.intake.directory = DIRECTORY
            charger.go_on()
            await charger.until(event="ready")
            late = await house.server.call(STATION, "ClearCache", {}, 20.0)
            assert late.payload == {"status": "Accepted"}
            await charger.end()
        assert await events(house, FrameRefused) == [], "what a stranger says makes no events"
        assert await events(house, FrameMended) == []

    play(tmp_path, scene, directory=Directory(), unknown=Unknown.HOLD)


@pytest.mark.parametrize(
    ("charger_program", "protocol"),
    [("ocpp-rpc", "ocpp1.6"), ("ocpp-go", "ocpp2.0.1")],
    indirect=["charger_program"],
)
def test_a_charger_of_others_comes_by_tls(charger_program: Program, protocol: str, tmp_path: Path) -> None:
    certificate, key = own_certificate(tmp_path)

    async def scene(house: World) -> None:
        facts = {"url": house.url("/ocpp").replace("ws:", "wss:"), "ca": certificate.read_text()}
        async with independent(charger_program, house, "life", protocols=[protocol], **facts) as charger:
            await charger.until(event="ready")
            assert house.server.connections[STATION].security == "basic+tls"
            await charger.end()
        assert [session.energy_wh for session in house.sessions(STATION)] == [420]

    play(tmp_path, scene, tls_certificate=certificate, tls_key=key)


# the connection


@SPEAKERS
def test_what_ends_while_the_line_is_cut_is_delivered(charger_program: Program, protocol: str, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "offline", protocols=[protocol]) as charger:
            await charger.until(event="ready")
            (open_one,) = house.sessions(STATION)
            assert open_one.is_open
            house.server.connections[STATION].abort()
            await charger.until(event="delivered")
            await charger.end()
        (session,) = house.sessions(STATION)
        assert facts(session) == (1, CARD, 350, SessionState.ENDED, "Local", ())
        gone = [event.reason for event in await events(house, StationDisconnected)]
        assert gone[0] == "connection lost"
        assert len(gone) == 2
        await is_clean(house)

    play(tmp_path, scene)


@SPEAKERS
def test_what_ends_while_the_bridge_restarts_is_delivered(
    charger_program: Program, protocol: str, tmp_path: Path
) -> None:
    async def scene(house: World) -> None:
        port = house.server.port
        async with independent(charger_program, house, "offline", protocols=[protocol]) as charger:
            await charger.until(event="ready")
            await house.server.stop(2.0)
            house.journal.close()
            async with world(tmp_path, DIRECTORY, Unknown.REJECT, port=port) as again:
                (open_one,) = again.sessions(STATION)
                assert (open_one.energy_wh, open_one.is_open) == (100, True)
                await charger.until(event="delivered")
                await charger.end()
                (session,) = again.sessions(STATION)
                assert session.id == open_one.id
                assert facts(session) == (1, CARD, 350, SessionState.ENDED, "Local", ())
                await is_clean(again)

    play(tmp_path, scene)


@ONLY_RPC
def test_a_charger_that_comes_twice_is_one(charger_program: Program, tmp_path: Path) -> None:
    entry = replace(DIRECTORY.stations[STATION], policy={"second_connection": "displace"})

    async def scene(house: World) -> None:
        async with independent(charger_program, house, "twice", protocols=["ocpp2.0.1"]) as charger:
            replaced = await charger.until(event="replaced")
            assert (replaced["code"], replaced["reason"]) == (1000, "replaced by a newer connection")
            await charger.until(event="ready")
            assert list(house.server.connections) == [STATION]
            assert house.book.stations[STATION].is_connected
            assert await events(house, StationDisconnected) == []
            await charger.end()
        await is_clean(house)

    play(tmp_path, scene, directory=replace(DIRECTORY, stations={STATION: entry}))


@EACH
def test_a_quiet_charger_answers_our_pings_and_stays(charger_program: Program, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "life", protocols=["ocpp1.6"]) as charger:
            await charger.until(event="ready")
            link = house.server.connections[STATION]
            link.answers_pings = False
            await house.until(lambda: link.answers_pings, "an answer to a ping")
            assert house.server.connections[STATION] is link
            await charger.end()

    play(tmp_path, scene, ping_interval_s=0.2)


# compression


@pytest.mark.parametrize(
    ("charger_program", "deflate"),
    [
        ("ocpp-rpc", True),
        ("ocpp-rpc", {"threshold": 0}),
        ("ocpp-rpc", {"threshold": 0, "serverNoContextTakeover": True, "clientNoContextTakeover": True}),
        ("ocpp-rpc", {"threshold": 0, "serverMaxWindowBits": 10, "clientMaxWindowBits": 10}),
        ("ocpp-go", True),  # it always wants "no context takeover" of both sides
    ],
    indirect=["charger_program"],
    ids=["ocpp-rpc", "ocpp-rpc, every frame", "ocpp-rpc, no context", "ocpp-rpc, small window", "ocpp-go"],
)
def test_a_compressed_conversation_is_the_same(charger_program: Program, deflate: Any, tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "large", protocols=["ocpp1.6"], deflate=deflate) as charger:
            assert (await charger.until(event="open"))["extensions"] == "permessage-deflate"
            await charger.until(event="ready")
            await a_long_list(house, charger)
            await charger.end()
        assert {event.data for event in await events(house, DataTransferred)} == {"meter ok; " * 3000}

    play(tmp_path, scene)


async def a_long_list(house: World, charger: Independent) -> None:
    entries = [{"idTag": f"CARD-{i:05}", "idTagInfo": {"status": "Accepted"}} for i in range(2000)]
    payload = {"listVersion": 7, "updateType": "Full", "localAuthorizationList": entries}
    done = await house.server.call(STATION, "SendLocalList", payload, 20.0)
    assert done.payload == {"status": "Accepted"}
    await charger.until(asked="SendLocalList", payload=payload)


@EACH
@pytest.mark.parametrize(("deflate", "compression"), [(False, True), (True, False)], ids=["not asked", "not granted"])
def test_without_compression_nothing_is_compressed(
    charger_program: Program, deflate: bool, compression: bool, tmp_path: Path
) -> None:
    async def scene(house: World) -> None:
        async with independent(charger_program, house, "large", protocols=["ocpp1.6"], deflate=deflate) as charger:
            assert (await charger.until(event="open"))["extensions"] == ""
            await charger.until(event="ready")
            await a_long_list(house, charger)
            await charger.end()

    play(tmp_path, scene, compression=compression)
