"""Settings: three layers, files for secrets, and errors that name the key. docs/settings.md says the same."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest
import settings_table
from click.testing import CliRunner

from bridge.settings import PREFIX, SettingsError, Unknown, environment_names, load_settings
from dashboard.cli import cli


@pytest.fixture(autouse=True)
def an_empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file and no variable of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def write(text: str) -> None:
    Path("chargewatch.toml").write_text(text)


def test_outside_the_demo_strangers_wait_or_are_refused_and_nothing_listens_to_the_network() -> None:
    settings = load_settings()
    assert settings.stations.unknown is Unknown.HOLD
    assert settings.ocpp.security_profile == 2
    assert settings.tokens.unknown is Unknown.REJECT
    assert {settings.ocpp.host, settings.dashboard.host, settings.admin.host} == {"127.0.0.1"}
    assert settings.dashboard.secure_cookies


def test_the_file_changes_defaults_and_the_environment_changes_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[ocpp]\nport = 9001\nheartbeat_s = 60\n[billing]\nenergy_per_kwh = "0.39"\n')
    monkeypatch.setenv("CHARGEWATCH_OCPP__PORT", "9002")
    settings = load_settings()
    assert (settings.ocpp.port, settings.ocpp.heartbeat_s, settings.ocpp.host) == (9002, 60, "127.0.0.1")
    assert settings.billing.energy_per_kwh == Decimal("0.39")


def test_a_named_file_is_read_instead_of_the_one_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("[ocpp]\nport = 9001\n")
    other = tmp_path / "other.toml"
    other.write_text("[ocpp]\nport = 9003\n")
    monkeypatch.setenv("CHARGEWATCH_CONFIG", str(other))
    assert load_settings().ocpp.port == 9003


def test_lists_come_as_json_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARGEWATCH_CHARGERS__VENDORS", '["goe", "evcc"]')
    assert load_settings().chargers.vendors == ("goe", "evcc")


@pytest.mark.parametrize(
    ("variable", "read"),
    [
        ("CHARGEWATCH_STATIONS__PEPPER_FILE", lambda s: s.stations.pepper),
        ("CHARGEWATCH_RECORDS__URL_FILE", lambda s: s.records.url),
        ("CHARGEWATCH_TELEMETRY__INFLUX__TOKEN_FILE", lambda s: s.telemetry.influx.token),
        ("CHARGEWATCH_ALERTS__SMTP__PASSWORD_FILE", lambda s: s.alerts.smtp.password),
    ],
)
def test_a_secret_is_read_from_a_file(variable: str, read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text("tr0ub4dor\n")
    monkeypatch.setenv(variable, str(file))
    assert read(load_settings()).get_secret_value() == "tr0ub4dor"


def test_the_toml_file_may_name_a_secret_s_file_too(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file")
    write(f'[mqtt]\npassword_file = "{tmp_path}/key"\n')
    assert load_settings().mqtt.password.get_secret_value() == "from a file"


def test_a_secret_is_not_shown_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARGEWATCH_MQTT__PASSWORD", "tr0ub4dor")
    monkeypatch.setenv("CHARGEWATCH_RECORDS__URL", "postgresql+psycopg://me:tr0ub4dor@host/records")
    settings = load_settings()
    assert "tr0ub4dor" not in repr(settings)
    assert "tr0ub4dor" not in settings.model_dump_json()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[ocpp]\nprot = 9000\n", "ocpp.prot"),
        ("[ocp]\nport = 9000\n", "ocp"),
        ("[ocpp]\nport = 70000\n", "ocpp.port"),
        ('[stations]\nunknown = "maybe"\n', "stations.unknown"),
        ('[tokens]\nunknown = "hold"\n', "tokens.unknown"),
        ('[billing]\ncurrency = "Euro"\n', "billing.currency"),
        ('[telemetry.influx]\ntimeout_s = 0\n', "telemetry.influx.timeout_s"),
        ('[ocpp]\ntls_key = "key.pem"\n', "ocpp.tls_certificate"),
        ('[mqtt]\npassword_file = "/nowhere/secret"\n', "/nowhere/secret"),
        ('[mqtt]\nhost_of_file = "x"\n', "host_of_file"),
        ("[ocpp\n", "chargewatch.toml"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_what_is_wrong(text: str, named: str) -> None:
    write(text)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CHARGEWATCH_OCPP_PORT", "9000"),  # one underscore
        ("CHARGEWATCH_OCPP__PROT", "9000"),
        ("CHARGEWATCH_OCPP__PORT_FILE", "/tmp/port"),  # only secrets come from files
        ("CHARGEWATCH_PORT", "9000"),
    ],
)
def test_an_unknown_variable_is_an_error_that_names_it(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable):
        load_settings()


def test_every_wrong_key_is_named_at_once() -> None:
    write('[ocpp]\nport = "many"\nprot = 1\n[log]\nlevel = "loud"\n')
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert all(key in str(caught.value) for key in ("ocpp.port", "ocpp.prot", "log.level"))


def test_a_config_variable_that_names_no_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARGEWATCH_CONFIG", "/nowhere/chargewatch.toml")
    with pytest.raises(SettingsError, match="CHARGEWATCH_CONFIG names /nowhere"):
        load_settings()


def test_doctor_names_a_wrong_key_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARGEWATCH_OCPP__PORT", "many")
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    assert result.exit_code == 1
    assert "ocpp.port" in result.stdout


def test_every_variable_that_is_known_is_a_setting_or_a_secret_s_file() -> None:
    """The list that unknown variables are held against, from another walk over the same model."""
    rows = list(settings_table.rows())
    secrets = {row.variable + "_FILE" for row in rows if row.kind == "secret"}
    sections = {name for name in environment_names() if any(row.variable.startswith(name + "__") for row in rows)}
    assert environment_names() - sections - {"CHARGEWATCH_CONFIG"} == {row.variable for row in rows} | secrets


@pytest.mark.parametrize("row", list(settings_table.rows()), ids=lambda row: row.key)
def test_docs_say_what_a_setting_takes_and_what_it_is_by_default(row: settings_table.Row) -> None:
    page = settings_table.PAGE.read_text()
    meaning = settings_table.meanings(page).get(row.key, "")
    assert meaning, f"docs/settings.md has no row for {row.key}: python tests/settings_table.py makes one"
    is_true = settings_table.line(row, meaning) in page.splitlines()
    assert is_true, f"{row.key} has changed: python tests/settings_table.py writes the table anew"


def test_docs_name_no_setting_that_is_gone() -> None:
    known = {row.key for row in settings_table.rows()}
    assert set(settings_table.meanings(settings_table.PAGE.read_text())) <= known
