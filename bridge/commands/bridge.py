"""``chargewatch bridge``: the OCPP server, the MQTT client, the journal and its projections."""

from __future__ import annotations

import json

import click

from bridge.journal import JournalError
from bridge.settings import load_settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line with the ports when it is up.")
def command(as_json: bool) -> None:
    """Take telemetry from chargers and republish it. Runs until stopped; settings by CHARGEWATCH_* or TOML."""
    from bridge.__main__ import JournalFailed, serve
    from bridge.stores.handover import TariffChanged

    settings = load_settings()

    def say(port: int) -> None:
        if as_json:
            click.echo(json.dumps({"ocpp_port": port, "bridge": settings.bridge_name}))

    try:
        serve(settings, say)
    except (JournalError, JournalFailed, TariffChanged, OSError) as error:
        raise click.ClickException(str(error)) from error
