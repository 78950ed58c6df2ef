"""The control-room wall, which is also where a login lands. One host element: ``assets/wall.js`` draws inside it,
outside of Dash's tree, from the live feed."""

from __future__ import annotations

from typing import Any

from dash import Dash, html
from flask import redirect, request
from flask.typing import ResponseReturnValue

from bridge.settings import Ocpp
from dashboard.components import Child, attrs
from dashboard.services import services

PATH = "/wall"
NAME = "Wall"
ORDER = 0


def layout(**_: Any) -> Child:
    settings = services().settings
    given = attrs(data_theme="dark", data_charger_address=charger_address(settings.ocpp))
    return html.Div(id="wall", className="wall", **given)


def register(app: Dash) -> None:
    app.server.before_request(_land)


def charger_address(ocpp: Ocpp) -> str:
    """What to type into a charger; the browser puts this machine's name where ``{host}`` is."""
    host = "{host}" if ocpp.host in ("0.0.0.0", "::", "") else ocpp.host  # noqa: S104 (read, not bound)
    return f"{'wss' if ocpp.tls_certificate else 'ws'}://{host}:{ocpp.port}/"


def _land() -> ResponseReturnValue | None:
    return redirect(PATH) if request.path == "/" else None
