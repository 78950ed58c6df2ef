"""The migrations make exactly the tables that the code uses, from nothing, more than once, several at a time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from bridge.stores import database, revise
from bridge.stores.column_types import Text, UtcDateTime
from bridge.stores.database import MIGRATIONS, Database, RecordsUnavailable, alembic_config
from bridge.stores.tables import metadata


def test_the_migrated_schema_is_that_of_the_tables(records_url: str) -> None:
    with Database(records_url) as found:
        found.migrate()
        with found.reading() as connection:
            # on SQLite, Alembic finds every empty text to differ from itself
            with_defaults = connection.dialect.name == "postgresql"
            context = MigrationContext.configure(connection, opts={"compare_server_default": with_defaults})
            assert compare_metadata(context, metadata) == []


def test_a_missing_column_is_noticed(records_url: str) -> None:
    with Database(records_url) as found:
        found.migrate()
        with found.writing() as connection:
            connection.execute(sa.text("ALTER TABLE sessions DROP COLUMN tariff"))
        with found.reading() as connection:
            (difference,) = compare_metadata(MigrationContext.configure(connection), metadata)
    assert difference[0] == "add_column"


def test_migrating_twice_changes_nothing(records_url: str) -> None:
    with Database(records_url) as found:
        found.migrate()
        with found.writing() as connection:
            connection.execute(sa.insert(metadata.tables["sites"]).values(id="s", name="Site"))
        found.migrate()
        found.check()
        with found.reading() as connection:
            assert connection.execute(sa.text("SELECT name FROM sites")).scalars().all() == ["Site"]


def test_the_schema_can_be_taken_down_and_put_up_again(records_url: str) -> None:
    with Database(records_url) as found:
        found.migrate()
        with found.writing() as connection:
            command.downgrade(alembic_config(connection), "base")
        with found.reading() as connection:
            assert sa.inspect(connection).get_table_names() == ["alembic_version"]
        found.migrate()
        found.check()


def test_processes_that_start_at_once_migrate_once(records_url: str) -> None:
    script = "import sys; from bridge.stores.records import Records; \n"
    script += "with Records(sys.argv[1]) as r: r.migrate(); r.check()"

    def start(_: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-c", script, records_url]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(start, range(4)))
    assert [(process.returncode, process.stderr) for process in done] == [(0, "")] * 4


def test_an_unmigrated_database_is_unavailable(records_url: str) -> None:
    with Database(records_url) as found, pytest.raises(RecordsUnavailable, match="schema none"):
        found.check()


def test_a_new_revision_is_written_from_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for module in (revise, database):
        monkeypatch.setattr(module, "MIGRATIONS", folder)
    table = sa.Table("notes", metadata, sa.Column("text", Text), sa.Column("at", UtcDateTime))
    try:
        written = revise.revise("Keep notes")
        with Database(f"sqlite:///{tmp_path}/records.db") as fresh:
            fresh.migrate()
            with fresh.reading() as connection:
                assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    finally:
        metadata.remove(table)
    assert written.parent == folder / "versions"
    assert "bridge" not in written.read_text()
