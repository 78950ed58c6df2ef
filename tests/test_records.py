"""The records keep the newest truth, whatever the order it comes in, and what people said about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
import servers
import sqlalchemy as sa
from msgspec.structs import replace
from records_world import name_station

from bridge import snapshots
from bridge.events import ConnectorStatus, EnergySource
from bridge.evidence import Evidence, Gap, Start
from bridge.session import Session, SessionState
from bridge.stores import tables
from bridge.stores.people import People
from bridge.stores.records import (
    BadCursor,
    Records,
    RecordsRejected,
    RecordsUnavailable,
    SessionQuery,
    Site,
    decode_cursor,
    encode_cursor,
)

T0 = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def session(id: str = "a", **changes: object) -> Session:
    known: dict[str, object] = {"station": "CP1", "evse": 1, "transaction_id": id, "revision": 1}
    times = {"started_at": T0, "start_received_at": T0}
    return Session(**({"id": id} | known | times | changes))


def ended(id: str, at: datetime, **changes: object) -> Session:
    return session(id, **({"state": SessionState.ENDED, "started_at": at - HOUR, "ended_at": at} | changes))


FULL = session(
    connector=2,
    token="04A2B3C4",
    state=SessionState.ENDED,
    started_at=T0 + timedelta(microseconds=7),
    ended_at=T0 + HOUR,
    stop_received_at=T0 + HOUR,
    meter_start_wh=2**40,
    meter_last_wh=2**40 + 5,
    meter_stop_wh=2**40 + 9,
    energy_wh=9,
    energy_carried_wh=-3,
    energy_integral_wh=8.5,
    energy_source=EnergySource.POWER_INTEGRAL,
    power_w=0.0,
    power_max_w=149_999.5,
    soc_start_percent=12.5,
    soc_percent=80.0,
    sample_at=T0,
    sample_received_at=T0,
    charging_s=3599,
    charging_since=T0,
    cost="12.34",
    currency="EUR",
    tariff="default-1",
    stop_reason="EVDisconnected",
    seq_no=2**40,
    review=("one", 'two "quoted"'),
    evidence=Evidence(
        start=Start.OWN,
        has_start_register=True,
        is_token_accepted=False,
        clock_start_s=-0.8,
        interval_s=10.5,
        gaps=(Gap(T0, T0 + HOUR),),
        seq_first=0,
        seq_last=2**40,
        seq_holes=((1, 5), (7, 7)),
        signed_end="OCMF",
    ),
    revision=7,
)


def test_a_session_comes_back_as_it_went_in(records: Records) -> None:
    records.upsert(sessions=[FULL, session("b")])
    assert records.session("a") == FULL
    assert records.session("b") == session("b")
    assert records.session("c") is None
    defaults = {f.name for f in msgspec.structs.fields(Session) if getattr(FULL, f.name) == f.default}
    assert defaults <= {"currency", "tariff"}, "FULL says something about every field"


def test_every_field_of_a_session_and_a_station_has_a_column() -> None:
    assert set(Session.__struct_fields__) | {"grade"} == set(tables.sessions.c.keys())
    assert set(snapshots.Station.__struct_fields__) <= set(tables.stations.c.keys())


def test_a_session_of_before_the_evidence_reads_back_without_it(records: Records) -> None:
    records.upsert(sessions=[session()])
    with records.writing() as connection:
        connection.execute(sa.update(tables.sessions).values(evidence=None, grade=""))
    assert records.session("a") == session()


def test_the_grade_is_recorded_with_every_change(records: Records) -> None:
    def recorded() -> str:
        with records.reading() as connection:
            return str(connection.execute(sa.select(tables.sessions.c.grade)).scalar_one())

    records.upsert(sessions=[session(evidence=Evidence(start=Start.OWN, has_start_register=True))])
    assert recorded() == "full"
    records.upsert(sessions=[session(evidence=Evidence(start=Start.UNSEEN), revision=2)])
    assert recorded() == "reconstructed"


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (3, 3, 3)])
def test_the_highest_revision_wins_in_any_order(records: Records, order: tuple[int, ...]) -> None:
    for revision in order:
        records.upsert(sessions=[session(energy_wh=revision * 100, revision=revision)])
    records.upsert(sessions=[session(energy_wh=r * 100, revision=r) for r in order])
    found = records.session("a")
    assert found is not None
    assert (found.energy_wh, found.revision) == (300, 3)


def test_a_replay_of_the_same_revision_changes_nothing(records: Records) -> None:
    records.upsert(sessions=[session(energy_wh=100)])
    records.upsert(sessions=[session(energy_wh=999)])
    assert records.session("a") == session(energy_wh=100)


def test_snapshots_leave_alone_what_people_said(records: Records) -> None:
    records.save_site(Site(id="s", name="Site"))
    records.assign_site("CP1", "s")
    name_station(records, "CP1", "By the door")
    People(records, b"pepper").set_station_key("CP1", "secret")
    records.rate_connector("CP1", 1, 1, "CCS2", 150_000)
    before = records.directory()
    records.upsert(
        [snapshots.Station(id="CP1", vendor="Acme", is_connected=True, revision=5)],
        [snapshots.Connector(station="CP1", evse=1, status=ConnectorStatus.CHARGING, session_id="a", revision=5)],
    )
    (station,), (connector,) = records.stations(), records.connectors()
    assert (station.site_id, station.site_name, station.name) == ("s", "Site", "By the door")
    assert (station.is_approved, station.has_key, station.vendor) == (True, True, "Acme")
    assert (connector.kind, connector.rated_power_w, connector.session_id) == ("CCS2", 150_000, "a")
    assert connector.status is ConnectorStatus.CHARGING
    assert records.directory() == before
    records.rate_connector("CP1", 1, 1, "Type2", None)
    assert records.connectors("CP1")[0].status is ConnectorStatus.CHARGING


def test_a_station_that_was_only_seen_is_not_let_in_by_that(records: Records) -> None:
    records.upsert([snapshots.Station(id="CP1", revision=1)])
    assert records.directory().stations == {}
    records.approve_station("CP1", False)
    assert not records.directory().stations["CP1"].is_approved
    records.approve_station("CP1", True)
    assert records.directory().stations["CP1"].is_approved


def test_a_connector_without_a_status_yet_is_kept(records: Records) -> None:
    records.upsert(connectors=[snapshots.Connector(station="CP1", evse=0, revision=1)])
    assert records.connectors()[0].status is None
    assert records.connectors("CP2") == []


def test_hostile_text_is_kept_as_far_as_a_database_can(records: Records) -> None:
    nasty = "'; DROP TABLE sessions; -- \x00 \ud800 \U0001f697 % _ \\"
    records.upsert([snapshots.Station(id="CP1", vendor=nasty, revision=1)], [], [session(token=nasty, review=(nasty,))])
    kept = nasty.replace("\x00", "\ufffd").replace("\ud800", "?")
    assert records.stations()[0].vendor == kept
    assert [s.token for s in records.sessions(SessionQuery(text=nasty)).items] == [kept]


def test_what_can_never_be_stored_does_not_hold_up_the_rest(records: Records) -> None:
    huge = session("huge", energy_wh=2**70)
    with pytest.raises(RecordsRejected, match="sessions huge"):
        records.upsert([snapshots.Station(id="CP1", revision=1)], [], [session("a"), huge, session("z")])
    assert {s.id for s in records.sessions().items} == {"a", "z"}
    assert [s.id for s in records.stations()] == ["CP1"]


def test_open_sessions_are_those_that_have_not_ended(records: Records) -> None:
    states = dict.fromkeys(SessionState)
    records.upsert(sessions=[session(str(state), state=state, station=f"CP{n}") for n, state in enumerate(states)])
    assert {s.state for s in records.open_sessions()} == set(SessionState) - {"ended", "orphaned"}
    assert [s.state for s in records.open_sessions("CP1")] == ["charging"]


# ---- pages


@pytest.fixture
def many(records: Records) -> Records:
    """Twenty sessions, two a minute at the same instant."""
    records.upsert(
        [snapshots.Station(id=id, revision=1) for id in ("CP0", "CP1")],
        sessions=[
            session(
                f"s{n:02}",
                station=f"CP{n % 2}",
                started_at=T0 + n // 2 * timedelta(minutes=1),
                state=SessionState.ENDED if n < 15 else SessionState.CHARGING,
                token=f"TAG_{n}",
            )
            for n in range(20)
        ],
    )
    return records


def ids(records: Records, **query: object) -> list[str]:
    return [s.id for s in records.sessions(SessionQuery(**query)).items]


def walk(records: Records, limit: int, between: bool = False) -> list[str]:
    cursor, seen = None, []
    while True:
        page = records.sessions(SessionQuery(limit=limit, cursor=cursor))
        seen += [s.id for s in page.items]
        if between:
            newest = session(f"new{len(seen)}", started_at=T0 + DAY + len(seen) * HOUR)
            records.upsert(sessions=[newest])
        if page.next_cursor is None:
            return seen
        cursor = page.next_cursor


@pytest.mark.parametrize("limit", [1, 3, 7, 19, 20, 21])
def test_pages_hold_every_session_once_newest_first(many: Records, limit: int) -> None:
    assert walk(many, limit) == [f"s{n:02}" for n in range(19, -1, -1)]


def test_rows_that_arrive_meanwhile_move_no_page(many: Records) -> None:
    assert walk(many, 3, between=True) == [f"s{n:02}" for n in range(19, -1, -1)]


def test_sessions_are_found_by_each_filter(many: Records) -> None:
    many.save_site(Site(id="s", name="Site"))
    many.assign_site("CP1", "s")
    assert ids(many, station="CP0", states=frozenset({SessionState.CHARGING})) == ["s18", "s16"]
    assert ids(many, since=T0 + timedelta(minutes=8), until=T0 + timedelta(minutes=9)) == ["s17", "s16"]
    assert len(ids(many, site="s")) == 10
    assert ids(many, site="other") == []
    assert ids(many, text="tag_7") == ["s07"]
    assert ids(many, text="%") == []
    assert len(ids(many, text="_")) == 20
    assert len(ids(many, text="cp1")) == 10
    assert len(ids(many, limit=10**9)) == 20


@pytest.mark.parametrize(
    "cursor", ["", "x", "!!", "bm9wZQ", encode_cursor(T0, "a")[:-2], "W10", "é", "WyIyMDI2LTAzLTAyVDEyOjAwOjAwIiwiYSJd"]
)
def test_a_bad_cursor_is_said_to_be_one(records: Records, cursor: str) -> None:
    with pytest.raises(BadCursor):
        records.sessions(SessionQuery(cursor=cursor))


def test_a_cursor_comes_back_as_it_went_out() -> None:
    assert decode_cursor(encode_cursor(T0, "a\x00'é")) == (T0, "a\x00'é")
    assert decode_cursor(encode_cursor(T0, 7)) == (T0, 7)


# ---- sites


def test_a_site_is_saved_and_changed(records: Records) -> None:
    site = Site(id="s", name="Site", place="Berlin", latitude=52.5, longitude=13.4, timezone="Europe/Berlin")
    records.save_site(site)
    records.save_site(replace(site, grid_limit_w=250_000))
    assert records.sites() == [replace(site, grid_limit_w=250_000)]
    records.assign_site("CP1", "s")
    assert [s.id for s in records.stations("s")] == ["CP1"]
    records.assign_site("CP1", None)
    assert records.stations("s") == []
    with pytest.raises(RecordsRejected):
        records.assign_site("CP1", "nowhere")


# ---- figures of a day


def test_money_is_summed_exactly_and_by_currency(records: Records) -> None:
    costs = [("0.10", "EUR")] * 3 + [("0.20", "EUR"), ("99999999999999.99", "EUR"), ("5.00", "CHF")]
    sessions = [ended(f"e{n}", T0, cost=c, currency=k, energy_wh=10) for n, (c, k) in enumerate(costs)]
    others = [ended("before", T0 - DAY), ended("after", T0 + DAY), session("open", started_at=T0 + HOUR)]
    records.upsert(sessions=[*sessions, *others, ended("orphan", T0, state=SessionState.ORPHANED)])
    totals = records.day_totals(T0, T0 + DAY)
    assert totals.revenue == {"EUR": Decimal("100000000000000.49"), "CHF": Decimal("5.00")}
    assert (totals.started, totals.ended, totals.energy_wh) == (2, 6, 60)


def test_a_session_that_delivered_nothing_counts_against_success(records: Records) -> None:
    records.upsert(
        sessions=[
            ended("energy", T0, energy_wh=100),
            ended("time", T0, energy_wh=99, charging_s=120),
            ended("failed", T0, energy_wh=99, charging_s=119),
            session("running"),
        ]
    )
    assert records.success(T0, T0 + DAY) == (3, 2, pytest.approx(2 / 3))
    assert records.success(T0 + DAY, T0 + 2 * DAY) == (0, 0, None)


def test_usual_is_the_median_of_the_same_weekdays_that_are_on_record(records: Records) -> None:
    day = T0.replace(hour=0)
    assert records.usual(day, T0) is None
    counts = {1: 4, 2: 1, 3: 2}  # weeks ago -> sessions by noon
    records.upsert(
        sessions=[
            session(f"{week}-{n}", started_at=day - week * 7 * DAY + hour * HOUR)
            for week, count in counts.items()
            for n, hour in enumerate([*range(count), 13, 14])
        ]
    )
    assert records.usual(day, T0) == (2, 3)
    assert records.usual(day, day + 15 * HOUR) == (4, 3)


def test_usual_follows_the_local_clock_over_its_change(records: Records) -> None:
    zone = ZoneInfo("Europe/Berlin")
    day = datetime(2026, 3, 30, tzinfo=zone)  # the clocks went forward on the 29th
    records.upsert(
        sessions=[
            session("first", started_at=datetime(2026, 3, 23, 0, 0, tzinfo=zone)),
            session("before", started_at=datetime(2026, 3, 23, 8, 59, tzinfo=zone)),
            session("after", started_at=datetime(2026, 3, 23, 9, 1, tzinfo=zone)),
        ]
    )
    assert records.usual(day, datetime(2026, 3, 30, 9, 0, tzinfo=zone)) == (2, 1)


# ---- outage


def test_a_server_that_is_gone_is_unavailable_and_then_back() -> None:
    port = servers.free_port()
    with servers.postgres(port) as url:
        records = Records(url)
        records.migrate()
        records.upsert(sessions=[session()])
    for call in (records.check, records.sessions, lambda: records.upsert(sessions=[session()]), records.directory):
        with pytest.raises(RecordsUnavailable):
            call()
    records.close()


def test_a_connection_cut_by_the_server_costs_one_call_at_most(postgres_database: str) -> None:
    with Records(postgres_database) as records, Records(postgres_database) as admin:
        records.migrate()
        records.upsert(sessions=[session()])
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = :name"
        with admin.writing() as connection:
            connection.execute(sa.text(cut), {"name": postgres_database.rsplit("/", 1)[1]})
        assert records.session("a") == session()


def test_an_error_shows_neither_password_nor_values(postgres_database: str) -> None:
    wrong = postgres_database.replace("chargewatch:", "chargewatch:hush", 1)
    with Records(wrong) as records, pytest.raises(RecordsUnavailable) as caught:
        records.check()
    assert "hush" not in str(caught.value)


def test_a_locked_file_is_unavailable_and_then_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.stores.database._SQLITE_BUSY_MS", 50)
    url = f"sqlite:///{tmp_path}/deep/folder/records.db"
    with Records(url) as one, Records(url) as two:
        one.migrate()
        with one.writing(), pytest.raises(RecordsUnavailable, match="locked"):
            two.upsert(sessions=[session()])
        two.upsert(sessions=[session()])
        assert one.session("a") == session()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"not a database, " * 500)
    with Records(f"sqlite:///{tmp_path}/records.db") as records, pytest.raises(RecordsUnavailable):
        records.check()


def test_records_in_memory_are_refused() -> None:
    with pytest.raises(ValueError, match="file"):
        Records("sqlite://")


def test_a_failed_write_leaves_nothing_behind(records: Records) -> None:
    class Interrupted(Exception):
        pass

    def add_a_site_and_fail() -> None:
        with records.writing() as connection:
            connection.execute(sa.insert(tables.sites).values(id="s", name="Site"))
            raise Interrupted

    with pytest.raises(Interrupted):
        add_a_site_and_fail()
    assert records.sites() == []
