"""What a page may ask: the stores and doors of the web process, found through the running Flask app."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from flask import Flask, current_app

from bridge.command_bus import CommandClient
from bridge.settings import Settings
from bridge.stores.files import Files
from bridge.stores.people import People
from bridge.stores.records import Records
from bridge.stores.telemetry import TelemetryStore
from dashboard.live import Hub

_KEY = "chargewatch"


@dataclass(frozen=True, kw_only=True)
class Services:
    """Built once by ``dashboard.app.create_app``. ``hub`` is None where no broker is wanted (tests)."""

    settings: Settings
    records: Records
    people: People
    telemetry: TelemetryStore
    files: Files
    now: Callable[[], datetime]
    hub: Hub | None = None
    commands: CommandClient | None = None


def install(server: Flask, services: Services) -> None:
    server.extensions[_KEY] = services


def services() -> Services:
    """The services of the app that handles this request. Raises RuntimeError outside of one."""
    found: Services = current_app.extensions[_KEY]
    return found
