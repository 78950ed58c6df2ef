"""``chargewatch command``: ask a charger to do something, through whichever bridge holds its socket."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

import click
import msgspec

from bridge.settings import load_settings

if TYPE_CHECKING:
    from bridge.broker import BrokerClient

_CONNECT_S = 5.0


@click.command()
@click.argument("station")
@click.argument("action")
@click.argument("payload", default="{}")
@click.option("--timeout", "timeout_s", default=30.0, show_default=True, help="Seconds to wait for the charger.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def command(station: str, action: str, payload: str, timeout_s: float, as_json: bool) -> None:
    """Send ACTION with PAYLOAD (JSON) to STATION: an OCPP action of its version, or StartForToken, StopSession,
    Reset, Trigger. Exits 0 when the charger answered."""
    from bridge.broker import BrokerClient
    from bridge.command_bus import CommandClient, CommandOutcome

    body = _parsed(payload)
    settings = load_settings()
    broker = BrokerClient(settings.mqtt, f"chargewatch-command-{os.getpid()}")
    client = CommandClient(broker)
    broker.start()
    try:
        _wait_for(broker, f"{settings.mqtt.host}:{settings.mqtt.port}")
        answer = client.request(station, action, body, timeout_s)
    finally:
        broker.stop()
    if as_json:
        click.echo(msgspec.json.encode(answer))
    else:
        click.echo(f"{answer.outcome}: {json.dumps(answer.payload) if answer.payload else answer.detail}")
    sys.exit(answer.outcome is not CommandOutcome.ANSWERED)


def _parsed(payload: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(payload, type=dict[str, object])
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"not a JSON object: {error}", param_hint="PAYLOAD") from error


def _wait_for(broker: BrokerClient, address: str) -> None:
    deadline = time.monotonic() + _CONNECT_S
    while not broker.is_connected:
        if time.monotonic() > deadline:
            raise click.ClickException(f"no MQTT broker at {address}: commands travel over it (settings mqtt.*)")
        time.sleep(0.02)
