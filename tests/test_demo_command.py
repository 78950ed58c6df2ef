"""`chargewatch demo` as a person runs it: real processes, broker, sockets and stores; nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from click.testing import CliRunner

from bridge.demo.children import broker_command, pick_port
from bridge.session import SessionState
from bridge.settings import PREFIX, load_settings
from bridge.stores.opening import open_telemetry
from bridge.stores.records import Records
from dashboard.commands.demo import _Ports, command, demo_environment

PROGRAM = [sys.executable, "-c", "from dashboard.cli import main; main()", "demo"]
PATIENCE_S = 60.0


class Demo:
    """A running demo in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        environment = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        ports = [str(free_port()) for _ in range(3)]
        flags = ["--port", ports[0], "--ocpp-port", ports[1], "--mqtt-port", ports[2], "--meter-interval", "1"]
        self.process = subprocess.Popen(
            [*PROGRAM, "--folder", str(folder), *flags, "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=folder.parent,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.facts: dict[str, Any] = json.loads(line)

    def children(self) -> dict[str, int]:
        """Program name -> pid of all processes that work in the demo's folder."""
        return {name: pid for pid, name in _processes(str(self.folder))}

    def stop(self, by: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(by)
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _processes(mark: str) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        try:
            environment = (entry / "environ").read_bytes().decode(errors="replace")
            command_line = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()
        except (OSError, ValueError):
            continue
        if f"{PREFIX}DATA_DIR={mark}" in environment:
            yield int(entry.name), command_line.rpartition(" ")[2]


def wait_for(seen: Any, what: str) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (found := seen()):
        assert time.monotonic() < end, f"not seen: {what}"
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("demo") / "data")
    try:
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.stop()


def test_it_prints_the_address_and_a_link_that_logs_in_once(demo: Demo) -> None:
    def follow(link: str) -> tuple[str, list[str]]:
        jar = CookieJar()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        with opener.open(link, timeout=20) as page:
            return page.url, [cookie.name for cookie in jar]

    link = demo.facts["login_link"]
    assert link.startswith(demo.facts["address"] + "/login/link/")
    assert "/login" not in follow(link)[0]
    with pytest.raises(HTTPError, match="410") as gone:
        follow(link)
    gone.value.close()


def test_all_but_one_of_its_stations_come_online_and_charge(demo: Demo) -> None:
    with Records(f"sqlite:///{demo.folder / 'records.db'}") as records:
        wait_for(lambda: sum(s.is_connected for s in records.stations()) >= 27, "27 of 28 stations online")
        absent = [station.id for station in records.stations() if not station.is_connected]
        assert absent == ["TM-14"]
        wait_for(
            lambda: [s for s in records.open_sessions() if s.state is SessionState.CHARGING and s.energy_wh > 0],
            "a session with energy",
        )


def test_its_past_is_in_the_stores(demo: Demo) -> None:
    environment = demo_environment(demo.folder, _Ports(1, 2, 3, 4, 5))
    with pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        settings = load_settings()
    now = datetime.now(UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    telemetry = open_telemetry(settings)
    with Records(f"sqlite:///{demo.folder / 'records.db'}") as records:
        wait_for(lambda: telemetry.totals(today - timedelta(days=1), today), "yesterday's totals")
        yesterday = records.day_totals(today - timedelta(days=1), today)
        assert yesterday.started > 200
        assert yesterday.revenue["EUR"] > 1000
        assert records.usual(today, now) is not None
    telemetry.close()


def test_a_child_that_dies_is_named_with_its_last_words_and_nothing_is_left(tmp_path: Path) -> None:
    demo = Demo(tmp_path / "data")
    os.kill(demo.children()["alerts"], signal.SIGKILL)
    _, error = demo.process.communicate(timeout=PATIENCE_S)
    assert demo.process.returncode == 1
    assert "alerts stopped (exit code -9)" in error
    assert "alerts.log" in error
    assert "Traceback" not in error
    assert list(_processes(str(demo.folder))) == []


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_everything_and_leaves_no_process(tmp_path: Path, by: signal.Signals) -> None:
    demo = Demo(tmp_path / "data")
    assert {"bridge", "dashboard", "alerts"} <= set(demo.children())
    assert demo.stop(by) == 0
    assert list(_processes(str(demo.folder))) == []


def test_taken_ports_are_replaced_by_free_ones() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = taken.getsockname()[1]
        got = pick_port(wanted, set())
        assert got != wanted
    assert pick_port(got, {got}) != got


def test_a_folder_that_is_not_a_demos_is_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    result = CliRunner().invoke(command, ["--folder", str(tmp_path)])
    assert result.exit_code == 1
    assert "not a demo's folder" in result.output
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_without_mosquitto_amqtt_serves_loopback_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.demo.children.shutil.which", lambda *_, **__: None)
    program = broker_command(tmp_path, 2000)
    assert program[:3] == [sys.executable, "-m", "amqtt.scripts.broker_script"]
    assert re.findall(r"bind: (.*)", (tmp_path / "amqtt.yaml").read_text()) == ["127.0.0.1:2000"]


def test_all_its_settings_exist_and_bind_to_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in demo_environment(tmp_path, _Ports(8050, 9000, 1883, 9100, 9101)).items():
        monkeypatch.setenv(key, value)
    settings = load_settings()
    hosts = {settings.ocpp.host, settings.mqtt.host, settings.admin.host, settings.dashboard.host}
    assert hosts == {"127.0.0.1"}
    assert settings.journal.path.parent == tmp_path
