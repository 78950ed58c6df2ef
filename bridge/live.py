"""The live state as every reader sees it: small JSON documents, retained on the broker.

``chargewatch/live/station/<station>``               -> StationView
``chargewatch/live/connector/<station>/<evse>/<connector>`` -> ConnectorView
``chargewatch/live/bridge/<bridge>``                 -> BridgeView (last will: {"is_up": false})
``chargewatch/live/alarm/<id>``                      -> AlarmView, published by the alarm process; empty when over
``chargewatch/live/alerts``                          -> AlertsView, every tick of the alarm process

Station ids are percent-encoded in topics (they may hold ``/ + #``). Times are RFC 3339 UTC.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

import msgspec

ROOT = "chargewatch/live"
COMMAND_ROOT = "chargewatch/command"


class SessionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    state: str
    started_at: datetime
    energy_wh: int
    cost: str
    currency: str
    token: str = ""  # masked: only the last four characters
    soc_percent: float | None = None
    ended_at: datetime | None = None
    stop_reason: str = ""
    needs_review: bool = False


class ConnectorView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One connector. ``power_at`` is device time of the power; ``received_at`` our time of the newest news
    about this connector; ``is_late`` when the newest power came by a queue and must not look live."""

    station: str
    evse: int
    connector: int
    status: str = ""  # ConnectorStatus or "" when never reported
    error_code: str = "NoError"
    info: str = ""
    status_at: datetime | None = None
    power_w: float | None = None
    power_at: datetime | None = None
    power_received_at: datetime | None = None
    is_late: bool = False
    session: SessionView | None = None  # the open one, else the last one


class StationView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    station: str
    bridge: str = ""
    protocol: str = ""
    vendor: str = ""
    model: str = ""
    firmware: str = ""
    is_connected: bool = False
    connected_at: datetime | None = None
    disconnected_at: datetime | None = None
    last_seen_at: datetime | None = None


class BridgeView(msgspec.Struct, frozen=True, kw_only=True):
    """Every second. ``lags_s``: projection -> seconds its cursor is behind the journal's newest entry.

    ``is_up`` is always written, here and in ``AlertsView``: a browser takes its absence as no.
    """

    bridge: str
    is_up: bool = True
    at: datetime | None = None
    stations: int = 0
    messages: int = 0  # since start
    lags_s: dict[str, float] = {}


class AlarmView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: int
    rule: str
    priority: int  # 1 highest .. 4
    state: str  # unacknowledged, acknowledged, returned
    station: str
    evse: int | None = None
    session_id: str | None = None
    title: str = ""
    consequence: str = ""
    action: str = ""
    detail: str = ""
    raised_at: datetime
    acknowledged_by: str = ""
    cleared_at: datetime | None = None


class AlertsView(msgspec.Struct, frozen=True, kw_only=True):
    at: datetime
    holder: str = ""
    is_up: bool = True


def segment(station: str) -> str:
    """A station id as one topic level."""
    return quote(station, safe="")


def station_topic(station: str) -> str:
    return f"{ROOT}/station/{segment(station)}"


def connector_topic(station: str, evse: int, connector: int) -> str:
    return f"{ROOT}/connector/{segment(station)}/{evse}/{connector}"


def bridge_topic(bridge: str) -> str:
    return f"{ROOT}/bridge/{segment(bridge)}"


def alarm_topic(alarm_id: int) -> str:
    return f"{ROOT}/alarm/{alarm_id}"


ALERTS_TOPIC = f"{ROOT}/alerts"


def mask(token: str) -> str:
    """Only the last four characters of a card are shown."""
    return "••••" + token[-4:] if len(token) > 4 else "••••"
