"""People and keys in the records: users, login links, API tokens, station keys, drivers' tokens, the audit.

Nothing secret is stored as it is. Passwords are chosen by people, so they get Argon2id; links, tokens and keys
are random, so an HMAC with a pepper is enough. The pepper is the same in bridge and dashboard.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from bridge import access
from bridge.settings import Settings
from bridge.stores.database import RecordsRejected
from bridge.stores.records import Records, save
from bridge.stores.tables import api_tokens, audit, driver_tokens, held_stations, login_links, stations, users

MIN_PASSWORD = 10
MAX_PASSWORD = 1024  # a longer one only costs the server time
TOKEN_PREFIX = "cw_"  # noqa: S105 (makes a leaked token findable)
LINK_LIFE = timedelta(minutes=15)
_NO_PASSWORD = "!"  # noqa: S105 (no hash begins so: nothing verifies against it)

_hasher = PasswordHasher()  # Argon2id, RFC 9106 low-memory profile: 64 MiB, 3 passes


class Role(StrEnum):
    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"


class PeopleError(Exception):
    """The change cannot be made; the message is for the person who asked."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """``session_epoch`` is part of a login cookie: raising it ends every login of the user."""

    id: int
    name: str
    role: Role
    email: str
    is_active: bool
    session_epoch: int
    created_at: datetime


class ApiToken(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None


class DriverToken(msgspec.Struct, frozen=True, kw_only=True):
    token: str  # normalised
    label: str
    group: str
    is_blocked: bool
    expires_at: datetime | None


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: str
    address: str


class People:
    """Raises RecordsUnavailable from any method while the database does not answer."""

    def __init__(self, records: Records, pepper: bytes) -> None:
        if not pepper:
            raise ValueError("an empty pepper protects nothing")
        self._records = records
        self._pepper = pepper

    # ---- users

    def create_user(
        self, name: str, role: Role, now: datetime, password: str | None = None, email: str = ""
    ) -> User:
        """A user without a password can only come in by a login link. Raises PeopleError."""
        row = {
            "name": _user_name(name),
            "role": str(role),
            "email": email,
            "created_at": now,
            "password_hash": _NO_PASSWORD if password is None else hash_password(password),
        }
        try:
            with self._records.writing() as connection:
                found = connection.execute(sa.insert(users).values(row).returning(users)).one()
        except RecordsRejected as error:
            raise PeopleError(f"there is a user named {row['name']} already") from error
        return _user(found)

    def user(self, id: int) -> User | None:
        return self._one_user(users.c.id == id)

    def user_by_name(self, name: str) -> User | None:
        return self._one_user(users.c.name == name.strip().casefold())

    def users(self) -> list[User]:
        with self._records.reading() as connection:
            return [_user(row) for row in connection.execute(sa.select(users).order_by(users.c.name))]

    def log_in(self, name: str, password: str) -> User | None:
        """The active user with this password. Takes the same time for a name that nobody has."""
        query = sa.select(users).where(users.c.name == name.strip().casefold())
        with self._records.reading() as connection:
            row = connection.execute(query).first()
        known = row is not None and row.is_active and row.password_hash != _NO_PASSWORD
        right = verify_password(row.password_hash if known and row else _decoy(), password)
        if not (known and right and row):
            return None
        if _hasher.check_needs_rehash(row.password_hash):
            self._change_user(row.id, password_hash=_hasher.hash(password))
        return _user(row)

    def set_password(self, id: int, password: str) -> None:
        """Ends the user's other logins. Raises PeopleError."""
        self._change_user(id, password_hash=hash_password(password), session_epoch=users.c.session_epoch + 1)

    def set_role(self, id: int, role: Role) -> None:
        self._change_user(id, role=str(role))

    def set_active(self, id: int, is_active: bool) -> None:
        """A deactivated user is logged out at once and cannot come back by an old link."""
        self._change_user(id, is_active=is_active, session_epoch=users.c.session_epoch + 1)
        with self._records.writing() as connection:
            connection.execute(sa.delete(login_links).where(login_links.c.user_id == id))

    def end_logins(self, id: int) -> None:
        self._change_user(id, session_epoch=users.c.session_epoch + 1)

    def _one_user(self, condition: sa.ColumnElement[bool]) -> User | None:
        with self._records.reading() as connection:
            row = connection.execute(sa.select(users).where(condition)).first()
        return None if row is None else _user(row)

    def _change_user(self, id: int, **change: Any) -> None:
        with self._records.writing() as connection:
            if connection.execute(sa.update(users).where(users.c.id == id).values(change)).rowcount == 0:
                raise PeopleError(f"there is no user {id}")

    # ---- login links

    def create_login_link(self, user_id: int, now: datetime, life: timedelta = LINK_LIFE) -> str:
        """The random token of a link that logs the user in once, before ``now + life``."""
        token = secrets.token_urlsafe(32)
        row = {"token_hmac": self._hmac("login", token), "user_id": user_id, "expires_at": now + life}
        with self._records.writing() as connection:
            connection.execute(sa.delete(login_links).where(login_links.c.expires_at <= now))
            connection.execute(sa.insert(login_links).values(row))
        return token

    def redeem_login_link(self, token: str, now: datetime) -> User | None:
        """The active user the link was made for; a second try finds nothing."""
        spend = (
            sa.delete(login_links)
            .where(login_links.c.token_hmac == self._hmac("login", token))
            .returning(login_links.c.user_id, login_links.c.expires_at)
        )
        with self._records.writing() as connection:
            row = connection.execute(spend).first()
        user = self.user(row.user_id) if row is not None and row.expires_at > now else None
        return user if user is not None and user.is_active else None

    # ---- API tokens

    def create_api_token(self, name: str, role: Role, now: datetime) -> str:
        """The secret, which is never shown again. Raises PeopleError when the name is taken."""
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = {"name": name, "token_hmac": self._hmac("api", secret), "role": str(role), "created_at": now}
        try:
            with self._records.writing() as connection:
                connection.execute(sa.insert(api_tokens).values(row))
        except RecordsRejected as error:
            raise PeopleError(f"there is or was a token named {name}: take another name") from error
        return secret

    def api_token(self, secret: str) -> ApiToken | None:
        """Who presents this secret. The index is searched for an HMAC that a caller cannot steer, so the
        time it takes tells nothing about other tokens."""
        query = sa.select(api_tokens).where(api_tokens.c.token_hmac == self._hmac("api", secret))
        with self._records.reading() as connection:
            row = connection.execute(query.where(api_tokens.c.revoked_at.is_(None))).first()
        return None if row is None else _api_token(row)

    def revoke_api_token(self, name: str, now: datetime) -> None:
        """Raises PeopleError when there is no such token in use."""
        in_use = (api_tokens.c.name == name) & api_tokens.c.revoked_at.is_(None)
        with self._records.writing() as connection:
            if connection.execute(sa.update(api_tokens).where(in_use).values(revoked_at=now)).rowcount == 0:
                raise PeopleError(f"there is no token named {name} in use")

    def api_tokens(self) -> list[ApiToken]:
        with self._records.reading() as connection:
            return [_api_token(row) for row in connection.execute(sa.select(api_tokens).order_by(api_tokens.c.name))]

    # ---- stations' keys, drivers' tokens

    def set_station_key(self, station: str, key: str | None) -> None:
        """Register a station as approved, with its Basic password, or with ``None`` without one."""
        hmac = None if key is None else access.key_hmac(self._pepper, key.encode())
        with self._records.writing() as connection:
            row = {"id": station, "is_approved": True, "refused_at": None, "key_hmac": hmac, "next_key_hmac": None}
            save(connection, stations, row)
            connection.execute(sa.delete(held_stations).where(held_stations.c.station == station))

    def save_driver_token(
        self, token: str, label: str = "", group: str = "", expires_at: datetime | None = None
    ) -> DriverToken:
        """Add a token, or change what is known of it; whether it is blocked stays. Raises PeopleError."""
        row = {"token": _driver_token(token), "label": label, "group": group, "expires_at": expires_at}
        with self._records.writing() as connection:
            save(connection, driver_tokens, row)
            return _driver(connection.execute(_select_token(row["token"])).one())

    def block_driver_token(self, token: str, is_blocked: bool = True) -> None:
        """A token that is not listed is listed as blocked. Raises PeopleError when it is empty."""
        with self._records.writing() as connection:
            save(connection, driver_tokens, {"token": _driver_token(token), "is_blocked": is_blocked})

    def remove_driver_token(self, token: str) -> None:
        with self._records.writing() as connection:
            connection.execute(sa.delete(driver_tokens).where(driver_tokens.c.token == access.normalise_token(token)))

    def driver_tokens(self) -> list[DriverToken]:
        with self._records.reading() as connection:
            query = sa.select(driver_tokens).order_by(driver_tokens.c.token)
            return [_driver(row) for row in connection.execute(query)]

    # ---- audit

    def write_audit(
        self, at: datetime, actor: str, action: str, subject: str = "", detail: str = "", address: str = ""
    ) -> None:
        """Note who did what. Entries are never changed."""
        row = {"at": at, "actor": actor, "action": action, "subject": subject, "detail": detail, "address": address}
        with self._records.writing() as connection:
            connection.execute(sa.insert(audit).values(row))

    def audit(self, limit: int = 100, before: int | None = None) -> list[AuditEntry]:
        """Newest first; ``before`` is the id of the last entry already seen."""
        query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.id < before)
        with self._records.reading() as connection:
            return [AuditEntry(**row._mapping) for row in connection.execute(query)]

    def _hmac(self, purpose: str, secret: str) -> bytes:
        return access.key_hmac(self._pepper, f"{purpose}:{secret}".encode())


def hash_password(password: str) -> str:
    """Argon2id. Raises PeopleError when the password is too short or absurdly long."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise PeopleError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    return _hasher.hash(password)


def verify_password(password_hash: str, password: str) -> bool:
    try:
        return len(password) <= MAX_PASSWORD and _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def new_station_key() -> str:
    """A random key that every OCPP version takes: 32 characters (1.6 security whitepaper and 2.0.1: 16 to 40)."""
    return secrets.token_hex(16)


def pepper(settings: Settings) -> bytes:
    """The pepper of every HMAC: the setting, else made once in the data folder, mode 0600."""
    return _kept_secret(settings.stations.pepper.get_secret_value(), settings.data_dir / "pepper")


def secret_key(settings: Settings) -> bytes:
    """What signs the login cookie: the setting, else made once in the data folder, mode 0600."""
    return _kept_secret(settings.dashboard.secret_key.get_secret_value(), settings.data_dir / "secret_key")


def _kept_secret(setting: str, path: Path) -> bytes:
    if setting:
        return setting.encode()
    if not path.exists():
        _make_secret(path)
    return path.read_bytes().strip()


def _make_secret(path: Path) -> None:
    """Two processes may start at once: the file appears whole, and the first one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(descriptor)
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(name)


@cache
def _decoy() -> str:
    """A hash to verify against where there is none: the answer then takes as long."""
    return _hasher.hash(secrets.token_hex(16))


def _user_name(name: str) -> str:
    folded = name.strip().casefold()
    if not (1 <= len(folded) <= 64 and folded.isprintable()):
        raise PeopleError("a user name has 1 to 64 printable characters")
    return folded


def _driver_token(token: str) -> str:
    normal = access.normalise_token(token)
    if not normal:
        raise PeopleError("a token cannot be empty")
    return normal


def _select_token(token: Any) -> sa.Select[Any]:
    return sa.select(driver_tokens).where(driver_tokens.c.token == token)


def _user(row: Any) -> User:
    known = {name: row._mapping[name] for name in User.__struct_fields__}
    return User(**(known | {"role": Role(row.role)}))


def _api_token(row: Any) -> ApiToken:
    return ApiToken(name=row.name, role=Role(row.role), created_at=row.created_at, revoked_at=row.revoked_at)


def _driver(row: Any) -> DriverToken:
    return DriverToken(**row._mapping)
