"""The live state on a real broker: durable first, whole again after the broker was away, never with a full token."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from road_world import NOW, Road, wait_for
from servers import Mosquitto, free_port
from servers import mosquitto as start_mosquitto

from bridge.broker import BrokerClient
from bridge.command_bus import Answer, CommandClient, CommandOutcome, Request
from bridge.commander import Commander
from bridge.events import ConnectorStatus, MeterSampled, StationConnected, StatusChanged
from bridge.live import ROOT, BridgeView, ConnectorView, StationView, bridge_topic, connector_topic, station_topic
from bridge.publisher import LiveState, Publisher, last_will
from bridge.session import Session
from bridge.settings import Mqtt
from bridge.snapshots import Connector


class Listener:
    """Keeps the newest retained document of each topic, as a dashboard does."""

    def __init__(self, broker: Mosquitto) -> None:
        self.documents: dict[str, bytes] = {}
        self.client = BrokerClient(Mqtt(port=broker.port), f"listener-{secrets.token_hex(4)}")
        self.client.subscribe(f"{ROOT}/#", lambda topic, payload, _: self.documents.__setitem__(topic, payload))
        self.client.start()
        wait_for(lambda: self.client.is_connected)


@pytest.fixture
def road(tmp_path: Path) -> Iterator[Road]:
    road = Road(tmp_path)
    yield road
    road.journal.close()


def publisher_of(port: int, name: str) -> tuple[Publisher, BrokerClient]:
    will = (bridge_topic(name), last_will(name))
    broker = BrokerClient(Mqtt(port=port), f"bridge-{name}", will)
    publisher = Publisher(broker, name, lambda: BridgeView(bridge=name, at=NOW), every_s=0.02)
    publisher.start()
    broker.start()
    return publisher, broker


def test_a_connector_is_published_with_its_session_and_a_masked_token(road: Road, mosquitto: Mosquitto) -> None:
    station = f"CP/{secrets.token_hex(4)}"  # a slash in an id must not become a topic level
    publisher, broker = publisher_of(mosquitto.port, station)
    listener = Listener(mosquitto)
    road.whole_session(station)
    publisher.offer(road.changes())

    topic = connector_topic(station, 1, 1)
    wait_for(lambda: b'"state":"ended"' in listener.documents.get(topic, b""))
    view = msgspec.json.decode(listener.documents[topic], type=ConnectorView)
    assert view.session is not None
    assert (view.session.energy_wh, view.session.cost, view.session.token) == (1200, "1.60", "••••")
    assert (view.power_w, view.power_at) == (0.0, NOW + timedelta(minutes=6))
    assert msgspec.json.decode(listener.documents[station_topic(station)], type=StationView).is_connected

    publisher.stop()
    broker.stop()
    wait_for(lambda: b'"is_up":false' in listener.documents[bridge_topic(station)])
    listener.client.stop()


def test_a_late_reading_says_that_it_is_late(road: Road, mosquitto: Mosquitto) -> None:
    station = f"CP-{secrets.token_hex(4)}"
    publisher, broker = publisher_of(mosquitto.port, station)
    listener = Listener(mosquitto)
    received = NOW + timedelta(minutes=30)
    road.tell(StationConnected(station=station, at=NOW, received_at=NOW, address="", protocol="ocpp1.6"))
    road.tell(MeterSampled(station=station, at=NOW, received_at=received, evse=1, values={"power_w": 7000.0}))
    publisher.offer(road.changes())

    topic = connector_topic(station, 1, 1)
    wait_for(lambda: topic in listener.documents)
    view = msgspec.json.decode(listener.documents[topic], type=ConnectorView)
    assert (view.is_late, view.power_at, view.power_received_at) == (True, NOW, received)
    publisher.stop()
    broker.stop()
    listener.client.stop()


def test_everything_is_published_again_when_the_broker_has_forgotten(road: Road, mosquitto: Mosquitto) -> None:
    port, station = free_port(), "CP-1"
    publisher, broker = publisher_of(port, "bridge")
    with start_mosquitto(port):
        wait_for(lambda: broker.is_connected)
    road.tell(StationConnected(station=station, at=NOW, received_at=NOW, address="", protocol="ocpp1.6"))
    at = NOW + timedelta(seconds=1)
    road.tell(StatusChanged(station=station, at=at, received_at=at, evse=1, status=ConnectorStatus.PREPARING))
    publisher.offer(road.changes())
    wait_for(lambda: not broker.is_connected)
    with pytest.raises(RuntimeError, match="away"):
        publisher.check()

    with start_mosquitto(port) as empty:
        listener = Listener(empty)
        wait_for(lambda: b"Preparing" in listener.documents.get(connector_topic(station, 1, 1), b""), 30)
        listener.client.stop()
        publisher.stop()
        broker.stop()


class Notebook(BrokerClient):
    """Notes what would be published."""

    def __init__(self) -> None:
        super().__init__(Mqtt(), "notebook")
        self.topics: list[str] = []

    def publish(self, topic: str, body: bytes, retain: bool = False, qos: int = 0) -> None:
        self.topics.append(topic)


def test_what_was_offered_last_is_published_before_the_end(road: Road) -> None:
    broker = Notebook()
    publisher = Publisher(broker, "bridge", lambda: BridgeView(bridge="bridge", at=NOW), every_s=5.0)
    publisher.start()
    road.tell(StationConnected(station="CP-1", at=NOW, received_at=NOW, address="", protocol="ocpp1.6"))
    publisher.offer(road.changes())
    publisher.stop()
    assert broker.topics[0] == station_topic("CP-1")
    assert broker.topics[-1] == bridge_topic("bridge")


def test_a_session_that_moves_between_connectors_stays_with_the_later_one() -> None:
    session = Session(id="s", station="CP", evse=0, transaction_id="7", started_at=NOW, start_received_at=NOW)
    state = LiveState()
    state.take([Connector(station="CP", evse=0, session_id="s"), session])
    here, left = Connector(station="CP", evse=1, session_id="s"), Connector(station="CP", evse=0)
    state.take([here, left, session])
    documents = state.take([session])
    assert list(documents) == [connector_topic("CP", 1, 1)]
    assert b'"session"' in documents[connector_topic("CP", 1, 1)]


class OneStation:
    """Holds one socket and echoes what it is asked."""

    def holds(self, station: str) -> bool:
        return station == "CP/1"

    async def execute(self, request: Request, station: str) -> Answer:
        return Answer(id=request.id, outcome=CommandOutcome.ANSWERED, payload={"did": request.action})


def test_a_command_is_answered_by_the_bridge_that_holds_the_station(mosquitto: Mosquitto) -> None:
    async def ask() -> tuple[Answer, Answer]:
        bridge = BrokerClient(Mqtt(port=mosquitto.port), f"holder-{secrets.token_hex(4)}")
        Commander(bridge, OneStation())
        asker = BrokerClient(Mqtt(port=mosquitto.port), f"asker-{secrets.token_hex(4)}")
        client = CommandClient(asker)
        for broker in (bridge, asker):
            broker.start()
            await asyncio.to_thread(wait_for, lambda broker=broker: broker.is_connected)
        answers = await asyncio.gather(
            asyncio.to_thread(client.request, "CP/1", "Reset", {"type": "Soft"}, 5.0),
            asyncio.to_thread(client.request, "CP-2", "Reset", {"type": "Soft"}, 0.2),
        )
        for broker in (bridge, asker):
            broker.stop()
        return answers[0], answers[1]

    held, unknown = asyncio.run(ask())

    assert (held.outcome, held.payload) == (CommandOutcome.ANSWERED, {"did": "Reset"})
    assert unknown.outcome is CommandOutcome.OFFLINE
    assert "CP-2" in unknown.detail
