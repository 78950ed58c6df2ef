"""The wiring of the web process: settings to stores to a Flask app with Dash in it. Nothing is built at import."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import dash
from dash import Dash
from flask import Blueprint, Flask

import dashboard.pages
from bridge.events import utc_now
from bridge.settings import Settings
from bridge.stores.people import People, pepper, secret_key
from bridge.stores.records import Records
from bridge.stores.telemetry import TelemetryStore
from dashboard import auth, components, health, security
from dashboard import services as doors

_SCRIPTS_BY_HAND = r"^(theme\.js|.*worker.*\.js)$"  # the head loads the first, a page the others

_INDEX = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{%title%}</title>
<link rel="icon" type="image/svg+xml" href="/assets/favicon.svg">
<script src="/assets/theme.js"></script>
{%css%}
</head>
<body>
{%app_entry%}
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>"""


class AssetsMissing(Exception):
    """The folder with styles, fonts and scripts is not where it is looked for."""


def assets_folder() -> Path:
    """``assets`` beside the package in a checkout, ``share/chargewatch/assets`` of the environment after a wheel."""
    places = (Path(__file__).parent.parent / "assets", Path(sys.prefix) / "share/chargewatch/assets")
    for place in places:
        if place.is_dir():
            return place
    raise AssetsMissing(f"no assets folder: looked for {' and '.join(map(str, places))}")


def page_modules() -> list[ModuleType]:
    """The folder is the registry: each module exports PATH, NAME, ORDER, layout; for callbacks ``register(app)``."""
    names = sorted(module.name for module in pkgutil.iter_modules(dashboard.pages.__path__))
    return [import_module(f"dashboard.pages.{name}") for name in names if not name.startswith("_")]


def _register_pages(app: Dash) -> list[components.Page]:
    found = []
    for module in page_modules():
        place = {"path_template": module.PATH} if "<" in module.PATH else {"path": module.PATH}
        dash.register_page(  # type: ignore[no-untyped-call]
            module.__name__, name=module.NAME, order=module.ORDER, layout=module.layout, **place
        )
        if hasattr(module, "register"):
            module.register(app)
        found.append(components.Page(module.PATH, module.NAME, module.ORDER, module.__name__))
    return found


def _build_dash(server: Flask, settings: Settings) -> Dash:
    dash.page_registry.clear()  # Dash keeps it per process; an app of ours has its own
    app = Dash(
        "dashboard",
        server=False,
        use_pages=True,
        pages_folder="",
        assets_folder=str(assets_folder()),
        assets_ignore=_SCRIPTS_BY_HAND,
        serve_locally=True,
        suppress_callback_exceptions=True,  # pages' parts exist only while their page is shown
        title=settings.dashboard.title,
        update_title="",
        index_string=_INDEX,
    )
    pages = _register_pages(app)
    app.layout = lambda: components.shell(settings.dashboard.title, pages)
    app.init_app(server)
    return app


def create_app(
    settings: Settings,
    *,
    records: Records | None = None,
    telemetry: TelemetryStore,
    people: People | None = None,
    hub: Any = None,
    commands: Any = None,
    blueprints: Sequence[Blueprint] = (),
    now: Callable[[], datetime] = utc_now,
) -> Flask:
    """Build the web process. Stores that are not given are opened as the settings say.

    ``blueprints`` are further routes; they stand behind the gate unless ``security.OPEN_BLUEPRINTS`` names them.
    """
    records = records or Records(settings.records.url.get_secret_value())
    found = doors.Services(
        settings=settings,
        records=records,
        people=people or People(records, pepper(settings)),
        telemetry=telemetry,
        now=now,
        hub=hub,
        commands=commands,
    )
    server = Flask("dashboard", static_folder=None)
    server.secret_key = secret_key(settings)
    doors.install(server, found)
    csrf, limiter = security.install(server, settings, lambda: app.csp_hashes())
    auth.install(server, settings, limiter)
    health.install(server, limiter)
    for blueprint in blueprints:
        if blueprint.name in security.OPEN_BLUEPRINTS:
            csrf.exempt(blueprint)  # no cookie opens it, so no other site can use one
        server.register_blueprint(blueprint)
    app = _build_dash(server, settings)
    return server
