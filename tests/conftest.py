"""Servers as fixtures. Each is found or installed before the first test, so no test's timeout pays for it.

Where one cannot be had, the tests that need it are named at the end of the run as NOT RUN; with ``CI=true`` they
fail instead.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest

from bridge.stores.records import Records

sys.path.insert(0, str(Path(__file__).parent))

import servers

T = TypeVar("T")

NOT_RUN = "NOT RUN: "
_NEEDS = {"mosquitto": "mosquitto", "postgres_url": "postgres", "influx": "influx", "chromium_path": "chromium"}
_missing: dict[str, str] = {}


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install what the collected tests need, outside any test's timeout."""
    if session.config.option.collectonly:
        return
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if any("postgresql" in item.name for item in session.items):
        wanted.add("postgres_url")
    _missing.update(servers.prepare([server for fixture, server in _NEEDS.items() if fixture in wanted]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly which tests did not run, for want of which server."""
    skipped = terminalreporter.stats.get("skipped", [])
    lines = sorted({f"{r.longrepr[2].removeprefix('Skipped: ')} -- {r.nodeid}" for r in skipped if _is_not_run(r)})
    if lines:
        terminalreporter.section("tests that did not run", sep="!", red=True)
        for line in lines:
            terminalreporter.line(line, red=True)


def _is_not_run(report: pytest.TestReport) -> bool:
    return isinstance(report.longrepr, tuple) and NOT_RUN in report.longrepr[2]


def need(server: str) -> None:
    """Go on only where this server can be had."""
    if reason := _missing.get(server):
        give_up = pytest.fail if servers.IS_CI else pytest.skip
        give_up(f"{NOT_RUN}{server}: {reason}")


@contextmanager
def _started(server: str, start: AbstractContextManager[T]) -> Iterator[T]:
    need(server)
    with start as facts:
        yield facts


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[servers.Mosquitto]:
    """A broker for anonymous clients on loopback, shared by the run: use topics of your own."""
    with _started("mosquitto", servers.mosquitto()) as facts:
        yield facts


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server, shared by the run: use ``postgres_database`` for a database of your own."""
    with _started("postgres", servers.postgres()) as url:
        yield url


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database, dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    plain = postgres_url.replace("+psycopg", "", 1)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield postgres_url.removesuffix("postgres") + name
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def influx() -> Iterator[servers.Influx]:
    """An InfluxDB 2 server, shared by the run: use ``influx_bucket`` for a bucket of your own."""
    with _started("influx", servers.influx()) as facts:
        yield facts


@pytest.fixture
def influx_bucket(influx: servers.Influx) -> Iterator[servers.Influx]:
    """The same server with an empty bucket, dropped afterwards."""
    facts = influx.new_bucket()
    yield facts
    facts.drop()


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    need("chromium")
    return servers.find_chromium()


@pytest.fixture(params=["sqlite", "postgresql"])
def records_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records.db"
    url: str = request.getfixturevalue("postgres_database")
    return url


@pytest.fixture
def records(records_url: str) -> Iterator[Records]:
    """Migrated and empty, once on each kind of database."""
    with Records(records_url) as records:
        records.migrate()
        yield records
