"""The door over real sockets: what must be proved, who is believed, two of one name, floods."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from door_world import KEY, PLAIN, PROXIED, SECURE, basic, handshake, keyed, knock, leave, play, stay, told
from ocpp_world import PEPPER, World
from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bridge.access import Directory, StationEntry, key_hmac
from bridge.events import StationDisconnected
from bridge.ocpp.door import Repeats
from bridge.ocpp.visitor import Proxies, plain_address
from bridge.settings import Unknown

# what must be proved


@pytest.mark.parametrize(
    ("profile", "headers", "status"),
    [
        (0, {}, 101),
        (0, PLAIN, 101),
        (1, {}, 401),
        (1, basic() | PLAIN, 101),
        (2, basic() | PLAIN, 401),
        (2, basic() | SECURE, 101),
        (2, basic(), 101),  # over loopback: on no wire
        (2, {}, 401),
        (3, basic() | SECURE, 401),
        (3, basic(), 401),
        (3, SECURE | {"X-Client": "CN=CP,O=x"}, 101),
        (3, PLAIN | {"X-Client": "CN=CP,O=x"}, 401),
        (3, SECURE | {"X-Client": "CN=CP2"}, 401),
    ],
)
def test_a_station_must_prove_what_the_setting_wants(
    tmp_path: Path, profile: int, headers: dict[str, str], status: int
) -> None:
    key_hmac_ = key_hmac(PEPPER, KEY) if "Authorization" in headers else b""
    directory = Directory(stations={"CP": StationEntry(id="CP", key_hmac=key_hmac_)})

    async def scene(house: World) -> None:
        assert await knock(house, **headers) == status

    settings = PROXIED | {"security_profile": profile, "client_certificate_header": "X-Client"}
    play(tmp_path, scene, directory=directory, **settings)


def test_a_persons_word_on_a_station_stands_above_the_setting(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        assert await knock(house, "LOW", **basic(), **PLAIN) == 101
        assert await knock(house, "HIGH", **basic(), **PLAIN) == 401
        assert await knock(house, "HIGH", **basic(), **SECURE) == 101

    stations = {
        **keyed("LOW", security_profile=1).stations,
        **keyed("HIGH", security_profile=2).stations,
    }
    play(tmp_path, scene, directory=Directory(stations=stations), security_profile=1, **PROXIED)


def test_a_station_that_proved_more_before_is_refused_until_a_person_lowers_its_profile(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        assert await knock(house, **basic(), **SECURE) == 101
        await house.until(lambda: not house.server.connections, "its end")
        for _ in range(3):
            assert await knock(house, **basic(), **PLAIN) == 401
        assert await told(house) == [("CP", "SecurityDowngrade")], "once"
        house.intake.directory = keyed("CP", security_profile=1)
        assert await knock(house, **basic(), **PLAIN) == 101

    play(tmp_path, scene, directory=keyed("CP"), security_profile=1, **PROXIED)


def test_what_it_proved_to_another_bridge_counts_as_well(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        assert await knock(house, **basic(), **PLAIN) == 401

    play(tmp_path, scene, directory=keyed("CP", proved="mtls"), security_profile=1, **PROXIED)


def test_a_refusal_says_in_the_log_what_to_do_and_to_the_charger_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: list[bytes] = []

    async def scene(house: World) -> None:
        for station, headers in (("CP", basic() | PLAIN), ("CP", {}), ("WHO", {}), ("CP", basic(b"wrong") | SECURE)):
            reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
            writer.write(handshake(station, **headers))
            lines = (await reader.read()).split(b"\r\n")
            answers.append(b"\n".join(line for line in lines if not line.startswith(b"Date")))
            await leave(writer)

    play(tmp_path, scene, directory=keyed("CP"), unknown=Unknown.REJECT, security_profile=2, **PROXIED)
    assert len(set(answers)) == 1
    out = capsys.readouterr().out
    assert "security profile 1, 2 is wanted" in out
    assert "wss://" in out


# who is believed


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "Via"])
def test_what_was_passed_on_to_loopback_by_a_stranger_is_no_local_connection(tmp_path: Path, name: str) -> None:
    async def scene(house: World) -> None:
        assert await knock(house, **basic()) == 101
        assert await knock(house, **basic(), **{name: "https"}) == 401

    play(tmp_path, scene, directory=keyed("CP"), security_profile=2)


def test_a_certificate_in_a_header_is_believed_of_no_stranger(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        assert await knock(house, **SECURE, **{"X-Client": "CP"}) == 401

    other = {"trusted_proxies": ("192.0.2.0/24",), "client_certificate_header": "X-Client"}
    play(tmp_path, scene, directory=keyed("CP"), security_profile=3, **other)


def address_of(peer: str, *forwarded: str) -> str:
    headers = Headers([("X-Forwarded-For", value) for value in forwarded])
    return Proxies(["10.0.0.0/8", "fd00::/8"], "").visitor("CP", headers, peer, False, None).address


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.1", ("198.51.100.7",), "198.51.100.7"),
        ("10.0.0.1", ("6.6.6.6, 198.51.100.7, 10.0.0.2",), "198.51.100.7"),
        ("10.0.0.1", ("6.6.6.6", "198.51.100.7"), "198.51.100.7"),
        ("10.0.0.1", ("[2001:db8::1]:1234",), "2001:db8::1"),
        ("10.0.0.1", ("198.51.100.7:1234",), "198.51.100.7"),
        ("10.0.0.1", ("10.0.0.9",), "10.0.0.1"),
        ("10.0.0.1", ("6.6.6.6, nonsense",), "10.0.0.1"),
        ("198.51.100.9", ("6.6.6.6",), "198.51.100.9"),
        ("fd00::1", ("2001:db8::1",), "2001:db8::1"),
    ],
)
def test_the_chargers_address_is_the_nearest_that_is_none_of_ours(
    peer: str, forwarded: tuple[str, ...], address: str
) -> None:
    assert address_of(peer, *forwarded) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1"), ("unknown", ""), ("", ""), ("_hidden", "")],
)
def test_an_address_is_written_in_one_way(text: str, address: str) -> None:
    assert plain_address(text) == address


def test_the_brake_holds_the_charger_behind_a_proxy_and_not_the_proxy(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        for _ in range(40):
            assert await knock(house, **basic(b"guess"), **SECURE) == 401
        assert await knock(house, **basic(), **SECURE) == 401, "braked"
        assert await knock(house, **basic(), **(SECURE | {"X-Forwarded-For": "198.51.100.8"})) == 101

    play(tmp_path, scene, directory=keyed("CP"), security_profile=2, **PROXIED)


# what is told


def test_five_wrong_keys_in_five_minutes_are_told_once(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        for n in range(4):
            await knock(house, **basic(b"guess%d" % n))
        assert await told(house) == []
        for n in range(15):
            await knock(house, **basic(b"more%d" % n))
        for n in range(15):
            await knock(house, "WHO", **basic(b"guess%d" % n))
        assert await told(house) == [("CP", "WrongKey")], "and of unknown stations nothing"
        assert "CP" not in house.book.stations, "a guess is no sign of life"

    play(tmp_path, scene, directory=keyed("CP"), unknown=Unknown.REJECT)


def test_what_repeats_is_told_on_the_fifth_and_again_only_after_a_silence() -> None:
    repeats = Repeats(5, 300.0)
    assert [repeats.is_time("a", float(s)) for s in range(0, 60, 10)] == [False] * 4 + [True, False]
    assert not any(repeats.is_time("a", 60.0 + s) for s in range(0, 3000, 100)), "it goes on"
    assert [repeats.is_time("a", 9000.0 + s) for s in range(5)] == [False] * 4 + [True]
    slow = Repeats(5, 300.0)
    assert not any(slow.is_time("a", 100.0 * n) for n in range(20)), "never five within five minutes"


# two of one name


def test_a_live_connection_keeps_its_name_and_the_second_is_refused_and_told(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as first:
            await first.boot()
            for _ in range(2):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(house.url("/ocpp/CP"), subprotocols=["ocpp1.6"])
                assert refused.value.response.status_code == 401
            assert (await first.call("Heartbeat", {}))["currentTime"]
            assert await told(house) == [("CP", "IdentityContested")]

    play(tmp_path, scene, directory=Directory(stations={"CP": StationEntry(id="CP")}))


def test_quirk_10_a_dead_connection_gives_its_name_up_and_its_late_end_wipes_nothing(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        reader, writer = await stay(house)
        async with house.charger("CP") as second:
            await second.boot()
            assert b"\x89\x00" in await reader.read(100), "it was asked first"
            await leave(writer)
            assert (await second.call("Heartbeat", {}))["currentTime"]
            assert house.book.stations["CP"].is_connected
            assert [e for e in await house.events() if isinstance(e, StationDisconnected)] == []

    play(tmp_path, scene, contest_s=0.2)


def test_a_station_that_answers_no_ping_but_speaks_in_time_is_alive(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        reader, writer = await stay(house)
        second = asyncio.create_task(knock(house))
        await reader.read(2)  # the ping
        writer.write(b"\x81\x92\0\0\0\0" + b'[2,"h","Heartbeat"')  # half a message is a sign of life
        assert await second == 401
        await leave(writer)

    play(tmp_path, scene, contest_s=5.0)


def test_when_the_first_leaves_meanwhile_the_second_comes_in_at_once(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        reader, writer = await stay(house)
        second = asyncio.create_task(knock(house))
        await reader.read(2)
        await leave(writer)
        assert await second == 101

    play(tmp_path, scene, contest_s=30.0, handshake_timeout_s=60.0)


def test_while_a_name_is_contested_a_third_is_refused_and_others_come_in(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        reader, writer = await stay(house)
        second = asyncio.create_task(knock(house))
        await reader.read(2)
        assert await knock(house) == 401
        assert await knock(house, "NEXT") == 101
        second.cancel()
        await asyncio.wait([second])
        await leave(writer)

    play(tmp_path, scene, contest_s=30.0)


def test_a_second_that_gives_up_leaves_the_name_free_to_be_contested_again(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        _, first = await stay(house)
        _, second = await asyncio.open_connection("127.0.0.1", house.server.port)
        second.write(handshake("CP"))
        await house.until(lambda: house.server._threshold._contested, "the contest")
        await leave(second)
        await house.until(lambda: not house.server._threshold._contested, "its end")
        assert await knock(house) == 101
        await leave(first)

    play(tmp_path, scene, contest_s=0.2)


def test_where_a_person_allows_it_a_second_connection_displaces_a_live_first_one(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as first:
            assert await knock(house) == 101
            with pytest.raises(ConnectionClosed):
                await first.link.recv()

    policy = {"second_connection": "displace"}
    play(tmp_path, scene, directory=Directory(stations={"CP": StationEntry(id="CP", policy=policy)}))


# floods


def test_beyond_its_room_the_server_closes_at_once_and_slow_handshakes_make_room(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        listener = house.server._threshold.listener
        slow = [await asyncio.open_connection("127.0.0.1", house.server.port) for _ in range(5)]
        for _, writer in slow:
            writer.write(b"GET /ocpp/S HTTP/1.1\r\n")
        await house.until(lambda: len(listener._open) == 5, "all of them")
        reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        await leave(writer)
        for link in listener._open:
            link.opened_s -= 3
        assert await knock(house) == 101
        await leave(*(writer for _, writer in slow))

    play(tmp_path, scene, max_connections=5, handshake_timeout_s=30.0)


def test_one_address_has_only_so_many_connections(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        here, there = ({"X-Forwarded-For": address} for address in ("198.51.100.7", "198.51.100.8"))
        kept = [await stay(house, f"S{n}", **here) for n in range(2)]
        assert await knock(house, "S2", **here) == 401
        assert await knock(house, "S2", **there) == 101
        await leave(kept[0][1])
        await house.until(lambda: "S0" not in house.server.connections, "its end")
        assert await knock(house, "S2", **here) == 101
        await leave(kept[1][1])

    play(tmp_path, scene, max_connections_per_address=2, **PROXIED)
