"""What chargers do to their transactions, and the sessions that come of it all the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from ocpp_world import Desk, World, desk
from quirks_world import (
    NOW,
    STATUS,
    at,
    committed,
    energies,
    frame,
    is_valid,
    kept_frames,
    meter,
    play,
    register,
    sample,
    start,
    status,
    stop,
    transaction_event,
    when,
)

from bridge.access import Directory, TokenEntry
from bridge.book import is_late
from bridge.command_bus import CommandOutcome
from bridge.events import ConnectorStatus, MeterSampled, StationDisconnected, decode
from bridge.ocpp import v16, v201
from bridge.session import SessionState
from bridge.settings import Unknown

ENDED, ORPHANED, PENDING = SessionState.ENDED, SessionState.ORPHANED, SessionState.PENDING


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path / "16", v16.VERSION) as there:
        yield there


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path / "201", v201.VERSION) as there:
        yield there


def sessions(there: Desk) -> list[tuple[SessionState, int]]:
    return [(session.state, session.energy_wh) for session in there.sessions]


@pytest.mark.parametrize("transaction", [0, -1, -16, None])
def test_quirk_42_a_stop_without_a_usable_id_finds_its_session(old: Desk, transaction: int | None) -> None:
    start(old, connector=1, tag="CARD")
    start(old, connector=2, tag="OTHER")
    answer = stop(old, transaction, 1_700, idTag="CARD")
    assert answer["idTagInfo"]["status"] == "Accepted"
    assert sessions(old) == [(ENDED, 700), (PENDING, 0)]
    stop(old, transaction, 1_900, 5, idTag="NOBODY")
    assert sessions(old)[1:] == [(ENDED, 900)], "the only one that is left"
    stop(old, transaction, 2_000, 9, idTag="NOBODY")
    assert sessions(old)[2:] == [(ORPHANED, 0)], "kept for review"


def test_quirk_43_readings_before_their_start_are_kept_and_the_start_is_taken_up(old: Desk, new: Desk) -> None:
    assert meter(old, -700, sample("1000"), sample("7000", "Power.Active.Import"), transaction=77) == {}
    assert old.intake.book.connectors["CP", 1, 1].power_w == 7_000.0
    transaction = start(old)
    meter(old, -500, "1300", transaction=transaction)
    stop(old, transaction, 1_500)
    assert [(s.energy_wh, s.review) for s in old.sessions] == [(500, ())]
    update = transaction_event("Updated", 1, -500, evse={"id": 2}, meterValue=register(1_200, -500))
    assert new.say("TransactionEvent", update) == {}
    begun = transaction_event("Started", 0, -600, evse={"id": 2}, meterValue=register(1_000, -600))
    assert new.say("TransactionEvent", begun) == {}
    assert new.say("TransactionEvent", transaction_event("Ended", 2, 0, meterValue=register(1_500, 0))) == {}
    assert [(s.started_at, s.energy_wh, s.review) for s in new.sessions] == [(when(-600), 500, ())]


def test_quirk_44_a_remote_start_that_never_begins_leaves_no_session(tmp_path: Path) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            await charger.boot()
            charger.answers["RemoteStartTransaction"] = {"status": "Accepted"}
            call = house.server.call("CP", "RemoteStartTransaction", {"idTag": "CARD", "connectorId": 1}, 5.0)
            done = asyncio.create_task(call)
            await charger.reply(json.loads(await charger.link.recv()))
            outcome = await done
            assert (outcome.outcome, outcome.payload) == (CommandOutcome.ANSWERED, {"status": "Accepted"})
            await charger.call("StatusNotification", STATUS | {"status": "Preparing"})
            await charger.call("StatusNotification", STATUS | {"status": "Available"})
        await committed(house)
        assert house.sessions("CP") == []
        assert house.book.connectors["CP", 1, 1].status is ConnectorStatus.AVAILABLE
        assert ("<", "RemoteStartTransaction") in [(e.direction, e.action) for _, e in house.journal.read(0, 100)]

    play(tmp_path, scene)


def test_quirk_45_a_start_and_a_stop_sent_again_are_one_session(old: Desk) -> None:
    first = start(old)
    again = Desk(old.intake, v16.VERSION)  # after a link loss
    assert start(again) == first
    answers = [stop(again, first, 1_800, -30, idTag="CARD") for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert sessions(old) == [(ENDED, 800)]
    assert start(again) == first, "even after its stop"
    assert sessions(old) == [(ENDED, 800)]


def test_quirk_46_an_unknown_tag_in_an_offline_start_is_recorded_for_review(tmp_path: Path) -> None:
    with desk(tmp_path, v16.VERSION, Unknown.REJECT) as there:
        payload = {"connectorId": 1, "idTag": "WHO", "meterStart": 0, "timestamp": at(-7_200)}
        assert there.say("StartTransaction", payload)["idTagInfo"]["status"] == "Invalid"
        assert there.sessions[0].review == ("token not accepted: unknown token",)


def test_quirk_47_a_reservation_0_is_none(old: Desk) -> None:
    payload = {"connectorId": 1, "idTag": "CARD", "meterStart": 0, "timestamp": at(-60), "reservationId": 0}
    assert is_valid(old, "StartTransaction", old.say("StartTransaction", payload))
    assert (old.notes, sessions(old)) == ("", [(PENDING, 0)])


def test_quirk_48_a_stop_without_a_tag_or_by_another_of_the_group(tmp_path: Path) -> None:
    tokens = {card: TokenEntry(token=card, group="FLEET") for card in ("CARD", "OTHER")}
    with desk(tmp_path, v16.VERSION, Unknown.REJECT, directory=Directory(tokens=tokens)) as there:
        assert stop(there, start(there, seconds=-900), 1_500, -700) == {}
        answer = stop(there, start(there, meter=1_500), 2_500, idTag="OTHER")
        assert answer["idTagInfo"] == {"status": "Accepted", "parentIdTag": "FLEET"}
        assert [(s.energy_wh, s.token, s.review) for s in there.sessions] == [(500, "CARD", ()), (1_000, "CARD", ())]


@pytest.mark.parametrize("tag", ["REMOTE-STARTED-BY-A-PERSON-0001", "HA0123456789ABCD"])
def test_quirk_49_an_overlong_tag_that_is_echoed_is_the_sessions(old: Desk, tag: str) -> None:
    transaction = start(old, tag=tag)
    assert is_valid(old, "StopTransaction", stop(old, transaction, 1_500, idTag=tag))
    assert [(s.token, s.energy_wh) for s in old.sessions] == [(tag, 500)]


def test_quirk_50_the_next_start_bounds_a_zombie(old: Desk) -> None:
    zombie = start(old)
    meter(old, -500, "1400", transaction=zombie)
    transaction = start(old, seconds=-300, meter=3_000)
    meter(old, -200, "3600", transaction=transaction)
    assert sessions(old) == [(ORPHANED, 400), (SessionState.CHARGING, 600)]
    assert old.sessions[0].review == ("no stop received before the next start on this connector",)


def test_quirk_51_available_before_the_stop_closes_nothing(old: Desk) -> None:
    transaction = start(old)
    status(old, "Available", -60)
    assert sessions(old) == [(PENDING, 0)]
    stop(old, transaction, 1_500, -90)
    assert sessions(old) == [(ENDED, 500)]
    assert old.intake.book.connectors["CP", 1, 1].status is ConnectorStatus.AVAILABLE


def test_quirk_52_a_reboot_straight_to_preparing_leaves_nothing_open_for_ever(old: Desk) -> None:
    stale = start(old)
    meter(old, -500, "1400", transaction=stale)
    old.say("BootNotification", {"chargePointVendor": "Acme", "chargePointModel": "Box"})
    status(old, "Preparing", -300)
    assert sessions(old) == [(SessionState.CHARGING, 400)], "its stop may still be in the queue"
    transaction = start(old, seconds=-200, meter=1_450)
    stop(old, transaction, 1_950)
    assert sessions(old) == [(ORPHANED, 400), (ENDED, 500)]
    stop(old, stale, 1_450, -310)
    assert sessions(old) == [(ENDED, 450), (ENDED, 500)], "it was"


def test_quirk_53_missing_places_replays_and_ids_used_again(new: Desk) -> None:
    begun = transaction_event("Started", 0, -7_200, offline=True, evse={"id": 1}, meterValue=register(1_000, -7_200))
    assert new.say("TransactionEvent", begun) == {}
    reading = [{"timestamp": at(-7_000), "sampledValue": [sample(7000.0, "Power.Active.Import"), sample(1_400.0)]}]
    new.say("TransactionEvent", transaction_event("Updated", 1, -7_000, offline=True, meterValue=reading))
    sampled = next(event for event in new.events if isinstance(event, MeterSampled))
    assert sampled.offline
    assert is_late(sampled), "never shown as live"
    new.say("TransactionEvent", transaction_event("Ended", 2, -6_900, offline=True, meterValue=register(1_500, -6_900)))
    assert [(s.connector, s.evse) for s in new.sessions] == [(1, 1)], "without a connector it is the first"
    again = transaction_event("Started", 0, -60, evse={"id": 1}, meterValue=register(1_500, -60))
    new.say("TransactionEvent", again)  # the same id and seqNo after a reboot
    new.say("TransactionEvent", transaction_event("Ended", 1, 0, meterValue=register(1_700, 0)))
    assert sessions(new) == [(ENDED, 500), (ENDED, 200)]


def test_quirk_54_an_unknown_transaction_is_answered_and_kept(old: Desk) -> None:
    for _ in range(3):
        assert is_valid(old, "StopTransaction", stop(old, 77, 5, idTag="CARD"))
    assert meter(old, 0, "5", transaction=78) == {}
    assert sessions(old) == [(ORPHANED, 0)], "the same stop again is the same orphan"


def test_quirk_55_a_stop_with_minus_one_after_an_offline_start(old: Desk) -> None:
    start(old, seconds=-7_200)
    assert stop(old, -1, 1_900, -3_600) == {}
    assert stop(old, -1, 1_900, -3_600) == {}
    assert sessions(old) == [(ENDED, 900)]


def test_quirk_62_two_starts_in_one_second_have_two_ids(old: Desk) -> None:
    ids = [start(old, connector=connector) for connector in range(1, 21)]
    assert len(set(ids)) == 20
    assert all(0 < id < 2**31 for id in ids)


def test_quirk_63_statuses_before_the_queued_stop_close_nothing(old: Desk) -> None:
    transaction = start(old)
    status(old, "Finishing", -60)
    status(old, "Available", -50)
    meter(old, -400, "1300", transaction=transaction)
    assert sessions(old) == [(SessionState.FINISHING, 300)]
    stop(old, transaction, 1_450, -300)
    assert [(s.state, s.energy_wh, s.review) for s in old.sessions] == [(ENDED, 450, ())]
    assert old.intake.book.connectors["CP", 1, 1].status is ConnectorStatus.AVAILABLE


def test_quirk_64_a_stop_for_power_loss_dated_as_the_start_and_an_old_id(old: Desk) -> None:
    transaction = start(old)
    meter(old, -500, "1400", transaction=transaction)
    assert is_valid(old, "StopTransaction", stop(old, transaction, 1_450, -600, reason="PowerLoss"))
    (session,) = old.sessions
    assert (session.state, session.energy_wh, session.stop_reason) == (ENDED, 450, "PowerLoss")
    newer = start(old, meter=1_450, seconds=-60)
    assert newer != transaction
    stop(old, transaction, 1_450, -600, reason="PowerLoss")
    assert sessions(old) == [(ENDED, 450), (PENDING, 0)], "an old id ends no newer session"


def test_quirk_67_updates_without_a_place_and_a_seqno_that_never_moves(new: Desk) -> None:
    id = {"transactionId": "0123456789abcdef0123456789abcdef01"}
    new.say("TransactionEvent", transaction_event("Started", 0, -600, evse={"id": 2, "connectorId": 1}, info=id))
    for seconds, wh in ((-500, 1_000), (-400, 1_250), (-300, 1_600)):
        values = register(wh, seconds)
        assert new.say("TransactionEvent", transaction_event("Updated", 0, seconds, info=id, meterValue=values)) == {}
    sampled = next(event for event in new.events if isinstance(event, MeterSampled))
    assert sampled.evse == 2
    new.say("TransactionEvent", transaction_event("Ended", 0, 0, info=id))
    assert [(s.evse, s.state, s.energy_wh) for s in new.sessions] == [(2, ENDED, 600)]


def test_quirk_70_readings_while_faulted_and_an_error_code_that_is_no_fault(old: Desk) -> None:
    transaction = start(old)
    status(old, "Charging", -500, errorCode="WeakSignal")
    assert old.sessions[0].state is SessionState.CHARGING
    status(old, "Faulted", -400, errorCode="GroundFailure")
    meter(old, -300, "1700", transaction=transaction)
    assert energies(old) == [700]
    connector = old.intake.book.connectors["CP", 1, 1]
    assert (connector.status, connector.error_code) == (ConnectorStatus.FAULTED, "GroundFailure")


def test_quirk_71_statuses_in_any_order_end_no_session_and_begin_none(old: Desk) -> None:
    assert status(old, "Available", -900) == {}, "before the boot"
    old.say("BootNotification", {"chargePointVendor": "Acme", "chargePointModel": "Box"})
    status(old, "Preparing", -800)
    status(old, "Available", -790)  # the tag was rejected
    assert old.sessions == []
    first = start(old, seconds=-700)
    status(old, "Finishing", -650)
    stop(old, first, 1_300, -640)
    second = start(old, seconds=-600, meter=1_300)
    status(old, "Available", -500)  # the cable was pulled: no Finishing
    stop(old, second, 1_700, -500)
    assert sessions(old) == [(ENDED, 300), (ENDED, 400)]


@pytest.mark.parametrize("way", ["1000", "1005", "drop"])
def test_quirk_72_what_is_left_out_and_how_a_connection_ends(tmp_path: Path, way: str) -> None:
    async def scene(house: World) -> None:
        async with house.charger("CP") as charger:
            await charger.boot()
            assert await charger.call("StatusNotification", STATUS) == {}
            begun = {"connectorId": 1, "idTag": "CARD", "meterStart": 0, "timestamp": at(-60)}
            transaction = (await charger.call("StartTransaction", begun))["transactionId"]
            end = {"transactionId": transaction, "meterStop": 400, "timestamp": at(0)}
            assert await charger.call("StopTransaction", end) == {}
            if way == "drop":
                charger.link.transport.abort()
            elif way == "1005":
                charger.link.protocol.send_close()
                charger.link.transport.write(b"".join(charger.link.protocol.data_to_send()))
            else:
                await charger.link.close()
            await house.until(lambda: not house.server.holds("CP"), "the end")
        (session,) = house.sessions("CP")
        assert (session.state, session.energy_wh, session.stop_reason) == (ENDED, 400, "Local")
        assert ("CP", 0, 1) not in house.book.connectors
        connector = house.book.connectors["CP", 1, 1]
        assert connector.status_at == connector.status_received_at
        await committed(house)
        events = [event for _, entry in house.journal.read(0, 100) for event in decode(entry.events)]
        (left,) = [event for event in events if isinstance(event, StationDisconnected)]
        assert left.reason == {"1000": "closed 1000", "1005": "closed 1005", "drop": "connection lost"}[way]

    play(tmp_path, scene)


def test_every_frame_of_a_broken_day_is_kept(old: Desk) -> None:
    raws = [frame("StopTransaction", {"transactionId": 5}), frame("MeterValues", {"connectorId": 1}), "[2,"]
    for raw in raws:
        old.send(raw, NOW + timedelta(seconds=1))
    assert [raw.encode() for raw in raws] == kept_frames(old)
