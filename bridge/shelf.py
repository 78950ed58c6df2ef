"""What the book holds: stations, connectors and recent sessions by their natural keys, and which of them changed.
No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from bridge import session as sessions
from bridge.events import Event, MeterSampled
from bridge.session import Session
from bridge.snapshots import Connector, Snapshot, Station

_RECENT = 50  # sessions per station remembered, so that a stop or start sent twice is known

ConnectorKey = tuple[str, int, int]
EvseKey = tuple[str, int]


class Shelf:
    """Snapshots by key; every change of one raises its revision and is handed out once."""

    def __init__(self, bridge: str) -> None:
        self._bridge = bridge
        self.stations: dict[str, Station] = {}
        self.connectors: dict[ConnectorKey, Connector] = {}
        self.sessions: dict[str, dict[str, Session]] = {}  # station -> id -> session, oldest first
        self._evse_connectors: dict[EvseKey, list[int]] = {}
        self._open: dict[EvseKey, str] = {}  # the id of the session open on an EVSE
        self._changed: dict[object, Snapshot] = {}

    def restore(self, snapshots: Iterable[Snapshot]) -> None:
        """Read back what the journal knows. Higher revisions win."""
        for snapshot in snapshots:
            self._take_up(snapshot)

    def adopt(self, snapshots: Iterable[Snapshot]) -> None:
        """Go on from what another bridge knew. It counts as changed: our own journal must have it after a crash."""
        for snapshot in snapshots:
            key = self._take_up(snapshot)
            if key is not None:
                self._changed[key] = snapshot

    def _take_up(self, snapshot: Snapshot) -> object:
        known = self._known(snapshot)
        if known is not None and known.revision >= snapshot.revision:
            return None
        if isinstance(snapshot, Session):
            self._put_session(snapshot)
            return snapshot.id, snapshot.station
        if isinstance(snapshot, Connector):
            return self._put_connector(snapshot)
        self.stations[snapshot.id] = snapshot
        return snapshot.id

    def _known(self, snapshot: Snapshot) -> Snapshot | None:
        if isinstance(snapshot, Session):
            return self.sessions.get(snapshot.station, {}).get(snapshot.id)
        if isinstance(snapshot, Connector):
            return self.connectors.get((snapshot.station, snapshot.evse, snapshot.connector))
        return self.stations.get(snapshot.id)

    def take_changed(self) -> list[Snapshot]:
        """What changed since the last call, each thing once, as it is now."""
        changed, self._changed = self._changed, {}
        return list(changed.values())

    def everything(self) -> list[Snapshot]:
        """All that is known, for a reader that starts from nothing."""
        recent = [session for of_station in self.sessions.values() for session in of_station.values()]
        return [*self.stations.values(), *self.connectors.values(), *recent]

    def open_session(self, station: str, evse: int) -> Session | None:
        """The session now open on an EVSE."""
        id = self._open.get((station, evse))
        return None if id is None else self.sessions[station][id]

    def find_session(self, station: str, transaction_id: str) -> Session | None:
        """The newest session under a transaction id."""
        for session in reversed(self.sessions.get(station, {}).values()):
            if session.transaction_id == transaction_id:
                return session
        return None

    def session_for(self, event: MeterSampled) -> Session | None:
        """The session a reading belongs to: by transaction, else the one open on its EVSE. EVSE 0 is the whole
        station's meter and nobody's session."""
        if event.session_id:
            found = self.sessions.get(event.station, {}).get(event.session_id)
            if found is not None:
                return found
        if not sessions.is_placeholder(event.transaction_id):
            found = self.find_session(event.station, event.transaction_id)
            if found is not None:
                return found
        return self.open_session(event.station, event.evse) if event.evse else None

    # changes

    def _station(self, event: Event) -> Station:
        return self.stations.get(event.station) or Station(id=event.station, bridge=self._bridge)

    def _change_station(self, station: Station, **changes: Any) -> None:
        station = replace(station, revision=station.revision + 1, **changes)
        self.stations[station.id] = self._changed[station.id] = station

    def _connector(self, station: str, evse: int, connector: int) -> Connector:
        known = self.connectors.get((station, evse, connector))
        return known or Connector(station=station, evse=evse, connector=connector)

    def _put_connector(self, connector: Connector) -> ConnectorKey:
        key = (connector.station, connector.evse, connector.connector)
        if key not in self.connectors:
            self._evse_connectors.setdefault(key[:2], []).append(connector.connector)
        self.connectors[key] = connector
        return key

    def _change_connector(self, connector: Connector, **changes: Any) -> None:
        connector = replace(connector, revision=connector.revision + 1, **changes)
        self._changed[self._put_connector(connector)] = connector

    def _connector_of_evse(self, station: str, evse: int, session: Session | None) -> Connector:
        if session is not None:
            return self._connector(station, evse, session.connector)
        return self._connector(station, evse, self._evse_connectors.get((station, evse), [1])[0])

    def _put_session(self, session: Session) -> None:
        recent = self.sessions.setdefault(session.station, {})
        recent[session.id] = session
        evse = (session.station, session.evse)
        if session.is_open:
            self._open[evse] = session.id
        elif self._open.get(evse) == session.id:
            del self._open[evse]
        if len(recent) > _RECENT:
            oldest = next((key for key, known in recent.items() if not known.is_open), None)
            if oldest is not None:
                del recent[oldest]

    def _add_session(self, session: Session) -> None:
        self._put_session(session)
        self._changed[session.id, session.station] = session

    def _change_session(self, old: Session, new: Session) -> bool:
        """Did it change?"""
        if new is old or new == old:
            return False
        self._add_session(replace(new, revision=old.revision + 1))
        return True
