"""The book: what one event changes, and what it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge import snapshots
from bridge.book import Book
from bridge.events import (
    AnyEvent,
    ConnectorStatus,
    DeviceEventNotified,
    FrameRefused,
    MeterSampled,
    StationBooted,
    StationConnected,
    StationDisconnected,
    StationSeen,
    StatusChanged,
    TransactionEnded,
    TransactionStarted,
    TransactionUpdated,
)
from bridge.evidence import is_late
from bridge.session import Session, SessionState
from bridge.snapshots import Connector, Station, decode_snapshot, encode_snapshot, key_of

BEGIN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class Scene:
    """A book and events at seconds after the beginning."""

    def __init__(self) -> None:
        self.book = Book("here")

    def tell(
        self, kind: type[Any], seconds: float = 0.0, late_s: float = 0.0, **fields: Any
    ) -> list[snapshots.Snapshot]:
        """Apply one event; returns what changed."""
        at = BEGIN + timedelta(seconds=seconds)
        event: AnyEvent = kind(station="CP", at=at, received_at=at + timedelta(seconds=late_s), **fields)
        self.book.apply(event)
        return self.book.take_changed()

    def status(self, status: ConnectorStatus, seconds: float = 0.0, **fields: Any) -> list[snapshots.Snapshot]:
        return self.tell(StatusChanged, seconds, **{"evse": 1, "status": status} | fields)

    def start(self, seconds: float = 0.0, transaction: str = "7", **fields: Any) -> list[snapshots.Snapshot]:
        fixed = {"evse": 1, "transaction_id": transaction, "token": "CARD", "meter_start_wh": 1000}
        return self.tell(TransactionStarted, seconds, **fixed | fields)

    @property
    def connector(self) -> Connector:
        return self.book.connectors["CP", 1, 1]

    @property
    def sessions(self) -> list[Session]:
        return list(self.book.sessions.get("CP", {}).values())


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_station_comes_boots_and_goes(scene: Scene) -> None:
    scene.tell(StationConnected, address="10.0.0.1", protocol="ocpp1.6")
    scene.tell(StationBooted, 1, vendor="Acme", model="Box", serial="S", firmware="1")
    station = scene.book.stations["CP"]
    assert (station.is_connected, station.vendor, station.protocol, station.bridge) == (True, "Acme", "ocpp1.6", "here")
    scene.tell(StationDisconnected, 9)
    station = scene.book.stations["CP"]
    assert (station.is_connected, station.disconnected_at) == (False, BEGIN + timedelta(seconds=9))


def test_when_a_station_was_last_heard_is_written_on_the_beat_only(scene: Scene) -> None:
    scene.tell(StationConnected, address="", protocol="ocpp1.6")
    assert scene.tell(StationSeen, 30) == []
    scene.book.beat()
    assert [snapshot.last_seen_at for snapshot in scene.book.take_changed() if isinstance(snapshot, Station)] == [
        BEGIN + timedelta(seconds=30)
    ]
    scene.book.beat()
    assert scene.book.take_changed() == []


def test_a_refused_frame_is_counted(scene: Scene) -> None:
    scene.tell(FrameRefused, code="FormationViolation", detail="x")
    scene.tell(FrameRefused, code="FormationViolation", detail="x")
    assert scene.book.stations["CP"].refused_frames == 2


def test_quirk_57_an_unchanged_status_is_no_news_and_an_older_one_changes_nothing(scene: Scene) -> None:
    assert len(scene.status(ConnectorStatus.CHARGING, 10)) == 1
    assert scene.status(ConnectorStatus.CHARGING, 20) == []
    assert scene.status(ConnectorStatus.AVAILABLE, 5) == []
    assert scene.connector.status is ConnectorStatus.CHARGING


def test_quirk_63_a_status_never_closes_a_session(scene: Scene) -> None:
    scene.start()
    for seconds, status in enumerate((ConnectorStatus.FINISHING, ConnectorStatus.AVAILABLE), 10):
        scene.status(status, seconds)
    assert scene.sessions[0].state is SessionState.FINISHING
    scene.tell(TransactionEnded, 9, late_s=60, transaction_id="7", meter_stop_wh=2000)
    assert (scene.sessions[0].state, scene.sessions[0].energy_wh) == (SessionState.ENDED, 1000)
    assert scene.connector.status is ConnectorStatus.AVAILABLE


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (ConnectorStatus.CHARGING, SessionState.CHARGING),
        (ConnectorStatus.SUSPENDED_EV, SessionState.SUSPENDED),
        (ConnectorStatus.SUSPENDED_EVSE, SessionState.SUSPENDED),
        (ConnectorStatus.FINISHING, SessionState.FINISHING),
        (ConnectorStatus.FAULTED, SessionState.PENDING),
        (ConnectorStatus.AVAILABLE, SessionState.PENDING),
    ],
)
def test_a_status_moves_the_session_on_its_connector(
    scene: Scene, status: ConnectorStatus, state: SessionState
) -> None:
    scene.start()
    scene.status(status, 5)
    assert scene.sessions[0].state is state


def test_a_status_from_before_the_start_does_not_move_the_session(scene: Scene) -> None:
    scene.start(60)
    scene.status(ConnectorStatus.FINISHING, 30)
    assert scene.sessions[0].state is SessionState.PENDING


def test_quirk_45_the_same_start_twice_is_one_session(scene: Scene) -> None:
    scene.start()
    assert scene.start() == []
    assert len(scene.sessions) == 1


def test_quirk_50_the_next_start_bounds_the_one_without_a_stop(scene: Scene) -> None:
    scene.start()
    scene.tell(MeterSampled, 30, evse=1, values={"energy_import_wh": 1500.0})
    scene.start(60, "8", meter_start_wh=1600)
    old, new = scene.sessions
    assert (old.state, old.energy_wh, old.ended_at) == (SessionState.ORPHANED, 500, BEGIN + timedelta(seconds=30))
    assert scene.book.open_session("CP", 1) == new
    assert scene.connector.session_id == new.id


def test_a_start_on_another_evse_disturbs_nobody(scene: Scene) -> None:
    scene.start()
    scene.start(5, "8", evse=2)
    assert all(session.is_open for session in scene.sessions)


@pytest.mark.parametrize("transaction", ["0", "-1", ""])
def test_quirk_42_a_stop_with_a_placeholder_finds_the_session_by_its_token(scene: Scene, transaction: str) -> None:
    scene.start()
    scene.start(1, "8", evse=2, token="OTHER")
    scene.tell(TransactionEnded, 60, transaction_id=transaction, token="OTHER", meter_stop_wh=1200)
    assert [session.state for session in scene.sessions] == [SessionState.PENDING, SessionState.ENDED]


def test_quirk_42_a_stop_nobody_can_place_is_kept_once(scene: Scene) -> None:
    for _ in range(2):
        scene.tell(TransactionEnded, 60, transaction_id="99", meter_stop_wh=1200)
    assert [session.state for session in scene.sessions] == [SessionState.ORPHANED]
    scene.tell(TransactionEnded, 90, transaction_id="99", meter_stop_wh=1300)
    assert [session.state for session in scene.sessions] == [SessionState.ORPHANED] * 2


def test_readings_find_their_session_by_transaction_else_by_evse(scene: Scene) -> None:
    scene.start()
    scene.tell(MeterSampled, 10, transaction_id="7", values={"energy_import_wh": 1200.0})
    scene.tell(MeterSampled, 20, evse=1, transaction_id="-1", values={"energy_import_wh": 1300.0})
    scene.tell(MeterSampled, 30, evse=1, transaction_id="unknown", values={"energy_import_wh": 1400.0})
    assert scene.sessions[0].energy_wh == 400


def test_quirk_43_readings_without_a_session_still_show_on_the_connector(scene: Scene) -> None:
    scene.tell(MeterSampled, 10, evse=1, values={"power_w": 5000.0, "energy_import_wh": 10.0})
    assert (scene.connector.power_w, scene.connector.register_wh) == (5000.0, 10)


def test_power_on_the_connector_is_the_newest_by_device_time_and_zero_after_the_stop(scene: Scene) -> None:
    scene.start()
    scene.tell(MeterSampled, 60, transaction_id="7", values={"power_w": 9000.0})
    scene.tell(MeterSampled, 30, transaction_id="7", late_s=60, values={"power_w": 1.0})
    assert scene.connector.power_w == 9000.0
    scene.tell(TransactionEnded, 90, transaction_id="7", meter_stop_wh=2000)
    assert scene.connector.power_w == 0.0
    scene.tell(MeterSampled, 95, transaction_id="7", values={"power_w": 9000.0})
    assert scene.connector.power_w == 0.0


def test_a_charging_state_of_2x_refines_the_connector_unless_it_is_faulted(scene: Scene) -> None:
    scene.start()
    scene.status(ConnectorStatus.PREPARING, 1)
    scene.tell(TransactionUpdated, 2, transaction_id="7", charging_state=ConnectorStatus.CHARGING)
    assert scene.connector.status is ConnectorStatus.CHARGING
    scene.status(ConnectorStatus.PREPARING, 3)
    assert scene.connector.status is ConnectorStatus.CHARGING, "Occupied says less than the transaction"
    scene.status(ConnectorStatus.FAULTED, 4)
    scene.tell(TransactionUpdated, 5, transaction_id="7", charging_state=ConnectorStatus.SUSPENDED_EV)
    assert scene.connector.status is ConnectorStatus.FAULTED


def test_an_update_of_an_unknown_transaction_opens_a_session_for_review(scene: Scene) -> None:
    scene.tell(TransactionUpdated, 5, transaction_id="T", evse=1, charging_state=ConnectorStatus.CHARGING)
    assert scene.sessions[0].state is SessionState.CHARGING
    assert scene.sessions[0].review


def test_a_session_that_learns_its_evse_later_bounds_what_was_open_there(scene: Scene) -> None:
    scene.start(0, "old", evse=2)
    scene.start(10, "new", evse=0)
    scene.tell(TransactionUpdated, 20, transaction_id="new", evse=2)
    old, new = scene.sessions
    assert (old.state, new.evse) == (SessionState.ORPHANED, 2)
    assert scene.book.open_session("CP", 2) == new
    assert scene.book.open_session("CP", 0) is None


def test_only_a_few_sessions_are_remembered_and_never_an_open_one_forgotten(scene: Scene) -> None:
    scene.start(0, "open", evse=9)
    for number in range(80):
        scene.start(number, str(number + 1))
        scene.tell(TransactionEnded, number + 0.5, transaction_id=str(number + 1), meter_stop_wh=1001)
    assert len(scene.sessions) <= 51
    assert scene.book.find_session("CP", "open") is not None
    assert scene.book.find_session("CP", "80") is not None
    assert scene.book.find_session("CP", "1") is None


def test_changes_are_handed_out_once_and_newest(scene: Scene) -> None:
    scene.start()
    for seconds in (10, 20):
        at = BEGIN + timedelta(seconds=seconds)
        values = {"energy_import_wh": 1000.0 + seconds}
        scene.book.apply(MeterSampled(station="CP", at=at, received_at=at, evse=1, values=values))
    changed = scene.book.take_changed()
    assert sorted(type(snapshot).__name__ for snapshot in changed) == ["Connector", "Session"]
    assert [s.energy_wh for s in changed if isinstance(s, Session)] == [20]
    assert scene.book.take_changed() == []


def test_what_was_written_down_is_read_back_and_the_newer_wins(scene: Scene) -> None:
    scene.tell(StationConnected, address="", protocol="ocpp1.6")
    scene.start()
    scene.status(ConnectorStatus.CHARGING, 5)
    written = [*scene.book.stations.values(), *scene.book.connectors.values(), *scene.sessions]
    assert [decode_snapshot(encode_snapshot(snapshot)) for snapshot in written] == written
    assert len({key_of(snapshot) for snapshot in written}) == len(written)
    again = Book("there")
    again.restore(written)
    assert (again.stations, again.connectors, again.sessions) == (
        scene.book.stations,
        scene.book.connectors,
        scene.book.sessions,
    )
    scene.tell(MeterSampled, 60, evse=1, values={"energy_import_wh": 5000.0})
    again.restore(scene.sessions)
    again.restore(written)
    assert again.find_session("CP", "7") == scene.sessions[0]
    assert again.open_session("CP", 1) == scene.sessions[0]


@pytest.mark.parametrize(("late_s", "offline", "expected"), [(0, False, False), (61, False, True), (0, True, True)])
def test_a_reading_is_late_by_its_age_or_its_own_word(late_s: float, offline: bool, expected: bool) -> None:
    received_at = BEGIN + timedelta(seconds=late_s)
    reading = MeterSampled(station="CP", at=BEGIN, received_at=received_at, values={}, offline=offline)
    assert is_late(reading) is expected


@pytest.mark.parametrize("status_first", [True, False])
def test_a_fault_of_ocpp_2_has_its_cause_whichever_message_comes_first(scene: Scene, status_first: bool) -> None:
    said = {"component": "RCD/main@1:1", "variable": "Problem", "value": "true", "evse": 1}
    words = {"tech_code": "E-041", "tech_info": "RCD tripped"}
    steps = [
        lambda: scene.status(ConnectorStatus.FAULTED, 1, error_code=""),
        lambda: scene.tell(DeviceEventNotified, 1, **said | words),
    ]
    for step in steps if status_first else reversed(steps):
        step()
    found = scene.connector
    assert (found.status, found.error_code) == (ConnectorStatus.FAULTED, "GroundFailure")
    assert (found.info, found.vendor_error_code) == ("RCD tripped", "E-041")

    scene.tell(DeviceEventNotified, 2, **said | {"value": "false"})
    assert scene.connector.error_code == "NoError"


def test_a_status_of_ocpp_2_that_is_no_fault_ends_the_fault(scene: Scene) -> None:
    scene.tell(DeviceEventNotified, 1, component="PowerContactor", variable="Problem", value="true", evse=1)
    assert scene.connector.error_code == "PowerSwitchFailure"
    scene.status(ConnectorStatus.AVAILABLE, 2, error_code="")
    assert scene.connector.error_code == "NoError"


def test_a_device_event_about_something_else_is_no_fault(scene: Scene) -> None:
    assert scene.tell(DeviceEventNotified, 1, component="RCD", variable="Temperature", value="40", evse=1) == []


# what goes wrong at night


def test_a_clock_set_back_does_not_freeze_the_status_nor_the_power_nor_the_session(scene: Scene) -> None:
    scene.start(3600, late_s=-3600)  # an hour ahead until it hears our time
    scene.status(ConnectorStatus.FAULTED, 3601, late_s=-3600)
    scene.tell(MeterSampled, 3602, late_s=-3600, evse=1, values={"power_w": 7000.0, "energy_import_wh": 1100.0})
    scene.status(ConnectorStatus.CHARGING, 10)
    scene.tell(MeterSampled, 11, evse=1, values={"power_w": 3000.0, "energy_import_wh": 1200.0})
    assert scene.connector.status is ConnectorStatus.CHARGING
    assert scene.connector.power_w == 3000.0
    [session] = scene.sessions
    assert (session.state, session.energy_wh) == (SessionState.CHARGING, 200)


def test_quirk_42_a_stop_nobody_could_place_does_not_hide_the_next_one_with_the_same_placeholder(scene: Scene) -> None:
    scene.tell(TransactionEnded, transaction_id="-1", meter_stop_wh=900)
    scene.start(60)
    scene.tell(TransactionEnded, 120, transaction_id="-1", meter_stop_wh=1500)
    assert [session.state for session in scene.sessions] == [SessionState.ORPHANED, SessionState.ENDED]
    assert scene.sessions[1].energy_wh == 500


def test_quirk_42_a_stop_with_a_placeholder_sent_twice_ends_one_session(scene: Scene) -> None:
    scene.start()
    for _ in range(2):
        scene.tell(TransactionEnded, 120, transaction_id="0", meter_stop_wh=1500)
    assert [session.state for session in scene.sessions] == [SessionState.ENDED]


def test_a_station_wide_meter_is_not_the_meter_of_a_session_that_has_no_place_yet(scene: Scene) -> None:
    scene.start(evse=0, meter_start_wh=None)
    scene.tell(MeterSampled, 10, evse=0, values={"energy_import_wh": 5_000_000.0})
    scene.tell(MeterSampled, 20, evse=0, values={"energy_import_wh": 5_090_000.0})
    assert scene.sessions[0].energy_wh == 0
    assert scene.book.connectors["CP", 0, 1].register_wh == 5_090_000


def test_a_session_that_learns_its_evse_leaves_the_station_itself(scene: Scene) -> None:
    scene.start(evse=0)
    scene.tell(TransactionUpdated, 5, transaction_id="7", evse=1)
    assert scene.book.connectors["CP", 0, 1].session_id is None
    assert scene.connector.session_id == scene.sessions[0].id


def test_a_start_from_the_queue_does_not_bound_the_newer_session_under_way(scene: Scene) -> None:
    scene.start(3600, transaction="8")
    scene.start(0, transaction="7", late_s=3700)
    live, old = scene.sessions
    assert (live.transaction_id, live.state, old.state) == ("8", SessionState.PENDING, SessionState.ORPHANED)
    assert scene.connector.session_id == live.id
    scene.tell(MeterSampled, 3800, evse=1, values={"energy_import_wh": 1600.0})
    scene.tell(TransactionEnded, 600, late_s=3300, transaction_id="7", meter_stop_wh=1400)
    assert [(s.state, s.energy_wh) for s in scene.sessions] == [(SessionState.CHARGING, 600), (SessionState.ENDED, 400)]


def test_a_start_that_comes_after_its_own_updates_is_the_same_session(scene: Scene) -> None:
    scene.tell(TransactionUpdated, 60, transaction_id="T", evse=1)
    scene.tell(MeterSampled, 61, transaction_id="T", evse=1, values={"energy_import_wh": 1500.0})
    scene.start(0, transaction="T", late_s=62, offline=True)
    [session] = scene.sessions
    assert (session.started_at, session.token, session.energy_wh) == (BEGIN, "CARD", 500)


def test_sessions_without_a_place_are_bounded(scene: Scene) -> None:
    for number in range(300):
        scene.start(number, transaction=str(number), evse=0)
    assert len(scene.sessions) < 100
    assert sum(session.is_open for session in scene.sessions) < 100


def test_what_another_bridge_knew_is_written_down_here_too(scene: Scene) -> None:
    scene.start()
    other = Book("there")
    other.adopt(scene.book.everything())
    assert {key_of(snapshot) for snapshot in other.take_changed()} == {key_of(s) for s in scene.book.everything()}
    other.adopt(scene.book.everything())
    assert other.take_changed() == []


def test_a_start_of_ocpp_2_without_a_time_resent_is_the_same_session(scene: Scene) -> None:
    scene.start(transaction="T", seq_no=0)
    scene.start(30, transaction="T", seq_no=0)
    assert len(scene.sessions) == 1
    scene.tell(TransactionUpdated, 40, transaction_id="T", evse=1, seq_no=1)
    scene.start(50, transaction="T", seq_no=0)
    assert len(scene.sessions) == 2, "the station counts anew: another transaction under an old id"
