"""The list of stations without a browser: order, the inbox, the plan as CSV, and who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from callbacks import build, call, logged_in, page, texts, token_of
from flask import Flask
from records_world import name_station
from screens_world import HOSTILE, NOW, World, empty_world, seeded_world
from stations_world import furnish, line, outlet, plan

from bridge.events import ConnectorStatus
from bridge.stores.people import Role
from bridge.stores.provisioning import Provisioning
from bridge.stores.records import StationRow
from dashboard import security, station_rows
from dashboard.alerts.lifecycle import AlarmState
from dashboard.alerts.store import Alarm


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    built = seeded_world(tmp_path)
    furnish(built)
    yield built
    built.records.close()


@pytest.fixture
def app(world: World) -> Flask:
    return build(world)


def station(id: str, **given: Any) -> StationRow:
    known: dict[str, Any] = dict.fromkeys(
        ("protocol", "vendor", "model", "serial", "firmware", "address", "bridge"), ""
    )
    known |= dict.fromkeys(("connected_at", "disconnected_at", "last_seen_at", "booted_at", "clock_skew_s"))
    known |= {"name": "", "site_id": None, "site_name": "", "is_approved": True, "has_key": False}
    known |= {"is_connected": True, "refused_frames": 0, "revision": 1}
    return StationRow(id=id, **(known | given))


def at(hours: float) -> Any:
    return NOW - timedelta(hours=hours)


def alarm(station_id: str, priority: int, hours: float = 1) -> Alarm:
    return Alarm(
        id=priority, rule="r", subject=station_id, station=station_id, evse=None, session_id=None, priority=priority,
        state=AlarmState.UNACKNOWLEDGED, title="t", consequence="", action="", detail="", raised_at=at(hours),
        acknowledged_at=None, acknowledged_by="", cleared_at=None,
    )  # fmt: skip


# ---- order


def test_trouble_comes_first_by_severity_then_by_age() -> None:
    stations = [
        station("fine 10"),
        station("fine 2"),
        station("new", is_connected=False),
        station("away long", is_connected=False, last_seen_at=at(1), disconnected_at=at(9)),
        station("away", is_connected=False, last_seen_at=at(1), disconnected_at=at(2)),
        station("warned"),
        station("broken"),
        station("closed"),
    ]
    connectors = [
        msgspec.structs.replace(outlet(ConnectorStatus.FAULTED, 1), station="broken"),
        msgspec.structs.replace(outlet(ConnectorStatus.UNAVAILABLE, 1), station="closed"),
        msgspec.structs.replace(outlet(ConnectorStatus.FAULTED, 99), station="away"),
    ]
    rows = station_rows.rows_of(stations, connectors, [alarm("warned", 2, 5)])
    order = [row["name"] for row in rows if not row.get("head")]
    assert order == ["broken", "away long", "warned", "away", "closed", "new", "fine 2", "fine 10"]


def test_a_site_stands_where_its_worst_station_puts_it() -> None:
    stations = [
        station("a", site_id="1", site_name="Alpha"),
        station("b", site_id="2", site_name="Beta", is_connected=False, last_seen_at=at(1), disconnected_at=at(2)),
        station("c", site_id="3", site_name="Gamma"),
        station("d"),
    ]
    rows = station_rows.rows_of(stations, [], [alarm("c", 1)])
    assert [row["site"] for row in rows if row.get("head")] == ["Gamma", "Beta", "Alpha", ""]


def test_five_thousand_stations_make_rows_that_fit_a_page() -> None:
    stations = [station(f"S{n}", site_id=f"{n % 200}", site_name=f"Site {n % 200}", vendor="ABB") for n in range(5_000)]
    rows = station_rows.rows_of(stations, [], [])
    assert len(rows) == 5_200
    assert len(msgspec.json.encode(rows)) < 2_500_000


def test_what_an_absent_station_last_said_is_no_fault_of_now() -> None:
    away = station("X", is_connected=False, last_seen_at=at(1), disconnected_at=at(1))
    found = station_rows.trouble_of(away, [outlet(ConnectorStatus.FAULTED, 30)], [])
    assert (found.word, found.rank) == ("offline", station_rows.OFFLINE)


# ---- the page


@pytest.mark.parametrize("role", list(Role))
def test_each_role_sees_what_it_may_do(app: Flask, role: Role) -> None:
    shown = page(logged_in(app, role), "/stations")
    assert "Waiting for approval" in shown
    assert ('"Approve"' in shown) == (role == Role.ADMIN)
    assert ("plan-import" in shown) == (role == Role.ADMIN)
    assert ("Export CSV" in shown) == (role != Role.VIEWER)


def test_hostile_texts_are_shown_as_text(app: Flask) -> None:
    seen = texts(
        msgspec.json.decode(page(logged_in(app, Role.ADMIN), "/stations"))["response"]["_pages_content"]["children"]
    )
    assert any("<script>" in text for text in seen)  # as text: nothing is taken for markup
    assert [text for text in seen if "\u202e" in text] == []


def test_a_list_without_stations_says_how_the_first_one_gets_here(tmp_path: Path) -> None:
    empty = empty_world(tmp_path)
    empty.people.create_user("viewer", Role.VIEWER, NOW, "a calm wall at noon")
    shown = page(logged_in(build(empty), Role.VIEWER), "/stations")
    assert "Stations appear here as soon as one connects." in shown
    assert "9000" in shown
    assert "Waiting for approval" not in shown
    empty.records.close()


# ---- the inbox


def decide(app: Flask, role: Role, **given: Any) -> tuple[int, str]:
    answer = call(logged_in(app, role), "inbox-edits.data", inbox_edits={"action": "decide", **given})
    return answer.status_code, answer.get_data(as_text=True)


def test_approving_lets_in_with_name_site_and_the_key_that_was_seen(app: Flask, world: World) -> None:
    held = {one.station: one for one in Provisioning(world.records).inbox()}["ALF-0384921"]
    given = {"station": held.station, "key": held.key_id, "name": "Quay 9", "site": "mill", "decision": "approve"}
    status, shown = decide(app, Role.ADMIN, **given)
    row = world.records.station(held.station)
    assert row is not None
    assert (status, row.is_approved, row.has_key, row.name, row.site_id) == (200, True, True, "Quay 9", "mill")
    assert held.station not in {one.station for one in Provisioning(world.records).inbox()}
    assert "is let in" in shown
    assert world.people.audit(5)[0].action == "station.approve"


def test_a_key_that_changed_since_it_was_looked_at_is_not_approved(app: Flask, world: World) -> None:
    status, shown = decide(app, Role.ADMIN, station="ALF-0384921", key="0000000000000000", decision="approve")
    assert (status, "another key since" in shown) == (200, True)
    assert world.records.station("ALF-0384921") is None


def test_one_without_a_key_needs_a_word_about_its_profile(app: Flask, world: World) -> None:
    _, shown = decide(app, Role.ADMIN, station="new one/7", key="", decision="approve", security_profile="")
    assert "it showed no key" in shown
    decide(app, Role.ADMIN, station="new one/7", key="", decision="approve", security_profile="0")
    row = world.records.station("new one/7")
    assert row is not None
    assert (row.is_approved, row.security_profile) == (True, 0)


def test_refusing_is_remembered(app: Flask, world: World) -> None:
    decide(app, Role.ADMIN, station="new one/7", key="", decision="refuse")
    row = world.records.station("new one/7")
    assert row is not None
    assert row.is_approved is False
    assert "new one/7" not in {one.station for one in Provisioning(world.records).inbox()}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_nobody_else_decides(app: Flask, role: Role) -> None:
    assert decide(app, role, station="new one/7", key="", decision="approve")[0] == 403


def test_the_inbox_is_drawn_anew_only_when_it_is_another(app: Flask, world: World) -> None:
    client = logged_in(app, Role.ADMIN)
    first = call(client, "inbox-tick.n_intervals", inbox_tick=1, inbox_seen=[])
    assert first.status_code == 200
    seen = first.json["response"]["inbox-seen"]["data"]  # type: ignore[index]
    again = call(client, "inbox-tick.n_intervals", inbox_tick=2, inbox_seen=seen)
    assert again.json == {"multi": True, "response": {}}
    Provisioning(world.records).refuse("new one/7", "admin", NOW)
    less = call(client, "inbox-tick.n_intervals", inbox_tick=3, inbox_seen=seen)
    assert less.json is not None
    assert "new one/7" not in str(less.json["response"]["inbox"])


# ---- the plan as CSV


def post(app: Flask, role: Role, text: str | bytes, query: str = "") -> Any:
    client = logged_in(app, role)
    given = {"data": text, "content_type": "text/csv", "headers": {security.CSRF_HEADER: token_of(client)}}
    return client.post("/stations.csv" + query, **given)


def test_what_goes_out_comes_in_again(app: Flask, world: World) -> None:
    name_station(world.records, "evil", "=1+1")  # a formula, to a spreadsheet
    answer = logged_in(app, Role.OPERATOR).get("/stations.csv")
    assert answer.mimetype == "text/csv"
    assert "attachment" in answer.headers["Content-Disposition"]
    text = answer.get_data(as_text=True)
    assert "HAR-03" in text
    known = world.records.stations()
    again = post(app, Role.ADMIN, text)
    assert "'=1+1" in text
    assert again.json.get("is_done") is True, again.json
    assert world.records.stations() == known


def test_a_preview_says_what_would_come_and_changes_nothing(app: Flask, world: World) -> None:
    text = plan(
        line(record="site", site="new", name="New"), line(record="station", station="N-1", site="new", name="One")
    )
    answer = post(app, Role.ADMIN, text, "?preview=yes")
    assert answer.json == {"is_done": False, "counts": {"site": 1, "station": 1, "connector": 0}}
    assert world.records.station("N-1") is None
    assert post(app, Role.ADMIN, text).json["is_done"] is True
    row = world.records.station("N-1")
    assert row is not None
    assert row.site_name == "New"
    assert world.people.audit(5)[0].action == "stations.import"


def test_errors_name_their_lines_and_nothing_is_changed(app: Flask, world: World) -> None:
    text = plan(
        line(record="station", station="N-1"),
        line(record="statoin", station="N-2"),
        line(record="station", security_profile="x"),
    )
    for query in ("?preview=yes", ""):
        answer = post(app, Role.ADMIN, text, query)
        assert answer.status_code == 422
        assert [error.split(":")[0] for error in answer.json["errors"]] == ["line 3", "line 4"]
    assert world.records.station("N-1") is None
    unknown = post(app, Role.ADMIN, plan(line(record="station", station="N-1", site="nowhere")), "?preview=yes")
    assert "line 2" in unknown.json["errors"][0]
    assert "UTF-8" in post(app, Role.ADMIN, b"\xff\xfe\x00").json["errors"][0]
    assert post(app, Role.ADMIN, HOSTILE).status_code == 422


def test_a_plan_of_many_thousand_stations_is_not_too_long(app: Flask) -> None:
    text = plan(*(line(record="station", station=f"STATION-{number:06}", name="x" * 60) for number in range(15_000)))
    assert len(text) > 1_000_000
    answer = post(app, Role.ADMIN, text, "?preview=yes")
    assert answer.json == {"is_done": False, "counts": {"site": 0, "station": 15_000, "connector": 0}}


def test_a_file_that_is_too_long_is_refused(app: Flask) -> None:
    assert post(app, Role.ADMIN, b"x" * 5_000_001).status_code == 413


def test_who_may_take_the_plan_out_and_in(app: Flask) -> None:
    assert logged_in(app, Role.VIEWER).get("/stations.csv").status_code == 403
    for role in (Role.VIEWER, Role.OPERATOR):
        assert post(app, role, plan()).status_code == 403
    assert app.test_client().get("/stations.csv").status_code == 401
