"""``chargewatch``: one command a file in ``bridge/commands`` and ``dashboard/commands``, loaded when called."""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module

import click

import bridge.commands
import dashboard.commands
from bridge.logs import configure_logs
from bridge.settings import Log, SettingsError


class CommandFolder(click.Group):
    """The folder is the registry: ``price.py`` exports ``command`` and is ``chargewatch price``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(
            module.name
            for package in (bridge.commands, dashboard.commands)
            for module in pkgutil.iter_modules(package.__path__)
            if not module.name.startswith("_")
        )

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        for package in (bridge.commands, dashboard.commands):
            if any(module.name == name for module in pkgutil.iter_modules(package.__path__)):
                found = import_module(f"{package.__name__}.{name}").command
                if isinstance(found, click.Command):
                    return found
        return None


@click.group(cls=CommandFolder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chargewatch")
def cli() -> None:
    """Watch EV charging: chargers in by OCPP and MQTT, a live wall, alerts and fair bills out."""


def main() -> None:
    """The console script. What is printed is the answer: logs go to standard error from the start, and a process that
    serves then sets them as it is told. A wrong setting is one sentence and exit code 2, never a traceback."""
    configure_logs(Log(level="WARNING"))
    try:
        cli()
    except SettingsError as error:
        click.echo(f"chargewatch: settings: {error}", err=True)
        sys.exit(2)
