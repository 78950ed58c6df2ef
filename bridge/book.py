"""The book: what we know of every station, connector and recent session, in memory. No I/O, no clock.

``apply`` takes one event; ``take_changed`` hands out the newest snapshots of what changed since the last call.
Written down with the events behind them, they bring the book back after a crash (``restore``, then ``apply``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from bridge import evidence, portions
from bridge import session as sessions
from bridge.events import (
    OURS,
    AnyEvent,
    ConnectorStatus,
    DetailKind,
    DetailsReported,
    DeviceEventNotified,
    Event,
    FrameRefused,
    MeterSampled,
    SecurityEventNotified,
    StationBooted,
    StationConnected,
    StationDisconnected,
    StatusChanged,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
)
from bridge.evidence import is_late
from bridge.faults import fault_of, with_known_fault
from bridge.session import STATUS_TRIGGERS, Session, SessionState
from bridge.shelf import Shelf

_PLACELESS = 20  # sessions a station may have open before it says on which EVSE
_STATUS_OF_STATE = {
    SessionState.CHARGING: ConnectorStatus.CHARGING,
    SessionState.SUSPENDED: ConnectorStatus.SUSPENDED_EV,
    SessionState.FINISHING: ConnectorStatus.FINISHING,
}
_NO_STOP = "no stop received before the next start on this connector"


def _skew_s(known_s: float | None, event: Event) -> float | None:
    """The least delayed message of a connection tells the clock's error best: queued ones only seem slower."""
    if event.at == event.received_at:
        return known_s  # it gave no time of its own
    ahead_s = (event.at - event.received_at).total_seconds()
    return ahead_s if known_s is None else max(known_s, ahead_s)


def _refined(status: ConnectorStatus, session: Session) -> ConnectorStatus:
    """2.x says Occupied (mapped to Preparing) beside a transaction that already says more."""
    if status is not ConnectorStatus.PREPARING:
        return status
    return _STATUS_OF_STATE.get(session.state, status)


class Book(Shelf):
    """The shelf, moved on by events."""

    def __init__(self, bridge: str) -> None:
        super().__init__(bridge)
        self._seen_at: dict[str, tuple[datetime, float | None]] = {}  # and the clock's error
        self._apply: dict[type[AnyEvent], Callable[[Any], None]] = {
            StationConnected: self._connected,
            StationDisconnected: self._disconnected,
            StationBooted: self._booted,
            StatusChanged: self._status,
            TransactionStarted: self._started,
            TransactionUpdated: self._updated,
            TransactionEnded: self._ended,
            MeterSampled: self._sampled,
            DeviceEventNotified: self._device_event,
            DetailsReported: self._details,
            FrameRefused: self._refused,
        }

    def apply(self, event: AnyEvent) -> None:
        """Advance by one event. One that says nothing new changes only when the station was last seen."""
        handler = self._apply.get(type(event))
        if handler is not None:
            handler(event)
        if type(event) is not SecurityEventNotified or not event.kind.startswith(OURS):
            self._see(event)

    # stations

    def _see(self, event: AnyEvent) -> None:
        """Noted aside, and written into the station on the beat: a snapshot per message would be work for one time."""
        station = self.stations.get(event.station)
        if station is not None:
            known = self._seen_at.get(event.station)
            skew_s = station.clock_skew_s if known is None else known[1]
            self._seen_at[event.station] = event.received_at, _skew_s(skew_s, event)

    def beat(self) -> None:
        """Write into the stations when they were last heard."""
        seen, self._seen_at = self._seen_at, {}
        for station, (at, skew_s) in seen.items():
            self._change_station(self.stations[station], last_seen_at=at, clock_skew_s=skew_s)

    def _connected(self, event: StationConnected) -> None:
        self._seen_at.pop(event.station, None)
        self._change_station(
            self._station(event),
            protocol=event.protocol,
            address=event.address,
            security=event.security,
            bridge=self._bridge,
            is_connected=True,
            connected_at=event.received_at,
            last_seen_at=event.received_at,
            clock_skew_s=None,
        )

    def _disconnected(self, event: StationDisconnected) -> None:
        self._change_station(self._station(event), is_connected=False, disconnected_at=event.received_at)

    def _booted(self, event: StationBooted) -> None:
        station = self._station(event)
        is_same = event.firmware in ("", station.firmware)
        self._change_station(
            station,
            vendor=event.vendor,
            model=event.model,
            serial=event.serial,
            firmware=event.firmware,
            iccid=event.iccid,
            imsi=event.imsi,
            meter_type=event.meter_type,
            meter_serial=event.meter_serial,
            boot_reason=event.reason,
            booted_at=event.received_at,
            described_at=station.described_at if is_same else None,  # what it told was of the old firmware
            items_per_call=station.items_per_call if is_same else {},
        )

    def _details(self, event: DetailsReported) -> None:
        if event.kind is not DetailKind.VARIABLE or event.is_gone:
            return
        limits = portions.told(event.details)
        if limits:
            station = self._station(event)
            self._change_station(station, items_per_call=station.items_per_call | limits)
        if not (event.more or event.is_partial):
            self._change_station(self._station(event), described_at=event.received_at)

    def _refused(self, event: FrameRefused) -> None:
        station = self._station(event)
        self._change_station(station, refused_frames=station.refused_frames + 1)

    # connectors

    def _status(self, event: StatusChanged) -> None:
        known = self._connector(event.station, event.evse, event.connector)
        if sessions.is_older(event, known.status_at):
            return  # an older status, replayed: the timeline has it, the present does not change
        event = with_known_fault(event, known)
        says = (event.status, event.error_code, event.info, event.vendor_error_code)
        if says == (known.status, known.error_code, known.info, known.vendor_error_code):
            return  # identical status storms are no news (field quirk 57)
        session = self.open_session(event.station, event.evse)
        self._change_connector(
            known,
            status=event.status if session is None else _refined(event.status, session),
            error_code=event.error_code,
            info=event.info,
            vendor_error_code=event.vendor_error_code,
            status_at=event.at,
            status_received_at=event.received_at,
        )
        trigger = STATUS_TRIGGERS.get(event.status)
        if session is not None and trigger is not None and not sessions.is_older(event, session.started_at):
            self._change_session(session, sessions.moved(session, trigger, event.at))

    def _device_event(self, event: DeviceEventNotified) -> None:
        fault = fault_of(event)
        if fault is None or event.evse is None:
            return
        known = self._connector_of_evse(event.station, event.evse, self.open_session(event.station, event.evse))
        if fault != (known.error_code, known.info, known.vendor_error_code):
            self._change_connector(known, **fault._asdict())

    # sessions

    def _started(self, event: TransactionStarted) -> None:
        session = sessions.opened(event)
        if session.id in self.sessions.get(event.station, {}):
            return  # the same start, resent (field quirk 45)
        known = self.find_session(event.station, event.transaction_id)
        if known is not None and sessions.is_resent(known, event):
            return
        if known is not None and sessions.is_start_of(known, event):
            self._change_session(known, sessions.start_learnt(known, event))
            return
        rival = self._rival(event.station, event.evse)
        if rival is not None and is_late(event) and sessions.is_older(event, rival.started_at):
            self._add_session(sessions.superseded(session, event.at, event.received_at, _NO_STOP))
            return  # out of a queue: what has begun since goes on
        self._bound(rival, event)
        self._add_session(session)
        self._change_connector(self._connector(event.station, event.evse, event.connector), session_id=session.id)

    def _rival(self, station: str, evse: int) -> Session | None:
        """What must be over when a session begins there. On 0 nobody knows yet where: a few may wait."""
        if evse:
            return self.open_session(station, evse)
        waiting = [s for s in self.sessions.get(station, {}).values() if s.is_open and not s.evse]
        return waiting[0] if len(waiting) >= _PLACELESS else None

    def _bound(self, zombie: Session | None, event: Event) -> None:
        if zombie is not None:
            self._change_session(zombie, sessions.superseded(zombie, event.at, event.received_at, _NO_STOP))

    def _updated(self, event: TransactionUpdated) -> None:
        if self.find_session(event.station, event.transaction_id) is None:
            self._started(sessions.unseen_start(event))
        session = self.find_session(event.station, event.transaction_id)
        if session is None or not session.is_open:
            return
        new = session
        if event.charging_state is not None:
            trigger = STATUS_TRIGGERS.get(event.charging_state)
            new = sessions.moved(new, trigger, event.at) if trigger else new
        seq_no = max(x for x in (event.seq_no, new.seq_no, -1) if x is not None)
        seen = evidence.numbered(new.evidence, event.seq_no)
        new = replace(new, seq_no=None if seq_no < 0 else seq_no, token=new.token or event.token, evidence=seen)
        if not session.evse and event.evse:
            new = self._moved_to(new, event.evse, event)
        self._change_session(session, new)
        self._status_from(new, event)

    def _moved_to(self, session: Session, evse: int, event: TransactionUpdated) -> Session:
        """Authorised before it was plugged in: only now we hear where."""
        self._open.pop((session.station, session.evse), None)
        self._bound(self.open_session(session.station, evse), event)
        left = self._connector(session.station, session.evse, session.connector)
        if left.session_id == session.id:
            self._change_connector(left, session_id=None)
        self._change_connector(self._connector(session.station, evse, session.connector), session_id=session.id)
        return replace(session, evse=evse)

    def _status_from(self, session: Session, event: TransactionUpdated) -> None:
        """OCPP 2.x connectors say only Occupied; the transaction's charging state says the rest."""
        connector = self._connector(session.station, session.evse, session.connector)
        state = event.charging_state
        if state is None or connector.status in (state, ConnectorStatus.FAULTED, ConnectorStatus.UNAVAILABLE):
            return
        if connector.status_at is None or event.at >= connector.status_at:
            self._change_connector(connector, status=state, status_at=event.at, status_received_at=event.received_at)

    def _ended(self, event: TransactionEnded) -> None:
        session = self._session_to_end(event)
        if session is None or sessions.is_orphan_stop(session):
            orphan = sessions.orphan_stop(event)
            if orphan.id not in self.sessions.get(event.station, {}):
                self._add_session(orphan)
            return
        connector = self._connector(session.station, session.evse, session.connector)
        if self._change_session(session, sessions.stopped(session, event)) and connector.session_id == session.id:
            self._change_connector(connector, power_w=0.0, power_at=event.at, power_received_at=event.received_at)

    def _session_to_end(self, event: TransactionEnded) -> Session | None:
        """By transaction id; an id of 0 or below, which some chargers send, by connector or the one open session
        of the station with that token (field quirks 42 and 55)."""
        found = self.find_session(event.station, event.transaction_id)
        if not sessions.is_placeholder(event.transaction_id) or (found is not None and found.is_open):
            return found
        here = self.sessions.get(event.station, {}).values()
        again = [s for s in here if (s.ended_at, s.meter_stop_wh) == (event.at, event.meter_stop_wh)]
        if again:
            return again[0]
        if event.evse is not None:
            return self.open_session(event.station, event.evse)
        open_here = [s for s in here if s.is_open]
        same_token = [s for s in open_here if event.token and s.token == event.token]
        candidates = same_token or open_here
        return candidates[0] if len(candidates) == 1 else None

    def _sampled(self, event: MeterSampled) -> None:
        session = self.session_for(event)
        if session is not None and not sessions.is_older(event, session.started_at):
            self._change_session(session, sessions.sampled(session, event))
        evse = session.evse if session is not None else event.evse
        if evse is not None:
            self._power(event, evse, session)

    def _power(self, event: MeterSampled, evse: int, session: Session | None) -> None:
        power_w, register = event.values.get("power_w"), event.values.get("energy_import_wh")
        connector = self._connector_of_evse(event.station, evse, session)
        newest = connector.power_at or connector.register_at
        if (power_w is None and register is None) or sessions.is_older(event, newest):
            return
        if session is not None and not session.is_open:
            power_w = 0.0  # repeated or queued readings after the stop do not make a flow
        changes: dict[str, Any] = {}
        if power_w is not None:
            changes = {"power_w": power_w, "power_at": event.at, "power_received_at": event.received_at}
        if register is not None:
            changes |= {"register_wh": round(register), "register_at": event.at}
        self._change_connector(connector, **changes)
