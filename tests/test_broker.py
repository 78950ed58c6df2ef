"""The processes' MQTT connection finds the version that a broker speaks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from road_world import wait_for
from servers import Mosquitto

from bridge import broker as brokers
from bridge.broker import BrokerClient
from bridge.settings import Mqtt

V5, V311 = 5, 4


class OldBroker:
    """Takes MQTT 3.1.1 and does to MQTT 5 what ``to_v5`` says: b"" is silence."""

    def __init__(self, to_v5: bytes) -> None:
        self._to_v5 = to_v5
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.versions: list[int] = []
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._server.accept()
            except OSError:
                return
            self._open.append(link)
            connect = link.recv(1024)
            version = connect[connect.index(b"MQTT") + 4]
            self.versions.append(version)
            link.sendall(b"\x20\x02\x00\x00" if version == V311 else self._to_v5)

    def close(self) -> None:
        self._server.close()
        for link in self._open:
            link.close()


@pytest.fixture(params=[b"\x20\x02\x00\x01", b""], ids=["refuses", "is silent"])
def old_broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[OldBroker]:
    monkeypatch.setattr(brokers, "_SILENCE_S", 0.3)
    broker = OldBroker(request.param)
    yield broker
    broker.close()


def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1(old_broker: OldBroker) -> None:
    client = BrokerClient(Mqtt(port=old_broker.port), "test")
    client.start()

    wait_for(lambda: client.is_connected)

    assert old_broker.versions[0] == V5
    assert old_broker.versions[-1] == V311
    client.stop()


def test_a_modern_broker_is_spoken_to_in_mqtt_5(mosquitto: Mosquitto) -> None:
    client = BrokerClient(Mqtt(port=mosquitto.port), "test-modern")
    client.start()

    wait_for(lambda: client.is_connected)

    assert client.client.protocol == V5
    client.stop()
