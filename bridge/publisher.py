"""Publishes the live state: retained documents on the broker, after they are durable in the journal.

It keeps no cursor: what matters is only the newest state, so after the broker was away everything is published
again as it is now.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from queue import SimpleQueue

import msgspec
import structlog

from bridge.broker import BrokerClient
from bridge.evidence import LATE_AFTER
from bridge.live import (
    BridgeView,
    ConnectorView,
    SessionView,
    StationView,
    bridge_topic,
    connector_topic,
    mask,
    station_topic,
)
from bridge.session import Session
from bridge.snapshots import Connector, Snapshot, Station, key_of

_log = structlog.get_logger("live")


def station_view(station: Station) -> StationView:
    """What a wall may know of a station."""
    return StationView(
        station=station.id,
        bridge=station.bridge,
        protocol=station.protocol,
        vendor=station.vendor,
        model=station.model,
        firmware=station.firmware,
        is_connected=station.is_connected,
        connected_at=station.connected_at,
        disconnected_at=station.disconnected_at,
        last_seen_at=station.last_seen_at,
    )


def session_view(session: Session) -> SessionView:
    """A session without the full token."""
    return SessionView(
        id=session.id,
        state=session.state,
        started_at=session.started_at,
        energy_wh=session.energy_wh,
        cost=session.cost,
        currency=session.currency,
        token=mask(session.token) if session.token else "",
        soc_percent=session.soc_percent,
        ended_at=session.ended_at,
        stop_reason=session.stop_reason,
        needs_review=bool(session.review),
    )


def connector_view(connector: Connector, session: Session | None) -> ConnectorView:
    """A connector with its open or last session. Late power says so and keeps its own time."""
    at, received_at = connector.power_at, connector.power_received_at
    return ConnectorView(
        station=connector.station,
        evse=connector.evse,
        connector=connector.connector,
        status=connector.status or "",
        error_code=connector.error_code,
        info=connector.info,
        status_at=connector.status_at,
        power_w=connector.power_w,
        power_at=at,
        power_received_at=received_at,
        is_late=at is not None and received_at is not None and received_at - at > LATE_AFTER,
        session=session_view(session) if session else None,
    )


class LiveState:
    """The newest snapshots as documents by topic. Pure."""

    def __init__(self) -> None:
        self._stations: dict[str, Station] = {}
        self._connectors: dict[str, Connector] = {}
        self._sessions: dict[str, Session] = {}
        self._connector_of_session: dict[str, str] = {}

    def take(self, snapshots: Iterable[Snapshot]) -> dict[str, bytes]:
        """Take in snapshots; returns the documents to publish, by topic."""
        stations: dict[str, Station] = {}
        connectors: dict[str, Connector] = {}
        sessions: list[Session] = []
        for snapshot in snapshots:
            if isinstance(snapshot, Station):
                stations[snapshot.id] = self._stations[snapshot.id] = snapshot
            elif isinstance(snapshot, Connector):
                key = key_of(snapshot)
                connectors[key] = self._put_connector(key, snapshot)
            else:
                sessions.append(snapshot)
        for session in sessions:  # last: a connector may only now have said that it is this session's
            place = self._put_session(session)
            if place is not None:
                connectors[place] = self._connectors[place]
        return self._documents(stations.values(), connectors.values())

    def everything(self) -> dict[str, bytes]:
        """All documents, for a broker that may have forgotten them."""
        return self._documents(self._stations.values(), self._connectors.values())

    def _put_connector(self, key: str, connector: Connector) -> Connector:
        before = self._connectors.get(key)
        left = before.session_id if before is not None else None
        if left and left != connector.session_id and self._connector_of_session.get(left) == key:  # not moved on
            self._sessions.pop(left, None)
            del self._connector_of_session[left]
        if connector.session_id:
            self._connector_of_session[connector.session_id] = key
        self._connectors[key] = connector
        return connector

    def _put_session(self, session: Session) -> str | None:
        key = self._connector_of_session.get(session.id)
        if key is None and not session.is_open:
            return None  # closed and no longer on its connector
        self._sessions[session.id] = session
        return key

    def _documents(self, stations: Iterable[Station], connectors: Iterable[Connector]) -> dict[str, bytes]:
        documents = {station_topic(s.id): msgspec.json.encode(station_view(s)) for s in stations}
        for c in connectors:
            session = self._sessions.get(c.session_id) if c.session_id else None
            topic = connector_topic(c.station, c.evse, c.connector)
            documents[topic] = msgspec.json.encode(connector_view(c, session))
        return documents


class Publisher:
    """A thread that publishes what changed every ``every_s`` and a bridge document every second."""

    def __init__(
        self,
        broker: BrokerClient,
        bridge: str,
        describe: Callable[[], BridgeView],
        every_s: float = 0.1,
    ) -> None:
        self._broker = broker
        self._bridge = bridge
        self._describe = describe
        self._every_s = every_s
        self._state = LiveState()
        self._offered: SimpleQueue[list[Snapshot]] = SimpleQueue()
        self._republish = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)

    def offer(self, snapshots: list[Snapshot]) -> None:
        """Snapshots that are durable, in the order of their changes. Any thread."""
        self._offered.put(snapshots)

    def start(self) -> None:
        self._broker.on_connected(self._republish.set)
        self._thread.start()

    def stop(self) -> None:
        """Publish what is left and say that this bridge is down."""
        self._stopping.set()
        self._thread.join(5.0)
        self._broker.publish(bridge_topic(self._bridge), last_will(self._bridge), retain=True)

    def check(self) -> None:
        """Raises RuntimeError while the broker is away."""
        if not self._broker.is_connected:
            raise RuntimeError("the MQTT broker is away; live state will be published when it returns")

    def _run(self) -> None:
        said_at = 0.0
        is_last = False
        while not is_last:
            is_last = self._stopping.wait(self._every_s)
            try:
                said_at = self._tick(said_at)
            except Exception:
                _log.exception("publishing failed")

    def _tick(self, said_at: float) -> float:
        documents = self._state.take(self._changes())
        if self._republish.is_set():
            self._republish.clear()
            documents = self._state.everything()
        for topic, body in documents.items():
            self._broker.publish(topic, body, retain=True)
        if time.monotonic() - said_at < 1.0:
            return said_at
        self._broker.publish(bridge_topic(self._bridge), msgspec.json.encode(self._describe()), retain=True)
        return time.monotonic()

    def _changes(self) -> list[Snapshot]:
        changed: list[Snapshot] = []
        while not self._offered.empty():
            changed += self._offered.get()
        return changed


def last_will(bridge: str) -> bytes:
    """What the broker says for us when we are gone."""
    return msgspec.json.encode(BridgeView(bridge=bridge, is_up=False, at=datetime.now(UTC)))

