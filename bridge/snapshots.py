"""What the book knows of one station or connector at one moment; sessions are the third kind of snapshot.

Frozen, numbered by ``revision`` and MessagePack both ways: the journal keeps them, the records take them in, the
live state is drawn from them.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from bridge.events import ConnectorStatus
from bridge.session import Session


class Station(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """A station as last seen by this bridge."""

    id: str
    protocol: str = ""
    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    iccid: str = ""
    imsi: str = ""
    meter_type: str = ""
    meter_serial: str = ""
    boot_reason: str = ""
    address: str = ""
    security: str = ""  # how it proved who it is when it last connected (access.RANK)
    bridge: str = ""
    is_connected: bool = False
    connected_at: datetime | None = None
    disconnected_at: datetime | None = None
    last_seen_at: datetime | None = None
    booted_at: datetime | None = None
    described_at: datetime | None = None  # when it last told its device model or configuration
    items_per_call: dict[str, int] = {}  # how many entries it takes in a call's list, by action
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

_decoder: msgspec.msgpack.Decoder[Snapshot] = msgspec.msgpack.Decoder(Snapshot)
_encoder = msgspec.msgpack.Encoder()


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """A snapshot to MessagePack, for the journal's state table."""
    return _encoder.encode(snapshot)


def decode_snapshot(blob: bytes) -> Snapshot:
    """The inverse of ``encode_snapshot``."""
    return _decoder.decode(blob)


def key_of(snapshot: Snapshot) -> str:
    """The snapshot's place in the state table."""
    if isinstance(snapshot, Station):
        return f"station/{snapshot.id}"
    if isinstance(snapshot, Connector):
        return f"connector/{snapshot.station}/{snapshot.evse}/{snapshot.connector}"
    return f"session/{snapshot.id}"
