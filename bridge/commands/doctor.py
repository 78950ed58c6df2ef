"""``chargewatch doctor``: is everything there that the road needs, and what to do where it is not."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bridge.doctor import Finding


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Check settings, folders, clock, records, telemetry, broker, open files, ports and secrets. Changes nothing.

    Exit code 1 when something fails, 0 when there are only warnings.
    """
    findings = _findings()
    is_well = all(finding.status != "fail" for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": is_well, "findings": [f._asdict() for f in findings]}, indent=2))
    else:
        for finding in findings:
            _print(finding)
    if not is_well:
        failed = ", ".join(finding.name for finding in findings if finding.status == "fail")
        click.echo(f"chargewatch doctor: failed: {failed}", err=True)
        sys.exit(1)


def _findings() -> list[Finding]:
    from bridge.doctor import Finding, Status, examine
    from bridge.settings import SettingsError, load_settings

    try:
        return examine(load_settings())
    except SettingsError as error:
        return [Finding("settings", Status.FAIL, str(error), "docs/settings.md lists every key")]


def _print(finding: Finding) -> None:
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    click.echo(f"{click.style(f'{finding.status:<4}', colours[finding.status])}  {finding.name}: {finding.detail}")
    if finding.advice:
        click.echo(f"      -> {finding.advice}")
