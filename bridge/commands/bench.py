"""``chargewatch bench``: speed as ratios, measured in one run on one machine."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.group()
def command() -> None:
    """Measure this machine; quote the ratios, not the absolute figures."""


@command.command()
@click.option("--stations", default=200, show_default=True, help="Virtual stations, closed loop.")
@click.option("--seconds", default=8.0, show_default=True, help="Measured time for each server.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--save", type=click.Path(path_type=Path, dir_okay=False), help="Also write the JSON to this file.")
def ingest(stations: int, seconds: float, as_json: bool, save: Path | None) -> None:
    """The durable path of OCPP messages against a raw echo and against the ocpp package."""
    from bridge.bench.ingest import run

    try:
        result = run(stations, seconds)
    except (ConnectionError, OSError) as error:
        raise click.ClickException(str(error)) from error
    text = json.dumps(result, indent=2)
    if save:
        save.write_text(text + "\n")
    if as_json:
        click.echo(text)
        return
    for row in result["rows"]:
        click.echo(
            f"{row['server']:>7}  {row['messages_per_cpu_s']:>8,} messages per CPU-second,"
            f" replies p50 {row['reply_p50_ms']} ms, p99 {row['reply_p99_ms']} ms, {row['memory_mib']} MiB"
        )
    click.echo(f"bridge / echo {result['ratio_to_echo']}, bridge / ocpp package {result['ratio_to_ocpp_package']}")
