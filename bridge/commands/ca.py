"""``chargewatch ca``: a small certificate authority for stations and for the bridge's own listener."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bridge.authority import CERTIFICATE_FILE, KEY_FILE, Authority, AuthorityError, write_secret
from bridge.events import utc_now
from bridge.ocpp.certificates import issued_row
from bridge.settings import Settings, load_settings
from bridge.stores.certificates import CertificateRow, Certificates
from bridge.stores.database import RecordsUnavailable
from bridge.stores.provisioning import ProvisioningError
from bridge.stores.records import Records

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_DAYS = click.option("--days", type=click.IntRange(1, 3650), help="How long it is good; otherwise ocpp.ca_days.")
_OUT = click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=".", show_default=True, help="Where to."
)
_ACTOR = "command line"


@click.group()
def command() -> None:
    """Certificates of stations (security profile 3) and of the bridge."""


class _Desk(NamedTuple):
    settings: Settings
    folder: Path
    certificates: Certificates


@contextmanager
def _desk() -> Iterator[_Desk]:
    settings = load_settings()
    folder = settings.ocpp.ca_folder or settings.data_dir / "ca"
    try:
        with Records(settings.records.url.get_secret_value()) as records:
            records.migrate()
            yield _Desk(settings, folder, Certificates(records))
    except FileExistsError as error:
        raise click.ClickException(f"{error.filename} is there already: it is not overwritten") from error
    except (AuthorityError, ProvisioningError, RecordsUnavailable, OSError) as error:
        raise click.ClickException(str(error)) from error


@command.command()
@click.option("--name", default="chargewatch CA", show_default=True, help="As chargers show it.")
@_AS_JSON
def init(name: str, as_json: bool) -> None:
    """Make the authority's key and certificate. Never over one that is there."""
    with _desk() as desk:
        made = Authority.create(desk.folder, name, utc_now())
        desk.certificates.add_issued(issued_row(made.certificate, "", "ca"), _ACTOR)
    facts = {"certificate": str(desk.folder / CERTIFICATE_FILE), "key": str(desk.folder / KEY_FILE)}
    words = f"{facts['certificate']}\nKeep {facts['key']} secret and with the backups: who has it can be any station."
    click.echo(json.dumps(facts) if as_json else words)


@command.command()
@click.argument("station")
@click.option("--csr", type=click.File("r"), help="The station's own request (PEM), - for standard input.")
@_DAYS
@_OUT
@_AS_JSON
def sign(station: str, csr: Any, days: int | None, out: Path, as_json: bool) -> None:
    """A client certificate for STATION: from its request, or with a key made here for a charger that makes none."""
    with _desk() as desk:
        authority, good = Authority(desk.folder), days or desk.settings.ocpp.ca_days
        if csr is not None:
            found, key = authority.sign_station(csr.read(), station, utc_now(), good), None
        else:
            found, key = authority.issue_station(station, utc_now(), good)
        facts = _write(out, _file_name(station), found, key, authority)
        desk.certificates.add_issued(issued_row(found, station, "station"), _ACTOR)
    click.echo(json.dumps(facts) if as_json else "\n".join(facts.values()))


@command.command()
@click.argument("names", nargs=-1, required=True)
@_DAYS
@_OUT
@_AS_JSON
def server(names: tuple[str, ...], days: int | None, out: Path, as_json: bool) -> None:
    """A certificate for the bridge's listener (ocpp.tls_certificate, tls_key) with host NAMES and addresses."""
    with _desk() as desk:
        authority = Authority(desk.folder)
        found, key = authority.issue_server(names, utc_now(), days or desk.settings.ocpp.ca_days)
        facts = _write(out, "server", found, key, authority)
        desk.certificates.add_issued(issued_row(found, "", "server"), _ACTOR)
    click.echo(json.dumps(facts) if as_json else "\n".join(facts.values()))


@command.command(name="list")
@click.option("--station", help="Only of this station.")
@_AS_JSON
def list_(station: str | None, as_json: bool) -> None:
    """Certificates that we gave out or saw at the door, the newest first."""
    with _desk() as desk:
        rows = desk.certificates.known(station)
    if as_json:
        click.echo(json.dumps([_facts(row) for row in rows], indent=2))
        return
    for row in rows:
        state = f"revoked {row.revoked_at:%F}" if row.revoked_at else f"until {row.not_after:%F}"
        whose = "ours" if row.is_ours else "seen"
        click.echo(f"{row.kind:<8} {row.station or row.subject!r}  {row.serial}  {state}  {whose}")


@command.command()
@click.argument("which")
@_AS_JSON
def revoke(which: str, as_json: bool) -> None:
    """Refuse a certificate at the door from now on: by serial, by fingerprint, or all of a station."""
    with _desk() as desk:
        rows = desk.certificates.revoke(which, _ACTOR, utc_now())
    if as_json:
        click.echo(json.dumps([_facts(row) for row in rows], indent=2))
    else:
        click.echo("\n".join(f"{row.kind} {row.station or row.subject!r} {row.serial} is revoked" for row in rows))


@command.command()
@click.argument("which", required=False)
def export(which: str | None) -> None:
    """Print a certificate (PEM): the authority's own, to be installed on chargers, or the one with this serial or
    fingerprint."""
    with _desk() as desk:
        if which is None:
            pem = Authority(desk.folder).pem
        else:
            named = [row for row in desk.certificates.known() if which.lower() in (row.serial, row.fingerprint)]
            if not named:
                raise AuthorityError(f"there is no certificate with the serial or fingerprint {which}")
            pem = named[0].pem
    sys.stdout.write(pem)


def _facts(row: CertificateRow) -> dict[str, Any]:
    names = ("kind", "station", "serial", "fingerprint", "subject", "issuer", "is_ours")
    times = {name: getattr(row, name) for name in ("not_before", "not_after", "issued_at", "revoked_at")}
    facts = {name: getattr(row, name) for name in names}
    return facts | {name: None if time is None else time.isoformat() for name, time in times.items()}


def _file_name(station: str) -> str:
    """An id may hold a slash or dots."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in station)[:100]


def _write(
    out: Path, name: str, found: x509.Certificate, key: bytes | None, authority: Authority
) -> dict[str, str]:
    """Chain and, where it was made here, key. The key first: a certificate without one is of no use."""
    out.mkdir(parents=True, exist_ok=True)
    facts = {}
    certificate, secret = out / f"{name}.pem", out / f"{name}.key"
    if certificate.exists():
        raise FileExistsError(17, os.strerror(17), str(certificate))
    if key is not None:
        write_secret(secret, key)
        facts["key"] = str(secret)
    certificate.write_text(found.public_bytes(Encoding.PEM).decode() + authority.pem)
    return {"certificate": str(certificate), **facts}
