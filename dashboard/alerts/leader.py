"""One leader by a lease in the database; the others stand by and take over when it runs out.

Theory. The lease is a row: who holds it, until when. Whoever finds it his own or run out writes himself in, in one
statement, so two can never both succeed. PostgreSQL's clock decides, never a host's; an SQLite file lives on one host
and its clock decides. A holder that was stopped for longer than its lease may still believe in it, so every write of
the leader checks the row again in its own transaction (``fence``): the database, not the belief, keeps alarms single.
"""

from __future__ import annotations

import os
import secrets
import socket
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from bridge.events import utc_now
from bridge.stores.database import Database
from bridge.stores.tables import leases


class NotLeader(Exception):
    """The lease is another's: what was decided under it is void."""


def new_holder() -> str:
    """A name that no other process, and no earlier run of this one, has."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


class Lease:
    """``name`` is what is led; ``life_s`` how long a silent holder keeps it."""

    def __init__(self, records: Database, name: str, holder: str, life_s: float) -> None:
        self._records = records
        self._name = name
        self.holder = holder
        self.life_s = life_s

    def acquire(self) -> bool:
        """Take or renew; False while another holds it. Raises RecordsUnavailable."""
        with self._records.writing() as connection:
            now = _database_time(connection)
            return self._renew(connection, now) or self._found(connection, now)

    def release(self) -> None:
        """Let another take over at once."""
        with self._records.writing() as connection:
            connection.execute(sa.delete(leases).where(self._is_ours()))

    def fence(self, connection: Connection) -> None:
        """Hold the lease for the rest of this transaction. Raises NotLeader."""
        row = connection.execute(sa.select(leases).where(self._is_ours()).with_for_update()).first()
        if row is None or row.expires_at <= _database_time(connection):
            raise NotLeader(f"the lease '{self._name}' is not held by {self.holder}")

    def current_holder(self) -> str:
        """Who holds it, or "" when nobody ever did."""
        query = sa.select(leases.c.holder).where(leases.c.name == self._name)
        with self._records.reading() as connection:
            return connection.execute(query).scalar() or ""

    def _renew(self, connection: Connection, now: datetime) -> bool:
        may = (leases.c.name == self._name) & ((leases.c.holder == self.holder) | (leases.c.expires_at <= now))
        values = {"holder": self.holder, "expires_at": now + timedelta(seconds=self.life_s)}
        return connection.execute(sa.update(leases).where(may).values(values)).rowcount == 1

    def _found(self, connection: Connection, now: datetime) -> bool:
        """The first ever: of two that try at once the second waits for the first and then inserts nothing."""
        missing = ~sa.exists().where(leases.c.name == self._name)
        if not connection.execute(sa.select(missing)).scalar():
            return False
        row = {"name": self._name, "holder": self.holder, "expires_at": now + timedelta(seconds=self.life_s)}
        insert = _insert(connection).values(row).on_conflict_do_nothing().returning(leases.c.name)
        return connection.execute(insert).first() is not None

    def _is_ours(self) -> sa.ColumnElement[bool]:
        return (leases.c.name == self._name) & (leases.c.holder == self.holder)


def _insert(connection: Connection) -> postgresql.Insert | sqlite.Insert:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(leases)
    return sqlite.insert(leases)


def _database_time(connection: Connection) -> datetime:
    if connection.dialect.name != "postgresql":
        return utc_now()
    found: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return found
