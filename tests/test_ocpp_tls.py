"""TLS with real sockets and real certificates: profiles 2 and 3, new files, failed handshakes."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from door_world import Papers, basic, keyed, knock, leave, play, told
from ocpp_world import Charger, World
from websockets.asyncio.client import connect

from bridge.access import Directory, StationEntry
from bridge.authority import Authority
from bridge.events import StationConnected, StationDisconnected, utc_now
from bridge.ocpp.tls import Tls, certificate_of, common_name, read_certificate
from bridge.settings import Ocpp, Unknown
from bridge.stores.certificates import Certificates
from bridge.stores.records import Records


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path)


async def security(house: World) -> list[str]:
    return [event.security for event in await house.events() if isinstance(event, StationConnected)]


def test_a_key_over_tls_is_profile_2(tmp_path: Path, papers: Papers) -> None:
    async def scene(house: World) -> None:
        url = house.url("/ocpp/CP").replace("ws:", "wss:")
        async with connect(url, subprotocols=["ocpp1.6"], ssl=papers.client(), additional_headers=basic()) as link:
            assert (await Charger(link).boot())["status"] == "Accepted"
        assert await security(house) == ["basic+tls"]

    play(tmp_path, scene, directory=keyed("CP"), security_profile=2, **papers.settings)


def test_a_frame_that_comes_with_the_end_of_the_handshake_is_not_lost(tmp_path: Path, papers: Papers) -> None:
    async def scene(house: World) -> None:
        statuses = await asyncio.gather(*(knock(house, f"S{n}", papers.client(), **basic()) for n in range(20)))
        assert statuses == [101] * 20

    play(tmp_path, scene, directory=keyed(*(f"S{n}" for n in range(20))), security_profile=2, **papers.settings)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_that_names_the_station_is_profile_3_and_needs_no_key(
    tmp_path: Path, papers: Papers, version: ssl.TLSVersion
) -> None:
    context = papers.client("CP")
    context.maximum_version = version

    async def scene(house: World) -> None:
        assert await knock(house, "CP", context) == 101
        assert await knock(house, "cp", context) == 101, "in any case"
        assert set(await security(house)) == {"mtls"}

    play(tmp_path, scene, directory=keyed("CP"), security_profile=3, **papers.with_clients)


def test_the_certificate_of_another_station_opens_nothing_even_with_the_right_key(
    tmp_path: Path, papers: Papers
) -> None:
    async def scene(house: World) -> None:
        assert await knock(house, "CP", papers.client("OTHER"), **basic()) == 401
        assert await told(house) == [("CP", "CertificateRefused")]

    play(tmp_path, scene, directory=keyed("CP", "OTHER"), **papers.with_clients)


def test_without_a_certificate_a_key_still_opens_where_the_profile_is_2(tmp_path: Path, papers: Papers) -> None:
    async def scene(house: World) -> None:
        assert await knock(house, "CP", papers.client(), **basic()) == 101

    play(tmp_path, scene, directory=keyed("CP"), security_profile=2, **papers.with_clients)


@pytest.mark.parametrize("is_foreign", [True, False])
def test_with_profile_3_no_certificate_or_a_strangers_ends_in_the_handshake(
    tmp_path: Path, papers: Papers, is_foreign: bool
) -> None:
    foreign = Authority.create(tmp_path / "foreign", "Foreign CA", utc_now())
    context = papers.client("CP", foreign) if is_foreign else papers.client()

    async def scene(house: World) -> None:
        with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):  # TLS 1.3 tells the client only afterwards
            await knock(house, "CP", context, **basic())
        assert house.server.connections == {}

    play(tmp_path, scene, directory=keyed("CP"), security_profile=3, **papers.with_clients)


def test_a_revoked_certificate_is_refused_at_the_door(tmp_path: Path, papers: Papers) -> None:
    context = papers.client("CP")
    shown = x509.load_pem_x509_certificate((tmp_path / "CP.pem").read_bytes())

    async def scene(house: World) -> None:
        assert await knock(house, "CP", context) == 101
        await house.until(lambda: not house.server.connections, "the end of the first")
        fingerprint = read_certificate(shown).fingerprint
        house.intake.directory = Directory(
            stations={"CP": StationEntry(id="CP")}, revoked=frozenset({fingerprint})
        )
        assert await knock(house, "CP", context) == 401
        assert await told(house) == [("CP", "RevokedCertificate")]

    play(tmp_path, scene, directory=Directory(stations={"CP": StationEntry(id="CP")}), **papers.with_clients)


def test_a_certificate_that_was_shown_is_on_record_once(tmp_path: Path, papers: Papers) -> None:
    context = papers.client("CP")
    with Records(f"sqlite:///{tmp_path}/records.db") as records:
        records.migrate()

        async def scene(house: World) -> None:
            for _ in range(2):
                assert await knock(house, "CP", context) == 101
                await house.until(lambda: not house.server.connections, "its end")
                await house.server.ledger.write()

        play(tmp_path, scene, directory=keyed("CP"), records=records, **papers.with_clients)
        (row,) = Certificates(records).known()
    assert (row.station, row.kind, row.is_ours) == ("CP", "station", False)
    assert row.not_after > utc_now()


# certificates whose files change


def test_new_certificates_are_taken_without_a_restart_and_broken_ones_are_not(tmp_path: Path, papers: Papers) -> None:
    async def serial(house: World) -> str:
        _, writer = await asyncio.open_connection("127.0.0.1", house.server.port, ssl=papers.client())
        tls = writer.get_extra_info("ssl_object")
        await leave(writer)
        return certificate_of(tls.getpeercert(binary_form=True)).serial

    async def scene(house: World) -> None:
        listener = house.server._threshold.listener
        first = await serial(house)
        (tmp_path / "server.pem").write_text("half of a certif")
        listener.refresh()
        assert await serial(house) == first, "the last good one goes on"
        papers.new_server_certificate()
        os.utime(tmp_path / "server.pem", (1, 1))
        listener.refresh()
        assert await serial(house) != first

    play(tmp_path, scene, **papers.settings)


def test_a_client_ca_that_was_replaced_lets_the_old_one_in_no_more(tmp_path: Path, papers: Papers) -> None:
    old = papers.client("CP")
    new = Authority.create(tmp_path / "new", "New CA", utc_now())
    fresh = papers.client("NEXT", new)

    async def scene(house: World) -> None:
        assert await knock(house, "CP", old) == 101
        (tmp_path / "clients.pem").write_text(new.pem)
        house.server._threshold.listener.refresh()
        assert await knock(house, "NEXT", fresh) == 101
        with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
            await knock(house, "CP", old)

    (tmp_path / "clients.pem").write_text(papers.authority.pem)
    directory = keyed("CP", "NEXT")
    settings = papers.settings | {"tls_client_ca": tmp_path / "clients.pem"}
    play(tmp_path, scene, directory=directory, security_profile=3, **settings)


@pytest.mark.parametrize("broken", ["tls_certificate", "tls_key", "tls_client_ca"])
def test_a_file_that_cannot_be_used_is_an_error_at_the_start(tmp_path: Path, papers: Papers, broken: str) -> None:
    async def scene(house: World) -> None:
        raise AssertionError("it has started")

    (tmp_path / "broken").write_text("no certificate")
    with pytest.raises(OSError):
        play(tmp_path, scene, **(papers.with_clients | {broken: tmp_path / "broken"}))


# failed handshakes


def test_quirk_9_a_charger_without_our_ca_is_seen_at_its_address(
    tmp_path: Path, papers: Papers, capsys: pytest.CaptureFixture[str]
) -> None:
    now = utc_now()
    came = StationConnected(station="CP", at=now, received_at=now, address="127.0.0.1", protocol="ocpp1.6")
    went = StationDisconnected(station="CP", at=now, received_at=now)

    async def scene(house: World) -> None:
        house.intake.handle(came, went)
        for _ in range(3):
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection("127.0.0.1", house.server.port, ssl=ssl.create_default_context())
        await house.until(lambda: house.journal.head > 0, "the event")
        assert await told(house) == [("CP", "TlsHandshakeFailed")], "once, however often it tries"

    play(tmp_path, scene, **papers.settings)
    out = capsys.readouterr().out
    assert out.count("TLS handshake failed") == 1
    assert "127.0.0.1" in out
    assert "the CA of our certificate" in out


def test_a_charger_that_says_why_it_goes_is_understood(
    tmp_path: Path, papers: Papers, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as raw, pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(raw, server_hostname="localhost")

    async def scene(house: World) -> None:
        await asyncio.to_thread(fail, house.server.port)
        await house.until(lambda: not house.server._threshold.listener._open, "its end")

    play(tmp_path, scene, **papers.settings)
    assert "reason=untrusted" in capsys.readouterr().out


@pytest.mark.parametrize("said", [b"GET /ocpp/CP HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 50, b""])
def test_what_is_no_tls_is_turned_away_and_others_are_served(tmp_path: Path, papers: Papers, said: bytes) -> None:
    async def scene(house: World) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
        writer.write(said)
        writer.write_eof()
        await reader.read()
        await leave(writer)
        assert await knock(house, "CP", papers.client(), **basic()) == 101

    play(tmp_path, scene, directory=keyed("CP"), **papers.settings)


def test_nothing_older_than_tls_1_2_and_no_weak_cipher_is_spoken(papers: Papers) -> None:
    context = Tls(Ocpp(**papers.settings)).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    names = [cipher["name"] for cipher in context.get_ciphers()]
    assert all("GCM" in name or "CHACHA20" in name for name in names)
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in names)


def test_a_handshake_that_never_ends_is_cut_and_many_of_them_keep_nobody_out(tmp_path: Path, papers: Papers) -> None:
    async def scene(house: World) -> None:
        silent = [socket.create_connection(("127.0.0.1", house.server.port)) for _ in range(100)]
        for one in silent:
            one.setblocking(False)
        assert await knock(house, "CP", papers.client(), **basic()) == 101
        listener = house.server._threshold.listener
        await house.until(lambda: not listener._open, "the end of all of them")
        for one in silent:
            one.close()

    play(tmp_path, scene, directory=keyed("CP"), handshake_timeout_s=0.5, **papers.settings)


def test_a_strangers_certificate_waits_for_approval_as_a_strangers_key_does(tmp_path: Path, papers: Papers) -> None:
    async def scene(house: World) -> None:
        url = house.url("/ocpp/NEW").replace("ws:", "wss:")
        async with connect(url, subprotocols=["ocpp1.6"], ssl=papers.client("NEW")) as link:
            assert (await Charger(link).boot())["status"] == "Pending"
            (held,) = house.server.ledger.room.take_news()[0]
            assert (held.station, held.security, held.vendor) == ("NEW", "mtls", "Acme")

    play(tmp_path, scene, unknown=Unknown.HOLD, security_profile=3, **papers.with_clients)


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("CN=CP1,O=Acme", "CP1"),
        ("O=Acme, CN=CP1", "CP1"),
        ("/C=DE/O=Acme/CN=CP1", "CP1"),
        ("CP1", "CP1"),
        ("O=Acme", ""),
        ("", ""),
    ],
)
def test_a_subject_as_proxies_write_it_has_its_common_name(subject: str, name: str) -> None:
    assert common_name(subject) == name
