"""One contract for both telemetry stores: embedded SQLite and a real InfluxDB 2 server."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import servers
from pydantic import SecretStr

from bridge.events import to_us
from bridge.settings import Influx, load_settings
from bridge.stores import lines
from bridge.stores.influx import InfluxTelemetry
from bridge.stores.opening import open_telemetry
from bridge.stores.sqlite import SqliteTelemetry
from bridge.stores.telemetry import (
    Batch,
    FrameFilter,
    FrameRow,
    Occurrence,
    Sample,
    StoreRejected,
    StoreUnavailable,
    TelemetryStore,
)

T0 = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOSTILE = [
    "a,b=c d",
    "ends with a backslash\\",
    'quote " and \\" escaped',
    "line\nfeed\r\nand\ttab",
    "Zürich ⚡ 充電 \U0001f697",
    "nul\x00inside",
    "percent%20 %",
    "'; DROP MEASUREMENT samples; --",
    " leading and trailing ",
    "$start",
    "#comment",
]


def influx_settings(facts: servers.Influx, **changes: object) -> Influx:
    known: dict[str, object] = {"url": facts.url, "org": facts.org, "bucket": facts.bucket}
    return Influx.model_validate(known | {"token": SecretStr(facts.token)} | changes)


@pytest.fixture(params=["sqlite", "influx", "influx gzip"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TelemetryStore]:
    store: TelemetryStore
    if request.param == "sqlite":
        store = SqliteTelemetry(tmp_path / "telemetry.db")
    else:
        facts = request.getfixturevalue("influx_bucket")
        store = InfluxTelemetry(influx_settings(facts, gzip="gzip" in request.param))
    yield store
    store.close()


def sample(seconds: float, station: str = "CP1", evse: int = 1, **values: float) -> Sample:
    at = T0 + timedelta(seconds=seconds)
    return Sample(station, evse, at, at + timedelta(milliseconds=40), False, "s1", values or {"power_w": 7000.0})


def occurrence(seconds: float, body: str = "{}", kind: str = "StatusChanged", late_us: int = 0) -> Occurrence:
    at = T0 + timedelta(seconds=seconds)
    return Occurrence("CP1", 1, at, at + timedelta(microseconds=late_us), kind, "s1", body)


def frame(seconds: float, text: str = "[2]", direction: str = ">") -> FrameRow:
    return FrameRow("CP1", T0 + timedelta(seconds=seconds), direction, "ocpp1.6", "Heartbeat", text)


# ---- samples


def test_a_curve_is_in_device_time_order_whatever_order_it_came_in(store: TelemetryStore) -> None:
    late = sample(5)._replace(is_late=True, received_at=T0 + DAY)
    store.write(Batch([sample(20), sample(0), sample(10)]))
    store.write(Batch([late]))
    assert store.curve("CP1", 1, T0, T0 + DAY) == [sample(0), late, sample(10), sample(20)]


def test_a_range_holds_its_start_and_not_its_end(store: TelemetryStore) -> None:
    store.write(Batch([sample(0), sample(10), sample(20)]))
    assert store.curve("CP1", 1, T0, T0 + timedelta(seconds=20)) == [sample(0), sample(10)]


def test_a_replay_changes_nothing(store: TelemetryStore) -> None:
    batch = Batch([sample(0), sample(10)], [occurrence(0)], [frame(0)])
    for _ in range(3):
        store.write(batch)
    assert store.curve("CP1", 1, T0, T0 + DAY) == list(batch.samples)
    assert store.occurrences("CP1", T0, T0 + DAY) == list(batch.occurrences)
    assert store.frames("CP1", T0, T0 + DAY) == list(batch.frames)


def test_two_messages_about_one_instant_become_one_sample(store: TelemetryStore) -> None:
    store.write(Batch([sample(0, power_w=100.0, temperature_c_n=3.0)]))
    store.write(Batch([sample(0, power_w=200.0, soc_percent=40.0, frequency_hz_l2=50.0)]))
    expected = {"power_w": 200.0, "soc_percent": 40.0, "temperature_c_n": 3.0, "frequency_hz_l2": 50.0}
    assert [s.values for s in store.curve("CP1", 1, T0, T0 + DAY)] == [expected]


def test_every_field_comes_back_as_it_went_in(store: TelemetryStore) -> None:
    values = {"power_w": 0.1 + 0.2, "energy_import_wh": 1e15 + 1, "power_export_w": -1e-9, "current_a_l1": 5}
    values |= {"voltage_v_l1_l2": 400.5, "not in the table": 1.5, "time": 2.0, "station": 3.0, "a,b=c \\": 4.0}
    written = sample(0.000001)._replace(values=values)
    store.write(Batch([written]))
    (found,) = store.curve("CP1", 1, T0, T0 + DAY)
    assert found == written
    assert found.at.microsecond == 1


def test_nan_and_infinity_are_never_written(store: TelemetryStore) -> None:
    values = {"power_w": math.nan, "current_a": math.inf, "voltage_v": -math.inf, "x": math.nan, "soc_percent": 1.0}
    store.write(Batch([sample(0, **values), sample(1, power_w=math.nan)]))
    assert [s.values for s in store.curve("CP1", 1, T0, T0 + DAY)] == [{"soc_percent": 1.0}, {}]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_comes_back_unchanged(store: TelemetryStore, text: str) -> None:
    one = sample(0, station=text)._replace(session_id=text)
    event = Occurrence(text, 0, T0, T0, text, text, text)
    raw = FrameRow(text, T0, ">", text, text, text)
    store.write(Batch([one, sample(0)], [event], [raw]))
    assert store.curve(text, 1, T0, T0 + DAY) == [one]
    assert store.last([text]) == [one]
    assert store.occurrences(text, T0, T0 + DAY) == [event]
    assert store.frames(text, T0, T0 + DAY) == [raw]
    assert len(store.last()) == 2


def test_half_a_surrogate_pair_does_not_stop_a_batch(store: TelemetryStore) -> None:
    store.write(Batch([sample(0)], [occurrence(0, "\ud800")], [frame(0, "x\udfff")]))
    assert store.frames("CP1", T0, T0 + DAY)[0].text == "x?"
    assert store.occurrences("CP1", T0, T0 + DAY)[0].body == "?"


def test_last_is_the_newest_by_device_time_of_each_evse(store: TelemetryStore) -> None:
    newest = [sample(30, "A", 1), sample(10, "A", 2, soc_percent=5.0), sample(20, "B", 1)]
    store.write(Batch([*newest, sample(5, "A", 1, soc_percent=9.0)]))
    store.write(Batch([sample(1, "B", 1)]))
    assert store.last() == newest
    assert store.last(["A"]) == newest[:2]
    assert store.last([]) == []
    assert store.last([*map(str, range(400)), "B"]) == newest[2:]


# ---- occurrences and frames


def test_occurrences_come_newest_first_and_no_more_than_asked(store: TelemetryStore) -> None:
    store.write(Batch(occurrences=[occurrence(s) for s in range(10)]))
    found = store.occurrences("CP1", T0, T0 + timedelta(seconds=8), limit=3)
    assert found == [occurrence(7), occurrence(6), occurrence(5)]


def test_what_happens_twice_within_a_second_of_the_charger_is_kept_twice(store: TelemetryStore) -> None:
    events = [occurrence(0, '"Charging"', late_us=9), occurrence(0, '"Preparing"', late_us=5), occurrence(0, "1")]
    store.write(Batch(occurrences=events))
    assert store.occurrences("CP1", T0, T0 + DAY) == events


def test_frames_come_newest_first_in_both_directions(store: TelemetryStore) -> None:
    store.write(Batch(frames=[frame(0), frame(0.01, "[3]", "<"), frame(0.02, "[4]")]))
    assert [f.text for f in store.frames("CP1", T0, T0 + DAY, limit=2)] == ["[4]", "[3]"]
    assert {f.direction for f in store.frames("CP1", T0, T0 + DAY)} == {">", "<"}


def test_occurrences_of_some_kinds_are_found_among_many(store: TelemetryStore) -> None:
    rare = [occurrence(3, kind="StationConnected"), occurrence(1, kind="it's, = rare")]
    store.write(Batch(occurrences=[*(occurrence(s) for s in range(10)), *rare]))
    assert store.occurrences("CP1", T0, T0 + DAY, 5, [o.kind for o in rare]) == rare
    assert store.occurrences("CP1", T0, T0 + DAY, 5, ["nothing"]) == []
    assert len(store.occurrences("CP1", T0, T0 + DAY, 5, ())) == 5


def test_frames_are_found_by_action_direction_and_text(store: TelemetryStore) -> None:
    rows = [
        frame(0, '[2,"1","Heartbeat",{}]'),
        frame(1, '[3,"1",{"currentTime":"now (really) [x] 100% .* "}]', "<"),
        frame(2, '[2,"2","Reset",{"type":"Soft"}]', "<")._replace(action="Reset"),
        frame(3, '[3,"2",{"status":"Accepted"}]')._replace(action="Reset"),
        frame(4, 'it\'s a "quoted" \\ line\nand Zürich')._replace(action="a/b c'; --"),
    ]
    store.write(Batch(frames=[*rows, rows[0]._replace(station="CP2")]))

    def found(**only: str) -> list[FrameRow]:
        return store.frames("CP1", T0, T0 + DAY, 10, FrameFilter(**only))

    assert found() == rows[::-1]
    assert found(action="Reset") == [rows[3], rows[2]]
    assert found(action="Reset", direction=">") == [rows[3]]
    assert found(direction="<") == [rows[2], rows[1]]
    assert found(text="ACCEPTED") == [rows[3]]
    assert found(text=".* ") == found(text="(really) [x] 100%") == [rows[1]]
    assert found(text="it's a \"quoted\" \\ line\nAND Zürich") == found(action="a/b c'; --") == [rows[4]]
    assert found(text="nowhere") == found(action="reset") == found(direction="$start") == []
    assert store.frames("CP1", T0, T0 + DAY, 1, FrameFilter(text='"2"')) == [rows[3]]
    assert store.frames("CP1", T0, rows[3].received_at, 1, FrameFilter(text='"2"')) == [rows[2]]


def test_two_frames_of_one_microsecond_are_both_kept(store: TelemetryStore) -> None:
    store.write(Batch(frames=[frame(0, "first"), frame(0, "second")]))
    assert {f.text for f in store.frames("CP1", T0, T0 + DAY)} == {"first", "second"}


def test_a_frame_of_the_largest_size_is_kept_whole(store: TelemetryStore) -> None:
    long, wide = frame(0, 'x"\\' * 330_000), frame(1, "充電\n" * 30_000)
    store.write(Batch(occurrences=[occurrence(0, long.text)], frames=[long, wide, frame(2, "")]))
    assert store.frames("CP1", T0, T0 + DAY) == [frame(2, ""), wide, long]
    assert store.occurrences("CP1", T0, T0 + DAY) == [occurrence(0, long.text)]


# ---- rollups


def test_energy_is_what_the_register_gained(store: TelemetryStore) -> None:
    store.write(Batch([sample(s, energy_import_wh=1000.0 + s) for s in range(0, 1801, 60)]))
    assert store.roll_up(T0, T0 + timedelta(minutes=30)) == 2
    first, second = store.buckets(T0, T0 + timedelta(minutes=30))
    assert (first.start, second.start) == (T0, T0 + timedelta(minutes=15))
    assert (first.energy_wh, second.energy_wh) == (pytest.approx(900), pytest.approx(900))
    assert (first.samples, second.samples) == (15, 15)


def test_a_register_that_falls_adds_nothing_and_is_counted_on_from_there(store: TelemetryStore) -> None:
    readings = [(0, 5000.0), (60, 5100.0), (120, 20.0), (180, 70.0)]
    store.write(Batch([sample(s, energy_import_wh=wh) for s, wh in readings]))
    store.roll_up(T0, T0 + DAY)
    assert [b.energy_wh for b in store.buckets(T0, T0 + DAY)] == [pytest.approx(150)]


def test_energy_over_a_silence_is_spread_over_its_time(store: TelemetryStore) -> None:
    store.write(Batch([sample(0, energy_import_wh=0.0), sample(7200, energy_import_wh=8000.0)]))
    store.roll_up(T0, T0 + timedelta(hours=2))
    assert [b.energy_wh for b in store.buckets(T0, T0 + timedelta(hours=2))] == [pytest.approx(1000)] * 8


def test_a_rollup_in_parts_equals_one_in_one_go(store: TelemetryStore) -> None:
    seconds = [0, 700, 1000, 40_000, 40_300, 80_000, 170_000]
    store.write(Batch([sample(s, energy_import_wh=s / 2, power_w=1800.0, session_energy_wh=s / 3) for s in seconds]))
    store.write(Batch([sample(s, "CP2", session_energy_wh=s / 3) for s in seconds]))
    store.roll_up(T0, T0 + 3 * DAY)
    at_once = store.buckets(T0, T0 + 3 * DAY)
    for quarter in range(3 * 96):
        store.roll_up(T0 + quarter * timedelta(minutes=15), T0 + (quarter + 1) * timedelta(minutes=15))
    assert store.buckets(T0, T0 + 3 * DAY) == at_once
    assert sum(b.energy_wh for b in at_once if b.station == "CP1") == pytest.approx(40_000, rel=0.01)


def test_mean_power_is_weighted_by_time(store: TelemetryStore) -> None:
    readings = [(0, 11_000.0), (300, 11_000.0), (300.000001, 0.0), (310, 0.0), (320, 0.0), (900, 0.0)]
    store.write(Batch([sample(s, power_w=w) for s, w in readings]))
    store.roll_up(T0, T0 + timedelta(minutes=15))
    (bucket,) = store.buckets(T0, T0 + timedelta(minutes=15))
    assert bucket.power_mean_w == pytest.approx(11_000 / 3, abs=0.1)
    assert bucket.power_max_w == 11_000
    assert bucket.energy_wh == pytest.approx(11_000 / 12, abs=0.1)  # no register: the power over time


def test_no_power_is_invented_between_two_sessions(store: TelemetryStore) -> None:
    other = sample(1500, power_w=7000.0)._replace(session_id="s2")
    store.write(Batch([sample(0, power_w=7000.0), sample(600, power_w=7000.0), other]))
    store.roll_up(T0, T0 + timedelta(minutes=30))
    first, second = store.buckets(T0, T0 + timedelta(minutes=30))
    assert first.power_mean_w == pytest.approx(7000 * 600 / 900)
    assert (second.power_mean_w, second.power_max_w) == (0, 7000)


def test_a_late_sample_is_taken_in_by_rolling_up_again(store: TelemetryStore) -> None:
    store.write(Batch([sample(0, energy_import_wh=0.0), sample(800, energy_import_wh=800.0)]))
    for _ in range(2):
        store.roll_up(T0, T0 + timedelta(minutes=15))
    assert [b.energy_wh for b in store.buckets(T0, T0 + DAY)] == [pytest.approx(800)]
    store.write(Batch([sample(890, energy_import_wh=1000.0)._replace(is_late=True)]))
    store.roll_up(T0, T0 + timedelta(minutes=15))
    assert [(b.energy_wh, b.samples) for b in store.buckets(T0, T0 + DAY)] == [(pytest.approx(1000), 3)]


def test_a_range_that_begins_years_before_the_samples_is_rolled_up(store: TelemetryStore) -> None:
    store.write(Batch([sample(0), sample(60)]))
    assert store.roll_up(datetime(1970, 1, 1, tzinfo=UTC), T0 + DAY) == 1


def test_totals_are_the_sum_over_the_evses(store: TelemetryStore) -> None:
    samples = [sample(s, name, evse, power_w=900.0) for s in (0, 899) for name in "AB" for evse in (1, 2)]
    store.write(Batch([*samples, sample(1000, "A", 3), sample(1001, "A", 3)]))
    store.roll_up(T0, T0 + timedelta(minutes=30))
    first, second = store.totals(T0, T0 + DAY)
    assert first.start == T0
    assert first.power_mean_w == pytest.approx(4 * 900 * 899 / 900)
    assert first.energy_wh == pytest.approx(first.power_mean_w / 4)
    assert second.start == T0 + timedelta(minutes=15)
    many = [*map(str, range(400)), "A"]
    assert store.totals(T0, T0 + DAY, many) == store.totals(T0, T0 + DAY, ["A"])
    assert store.totals(T0, T0 + DAY, ["A"])[0].power_mean_w == pytest.approx(first.power_mean_w / 2)
    assert store.totals(T0, T0 + DAY, []) == []
    assert {b.station for b in store.buckets(T0, T0 + DAY, ["B"])} == {"B"}


# ---- retention, volume, outage


def test_each_kind_is_kept_as_long_as_its_retention(store: TelemetryStore) -> None:
    now = T0 + 100 * DAY
    days = {"samples": 10, "frames": 5, "quarters": 50}

    def ages(kept: int) -> list[timedelta]:
        return [kept * DAY, kept * DAY + timedelta(microseconds=1), timedelta(0)]

    samples = [sample((now - T0 - age).total_seconds()) for kept in (10, 50) for age in ages(kept)]
    events = [occurrence((now - T0 - age).total_seconds()) for age in ages(10)]
    frames = [frame((now - T0 - age).total_seconds()) for age in ages(5)]
    store.write(Batch(samples, events, frames))
    store.roll_up(T0, now + DAY)
    store.expire(now, days["samples"], days["frames"], days["quarters"])
    assert [s.at for s in store.curve("CP1", 1, T0, now + DAY)] == [now - 10 * DAY, now]
    assert [o.at for o in store.occurrences("CP1", T0, now + DAY)] == [now, now - 10 * DAY]
    assert [f.received_at for f in store.frames("CP1", T0, now + DAY)] == [now, now - 5 * DAY]
    assert store.buckets(T0, now + DAY)[0].start == now - 50 * DAY
    assert [s.at for s in store.last()] == [now]


def test_twenty_thousand_samples_in_one_batch(store: TelemetryStore) -> None:
    values = {"power_w": 7000.5, "energy_import_wh": 1e6, "current_a_l1": 10.1, "voltage_v_l1": 230.2}
    batch = Batch([sample(n // 200 * 10, f"CP{n % 200}", 1, **values) for n in range(20_000)])
    store.write(batch)
    assert len(store.last()) == 200
    assert len(store.curve("CP7", 1, T0, T0 + DAY)) == 100


def test_more_than_one_slice_of_old_rows_expires(tmp_path: Path) -> None:
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    store.write(Batch(frames=[frame(n % 3, str(n)) for n in range(50_000)]))
    store.expire(T0 + 10 * DAY, 1, 1, 1)
    assert store.frames("CP1", T0, T0 + DAY) == []
    store.close()


def test_several_threads_read_while_one_writes(store: TelemetryStore) -> None:
    store.write(Batch([sample(-1)]))

    def read(_: int) -> int:
        return len(store.curve("CP1", 1, T0 - DAY, T0 + DAY))

    with ThreadPoolExecutor(4) as readers:
        seen = readers.map(read, range(80))
        for n in range(20):
            store.write(Batch([sample(n)]))
        assert min(seen) >= 1
    assert read(0) == 21


@pytest.mark.parametrize("year", [1600, 9999])
def test_a_time_that_cannot_be_stored_is_rejected_with_its_batch(store: TelemetryStore, year: int) -> None:
    wrong = sample(0)._replace(at=T0.replace(year=year))
    with pytest.raises(StoreRejected, match=str(year)):
        store.write(Batch([sample(0), wrong]))
    assert store.curve("CP1", 1, T0, T0 + DAY) == []
    store.write(Batch([sample(0)]))
    assert len(store.last()) == 1


def test_a_naive_time_is_rejected(store: TelemetryStore) -> None:
    with pytest.raises(StoreRejected, match="zone"):
        store.write(Batch([sample(0)._replace(at=datetime(2026, 3, 2))]))  # noqa: DTZ001


def test_the_widest_range_can_be_asked_for(store: TelemetryStore) -> None:
    store.write(Batch([sample(0)]))
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)
    assert len(store.curve("CP1", 1, first, last)) == 1


def test_an_empty_store_answers_with_nothing(store: TelemetryStore) -> None:
    store.check()
    assert store.roll_up(T0, T0 + DAY) == 0
    store.expire(T0, 1, 1, 1)
    reads: list[Callable[[], list[object]]] = [
        lambda: list(store.curve("CP1", 1, T0, T0 + DAY)),
        lambda: list(store.last()),
        lambda: list(store.occurrences("CP1", T0, T0 + DAY)),
        lambda: list(store.frames("CP1", T0, T0 + DAY)),
        lambda: list(store.buckets(T0, T0 + DAY)),
        lambda: list(store.totals(T0, T0 + DAY)),
    ]
    assert [read() for read in reads] == [[]] * len(reads)


def test_influx_that_goes_and_comes_back_is_unavailable_meanwhile(influx: servers.Influx) -> None:
    """The port answers nothing, then a server without the token, then the right one."""
    batch = Batch([sample(0)])
    gone = InfluxTelemetry(influx_settings(influx, url=f"http://127.0.0.1:{servers.free_port()}", timeout_s=2))
    stranger = InfluxTelemetry(influx_settings(influx, token="wrong"))
    homeless = InfluxTelemetry(influx_settings(influx, bucket="no-such-bucket"))
    for store in (gone, stranger, homeless):
        with pytest.raises(StoreUnavailable):
            store.write(batch)
        with pytest.raises(StoreUnavailable):
            store.check()
        store.close()


def test_influx_rejects_what_it_can_never_take(influx_bucket: servers.Influx) -> None:
    store = InfluxTelemetry(influx_settings(influx_bucket))
    store._writer.write(influx_bucket.bucket, influx_bucket.org, 'samples,station=CP1 power_w="text" 1')
    with pytest.raises(StoreRejected, match="conflict"):
        store.write(Batch([sample(0)._replace(at=datetime(1970, 1, 1, tzinfo=UTC))]))
    store.close()


def test_an_influx_restart_in_between_is_survived() -> None:
    port = servers.free_port()
    with servers.influx(port) as facts:
        store = InfluxTelemetry(influx_settings(facts, timeout_s=2))
        store.write(Batch([sample(0)]))
    with pytest.raises(StoreUnavailable):
        store.write(Batch([sample(1)]))
    with servers.influx(port) as facts:
        renewed = InfluxTelemetry(influx_settings(facts))
        renewed.write(Batch([sample(1)]))
        assert len(renewed.last()) == 1
        renewed.close()
    store.close()


def test_a_locked_sqlite_file_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.stores.sqlite._BUSY_S", 0.05)
    first, second = (SqliteTelemetry(tmp_path / "telemetry.db") for _ in range(2))
    first.write(Batch([sample(0)]))
    with first._writing(), pytest.raises(StoreUnavailable, match="locked"):
        second.write(Batch([sample(1)]))
    second.write(Batch([sample(1)]))
    assert len(first.curve("CP1", 1, T0, T0 + DAY)) == 2
    first.close()
    second.close()


def test_sqlite_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "noise.db").write_bytes(b"not a database, " * 500)
    (tmp_path / "file").touch()
    for path in (tmp_path / "noise.db", tmp_path, tmp_path / "file" / "telemetry.db"):
        store = SqliteTelemetry(path)
        with pytest.raises(StoreUnavailable):
            store.check()
        with pytest.raises(StoreUnavailable):
            store.write(Batch([sample(0)]))
        store.close()


def test_sqlite_rejects_a_number_it_cannot_hold(tmp_path: Path) -> None:
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    with pytest.raises(StoreRejected):
        store.write(Batch([sample(0, evse=2**70)]))
    store.close()


def test_the_settings_name_the_store(tmp_path: Path) -> None:
    settings = load_settings(telemetry={"path": tmp_path / "t.db"})
    assert isinstance(open_telemetry(settings), SqliteTelemetry)
    assert isinstance(open_telemetry(load_settings(telemetry={"store": "influx"})), InfluxTelemetry)


def test_a_point_that_influxdb_has_half_written_is_not_there_yet(influx_bucket: servers.Influx) -> None:
    """Seen when one thread reads while another writes: fields of one point arrive one by one."""
    store = InfluxTelemetry(influx_settings(influx_bucket))
    whole, half = sample(0), sample(1)
    store.write(Batch([whole]))
    key = lines.sample_line(half).split(" ")[0]
    store._write([f"{key} power_w=1.0 {to_us(half.at)}000"])
    assert store.curve("CP1", 1, T0 - DAY, T0 + DAY) == [whole]
    store.write(Batch([half]))
    assert store.curve("CP1", 1, T0 - DAY, T0 + DAY) == [whole, half]
    store.close()
