"""What the records give and take: typed rows, queries, pages and their cursors."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from bridge.events import ConnectorStatus
from bridge.session import SessionState

T = TypeVar("T")

MAX_PAGE = 500


class BadCursor(ValueError):
    """The cursor is not one that a page gave out."""


class Page(NamedTuple, Generic[T]):
    """``next_cursor`` is ``None`` on the last page."""

    items: list[T]
    next_cursor: str | None


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A place with chargers. ``timezone`` is an IANA name; ``grid_limit_w`` what its grid connection bears."""

    id: str
    name: str
    place: str = ""
    latitude: float | None = None
    longitude: float | None = None
    timezone: str = "UTC"
    grid_limit_w: int | None = None


class StationRow(msgspec.Struct, frozen=True, kw_only=True):
    """A station as recorded. ``is_approved`` is ``None`` while no person has decided about it; ``security_profile``
    and ``policy`` are a person's word, ``None`` where the setting and what is known of its model stand."""

    id: str
    name: str
    site_id: str | None
    site_name: str
    is_approved: bool | None
    has_key: bool
    protocol: str
    vendor: str
    model: str
    serial: str
    firmware: str
    address: str
    bridge: str
    is_connected: bool
    connected_at: datetime | None
    disconnected_at: datetime | None
    last_seen_at: datetime | None
    booted_at: datetime | None
    clock_skew_s: float | None
    refused_frames: int
    revision: int
    iccid: str = ""
    imsi: str = ""
    meter_type: str = ""
    meter_serial: str = ""
    boot_reason: str = ""
    security: str = ""
    security_profile: int | None = None
    policy: dict[str, Any] | None = None
    described_at: datetime | None = None
    refused_at: datetime | None = None  # by a person; one that is only not approved waits
    heartbeat_s: int | None = None


class ConnectorRow(msgspec.Struct, frozen=True, kw_only=True):
    """A connector as recorded; evse 0 is the station itself."""

    station: str
    evse: int
    connector: int
    status: ConnectorStatus | None
    error_code: str
    info: str
    vendor_error_code: str
    status_at: datetime | None
    status_received_at: datetime | None
    kind: str
    rated_power_w: int | None
    session_id: str | None
    revision: int


class SessionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which sessions: started in [since, until); ``text`` is found anywhere in station, token, transaction or id."""

    station: str | None = None
    states: frozenset[SessionState] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    site: str | None = None
    text: str = ""
    cursor: str | None = None
    limit: int = 50


class DayTotals(NamedTuple):
    """Energy and money are those of the sessions that ended in the range; ``revenue`` by currency, gross."""

    started: int
    ended: int
    energy_wh: int
    revenue: dict[str, Decimal]


class Success(NamedTuple):
    """First plug-in success: of ``ended`` sessions, how many delivered energy. ``share`` is ``None`` of none."""

    ended: int
    delivered: int
    share: float | None


class Usual(NamedTuple):
    """The median over ``weeks`` earlier weeks that the records reach back to."""

    sessions: float
    weeks: int


def encode_cursor(at: datetime, id: str | int) -> str:
    """An opaque place in a list ordered by (time, id)."""
    return urlsafe_b64encode(msgspec.json.encode((at, id))).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, str | int]:
    """Raises BadCursor."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        at, id = msgspec.json.decode(urlsafe_b64decode(padded), type=tuple[datetime, str | int])
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise BadCursor("this cursor was not given out by a page") from error
    if at.tzinfo is None:
        raise BadCursor("this cursor was not given out by a page")
    return at, id
