"""``chargewatch command`` as it is typed: to a charger and back, with an exit code for each outcome."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from command_world import Fleet, fleet_world
from servers import Mosquitto, free_port

from bridge import command_bus
from bridge.settings import load_settings
from bridge.stores.people import People, pepper
from bridge.stores.records import Records
from dashboard.cli import cli

ROOT = Path(__file__).parent.parent
HELD = "CLI-held"
KEY = "0123456789abcdef0123456789abcdef"


def answers(action: str, payload: Any) -> Any:
    if action == "ClearCache":
        return ["InternalError", "the flash is full", {}]
    return None if action == "Reset" else {"status": "Accepted"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, mosquitto: Mosquitto) -> Iterator[Fleet]:
    with fleet_world(tmp_path_factory.mktemp("cli-bridge"), mosquitto, HELD) as fleet:
        fleet.connect("CLI-1", "ocpp1.6", answers)
        fleet.connect(HELD, "ocpp1.6", answers)
        yield fleet


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mosquitto: Mosquitto) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARGEWATCH_MQTT__HOST", mosquitto.host)
    monkeypatch.setenv("CHARGEWATCH_MQTT__PORT", str(mosquitto.port))
    monkeypatch.setattr(command_bus, "_TAKEN_WITHIN_S", 0.5)


def typed(*words: str) -> Result:
    return CliRunner().invoke(cli, ["command", *words])


OUTCOMES = [
    (("CLI-1", "Unlock", '{"evse": 1}'), 0, 'CLI-1 answered: {"status": "Accepted"}'),
    (("CLI-1", "ClearCache"), 3, "CLI-1 refused: InternalError: the flash is full"),
    (("CLI-1", "Unlock"), 4, "wrong at 'evse': Unlock needs 'evse'"),
    (("CLI-1", "UnlockConnector", '{"connectorId": "x"}'), 4, "wrong at 'connectorId'"),
    (("CLI-nobody", "Reset"), 5, "CLI-nobody cannot be reached"),
    ((HELD, "Reset"), 6, "not approved"),
    (("CLI-1", "Reset", "--timeout", "0.2"), 7, "did not answer in time"),
]


@pytest.mark.parametrize(("words", "code", "sentence"), OUTCOMES)
def test_each_outcome_has_its_exit_code_and_its_sentence(
    fleet: Fleet, words: tuple[str, ...], code: int, sentence: str
) -> None:
    result = typed(*words)
    assert result.exit_code == code, result.output
    assert sentence in result.stdout


@pytest.mark.parametrize(
    ("words", "answered"),
    [
        (["command", "CLI-1", "Unlock", '{"evse": 1}'], {"outcome": "answered", "payload": {"status": "Accepted"}}),
        (["token", "rotate", "CLI-1"], {"station": "CLI-1", "status": "Accepted"}),
    ],
)
def test_json_is_the_whole_answer(fleet: Fleet, words: list[str], answered: dict[str, Any]) -> None:
    """Nothing else on standard output, though a client of the broker logs what it does."""
    words = [*words, "--json"]
    script = "from dashboard.cli import main; main()"
    path = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script, *words], env=path, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    answer = json.loads(done.stdout)
    assert {key: answer[key] for key in answered} == answered


def test_it_is_audited_without_secrets(fleet: Fleet) -> None:
    fleet.register_anew("CLI-1")
    assert typed("CLI-1", "RotateKey", json.dumps({"key": KEY})).exit_code == 0
    with Records(load_settings().records.url.get_secret_value()) as records:
        came, asked = People(records, pepper(load_settings())).audit()
    assert [asked.actor, came.actor] == ["command line"] * 2
    assert (asked.action, asked.subject, asked.detail) == ("command", "CLI-1", 'RotateKey {"key": "(hidden)"}')
    assert (came.action, came.detail) == ("command_outcome", "RotateKey: answered Accepted")


def test_what_is_no_json_object_is_a_usage_error() -> None:
    result = typed("CLI-1", "Reset", "[1]")
    assert result.exit_code == 2
    assert "not a JSON object" in result.output


def test_an_absent_broker_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.commands import command

    monkeypatch.setenv("CHARGEWATCH_MQTT__PORT", str(free_port()))
    monkeypatch.setattr(command, "_CONNECT_S", 0.3)
    result = typed("CLI-1", "Reset")
    assert result.exit_code == 1
    assert "no MQTT broker" in result.output


def test_without_the_records_nothing_is_sent(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = len(fleet.calls.get("CLI-1", []))
    monkeypatch.setenv("CHARGEWATCH_RECORDS__URL", f"sqlite:///{tmp_path}/no/such/folder/records.db")
    (tmp_path / "no").write_text("a file where the folder should be")
    result = typed("CLI-1", "Unlock", '{"evse": 1}')
    assert result.exit_code == 1
    assert "audited" in result.output
    assert len(fleet.calls.get("CLI-1", [])) == heard
