"""``chargewatch doctor`` against real and absent servers: what it finds, what it advises, how it exits."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import servers
from click.testing import CliRunner

from bridge.authority import Authority
from bridge.doctor import Finding, Status, clock, examine, open_files
from bridge.events import utc_now
from bridge.journal import Entry, Journal
from bridge.settings import PREFIX, Settings, load_settings
from bridge.snapshots import Station
from bridge.stores.people import People, Role
from bridge.stores.records import Records
from dashboard.cli import cli

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def an_empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture
def free() -> dict[str, dict[str, int]]:
    """Ports that nobody uses."""
    return {
        "ocpp": {"port": servers.free_port()},
        "mqtt": {"port": servers.free_port()},
        "admin": {"bridge_port": servers.free_port(), "alerts_port": servers.free_port()},
        "dashboard": {"port": servers.free_port()},
    }


def settings(*parts: dict[str, dict[str, object]]) -> Settings:
    merged: dict[str, dict[str, object]] = {}
    for part in parts:
        for section, values in part.items():
            merged[section] = merged.get(section, {}) | values
    return load_settings(**merged)


def found(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def test_an_empty_place_is_no_failure_but_for_the_broker(free: dict) -> None:
    findings = examine(settings(free))
    assert [finding.name for finding in findings if finding.status is Status.FAIL] == ["broker"]
    assert found(findings, "records").status is Status.WARN
    assert found(findings, "telemetry").status is Status.WARN


def test_it_creates_nothing(free: dict, tmp_path: Path) -> None:
    examine(settings(free))
    assert list(tmp_path.iterdir()) == []


def test_whatever_is_not_well_says_what_to_do(free: dict) -> None:
    findings = examine(settings(free, {"ocpp": {"host": "0.0.0.0"}, "stations": {"unknown": "accept"}}))
    assert all(finding.advice for finding in findings if finding.status is not Status.OK)
    assert found(findings, "stations.unknown").status is Status.WARN
    assert found(findings, "ocpp.tls_certificate").status is Status.WARN


def test_a_bridge_behind_a_trusted_proxy_is_not_called_readable(free: dict) -> None:
    open_to_all = {"ocpp": {"host": "0.0.0.0", "trusted_proxies": ["192.0.2.1/32"]}}
    assert not [f for f in examine(settings(free, open_to_all)) if f.name == "ocpp.tls_certificate"]
    refused = found(examine(settings(free, {"ocpp": {"host": "0.0.0.0"}})), "ocpp.tls_certificate")
    assert "chargers from elsewhere are refused" in refused.detail


def test_an_authority_that_is_not_there_or_open_to_all_is_told(free: dict, tmp_path: Path) -> None:
    chosen = {"ocpp": {"ca_folder": "ca"}}
    assert found(examine(settings(free, chosen)), "ocpp.ca_folder").status is Status.FAIL
    Authority.create(tmp_path / "ca", "CA", utc_now())
    assert found(examine(settings(free, chosen)), "ocpp.ca_folder").status is Status.OK
    (tmp_path / "ca" / "ca.key").chmod(0o644)
    assert found(examine(settings(free, chosen)), "ocpp.ca_folder").status is Status.WARN


def test_a_broker_that_answers_is_well(free: dict, mosquitto: servers.Mosquitto) -> None:
    findings = examine(settings(free, {"mqtt": {"port": mosquitto.port}}))
    assert found(findings, "broker").status is Status.OK


@pytest.fixture
def strict_broker(mosquitto: servers.Mosquitto, tmp_path: Path) -> Iterator[servers.Mosquitto]:
    """``mosquitto`` is asked for so that the program is there."""
    with servers.mosquitto(config=["allow_anonymous false"]) as facts:
        yield facts


def test_a_broker_that_refuses_us_is_told_from_one_that_is_away(free: dict, strict_broker: servers.Mosquitto) -> None:
    refused = found(examine(settings(free, {"mqtt": {"port": strict_broker.port}})), "broker")
    away = found(examine(settings(free)), "broker")
    assert (refused.status, away.status) == (Status.FAIL, Status.FAIL)
    assert "authori" in refused.detail.lower()
    assert "mqtt.password" in refused.advice
    assert "refused" in away.detail


def test_records_of_another_schema_fail(free: dict) -> None:
    with Records("sqlite:///data/records.db") as records, records.writing():
        pass
    finding = found(examine(settings(free)), "records")
    assert finding.status is Status.FAIL
    assert "schema none" in finding.detail


def test_a_password_in_the_records_url_is_not_shown(free: dict) -> None:
    url = f"postgresql+psycopg://me:tr0ub4dor@127.0.0.1:{servers.free_port()}/records"
    finding = found(examine(settings(free, {"records": {"url": url}})), "records")
    assert finding.status is Status.FAIL
    assert "tr0ub4dor" not in finding.detail + finding.advice


def test_nobody_who_can_log_in_is_noted_until_there_is_somebody(free: dict) -> None:
    with Records("sqlite:///data/records.db") as records:
        records.migrate()
        assert found(examine(settings(free)), "people").status is Status.WARN
        People(records, b"pepper").create_user("anna", Role.ADMIN, NOW, "a long password")
    assert "people" not in [finding.name for finding in examine(settings(free))]


def test_a_port_held_by_another_program_fails(free: dict) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", free["ocpp"]["port"]))
        other.listen()
        findings = examine(settings(free))
    assert found(findings, "port for chargers").status is Status.FAIL
    assert found(findings, "port of the dashboard").status is Status.OK


def test_an_influx_that_is_away_fails(free: dict) -> None:
    influx = {"store": "influx", "influx": {"url": f"http://127.0.0.1:{servers.free_port()}", "timeout_s": 2}}
    assert found(examine(settings(free, {"telemetry": influx})), "telemetry").status is Status.FAIL


def test_a_clock_behind_the_journal_fails(free: dict) -> None:
    assert clock(NOW, None).status is Status.OK
    assert clock(NOW, NOW - timedelta(days=3)).status is Status.OK
    assert clock(NOW, NOW + timedelta(hours=1)).status is Status.FAIL


def test_the_journal_s_newest_entry_is_what_the_clock_is_held_against(free: dict) -> None:
    journal = Journal(Path("data/journal.db"))
    journal.open()
    ahead = int((datetime.now(UTC) + timedelta(days=1)).timestamp() * 1e6)
    journal.append(Entry(ahead, "CP-1", "ocpp1.6", ">", "Heartbeat", b"", b"", b""))
    journal.close()
    assert found(examine(settings(free)), "clock").status is Status.FAIL


def test_open_files_that_do_not_do_for_the_stations_on_record_are_noted(free: dict) -> None:
    assert [open_files(limit, 10).status for limit in (-1, 20_000, 1024)] == [Status.OK, Status.OK, Status.WARN]
    assert open_files(20_000, 12_000).status is Status.WARN
    with Records("sqlite:///data/records.db") as records:
        records.migrate()
        records.upsert([Station(id="CP-1", bridge="here", revision=1)], [], [])
    assert "for 1 stations" in found(examine(settings(free)), "open files").detail


def test_json_is_for_machines_and_a_failure_is_an_exit_code(free: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARGEWATCH_MQTT__PORT", str(free["mqtt"]["port"]))
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    document = json.loads(result.stdout)
    assert document["ok"] is False
    assert {"name", "status", "detail", "advice"} == set(document["findings"][0])
    assert result.exit_code == 1
    assert "broker" in result.stderr
