"""The wiring of the web process: settings to stores to a Flask app with Dash in it. Nothing is built at import."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import import_module
from types import ModuleType
from typing import Any

import dash
import structlog
from dash import Dash
from flask import Blueprint, Flask
from flask_login import current_user

import dashboard.pages
from bridge.events import utc_now
from bridge.settings import Settings
from bridge.stores.database import RecordsUnavailable
from bridge.stores.opening import open_telemetry
from bridge.stores.people import People, Role, pepper, secret_key
from bridge.stores.records import Records
from bridge.stores.telemetry import TelemetryStore
from dashboard import auth, components, health, security
from dashboard import services as doors
from dashboard.places import assets_folder

_log = structlog.get_logger("dashboard")
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


def page_modules() -> list[ModuleType]:
    """The folder is the registry: each module exports PATH, NAME, ORDER, layout; for callbacks ``register(app)``."""
    names = sorted(module.name for module in pkgutil.iter_modules(dashboard.pages.__path__))
    return [import_module(f"dashboard.pages.{name}") for name in names if not name.startswith("_")]


def _guarded(layout: Any) -> Callable[..., Any]:
    """A page for who may see pages, and a sentence in its place while the records do not answer."""

    @auth.needs(Role.VIEWER)
    def guarded(**given: Any) -> Any:
        try:
            return layout(**given) if callable(layout) else layout
        except RecordsUnavailable:
            return components.stores_away("The records")

    return guarded


def _shell(settings: Settings, pages: Sequence[components.Page]) -> Callable[[], Any]:
    def shell() -> Any:
        if not auth.has_role(Role.VIEWER):  # Dash checks the layout once, during whatever request comes first
            return components.bare_shell()
        return components.shell(settings.dashboard.title, pages, current_user.name, current_user.user.role)

    return shell


def _register_pages(app: Dash) -> list[components.Page]:
    found = []
    for module in page_modules():
        place = {"path_template": module.PATH} if "<" in module.PATH else {"path": module.PATH}
        dash.register_page(  # type: ignore[no-untyped-call]
            module.__name__, name=module.NAME, order=module.ORDER, layout=_guarded(module.layout), **place
        )
        if hasattr(module, "register"):
            module.register(app)
        found.append(components.Page(module.PATH, module.NAME, module.ORDER))
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
    app.init_app(server)  # before the pages: registering one asks for the running app
    app.layout = _shell(settings, _register_pages(app))
    return app


def _open_records(settings: Settings) -> Records:
    records = Records(settings.records.url.get_secret_value())
    try:
        records.migrate()
    except RecordsUnavailable as error:  # the pages say so, and /readyz; the bridge migrates too
        _log.warning("the records are not ready", reason=str(error))
    return records


def create_app(
    settings: Settings,
    *,
    records: Records | None = None,
    telemetry: TelemetryStore | None = None,
    people: People | None = None,
    hub: Any = None,
    commands: Any = None,
    blueprints: Sequence[Blueprint] = (),
    now: Callable[[], datetime] = utc_now,
) -> Flask:
    """Build the web process. Stores that are not given are opened as the settings say.

    ``blueprints`` are further routes; they stand behind the gate unless ``security.OPEN_BLUEPRINTS`` names them.
    """
    records = records or _open_records(settings)
    found = doors.Services(
        settings=settings,
        records=records,
        people=people or People(records, pepper(settings)),
        telemetry=telemetry or open_telemetry(settings),
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
