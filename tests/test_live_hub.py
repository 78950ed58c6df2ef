"""The live feed: what it takes from the broker and refuses, what a frame and a snapshot hold; today's figures."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import msgspec
import paho.mqtt.client as paho
import pytest
import servers
from paho.mqtt.enums import CallbackAPIVersion

from bridge.live import (
    ROOT,
    AlarmView,
    BridgeView,
    ConnectorView,
    StationView,
    alarm_topic,
    bridge_topic,
    connector_topic,
    station_topic,
)
from bridge.session import Session, SessionState
from bridge.settings import Mqtt
from bridge.stores.records import Records, Site
from bridge.stores.telemetry import TelemetryStore, TotalPoint
from dashboard.live import MAX_BYTES, QUEUED_FRAMES, SWEEP_AFTER, Event, Feed, Hub, Job, Stream, TooManyStreams
from dashboard.summary import (
    SLOT,
    WEEKS_BACK,
    Figures,
    at_risk,
    band,
    common_zone,
    day_curve,
    day_start,
    needs_review,
    same_day_weeks_ago,
)

NOW = datetime(2026, 11, 23, 14, 32, 7, tzinfo=UTC)
OLD = NOW - timedelta(hours=3)


@pytest.fixture
def feed() -> Feed:
    made = Feed("e", NOW)
    made.frame(NOW)  # the broker's state, which every feed begins with
    return made


def offer(feed: Feed, topic: str, view: msgspec.Struct) -> bool:
    return feed.offer(topic, msgspec.json.encode(view))


def docs(frame: bytes | None) -> dict[str, object]:
    assert frame is not None
    found: dict[str, object] = json.loads(frame)["docs"]
    return found


def test_a_frame_holds_what_changed_once(feed: Feed) -> None:
    view = StationView(station="A/B", is_connected=True)
    assert offer(feed, station_topic("A/B"), view)
    assert docs(feed.frame(NOW)) == {"station/A%2FB": {"station": "A/B", "is_connected": True}}
    assert feed.frame(NOW) is None


def test_a_last_will_is_dated_by_what_was_heard_last(feed: Feed) -> None:
    offer(feed, bridge_topic("b"), BridgeView(bridge="b", at=NOW))
    offer(feed, bridge_topic("b"), BridgeView(bridge="b", is_up=False, at=OLD))
    gone = docs(feed.frame(NOW))["bridge/b"]
    assert isinstance(gone, dict)
    assert (gone["is_up"], gone["at"]) == (False, "2026-11-23T14:32:07Z")


def test_the_same_document_again_is_no_change(feed: Feed) -> None:
    for _ in range(2):
        offer(feed, station_topic("S"), StationView(station="S"))
    feed.frame(NOW)
    offer(feed, station_topic("S"), StationView(station="S"))
    assert feed.frame(NOW) is None


def test_a_removed_document_is_null_in_the_frame_and_absent_from_the_snapshot(feed: Feed) -> None:
    alarm = AlarmView(id=4, rule="r", priority=1, state="unacknowledged", station="S", raised_at=NOW)
    offer(feed, alarm_topic(4), alarm)
    feed.frame(NOW)
    assert feed.offer(alarm_topic(4), b"")
    assert docs(feed.frame(NOW)) == {"alarm/4": None}
    assert "alarm/4" not in docs(feed.snapshot(NOW))


def test_a_retained_document_keeps_its_own_times(feed: Feed) -> None:
    view = ConnectorView(station="S", evse=1, connector=1, status="Charging", power_w=7000.0, power_received_at=OLD)
    offer(feed, connector_topic("S", 1, 1), view)
    document = docs(feed.snapshot(NOW))["connector/S/1/1"]
    assert isinstance(document, dict)
    assert datetime.fromisoformat(document["power_received_at"]) == OLD


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (station_topic("S"), b"{"),
        (station_topic("S"), b"\xff\xfe"),
        (station_topic("S"), b"[]"),
        (station_topic("S"), b'{"station": 7}'),
        (station_topic("S"), b'{"station": "another"}'),
        (connector_topic("S", 1, 1), b'{"station": "S", "evse": 2, "connector": 1}'),
        (connector_topic("S", 1, 1), b'{"station": "S", "evse": 1, "connector": 1, "power_w": "much"}'),
        (f"{ROOT}/station/S%2fT", b'{"station": "S/T"}'),
        (f"{ROOT}/station/S/more", b'{"station": "S"}'),
        (f"{ROOT}/plan", b"{}"),
        (f"{ROOT}/plan", b""),
        (station_topic("S"), b'{"station": "S", "model": "' + b"x" * MAX_BYTES + b'"}'),
        (station_topic("S"), b"x" * 10_000_000),
        (station_topic("S"), b"[" * 60_000),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_hostile_document_is_counted_and_dropped(feed: Feed, topic: str, payload: bytes) -> None:
    assert not feed.offer(topic, payload)
    assert feed.refused == 1
    assert set(docs(feed.snapshot(NOW))) == {"feed"}


def test_what_a_document_holds_beyond_its_view_reaches_no_browser(feed: Feed) -> None:
    feed.offer(station_topic("S"), b'{"station": "S", "__proto__": {"x": 1}}')
    assert docs(feed.snapshot(NOW))["station/S"] == {"station": "S"}


def test_the_broker_s_absence_is_part_of_the_state(feed: Feed) -> None:
    feed.broker(True, NOW)
    feed.broker(False, NOW + timedelta(seconds=9))
    state = docs(feed.frame(NOW))["feed"]
    assert isinstance(state, dict)
    assert (state["broker"], datetime.fromisoformat(state["since"])) == ("gone", NOW + timedelta(seconds=9))


def test_what_the_broker_lost_while_it_was_away_goes_after_a_while(feed: Feed) -> None:
    feed.broker(True, NOW)
    for name in ("kept", "lost"):
        offer(feed, station_topic(name), StationView(station=name))
    feed.put("plan", b"{}")
    feed.broker(False, NOW)
    feed.broker(True, NOW)
    offer(feed, station_topic("kept"), StationView(station="kept"))
    feed.frame(NOW + SWEEP_AFTER - timedelta(seconds=1))
    assert docs(feed.frame(NOW + SWEEP_AFTER)) == {"station/lost": None}
    assert set(docs(feed.snapshot(NOW))) == {"feed", "plan", "station/kept"}


def test_a_stream_that_is_not_read_is_cut_and_does_not_grow() -> None:
    cuts: list[bool] = []
    stream = Stream(Event("e-0", b"{}"), lambda: cuts.append(True))
    for index in range(QUEUED_FRAMES):
        stream.offer(Event(str(index), b"{}"))
    assert not stream.is_dropped
    stream.offer(Event("one more", b"{}"))
    assert stream.is_dropped
    assert cuts == [True]


# ---- with a real broker


@pytest.fixture
def publish(mosquitto: servers.Mosquitto) -> Iterator[Callable[[str, msgspec.Struct], None]]:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect(mosquitto.host, mosquitto.port)
    client.loop_start()
    topics = []

    def send(topic: str, view: msgspec.Struct) -> None:
        topics.append(topic)
        client.publish(topic, msgspec.json.encode(view), qos=1, retain=True).wait_for_publish(5)

    yield send
    for topic in topics:
        client.publish(topic, b"", qos=1, retain=True).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()


def until(stream: Stream, key: str) -> object:
    """The next document ``key`` that comes."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        event = stream.next(1.0)
        if event is not None and key in docs(event.data):
            return docs(event.data)[key]
    raise AssertionError(f"{key} never came")


def test_a_change_on_the_broker_reaches_every_stream_as_the_same_bytes(
    mosquitto: servers.Mosquitto, publish: Callable[[str, msgspec.Struct], None]
) -> None:
    publish(station_topic("hub-retained"), StationView(station="hub-retained", last_seen_at=OLD))
    hub = Hub(Mqtt(host=mosquitto.host, port=mosquitto.port), "test-hub", 2, (Job("plan", 60, lambda _: b'{"x":1}'),))
    hub.start()
    try:
        with hub.stream() as first, hub.stream() as second:
            with pytest.raises(TooManyStreams), hub.stream():
                pass
            until(first, "station/hub-retained")
            publish(station_topic("hub-new"), StationView(station="hub-new", model="Kai"))
            assert until(first, "station/hub-new") == {"station": "hub-new", "model": "Kai"}
            assert until(second, "station/hub-new") == {"station": "hub-new", "model": "Kai"}
        with hub.stream() as later:
            assert {"station/hub-retained", "station/hub-new", "plan", "feed"} <= set(docs(later.first.data))
    finally:
        hub.stop()


def wait_for_broker(stream: Stream, state: str) -> None:
    found: object = None
    while not (isinstance(found, dict) and found["broker"] == state):
        found = until(stream, "feed")


def test_a_broker_that_stops_is_said_and_its_return_too() -> None:
    port = servers.free_port()
    hub = Hub(Mqtt(host="127.0.0.1", port=port), "test-hub-loss", 2)
    with servers.mosquitto(port), hub.stream() as stream:
        hub.start()
        wait_for_broker(stream, "up")
    try:
        with hub.stream() as stream:
            wait_for_broker(stream, "gone")
            assert not hub.is_connected
            with servers.mosquitto(port):
                wait_for_broker(stream, "up")
    finally:
        hub.stop()


# ---- figures


def test_a_job_that_fails_does_not_end_the_others(mosquitto: servers.Mosquitto) -> None:
    def broken(_now: datetime) -> bytes:
        raise KeyError("a row nobody thought of")

    jobs = (Job("plan", 60, broken), Job("summary", 60, lambda _: b'{"ok":true}'))
    hub = Hub(Mqtt(host=mosquitto.host, port=mosquitto.port), "test-hub-jobs", 2, jobs)
    hub.start()
    try:
        with hub.stream() as stream:
            found = docs(stream.first.data).get("summary") or until(stream, "summary")
            assert found == {"ok": True}
    finally:
        hub.stop()


def test_the_day_begins_at_the_midnight_of_the_sites() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert day_start(datetime(2026, 11, 22, 23, 30, tzinfo=UTC), berlin) == datetime(2026, 11, 22, 23, 0, tzinfo=UTC)
    sites = [Site(id="1", name="a", timezone="Europe/Berlin"), Site(id="2", name="b", timezone="Europe/Berlin")]
    assert common_zone([*sites, Site(id="3", name="c")]) == "Europe/Berlin"
    assert common_zone([]) == "UTC"


def test_the_same_weekday_is_a_local_midnight_over_a_change_of_the_clocks() -> None:
    start = datetime(2026, 10, 26, tzinfo=ZoneInfo("Europe/Berlin"))  # the day after the clocks went back
    before = same_day_weeks_ago(start, 1)
    assert (before.hour, before.utcoffset()) == (0, timedelta(hours=2))


def test_a_curve_has_a_gap_where_nothing_was_measured_and_ends_with_the_last_value() -> None:
    points = [TotalPoint(NOW, 1000.4, 250.0), TotalPoint(NOW + timedelta(minutes=30), 3000.0, 750.0)]
    assert day_curve(NOW, points) == [1000, None, 3000]
    assert day_curve(NOW, [TotalPoint(NOW - timedelta(minutes=15), 1.0, 1.0)]) == []


def test_usual_is_the_median_of_earlier_days_and_unknown_without_one() -> None:
    found = band([[100.0], [300.0], [], [900.0]])
    assert found is not None
    assert (found.low[0], found.usual[0], found.high[0], found.weeks) == (100.0, 300, 900.0, 3)
    assert len(found.usual) == 96
    assert band([[], []]) is None


class GrowingHistory:
    """A telemetry store whose last week is still being written: each reading finds one quarter hour more."""

    def __init__(self, ready: int) -> None:
        self.readings, self._ready = 0, ready

    def totals(self, start: datetime, end: datetime) -> list[TotalPoint]:
        self.readings += end - start == timedelta(days=1)
        weeks = (self.readings - 1) // WEEKS_BACK
        return [TotalPoint(start + i * SLOT, 1000.0, 250.0) for i in range(min(self._ready, weeks + 1))]


def test_usual_is_read_again_while_the_history_of_it_still_grows(tmp_path: Path) -> None:
    history = GrowingHistory(ready=3)
    figures = Figures(Records(f"sqlite:///{tmp_path / 'records.db'}"), cast(TelemetryStore, history))
    known = [figures._band(NOW, NOW + timedelta(seconds=5 * i)) for i in range(8)]
    assert [sum(value > 0 for value in found.usual) for found in known if found] == [1, 2, 3, 3, 3, 3, 3, 3]
    assert history.readings == 4 * WEEKS_BACK


def test_money_at_risk_is_what_a_person_must_look_at_by_currency() -> None:
    def session(state: SessionState, cost: str, currency: str, *review: str) -> Session:
        return Session(
            id="s", station="S", evse=1, transaction_id="1", started_at=NOW, start_received_at=NOW,
            state=state, cost=cost, currency=currency, review=review,
        )  # fmt: skip

    rows = [
        session(SessionState.ORPHANED, "10.10", "EUR"),
        session(SessionState.ENDED, "0.20", "EUR", "meter fell"),
        session(SessionState.ENDED, "99.00", "EUR"),
        session(SessionState.ENDED, "5.00", "CHF", "gap"),
    ]
    assert at_risk(filter(needs_review, rows)) == {"EUR": Decimal("10.30"), "CHF": Decimal("5.00")}
