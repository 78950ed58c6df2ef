"""The SQL database behind the records: SQLite or PostgreSQL, transactions, one kind of error, migrations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection, Engine, make_url

from bridge.stores.wal import enter_wal

MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x6377_7265  # any number, the same in every process
_SQLITE_BUSY_MS = 15_000


class RecordsUnavailable(Exception):
    """The database does not answer, is busy, or is not migrated; the same call may succeed later."""


class RecordsRejected(Exception):
    """The database will never take this; the message names what and why."""


class Database:
    """A pool of connections. ``url`` as SQLAlchemy writes it: ``sqlite:///file`` or ``postgresql+psycopg://...``.

    Building it opens nothing but creates the parent folder of an SQLite file. Threads may share one.
    """

    def __init__(self, url: str) -> None:
        self.engine = _sqlite_engine(url) if url.startswith("sqlite") else _server_engine(url)
        self._writer = self.engine.execution_options(is_write=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads. Raises RecordsUnavailable."""
        with _translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that commits at the end and rolls back on any error.
        Raises RecordsUnavailable or RecordsRejected."""
        with _translated(), self._writer.begin() as connection:
            yield connection

    def migrate(self) -> None:
        """Bring the schema to the newest revision; several processes may start at once. Raises RecordsUnavailable."""
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            command.upgrade(alembic_config(connection), "head")

    def check(self) -> None:
        """Raises RecordsUnavailable unless the database answers and has the schema of this version."""
        with self.reading() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        wanted = ScriptDirectory(str(MIGRATIONS)).get_current_head()
        if found != wanted:
            raise RecordsUnavailable(f"the records have schema {found or 'none'}, this version needs {wanted}")

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sa.exc.DataError, sa.exc.IntegrityError, OverflowError) as error:
        raise RecordsRejected(f"the records refuse this: {_reason(error)}") from error
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        raise RecordsUnavailable(f"the records do not answer: {_reason(error)}") from error
    except sa.exc.StatementError as error:  # a value that has no form in the database
        raise RecordsRejected(f"the records refuse this: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The driver's first line, without the statement and its parameters (they may hold secrets)."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__


def _server_engine(url: str) -> Engine:
    return sa.create_engine(
        url,
        pool_pre_ping=True,  # a restarted server costs a reconnect, not an error
        pool_size=5,
        max_overflow=10,
        pool_timeout=10,
        connect_args={"connect_timeout": 5, "application_name": "chargewatch"},
        hide_parameters=True,
    )


def _sqlite_engine(url: str) -> Engine:
    path = make_url(url).database
    if not path or path == ":memory:":
        raise ValueError("the records need a file: sqlite:///folder/records.db")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, hide_parameters=True)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: pysqlite's own comes too late for reads and DDL
    connection.execute(f"PRAGMA busy_timeout={_SQLITE_BUSY_MS}")
    enter_wal(connection, _SQLITE_BUSY_MS / 1000)
    # FULL: the journal's cursor moves on our word, so a commit must survive a power cut
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    # a write that begins as a read can fail with "database is locked" at once, whatever the timeout
    is_write = connection.get_execution_options().get("is_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")
