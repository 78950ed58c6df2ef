"""The wiring of the web process: settings to stores to a Flask app with Dash in it. Nothing is built at import."""

from __future__ import annotations

import os
import pkgutil
import secrets
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
from bridge.stores.telemetry import TelemetryStore
from dashboard import auth, components, health, security
from dashboard import services as doors

_SCRIPTS_BY_HAND = r"^(theme\.js|.*worker.*\.js)$"  # the head loads the first, a page the others

_INDEX = """<!doctype html>
<html lang="en">
<head>
{%metas%}
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


def secret_key(settings: Settings) -> str:
    """The key of the login cookie: as set, else made once in ``data_dir/secret.key`` (mode 0600)."""
    given = settings.dashboard.secret_key.get_secret_value()
    if given:
        return given
    path = settings.data_dir / "secret.key"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    key = secrets.token_hex(32)
    with os.fdopen(handle, "w") as file:
        file.write(key)
    return key


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
    records: Any = None,
    telemetry: TelemetryStore | None = None,
    people: Any = None,
    hub: Any = None,
    commands: Any = None,
    blueprints: Sequence[Blueprint] = (),
    now: Callable[[], datetime] = utc_now,
) -> Flask:
    """Build the web process. Stores that are not given are opened as the settings say.

    ``blueprints`` are further routes; they stand behind the gate unless ``security.OPEN_BLUEPRINTS`` names them.
    """
    server = Flask("dashboard", static_folder=None)
    server.secret_key = secret_key(settings)
    hashes: Callable[[], Sequence[str]] = lambda: app.csp_hashes()  # noqa: E731 - the app is built below
    csrf, limiter = security.install(server, settings, hashes)
    auth.install(server, settings, limiter)
    health.install(server, limiter)
    doors.install(
        server,
        doors.Services(
            settings=settings,
            records=records,
            telemetry=telemetry,  # type: ignore[arg-type]
            people=people,
            hub=hub,
            commands=commands,
            now=now,
        ),
    )
    for blueprint in blueprints:
        if blueprint.name in security.OPEN_BLUEPRINTS:
            csrf.exempt(blueprint)  # no cookie opens it, so no other site can use one
        server.register_blueprint(blueprint)
    app = _build_dash(server, settings)
    return server
