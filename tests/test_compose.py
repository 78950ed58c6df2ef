"""docker-compose.yml against the compose schema, our commands and settings; its broker's rules on a real mosquitto."""

from __future__ import annotations

import importlib.resources
import json
import re
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import compose_world
import jsonschema_rs
import paho.mqtt.client as paho
import pytest
import servers
from click.testing import CliRunner
from compose_world import COMPOSE, OURS, ROOT, SERVICES, wait_for
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bridge.command_bus import ANSWER_ROOT, command_topic
from bridge.live import ALERTS_TOPIC, alarm_topic, bridge_topic, connector_topic
from bridge.settings import Settings, environment_names
from dashboard.cli import cli

STATEFUL = ["bridge", "influxdb", "postgres", "mosquitto"]


def test_the_file_fits_the_compose_schema() -> None:
    folder = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text())
    errors = [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(COMPOSE)]
    assert errors == []


def test_all_three_processes_and_their_three_servers_are_there() -> None:
    assert OURS == ["bridge", "dashboard", "alerts"]
    images = {service["image"].split(":")[0] for name, service in SERVICES.items() if name not in OURS}
    assert images == {"influxdb", "postgres", "eclipse-mosquitto"}
    assert SERVICES["influxdb"]["image"].startswith("influxdb:2")


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_a_command_that_exists(name: str) -> None:
    result = CliRunner().invoke(cli, [*SERVICES[name]["command"], "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_read_by_settings(name: str) -> None:
    assert set(SERVICES[name]["environment"]) <= environment_names()


@pytest.mark.parametrize("name", SERVICES)
def test_a_secret_is_a_file_that_this_service_mounts_and_never_a_value(name: str) -> None:
    service = SERVICES[name]
    mounted = set(service.get("secrets", ()))
    for variable, value in service.get("environment", {}).items():
        if re.search(r"PASSWORD|TOKEN|SECRET|_KEY|PEPPER|RECORDS__URL", variable):
            assert variable.endswith("_FILE"), variable
            assert value.removeprefix("/run/secrets/") in mounted, value


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_are_declared_used_where_mounted_and_mounted_where_used(name: str) -> None:
    service = SERVICES[name]
    mounted = set(service.get("secrets", ()))
    text = json.dumps(service)
    named = set(re.findall(r"/run/secrets/(\w+)", text))
    loop = re.search(r"for user in ([\w ]+); do", text)
    named |= {f"mqtt_{user}" for user in loop[1].split()} if loop else set()
    assert mounted <= set(COMPOSE["secrets"])
    assert named - {"mqtt_"} == mounted


def test_no_password_is_written_anywhere() -> None:
    """Not in an address, not behind the name of a password, not as a default of an interpolation."""
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"://[^/\s:]+:[^@\s]+@", text)
    value = r"[\"']?(?!/run/secrets/)[\w-]{4,}"
    assert not re.search(rf"(?i)(password|token|secret|pepper)(_\w+)?[ \t]*[:=][ \t]*{value}", text)
    assert not re.search(r"\$\{\w*(PASSWORD|TOKEN|SECRET|KEY)", text)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_watched_restarted_and_locked_down(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["restart"] == "unless-stopped"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_runs_as_root(name: str) -> None:
    if name in OURS:
        users = re.findall(r"^USER (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        assert users == ["chargewatch"]
    else:
        assert int(SERVICES[name]["user"].split(":")[0]) > 0


@pytest.mark.parametrize("name", STATEFUL)
def test_state_lies_on_a_named_volume(name: str) -> None:
    volumes = [volume.split(":")[0] for volume in SERVICES[name]["volumes"]]
    assert volumes
    assert set(volumes) <= set(COMPOSE["volumes"])


def test_the_bridge_keeps_its_journal_on_its_volume() -> None:
    mounted = SERVICES["bridge"]["volumes"][0].split(":")[1]
    workdir = re.findall(r"^WORKDIR (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1]
    assert str(Path(workdir) / Settings.model_fields["journal"].default.path.parent) == mounted


def test_only_chargers_and_people_reach_in_and_only_from_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "bridge": ["${OCPP_LISTEN:-127.0.0.1}:9000:9000"],
        "dashboard": ["${DASHBOARD_LISTEN:-127.0.0.1}:8050:8050"],
    }


@pytest.mark.parametrize(
    ("name", "port"),
    [("bridge", "admin.bridge_port"), ("alerts", "admin.alerts_port"), ("dashboard", "dashboard.port")],
)
def test_health_is_asked_at_the_port_of_the_settings(name: str, port: str) -> None:
    section, key = port.split(".")
    default = getattr(Settings.model_fields[section].default, key)
    assert f"http://127.0.0.1:{default}/healthz" in SERVICES[name]["healthcheck"]["test"][-1]


def test_each_process_has_a_user_of_its_own_on_the_broker() -> None:
    for name in OURS:
        environment = SERVICES[name]["environment"]
        assert environment["CHARGEWATCH_MQTT__USERNAME"] == name
        assert environment["CHARGEWATCH_MQTT__PASSWORD_FILE"] == f"/run/secrets/mqtt_{name}"


# ---- make secrets


@pytest.fixture
def secret_files(tmp_path: Path) -> Path:
    """What ``make secrets`` makes in an empty checkout."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    subprocess.run(["make", "secrets"], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path / "secrets"


def test_make_secrets_makes_every_file_that_is_declared(secret_files: Path) -> None:
    declared = {ROOT / entry["file"] for entry in COMPOSE["secrets"].values()}
    assert {path.name for path in declared} == {path.name for path in secret_files.iterdir()}
    assert {path.parent for path in declared} == {ROOT / "secrets"}


def test_secrets_are_random_and_only_their_owner_gets_at_them(secret_files: Path) -> None:
    """The files can be read by any user id because each container has its own; the folder is the lock."""
    assert stat.S_IMODE(secret_files.stat().st_mode) == 0o700
    texts = {path.name: path.read_text() for path in secret_files.iterdir()}
    random = [text for name, text in texts.items() if name != "records_url"]
    assert all(re.fullmatch(r"[0-9a-f]{64}", text) for text in random)
    assert len(set(random)) == len(random)
    assert f":{texts['postgres_password']}@postgres/" in texts["records_url"]


def test_make_secrets_twice_changes_nothing(secret_files: Path) -> None:
    before = {path.name: path.read_text() for path in secret_files.iterdir()}
    subprocess.run(["make", "secrets"], cwd=secret_files.parent, check=True, capture_output=True)
    assert {path.name: path.read_text() for path in secret_files.iterdir()} == before


# ---- the broker as the file sets it up


@pytest.fixture(scope="module")
def broker(mosquitto: servers.Mosquitto) -> Iterator[tuple[int, Path]]:
    """Port and folder. ``mosquitto`` is asked for so that the program is there; its broker is not used."""
    with compose_world.broker() as place:
        yield place


class Client:
    """A client of the broker; publishes with quality 1, whose answer says whether it was allowed (MQTT 5)."""

    def __init__(self, port: int, user: str, password: str) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        if user:
            self.client.username_pw_set(user, password)
        self.reason = ""
        self.answers: dict[int, str] = {}
        self.received: list[str] = []
        self.answered = threading.Condition()
        self.client.on_connect = lambda client, data, flags, reason, props: self._note(0, reason.getName())
        self.client.on_publish = lambda client, data, mid, reason, props: self._note(mid, reason.getName())
        self.client.on_subscribe = lambda client, data, mid, reasons, props: self._note(mid, reasons[0].getName())
        self.client.on_message = lambda client, data, message: self.received.append(message.topic)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.reason = self._answer(0)

    def _note(self, mid: int, answer: str) -> None:
        with self.answered:
            self.answers[mid] = answer
            self.answered.notify_all()

    def _answer(self, mid: int) -> str:
        with self.answered:
            assert self.answered.wait_for(lambda: mid in self.answers, 10)
            return self.answers[mid]

    def may_publish(self, topic: str) -> bool:
        return self._answer(self.client.publish(topic, b"{}", qos=1).mid) != "Not authorized"

    def subscribe(self, topic: str) -> None:
        self._answer(self.client.subscribe(topic, qos=1)[1] or 0)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def login(broker: tuple[int, Path]) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def log_in(user: str, password: str | None = None) -> Client:
        clients.append(Client(broker[0], user, f"password-of-{user}" if password is None else password))
        return clients[-1]

    yield log_in
    for client in clients:
        client.close()


@pytest.mark.parametrize(("user", "password"), [("", ""), ("bridge", "guess"), ("admin", "admin")])
def test_the_broker_refuses_strangers(login: Callable[..., Client], user: str, password: str) -> None:
    assert login(user, password).reason in {"Not authorized", "Bad user name or password"}


def test_the_broker_keeps_only_hashes(broker: tuple[int, Path]) -> None:
    passwords = broker[1] / "passwords"
    assert "password-of" not in passwords.read_text()
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600


LIVE = connector_topic("CP/1", 1, 1)


@pytest.mark.parametrize(
    ("user", "topic", "allowed"),
    [
        ("bridge", LIVE, True),
        ("bridge", bridge_topic("bridge-1"), True),
        ("bridge", f"{ANSWER_ROOT}/abc", True),
        ("dashboard", command_topic("CP/1"), True),
        ("dashboard", LIVE, False),
        ("dashboard", ALERTS_TOPIC, False),
        ("alerts", alarm_topic(7), True),
        ("alerts", ALERTS_TOPIC, True),
        ("alerts", LIVE, False),
        ("alerts", command_topic("CP/1"), False),
        ("chargers", "go-eCharger/123456/nrg", True),
        ("chargers", LIVE, False),
        ("chargers", command_topic("CP/1"), False),
        ("health", "anything", False),
    ],
)
def test_each_user_may_write_what_its_process_writes(
    login: Callable[..., Client], user: str, topic: str, allowed: bool
) -> None:
    assert login(user).may_publish(topic) is allowed


def test_the_dashboard_hears_live_state_and_answers_and_no_charger(login: Callable[..., Client]) -> None:
    bridge, dashboard = login("bridge"), login("dashboard")
    dashboard.subscribe("#")
    for topic in (LIVE, "go-eCharger/123456/nrg", f"{ANSWER_ROOT}/abc"):
        (login("chargers") if topic.startswith("go-e") else bridge).may_publish(topic)
    wait_for(lambda: f"{ANSWER_ROOT}/abc" in dashboard.received)
    assert set(dashboard.received) == {LIVE, f"{ANSWER_ROOT}/abc"}


def test_chargers_cannot_listen_to_commands_or_live_state(login: Callable[..., Client]) -> None:
    charger = login("chargers")
    charger.subscribe("#")
    login("dashboard").may_publish(command_topic("CP/1"))
    login("chargers").may_publish("evcc/loadpoints/1/charging")
    wait_for(lambda: charger.received)
    assert charger.received == ["evcc/loadpoints/1/charging"]


def test_the_bridge_hears_chargers_and_commands(login: Callable[..., Client]) -> None:
    bridge = login("bridge")
    bridge.subscribe("#")
    login("chargers").may_publish("openWB/chargepoint/2/get/power")
    login("dashboard").may_publish(command_topic("CP-1"))
    wait_for(lambda: {"openWB/chargepoint/2/get/power", command_topic("CP-1")} <= set(bridge.received))


def test_the_health_check_s_user_reads_the_uptime_and_nothing_else(login: Callable[..., Client]) -> None:
    health = login("health")
    health.subscribe("$SYS/broker/uptime")
    health.subscribe("#")
    login("chargers").may_publish("openWB/chargepoint/3/get/power")
    wait_for(lambda: health.received)
    assert set(health.received) == {"$SYS/broker/uptime"}
    assert "-u health" in SERVICES["mosquitto"]["healthcheck"]["test"][1]
