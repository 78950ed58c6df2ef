"""``chargewatch stations``: sites, stations and connectors as one CSV file, out and in."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import click

from bridge.events import utc_now
from bridge.settings import load_settings
from bridge.stores.database import RecordsRejected, RecordsUnavailable
from bridge.stores.plan import export_csv, import_csv
from bridge.stores.provisioning import ProvisioningError
from bridge.stores.records import Records


@click.group()
def command() -> None:
    """The plan of what stands where: no secret is in it."""


@contextmanager
def _records() -> Iterator[Records]:
    try:
        with Records(load_settings().records.url.get_secret_value()) as records:
            records.migrate()
            yield records
    except (ProvisioningError, RecordsRejected, RecordsUnavailable) as error:
        raise click.ClickException(str(error)) from error


@command.command()
def export() -> None:
    """Print the file."""
    with _records() as records:
        sys.stdout.write(export_csv(records))


@command.command(name="import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def import_(file: TextIO, as_json: bool) -> None:
    """Take FILE in (- for standard input): all of it, or nothing and each wrong line by its number."""
    try:
        text = file.read()
    except UnicodeDecodeError as error:
        raise click.ClickException(f"the file is not UTF-8: {error}") from error
    with _records() as records:
        counts = import_csv(records, text, "command line", utc_now())
    click.echo(json.dumps(counts) if as_json else ", ".join(f"{count} {name}s" for name, count in counts.items()))
