"""What a telemetry store can do: one Protocol, implemented on SQLite and on InfluxDB.

Writes are upserts on a natural key, so a replay of the journal changes nothing: a sample is (station, evse, at),
and two that say different things about one instant become one; an occurrence and a frame are themselves, since
chargers send two of a kind within the second that their clock shows.
A store raises ``StoreUnavailable`` when it may work later (the cursor waits) and ``StoreRejected`` when the
same write can never succeed (the cursor moves on, the rejection is logged and counted).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class StoreUnavailable(Exception):
    """The store cannot be reached or is busy; the same call may succeed later."""


class StoreRejected(Exception):
    """The store will never take this; the message says what and why."""


class Sample(NamedTuple):
    """One instant of one EVSE. ``at`` is device time (UTC); ``is_late`` when it came by a queue or replay.
    ``values``: field of ``measurands.FIELDS`` -> value in the unit of the field's name."""

    station: str
    evse: int
    at: datetime
    received_at: datetime
    is_late: bool
    session_id: str
    values: dict[str, float]


class Occurrence(NamedTuple):
    """Something that happened, for the timelines: ``kind`` is an event's class name, ``body`` its JSON."""

    station: str
    evse: int  # 0 when it concerns the station
    at: datetime
    received_at: datetime
    kind: str
    session_id: str
    body: str


class FrameRow(NamedTuple):
    """One raw frame of the black box. ``direction`` '>' from the charger, '<' to it."""

    station: str
    received_at: datetime
    direction: str
    source: str  # "ocpp1.6", "mqtt/goe"
    action: str  # OCPP action or MQTT topic
    text: str


class FrameFilter(NamedTuple):
    """Which frames of a station: ``action`` and ``direction`` as they stand in the row, ``text`` found anywhere in the
    frame, whatever the case of its ASCII letters. Empty is any."""

    action: str = ""
    direction: str = ""
    text: str = ""


ANY_FRAME = FrameFilter()


class Bucket(NamedTuple):
    """A quarter of an hour of one EVSE, from the rollup."""

    station: str
    evse: int
    start: datetime
    energy_wh: float
    power_mean_w: float
    power_max_w: float
    samples: int


class TotalPoint(NamedTuple):
    start: datetime
    power_mean_w: float
    energy_wh: float


class Batch(NamedTuple):
    samples: Sequence[Sample] = ()
    occurrences: Sequence[Occurrence] = ()
    frames: Sequence[FrameRow] = ()


class TelemetryStore(Protocol):
    """Time series of the fleet. All times aware UTC, all ranges [start, end)."""

    def write(self, batch: Batch) -> None:
        """Upsert a batch. Raises StoreUnavailable or StoreRejected."""

    def curve(self, station: str, evse: int, start: datetime, end: datetime) -> list[Sample]:
        """Every sample of an EVSE in device-time order."""

    def last(self, stations: Sequence[str] | None = None) -> list[Sample]:
        """The newest sample (by device time) of each EVSE."""

    def occurrences(
        self, station: str, start: datetime, end: datetime, limit: int = 500, kinds: Collection[str] = ()
    ) -> list[Occurrence]:
        """Newest first; only those of ``kinds`` when any is named."""

    def frames(
        self, station: str, start: datetime, end: datetime, limit: int = 200, only: FrameFilter = ANY_FRAME
    ) -> list[FrameRow]:
        """Newest first."""

    def roll_up(self, start: datetime, end: datetime) -> int:
        """Recompute the quarter-hour buckets that begin in [start, end); returns how many were written.
        Idempotent; late samples are taken in by rolling the same range up again."""

    def buckets(self, start: datetime, end: datetime, stations: Sequence[str] | None = None) -> list[Bucket]:
        """Quarter-hour buckets from the rollup, ordered by start."""

    def totals(self, start: datetime, end: datetime, stations: Sequence[str] | None = None) -> list[TotalPoint]:
        """Sum over all EVSEs per quarter hour, from the rollup (mean power in W, energy in Wh)."""

    def expire(self, now: datetime, raw_days: int, frame_days: int, rollup_days: int) -> None:
        """Drop what is older than its retention."""

    def check(self) -> None:
        """Raises StoreUnavailable unless the store answers and has what it needs."""

    def close(self) -> None: ...
