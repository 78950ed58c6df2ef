"""The book: what we know of every station, connector and recent session, in memory. No I/O, no clock.

``apply`` takes one event and returns the snapshots it changed; the intake journals them with the event, so
after a crash the book is read back with ``restore`` and nothing is derived twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from bridge import session as sessions
from bridge.events import (
    AnyEvent,
    ConnectorStatus,
    Event,
    FrameRefused,
    MeterSampled,
    StationBooted,
    StationConnected,
    StationDisconnected,
    StatusChanged,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
)
from bridge.session import OPEN_STATES, STATUS_TRIGGERS, Session, SessionState, Trigger

LATE_AFTER = timedelta(seconds=60)  # an older reading came by a queue: kept at its own time, never shown as live
_RECENT = 50  # sessions per station remembered, so that a stop or start sent twice is known


class Station(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """A station as last seen by this bridge."""

    id: str
    protocol: str = ""
    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    address: str = ""
    bridge: str = ""
    is_connected: bool = False
    connected_at: datetime | None = None
    disconnected_at: datetime | None = None
    last_seen_at: datetime | None = None
    booted_at: datetime | None = None
    clock_skew_s: float | None = None  # device minus ours, of the least delayed message since it connected
    refused_frames: int = 0
    revision: int = 0


class Connector(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """A connector as last reported; evse 0 is the station itself."""

    station: str
    evse: int
    connector: int = 1
    status: ConnectorStatus | None = None
    error_code: str = "NoError"
    info: str = ""
    vendor_error_code: str = ""
    status_at: datetime | None = None
    status_received_at: datetime | None = None
    power_w: float | None = None
    power_at: datetime | None = None  # device time of power_w
    power_received_at: datetime | None = None
    register_wh: int | None = None
    register_at: datetime | None = None
    session_id: str | None = None
    revision: int = 0


Snapshot = Station | Connector | Session
ConnectorKey = tuple[str, int, int]

_decoder: msgspec.msgpack.Decoder[Snapshot] = msgspec.msgpack.Decoder(Snapshot)
_encoder = msgspec.msgpack.Encoder()


def encode(snapshot: Snapshot) -> bytes:
    """A snapshot to MessagePack, for the journal's state table."""
    return _encoder.encode(snapshot)


def decode(blob: bytes) -> Snapshot:
    """The inverse of ``encode``."""
    return _decoder.decode(blob)


def key_of(snapshot: Snapshot) -> str:
    """The snapshot's place in the state table."""
    if isinstance(snapshot, Station):
        return f"station/{snapshot.id}"
    if isinstance(snapshot, Connector):
        return f"connector/{snapshot.station}/{snapshot.evse}/{snapshot.connector}"
    return f"session/{snapshot.id}"


def is_late(event: Event) -> bool:
    """Did this come by a queue or a replay?"""
    return bool(getattr(event, "offline", False)) or event.received_at - event.at > LATE_AFTER


def _skew_s(known_s: float | None, event: Event) -> float | None:
    """The least delayed message of a connection tells the clock's error best: queued ones only seem slower."""
    if event.at == event.received_at:
        return known_s  # it gave no time of its own
    ahead_s = (event.at - event.received_at).total_seconds()
    return ahead_s if known_s is None else max(known_s, ahead_s)


class Book:
    """Stations, connectors and sessions by their natural keys."""

    def __init__(self, bridge: str) -> None:
        self._bridge = bridge
        self.stations: dict[str, Station] = {}
        self.connectors: dict[ConnectorKey, Connector] = {}
        self.sessions: dict[str, dict[str, Session]] = {}  # station -> id -> session, oldest first
        self._evse_connectors: dict[tuple[str, int], list[int]] = {}
        self._seen_ids: set[str] = set()
        self._apply: dict[type[AnyEvent], Callable[[Any], list[Snapshot]]] = {
            StationConnected: self._connected,
            StationDisconnected: self._disconnected,
            StationBooted: self._booted,
            StatusChanged: self._status,
            TransactionStarted: self._started,
            TransactionUpdated: self._updated,
            TransactionEnded: self._ended,
            MeterSampled: self._sampled,
            FrameRefused: self._refused,
        }

    def restore(self, snapshots: Iterable[Snapshot]) -> None:
        """Read back what the journal, or another bridge by way of the records, knows. Higher revisions win."""
        for snapshot in snapshots:
            known = self._known(snapshot)
            if known is not None and known.revision >= snapshot.revision:
                continue
            if isinstance(snapshot, Session):
                self._put_session(snapshot)
            elif isinstance(snapshot, Connector):
                self._put_connector(snapshot)
            else:
                self.stations[snapshot.id] = snapshot

    def _known(self, snapshot: Snapshot) -> Snapshot | None:
        if isinstance(snapshot, Session):
            return self.sessions.get(snapshot.station, {}).get(snapshot.id)
        if isinstance(snapshot, Connector):
            return self.connectors.get((snapshot.station, snapshot.evse, snapshot.connector))
        return self.stations.get(snapshot.id)

    def apply(self, event: AnyEvent) -> list[Snapshot]:
        """Advance by one event; returns what changed. An event that says nothing new changes only last_seen."""
        handler = self._apply.get(type(event))
        changed = handler(event) if handler else []
        self._seen(event)
        return changed

    def open_session(self, station: str, evse: int) -> Session | None:
        """The session now open on an EVSE."""
        for session in reversed(self.sessions.get(station, {}).values()):
            if session.evse == evse and session.is_open:
                return session
        return None

    def find_session(self, station: str, transaction_id: str) -> Session | None:
        """The newest session under a transaction id."""
        for session in reversed(self.sessions.get(station, {}).values()):
            if session.transaction_id == transaction_id:
                return session
        return None

    # stations

    def _station(self, event: Event) -> Station:
        return self.stations.get(event.station) or Station(id=event.station, bridge=self._bridge)

    def _put_station(self, station: Station) -> list[Snapshot]:
        station = replace(station, revision=station.revision + 1)
        self.stations[station.id] = station
        return [station]

    def _seen(self, event: AnyEvent) -> None:
        """Memory only, and journaled on the beat: a write per message would double the work for one time."""
        station = self.stations.get(event.station)
        if station is None or isinstance(event, StationDisconnected):
            return
        skew_s = _skew_s(station.clock_skew_s, event)
        self.stations[event.station] = replace(station, last_seen_at=event.received_at, clock_skew_s=skew_s)
        self._seen_ids.add(event.station)

    def seen_since_last_beat(self) -> list[Snapshot]:
        """Stations heard since the last call, as new snapshots."""
        seen, self._seen_ids = self._seen_ids, set()
        return [changed for name in seen for changed in self._put_station(self.stations[name])]

    def _connected(self, event: StationConnected) -> list[Snapshot]:
        return self._put_station(
            replace(
                self._station(event),
                protocol=event.protocol,
                address=event.address,
                bridge=self._bridge,
                is_connected=True,
                connected_at=event.received_at,
                last_seen_at=event.received_at,
                clock_skew_s=None,
            )
        )

    def _disconnected(self, event: StationDisconnected) -> list[Snapshot]:
        return self._put_station(replace(self._station(event), is_connected=False, disconnected_at=event.received_at))

    def _booted(self, event: StationBooted) -> list[Snapshot]:
        return self._put_station(
            replace(
                self._station(event),
                vendor=event.vendor,
                model=event.model,
                serial=event.serial,
                firmware=event.firmware,
                booted_at=event.received_at,
            )
        )

    def _refused(self, event: FrameRefused) -> list[Snapshot]:
        station = self._station(event)
        return self._put_station(replace(station, refused_frames=station.refused_frames + 1))

    # connectors

    def _connector(self, station: str, evse: int, connector: int) -> Connector:
        known = self.connectors.get((station, evse, connector))
        return known or Connector(station=station, evse=evse, connector=connector)

    def _put_connector(self, connector: Connector) -> None:
        key = (connector.station, connector.evse, connector.connector)
        if key not in self.connectors:
            self._evse_connectors.setdefault(key[:2], []).append(connector.connector)
        self.connectors[key] = connector

    def _change_connector(self, connector: Connector, **changes: Any) -> Connector:
        connector = replace(connector, revision=connector.revision + 1, **changes)
        self._put_connector(connector)
        return connector

    def _connector_of_evse(self, station: str, evse: int, session: Session | None) -> Connector:
        if session is not None:
            return self._connector(station, evse, session.connector)
        return self._connector(station, evse, self._evse_connectors.get((station, evse), [1])[0])

    def _status(self, event: StatusChanged) -> list[Snapshot]:
        known = self._connector(event.station, event.evse, event.connector)
        if known.status_at is not None and event.at < known.status_at:
            return []  # an older status, replayed: the timeline has it, the present does not change
        says = (event.status, event.error_code, event.info, event.vendor_error_code)
        if says == (known.status, known.error_code, known.info, known.vendor_error_code):
            return []  # identical status storms are no news (field quirk 57)
        session = self.open_session(event.station, event.evse)
        status = event.status if session is None else _refined(event.status, session)
        changed: list[Snapshot] = [
            self._change_connector(
                known,
                status=status,
                error_code=event.error_code,
                info=event.info,
                vendor_error_code=event.vendor_error_code,
                status_at=event.at,
                status_received_at=event.received_at,
            )
        ]
        trigger = STATUS_TRIGGERS.get(event.status)
        if session is not None and trigger is not None and event.at >= session.started_at:
            changed += self._put_if_changed(session, sessions.moved(session, trigger, event.at))
        return changed

    # sessions

    def _put_session(self, session: Session) -> None:
        recent = self.sessions.setdefault(session.station, {})
        recent[session.id] = session
        if len(recent) > _RECENT:
            oldest = next((key for key, known in recent.items() if not known.is_open), None)
            if oldest is not None:
                del recent[oldest]

    def _put_if_changed(self, old: Session, new: Session) -> list[Snapshot]:
        if new is old or new == old:
            return []
        new = replace(new, revision=old.revision + 1)
        self._put_session(new)
        return [new]

    def _started(self, event: TransactionStarted) -> list[Snapshot]:
        session = sessions.opened(event)
        if session.id in self.sessions.get(event.station, {}):
            return []  # the same start, resent (field quirk 45)
        changed: list[Snapshot] = []
        zombie = self.open_session(event.station, event.evse)
        if zombie is not None:
            reason = "no stop received before the next start on this connector"
            changed += self._put_if_changed(zombie, sessions.superseded(zombie, event.at, event.received_at, reason))
        self._put_session(session)
        connector = self._connector(event.station, event.evse, event.connector)
        return [*changed, session, self._change_connector(connector, session_id=session.id)]

    def _updated(self, event: TransactionUpdated) -> list[Snapshot]:
        session = self.find_session(event.station, event.transaction_id)
        if session is None:
            return self._started(_unseen_start(event)) + self._updated_known(event)
        return self._updated_known(event)

    def _updated_known(self, event: TransactionUpdated) -> list[Snapshot]:
        session = self.find_session(event.station, event.transaction_id)
        if session is None or not session.is_open:
            return []
        new = session
        if event.charging_state is not None:
            trigger = STATUS_TRIGGERS.get(event.charging_state)
            new = sessions.moved(new, trigger, event.at) if trigger else new
        seq_no = max(x for x in (event.seq_no, new.seq_no, -1) if x is not None)
        new = replace(new, seq_no=None if seq_no < 0 else seq_no, token=new.token or event.token)
        return self._put_if_changed(session, new) + self._status_from(new, event)

    def _status_from(self, session: Session, event: TransactionUpdated) -> list[Snapshot]:
        """OCPP 2.x connectors say only Occupied; the transaction's charging state says the rest."""
        connector = self._connector(session.station, session.evse, session.connector)
        state = event.charging_state
        if state is None or connector.status in (state, ConnectorStatus.FAULTED, ConnectorStatus.UNAVAILABLE):
            return []
        if connector.status_at is not None and event.at < connector.status_at:
            return []
        return [
            self._change_connector(
                connector, status=state, status_at=event.at, status_received_at=event.received_at
            )
        ]

    def _ended(self, event: TransactionEnded) -> list[Snapshot]:
        session = self._session_to_end(event)
        if session is None:
            orphan = sessions.orphan_stop(event)
            if orphan.id in self.sessions.get(event.station, {}):
                return []
            self._put_session(orphan)
            return [orphan]
        changed = self._put_if_changed(session, sessions.stopped(session, event))
        if not changed:
            return []
        connector = self._connector(session.station, session.evse, session.connector)
        if connector.session_id == session.id:
            none_flows = {"power_w": 0.0, "power_at": event.at, "power_received_at": event.received_at}
            changed.append(self._change_connector(connector, **none_flows))
        return changed

    def _session_to_end(self, event: TransactionEnded) -> Session | None:
        """By transaction id; an id of 0 or below, which some chargers send, by connector or the one open session
        of the station with that token (field quirks 42 and 55)."""
        found = self.find_session(event.station, event.transaction_id)
        if found is not None or not _is_placeholder(event.transaction_id):
            return found
        if event.evse is not None:
            return self.open_session(event.station, event.evse)
        open_here = [s for s in self.sessions.get(event.station, {}).values() if s.state in OPEN_STATES]
        same_token = [s for s in open_here if event.token and s.token == event.token]
        candidates = same_token or open_here
        return candidates[0] if len(candidates) == 1 else None

    def _sampled(self, event: MeterSampled) -> list[Snapshot]:
        session = self.session_for(event)
        changed: list[Snapshot] = []
        if session is not None and event.at >= session.started_at:
            new = sessions.sampled(session, event)
            changed += self._put_if_changed(session, new)
        evse = session.evse if session is not None else event.evse
        if evse is None:
            return changed
        return changed + self._power(event, evse, session)

    def session_for(self, event: MeterSampled) -> Session | None:
        """The session a reading belongs to: by transaction, else the one open on its EVSE."""
        if event.transaction_id and not _is_placeholder(event.transaction_id):
            found = self.find_session(event.station, event.transaction_id)
            if found is not None:
                return found
        return None if event.evse is None else self.open_session(event.station, event.evse)

    def _power(self, event: MeterSampled, evse: int, session: Session | None) -> list[Snapshot]:
        power_w, register = event.values.get("power_w"), event.values.get("energy_import_wh")
        connector = self._connector_of_evse(event.station, evse, session)
        newest = max(filter(None, (connector.power_at, connector.register_at)), default=None)
        if (power_w is None and register is None) or (newest is not None and event.at < newest):
            return []
        if session is not None and not session.is_open:
            power_w = 0.0  # repeated or queued readings after the stop do not make a flow
        changes: dict[str, Any] = {}
        if power_w is not None:
            changes |= {"power_w": power_w, "power_at": event.at, "power_received_at": event.received_at}
        if register is not None:
            changes |= {"register_wh": round(register), "register_at": event.at}
        return [self._change_connector(connector, **changes)]


def _refined(status: ConnectorStatus, session: Session) -> ConnectorStatus:
    """2.x says Occupied (mapped to Preparing) beside a transaction that already says more."""
    if status is not ConnectorStatus.PREPARING:
        return status
    return _STATUS_OF_STATE.get(session.state, status)


_STATUS_OF_STATE = {
    SessionState.CHARGING: ConnectorStatus.CHARGING,
    SessionState.SUSPENDED: ConnectorStatus.SUSPENDED_EV,
    SessionState.FINISHING: ConnectorStatus.FINISHING,
}


def _unseen_start(event: TransactionUpdated) -> TransactionStarted:
    return TransactionStarted(
        station=event.station,
        at=event.at,
        received_at=event.received_at,
        evse=event.evse or 0,
        transaction_id=event.transaction_id,
        token=event.token,
        seq_no=event.seq_no,
        offline=event.offline,
        start_unknown=True,
    )


def _is_placeholder(transaction_id: str) -> bool:
    try:
        return int(transaction_id) <= 0
    except ValueError:
        return not transaction_id


__all__ = ["LATE_AFTER", "Book", "Connector", "Snapshot", "Station", "Trigger", "decode", "encode", "is_late", "key_of"]
