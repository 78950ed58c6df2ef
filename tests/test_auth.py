"""Who comes in, who does not, and when a login ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from callbacks import CALLBACKS, build, log_in, token_of
from click.testing import CliRunner, Result
from flask import Flask
from flask.testing import FlaskClient
from screens_world import LIVE, NOW, PASSWORD, World, empty_world, seeded_world
from werkzeug.test import TestResponse

from bridge.command_bus import Answer, CommandOutcome
from bridge.stores.people import Role
from dashboard import auth, security
from dashboard.app import create_app
from dashboard.commands.user import command as user_command
from dashboard.commands.user import weakness
from dashboard.security import safe_next


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    built = seeded_world(tmp_path)
    yield built
    built.records.close()


@pytest.fixture
def app(world: World) -> Flask:
    return build(world)


def try_login(client: FlaskClient, name: str, password: str, **more: str) -> TestResponse:
    form = {"name": name, "password": password, "csrf_token": token_of(client), **more}
    return client.post("/login", data=form)


def is_in(client: FlaskClient) -> bool:
    return client.get("/_dash-layout").status_code == 200


def actions(world: World) -> list[tuple[str, str, str]]:
    return [(entry.actor, entry.action, entry.subject) for entry in reversed(world.people.audit())]


def test_the_right_password_opens_and_leads_on(app: Flask) -> None:
    client = app.test_client()
    answer = try_login(client, "Operator ", PASSWORD, next="/session/abc?x=1")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/session/abc?x=1")
    assert is_in(client)


@pytest.mark.parametrize(
    ("name", "password"), [("operator", "wrong"), ("nobody", PASSWORD), ("", ""), ("operator", "")]
)
def test_a_wrong_pair_says_the_same_whatever_was_wrong(app: Flask, name: str, password: str) -> None:
    answer = try_login(app.test_client(), name, password)
    assert answer.status_code == 401
    assert "Name and password do not match." in answer.get_data(as_text=True)


def test_a_name_nobody_has_costs_a_password_check_too(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.stores import people

    checked: list[str] = []
    real = people.verify_password
    monkeypatch.setattr(people, "verify_password", lambda h, p: checked.append(h) or real(h, p))
    try_login(app.test_client(), "nobody", PASSWORD)
    try_login(app.test_client(), "operator", "wrong")
    assert len(checked) == 2
    assert all(hash.startswith("$argon2id$") for hash in checked)


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\/evil",
        "javascript:alert(1)",
        "/a\nb",
        "/\t/evil",
        "",
        None,
        "evil",
        "/ x",
    ],
)
def test_only_a_path_of_ours_is_led_to(target: str | None) -> None:
    assert safe_next(target) == "/"


def test_a_path_of_ours_is_led_to() -> None:
    assert safe_next("/sessions?show=ended&text=a%20b") == "/sessions?show=ended&text=a%20b"


def test_the_login_goes_nowhere_else(app: Flask) -> None:
    answer = try_login(app.test_client(), "operator", PASSWORD, next="https://evil.example/")
    assert answer.headers["Location"] == "/"


def test_a_name_is_held_back_after_ten_failures_from_any_address(app: Flask, world: World) -> None:
    client = app.test_client()
    token = token_of(client)

    def attempt(name: str, number: int, password: str = "wrong") -> int:
        form = {"name": name, "password": password, "csrf_token": token}
        address = {"REMOTE_ADDR": f"198.51.100.{number}"}
        return client.post("/login", data=form, environ_base=address).status_code

    assert [attempt("viewer", n) for n in range(10)] == [401] * 10
    assert attempt("viewer", 77) == 429
    assert attempt("VIEWER", 78, PASSWORD) == 429  # not even with the right password
    assert attempt("operator", 79) == 401  # another name is not concerned
    assert ("anonymous", "login_throttled", "viewer") in actions(world)


def test_an_address_is_held_back_whatever_names_it_tries(app: Flask) -> None:
    client = app.test_client()
    token = token_of(client)
    codes = [
        client.post("/login", data={"name": f"n{number}", "password": "x", "csrf_token": token}).status_code
        for number in range(21)
    ]
    assert codes == [401] * 20 + [429]
    page = client.post("/login", data={"name": "n", "password": "x", "csrf_token": token})
    assert "Too many attempts." in page.get_data(as_text=True)
    assert int(page.headers["Retry-After"]) > 0


def test_raising_the_epoch_ends_every_login(app: Flask, world: World) -> None:
    clients = [log_in(app, Role.OPERATOR) for _ in range(2)]
    other = log_in(app, Role.VIEWER)
    user = world.people.user_by_name("operator")
    assert user is not None
    world.people.end_logins(user.id)
    assert [is_in(client) for client in clients] == [False, False]
    assert is_in(other)


def test_a_disabled_person_is_out_at_once(app: Flask, world: World) -> None:
    client = log_in(app, Role.OPERATOR)
    user = world.people.user_by_name("operator")
    assert user is not None
    world.people.set_active(user.id, False)
    assert not is_in(client)
    assert try_login(app.test_client(), "operator", PASSWORD).status_code == 401


def test_a_login_ends_after_its_hours_however_busy_it_is(world: World) -> None:
    clock = Clock()
    client = log_in(_with_clock(world, clock), Role.VIEWER)
    for _ in range(11):
        clock.now += timedelta(hours=1)
        assert is_in(client)
    clock.now += timedelta(hours=1, seconds=1)
    assert not is_in(client)


def _with_clock(world: World, clock: Clock) -> Flask:
    return create_app(
        world.settings,
        records=world.records,
        people=world.people,
        telemetry=world.telemetry,
        with_broker=False,
        now=clock,
    )


def test_a_stolen_cookie_does_not_work_elsewhere(app: Flask) -> None:
    client = log_in(app, Role.ADMIN)
    assert client.get("/_dash-layout", headers={"User-Agent": "another browser"}).status_code == 401


def test_what_was_fixed_before_the_login_is_gone_after_it(app: Flask) -> None:
    client = app.test_client()
    with client.session_transaction() as session:
        session["planted"] = "yes"
    before = token_of(client)
    assert try_login(client, "viewer", PASSWORD).status_code == 303
    with client.session_transaction() as session:
        assert "planted" not in session
    assert client.post("/logout", headers={security.CSRF_HEADER: before}).status_code == 400


def test_leaving_ends_the_login_and_is_noted(app: Flask, world: World) -> None:
    client = log_in(app, Role.VIEWER)
    assert client.post("/logout", headers={security.CSRF_HEADER: token_of(client)}).status_code == 303
    assert not is_in(client)
    assert actions(world) == [("viewer", "login", ""), ("viewer", "logout", "")]


def test_a_get_does_not_log_anybody_out(app: Flask) -> None:
    client = log_in(app, Role.VIEWER)
    client.get("/logout")
    assert is_in(client)


def test_a_failure_is_noted_with_its_address(app: Flask, world: World) -> None:
    try_login(app.test_client(), "operator", "wrong")
    entry = world.people.audit()[0]
    assert (entry.actor, entry.action, entry.subject, entry.address) == (
        "anonymous",
        "login_failed",
        "operator",
        "127.0.0.1",
    )


def _link(world: World, life: timedelta = timedelta(minutes=15)) -> str:
    user = world.people.user_by_name("admin")
    assert user is not None
    return "/login/link/" + world.people.create_login_link(user.id, NOW, life)


def test_a_link_opens_once(app: Flask, world: World) -> None:
    path = _link(world)
    client = app.test_client()
    assert client.head(path).status_code == 204  # a preview does not spend it
    assert client.get(path, headers={"Sec-Purpose": "prefetch;prerender"}).status_code == 204
    assert client.get(path).status_code == 303
    assert is_in(client)
    again = app.test_client().get(path)
    assert again.status_code == 410
    assert "This link no longer works." in again.get_data(as_text=True)


def test_a_link_that_is_too_old_opens_nothing(app: Flask, world: World) -> None:
    client = app.test_client()
    assert client.get(_link(world, timedelta(seconds=-1))).status_code == 410
    assert not is_in(client)


def test_guessing_links_is_held_back(app: Flask) -> None:
    client = app.test_client()
    assert [client.get(f"/login/link/guess{n}").status_code for n in range(21)] == [410] * 20 + [429]


def test_without_users_the_page_says_how_to_make_one(tmp_path: Path) -> None:
    world = empty_world(tmp_path)
    page = build(world).test_client().get("/login").get_data(as_text=True)
    assert "chargewatch user add NAME --role admin" in page
    world.records.close()


class FakeCommands:
    """A command bus whose charger answers as told."""

    def __init__(self, answer: Answer, is_connected: bool = True) -> None:
        self.answer = answer
        self.is_connected = is_connected
        self.asked: list[tuple[str, str, object]] = []

    def request(self, station: str, action: str, payload: object, timeout_s: float) -> Answer:
        self.asked.append((station, action, payload))
        return self.answer


def _stop(world: World, answer: Answer, is_connected: bool = True) -> tuple[FakeCommands, str]:
    commands = FakeCommands(answer, is_connected)
    app = build(world, commands=commands)
    client = log_in(app, Role.OPERATOR)
    body = {
        "output": "stop-answer.children",
        "outputs": {"id": "stop-answer", "property": "children"},
        "inputs": [{"id": "stop-now", "property": "n_clicks", "value": 1}],
        "state": [{"id": "session-id", "property": "data", "value": LIVE}],
        "changedPropIds": ["stop-now.n_clicks"],
    }
    said = client.post(CALLBACKS, json=body, headers={security.CSRF_HEADER: token_of(client)})
    assert said.status_code == 200
    return commands, said.get_data(as_text=True)


def test_a_stop_asks_the_station_and_says_what_it_answered(world: World) -> None:
    accepted = Answer(id="1", outcome=CommandOutcome.ANSWERED, payload={"status": "Accepted"})
    commands, said = _stop(world, accepted)
    assert commands.asked == [("AIR-02", "StopSession", {"transaction_id": LIVE[:6]})]
    assert "The charger accepts the stop." in said
    came, asked = world.people.audit(2)
    assert (asked.actor, asked.action, asked.subject) == ("operator", "command", "AIR-02")
    assert asked.detail == f'StopSession {{"transaction_id":"{LIVE[:6]}"}}'
    assert (came.actor, came.action, came.detail) == ("operator", "command_outcome", "StopSession: answered Accepted")


def test_a_stop_without_a_broker_is_not_sent_and_says_so(world: World) -> None:
    commands, said = _stop(world, Answer(id="1", outcome=CommandOutcome.ANSWERED), is_connected=False)
    assert commands.asked == []
    assert "the MQTT broker is away" in said


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(id="1", outcome=CommandOutcome.ANSWERED, payload={"status": "Rejected"}), "declined to stop"),
        (Answer(id="1", outcome=CommandOutcome.OFFLINE), "is not connected"),
        (Answer(id="1", outcome=CommandOutcome.TIMEOUT), "No answer yet"),
        (Answer(id="1", outcome=CommandOutcome.REFUSED, detail="no such action"), "no such action"),
    ],
)
def test_a_stop_that_fails_says_why(world: World, answer: Answer, sentence: str) -> None:
    assert sentence in _stop(world, answer)[1]


# ---- the command line


def run(tmp_path: Path, *arguments: str, typed: str | None = None) -> Result:
    environment = {
        "CHARGEWATCH_DATA_DIR": str(tmp_path),
        "CHARGEWATCH_RECORDS__URL": f"sqlite:///{tmp_path}/records.db",
    }
    return CliRunner().invoke(user_command, list(arguments), input=typed, env=environment)


def test_the_first_administrator_comes_from_the_command_line(tmp_path: Path) -> None:
    made = run(tmp_path, "add", "Ann", "--role", "admin", "--generate", "--json")
    assert made.exit_code == 0, made.output
    password = json.loads(made.stdout)["password"]
    world = empty_world(tmp_path)
    assert try_login(build(world).test_client(), "ann", password).status_code == 303
    world.records.close()
    listed = json.loads(run(tmp_path, "list", "--json").stdout)
    assert [(row["name"], row["role"], row["active"]) for row in listed] == [("ann", "admin", True)]


def test_a_password_is_asked_for_twice(tmp_path: Path) -> None:
    assert run(tmp_path, "add", "ann", "--role", "viewer", typed=f"{PASSWORD}\n{PASSWORD}\n").exit_code == 0
    differs = run(tmp_path, "add", "bob", "--role", "viewer", typed=f"{PASSWORD}\nsomething else\n")
    assert differs.exit_code != 0


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "my-name-is-ann-2026"])
def test_a_weak_password_is_refused(tmp_path: Path, password: str) -> None:
    answer = run(tmp_path, "add", "ann", "--role", "viewer", "--password-stdin", typed=password + "\n")
    assert answer.exit_code == 1
    assert answer.stderr.startswith("Error: the password")


def test_a_good_password_has_no_weakness() -> None:
    assert weakness(PASSWORD, "ann") == ""


def test_a_link_from_the_command_line_opens_the_door(tmp_path: Path) -> None:
    run(tmp_path, "add", "ann", "--role", "viewer", "--generate")
    url = run(tmp_path, "link", "ann", "--base", "https://charge.example/").stdout.strip()
    assert url.startswith("https://charge.example/login/link/")
    world = empty_world(tmp_path)
    client = create_app(world.settings, with_broker=False).test_client()  # its own pepper and clock
    assert client.get(url.removeprefix("https://charge.example")).status_code == 303
    world.records.close()


def test_disabling_and_enabling_from_the_command_line(tmp_path: Path) -> None:
    run(tmp_path, "add", "ann", "--role", "viewer", "--password-stdin", typed=PASSWORD + "\n")
    world = empty_world(tmp_path)
    app = build(world)
    assert run(tmp_path, "disable", "ann").exit_code == 0
    assert try_login(app.test_client(), "ann", PASSWORD).status_code == 401
    assert run(tmp_path, "enable", "ann").exit_code == 0
    assert try_login(app.test_client(), "ann", PASSWORD).status_code == 303
    world.records.close()


@pytest.mark.parametrize("arguments", [("disable", "bob"), ("link", "bob"), ("passwd", "bob", "--generate")])
def test_an_unknown_name_is_one_sentence_and_exit_code_1(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    answer = run(tmp_path, *arguments)
    assert (answer.exit_code, answer.stderr) == (1, "Error: there is no user named bob\n")


def test_each_role_includes_the_ones_below() -> None:
    ranks = auth.RANK
    assert ranks[Role.ADMIN] > ranks[Role.OPERATOR] > ranks[Role.VIEWER]
