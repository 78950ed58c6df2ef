"""``chargewatch user``: who may log in. There is no default user and no default password."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from bridge.events import utc_now
from bridge.settings import Settings, load_settings

if TYPE_CHECKING:
    from bridge.stores.people import People, User

MIN_PASSWORD = 12
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_ROLES = click.Choice(["admin", "operator", "viewer"])


@click.group()
def command() -> None:
    """Add, list and change the people who may log in."""


@command.command()
@click.argument("name")
@click.option("--role", type=_ROLES, required=True, help="viewer sees, operator acts, admin also manages people.")
@click.option("--email", default="", help="Where alarms for this person may go.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--generate", is_flag=True, help="Make a password and print it once.")
@_JSON
def add(name: str, role: str, email: str, password_stdin: bool, generate: bool, as_json: bool) -> None:
    """Let NAME in. Asks for the password twice unless told otherwise."""
    from bridge.stores.people import Role

    password = _password(name, password_stdin, generate)
    with _people() as (people, _settings):
        user = people.create_user(name, Role(role), utc_now(), password, email)
        _note(people, "user_add", user.name, role)
    made = {"name": user.name, "role": str(user.role)} | ({"password": password} if generate else {})
    lines = [f"{user.name} may log in as {user.role}."]
    if generate:
        lines.append(f"Password, shown only now: {password}")
    _say(as_json, made, lines)


@command.command("list")
@_JSON
def list_users(as_json: bool) -> None:
    """Show everybody who may log in."""
    with _people() as (people, _settings):
        users = people.users()
    rows = [
        {"name": u.name, "role": str(u.role), "active": u.is_active, "created_at": u.created_at.isoformat()}
        for u in users
    ]
    lines = [f"{row['name']:<24} {row['role']:<10} {'active' if row['active'] else 'disabled'}" for row in rows]
    _say(as_json, rows, lines or ["Nobody yet. Add the first: chargewatch user add NAME --role admin"])


@command.command()
@click.argument("name")
@_JSON
def disable(name: str, as_json: bool) -> None:
    """Shut NAME out at once; every login of theirs ends."""
    with _people() as (people, _settings):
        user = _found(people, name)
        people.set_active(user.id, False)
        _note(people, "user_disable", user.name)
    _say(as_json, {"name": user.name, "active": False}, [f"{user.name} can no longer log in."])


@command.command()
@click.argument("name")
@_JSON
def enable(name: str, as_json: bool) -> None:
    """Let NAME in again."""
    with _people() as (people, _settings):
        user = _found(people, name)
        people.set_active(user.id, True)
        _note(people, "user_enable", user.name)
    _say(as_json, {"name": user.name, "active": True}, [f"{user.name} may log in again."])


@command.command()
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--generate", is_flag=True, help="Make a password and print it once.")
@_JSON
def passwd(name: str, password_stdin: bool, generate: bool, as_json: bool) -> None:
    """Give NAME a new password; every login of theirs ends."""
    with _people() as (people, _settings):
        user = _found(people, name)
        password = _password(user.name, password_stdin, generate)
        people.set_password(user.id, password)
        _note(people, "user_passwd", user.name)
    made = {"name": user.name} | ({"password": password} if generate else {})
    lines = [f"New password for {user.name} set."] + ([f"Shown only now: {password}"] if generate else [])
    _say(as_json, made, lines)


@command.command()
@click.argument("name")
@click.option("--base", default="", help="How the dashboard is reached, as https://charge.example.")
@_JSON
def link(name: str, base: str, as_json: bool) -> None:
    """Print a link that logs NAME in once, within 15 minutes."""
    with _people() as (people, settings):
        user = _found(people, name)
        token = people.create_login_link(user.id, utc_now())
        _note(people, "user_link", user.name)
    base = base.rstrip("/") or f"http://{settings.dashboard.host}:{settings.dashboard.port}"
    url = f"{base}/login/link/{token}"
    _say(as_json, {"name": user.name, "url": url}, [url])


@contextmanager
def _people() -> Iterator[tuple[People, Settings]]:
    """The people of the records; what goes wrong is one sentence and exit code 1."""
    from bridge.stores.people import People, PeopleError, pepper
    from bridge.stores.records import Records, RecordsUnavailable

    settings = load_settings()
    try:
        with Records(settings.records.url.get_secret_value()) as records:
            records.migrate()
            yield People(records, pepper(settings)), settings
    except (PeopleError, RecordsUnavailable, OSError) as error:
        raise click.ClickException(str(error)) from error


def _found(people: People, name: str) -> User:
    user = people.user_by_name(name)
    if user is None:
        raise click.ClickException(f"there is no user named {name}")
    return user


def _note(people: People, action: str, subject: str, detail: str = "") -> None:
    people.write_audit(utc_now(), "command line", action, subject, detail)


def _password(name: str, from_stdin: bool, generate: bool) -> str:
    """A new password. Raises ClickException when it is too weak."""
    if from_stdin and generate:
        raise click.UsageError("--password-stdin and --generate exclude each other")
    if generate:
        return secrets.token_urlsafe(15)
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt="The same again", err=True)
    if problem := weakness(password, name):
        raise click.ClickException(problem)
    return str(password)


def weakness(password: str, name: str) -> str:
    """Why a password will not do, or nothing."""
    if len(password) < MIN_PASSWORD:
        return f"the password is too short: at least {MIN_PASSWORD} characters"
    if len(set(password)) < 5:
        return "the password repeats itself: use at least five different characters"
    if name.casefold() in password.casefold():
        return "the password contains the name"
    return ""


def _say(as_json: bool, data: Any, lines: list[str]) -> None:
    click.echo(json.dumps(data) if as_json else "\n".join(lines))
