"""REST: who gets in, what comes out, and that the document says exactly that."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from api_world import DOCUMENT, held_against_the_document
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import validate
from screens_world import ENDED, HOSTILE, LIVE, NOW, ORPHAN, PASSWORD, World, seeded_world
from werkzeug.test import TestResponse

from bridge.stores.people import Role
from dashboard import api, api_schema, security
from dashboard.app import create_app

SESSION_FIELDS = {
    *("id", "station", "evse", "connector", "transaction_id", "token", "state", "started_at", "ended_at"),
    *("meter_start_wh", "meter_stop_wh", "energy_wh", "power_w", "soc_percent", "cost", "currency", "stop_reason"),
}
PATHS = [op.path.replace("{id}", "x").replace("{action}", "x") for op in api_schema.OPERATIONS.values()]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    built = seeded_world(tmp_path_factory.mktemp("world"))
    yield built
    built.records.close()


def build(world: World) -> Flask:
    given: dict[str, Any] = {"records": world.records, "people": world.people, "telemetry": world.telemetry}
    return create_app(world.settings, now=lambda: NOW, with_broker=False, **given)


@pytest.fixture(scope="module")
def app(world: World) -> Flask:
    return build(world)


@pytest.fixture(scope="module")
def secrets(world: World) -> dict[Role, str]:
    return {role: world.people.create_api_token(f"test {role}", role, NOW) for role in Role}


class Caller:
    """A program with a token. Every answer is held against the document."""

    def __init__(self, client: FlaskClient, secret: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {secret}"}

    def ask(self, path: str, **query: object) -> TestResponse:
        answer = self._client.get(f"/api/v1{path}", query_string=query, headers=self._headers)
        held_against_the_document(path, answer)
        return answer

    def get(self, path: str, **query: object) -> Any:
        answer = self.ask(path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json

    def ids(self, path: str, **query: object) -> list[Any]:
        return [item["id"] for item in self.get(path, **query)["items"]]


@pytest.fixture
def caller(app: Flask, secrets: dict[Role, str]) -> Caller:
    return Caller(app.test_client(), secrets[Role.ADMIN])


# ---- the document


def test_the_document_is_valid_openapi_and_open_to_everybody(app: Flask) -> None:
    answer = app.test_client().get("/api/v1/openapi.json")
    assert answer.status_code == 200
    validate(answer.json)
    assert answer.json == DOCUMENT


def test_every_route_is_in_the_document_and_every_path_of_the_document_is_a_route(app: Flask) -> None:
    routes = {
        rule.rule.removeprefix(api.PREFIX).replace("<path:id>", "{id}").replace("<", "{").replace(">", "}")
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("api.") and rule.endpoint != "api.nothing"
    }
    assert routes == set(DOCUMENT["paths"])


# ---- the door


@pytest.mark.parametrize("path", [*PATHS, "/nothing"])
@pytest.mark.parametrize("header", [None, "Bearer ", "Bearer cw_wrong", "Basic dXNlcjpwYXNz", "cw_wrong"])
def test_nothing_is_answered_without_a_valid_token(world: World, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = fresh(world).get(f"/api/v1{path}", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert answer.mimetype == "application/problem+json"
    assert answer.json is not None
    assert "chargewatch token add" in answer.json["detail"]


_apps: list[Flask] = []


def fresh(world: World) -> FlaskClient:
    """A client from an address of its own, so that no test is throttled by another."""
    if not _apps:
        _apps.append(build(world))
    client = _apps[0].test_client()
    _addresses.append(len(_addresses))
    client.environ_base["REMOTE_ADDR"] = f"10.0.{len(_addresses) // 250}.{len(_addresses) % 250}"
    return client


_addresses: list[int] = []


def test_a_login_cookie_does_not_open_it(world: World) -> None:
    client = fresh(world)
    client.get("/login")
    csrf = client.get_cookie(security.CSRF_COOKIE)
    assert csrf is not None
    form = {"name": "admin", "password": PASSWORD, "csrf_token": csrf.value}
    client.post("/login", data=form, headers={"X-CSRFToken": csrf.value})
    assert client.get("/sessions").status_code == 200
    assert client.get("/api/v1/sessions").status_code == 401


def test_a_revoked_token_is_refused(world: World) -> None:
    secret = world.people.create_api_token("short-lived", Role.VIEWER, NOW)
    client, headers = fresh(world), {"Authorization": f"bearer {secret}"}
    assert client.get("/api/v1/stations", headers=headers).status_code == 200
    world.people.revoke_api_token("short-lived", NOW)
    assert client.get("/api/v1/stations", headers=headers).status_code == 401


def test_guessing_is_throttled_and_a_neighbour_with_a_token_is_not(world: World, secrets: dict[Role, str]) -> None:
    client = fresh(world)
    answers = [client.get("/api/v1/stations", headers={"Authorization": "Bearer guess"}) for _ in range(40)]
    codes = [answer.status_code for answer in answers]
    assert codes == [401] * api.REFUSALS_PER_MINUTE + [429] * (40 - api.REFUSALS_PER_MINUTE)
    assert answers[-1].headers["Retry-After"] == "60"
    good = {"Authorization": f"Bearer {secrets[Role.VIEWER]}"}
    assert client.get("/api/v1/stations", headers=good).status_code == 200


def test_it_only_reads(app: Flask, secrets: dict[Role, str]) -> None:
    headers = {"Authorization": f"Bearer {secrets[Role.ADMIN]}"}
    for method in ("post", "put", "patch", "delete"):
        answer = getattr(app.test_client(), method)("/api/v1/sessions", headers=headers)
        assert answer.status_code == 405
        assert answer.mimetype == "application/problem+json"


# ---- sessions


def test_a_session_has_every_field_and_null_where_nothing_is_known(caller: Caller) -> None:
    live, ended = caller.get(f"/sessions/{LIVE}"), caller.get(f"/sessions/{ENDED}")
    assert set(live) >= SESSION_FIELDS
    assert live["state"] == "charging"
    assert live["ended_at"] is live["stop_reason"] is live["meter_stop_wh"] is None
    assert (live["energy_wh"], live["power_w"], live["soc_percent"]) == (60_318, 44_297.0, 66.0)
    assert (ended["state"], ended["cost"], ended["currency"]) == ("ended", "9.02", "EUR")
    assert ended["ended_at"] == "2026-11-23T11:18:07Z"
    assert (ended["meter_start_wh"], ended["meter_stop_wh"]) == (1_000_000, 1_018_400)
    assert ended["stop_reason"] == "EVDisconnected"


def test_a_viewer_sees_only_the_end_of_a_card(app: Flask, secrets: dict[Role, str]) -> None:
    callers = {role: Caller(app.test_client(), secret) for role, secret in secrets.items()}
    tokens = {role: caller.get(f"/sessions/{LIVE}")["token"] for role, caller in callers.items()}
    assert tokens == {Role.ADMIN: "04A2B9C17F21", Role.OPERATOR: "04A2B9C17F21", Role.VIEWER: "••••7F21"}


def test_sessions_come_by_station_state_and_time(caller: Caller) -> None:
    assert caller.ids("/sessions", station="AIR-02") == [LIVE]
    assert caller.ids("/sessions", state="orphaned") == [ORPHAN]
    assert LIVE in caller.ids("/sessions", state="charging,pending")
    assert caller.ids("/sessions", station="HAR-03", since=(NOW - timedelta(hours=6)).isoformat()) == [ENDED]
    assert ENDED not in caller.ids("/sessions", until="2026-11-23T00:00:00Z", limit=500)
    assert caller.ids("/sessions", station="nobody") == []


def test_pages_hold_each_session_once(caller: Caller) -> None:
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = caller.get("/sessions", limit=7, **cursor)
        assert len(page["items"]) <= 7
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == caller.ids("/sessions", limit=500)
    assert len(seen) == len(set(seen)) > 60


def test_the_readings_of_a_session_come_in_pages_oldest_first(caller: Caller, world: World) -> None:
    first = caller.get(f"/sessions/{LIVE}/samples", limit=100)
    rest = caller.get(f"/sessions/{LIVE}/samples", limit=500, cursor=first["next_cursor"])
    times = [item["at"] for item in (*first["items"], *rest["items"])]
    assert times == sorted(set(times))
    assert len(times) == len(world.telemetry.samples)
    assert rest["next_cursor"] is None
    assert first["items"][3]["values"]["power_offered_w"] == 60_000.0
    assert any(item["is_late"] for item in rest["items"])


# ---- stations and alarms


def test_stations_come_with_their_connectors_in_pages(caller: Caller) -> None:
    first = caller.get("/stations", limit=3)
    rest = caller.get("/stations", limit=3, cursor=first["next_cursor"])
    assert [s["id"] for s in (*first["items"], *rest["items"])] == ["AIR-02", "HAR-03", "MILL/1", "evil"]
    harbour = first["items"][1]
    assert (harbour["name"], harbour["site"], harbour["is_connected"]) == ("Harbour East 03", "harbour", True)
    assert harbour["connectors"][0]["error_code"] == "GroundFailure"


def test_a_station_whose_id_holds_a_slash_is_found(caller: Caller) -> None:
    assert caller.get("/stations/MILL/1")["name"] == "Mill Lane 1"


def test_open_alarms_come_first_hand_and_over_ones_when_asked_for(caller: Caller) -> None:
    found = caller.get("/alarms")["items"]
    assert {alarm["state"] for alarm in found} == {"unacknowledged", "acknowledged"}
    assert [alarm["raised_at"] for alarm in found] == sorted((a["raised_at"] for a in found), reverse=True)
    (over,) = caller.get("/alarms", state="normal")["items"]
    assert over["rule"] == "session_interrupted"
    assert caller.get("/alarms", station="MILL/1")["items"][0]["priority"] == 2
    page = caller.get("/alarms", limit=1)
    assert caller.get("/alarms", limit=1, cursor=page["next_cursor"])["items"][0]["id"] != page["items"][0]["id"]


def test_hostile_words_stay_words_in_json(caller: Caller) -> None:
    answer = caller.ask("/stations/evil")
    assert answer.mimetype == "application/json"
    assert answer.json is not None
    assert answer.json["name"] == HOSTILE


# ---- what is wrong is said


WRONG = {
    "/sessions?colour=red": "colour",
    "/sessions?limit=0": "limit",
    "/sessions?limit=501": "limit",
    "/sessions?limit=ten": "limit",
    "/sessions?limit=%C2%B2": "limit",
    "/sessions?limit=1&limit=2": "more than once",
    "/sessions?state=asleep": "state",
    "/sessions?state=": "state",
    "/sessions?since=yesterday": "since",
    "/sessions?since=2026-01-01T00:00:00": "since",
    "/sessions?cursor=abc": "cursor",
    "/sessions?cursor=%00": "cursor",
    f"/sessions/{LIVE}?limit=3": "takes none",
    f"/sessions/{LIVE}/samples?cursor=zzz": "cursor",
    "/stations?state=up": "state",
    "/alarms?state=charging": "state",
}


@pytest.mark.parametrize("url", WRONG)
def test_a_wrong_parameter_is_a_problem_that_names_it(caller: Caller, url: str) -> None:
    path = url.partition("?")[0]
    answer = caller._client.get(f"/api/v1{url}", headers=caller._headers)
    held_against_the_document(path, answer)
    assert answer.status_code == 400
    assert answer.json is not None
    assert WRONG[url] in answer.json["detail"]


@pytest.mark.parametrize("path", ["/sessions/none", "/sessions/none/samples", "/stations/none", "/alarms/../../etc"])
def test_what_is_not_there_is_a_problem(app: Flask, caller: Caller, path: str) -> None:
    answer = app.test_client().get(f"/api/v1{path}", headers=caller._headers)
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"


def test_a_store_that_is_away_is_a_503_that_says_when_to_come_back(caller: Caller, world: World) -> None:
    world.telemetry.is_away = True
    try:
        answer = caller.ask(f"/sessions/{LIVE}/samples")
    finally:
        world.telemetry.is_away = False
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
