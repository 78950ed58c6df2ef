"""``chargewatch command``: ask a charger to do something, through whichever bridge holds its socket."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import msgspec

from bridge.settings import Settings, load_settings

if TYPE_CHECKING:
    from bridge.broker import BrokerClient
    from bridge.command_bus import Answer
    from bridge.stores.people import People

_CONNECT_S = 5.0
_ACTOR = "command line"
_MAX_DETAIL = 2_000
# 1 is any other failure, 2 a wrong way of typing it
EXIT_CODES = {"answered": 0, "refused": 3, "invalid": 4, "offline": 5, "held": 6, "timeout": 7}


@click.command()
@click.argument("station")
@click.argument("action")
@click.argument("payload", default="{}")
@click.option("--timeout", "timeout_s", default=30.0, show_default=True, help="Seconds to wait for the charger.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def command(station: str, action: str, payload: str, timeout_s: float, as_json: bool) -> None:
    """Send ACTION with PAYLOAD (JSON) to STATION: one of our commands with its parameters (Reset, LimitPower,
    GetConfiguration ...: docs/ocpp.md has them all), or an OCPP action of the station's version.

    Exits 0 when the charger answered, 3 when it refused, 4 when the command is wrong, 5 offline, 6 when the station
    waits for approval, 7 without an answer in time. It is audited.
    """
    body = _parsed(payload)
    settings = load_settings()
    with _people(settings) as people:
        answer = _asked(settings, people, station, action, body, timeout_s)
    click.echo(msgspec.json.encode(answer) if as_json else _sentence(station, answer))
    sys.exit(EXIT_CODES[answer.outcome])


def _asked(
    settings: Settings, people: People, station: str, action: str, body: dict[str, Any], timeout_s: float
) -> Answer:
    from bridge.broker import BrokerClient
    from bridge.command_bus import CommandClient
    from bridge.compose import veiled
    from bridge.events import utc_now

    broker = BrokerClient(settings.mqtt, f"chargewatch-command-{os.getpid()}")
    client = CommandClient(broker)
    broker.start()
    try:
        wait_for(broker, f"{settings.mqtt.host}:{settings.mqtt.port}")
        shown = json.dumps(veiled(action, body, with_addresses=True), ensure_ascii=False)
        people.write_audit(utc_now(), _ACTOR, "command", station, f"{action} {shown}"[:_MAX_DETAIL])
        answer = client.request(station, action, body, timeout_s)
        came = f"{action}: {answer.outcome} {answer.payload.get('status') or answer.detail}"
        people.write_audit(utc_now(), _ACTOR, "command_outcome", station, came[:_MAX_DETAIL])
    finally:
        broker.stop()
    return answer


@contextmanager
def _people(settings: Settings) -> Iterator[People]:
    """Where the audit is written; without it nothing is sent."""
    from bridge.stores.database import RecordsUnavailable
    from bridge.stores.people import People, pepper
    from bridge.stores.records import Records

    try:
        with Records(settings.records.url.get_secret_value()) as records:
            records.migrate()
            yield People(records, pepper(settings))
    except (RecordsUnavailable, OSError) as error:
        raise click.ClickException(f"commands are audited, and the records do not answer: {error}") from error


def _sentence(station: str, answer: Answer) -> str:
    from bridge.command_bus import CommandOutcome

    if answer.outcome is CommandOutcome.ANSWERED:
        return f"{station} answered: {json.dumps(answer.payload, ensure_ascii=False)}"
    words = {
        CommandOutcome.REFUSED: "refused",
        CommandOutcome.INVALID: f"was not asked, the command is wrong at '{answer.path}'",
        CommandOutcome.OFFLINE: "cannot be reached",
        CommandOutcome.HELD: "was not asked, it is not approved",
        CommandOutcome.TIMEOUT: "did not answer in time",
    }
    return f"{station} {words[answer.outcome]}: {answer.detail}"


def _parsed(payload: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(payload, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise click.BadParameter(f"not a JSON object: {error}", param_hint="PAYLOAD") from error


def wait_for(broker: BrokerClient, address: str) -> None:
    """Raises ClickException when no broker answers within a few seconds."""
    deadline = time.monotonic() + _CONNECT_S
    while not broker.is_connected:
        if time.monotonic() > deadline:
            raise click.ClickException(f"no MQTT broker at {address}: commands travel over it (settings mqtt.*)")
        time.sleep(0.02)
