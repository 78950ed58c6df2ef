"""Ticks over real databases: one alarm for one condition, whatever is repeated, restarted or left half done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from alarm_world import NOW, ago, connector, offline, session, station, write

from bridge.events import ConnectorStatus
from bridge.session import SessionState
from bridge.stores.records import Records, Site
from bridge.stores.tables import leases, outbox, rule_states
from dashboard.alerts.catalogue import SHIPPED, load_rules
from dashboard.alerts.leader import Lease, NotLeader
from dashboard.alerts.lifecycle import TRANSITIONS, AlarmState, Trigger, advance
from dashboard.alerts.outbox import Channel, Outbox
from dashboard.alerts.process import Evaluator
from dashboard.alerts.store import AlarmQuery, AlarmStore, NoSuchAlarm

RULES = load_rules(SHIPPED)
CHANNELS = {
    "email": Channel({"ops@example.org": None}, lambda message, target: None),
    "webhook": Channel({}, lambda message, target: None),
}


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def evaluator(records: Records, clock: Clock) -> Evaluator:
    return started(records, clock)


def started(records: Records, clock: Clock, holder: str = "one") -> Evaluator:
    """As after a start of the process."""
    lease = Lease(records, "alerts", holder, 3600)
    return Evaluator(records, RULES, CHANNELS, lease, min_priority=4, clock=clock)


@pytest.fixture
def store(records: Records) -> AlarmStore:
    return AlarmStore(records)


def subjects(records: Records) -> list[str]:
    return [parcel.subject for parcel in reversed(Outbox(records).parcels())]


# ---- the life of an alarm


def test_the_table_of_an_alarms_life_holds_every_state_and_comes_back_to_normal() -> None:
    assert set(TRANSITIONS) == set(AlarmState)
    state = AlarmState.NORMAL
    for trigger in (Trigger.RAISED, Trigger.CLEARED, Trigger.RAISED, Trigger.ACKNOWLEDGED, Trigger.CLEARED):
        edge = advance(state, trigger)
        assert edge is not None
        assert edge.old is state
        state = edge.new
    assert state is AlarmState.NORMAL
    assert advance(AlarmState.ACKNOWLEDGED, Trigger.ACKNOWLEDGED) is None


def test_a_station_that_stays_away_raises_one_alarm_and_one_notice_over_restarts(
    records: Records, evaluator: Evaluator, store: AlarmStore, clock: Clock
) -> None:
    write(records, offline(since=NOW))
    evaluator.tick()
    assert store.open_alarms() == []
    clock.pass_(seconds=200)
    started(records, clock).tick()  # the on-delay goes on where it was
    clock.pass_(seconds=100)
    again = started(records, clock)
    for _ in range(3):
        again.tick()
        clock.pass_(seconds=2)
    (alarm,) = store.open_alarms()
    assert (alarm.rule, alarm.station, alarm.priority) == ("station_offline", "CP1", 3)
    assert alarm.state is AlarmState.UNACKNOWLEDGED
    assert subjects(records) == ["P3 CP1 is offline since 2026-03-01 12:00 UTC"]
    assert store.delays() == {}


def test_an_alarm_ends_when_it_is_gone_and_seen_and_each_step_is_an_edge(
    records: Records, evaluator: Evaluator, store: AlarmStore, clock: Clock
) -> None:
    write(records, offline(since=ago(hours=1)))
    evaluator.tick()
    (alarm,) = store.open_alarms()
    write(records, station())
    clock.pass_(minutes=3)
    evaluator.tick()
    assert [a.state for a in store.open_alarms()] == [AlarmState.RETURNED]
    done = store.acknowledge(alarm.id, "anna", clock.now)
    assert (done.state, done.acknowledged_by, done.cleared_at) == (AlarmState.NORMAL, "anna", clock.now)
    assert store.open_alarms() == []
    steps = [(e.old, e.new, e.reason, e.actor) for e in store.edges(alarm.id)]
    assert steps == [
        ("normal", "unacknowledged", "raised", "rule"),
        ("unacknowledged", "returned", "cleared", "rule"),
        ("returned", "normal", "acknowledged", "anna"),
    ]
    assert subjects(records)[1].startswith("Over: CP1 is offline")


def test_a_condition_that_comes_back_unseen_raises_the_same_alarm_again_and_says_so(
    records: Records, evaluator: Evaluator, store: AlarmStore
) -> None:
    faulted = connector(ConnectorStatus.FAULTED, "GroundFailure")
    write(records, station(), faulted)
    evaluator.tick()
    write(records, connector(ConnectorStatus.AVAILABLE))
    evaluator.tick()
    write(records, connector(ConnectorStatus.FAULTED, "GroundFailure"))
    evaluator.tick()
    (alarm,) = store.open_alarms()
    assert (alarm.state, alarm.priority, alarm.cleared_at) == (AlarmState.UNACKNOWLEDGED, 1, None)
    assert [e.new for e in store.edges(alarm.id)] == ["unacknowledged", "returned", "unacknowledged"]
    assert subjects(records) == ["P1 Ground fault at CP1, connector 1"] * 2


def test_acknowledging_twice_keeps_the_first_and_a_number_nobody_has_is_an_error(
    records: Records, evaluator: Evaluator, store: AlarmStore
) -> None:
    write(records, station(), connector(ConnectorStatus.FAULTED, "GroundFailure"))
    evaluator.tick()
    (alarm,) = store.open_alarms()
    store.acknowledge(alarm.id, "anna", NOW)
    assert store.acknowledge(alarm.id, "bert", ago(hours=-1)).acknowledged_by == "anna"
    with pytest.raises(NoSuchAlarm):
        store.acknowledge(alarm.id + 1, "anna", NOW)


# ---- sessions


def test_a_session_that_ends_is_told_once_also_when_it_arrives_out_of_order(
    records: Records, evaluator: Evaluator, clock: Clock
) -> None:
    write(records, station(), session("late", ended=NOW))
    evaluator.tick()
    write(records, session("early", ended=ago(minutes=20)))  # another bridge was cut off
    evaluator.tick()
    started(records, clock).tick()
    assert subjects(records) == ["Charging complete at CP1, connector 1: 12.34 kWh, 6.05 EUR"] * 2


def test_an_interrupted_session_is_an_alarm_that_is_over_and_waits_to_be_seen(
    records: Records, evaluator: Evaluator, store: AlarmStore, clock: Clock
) -> None:
    write(records, station(), session(reason="PowerLoss"))
    evaluator.tick()
    started(records, clock).tick()
    (alarm,) = store.open_alarms()
    assert (alarm.rule, alarm.session_id, alarm.state) == ("session_interrupted", "s1", AlarmState.RETURNED)
    assert len(subjects(records)) == 2  # the alarm's, and the driver's
    store.acknowledge(alarm.id, "anna", clock.now)
    started(records, clock).tick()
    assert store.open_alarms() == []


def test_a_session_that_ended_long_ago_is_recorded_and_not_told_as_news(
    records: Records, evaluator: Evaluator, store: AlarmStore
) -> None:
    old = session(reason="PowerLoss", ended=ago(hours=9), stop_received_at=NOW)
    write(records, station(), old)
    evaluator.tick()
    assert [a.session_id for a in store.open_alarms()] == ["s1"]
    assert subjects(records) == []


def test_a_bridge_cut_off_for_days_has_its_sessions_looked_at_on_its_return(
    records: Records, evaluator: Evaluator, store: AlarmStore
) -> None:
    write(records, station(), session(reason="PowerLoss", ended=ago(days=3)))
    evaluator.tick()
    assert [a.session_id for a in store.open_alarms()] == ["s1"]


def test_many_ends_at_once_are_taken_in_parts_and_none_is_left_out(
    records: Records, evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.alerts.facts.MOST_ENDS", 4)
    write(records, station(), *(session(f"s{n}", ended=ago(minutes=n)) for n in range(9)))
    told = []
    for _ in range(4):
        evaluator.tick()
        told.append(len(subjects(records)))
    assert told == [4, 8, 9, 9]


def test_an_orphan_is_told_only_when_its_own_stop_comes_after_all(records: Records, evaluator: Evaluator) -> None:
    write(records, station(), session(state=SessionState.ORPHANED))
    evaluator.tick()
    assert subjects(records) == []
    write(records, session())
    evaluator.tick()
    assert len(subjects(records)) == 1


# ---- all or nothing, and one leader


def test_a_tick_that_fails_half_way_leaves_nothing_and_the_next_does_it_all(
    records: Records, evaluator: Evaluator, store: AlarmStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(records, station(), connector(ConnectorStatus.FAULTED, "GroundFailure"), session())

    def broken(*_: object) -> Iterator[tuple[str, str]]:
        raise RuntimeError("a defect in a route")

    with monkeypatch.context() as patch:
        patch.setattr(evaluator, "_route", broken)
        evaluator.tick()
    assert store.open_alarms() == []
    with records.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(rule_states)).scalar() == 0
    evaluator.tick()
    assert len(store.open_alarms()) == 1
    assert len(subjects(records)) == 2


def test_a_leader_that_lost_its_lease_in_mid_tick_stores_nothing(
    records: Records, store: AlarmStore, clock: Clock
) -> None:
    write(records, station(), connector(ConnectorStatus.FAULTED, "GroundFailure"))
    lease = Lease(records, "alerts", "old", 3600)
    assert lease.acquire()
    with records.writing() as connection:
        connection.execute(sa.update(leases).values(holder="new"))
    with pytest.raises(NotLeader), records.writing() as connection:
        lease.fence(connection)
    old = started(records, clock, "old")
    old.tick()
    assert not old.is_leader
    assert store.open_alarms() == []


def test_of_many_that_try_at_once_exactly_one_leads(records: Records) -> None:
    for _ in range(3):
        with records.writing() as connection:
            connection.execute(sa.delete(leases))
        contenders = [Lease(records, "alerts", f"holder {n}", 60) for n in range(6)]
        won: list[str] = []
        gate = threading.Barrier(len(contenders))

        def contend(lease: Lease, gate: threading.Barrier = gate, won: list[str] = won) -> None:
            gate.wait()
            if lease.acquire():
                won.append(lease.holder)

        threads = [threading.Thread(target=contend, args=(lease,)) for lease in contenders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert contenders[0].current_holder() == won[0]


def test_a_lease_is_taken_over_only_after_it_ran_out_or_was_given_back(records: Records) -> None:
    one, two = Lease(records, "alerts", "one", 60), Lease(records, "alerts", "two", 60)
    assert one.acquire()
    assert one.acquire()
    assert not two.acquire()
    with records.writing() as connection:
        connection.execute(sa.update(leases).values(expires_at=ago(days=300)))
    assert two.acquire()
    assert not one.acquire()
    two.release()
    assert one.acquire()


# ---- reading


def test_alarms_come_newest_first_in_pages_by_state_and_station(
    records: Records, evaluator: Evaluator, store: AlarmStore, clock: Clock
) -> None:
    write(records, *(station(f"CP{n}") for n in range(5)))
    for n in range(5):
        write(records, connector(ConnectorStatus.FAULTED, "GroundFailure", station=f"CP{n}"))
        evaluator.tick()
        clock.pass_(seconds=1)
    first = store.alarms(AlarmQuery(limit=3))
    rest = store.alarms(AlarmQuery(limit=3, cursor=first.next_cursor))
    assert [a.station for a in (*first.items, *rest.items)] == ["CP4", "CP3", "CP2", "CP1", "CP0"]
    assert rest.next_cursor is None
    assert store.alarms(AlarmQuery(states=frozenset({AlarmState.NORMAL}))).items == []
    assert [a.station for a in store.alarms(AlarmQuery(station="CP2")).items] == ["CP2"]


def test_names_and_sites_of_the_records_are_in_the_words(
    records: Records, evaluator: Evaluator, store: AlarmStore
) -> None:
    records.save_site(Site(id="n", name="North car park"))
    for id in ("CP1", "CP2"):
        write(records, offline(id, ago(hours=1)))
        records.assign_site(id, "n")
    evaluator.tick()
    (alarm,) = store.open_alarms()
    assert (alarm.rule, alarm.station) == ("site_down", "")
    assert alarm.title.startswith("North car park: 2 of 2 stations are offline")


def test_a_thousand_stations_cost_the_same_few_reads(
    records: Records, evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(records, *(station(f"CP{n}") for n in range(1_000)))
    evaluator.tick()
    statements = 0

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal statements
        statements += not statement.startswith("BEGIN")

    sa.event.listen(records.engine, "before_cursor_execute", count)
    evaluator.tick()
    assert 0 < statements <= 10


def test_a_recipient_gets_one_notice_of_an_edge_and_the_database_holds_to_it(
    records: Records, evaluator: Evaluator
) -> None:
    write(records, station(), session())
    evaluator.tick()
    (parcel,) = Outbox(records).parcels()
    assert parcel.key == "notice-session_completed-s1/email/ops@example.org"
    with pytest.raises(Exception, match="refuse"), records.writing() as connection:
        connection.execute(sa.insert(outbox).from_select(*_copy_of(parcel.id)))


def _copy_of(id: int) -> tuple[list[str], sa.Select[tuple[object, ...]]]:
    columns = [column for column in outbox.c if column.name != "id"]
    return [c.name for c in columns], sa.select(*columns).where(outbox.c.id == id)
