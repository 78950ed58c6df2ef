"""A bridge's road for MQTT tests: a real journal, a real book, the client under test, and publishers."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import servers
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bridge import book as books
from bridge.billing.price import Tariff
from bridge.book import Book
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

    def __init__(self, path: Path, port: int, vendors: tuple[str, ...] = VENDORS, **settings: Any) -> None:
        settings = {"stations": {"unknown": "accept"}, **settings}
        self.settings = Settings(
            bridge_name="test", chargers={"vendors": vendors}, mqtt={"port": port, "protocol": "auto"}, **settings
        )
        self.journal = Journal(path / "journal.db", commit_every_s=0.001)
        self.journal.open()
        self.book = Book("test")
        self.book.restore(books.decode(row.body) for _, row in self.journal.read_state(0, 1_000_000))
        tariff = Tariff(
            id="t",
            currency="EUR",
            energy_per_kwh=Decimal("0.5"),
            time_per_minute=Decimal(0),
            flat=Decimal(0),
            vat_percent=Decimal(19),
        )
        self.intake = Intake(self.book, self.journal, Unknown.REJECT, tariff)
        self.chargers = MqttChargers(self.settings, self.intake, load_mappings(self.settings.chargers))

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
        return [(entry.action, entry.frame) for _, entry in self.journal.read(0, 1_000_000)]


async def until(is_true: Callable[[], object], within_s: float = 15.0) -> None:
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
