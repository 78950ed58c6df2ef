"""The wiring of the web process: settings to stores to a Flask app with Dash in it. Nothing is built at import."""

from __future__ import annotations

import os
import pkgutil
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from importlib import import_module
from types import ModuleType
from typing import Any

import dash
import structlog
from dash import Dash
from flask import Flask, Response, request
from flask_login import current_user

import dashboard.pages
from bridge.broker import BrokerClient
from bridge.command_bus import CommandClient
from bridge.events import utc_now
from bridge.settings import Settings
from bridge.stores.database import RecordsUnavailable
from bridge.stores.files import Files
from bridge.stores.opening import open_telemetry
from bridge.stores.people import People, Role, pepper, secret_key
from bridge.stores.records import Records
from bridge.stores.telemetry import TelemetryStore
from dashboard import api, auth, components, downloads, files, health, image_route, plan_route, security, stream
from dashboard import services as doors
from dashboard.live import Hub
from dashboard.places import assets_folder
from dashboard.summary import Figures

_log = structlog.get_logger("dashboard")
THREADS_FOR_REQUESTS = 16  # every open browser holds one of the other threads with its stream
_IN_THE_HEAD = r"^theme\.js$"
_FOR_WORKERS = ["^worker"]  # loaded by the scripts themselves

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


def _say_not_found(server: Flask, pages: Sequence[components.Page]) -> None:
    """Dash answers 200 for every address; one that is no page gets 404 with the same document."""
    # a station's id may hold slashes, which come decoded
    known = [re.compile(re.sub(r"<\w+>", ".+", page.path) + "/?", re.DOTALL) for page in pages]

    def honest(response: Response) -> Response:
        is_page = request.endpoint in ("/", "/<path:path>") and response.status_code == 200
        if is_page and not any(pattern.fullmatch(request.path) for pattern in known):
            response.status_code = 404
        return response

    server.after_request(honest)


def _build_dash(server: Flask, settings: Settings) -> Dash:
    dash.page_registry.clear()  # Dash keeps it per process; an app of ours has its own
    app = Dash(
        "dashboard",
        server=False,
        use_pages=True,
        pages_folder="",
        assets_folder=str(assets_folder()),
        assets_ignore=_IN_THE_HEAD,
        assets_path_ignore=_FOR_WORKERS,
        serve_locally=True,
        suppress_callback_exceptions=True,  # pages' parts exist only while their page is shown
        title=settings.dashboard.title,
        update_title="",
        index_string=_INDEX,
    )
    app.init_app(server)  # before the pages: registering one asks for the running app
    pages = _register_pages(app)
    app.layout = _shell(settings, pages)
    _say_not_found(server, pages)
    return app


def _open_records(settings: Settings) -> Records:
    records = Records(settings.records.url.get_secret_value())
    try:
        records.migrate()
    except RecordsUnavailable as error:  # the pages say so, and /readyz; the bridge migrates too
        _log.warning("the records are not ready", reason=str(error))
    return records


def _start_broker(settings: Settings, found: doors.Services) -> doors.Services:
    """The live feed and the way for commands, each on a connection of its own; both wait for an absent broker."""
    name = f"chargewatch-dashboard-{settings.bridge_name}-{os.getpid()}"
    streams = max(1, settings.dashboard.threads - THREADS_FOR_REQUESTS)
    jobs = Figures(found.records, found.telemetry).jobs()
    hub = Hub(settings.mqtt, f"{name}-feed", streams, jobs, clock=found.now)
    broker = BrokerClient(settings.mqtt, f"{name}-commands")
    commands = CommandClient(broker)
    hub.start()
    broker.start()
    return replace(found, hub=hub, commands=commands)


def create_app(
    settings: Settings,
    *,
    records: Records | None = None,
    telemetry: TelemetryStore | None = None,
    people: People | None = None,
    hub: Hub | None = None,
    commands: CommandClient | None = None,
    with_broker: bool = True,
    now: Callable[[], datetime] = utc_now,
) -> Flask:
    """Build the web process. Stores that are not given are opened as the settings say.

    ``with_broker`` starts the live feed and the command client; a caller that passes its own, or wants neither,
    sets it to False.
    """
    records = records or _open_records(settings)
    found = doors.Services(
        settings=settings,
        records=records,
        people=people or People(records, pepper(settings)),
        telemetry=telemetry or open_telemetry(settings),
        files=Files(records, settings.files.folder, pepper(settings), settings.files.keep_free_mb),
        now=now,
        hub=hub,
        commands=commands,
    )
    if with_broker:
        found = _start_broker(settings, found)
        files.start_tidying(found)
    server = Flask("dashboard", static_folder=None)
    server.secret_key = secret_key(settings)
    doors.install(server, found)
    csrf, limiter = security.install(server, settings, lambda: app.csp_hashes())
    auth.install(server, settings, limiter)
    health.install(server, limiter)
    routes = api.blueprint()
    csrf.exempt(routes)  # no cookie opens it, so no other site can use one
    server.register_blueprint(routes)
    doors_for_files = files.blueprint()
    csrf.exempt(doors_for_files)  # no cookie opens them either
    server.register_blueprint(doors_for_files)
    server.register_blueprint(downloads.blueprint())
    for large in (image_route.blueprint(), plan_route.blueprint()):
        csrf.exempt(large)  # they check the token themselves, before they read the body
        server.register_blueprint(large)
    if found.hub is not None:
        server.register_blueprint(stream.blueprint(found.hub, now))
    app = _build_dash(server, settings)
    return server
