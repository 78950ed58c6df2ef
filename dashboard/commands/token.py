"""``chargewatch token``: API tokens, stations' keys and drivers' cards, and who waits to be let in."""

from __future__ import annotations

import json
import os
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
from bridge.stores.provisioning import Provisioning, ProvisioningError
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
    provisioning: Provisioning


@contextmanager
def _doors() -> Iterator[_Doors]:
    settings = load_settings()
    try:
        with Records(settings.records.url.get_secret_value()) as records:
            records.migrate()
            provisioning = Provisioning(records, settings.ocpp.security_profile)
            yield _Doors(settings, records, People(records, pepper(settings)), provisioning)
    except (PeopleError, ProvisioningError, RecordsRejected, RecordsUnavailable, OSError) as error:
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


# ---- the inbox


@command.command()
@_AS_JSON
def inbox(as_json: bool) -> None:
    """Stations that nobody has decided about, the longest waiting first."""
    with _doors() as doors:
        held = doors.provisioning.inbox()
    if as_json:
        hidden = {"offered_key_hmac", "key_id"}
        rows = [{k: v for k, v in msgspec.to_builtins(one).items() if k not in hidden} for one in held]
        keys = [{"has_key": bool(one.key_id), "key_id": one.key_id} for one in held]
        click.echo(json.dumps([row | key for row, key in zip(rows, keys, strict=True)], indent=2))
        return
    for one in held:
        what = " ".join(part for part in (one.vendor, one.model, one.serial) if part) or "has not booted"
        key = f"key {one.key_id}" if one.key_id else "no key"
        changed = f" (came {one.other_keys} times with another key)" if one.other_keys else ""
        where = f"{one.address}, {one.protocol}, {'now' if one.is_connected else f'last {one.last_seen_at:%F %T}'}"
        click.echo(f"{one.station!r}  {what!r}  {where}  {key}{changed}")


@command.command()
@click.argument("station")
@click.option("--site", help="The id of its site.")
@click.option("--name", help="What people call it.")
@click.option("--profile", type=click.IntRange(0, 3), help="What it must prove; otherwise ocpp.security_profile.")
@click.option("--key-id", help="Only if it still shows this key (as `token inbox` names it).")
@_AS_JSON
def approve(
    station: str, site: str | None, name: str | None, profile: int | None, key_id: str | None, as_json: bool
) -> None:
    """Let STATION in with the key it showed while it waited: it must show the same from now on."""
    with _doors() as doors:
        doors.provisioning.approve(
            station, _ACTOR, utc_now(), site=site, name=name, security_profile=profile, key_id=key_id
        )
    click.echo(json.dumps({"station": station, "approved": True}) if as_json else f"{station} may come in")


@command.command()
@click.argument("station")
@_AS_JSON
def refuse(station: str, as_json: bool) -> None:
    """Shut STATION out for good; `token approve` lifts it."""
    with _doors() as doors:
        doors.provisioning.refuse(station, _ACTOR, utc_now())
    click.echo(json.dumps({"station": station, "refused": True}) if as_json else f"{station} is shut out")


@command.command()
@click.argument("station")
@click.option("--timeout", "timeout_s", default=30.0, show_default=True, help="Seconds to wait for the charger.")
@_AS_JSON
def rotate(station: str, timeout_s: float, as_json: bool) -> None:
    """Give STATION a new key, which nobody sees. Both open until it has connected with the new one."""
    from bridge.broker import BrokerClient
    from bridge.command_bus import CommandClient, CommandOutcome
    from bridge.commands.command import wait_for

    with _doors() as doors:
        settings = doors.settings
        doors.people.write_audit(utc_now(), _ACTOR, "token.rotate", station)
    broker = BrokerClient(settings.mqtt, f"chargewatch-rotate-{os.getpid()}")
    client = CommandClient(broker)
    broker.start()
    try:
        wait_for(broker, f"{settings.mqtt.host}:{settings.mqtt.port}")
        answer = client.request(station, "RotateKey", {}, timeout_s)
    finally:
        broker.stop()
    status = str(answer.payload.get("status", ""))
    if answer.outcome is not CommandOutcome.ANSWERED or status not in ("Accepted", "RebootRequired"):
        raise click.ClickException(f"{station} did not take a new key: {answer.detail or status or answer.outcome}")
    words = f"{station} has a new key; the old one opens until it has connected with the new one"
    click.echo(json.dumps({"station": station, "status": status}) if as_json else words)
