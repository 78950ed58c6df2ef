"""Files over REST: from the request through a real broker and a real server to a charger, and its file back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from api_world import held_against_the_document
from callbacks import log_in
from command_world import Fleet, fleet_world
from files_world import form
from flask import Flask
from screens_world import NOW, World, seeded_world
from servers import Mosquitto
from werkzeug.test import TestResponse

from bridge.broker import BrokerClient
from bridge.command_bus import CommandClient
from bridge.ocpp.masking import masked
from bridge.settings import Dashboard as DashboardSettings
from bridge.settings import Files as FilesSettings
from bridge.settings import Mqtt, Settings
from bridge.snapshots import Station
from bridge.stores.people import Role
from dashboard.app import create_app
from dashboard.file_orders import NoAddress, public_base

OLD, NEW, NO, GOE = "FILE/old 1", "FILE-new", "FILE-no", "goe-1"
BASE = "https://watch.example"
DATA = b"diagnostics\n" * 1000


def answers(action: str, payload: Any) -> Any:
    return {"fileName": "diag.zip"} if action == "GetDiagnostics" else {} if action == "UpdateFirmware" else {
        "status": "Accepted"
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    built = seeded_world(tmp_path_factory.mktemp("world"))
    protocols = {OLD: "ocpp1.6", NEW: "ocpp2.0.1", NO: "ocpp2.0.1", GOE: "mqtt/goe", "FILE-gone": "ocpp1.6"}
    rows = [Station(id=id, protocol=protocol, revision=1) for id, protocol in protocols.items()]
    built.records.upsert(rows, [], [])
    yield built
    built.records.close()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, mosquitto: Mosquitto) -> Iterator[Fleet]:
    with fleet_world(tmp_path_factory.mktemp("bridge"), mosquitto, "FILE-held") as fleet:
        fleet.connect(OLD, "ocpp1.6", answers)
        fleet.connect(NEW, "ocpp2.0.1", lambda action, payload: {"status": "Accepted"})
        fleet.connect(NO, "ocpp2.0.1", lambda action, payload: {"status": "Rejected"})
        yield fleet


def settings_with(world: World, folder: Path, **files: Any) -> Settings:
    told = FilesSettings(folder=folder, keep_free_mb=0, max_upload_mb=1, max_image_mb=1, **files)
    return world.settings.model_copy(update={"files": told})


@pytest.fixture(scope="module")
def app(
    world: World, fleet: Fleet, mosquitto: Mosquitto, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flask]:
    broker = BrokerClient(Mqtt(host=mosquitto.host, port=mosquitto.port), "test-web-files")
    commands = CommandClient(broker)
    broker.start()
    broker._connected.wait(10)
    given: dict[str, Any] = {"records": world.records, "people": world.people, "telemetry": world.telemetry}
    settings = settings_with(world, tmp_path_factory.mktemp("files"), public_url=BASE)
    yield create_app(settings, now=lambda: NOW, with_broker=False, commands=commands, **given)
    broker.stop()


@pytest.fixture(scope="module")
def secrets(world: World) -> dict[Role, str]:
    return {role: world.people.create_api_token(f"files {role}", role, NOW) for role in Role}


class Caller:
    """A program with a token. Every answer in JSON is held against the document."""

    def __init__(self, app: Flask, secret: str) -> None:
        self._client = app.test_client()
        self._headers = {"Authorization": f"Bearer {secret}"}

    def ask(self, method: str, path: str, **given: Any) -> TestResponse:
        given["headers"] = self._headers | given.get("headers", {})
        answer = self._client.open(f"/api/v1{path}", method=method.upper(), buffered=True, **given)
        if answer.is_json or answer.mimetype.endswith("+json"):
            held_against_the_document(path, answer, method)
        return answer

    def add(self, data: bytes, name: str = "fw.bin", **fields: str) -> TestResponse:
        body, headers = form(("file", name, data), *((field, None, text.encode()) for field, text in fields.items()))
        return self.ask("post", "/firmware", data=body, headers=headers)


@pytest.fixture
def admin(app: Flask, secrets: dict[Role, str]) -> Caller:
    return Caller(app, secrets[Role.ADMIN])


@pytest.fixture
def operator(app: Flask, secrets: dict[Role, str]) -> Caller:
    return Caller(app, secrets[Role.OPERATOR])


@pytest.fixture
def viewer(app: Flask, secrets: dict[Role, str]) -> Caller:
    return Caller(app, secrets[Role.VIEWER])


def location(payload: dict[str, Any]) -> str:
    place = payload.get("location") or payload.get("log", {}).get("remoteLocation") or payload["firmware"]["location"]
    assert place.startswith(f"{BASE}/files/")
    return urlsplit(place).path


@pytest.mark.parametrize(
    ("station", "kind", "action"),
    [
        (OLD, "diagnostics", "GetDiagnostics"),
        (OLD, "security", "GetLog"),
        (NEW, "diagnostics", "GetLog"),
        (NEW, "security", "GetLog"),
    ],
)
def test_logs_are_asked_for_uploaded_listed_and_read(
    app: Flask, fleet: Fleet, operator: Caller, viewer: Caller, world: World, station: str, kind: str, action: str
) -> None:
    asked = operator.ask("post", f"/stations/{station}/logs", json={"kind": kind, "retries": 2})
    assert asked.status_code == 200, asked.json
    number = asked.json["upload"]  # type: ignore[index]
    said, payload = fleet.calls[station][-1]
    assert (said, payload["retries"]) == (action, 2)
    (before,) = [u for u in viewer.ask("get", f"/stations/{station}/uploads").json["items"] if u["id"] == number]  # type: ignore[index]
    assert (before["kind"], before["received_at"], before["created_by"]) == (kind, None, "token files operator")
    assert operator.ask("get", f"/uploads/{number}").status_code == 404
    station_s = app.test_client()
    assert station_s.put(f"{location(payload)}/diag.zip", data=DATA, base_url=BASE).status_code == 200
    (after,) = [u for u in viewer.ask("get", f"/stations/{station}/uploads").json["items"] if u["id"] == number]  # type: ignore[index]
    assert (after["name"], after["sha256"]) == ("diag.zip", hashlib.sha256(DATA).hexdigest())
    assert viewer.ask("get", f"/uploads/{number}").status_code == 403
    file = operator.ask("get", f"/uploads/{number}")
    assert (file.status_code, file.data, file.mimetype) == (200, DATA, "application/octet-stream")
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert file.headers["X-Content-Type-Options"] == "nosniff"
    token = location(payload)[-43:]
    frame = json.dumps([2, "1", said, payload]).encode()
    assert token.encode() in frame
    assert token.encode() not in masked(said, frame)  # as the journal has it
    actions = [entry.action for entry in world.people.audit() if entry.subject == station]
    assert {"command", "command_outcome", "file_received", "file_read"} <= set(actions)
    assert not any(token in entry.detail for entry in world.people.audit())


@pytest.mark.parametrize(
    ("station", "status"), [(NO, 200), ("FILE-gone", 409), (GOE, 409), ("FILE-nobody", 404)]
)
def test_a_station_that_does_not_take_the_command_gets_no_address(
    operator: Caller, viewer: Caller, station: str, status: int
) -> None:
    asked = operator.ask("post", f"/stations/{station}/logs", json={})
    assert asked.status_code == status
    if status == 200:
        assert (asked.json["payload"]["status"], asked.json["upload"]) == ("Rejected", None)  # type: ignore[index]
    listed = viewer.ask("get", f"/stations/{station}/uploads")
    assert listed.status_code == 404 or listed.json["items"] == []  # type: ignore[index]


@pytest.mark.parametrize(
    ("body", "detail"), [({"kind": "core dump"}, "kind is one of"), ({"where": "ftp://x"}, "Unknown field 'where'")]
)
def test_a_wrong_question_is_answered_in_words(operator: Caller, body: dict[str, Any], detail: str) -> None:
    asked = operator.ask("post", f"/stations/{NEW}/logs", json=body)
    assert asked.status_code == 400
    assert detail in asked.json["detail"]  # type: ignore[index]


def test_a_time_that_is_none_is_named_and_leaves_no_address(operator: Caller, viewer: Caller) -> None:
    before = viewer.ask("get", f"/stations/{NEW}/uploads").json
    assert operator.ask("post", f"/stations/{NEW}/logs", json={"since": "yesterday"}).status_code == 422
    assert viewer.ask("get", f"/stations/{NEW}/uploads").json == before


def test_uploads_come_in_pages(operator: Caller, viewer: Caller) -> None:
    for _ in range(3):
        operator.ask("post", f"/stations/{NEW}/logs", json={})
    path, found, cursor = f"/stations/{NEW}/uploads", [], ""
    while cursor is not None:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = viewer.ask("get", path, query_string=query).json
        found += [item["id"] for item in page["items"]]  # type: ignore[index]
        cursor = page["next_cursor"]  # type: ignore[index]
    assert found == sorted(set(found), reverse=True)
    assert len(found) >= 3
    assert viewer.ask("get", path, query_string={"cursor": "WyIyMDI1LTAxLTAxVDAwOjAwOjAwWiIsIngiXQ"}).status_code == 400


@pytest.mark.parametrize(("station", "action"), [(OLD, "UpdateFirmware"), (NEW, "UpdateFirmware")])
def test_an_image_is_added_sent_and_fetched(
    app: Flask, fleet: Fleet, admin: Caller, viewer: Caller, station: str, action: str
) -> None:
    data = f"firmware for {station}".encode()
    added = admin.add(data, "../acme 2.1.bin", version="2.1", vendor="Acme", model="X")
    assert added.status_code == 200, added.json
    image: dict[str, Any] = added.json  # type: ignore[assignment]
    assert (image["name"], image["version"], image["is_signed"]) == ("acme 2.1.bin", "2.1", False)
    assert image["sha256"] == hashlib.sha256(data).hexdigest()
    assert viewer.ask("get", "/firmware").json["items"][0] == image  # type: ignore[index]
    assert admin.add(data).status_code == 409
    sent = admin.ask("post", f"/stations/{station}/firmware", json={"image": image["id"]})
    assert sent.status_code == 200, sent.json
    said, payload = fleet.calls[station][-1]
    assert said == action
    fetched = app.test_client().get(location(payload), base_url=BASE, buffered=True)
    assert (fetched.status_code, fetched.data) == (200, data)
    assert admin.ask("delete", f"/firmware/{image['id']}").status_code == 200
    assert app.test_client().get(location(payload), base_url=BASE, buffered=True).status_code == 404
    assert admin.ask("post", f"/stations/{station}/firmware", json={"image": image["id"]}).status_code == 404


def test_a_signed_image_is_sent_with_its_signature(fleet: Fleet, admin: Caller) -> None:
    assert admin.add(b"signed", signature="c2ln").status_code == 400
    image: dict[str, Any] = admin.add(b"signed", signature="c2ln", signing_certificate="-----BEGIN").json  # type: ignore[assignment]
    assert image["is_signed"] is True
    for station, action in ((OLD, "SignedUpdateFirmware"), (NEW, "UpdateFirmware")):
        assert admin.ask("post", f"/stations/{station}/firmware", json={"image": image["id"]}).status_code in (200, 422)
        said, payload = fleet.calls[station][-1]
        assert (said, payload["firmware"]["signature"]) == (action, "c2ln")


def test_a_role_that_is_too_low_gets_nothing(operator: Caller, viewer: Caller) -> None:
    assert viewer.ask("post", f"/stations/{NEW}/logs", json={}).status_code == 403
    assert operator.add(b"x").status_code == 403
    assert operator.ask("post", f"/stations/{NEW}/firmware", json={"image": 1}).status_code == 403
    assert operator.ask("delete", "/firmware/1").status_code == 403


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([("file", "big.bin", b"x" * 1_000_001)], 413),
        ([("file", "empty.bin", b"")], 400),
        ([("version", None, b"1")], 400),
        ([("file", "x", b"x"), ("colour", None, b"red")], 400),
        ([("file", "x", b"x"), ("version", None, b"v" * 101)], 400),
    ],
)
def test_a_form_that_cannot_be_an_image_is_refused(
    admin: Caller, parts: list[tuple[str, str | None, bytes]], status: int
) -> None:
    body, headers = form(*parts)
    refused = admin.ask("post", "/firmware", data=body, headers=headers)
    assert refused.status_code == status
    assert refused.json["detail"].endswith(".")  # type: ignore[index]
    assert admin.ask("post", "/firmware", json={}).status_code == 415


def test_a_person_with_a_role_reads_a_file_in_the_browser(app: Flask, fleet: Fleet, operator: Caller) -> None:
    number = operator.ask("post", f"/stations/{NEW}/logs", json={}).json["upload"]  # type: ignore[index]
    person = log_in(app, Role.OPERATOR)
    assert person.get(f"/download/uploads/{number}").status_code == 404  # still to come
    app.test_client().put(location(fleet.calls[NEW][-1][1]), data=b"<script>", base_url=BASE)
    file = person.get(f"/download/uploads/{number}", buffered=True)
    assert (file.data, file.mimetype) == (b"<script>", "application/octet-stream")
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert log_in(app, Role.VIEWER).get(f"/download/uploads/{number}").status_code == 403
    assert app.test_client().get(f"/download/uploads/{number}").status_code == 401
    assert person.get("/download/uploads/x").status_code == 404


@pytest.mark.parametrize(
    ("host", "files", "base"),
    [
        ("127.0.0.1", {}, "http://127.0.0.1:8050"),
        ("::1", {}, "http://[::1]:8050"),
        ("0.0.0.0", {}, None),
        ("0.0.0.0", {"public_url": "https://watch.example/sub/"}, "https://watch.example/sub"),
        ("127.0.0.1", {"public_url": "http://watch.example"}, None),
        ("127.0.0.1", {"public_url": "http://watch.example", "allow_http": True}, "http://watch.example"),
    ],
)
def test_an_address_is_https_or_on_this_machine(
    world: World, tmp_path: Path, host: str, files: dict[str, Any], base: str | None
) -> None:
    settings = settings_with(world, tmp_path, **files).model_copy(update={"dashboard": DashboardSettings(host=host)})
    if base is not None:
        assert public_base(settings) == base
        return
    with pytest.raises(NoAddress, match=r"files\.public_url"):
        public_base(settings)
