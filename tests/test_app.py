"""The web process as a whole: what stands open, what does not, and what every answer carries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from callbacks import CALLBACKS, build, log_in, token_of
from flask import Flask
from flask.testing import FlaskClient
from screens_world import HOSTILE, LIVE, NOW, World, seeded_world
from werkzeug.routing import Rule

from bridge.stores.people import Role
from dashboard import security
from dashboard.places import assets_folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    built = seeded_world(tmp_path_factory.mktemp("world"))
    yield built
    built.records.close()


@pytest.fixture(scope="module")
def app(world: World) -> Flask:
    return build(world)


def _paths(app: Flask) -> list[tuple[str, str, str]]:
    def fill(rule: Rule) -> str:
        return re.sub(r"<(?:\w+:)?(\w+)>", lambda match: match[1], rule.rule)

    methods = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
    return [(m, fill(r), r.endpoint) for r in app.url_map.iter_rules() for m in methods if m in (r.methods or ())]


def test_a_stranger_gets_nothing_but_the_doors(app: Flask) -> None:
    refused = 0
    for method, path, endpoint in _paths(app):
        if endpoint in security.OPEN or endpoint.split(".")[0] in security.OPEN_BLUEPRINTS:
            continue
        answer = app.test_client().open(path, method=method)
        assert answer.status_code == 401, (method, path, answer.status_code)
        refused += 1
    assert refused > 20  # Dash's own routes, the pages and every method of theirs


def test_every_open_endpoint_exists(app: Flask) -> None:
    assert set(security.OPEN) <= {rule.endpoint for rule in app.url_map.iter_rules()}


@pytest.mark.parametrize("path", ["/", "/sessions?show=ended", f"/session/{LIVE}", "/_dash-layout", "/no/such/page"])
def test_a_browser_that_navigates_is_led_to_the_login(app: Flask, path: str) -> None:
    answer = app.test_client().get(path, headers={"Sec-Fetch-Mode": "navigate"})
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/login")


def test_a_script_gets_401_and_never_a_redirect(app: Flask) -> None:
    for path in ("/stream", "/_dash-layout"):
        answer = app.test_client().get(path, headers={"Sec-Fetch-Mode": "cors", "Accept": "text/html"})
        assert answer.status_code == 401
        assert answer.json == {"error": "login", "message": "Log in first."}


def _callbacks(app: Flask, client: FlaskClient) -> list[dict[str, object]]:
    """A body for every callback that runs on the server."""
    found = []
    for callback in client.get("/_dash-dependencies").json or []:
        if callback["clientside_function"]:
            continue
        inputs = [_value(item) for item in callback["inputs"]]
        state = [_value(item) for item in callback["state"]]
        output = callback["output"]
        changed = [f"{i['id']}.{i['property']}" for i in inputs if isinstance(i, dict) and isinstance(i["id"], str)]
        found.append(
            {"output": output, "outputs": _outputs(output), "inputs": inputs, "state": state, "changedPropIds": changed}
        )
    return found


def _value(item: dict[str, str]) -> object:
    if item["id"].startswith("{"):
        return [{"id": {"acknowledge": 1}, "property": item["property"], "value": 1}]
    values = {"pathname": "/faults", "search": "", "n_clicks": 1, "n_intervals": 1, "data": LIVE}
    return {"id": item["id"], "property": item["property"], "value": values.get(item["property"])}


def _outputs(output: str) -> object:
    parts = output.strip(".").split("...") if output.startswith("..") else [output]
    rows = [{"id": p.rpartition(".")[0], "property": p.rpartition(".")[2]} for p in parts]
    return rows if output.startswith("..") else rows[0]


def test_every_callback_is_refused_to_a_stranger(app: Flask) -> None:
    bodies = _callbacks(app, log_in(app, Role.ADMIN))
    assert len(bodies) >= 5
    for body in bodies:
        client = app.test_client()
        answer = client.post(CALLBACKS, json=body, headers={security.CSRF_HEADER: token_of(client)})
        assert answer.status_code == 401, body["output"]


def test_every_callback_checks_the_role_itself(app: Flask) -> None:
    """With the gate taken away each callback still refuses a stranger; the guard inside is a lock of its own."""
    bodies = _callbacks(app, log_in(app, Role.ADMIN))
    gates = app.before_request_funcs[None]
    gate = next(function for function in gates if function.__module__ == "dashboard.security")
    gates.remove(gate)
    try:
        for body in bodies:
            client = app.test_client()
            answer = client.post(CALLBACKS, json=body, headers={security.CSRF_HEADER: token_of(client)})
            assert answer.status_code == 401, body["output"]
    finally:
        gates.insert(0, gate)


def test_a_viewer_sees_and_does_not_act(app: Flask, world: World) -> None:
    acting = [b for b in _callbacks(app, log_in(app, Role.ADMIN)) if _acts(b)]
    assert len(acting) == 6  # acknowledge, stop; check and send a command, edit a station, decide about one that waits
    for body in acting:
        client = log_in(app, Role.VIEWER)
        answer = client.post(CALLBACKS, json=body, headers={security.CSRF_HEADER: token_of(client)})
        assert answer.status_code == 403, body["output"]


def _acts(body: dict[str, object]) -> bool:
    asked = msgspec.json.encode(body["inputs"]).decode()
    return "n_clicks" in asked or "-edits" in asked


def test_an_operator_acknowledges_and_it_is_audited(tmp_path: Path) -> None:
    world = seeded_world(tmp_path)
    app = build(world)
    client = log_in(app, Role.OPERATOR)
    body = next(b for b in _callbacks(app, client) if "acknowledge" in str(b["inputs"]))
    body["changedPropIds"] = ['{"acknowledge":1}.n_clicks']
    answer = client.post(CALLBACKS, json=body, headers={security.CSRF_HEADER: token_of(client)})
    assert answer.status_code == 200
    from dashboard.alerts.store import AlarmStore

    alarm = AlarmStore(world.records).alarm(1)
    assert alarm is not None
    assert (alarm.state, alarm.acknowledged_by) == ("acknowledged", "operator")
    assert next((e.actor, e.action, e.subject) for e in world.people.audit()) == ("operator", "acknowledge_alarm", "1")
    world.records.close()


def test_a_post_without_the_csrf_token_is_refused(app: Flask) -> None:
    client = log_in(app, Role.ADMIN)
    for path in (CALLBACKS, "/login", "/logout"):
        answer = client.post(path, json={})
        assert answer.status_code == 400, path
        assert answer.json is not None
        assert answer.json["error"] == "csrf"


def test_answers_carry_the_policy_and_no_page_is_kept(app: Flask) -> None:
    client = log_in(app, Role.VIEWER)
    answer = client.get("/faults")
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    scripts = policy["script-src"].split()
    assert scripts[0] == "'self'"
    assert all(source.startswith("'sha256-") for source in scripts[1:])
    assert policy["frame-ancestors"] == policy["object-src"] == "'none'"
    assert policy["default-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Strict-Transport-Security" not in answer.headers


@pytest.mark.parametrize("path", ["/_dash-layout", "/_dash-dependencies", "/wall", "/nowhere"])
def test_nothing_for_a_logged_in_person_is_kept_by_a_browser(app: Flask, path: str) -> None:
    assert log_in(app, Role.VIEWER).get(path).headers["Cache-Control"] == "no-store"


def test_a_refusal_is_not_kept_and_a_style_is(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/_dash-layout").headers["Cache-Control"] == "no-store"
    with client.get("/assets/app.css") as style:
        assert "no-store" not in style.headers["Cache-Control"]


def test_every_inline_script_of_the_page_is_in_the_policy(app: Flask) -> None:
    import base64
    import hashlib

    answer = log_in(app, Role.VIEWER).get("/faults")
    page = answer.get_data(as_text=True)
    inline = [
        s for a, s in re.findall(r"<script([^>]*)>(.*?)</script>", page, re.S) if "src=" not in a and "json" not in a
    ]
    assert inline
    for script in inline:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in answer.headers["Content-Security-Policy"]


def test_nothing_on_a_page_comes_from_another_host(app: Flask) -> None:
    client = log_in(app, Role.VIEWER)
    for path in ("/faults", "/login"):
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', client.get(path).get_data(as_text=True))


def test_secure_cookies_bring_hsts_and_the_host_prefix(tmp_path: Path) -> None:
    world = seeded_world(tmp_path)
    dashboard = world.settings.dashboard.model_copy(update={"secure_cookies": True})
    app = build(world._replace(settings=world.settings.model_copy(update={"dashboard": dashboard})))
    answer = app.test_client().get("/login", base_url="https://localhost")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    cookies = {c.split("=")[0]: c for c in answer.headers.getlist("Set-Cookie")}
    assert {"__Host-chargewatch", security.CSRF_COOKIE} == set(cookies)
    assert all("Secure" in c and "SameSite=Lax" in c for c in cookies.values())
    assert "HttpOnly" in cookies["__Host-chargewatch"]
    world.records.close()


def test_health_is_open_and_says_no_more_than_which_part_is_away(app: Flask, world: World) -> None:
    client = app.test_client()
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/readyz").status_code == 200
    world.telemetry.is_away = True
    try:
        answer = client.get("/readyz")
    finally:
        world.telemetry.is_away = False
    assert answer.status_code == 503
    assert answer.json == {"status": "unavailable", "parts": {"records": "ok", "telemetry": "unavailable"}}


def test_metrics_are_for_this_machine_or_for_a_token(app: Flask, world: World) -> None:
    client = app.test_client()
    assert b"dashboard_requests_total" in client.get("/metrics").data
    far = {"environ_base": {"REMOTE_ADDR": "203.0.113.9"}}
    assert client.get("/metrics", **far).status_code == 401
    proxied = client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"})
    assert proxied.status_code == 401  # the proxy is near, the caller is not
    key = world.people.create_api_token("scraper", Role.VIEWER, NOW)
    assert client.get("/metrics", headers={"Authorization": f"Bearer {key}"}, **far).status_code == 200


def test_a_page_says_so_while_the_records_are_away(app: Flask, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.stores.database import RecordsUnavailable

    def away(*_: object) -> None:
        raise RecordsUnavailable("gone")

    client = log_in(app, Role.VIEWER)
    monkeypatch.setattr(type(world.records), "sessions", away)
    body = next(b for b in _callbacks(app, client) if "_pages_content" in str(b["output"]))
    body["inputs"] = [
        {"id": "_pages_location", "property": "pathname", "value": "/sessions"},
        {"id": "_pages_location", "property": "search", "value": ""},
    ]
    answer = client.post(CALLBACKS, json=body, headers={security.CSRF_HEADER: token_of(client)})
    assert answer.status_code == 200
    assert "cannot be read right now" in answer.get_data(as_text=True)


def test_a_charger_cannot_write_markup_into_a_page(app: Flask) -> None:
    """Dash sends layouts as JSON and draws strings as text; nowhere is charger text handed over as HTML."""
    client = log_in(app, Role.VIEWER)
    body = next(b for b in _callbacks(app, client) if "_pages_content" in str(b["output"]))
    answer = client.post(CALLBACKS, json=body, headers={security.CSRF_HEADER: token_of(client)})
    assert HOSTILE[:20] in str(answer.json)
    assert "dangerously" not in answer.get_data(as_text=True)
    assert "\u202e" not in answer.get_data(as_text=True)


def test_the_assets_folder_is_found_beside_the_package() -> None:
    assert (assets_folder() / "screens.js").is_file()
