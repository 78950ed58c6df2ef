"""What goes over the wire: replies and the disk, frames of every kind, TLS, keep-alive."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path

import pytest
from door_world import play
from ocpp_hostile import CONTINUATION, PING, TEXT, wire
from ocpp_world import Charger, World, own_certificate
from raw_world import Deaf
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from bridge.ocpp.link import MAX_UNANSWERED

HEARTBEAT = '[2,"h","Heartbeat",{}]'


# replies and the disk


def test_a_reply_leaves_only_after_the_commit(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        loop, flush = asyncio.get_running_loop(), house.server.flush
        held: list[int] = []
        house.journal.on_commit = held.append
        async with house.charger("CP") as charger:
            await charger.link.send(HEARTBEAT)
            await house.until(lambda: house.journal.committed >= 2, "the commit")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await charger.link.recv()
            house.journal.on_commit = lambda seq: loop.call_soon_threadsafe(flush, seq)
            flush(house.journal.committed)
            assert json.loads(await charger.link.recv())[1] == "h"

    play(tmp_path, scene)


def test_a_journal_that_fails_ends_every_connection_without_an_answer(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        url = house.url("/ocpp/CP2")
        async with house.charger("CP") as charger:
            await charger.boot()
            house.journal.on_commit = lambda seq: None
            await charger.link.send(HEARTBEAT)
            await house.until(lambda: house.server.messages == 2, "the frame")
            house.server.flush(-1)
            with pytest.raises(ConnectionClosed) as closed:
                await charger.link.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == CloseCode.INTERNAL_ERROR
        with pytest.raises(OSError):
            await connect(url, subprotocols=["ocpp1.6"], open_timeout=2)

    play(tmp_path, scene)


def test_a_charger_that_does_not_wait_is_held_back(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        loop, flush = asyncio.get_running_loop(), house.server.flush
        house.journal.on_commit = lambda seq: None
        async with house.charger("CP") as charger:  # they fit into a few reads: deflate makes them small
            for number in range(1000):
                await charger.link.send(json.dumps([2, str(number), "DataTransfer", {"vendorId": "x" * 200}]))
            await house.until(lambda: house.server.messages > MAX_UNANSWERED, "enough of them")
            assert house.server.messages == MAX_UNANSWERED + 1
            house.journal.on_commit = lambda seq: loop.call_soon_threadsafe(flush, seq)
            flush(house.journal.committed)
            answered = [json.loads(await charger.link.recv())[1] for _ in range(1000)]
            assert answered == [str(number) for number in range(1000)]

    play(tmp_path, scene)


def test_answers_to_nothing_take_their_turn_like_calls(tmp_path: Path) -> None:
    """They are not answered: without a limit a flood of them would be taken as fast as it can be read."""

    async def scene(house: World) -> None:
        loop, flush = asyncio.get_running_loop(), house.server.flush
        house.journal.on_commit = lambda seq: None
        async with house.charger("CP") as charger:
            for number in range(100):
                await charger.link.send(json.dumps([3, str(number), {}]))
            await house.until(lambda: house.server.messages > MAX_UNANSWERED, "enough of them")
            assert house.server.messages == MAX_UNANSWERED + 1
            house.journal.on_commit = lambda seq: loop.call_soon_threadsafe(flush, seq)
            flush(house.journal.committed)
            assert (await charger.boot())["status"] == "Accepted"
            assert house.server.messages == 101

    play(tmp_path, scene)


# frames


def test_fragments_pings_and_binary_frames_are_understood(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            await charger.link.send(iter(['[2,"h",', '"Heart', 'beat",{}]']))
            assert json.loads(await charger.link.recv())[0] == 3
            await (await charger.link.ping())
            await charger.link.send(HEARTBEAT.encode())
            assert json.loads(await charger.link.recv())[0] == 3

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (wire(TEXT, b"[]", mask=b""), CloseCode.PROTOCOL_ERROR),  # without a mask: section 5.1
        (wire(0x3, b"[]"), CloseCode.PROTOCOL_ERROR),  # an opcode that is not in use
        (wire(0x40 | TEXT, b"[]"), CloseCode.PROTOCOL_ERROR),  # a bit that no extension claimed
        (wire(CONTINUATION, b"[]"), CloseCode.PROTOCOL_ERROR),  # goes on with nothing
        (wire(TEXT, b"[", is_last=False) + wire(TEXT, b"]"), CloseCode.PROTOCOL_ERROR),
        (wire(PING, b"", is_last=False), CloseCode.PROTOCOL_ERROR),
        (wire(PING, b"x" * 126), CloseCode.PROTOCOL_ERROR),
    ],
)
def test_what_is_no_websocket_frame_ends_only_its_own_connection(tmp_path: Path, frames: bytes, code: int) -> None:
    """Source: RFC 6455 section 5."""

    async def scene(house: World) -> None:
        async with house.charger("CP", compression=None) as outlaw, house.charger("CP2") as neighbour:
            outlaw.link.transport.write(frames)
            with pytest.raises(ConnectionClosed) as closed:
                await outlaw.link.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == code
            await neighbour.boot()

    play(tmp_path, scene)


def test_a_message_in_a_hundred_thousand_fragments_is_one_message(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP", compression=None) as charger:
            text = b'[2,"1","DataTransfer",{"vendorId":"x"}]'
            nothing = wire(CONTINUATION, b"", is_last=False) * 100_000
            parts = [wire(CONTINUATION, bytes([byte]), is_last=False) for byte in text]
            charger.link.transport.write(wire(TEXT, b"", is_last=False) + b"".join(parts) + nothing)
            charger.link.transport.write(wire(CONTINUATION, b""))
            assert (await charger.answer_to("1"))["status"] == "UnknownVendorId"

    play(tmp_path, scene)


def test_a_giant_frame_ends_only_its_own_connection(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as giant, house.charger("CP2") as neighbour:
            await giant.link.send("x" * 600_000)
            with pytest.raises(ConnectionClosed) as closed:
                await giant.link.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == CloseCode.MESSAGE_TOO_BIG
            await neighbour.boot()

    play(tmp_path, scene, max_frame_bytes=65_536)


@pytest.mark.parametrize("is_on", [True, False])
def test_deflate_is_spoken_when_offered_and_wanted(tmp_path: Path, is_on: bool) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP", compression="deflate") as charger:
            spoken = charger.link.response.headers.get("Sec-WebSocket-Extensions", "")
            assert ("permessage-deflate" in spoken) is is_on
            await charger.boot()

    play(tmp_path, scene, compression=is_on)


def test_tls_is_spoken_where_a_certificate_is_set(tmp_path: Path) -> None:
    certificate, key = own_certificate(tmp_path)
    context = ssl.create_default_context(cafile=str(certificate))

    async def scene(house: World) -> None:
        url = house.url("/ocpp/CP").replace("ws:", "wss:")
        async with connect(url, subprotocols=["ocpp1.6"], ssl=context) as link:
            assert (await Charger(link).boot())["status"] == "Accepted"

    play(tmp_path, scene, tls_certificate=certificate, tls_key=key)


# keep-alive


def test_a_station_that_answered_pings_and_falls_silent_is_gone(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        deaf = await Deaf.connect(house)
        deaf.writer.write(b"\x8a\x80\0\0\0\0")  # one pong
        await house.until(lambda: not house.server.holds("CP"), "the end of the silence")
        deaf.writer.close()

    play(tmp_path, scene, ping_interval_s=0.05)
