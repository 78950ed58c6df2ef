"""What docker-compose.yml describes, without containers: its processes, settings and broker, on real servers."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import compose_world
import pytest
import servers
from compose_world import OURS, SERVICES, wait_for
from mail_world import Inbox, smtp_server
from websockets.sync.client import connect

CHARGEWATCH = [str(Path(sys.executable).with_name("chargewatch"))]


class Place(NamedTuple):
    """Where each process answers, and the environment of each."""

    ports: dict[str, int]
    environments: dict[str, dict[str, str]]
    logs: Path
    inbox: Inbox
    influx: servers.Influx

    def run(self, *arguments: str) -> str:
        """A command of ours in the dashboard's environment, as ``docker compose run`` would."""
        command, environment = [*CHARGEWATCH, *arguments], self.environments["dashboard"]
        done = subprocess.run(command, env=environment, cwd=self.logs, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def get(self, name: str, path: str, token: str = "") -> tuple[int, dict]:
        url = f"http://127.0.0.1:{self.ports[name]}{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def is_ready(self, name: str) -> bool:
        try:
            return self.get(name, "/readyz")[0] == 200
        except OSError:
            return False

    def tail(self) -> str:
        return "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in sorted(self.logs.glob("*.log")))


@pytest.fixture
def place(
    mosquitto: servers.Mosquitto, influx_bucket: servers.Influx, postgres_database: str, tmp_path: Path
) -> Iterator[Place]:
    """``mosquitto`` is asked for so that the program is there; the broker is the compose file's own."""
    files = {
        "records_url": postgres_database,
        "influx_token": influx_bucket.token,
        "pepper": "a" * 64,
        "dashboard_secret_key": "b" * 64,
        **{f"mqtt_{user}": f"password-of-{user}" for user in compose_world.BROKER_USERS},
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    ports = {name: servers.free_port() for name in ("ocpp", "smtp", *OURS)}
    inbox = Inbox()
    with ExitStack() as stack:
        stack.enter_context(smtp_server(inbox, ports["smtp"]))
        broker_port, _ = stack.enter_context(compose_world.broker())
        moved = {
            "CHARGEWATCH_MQTT__HOST": "127.0.0.1",
            "CHARGEWATCH_MQTT__PORT": str(broker_port),
            "CHARGEWATCH_TELEMETRY__INFLUX__URL": influx_bucket.url,
            "CHARGEWATCH_TELEMETRY__INFLUX__BUCKET": influx_bucket.bucket,
            "CHARGEWATCH_OCPP__PORT": str(ports["ocpp"]),
            "CHARGEWATCH_ADMIN__BRIDGE_PORT": str(ports["bridge"]),
            "CHARGEWATCH_ADMIN__ALERTS_PORT": str(ports["alerts"]),
            "CHARGEWATCH_DASHBOARD__PORT": str(ports["dashboard"]),
            "CHARGEWATCH_ALERTS__EMAIL_TO": '["shift@example.org"]',
            "CHARGEWATCH_ALERTS__SMTP__HOST": "127.0.0.1",
            "CHARGEWATCH_ALERTS__SMTP__PORT": str(ports["smtp"]),
            "CHARGEWATCH_ALERTS__SMTP__SECURITY": "none",
            "CHARGEWATCH_ALERTS__SMTP__SENDER": "chargewatch@example.org",
        }
        environments = {name: environment(name, tmp_path) | moved for name in OURS}
        found = Place(ports, environments, tmp_path, inbox, influx_bucket)
        for name in OURS:
            stack.callback(end, start(name, found))
        yield found


def environment(name: str, secrets: Path) -> dict[str, str]:
    """The service's own variables; secrets from our folder, and no address but loopback."""
    given = {key: str(value) for key, value in SERVICES[name]["environment"].items()}
    given = {key: value.replace("/run/secrets", str(secrets)) for key, value in given.items()}
    given = {key: "127.0.0.1" if value == "0.0.0.0" else value for key, value in given.items()}
    return {"PATH": os.environ["PATH"], "HOME": str(secrets)} | given


def start(name: str, place: Place) -> subprocess.Popen[bytes]:
    folder = place.logs / name  # each container has a data folder of its own
    folder.mkdir()
    with (place.logs / f"{name}.log").open("wb") as log:
        command = [*CHARGEWATCH, *SERVICES[name]["command"]]
        return subprocess.Popen(command, env=place.environments[name], cwd=folder, stdout=log, stderr=log)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def call(socket: object, action: str, payload: dict) -> dict:
    socket.send(json.dumps([2, action, action, payload]))  # type: ignore[attr-defined]
    kind, _, answer = json.loads(socket.recv(timeout=10))  # type: ignore[attr-defined]
    assert kind == 3
    return answer


def test_a_charger_s_session_reaches_influxdb_rest_and_an_inbox_in_the_composed_system(place: Place) -> None:
    for name in OURS:
        wait_for(lambda name=name: place.is_ready(name), place.tail, 45)
    place.run("token", "add", "04A1B2C3", "--role", "driver")
    key = place.run("token", "add", "CP-1", "--role", "station")  # last: a bridge that knows it knows the card
    token = place.run("token", "add", "office", "--role", "viewer")
    basic = base64.b64encode(f"CP-1:{key}".encode()).decode()
    wait_for(lambda: charges(place.ports["ocpp"], basic), place.tail, 20, every_s=1.0)  # guessing faster is braked

    def sessions() -> list[dict]:
        return place.get("dashboard", "/api/v1/sessions?station=CP-1", token)[1]["items"]

    wait_for(lambda: [s for s in sessions() if s["state"] == "ended"], place.tail, 20)
    [session] = sessions()
    assert (session["energy_wh"], session["cost"], session["token"][-4:]) == (11_000, "5.39", "B2C3")

    def readings() -> list[float]:
        samples = place.get("dashboard", f"/api/v1/sessions/{session['id']}/samples", token)[1]["items"]
        return [sample["values"].get("energy_import_wh") for sample in samples]

    wait_for(lambda: 6500.0 in readings(), place.tail, 20)
    assert "CP-1" in stations_in(place.influx)
    wait_for(lambda: place.inbox.mails, place.tail, 20)
    mail = place.inbox.mails[0]
    assert place.inbox.recipients[0] == ["shift@example.org"]
    assert mail["subject"] == "Charging complete at CP-1, connector 1: 11.00 kWh, 5.39 EUR"
    for name in OURS:
        assert place.is_ready(name), place.tail()


def stations_in(influx: servers.Influx) -> str:
    """Asked of InfluxDB itself, past all of our code."""
    query = 'SHOW TAG VALUES FROM "samples" WITH KEY = "station"'
    return json.dumps(influx.call("GET", "/query?" + urllib.parse.urlencode({"db": influx.bucket, "q": query})))


def charges(port: int, basic: str) -> bool:
    """One session, once the bridge has heard of the new key; False while it has not."""
    try:
        socket = connect(
            f"ws://127.0.0.1:{port}/ocpp/CP-1",
            subprotocols=["ocpp1.6"],
            additional_headers={"Authorization": f"Basic {basic}"},
        )
    except Exception:
        return False
    with socket:
        boot = {"chargePointVendor": "Acme", "chargePointModel": "One"}
        assert call(socket, "BootNotification", boot)["status"] == "Accepted"
        now = datetime.now(UTC)
        begin, middle, end = (at.isoformat() for at in (now - timedelta(hours=1), now - timedelta(minutes=30), now))
        started = {"connectorId": 1, "idTag": "04A1B2C3", "meterStart": 1000, "timestamp": begin}
        answer = call(socket, "StartTransaction", started)
        assert answer["idTagInfo"]["status"] == "Accepted"
        number = answer["transactionId"]
        values = [{"timestamp": middle, "sampledValue": [{"value": "6500"}]}]
        call(socket, "MeterValues", {"connectorId": 1, "transactionId": number, "meterValue": values})
        stopped = {"transactionId": number, "meterStop": 12_000, "timestamp": end}
        call(socket, "StopTransaction", stopped)
    return True
