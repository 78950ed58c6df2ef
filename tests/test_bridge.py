"""The wiring: what a bridge knows after a start, and how it ends when its disk fails."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from servers import free_port

from bridge.__main__ import Bridge, JournalFailed
from bridge.events import StationConnected
from bridge.journal import StateRow
from bridge.session import Session
from bridge.settings import Admin, Billing, Journal, Mqtt, Ocpp, Settings, Telemetry
from bridge.settings import Records as RecordsSection
from bridge.snapshots import Snapshot, Station
from bridge.stores.records import Records

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def interpreter() -> Iterator[None]:
    """A bridge sets the whole process for its own needs."""
    thresholds, interval_s = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval_s)


def settings_of(folder: Path, records: Path, **billing: Any) -> Settings:
    return Settings(
        data_dir=folder,
        bridge_name="here",
        ocpp=Ocpp(port=0),
        mqtt=Mqtt(port=free_port()),
        journal=Journal(path=folder / "journal.db", commit_every_ms=0),
        records=RecordsSection(url=SecretStr(f"sqlite:///{records}")),
        telemetry=Telemetry(path=folder / "telemetry.db"),
        admin=Admin(bridge_port=free_port()),
        billing=Billing(**billing),
    )


async def prepared(settings: Settings) -> Bridge:
    """A bridge that has read what it knows, and listens to nobody."""
    bridge = Bridge(settings)
    bridge._loop = asyncio.get_running_loop()
    await asyncio.to_thread(bridge._prepare)
    return bridge


def put_away(bridge: Bridge) -> None:
    bridge._journal.close()
    bridge._telemetry.close()
    bridge._records.close()


def recorded(path: Path, bridge: str) -> None:
    with Records(f"sqlite:///{path}") as records:
        records.migrate()
        session = Session(
            id="s1", station="CP", evse=1, transaction_id="7", started_at=NOW, start_received_at=NOW, revision=40
        )
        records.upsert([Station(id="CP", bridge=bridge, revision=500)], [], [session])


def test_a_bridge_that_starts_without_its_records_knows_the_tariffs_of_before(tmp_path: Path) -> None:
    async def scene() -> set[str]:
        put_away(await prepared(settings_of(tmp_path, tmp_path / "records.db", tariff="spring")))
        (tmp_path / "away").mkdir()
        bridge = await prepared(settings_of(tmp_path, tmp_path / "away", tariff="summer"))
        put_away(bridge)
        return set(bridge._intake.tariffs)

    assert asyncio.run(scene()) == {"spring", "summer"}


def test_a_bridge_that_lost_its_journal_goes_on_from_the_records(tmp_path: Path) -> None:
    async def scene() -> None:
        recorded(tmp_path / "records.db", "here")
        bridge = await prepared(settings_of(tmp_path, tmp_path / "records.db"))
        assert bridge._book.stations["CP"].revision == 500, "a lower one would never reach the records again"
        assert bridge._book.find_session("CP", "7") is not None
        put_away(bridge)

    asyncio.run(scene())


def test_the_past_of_a_station_is_taken_in_on_the_loop_and_kept_here(tmp_path: Path) -> None:
    async def scene() -> None:
        recorded(tmp_path / "records.db", "there")
        bridge = await prepared(settings_of(tmp_path, tmp_path / "records.db"))
        threads: list[int] = []
        adopt = bridge._book.adopt

        def watched(found: Iterable[Snapshot]) -> None:
            threads.append(threading.get_ident())
            adopt(found)

        bridge._book.adopt = watched  # type: ignore[method-assign]
        past = bridge._adopt("CP")
        assert past is not None
        await past
        assert bridge._adopt("NEW") is None, "nobody had it: nothing to wait for"
        assert threads == [threading.get_ident()]
        assert {type(snapshot) for snapshot in bridge._book.take_changed()} == {Station, Session}
        put_away(bridge)

    asyncio.run(scene())


def test_a_bridge_that_restarts_has_no_station_connected_and_leaves_those_of_others(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    with Records(f"sqlite:///{path}") as records:
        records.migrate()
        stations = (("A", "here", True), ("B", "there", True), ("C", "here", False))
        rows = [Station(id=id, bridge=bridge, is_connected=is_on, revision=1) for id, bridge, is_on in stations]
        records.upsert(rows)

    async def scene() -> None:
        bridge = Bridge(settings_of(tmp_path, path))

        def on_ready(port: int) -> None:
            found = {id: (s.is_connected, s.disconnected_at is None) for id, s in bridge._book.stations.items()}
            assert found["A"] == (False, False)
            assert found["C"] == (False, True), "it was away before"
            bridge._stop.set()

        await bridge.run(on_ready)

    asyncio.run(scene())
    with Records(f"sqlite:///{path}") as records:
        there = records.station("B")
        assert there is not None
        assert there.is_connected


def test_a_bridge_whose_disk_fails_says_so_and_leaves_in_order(tmp_path: Path) -> None:
    def broken() -> Iterator[StateRow]:
        raise OSError("no space left")
        yield

    async def scene() -> None:
        bridge = Bridge(settings_of(tmp_path, tmp_path / "records.db"))

        def on_ready(port: int) -> None:
            bridge._intake.handle(
                StationConnected(station="CP", at=NOW, received_at=NOW, address="", protocol="ocpp1.6")
            )
            bridge._journal.put_state(broken())

        with pytest.raises(JournalFailed):
            await bridge.run(on_ready)
        assert not bridge._publisher._thread.is_alive()

    asyncio.run(scene())
