"""``chargewatch alerts``: the rules, the alarms and the notices."""

from __future__ import annotations

import json
import signal
import threading

import click

from bridge.settings import load_settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line with the health port when it is up.")
def command(as_json: bool) -> None:
    """Evaluate the alarm rules and send notices. Runs until stopped; of several, one leads and the rest stand by."""
    from bridge.logs import configure_logs
    from dashboard.alerts.catalogue import RuleError
    from dashboard.alerts.process import AlarmProcess

    settings = load_settings()
    configure_logs(settings.log)
    try:
        process = AlarmProcess(settings)
        port = process.start()
    except (RuleError, OSError) as error:
        raise click.ClickException(str(error)) from error
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if as_json:
        click.echo(json.dumps({"health_port": port, "holder": process.holder}))
    stopping.wait()
    process.stop()
