"""Commands over REST: through a real broker and a real server to a charger, and back as a status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from api_world import held_against_the_document
from command_world import Fleet, fleet_world
from flask import Flask
from screens_world import NOW, World, seeded_world
from servers import Mosquitto
from werkzeug.test import TestResponse

from bridge import command_bus, schemas
from bridge.broker import BrokerClient
from bridge.command_bus import CommandClient
from bridge.compose import COMPOSED
from bridge.events import Detail, DetailKind, DetailsReported
from bridge.settings import Mqtt
from bridge.snapshots import Station
from bridge.stores.details import Details
from bridge.stores.people import Role
from dashboard.app import create_app

OLD, NEW, HELD, GONE, QUIET, GOE = "CMD/old 1", "CMD-new", "CMD-held", "CMD-gone", "CMD-quiet", "goe-1"
KEY = "0123456789abcdef0123456789abcdef"


def answers(action: str, payload: Any) -> Any:
    if action == "ClearCache":
        return ["InternalError", "the flash is full", {}]
    if action in ("GetConfiguration", "GetVariables"):
        return {"configurationKey": [], "unknownKey": payload.get("key", [])}
    return {"status": "Accepted"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    built = seeded_world(tmp_path_factory.mktemp("world"))
    protocols = {OLD: "ocpp1.6", NEW: "ocpp2.0.1", HELD: "ocpp1.6", GONE: "ocpp1.6", QUIET: "ocpp1.6", GOE: "mqtt/goe"}
    rows = [Station(id=id, protocol=protocol, revision=1) for id, protocol in protocols.items()]
    built.records.upsert([*rows, Station(id="CMD-never", revision=1)], [], [])
    yield built
    built.records.close()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, mosquitto: Mosquitto) -> Iterator[Fleet]:
    with fleet_world(tmp_path_factory.mktemp("bridge"), mosquitto, HELD) as fleet:
        fleet.connect(OLD, "ocpp1.6", answers)
        fleet.connect(NEW, "ocpp2.0.1", answers)
        fleet.connect(HELD, "ocpp1.6", answers)
        fleet.connect(QUIET, "ocpp1.6", lambda action, payload: None)
        yield fleet


@pytest.fixture(scope="module")
def app(world: World, fleet: Fleet, mosquitto: Mosquitto) -> Iterator[Flask]:
    broker = BrokerClient(Mqtt(host=mosquitto.host, port=mosquitto.port), "test-web-commands")
    commands = CommandClient(broker)
    broker.start()
    broker._connected.wait(10)
    given: dict[str, Any] = {"records": world.records, "people": world.people, "telemetry": world.telemetry}
    yield create_app(world.settings, now=lambda: NOW, with_broker=False, commands=commands, **given)
    broker.stop()


@pytest.fixture(scope="module")
def secrets(world: World) -> dict[Role, str]:
    return {role: world.people.create_api_token(f"cmd {role}", role, NOW) for role in Role}


class Caller:
    """A program with a token. Every answer is held against the document."""

    def __init__(self, app: Flask, secret: str) -> None:
        self._client = app.test_client()
        self._headers = {"Authorization": f"Bearer {secret}"}

    def send(self, station: str, action: str, payload: Any = None, **more: Any) -> TestResponse:
        path = f"/stations/{station}/commands/{action}"
        body = {"json": payload} if payload is not None else {}
        answer = self._client.post(f"/api/v1{path}", headers=self._headers, **(body | more))
        held_against_the_document(path, answer, "post")
        return answer

    def get(self, path: str, **query: object) -> Any:
        answer = self._client.get(f"/api/v1{path}", query_string=query, headers=self._headers)
        held_against_the_document(path, answer)
        assert answer.status_code == 200, answer.text
        return answer.json


@pytest.fixture
def caller(app: Flask, secrets: dict[Role, str]) -> Caller:
    return Caller(app, secrets[Role.ADMIN])


def problem(answer: TestResponse, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    assert isinstance(answer.json, dict)
    return answer.json


# ---- through to the charger


def test_an_ocpp_action_goes_as_it_is_to_a_station_whose_id_holds_a_slash(caller: Caller, fleet: Fleet) -> None:
    answer = caller.send(OLD, "UnlockConnector", {"connectorId": 2})
    assert (answer.status_code, answer.json) == (200, {"outcome": "answered", "payload": {"status": "Accepted"}})
    assert fleet.calls[OLD][-1] == ("UnlockConnector", {"connectorId": 2})


def test_a_composed_command_is_said_in_the_words_of_the_station_s_version(caller: Caller, fleet: Fleet) -> None:
    for station in (OLD, NEW):
        assert caller.send(station, "StartForToken", {"token": "CARD-A", "evse": 1}).status_code == 200
    assert fleet.calls[OLD][-1] == ("RemoteStartTransaction", {"idTag": "CARD-A", "connectorId": 1})
    action, payload = fleet.calls[NEW][-1]
    assert (action, payload["idToken"], payload["evseId"]) == (
        "RequestStartTransaction",
        {"idToken": "CARD-A", "type": "Central"},
        1,
    )


def test_the_local_list_holds_the_cards_that_the_door_lets_in(caller: Caller, fleet: Fleet) -> None:
    assert caller.send(OLD, "SendLocalList").status_code == 200
    listed = fleet.calls[OLD][-1][1]["localAuthorizationList"]
    assert [entry["idTag"] for entry in listed] == ["CARD-A", "CARD-B"]


def test_a_command_without_a_body_has_an_empty_payload(caller: Caller, fleet: Fleet) -> None:
    assert caller.send(OLD, "GetConfiguration").status_code == 200
    assert fleet.calls[OLD][-1] == ("GetConfiguration", {})


# ---- what can go wrong


@pytest.mark.parametrize("depth", [64, 500])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_payload_without_a_floor_is_a_problem_and_no_fault(
    caller: Caller, depth: int, opening: str, closing: str
) -> None:
    data = '{"vendorId": "x", "data": ' + opening * depth + ("1" if closing == "}" else "") + closing * depth + "}"
    answer = caller.send(NEW, "DataTransfer", data=data, content_type="application/json")
    assert "nested too deep" in problem(answer, 400)["title"]


def test_an_action_of_two_lines_is_one_line_in_the_audit(caller: Caller, world: World) -> None:
    problem(caller.send(NEW, "Reset%0aann deleted it"), 422)
    lines = [entry.detail for entry in world.people.audit(limit=2)]
    assert all("Reset" in line and "\n" not in line for line in lines)


def test_what_breaks_the_schema_is_422_and_says_where(caller: Caller, fleet: Fleet) -> None:
    heard = len(fleet.calls[OLD])
    wrong = problem(caller.send(OLD, "UnlockConnector", {"connectorId": "one"}), 422)
    assert wrong["path"] == "connectorId"
    assert problem(caller.send(OLD, "RequestStopTransaction", {}), 422)["path"] == "action"
    assert problem(caller.send(OLD, "LimitPower", {"limit": 1, "scope": "evse"}), 422)["path"] == "evse"
    assert "display" in problem(caller.send(OLD, "ShowMessage", {"text": "Hi"}), 422)["detail"]
    deep = {"log": {"remoteLocation": 5}, "logType": "SecurityLog", "requestId": 1}
    assert problem(caller.send(NEW, "GetLog", deep), 422)["path"] == "log.remoteLocation"
    assert len(fleet.calls[OLD]) == heard


def test_a_refusal_is_502_with_the_code_of_the_charger(caller: Caller) -> None:
    refusal = problem(caller.send(OLD, "ClearCache"), 502)
    assert (refusal["code"], refusal["description"]) == ("InternalError", "the flash is full")


def test_an_offline_station_is_409(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_bus, "_TAKEN_WITHIN_S", 0.3)
    assert "no bridge holds" in problem(caller.send(GONE, "ClearCache"), 409)["detail"]


def test_a_station_that_waits_for_approval_is_asked_nothing(caller: Caller, fleet: Fleet) -> None:
    assert "approv" in problem(caller.send(HELD, "ClearCache"), 409)["detail"]
    assert fleet.calls.get(HELD, []) == []


def test_silence_is_504_and_says_that_it_was_sent(caller: Caller) -> None:
    answer = caller.send(QUIET, "ClearCache", query_string={"timeout": "0.2"})
    assert "no answer within 0.2 s" in problem(answer, 504)["detail"]


def test_an_mqtt_station_is_told_apart(caller: Caller) -> None:
    assert "speaks MQTT" in problem(caller.send(GOE, "Reset"), 409)["detail"]
    assert "never connected" in problem(caller.send("CMD-never", "Reset"), 409)["detail"]


def test_an_unknown_station_is_404(caller: Caller) -> None:
    problem(caller.send("nobody", "Reset"), 404)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"type=Soft", "application/x-www-form-urlencoded", 415),
        (b"{}", "", 415),
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"null", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"a":' * 5000, "application/json", 400),
        (b" " * 2_000_000, "application/json", 413),
    ],
)
def test_what_is_no_json_object_is_refused(caller: Caller, body: bytes, kind: str, status: int) -> None:
    problem(caller.send(OLD, "Reset", data=body, content_type=kind), status)


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "1e9", "soon"])
def test_a_wrong_timeout_is_a_problem(caller: Caller, timeout: str) -> None:
    assert "timeout" in problem(caller.send(OLD, "Reset", query_string={"timeout": timeout}), 400)["detail"]


def test_an_absent_broker_is_503(world: World, secrets: dict[Role, str]) -> None:
    given: dict[str, Any] = {"records": world.records, "people": world.people, "telemetry": world.telemetry}
    app = create_app(world.settings, now=lambda: NOW, with_broker=False, **given)
    assert "broker" in problem(Caller(app, secrets[Role.ADMIN]).send(OLD, "ClearCache"), 503)["detail"]


# ---- who may, and what remains


def test_roles(app: Flask, secrets: dict[Role, str], fleet: Fleet) -> None:
    heard = len(fleet.calls[OLD])
    for role, action, payload, status in (
        (Role.VIEWER, "Reset", {}, 403),
        (Role.VIEWER, "GetConfiguration", {}, 403),
        (Role.OPERATOR, "Reset", {}, 200),
        (Role.OPERATOR, "RotateKey", {"key": KEY}, 403),
        (Role.OPERATOR, "ChangeConfiguration", {"key": "AuthorizationKey", "value": KEY}, 403),
        (Role.OPERATOR, "UpdateFirmware", {"location": "https://x/"}, 403),
        (Role.ADMIN, "RotateKey", {"key": KEY}, 200),
    ):
        assert Caller(app, secrets[role]).send(OLD, action, payload).status_code == status, (role, action)
    assert len(fleet.calls[OLD]) == heard + 2
    assert fleet.calls[OLD][-1] == ("ChangeConfiguration", {"key": "AuthorizationKey", "value": KEY})


def test_every_command_is_audited_with_its_outcome_and_without_its_secrets(
    caller: Caller, app: Flask, secrets: dict[Role, str], world: World, fleet: Fleet
) -> None:
    fleet.register_anew(OLD)
    caller.send(OLD, "RotateKey", {"key": KEY})
    Caller(app, secrets[Role.VIEWER]).send(OLD, "Reset", {})
    refused, came, asked = world.people.audit(limit=3)
    assert (asked.actor, asked.action, asked.subject) == ("token cmd admin", "command", OLD)
    assert asked.detail == 'RotateKey {"key":"(hidden)"}'
    assert (came.action, came.detail) == ("command_outcome", "RotateKey: answered Accepted")
    assert (refused.actor, refused.action) == ("token cmd viewer", "command_refused")
    kept = b"".join(entry.frame for _, entry in fleet.server._intake.journal.read(0, 10_000))
    assert b"AuthorizationKey" in kept
    assert KEY.encode() not in kept


# ---- what can be sent


def test_the_list_says_what_can_be_sent_to_a_station(caller: Caller) -> None:
    old, new = caller.get(f"/stations/{OLD}/commands"), caller.get(f"/stations/{NEW}/commands")
    assert [found["name"] for found in new["commands"]] == list(COMPOSED)
    assert "ShowMessage" not in [found["name"] for found in old["commands"]]
    assert {found["name"] for found in new["actions"]} == schemas.calls_to_station("ocpp2.0.1")
    assert all(found["title"] for found in (*old["actions"], *new["actions"]))
    roles = {found["name"]: found["role"] for found in new["actions"]}
    assert (roles["SetNetworkProfile"], roles["Reset"]) == ("admin", "operator")
    assert old["reason"] is None


def test_the_list_of_a_station_that_takes_none_says_why(caller: Caller) -> None:
    found = caller.get(f"/stations/{GOE}/commands")
    assert (found["commands"], found["actions"]) == ([], [])
    assert "MQTT" in found["reason"]


# ---- what a station has


def test_details_come_in_pages_by_kind_and_key(caller: Caller, world: World) -> None:
    told = [
        DetailsReported(station=OLD, at=NOW, received_at=NOW, kind=kind, details=details)
        for kind, details in (
            (DetailKind.VARIABLE, tuple(Detail(key=f"Key{n}", body={"value": str(n)}) for n in range(7))),
            (DetailKind.VARIABLE, (Detail(key="AuthorizationKey", body={"key": "AuthorizationKey", "value": KEY}),)),
            (DetailKind.RESERVATION, (Detail(key="4", body={"idTag": "CARD-A", "id": 4}, evse=2),)),
            (DetailKind.CUSTOMER, (Detail(key="1", body={"data": "a name"}),)),
        )
    ]
    Details(world.records).take(told)
    path, seen, cursor = f"/stations/{OLD}/details", [], {}
    while cursor is not None:
        page = caller.get(path, limit=3, **cursor)
        seen += page["items"]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert [(d["kind"], d["key"]) for d in seen] == sorted((d["kind"], d["key"]) for d in seen)
    assert len(seen) == 10
    assert KEY not in json.dumps(seen)
    only = caller.get(path, kind="reservation,customer")["items"]
    assert [(d["kind"], d["evse"]) for d in only] == [("customer", None), ("reservation", 2)]
    assert only[1]["body"] == {"idTag": "CARD-A", "id": 4}
    assert only[1]["at"] == NOW.isoformat().replace("+00:00", "Z")


def test_a_viewer_sees_no_card_and_no_customer(app: Flask, secrets: dict[Role, str], world: World) -> None:
    told = DetailsReported(
        station=NEW,
        at=NOW - timedelta(days=1),
        received_at=NOW,
        kind=DetailKind.RESERVATION,
        details=(Detail(key="4", body={"idToken": {"idToken": "CARD-ABCD", "type": "Central"}}),),
    )
    Details(world.records).take([told])
    viewer = Caller(app, secrets[Role.VIEWER])
    assert viewer.get(f"/stations/{NEW}/details", kind="customer")["items"] == []
    (found,) = viewer.get(f"/stations/{NEW}/details")["items"]
    assert found["body"] == {"idToken": {"idToken": "••••ABCD", "type": "Central"}}
