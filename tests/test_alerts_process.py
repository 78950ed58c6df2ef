"""The alarm process as it runs: two of them, a real broker, a wall clock that cannot be trusted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import sqlalchemy as sa
from alarm_world import connector, station, write
from paho.mqtt.enums import CallbackAPIVersion
from servers import Mosquitto, free_port
from servers import mosquitto as run_mosquitto

from bridge.events import ConnectorStatus, utc_now
from bridge.settings import load_settings
from bridge.stores.records import Records
from bridge.stores.tables import alarm_edges, alarms
from dashboard.alerts.lifecycle import AlarmState
from dashboard.alerts.live import AlarmPublisher
from dashboard.alerts.process import AlarmProcess
from dashboard.alerts.store import Alarm, AlarmStore

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
LEASE_S = 2.0


def eventually(fact: Callable[[], Any], within_s: float = 20) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := fact()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return found


class Run:
    """``chargewatch alerts`` as a process of its own."""

    def __init__(self, folder: Path, records_url: str, broker_port: int) -> None:
        values = {
            "RECORDS__URL": records_url,
            "MQTT__PORT": broker_port,
            "ADMIN__ALERTS_PORT": 0,
            "ALERTS__EVERY_S": 0.2,
            "ALERTS__LEASE_S": LEASE_S,
            "LOG__LEVEL": "WARNING",
        }
        clean = {key: value for key, value in os.environ.items() if not key.startswith("CHARGEWATCH_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from dashboard.cli import main; main()", "alerts", "--json"],
            cwd=folder,
            env=clean | {f"CHARGEWATCH_{key}": str(value) for key, value in values.items()},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        said = json.loads(self.process.stdout.readline())
        self.holder, self.port = said["holder"], said["health_port"]

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def leads(self) -> bool:
        return "chargewatch_alerts_leader 1.0" in self.get("/metrics")[1]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def run(tmp_path: Path, records: Records, mosquitto: Mosquitto) -> Iterator[Callable[[], Run]]:
    runs: list[Run] = []
    url = records.engine.url.render_as_string(hide_password=False)

    def start() -> Run:
        runs.append(Run(tmp_path, url, mosquitto.port))
        return runs[-1]

    yield start
    for started in runs:
        started.end()


def fault_at(records: Records, name: str) -> None:
    faulted = connector(ConnectorStatus.FAULTED, "GroundFailure", station=name)
    write(records, station(name, last_seen_at=utc_now()), faulted)


def stations_alarmed(records: Records) -> list[str]:
    with records.reading() as connection:
        return sorted(connection.execute(sa.select(alarms.c.station)).scalars())


def test_of_two_processes_one_leads_and_when_it_is_killed_the_other_takes_over(
    records: Records, run: Callable[[], Run]
) -> None:
    first = run()
    eventually(first.leads)
    second = run()
    eventually(lambda: second.get("/readyz")[0] == 200)
    assert not second.leads()
    fault_at(records, "CP1")
    eventually(lambda: stations_alarmed(records) == ["CP1"])
    first.process.kill()
    killed_at = time.monotonic()
    fault_at(records, "CP2")
    eventually(lambda: stations_alarmed(records) == ["CP1", "CP2"], within_s=LEASE_S + 5)
    assert time.monotonic() - killed_at > LEASE_S / 4  # not before the lease ran out
    assert second.leads()
    with records.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(alarm_edges)).scalar() == 2


def test_a_process_that_is_told_to_stop_hands_over_at_once(records: Records, run: Callable[[], Run]) -> None:
    first = run()
    eventually(first.leads)
    second = run()
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(10) == 0
    eventually(second.leads, within_s=LEASE_S + 5)


def test_it_tells_that_it_lives_is_ready_and_what_it_counts(run: Callable[[], Run]) -> None:
    one = run()
    eventually(one.leads)
    assert one.get("/healthz")[0] == 200
    assert json.loads(one.get("/readyz")[1])["parts"] == {"records": "ok", "ticks": "ok"}
    metrics = one.get("/metrics")[1]
    for name in ("alert_ticks_total", "alarms_open", "notices_queued", "alert_ticks_late_total"):
        assert f"chargewatch_{name}" in metrics


# ---- live


class Wall:
    """A reader of the live topics, as the dashboard is one. Holds what is retained at the end."""

    def __init__(self, port: int) -> None:
        self.seen: dict[str, dict[str, Any]] = {}
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = self._heard
        self.client.on_connect = lambda client, *_: client.subscribe("chargewatch/live/#", qos=1)
        self.client.reconnect_delay_set(1, 1)
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()

    def _heard(self, _client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        if message.payload:
            self.seen[message.topic] = json.loads(message.payload)
        else:
            self.seen.pop(message.topic, None)

    def alarms(self) -> list[dict[str, Any]]:
        return [body for topic, body in list(self.seen.items()) if topic.startswith("chargewatch/live/alarm/")]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def sqlite_records(tmp_path: Path) -> Iterator[Records]:
    with Records(f"sqlite:///{tmp_path}/records.db") as records:
        records.migrate()
        yield records


def process_on(folder: Path, port: int) -> AlarmProcess:
    settings = load_settings(
        records={"url": f"sqlite:///{folder}/records.db"},
        mqtt={"port": port},
        admin={"alerts_port": 0},
        alerts={"every_s": 0.1, "lease_s": 5},
    )
    return AlarmProcess(settings)


def test_alarms_are_retained_on_the_broker_until_they_are_over_also_across_its_restart(
    tmp_path: Path, sqlite_records: Records
) -> None:
    port = free_port()
    fault_at(sqlite_records, "CP1")
    process = process_on(tmp_path, port)
    process.start()
    store = AlarmStore(sqlite_records)
    wall = Wall(port)
    try:
        eventually(store.open_alarms)  # no broker yet, and the alarm is there
        with run_mosquitto(port):
            (seen,) = eventually(wall.alarms)
            assert (seen["rule"], seen["state"], seen["priority"]) == ("ground_failure", "unacknowledged", 1)
            alive = eventually(lambda: wall.seen.get("chargewatch/live/alerts"))
            assert alive["holder"] == process.holder
            store.acknowledge(seen["id"], "anna", utc_now())
            eventually(lambda: [a["state"] for a in wall.alarms()] == ["acknowledged"])
        wall.seen.clear()
        fault_at(sqlite_records, "CP2")
        eventually(lambda: len(store.open_alarms()) == 2)
        with run_mosquitto(port):
            eventually(lambda: {a["station"] for a in wall.alarms()} == {"CP1", "CP2"}, within_s=40)
            write(sqlite_records, connector(ConnectorStatus.AVAILABLE, station="CP1"))
            eventually(lambda: {a["station"] for a in wall.alarms()} == {"CP2"})
            process.stop()
            eventually(lambda: wall.seen["chargewatch/live/alerts"].get("is_up") is False)
    finally:
        wall.close()


class Topics:
    """A broker that is only its retained topics."""

    def __init__(self) -> None:
        self.is_connected = True
        self.retained: dict[str, bytes] = {}
        self.published = 0
        self._handlers: list[Callable[[str, bytes, bool], None]] = []
        self._callbacks: list[Callable[[], None]] = []

    def subscribe(self, topic: str, handler: Callable[[str, bytes, bool], None]) -> None:
        self._handlers.append(handler)

    def on_connected(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def publish(self, topic: str, body: bytes, retain: bool = False, qos: int = 0) -> None:
        assert retain
        self.published += "/alarm/" in topic
        self.retained[topic] = body
        for handler in self._handlers:
            handler(topic, body, False)

    def reconnect(self) -> None:
        for callback in self._callbacks:
            callback()
        for topic, body in self.retained.items():
            for handler in self._handlers:
                handler(topic, body, True)


def an_alarm(id: int) -> Alarm:
    known: dict[str, Any] = dict.fromkeys(Alarm.__struct_fields__)
    known |= dict.fromkeys(("rule", "subject", "station", "title", "consequence", "action", "detail"), "")
    known |= {"state": AlarmState.UNACKNOWLEDGED, "raised_at": utc_now(), "acknowledged_by": ""}
    return Alarm(**(known | {"id": id, "priority": 1}))


def test_what_another_process_left_on_the_broker_is_taken_away_and_nothing_is_published_twice() -> None:
    broker = Topics()
    broker.retained["chargewatch/live/alarm/7"] = b"{}"
    publisher = AlarmPublisher(broker)
    broker.reconnect()
    mine = an_alarm(8)
    for _ in range(3):
        publisher.publish([mine], "one", utc_now())
    assert broker.retained["chargewatch/live/alarm/7"] == b""
    assert broker.published == 2
    broker.reconnect()
    publisher.publish([mine], "one", utc_now())
    assert json.loads(broker.retained["chargewatch/live/alarm/8"])["id"] == 8


# ---- the clock


def test_a_tick_that_the_scheduler_lost_is_noticed_by_the_monotonic_clock_and_called(
    tmp_path: Path, sqlite_records: Records, capfd: pytest.CaptureFixture[str]
) -> None:
    process = process_on(tmp_path, free_port())
    process.start()
    try:
        eventually(lambda: process.evaluator.is_leader)
        far = utc_now().replace(year=utc_now().year + 1)
        process._scheduler.modify_job("tick", next_run_time=far)  # what a wall clock set back by a year amounts to
        fault_at(sqlite_records, "CP1")
        eventually(AlarmStore(sqlite_records).open_alarms, within_s=5)
        assert "alarming is late" in "".join(capfd.readouterr())
    finally:
        process.stop()
