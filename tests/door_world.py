"""What the tests of the door share: keys and headers, raw handshakes, clients that never answer, certificates."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import raw_world
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from ocpp_world import PEPPER, World, world

from bridge.access import Directory, StationEntry, key_hmac
from bridge.authority import Authority
from bridge.events import SecurityEventNotified, utc_now

KEY = b"0123456789abcdef"
MAY_DISPLACE = Directory(stations={"CP": StationEntry(id="CP", policy={"second_connection": "displace"})})
PROXIED = {"trusted_proxies": ("127.0.0.0/8",)}  # the tests' own address is the proxy
PLAIN = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "http"}
SECURE = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}


def play(path: Path, scene: Callable[[World], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), world(path, **options) as house:
            await scene(house)

    asyncio.run(run())


def keyed(*stations: str, key: bytes = KEY, **entry: Any) -> Directory:
    """Stations that are registered with one key."""
    hmac = key_hmac(PEPPER, key)
    return Directory(stations={name: StationEntry(id=name, key_hmac=hmac, **entry) for name in stations})


def basic(key: bytes = KEY, user: str = "CP") -> dict[str, str]:
    return raw_world.basic(user, key)


def handshake(station: str, **headers: str) -> bytes:
    return raw_world.handshake(f"/ocpp/{station}", **{"Sec-WebSocket-Protocol": "ocpp1.6"} | headers).encode()


async def knock(house: World, station: str = "CP", context: ssl.SSLContext | None = None, **headers: str) -> int:
    """The status a handshake gets; the connection is closed again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port, ssl=context)
    try:
        writer.write(handshake(station, **headers))
        return int((await reader.readline()).split()[1])
    finally:
        await leave(writer)


async def leave(*writers: asyncio.StreamWriter) -> None:
    """Gone at once, without a word."""
    for writer in writers:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def stay(house: World, station: str = "CP", **headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that shook hands and never says anything again, not even a pong."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    writer.write(handshake(station, **headers))
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def told(house: World) -> list[tuple[str, str]]:
    """The security events that we raised ourselves: station, kind without its prefix."""
    found = [event for event in await house.events() if isinstance(event, SecurityEventNotified)]
    return [(event.station, event.kind.removeprefix("chargewatch.")) for event in found]


class Papers:
    """An authority in a folder, our server's certificate by it, and clients that know it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create(folder / "ca", "Test CA", utc_now())
        self.settings = {"tls_certificate": folder / "server.pem", "tls_key": folder / "server.key"}
        self.new_server_certificate()

    def new_server_certificate(self) -> None:
        found, key = self.authority.issue_server(["127.0.0.1", "localhost"], utc_now(), 30)
        (self.folder / "server.key").write_bytes(key)
        (self.folder / "server.pem").write_bytes(found.public_bytes(Encoding.PEM))

    @property
    def with_clients(self) -> dict[str, Any]:
        """Settings by which stations may show certificates of this authority."""
        return self.settings | {"tls_client_ca": self.folder / "ca" / "ca.pem"}

    def client(self, station: str | None = None, authority: Authority | None = None) -> ssl.SSLContext:
        """A client that trusts us; with ``station`` it has a certificate of that name, by ``authority``."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca" / "ca.pem"))
        if station is not None:
            found, key = (authority or self.authority).issue_station(station, utc_now(), 30)
            paths = self.folder / f"{station}.pem", self.folder / f"{station}.key"
            paths[0].write_bytes(found.public_bytes(Encoding.PEM))
            paths[1].write_bytes(key)
            context.load_cert_chain(*paths)
        return context


def request_for(name: str, key: Any = None, digest: HashAlgorithm | None = None) -> str:
    key = key or ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    signed = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else digest or SHA256())
    return signed.public_bytes(Encoding.PEM).decode()
