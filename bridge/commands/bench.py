"""``chargewatch bench``: speed as ratios, measured in one run on one machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


@click.group()
def command() -> None:
    """Measure this machine; quote the ratios, not the absolute figures."""


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_file = click.Path(path_type=Path, dir_okay=False)
_save = click.option("--save", type=_file, help="Also write the JSON to this file.")


@command.command()
@click.option("--stations", default=200, show_default=True, help="Virtual stations, closed loop.")
@click.option("--seconds", default=8.0, show_default=True, help="Measured time for each server.")
@_as_json
@_save
def ingest(stations: int, seconds: float, as_json: bool, save: Path | None) -> None:
    """The durable path of OCPP messages against a raw echo and against the ocpp package."""
    from bridge.bench.ingest import run

    result = _measured(lambda: run(stations, seconds), as_json, save)
    if as_json:
        return
    for row in result["rows"]:
        click.echo(
            f"{row['server']:>7}  {row['messages_per_cpu_s']:>8,} messages per CPU-second,"
            f" replies p50 {row['reply_p50_ms']} ms, p99 {row['reply_p99_ms']} ms, {row['memory_mib']} MiB"
        )
    click.echo(f"bridge / echo {result['ratio_to_echo']}, bridge / ocpp package {result['ratio_to_ocpp_package']}")


@command.command()
@click.option("--stations", default=5_000, show_default=True, type=click.IntRange(1, 50_000), help="How many come.")
@_as_json
@_save
def connections(stations: int, as_json: bool, save: Path | None) -> None:
    """A fleet that connects and boots at once to a bridge on one core, and its memory when it is idle."""
    from bridge.bench.connections import run

    result = _measured(lambda: run(stations), as_json, save)
    if as_json:
        return
    click.echo(
        f"{result['stations']:,} stations booted in {result['seconds_to_all_booted']} s,"
        f" {result['boots_per_s']:,} a second, {result['cpu_ms_per_station']} ms of the processor each"
    )
    click.echo(f"replies p50 {result['reply_p50_ms']} ms, p99 {result['reply_p99_ms']} ms, all coming at once")
    click.echo(
        f"{result['kib_per_idle_station']} KiB for each idle station:"
        f" {result['memory_before_mib']} MiB before, {result['memory_idle_mib']} MiB with them"
    )


def _measured(run: Callable[[], dict[str, Any]], as_json: bool, save: Path | None) -> dict[str, Any]:
    """Run, keep and print as asked. What went wrong is one sentence."""
    try:
        result = run()
    except (ConnectionError, OSError) as error:
        raise click.ClickException(str(error)) from error
    text = json.dumps(result, indent=2)
    if save:
        save.write_text(text + "\n")
    if as_json:
        click.echo(text)
    return result
