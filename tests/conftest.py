"""Servers as fixtures. Each is found or installed before the first test, so no test's timeout pays for it.

Where one cannot be had, the tests that need it are named at the end of the run as NOT RUN; with ``CI=true`` they
fail instead.
"""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings

from bridge.stores.records import Records
from bridge.stores.tables import metadata

sys.path.insert(0, str(Path(__file__).parent))

import servers
from charger_programs import Program
from oca_world import Played, Station16, Station201, station

T = TypeVar("T")

# what a generated example may cost is no property of ours: a busy machine is slow at both
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")

NOT_RUN = "NOT RUN: "
_NEEDS = {"mosquitto": "mosquitto", "postgres_url": "postgres", "influx": "influx", "chromium_path": "chromium"}
_NEEDS_OF_PARAMETER = {"postgresql": "postgres", "ocpp-rpc": "ocpp-rpc", "ocpp-go": "ocpp-go"}  # in a test's name
_missing: dict[str, str] = {}


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install what the collected tests need, outside any test's timeout."""
    if session.config.option.collectonly:
        return
    fixtures = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    names = " ".join(item.name for item in session.items)
    wanted = {server for fixture, server in _NEEDS.items() if fixture in fixtures}
    wanted |= {server for word, server in _NEEDS_OF_PARAMETER.items() if word in names}
    _missing.update(servers.prepare([server for server in servers.FINDERS if server in wanted]))


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
def postgres_database(postgres_url: str) -> str:
    """The URL of an empty database. It goes with its server: dropping one costs a checkpoint."""
    return _new_database(postgres_url)


def _new_database(postgres_url: str) -> str:
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_url.replace("+psycopg", "", 1), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres_url.removesuffix("postgres") + name


@pytest.fixture(scope="session")
def _migrated_postgres(postgres_url: str) -> str:
    """A migrated database, emptied after each test: that is faster than a new one."""
    url = _new_database(postgres_url)
    with Records(url) as records:
        records.migrate()
    return url


@pytest.fixture(scope="session")
def _migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "records.db"
    with Records(f"sqlite:///{path}") as records:
        records.migrate()
    return path


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


@pytest.fixture
def charger_program(request: pytest.FixtureRequest) -> Program:
    """Charge point software that is not ours, by the parameter's name: ``ocpp-rpc``, ``ocpp-go`` or ``ocpp-python``."""
    need(request.param)
    found = servers.FINDERS[request.param]()
    assert isinstance(found, Program)
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def records_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records.db"
    url: str = request.getfixturevalue("postgres_database")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    """Migrated and empty, once on each kind of database."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("_migrated_sqlite"), tmp_path / "records.db")
        with Records(f"sqlite:///{tmp_path}/records.db") as records:
            yield records
    else:
        with Records(request.getfixturevalue("_migrated_postgres")) as records:
            yield records
            with records.writing() as connection:
                names = ", ".join(table.name for table in metadata.sorted_tables)
                connection.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))


@pytest.fixture
def played(tmp_path: Path, _migrated_sqlite: Path) -> Played:
    """``played(Station201, directory, **settings)``: a station that is connected and has not booted yet."""
    return partial(station, tmp_path, _migrated_sqlite)


@pytest.fixture
def cp16(played: Played) -> Iterator[Station16]:
    """A charge point of OCPP 1.6, accepted, that plays a published test case."""
    with played(Station16) as playing:
        assert playing.boot()["status"] == "Accepted"
        yield playing


@pytest.fixture
def cs201(played: Played) -> Iterator[Station201]:
    """A charging station of OCPP 2.0.1, accepted, that plays a published test case."""
    with played(Station201) as playing:
        assert playing.boot()["status"] == "Accepted"
        yield playing
