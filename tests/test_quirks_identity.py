"""What chargers say about times, states and cards, and what is made of it all the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from ocpp_world import Desk, desk
from quirks_world import (
    NOW,
    STATUS,
    at,
    energies,
    is_valid,
    journaled,
    kept_frames,
    meter,
    register,
    start,
    station,
    status,
    stop,
    transaction_event,
    when,
    with_policy,
)

from bridge.access import Directory, TokenEntry
from bridge.events import ConnectorStatus, StatusChanged
from bridge.ocpp import v16, v201
from bridge.session import SessionState
from bridge.settings import Unknown

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path, v16.VERSION) as there:
        yield there


def on_the_wall(moment: datetime, mark: str = "Z") -> str:
    return moment.astimezone(BERLIN).replace(tzinfo=None).isoformat() + mark


@pytest.mark.parametrize("year", [1970, 2014, 2099])
def test_quirk_56_a_clock_that_is_nowhere_is_ours(old: Desk, year: int) -> None:
    old.say("StatusNotification", STATUS | {"timestamp": f"{year}-01-01T00:00:00Z"}, NOW)
    event = old.events[0]
    assert (event.at, event.received_at) == (NOW, NOW)
    assert str(year).encode() in b"".join(kept_frames(old))


@pytest.mark.parametrize("text", ["2026-05-04T11:00:00", " 2026-05-04T11:00:00Z ", "2026-05-04T13:00:00+02:00"])
def test_quirk_56_a_time_without_a_zone_is_utc(old: Desk, text: str) -> None:
    received_at = datetime.fromisoformat("2026-05-04T11:00:05+00:00")
    old.say("StatusNotification", STATUS | {"timestamp": text}, received_at)
    assert old.events[0].at == received_at - timedelta(seconds=5)
    assert old.events[0].received_at == received_at


@pytest.mark.parametrize("mark", ["Z", ""])
def test_quirk_56_local_time_marked_as_utc_is_right_once_a_person_says_so(tmp_path: Path, mark: str) -> None:
    offset = BERLIN.utcoffset(NOW.replace(tzinfo=None))
    for name, zone, policy, off in (
        ("before", "Europe/Berlin", {}, offset),
        ("site", "Europe/Berlin", {"clock": "local"}, timedelta()),
        ("own", "", {"clock": "local", "time_zone": "Europe/Berlin"}, timedelta()),
    ):
        with station(tmp_path / name, zone, **policy) as there:
            begun = {"connectorId": 1, "idTag": "C", "meterStart": 0, "timestamp": on_the_wall(when(-600), mark)}
            transaction = there.say("StartTransaction", begun, when(-600))["transactionId"]
            reading = {"timestamp": on_the_wall(when(-300), mark), "sampledValue": [{"value": "500"}]}
            payload = {"connectorId": 1, "transactionId": transaction, "meterValue": [reading]}
            there.say("MeterValues", payload, when(-300))
            assert there.sessions[0].started_at == when(-600) + off
            assert there.sessions[0].sample_at == when(-300) + off
            end = {"transactionId": transaction, "meterStop": 900, "timestamp": "2026-05-04T13:00:00+02:00"}
            there.say("StopTransaction", end)
            assert there.events[-1].at.isoformat() == "2026-05-04T11:00:00+00:00", "an offset that is said is believed"


def test_quirk_56_of_the_hour_that_comes_twice_the_nearer_one_is_meant(tmp_path: Path) -> None:
    for hour_utc in (0, 1):  # 02:30 on the wall, in summer time and an hour later in winter time
        received_at = datetime.fromisoformat(f"2026-10-25T{hour_utc:02}:30:02+00:00")
        with station(tmp_path / str(hour_utc), "Europe/Berlin", clock="local") as there:
            there.say("StatusNotification", STATUS | {"timestamp": "2026-10-25T02:30:00Z"}, received_at)
            assert there.events[0].at == received_at - timedelta(seconds=2)


def test_quirk_56_a_local_clock_is_put_right_in_201_as_well(tmp_path: Path) -> None:
    with station(tmp_path, "Europe/Berlin", v201.VERSION, clock="local") as there:
        event = transaction_event("Started", 0, 0, evse={"id": 1}) | {"timestamp": on_the_wall(when(-60))}
        there.say("TransactionEvent", event | {"meterValue": register(5, -60)}, when(-60))
        assert there.sessions[0].started_at == when(-60)


def test_quirk_56_an_event_of_the_device_model_has_its_time_put_right_too(tmp_path: Path) -> None:
    with station(tmp_path, "Europe/Berlin", v201.VERSION, clock="local") as there:
        entry = {"eventId": 1, "trigger": "Alerting", "actualValue": "true", "component": {"name": "EVSE"},
                 "variable": {"name": "Problem"}, "eventNotificationType": "HardWiredNotification"}  # fmt: skip
        data = [entry | {"timestamp": on_the_wall(when(-60))}]
        payload = {"generatedAt": on_the_wall(when(-60)), "seqNo": 0, "eventData": data}
        there.say("NotifyEvent", payload, when(-59))
        assert there.events[0].at == when(-60)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59", "noon", "2026-02-30T00:00:00Z"])
def test_quirk_56_a_local_time_that_cannot_be_is_ours(tmp_path: Path, text: str) -> None:
    with station(tmp_path, "Europe/Berlin", clock="local") as there:
        assert there.say("StatusNotification", STATUS | {"timestamp": text}, NOW) == {}
        assert there.events[0].at == NOW


def test_quirk_57_identical_status_storms_are_no_news(old: Desk) -> None:
    for seconds in range(50):
        assert status(old, "Available", seconds - 60) == {}
    assert old.intake.book.connectors["CP", 1, 1].revision == 1
    assert sum(isinstance(event, StatusChanged) for event in journaled(old)) == 50, "each is kept"


def test_quirk_58_a_fault_of_the_station_itself_leaves_the_bays_alone(old: Desk) -> None:
    transaction = start(old)
    status(old, "Charging", -500)
    status(old, "Faulted", -400, connectorId=0, errorCode="OtherError", info="modem: no carrier")
    meter(old, -300, "1500", transaction=transaction)
    connectors = old.intake.book.connectors
    assert (connectors["CP", 0, 1].status, connectors["CP", 0, 1].info) == (
        ConnectorStatus.FAULTED,
        "modem: no carrier",
    )
    assert connectors["CP", 1, 1].status is ConnectorStatus.CHARGING
    assert [(s.state, s.energy_wh) for s in old.sessions] == [(SessionState.CHARGING, 500)]


def test_quirk_59_a_fault_whose_news_is_in_info_alone_is_news(old: Desk) -> None:
    said = (-300, "Faulted", "RCD tripped"), (-200, "Faulted", "RCD closed"), (-100, "Available", "")
    for seconds, word, info in said:
        status(old, word, seconds, errorCode="NoError", info=info)
        connector = old.intake.book.connectors["CP", 1, 1]
        assert (connector.status, connector.info, connector.status_at) == (word, info, when(seconds))
    assert connector.revision == 3


CARDS = ("04A1B2C3D4E5F6", "04A1B2C3D40000")


@pytest.mark.parametrize(
    ("tag", "is_known"), [("04a1b2c3d4e5f6", True), (" 04A1B2C3D4E5F6\x00", True), ("04A1", False)]
)
def test_quirk_60_a_card_in_another_case_or_padding_is_the_card(tmp_path: Path, tag: str, is_known: bool) -> None:
    directory = with_policy(cards=CARDS)
    with desk(tmp_path, v16.VERSION, Unknown.REJECT, directory=directory) as there:
        answer = there.say("Authorize", {"idTag": tag})
        assert (answer["idTagInfo"]["status"] == "Accepted") is is_known


@pytest.mark.parametrize(
    ("tag", "card"),
    [("04A1B2C3D4E5", CARDS[0]), ("04a1b2c3d4e5C9", CARDS[0]), ("04A1B2C3D4", ""), ("99A1B2C3D4E5", "")],
)
def test_quirk_60_a_reader_that_reads_six_bytes_finds_the_one_card(tmp_path: Path, tag: str, card: str) -> None:
    directory = with_policy(cards=CARDS, id_tag_bytes=6)
    with desk(tmp_path, v16.VERSION, Unknown.REJECT, directory=directory) as there:
        status = "Accepted" if card else "Invalid"
        assert there.say("Authorize", {"idTag": tag})["idTagInfo"]["status"] == status
        transaction = start(there, tag=tag)
        answer = stop(there, transaction, 1_500, idTag=tag)
        assert answer["idTagInfo"]["status"] == status
        assert there.sessions[0].token == (card or tag)


def test_quirk_60_two_cards_that_begin_alike_are_nobodys(tmp_path: Path) -> None:
    directory = with_policy(cards=("04A1B2C3D4E5F6", "04A1B2C3D4E5F7"), id_tag_bytes=6)
    with desk(tmp_path, v16.VERSION, Unknown.REJECT, directory=directory) as there:
        assert there.say("Authorize", {"idTag": "04A1B2C3D4E5"})["idTagInfo"]["status"] == "Invalid"


def test_quirk_61_a_card_that_was_never_authorised_is_decided_at_the_start(tmp_path: Path) -> None:
    directory = Directory(tokens={"CARD": TokenEntry(token="CARD"), "BAD": TokenEntry(token="BAD", is_blocked=True)})
    with desk(tmp_path, v16.VERSION, Unknown.REJECT, directory=directory) as there:
        for tag, connector, word in (("CARD", 1, "Accepted"), ("BAD", 2, "Blocked")):
            payload = {"connectorId": connector, "idTag": tag, "meterStart": 0, "timestamp": at(-60)}
            answer = there.say("StartTransaction", payload)
            assert is_valid(there, "StartTransaction", answer)
            assert answer["idTagInfo"]["status"] == word
        assert [bool(session.review) for session in there.sessions] == [False, True]
        assert energies(there) == [0, 0]
