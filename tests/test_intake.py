"""The one road in: decided, applied, journaled, and read back after a crash."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from ocpp_world import TARIFF, new_intake

from bridge import events as vocabulary
from bridge.access import Directory, TokenEntry
from bridge.book import Book
from bridge.events import (
    AnyEvent,
    MeterSampled,
    StationConnected,
    StationSeen,
    TokenPresented,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
)
from bridge.intake import Frame, Intake, state_rows
from bridge.session import Session
from bridge.settings import Unknown
from bridge.snapshots import Station

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
DIRECTORY = Directory(tokens={"CARD": TokenEntry(token="CARD"), "LOST": TokenEntry(token="LOST", is_blocked=True)})


@dataclass
class Road:
    intake: Intake

    def tell(self, kind: type[Any], at: datetime = NOW, received_at: datetime | None = None, **fields: Any) -> Any:
        """Handle and keep one event; returns it as decided."""
        event: AnyEvent = kind(station="CP", at=at, received_at=received_at or at, **fields)
        outcome = self.intake.handle(event)
        self.intake.keep(Frame("CP", "ocpp1.6", ">", "x", b"raw", event.received_at), outcome, b"reply")
        return outcome.events[0]

    def start(self, at: datetime = NOW, received_at: datetime | None = None, **fields: Any) -> TransactionStarted:
        fixed = {"evse": 1, "token": "CARD", "meter_start_wh": 1000}
        decided = self.tell(TransactionStarted, at, received_at, **fixed | fields)
        assert isinstance(decided, TransactionStarted)
        return decided


@pytest.fixture
def road(tmp_path: Path) -> Iterator[Road]:
    intake = new_intake(tmp_path, DIRECTORY)
    yield Road(intake)
    intake.journal.close()


@pytest.mark.parametrize(
    ("token", "is_accepted", "cause"),
    [("card ", True, "by the list"), ("LOST", False, "token is blocked"), ("WHO", False, "unknown token")],
)
def test_a_presented_token_is_decided(road: Road, token: str, is_accepted: bool, cause: str) -> None:
    decided = road.tell(TokenPresented, token=token)
    assert (decided.accepted, decided.cause) == (is_accepted, cause)


def test_a_start_gets_an_id_that_fits_16_and_is_the_same_when_sent_again(road: Road) -> None:
    first, again = road.start(), road.start()
    assert first.transaction_id == again.transaction_id
    assert 0 < int(first.transaction_id) < 2**31
    assert road.start(evse=2).transaction_id != first.transaction_id
    later = NOW + timedelta(seconds=1)
    assert road.start(later, later + timedelta(seconds=1)).transaction_id != first.transaction_id


def test_another_bridge_gives_the_same_start_the_same_id(road: Road, tmp_path: Path) -> None:
    other = new_intake(tmp_path / "other", DIRECTORY)
    assert Road(other).start().transaction_id == road.start().transaction_id
    other.journal.close()


def test_an_id_of_the_stations_own_is_kept(road: Road) -> None:
    assert road.start(transaction_id="ABC").transaction_id == "ABC"


@pytest.mark.parametrize("device", [datetime(1970, 1, 1, tzinfo=UTC), NOW + timedelta(days=2)])
def test_quirk_56_an_implausible_time_is_replaced_by_ours(road: Road, device: datetime) -> None:
    assert road.tell(StationSeen, device, NOW).at == NOW


def test_a_late_but_plausible_time_is_the_devices_own(road: Road) -> None:
    assert road.tell(StationSeen, NOW - timedelta(days=30), NOW).at == NOW - timedelta(days=30)


def test_readings_updates_and_stops_are_placed_on_their_session(road: Road) -> None:
    road.start(transaction_id="T", evse=2)
    session = road.intake.book.find_session("CP", "T")
    assert session is not None
    placed = road.tell(MeterSampled, transaction_id="T", values={"power_w": 1.0})
    assert (placed.evse, placed.session_id) == (2, session.id)
    assert road.tell(TransactionUpdated, transaction_id="T").evse == 2
    assert road.tell(TransactionEnded, transaction_id="T").evse == 2
    assert road.tell(MeterSampled, transaction_id="?", values={}).session_id == ""


def test_a_session_is_priced_when_its_change_is_handed_out(road: Road) -> None:
    road.start()
    road.tell(MeterSampled, NOW + timedelta(minutes=5), evse=1, values={"energy_import_wh": 3000.0})
    sessions = [s for s in road.intake.take_changes(NOW + timedelta(minutes=5)) if isinstance(s, Session)]
    assert [(s.cost, s.currency, s.tariff) for s in sessions] == [("1.00", "EUR", "test-1")]


def test_what_was_decided_is_what_is_journaled(road: Road) -> None:
    decided = road.start(token="WHO")
    road.intake.journal.close()
    _, entry = road.intake.journal.read(0, 10)[0]
    assert vocabulary.decode(entry.events) == (decided,)
    assert (entry.frame, entry.reply, entry.direction, entry.station) == (b"raw", b"reply", ">", "CP")


def recovered(path: Path) -> Intake:
    intake = new_intake(path)
    intake.recover()
    intake.journal.close()
    return intake


@pytest.mark.parametrize("checkpoint_after", [None, 0, 2, 4])
def test_after_a_crash_the_book_is_the_same_wherever_the_checkpoint_was(
    tmp_path: Path, checkpoint_after: int | None
) -> None:
    road = Road(new_intake(tmp_path, DIRECTORY))
    steps: list[tuple[type[Any], dict[str, Any]]] = [
        (StationConnected, {"address": "a", "protocol": "ocpp1.6"}),
        (TransactionStarted, {"evse": 1, "token": "WHO", "meter_start_wh": 1000, "transaction_id": "7"}),
        (MeterSampled, {"transaction_id": "7", "values": {"energy_import_wh": 1500.0, "power_w": 11_000.0}}),
        (MeterSampled, {"transaction_id": "7", "values": {"energy_import_wh": 2500.0}}),
        (TransactionEnded, {"transaction_id": "7", "meter_stop_wh": 3000}),
    ]
    for number, (kind, fields) in enumerate(steps):
        road.tell(kind, NOW + timedelta(minutes=number), **fields)
        if number == checkpoint_after:
            road.intake.journal.put_state(list(state_rows(road.intake.take_changes(NOW))))
    road.intake.journal.close()
    there, here = recovered(tmp_path).book, road.intake.book
    assert there.connectors == here.connectors
    assert _facts(there) == _facts(here)
    assert {name: _without_times(station) for name, station in there.stations.items()} == {
        name: _without_times(station) for name, station in here.stations.items()
    }


def _facts(book: Book) -> list[tuple[object, ...]]:
    return [
        (s.id, s.state, s.energy_wh, s.meter_stop_wh, s.review, s.revision, s.ended_at)
        for sessions in book.sessions.values()
        for s in sessions.values()
    ]


def _without_times(station: Station) -> tuple[object, ...]:
    return station.id, station.protocol, station.is_connected, station.revision


def test_recovering_decides_nothing_anew(tmp_path: Path) -> None:
    """The token was refused when it came; that it is known today does not change what was."""
    road = Road(new_intake(tmp_path))
    road.start()
    road.intake.journal.close()
    intake = new_intake(tmp_path, DIRECTORY, Unknown.ACCEPT)
    assert intake.recover() == 1
    intake.journal.close()
    session = next(iter(intake.book.sessions["CP"].values()))
    assert session.review == ("token not accepted: unknown token",)


def test_a_session_keeps_its_tariff_when_the_bridge_starts_without_the_records(road: Road) -> None:
    old = replace(TARIFF, id="old")
    road.intake.tariffs = {"old": old}
    road.intake._tariff = old
    road.start()
    [session] = [s for s in road.intake.take_changes(NOW) if isinstance(s, Session)]
    assert session.tariff == "old"
    road.intake.tariffs, road.intake._tariff = {TARIFF.id: TARIFF}, TARIFF  # a new price list; the records are away
    road.tell(MeterSampled, NOW + timedelta(minutes=1), evse=1, values={"energy_import_wh": 2000.0})
    [session] = [s for s in road.intake.take_changes(NOW) if isinstance(s, Session)]
    assert (session.tariff, session.cost) == ("old", "0.00")


def test_a_start_without_a_time_resent_is_the_same_session(road: Road) -> None:
    first = road.start(datetime(1970, 1, 1, tzinfo=UTC), NOW)
    again = road.start(datetime(1970, 1, 1, tzinfo=UTC), NOW + timedelta(seconds=30))
    assert again.transaction_id == first.transaction_id
    assert len(road.intake.book.sessions["CP"]) == 1
