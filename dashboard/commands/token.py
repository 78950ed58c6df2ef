"""``chargewatch token``: API tokens, stations' keys and drivers' cards."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

import click
import msgspec

from bridge.events import utc_now
from bridge.settings import Settings, load_settings
from bridge.stores.database import RecordsRejected, RecordsUnavailable
from bridge.stores.people import People, PeopleError, Role, new_station_key, pepper
from bridge.stores.records import Records

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_ACTOR = "command line"
MIN_KEY, MAX_KEY = 16, 40  # OCPP 1.6 security whitepaper and 2.0.1 part 2 A00.FR.205: 16 to 40 characters


@click.group()
def command() -> None:
    """Let programs, stations and drivers in."""


class _Doors(NamedTuple):
    settings: Settings
    records: Records
    people: People


@contextmanager
def _doors() -> Iterator[_Doors]:
    settings = load_settings()
    try:
        with Records(settings.records.url.get_secret_value()) as records:
            records.migrate()
            yield _Doors(settings, records, People(records, pepper(settings)))
    except (PeopleError, RecordsRejected, RecordsUnavailable, OSError) as error:
        raise click.ClickException(str(error)) from error


@command.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([*(str(role) for role in Role), "station", "driver"]),
    required=True,
    help="admin, operator, viewer: an API token. station: NAME's key. driver: NAME is a card.",
)
@click.option("--key-stdin", is_flag=True, help="station: read the key from standard input instead of making one.")
@click.option("--site", help="station: the id of its site.")
@click.option("--label", default="", help="driver: whose card it is.")
@click.option("--group", default="", help="driver: cards of a group may end each other's sessions.")
@click.option("--expires", type=click.DateTime(), help="driver: the last moment it opens (UTC).")
@_AS_JSON
def add(name: str, role: str, as_json: bool, **options: Any) -> None:
    """Add NAME. A secret that is made here is printed once, on standard output, and never again."""
    _refuse_misplaced(role, options)
    with _doors() as doors:
        adder = {"station": _add_station, "driver": _add_driver}.get(role, _add_api_token)
        made = adder(doors, name, role, options)
        doors.people.write_audit(utc_now(), _ACTOR, "token.add", name, f"role {role}")
    click.echo(json.dumps(made) if as_json else _words(made))


_BELONGS = {"key_stdin": "station", "site": "station", "label": "driver", "group": "driver", "expires": "driver"}


def _refuse_misplaced(role: str, options: dict[str, Any]) -> None:
    for option, of in _BELONGS.items():
        if options[option] and role != of:
            raise click.UsageError(f"--{option.replace('_', '-')} goes with --role {of}")


def _add_api_token(doors: _Doors, name: str, role: str, options: dict[str, Any]) -> dict[str, Any]:
    secret = doors.people.create_api_token(name, Role(role), utc_now())
    return {"name": name, "role": role, "token": secret}


def _add_station(doors: _Doors, name: str, role: str, options: dict[str, Any]) -> dict[str, Any]:
    site: str | None = options["site"]
    if site and site not in {known.id for known in doors.records.sites()}:
        raise PeopleError(f"there is no site with the id {site}")
    key = _given_key() if options["key_stdin"] else new_station_key()
    doors.people.set_station_key(name, key)
    if site:
        doors.records.assign_site(name, site)
    return {"station": name, "role": role, "site": site, "key": None if options["key_stdin"] else key}


def _given_key() -> str:
    key = sys.stdin.readline().rstrip("\r\n")
    if not (MIN_KEY <= len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise click.ClickException(f"a station's key has {MIN_KEY} to {MAX_KEY} visible ASCII characters")
    return key


def _add_driver(doors: _Doors, name: str, role: str, options: dict[str, Any]) -> dict[str, Any]:
    expires: datetime | None = options["expires"]
    if expires is not None:
        expires = expires.replace(tzinfo=utc_now().tzinfo)
    card = doors.people.save_driver_token(name, options["label"], options["group"], expires)
    made: dict[str, Any] = msgspec.to_builtins(card)
    return {**made, "role": role}


def _words(made: dict[str, Any]) -> str:
    """Only the secret where there is one, so that it can be piped; else one sentence."""
    secret = made.get("key") if made["role"] == "station" else made["token"]
    if made["role"] == "driver":
        return f"card {secret} opens"
    return secret or f"station {made['station']} is registered with the given key"


@command.command(name="list")
@_AS_JSON
def list_(as_json: bool) -> None:
    """API tokens, drivers' cards and stations with a key; never a secret."""
    with _doors() as doors:
        found = {
            "api": msgspec.to_builtins(doors.people.api_tokens()),
            "drivers": msgspec.to_builtins(doors.people.driver_tokens()),
            "stations": [
                {"station": s.id, "site": s.site_id, "is_approved": s.is_approved, "has_key": s.has_key}
                for s in doors.records.stations()
            ],
        }
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for token in found["api"]:
        state = f"revoked {token['revoked_at']}" if token["revoked_at"] else "in use"
        click.echo(f"{token['role']:<9} {token['name']!r}  {state}")
    for card in found["drivers"]:
        click.echo(f"driver    {card['token']!r}  {card['label']!r}  {'blocked' if card['is_blocked'] else 'opens'}")
    for station in found["stations"]:
        click.echo(f"station   {station['station']!r}  {'key' if station['has_key'] else 'no key'}")


@command.command()
@click.argument("name")
@click.option("--role", type=click.Choice(["api", "station", "driver"]), default="api", show_default=True)
@_AS_JSON
def revoke(name: str, role: str, as_json: bool) -> None:
    """Shut NAME out: an API token at once, a station at its next connection, a card at its next use."""
    with _doors() as doors:
        if role == "api":
            doors.people.revoke_api_token(name, utc_now())
        elif role == "driver":
            doors.people.block_driver_token(name)
        else:
            _shut_station_out(doors, name)
        doors.people.write_audit(utc_now(), _ACTOR, "token.revoke", name, f"role {role}")
    click.echo(json.dumps({"name": name, "role": role, "revoked": True}) if as_json else f"{name} is shut out")


def _shut_station_out(doors: _Doors, name: str) -> None:
    if doors.records.station(name) is None:
        raise PeopleError(f"there is no station named {name}")
    doors.people.set_station_key(name, new_station_key())  # nobody learns it, and the old one opens no more
    doors.records.approve_station(name, False)
