"""Projections follow the journal, wait for a sink that is away, and pass what a sink will never take."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from road_world import NOW, Road, wait_for

from bridge.events import (
    Detail,
    DetailKind,
    DetailsReported,
    MeterSampled,
    utc_now,
)
from bridge.projections import DetailsProjection, RecordsProjection, Runner, TelemetryProjection, Unavailable
from bridge.session import SessionState
from bridge.stores.details import Details
from bridge.stores.records import Records, RecordsUnavailable
from bridge.stores.sqlite import SqliteTelemetry
from bridge.stores.telemetry import Batch, StoreRejected, StoreUnavailable


@pytest.fixture
def road(tmp_path: Path) -> Iterator[Road]:
    road = Road(tmp_path)
    yield road
    road.journal.close()


def test_a_session_reaches_the_records_with_energy_and_cost(road: Road, records: Records) -> None:
    road.whole_session("CP-1")
    road.settle()
    projection = RecordsProjection(road.journal, records)

    cursor = projection.advance(0)

    assert cursor == road.journal.committed_state
    assert projection.advance(cursor) == cursor
    [session] = records.sessions().items
    assert (session.state, session.energy_wh, session.cost) == (SessionState.ENDED, 1200, "1.60")


def test_replaying_the_journal_changes_nothing(road: Road, records: Records, tmp_path: Path) -> None:
    road.whole_session("CP-1")
    road.settle()
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    telemetry = TelemetryProjection(road.journal, store, timedelta(0), lambda: NOW + timedelta(minutes=10))
    by_records = RecordsProjection(road.journal, records)

    def read() -> object:
        curve = store.curve("CP-1", 1, NOW, NOW + timedelta(hours=1))
        totals = store.totals(NOW, NOW + timedelta(hours=1))
        return records.sessions(), curve, store.frames("CP-1", NOW, NOW + timedelta(hours=1)), totals

    by_records.advance(0), telemetry.advance(0)
    before = read()
    by_records.advance(0), telemetry.advance(0)

    assert read() == before
    assert len(store.curve("CP-1", 1, NOW, NOW + timedelta(hours=1))) == 5
    store.close()


def test_the_rollup_holds_the_energy_of_the_readings(road: Road, tmp_path: Path) -> None:
    road.whole_session("CP-1")
    road.settle()
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    clock = lambda: NOW + timedelta(minutes=10)  # noqa: E731
    TelemetryProjection(road.journal, store, timedelta(0), clock).advance(0)

    [bucket] = store.buckets(NOW, NOW + timedelta(minutes=15))

    assert bucket.energy_wh == pytest.approx(800)  # from the first reading's 200 Wh to the last one's 1000
    store.close()


class AwayFor:
    """A store that answers only after some calls."""

    def __init__(self, inner: SqliteTelemetry, failures: int) -> None:
        self._inner = inner
        self.failures = failures

    def write(self, batch: Batch) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("away")
        self._inner.write(batch)

    def roll_up(self, start: datetime, end: datetime) -> int:
        return self._inner.roll_up(start, end)


def test_a_store_that_is_away_holds_the_cursor_and_loses_nothing(road: Road, tmp_path: Path) -> None:
    inner = SqliteTelemetry(tmp_path / "telemetry.db")
    projection = TelemetryProjection(road.journal, AwayFor(inner, 2), timedelta(0), utc_now)  # type: ignore[arg-type]
    runner = Runner(road.journal, projection)
    road.journal.on_commit = lambda seq: runner.wake()
    runner.start()

    road.whole_session("CP-1")

    wait_for(lambda: bool(runner.trouble))
    with pytest.raises(RuntimeError, match="away"):
        runner.check()
    wait_for(lambda: runner.cursor == road.journal.head)
    runner.stop()
    assert len(inner.curve("CP-1", 1, NOW, NOW + timedelta(hours=1))) == 5
    assert road.journal.cursor("telemetry") == road.journal.head
    runner.check()
    inner.close()


class RefusesStation:
    """A store that will never take anything of one station."""

    def __init__(self, inner: SqliteTelemetry, station: str) -> None:
        self._inner = inner
        self._station = station

    def write(self, batch: Batch) -> None:
        if any(frame.station == self._station for frame in batch.frames):
            raise StoreRejected("no")
        self._inner.write(batch)

    def roll_up(self, start: datetime, end: datetime) -> int:
        return self._inner.roll_up(start, end)


def test_what_a_store_will_never_take_is_passed_and_its_neighbours_are_kept(road: Road, tmp_path: Path) -> None:
    inner = SqliteTelemetry(tmp_path / "telemetry.db")
    for station in ("CP-1", "BAD", "CP-2"):
        road.whole_session(station)
    road.settle()
    store = RefusesStation(inner, "BAD")

    cursor = TelemetryProjection(road.journal, store, timedelta(0), utc_now).advance(0)  # type: ignore[arg-type]

    assert cursor == road.journal.committed
    kept = {sample.station for sample in inner.last()}
    assert kept == {"CP-1", "CP-2"}
    assert len(inner.curve("CP-2", 1, NOW, NOW + timedelta(hours=1))) == 5
    inner.close()


class AwayRecords:
    def upsert(self, *_: object) -> None:
        raise RecordsUnavailable("the database sleeps")


def test_records_that_are_away_say_so(road: Road) -> None:
    road.whole_session("CP-1")
    road.settle()

    with pytest.raises(Unavailable, match="sleeps"):
        RecordsProjection(road.journal, AwayRecords()).advance(0)  # type: ignore[arg-type]


def test_a_long_outage_is_caught_up_by_the_newest_snapshots_alone(road: Road, tmp_path: Path) -> None:
    road.whole_session("CP-1", readings=500)
    road.settle()

    rows = road.journal.read_state(0, 10_000)

    assert len(rows) == 3, "one station, one connector, one session, whatever was said about them"
    assert road.journal.committed == 503


def test_the_lag_is_the_age_of_what_waits(road: Road, tmp_path: Path) -> None:
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    runner = Runner(road.journal, TelemetryProjection(road.journal, store, timedelta(0), utc_now))
    road.whole_session("CP-1", readings=1)
    road.settle()
    a_minute_later = int((NOW + timedelta(seconds=60)).timestamp() * 1e6)

    assert runner.lag_s(a_minute_later) == pytest.approx(60)


class FailsOnce:
    """A projection with a fault of ours in its first page."""

    name = "faulty"
    every_s = 0.0
    head = 1

    def __init__(self) -> None:
        self.calls = 0

    def waiting_since_us(self, cursor: int) -> int | None:
        return None

    def advance(self, cursor: int) -> int:
        self.calls += 1
        if self.calls == 1:
            raise ValueError("a row nobody thought of")
        return 1


def test_a_fault_of_ours_is_told_and_tried_again_and_never_ends_a_projection_silently(road: Road) -> None:
    runner = Runner(road.journal, FailsOnce())
    runner.start()
    wait_for(lambda: runner.trouble != "" or runner.cursor == 1)
    with pytest.raises(RuntimeError, match="a row nobody thought of"):
        runner.check()
    wait_for(lambda: runner.cursor == 1)
    runner.stop()
    runner.check()


class RefusesRollup(SqliteTelemetry):
    def roll_up(self, start: datetime, end: datetime) -> int:
        raise StoreRejected("no such quarter")


def test_a_rollup_that_is_refused_does_not_hold_the_readings_up(road: Road, tmp_path: Path) -> None:
    road.whole_session("CP-1")
    road.settle()
    store = RefusesRollup(tmp_path / "telemetry.db")
    assert TelemetryProjection(road.journal, store, timedelta(0), lambda: NOW).advance(0) == road.journal.committed
    store.close()


def test_a_late_reading_is_rolled_up_even_when_the_bridge_ended_before(road: Road, tmp_path: Path) -> None:
    long_ago = NOW - timedelta(days=3)
    for minutes, wh in ((0, 1000.0), (10, 3000.0)):
        at = long_ago + timedelta(minutes=minutes)
        values = {"energy_import_wh": wh}
        road.tell(MeterSampled(station="CP-1", at=at, received_at=NOW, evse=1, values=values))
    road.settle()
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    before = TelemetryProjection(road.journal, store, timedelta(hours=1), lambda: NOW)
    before._rolled_at = NOW  # it has just rolled up, and ends before the next time
    cursor = before.advance(0)
    assert store.buckets(long_ago, long_ago + timedelta(minutes=15)) == []

    TelemetryProjection(road.journal, store, timedelta(0), lambda: NOW).advance(cursor)

    [bucket] = store.buckets(long_ago, long_ago + timedelta(minutes=15))
    assert bucket.energy_wh == pytest.approx(2000)
    store.close()


def test_what_stations_have_reaches_the_records_by_a_cursor_of_its_own(road: Road, records: Records) -> None:
    details = Details(records)
    has = DetailsReported(
        station="CP", at=NOW, received_at=NOW, kind=DetailKind.VARIABLE, details=(Detail(key="A", body={"value": "1"}),)
    )
    road.whole_session("CP")
    road.tell(has)
    road.settle()
    projection = DetailsProjection(road.journal, details)
    assert projection.advance(0) == road.journal.committed
    assert [row.body for row in details.of_station("CP")] == [{"value": "1"}]
    assert projection.advance(0) == road.journal.committed  # a replay changes nothing
