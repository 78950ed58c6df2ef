"""Dash's callbacks asked as a browser asks them: by the id of an input, with values for what they read."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from screens_world import NOW, PASSWORD, World
from werkzeug.test import TestResponse

from bridge.stores.people import Role
from dashboard import security
from dashboard.app import create_app

CALLBACKS = "/_dash-update-component"


def build(world: World, **more: Any) -> Flask:
    given = {"records": world.records, "people": world.people, "telemetry": world.telemetry, "with_broker": False}
    return create_app(world.settings, now=lambda: NOW, **(given | more))


def token_of(client: FlaskClient) -> str:
    """The CSRF token, as a browser reads it from its cookie."""
    client.get("/login")
    cookie = client.get_cookie(security.CSRF_COOKIE)
    assert cookie is not None
    return cookie.decoded_value


def logged_in(app: Flask, role: Role) -> FlaskClient:
    """One client a role: each login costs a password check, and many in a minute are told to wait."""
    clients: dict[Role, FlaskClient] = app.extensions.setdefault("test-clients", {})
    if role not in clients:
        clients[role] = log_in(app, role)
    return clients[role]


def log_in(app: Flask, role: Role) -> FlaskClient:
    """A client of its own."""
    client = app.test_client()
    form = {"name": str(role), "password": PASSWORD, "csrf_token": token_of(client)}
    assert client.post("/login", data=form).status_code == 303
    return client


def call(client: FlaskClient, trigger: str, **values: Any) -> TestResponse:
    """Ask the callback whose first input is ``trigger`` ("id.property"); ``values`` by id with _ for -."""
    known = {name.replace("_", "-"): value for name, value in values.items()}
    for callback in client.get("/_dash-dependencies").json or []:
        if [f"{item['id']}.{item['property']}" for item in callback["inputs"]][:1] == [trigger]:
            return client.post(
                CALLBACKS,
                json={
                    "output": callback["output"],
                    "outputs": _outputs(callback["output"]),
                    "inputs": [item | {"value": known.get(item["id"])} for item in callback["inputs"]],
                    "state": [item | {"value": known.get(item["id"])} for item in callback["state"]],
                    "changedPropIds": [trigger],
                },
                headers={security.CSRF_HEADER: token_of(client)},
            )
    raise LookupError(f"no callback listens to {trigger}")


def page(client: FlaskClient, pathname: str, search: str = "") -> str:
    """A page's layout as JSON, as the browser gets it for an address."""
    router = next(c for c in client.get("/_dash-dependencies").json or [] if "_pages_content" in c["output"])
    given = {"pathname": pathname, "search": search}
    answer = client.post(
        CALLBACKS,
        json={
            "output": router["output"],
            "outputs": _outputs(router["output"]),
            "inputs": [item | {"value": given[item["property"]]} for item in router["inputs"]],
            "state": [item | {"value": None} for item in router["state"]],
            "changedPropIds": [f"{router['inputs'][0]['id']}.pathname"],
        },
        headers={security.CSRF_HEADER: token_of(client)},
    )
    assert answer.status_code == 200, answer.status_code
    return answer.get_data(as_text=True)


def _outputs(output: str) -> Any:
    parts = output.strip(".").split("...") if output.startswith("..") else [output]
    rows = [{"id": p.rpartition(".")[0], "property": p.rpartition(".")[2]} for p in parts]
    return rows if output.startswith("..") else rows[0]


def texts(node: Any) -> list[str]:
    """Every text of a layout that a person sees: children, placeholders, titles, labels, and the cells of grids."""
    if isinstance(node, str):
        return [node]
    if isinstance(node, list):
        return [text for item in node for text in texts(item)]
    if not isinstance(node, dict):
        return []
    props = node.get("props", {})
    shown = [
        props.get(name) for name in ("children", "placeholder", "title", "aria-label", "data-words", "data-detail")
    ]
    cells = [
        value for row in props.get("rowData", []) for name, value in row.items() if name not in ("id", "href", "order")
    ]
    return [text for part in (*shown, *cells) for text in texts(part)]
