"""The book: what we know of every station, connector and open session, in memory. No I/O, no clock.

``apply`` takes one event and returns what changed as new snapshots; the intake journals them with the event,
so after a crash the book is read back from the journal's state table and nothing is derived twice.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from bridge.events import ConnectorStatus


class Station(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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
    clock_skew_s: float | None = None  # device minus ours, of the newest live message
    refused_frames: int = 0
    revision: int = 0


class Connector(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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
