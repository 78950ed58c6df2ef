"""A bridge's road for MQTT tests: a real journal, a real book, the client under test, and publishers."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import servers
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bridge.billing.price import Tariff
from bridge.book import Book
from bridge.events import utc_now
from bridge.intake import Intake
from bridge.journal import Journal
from bridge.mqtt.client import MqttChargers
from bridge.mqtt.mapping import load_mappings
from bridge.settings import Settings, Unknown

VENDORS = ("goe", "openwb2", "everest", "evcc")


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on an event loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class World:
    """What a running bridge has, without OCPP."""

    def __init__(
        self,
        path: Path,
        port: int,
        vendors: tuple[str, ...] = VENDORS,
        journal: Journal | None = None,
        **settings: Any,
    ) -> None:
        settings = {"stations": {"unknown": "accept"}, **settings}
        self.settings = Settings(
            **{"bridge_name": path.name, "chargers": {"vendors": vendors}, "mqtt": {"port": port}, **settings}
        )
        self.journal = journal or Journal(path / "journal.db", commit_every_s=0.001)
        self.journal.open()
        self.ahead = timedelta()  # how far the clock of this world runs ahead
        self.book = Book("test")
        tariff = Tariff(
            id="t",
            currency="EUR",
            energy_per_kwh=Decimal("0.5"),
            time_per_minute=Decimal(0),
            flat=Decimal(0),
            vat_percent=Decimal(19),
        )
        self.intake = Intake(self.book, self.journal, Unknown.REJECT, tariff)
        self.intake.recover()
        self.chargers = MqttChargers(self.settings, self.intake, load_mappings(self.settings.chargers), self.now)

    def now(self) -> datetime:
        return utc_now() + self.ahead

    def wait(self, seconds: float) -> None:
        """Time passes at once."""
        self.ahead += timedelta(seconds=seconds)
        self.chargers.tick(self.now())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[MqttChargers]:
        """From connected to stopped; commits are flushed as the wiring does it."""
        loop = asyncio.get_running_loop()

        def committed(seq: int) -> None:
            loop.call_soon_threadsafe(self.chargers.flush, seq)

        self.journal.on_commit = committed
        await self.chargers.start()
        await until(lambda: self.chargers.is_up)
        try:
            yield self.chargers
        finally:
            await self.chargers.stop()
            self.journal.close()

    def topics(self) -> list[tuple[str, bytes]]:
        return [(entry.action, entry.frame) for _, entry in self.journal.walk(0)]


async def until(is_true: Callable[[], object], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


@contextmanager
def publisher(port: int, client_id: str = "charger") -> Iterator[paho.Client]:
    """A charger's own client on its own thread."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv311)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


async def send(client: paho.Client, topic: str, payload: str | bytes, qos: int = 1, retain: bool = False) -> None:
    """Publish and wait until the broker has it."""
    sent = client.publish(topic, payload, qos=qos, retain=retain)
    await asyncio.to_thread(sent.wait_for_publish, 10)
    assert sent.is_published()


class Spy:
    """Stands between a client and its broker and reads the packets that the client sends."""

    def __init__(self, broker_port: int, version_5: str = "passes") -> None:
        self.port = servers.free_port()
        self.sent: list[bytes] = []  # every whole packet from the client
        self.keeps_acks = False  # PUBACKs get lost on the way
        self._broker_port = broker_port
        self._version_5 = version_5  # "passes", "is refused", "is hung up on", "is not understood"
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Spy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        try:
            yield self
        finally:
            server.close()
            self.cut()

    @property
    def acks(self) -> int:
        return sum(packet[0] == 0x40 for packet in self.sent)

    def cut(self) -> None:
        """The line breaks."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
        self._writers += [writer, to_writer]
        back = asyncio.create_task(self._copy(to_reader, writer))
        try:
            while packet := await _packet(reader):
                self.sent.append(packet)
                if packet[0] == 0x10 and packet[8] == 5 and self._version_5 != "passes":
                    if self._version_5 == "is not understood":
                        continue
                    if self._version_5 == "is refused":
                        writer.write(b"\x20\x02\x00\x01")
                    break
                if not (packet[0] == 0x40 and self.keeps_acks):
                    to_writer.write(packet)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            await asyncio.sleep(0)
            to_writer.close()
            writer.close()
            await asyncio.gather(back, return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()


async def _packet(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(1)
    length = shift = 0
    while True:
        digit = await reader.readexactly(1)
        head += digit
        length |= (digit[0] & 127) << shift
        shift += 7
        if digit[0] < 128:
            return head + await reader.readexactly(length)


class KeptBroker:
    """A mosquitto that keeps its sessions on disk and can be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.port = servers.free_port()
        self._config = folder / "broker.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {folder}/\nautosave_interval 1\nautosave_on_changes true\n"
            "max_queued_messages 100000\n"
            f"user {'root' if folder.owner() == 'root' else 'mosquitto'}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = servers.find_mosquitto()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([str(program), "-c", str(self._config)], **quiet)
        deadline = time.monotonic() + 10
        while True:
            try:
                with publisher(self.port, "probe"):
                    return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
