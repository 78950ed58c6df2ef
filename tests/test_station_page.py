"""One station's page without a browser: bands, conversations, forms, commands, edits, and who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from callbacks import build, call, logged_in, page, texts
from flask import Flask
from screens_world import HOSTILE, NOW, World, seeded_world
from stations_world import ODD, FakeCommands, furnish, happen, outlet

from bridge import schemas
from bridge.command_bus import Answer, CommandOutcome
from bridge.compose import COMPOSED, composed_for
from bridge.events import ConnectorStatus
from bridge.policies import Policy
from bridge.stores.people import Role
from bridge.stores.provisioning import Held, Provisioning
from bridge.stores.telemetry import Bucket, FrameFilter, FrameRow, Occurrence
from dashboard import message_parts, messages, ribbon, schema_forms, settings_parts
from dashboard.happenings import Happening
from dashboard.links import station_path
from dashboard.schema_forms import Fault, Field
from dashboard.timeline import timeline

START = NOW - timedelta(hours=24)




@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    built = seeded_world(tmp_path_factory.mktemp("world"))
    furnish(built)
    yield built
    built.records.close()


@pytest.fixture(scope="module")
def commands() -> FakeCommands:
    return FakeCommands()


@pytest.fixture(scope="module")
def app(world: World, commands: FakeCommands) -> Flask:
    return build(world, commands=commands)


# ---- the ribbon


def said(hours: float, status: str, evse: int = 1, kind: str = "StatusChanged", **body: Any) -> Occurrence:
    at = NOW - timedelta(hours=hours)
    return Occurrence("X", evse, at, at, kind, "", msgspec.json.encode({"status": status, **body}).decode())




def drawn(before: list[Occurrence], within: list[Occurrence], **more: Any) -> list[tuple[str, float]]:
    """(kind, hours) of the first connector's bands."""
    bands = ribbon.bands(before, within, more.pop("rows", [outlet()]), START, NOW, **more)
    return [(band.kind, round(band.seconds / 3600, 2)) for band in bands[1, 1]]


def test_what_held_before_the_window_fills_its_beginning() -> None:
    assert drawn([said(30, "Available")], [said(4, "Charging")]) == [("free", 20), ("charging", 4)]


def test_what_nobody_told_is_not_guessed() -> None:
    assert drawn([], [said(6, "Available")]) == [("unknown", 18), ("free", 6)]


def test_a_state_from_before_retention_is_taken_from_the_records() -> None:
    assert drawn([], [], rows=[outlet(ConnectorStatus.UNAVAILABLE)]) == [("out", 24)]


def test_a_connection_that_is_away_hides_what_was_last_said() -> None:
    away, back = said(10, "", 0, "StationDisconnected"), said(9, "", 0, "StationConnected")
    found = drawn([said(30, "Charging")], [away, back, said(8, "Available")])
    assert found == [("charging", 14), ("offline", 1), ("charging", 1), ("free", 8)]
    (lane,) = ribbon.bands([said(30, "Charging")], [away], [outlet()], START, NOW).values()
    assert lane[-1].word == "Offline, last charging"


def test_a_fault_says_its_code_and_is_never_thinned_away() -> None:
    flicker = [said(20 - n / 100, ("Preparing", "Available")[n % 2]) for n in range(900)]
    fault = [said(5.001, "Faulted", error_code="GroundFailure"), said(5, "Available")]
    (lane,) = ribbon.bands([], [*flicker, *fault], [outlet()], START, NOW).values()
    assert len(lane) < 320
    assert [band.word for band in lane if band.kind == "faulted"] == ["Faulted: GroundFailure"]


def test_occupied_is_charging_where_energy_flowed() -> None:
    """OCPP 2.x says Occupied for both; a quarter with next to nothing in it stays occupied."""
    flow = [Bucket("X", 1, NOW - timedelta(hours=2), 900.0, 3600.0, 3600.0, 15)]
    flow.append(Bucket("X", 1, NOW - timedelta(hours=1), 3.0, 12.0, 12.0, 15))
    found = drawn([said(30, "Available")], [said(3, "Preparing")], flows=flow)
    assert found == [("free", 21), ("idle", 1), ("charging", 0.25), ("idle", 1.75)]


def test_the_newest_word_of_the_records_ends_the_ribbon() -> None:
    found = drawn([], [said(6, "Preparing")], rows=[outlet(ConnectorStatus.CHARGING, 2)])
    assert found == [("unknown", 18), ("idle", 4), ("charging", 2)]


def test_availability_is_the_share_of_time_able_to_charge() -> None:
    lanes = ribbon.bands([], [said(18, "Available"), said(9, "Faulted")], [outlet()], START, NOW)
    assert ribbon.availability(lanes) == pytest.approx(0.5)
    assert ribbon.availability({}) is None


def test_a_broken_body_draws_nothing_and_breaks_nothing() -> None:
    broken = said(5, "Available")._replace(body="[1")
    assert drawn([], [broken]) == [("unknown", 24)]


# ---- messages


def frame(text: str, direction: str = ">", seconds: float = 0, action: str = "A") -> FrameRow:
    return FrameRow("X", NOW - timedelta(seconds=seconds), direction, "ocpp1.6", action, text)


def test_a_call_stands_beside_its_answer_and_how_long_it_took() -> None:
    rows = [frame('[3,"1",{"status":"Accepted"}]', ">", 1), frame('[2,"1","Reset",{}]', "<", 1.4)]
    (talk,) = messages.talks(rows)
    assert (talk.first.row, talk.outcome, talk.took) == (rows[1], "answered", timedelta(seconds=0.4))


def test_equal_ids_of_both_sides_are_not_mistaken_for_each_other() -> None:
    rows = [
        frame('[2,"1","Heartbeat",{}]', ">", 3),
        frame('[2,"1","Reset",{}]', "<", 2),
        frame('[4,"1","X","y",{}]', ">", 1),
    ]
    by_action = {
        talk.first.body[2]: talk for talk in messages.talks(sorted(rows, key=lambda r: r.received_at, reverse=True))
    }
    assert by_action["Heartbeat"].answer is None
    assert by_action["Reset"].outcome == "refused"


def test_a_counterpart_outside_the_page_is_found_around_it() -> None:
    call_, answer = frame('[2,"1","Reset",{}]', "<", 2), frame('[3,"1",{}]', ">", 1)
    (talk,) = messages.talks([answer], [call_, answer])
    assert (talk.first.row, talk.answer and talk.answer.row) == (call_, answer)


@pytest.mark.parametrize("text", ["", "no json", "[", "[2]", "{}", "[[[", "null", "[2,1,2,3]", '{"a":1}', "[9,1,2]"])
def test_any_text_is_a_conversation(text: str) -> None:
    (talk,) = messages.talks([frame(text)])
    assert bool(messages.pretty(talk.first)) == bool(text)
    message_parts._talk(talk, _dossier_like())


def test_what_comes_late_says_by_how_much() -> None:
    at = (NOW - timedelta(minutes=41)).isoformat()
    late = messages.read(frame('[2,"1","MeterValues",{"meterValue":[{"timestamp":"' + at + '"}]}]'))
    assert late.late == timedelta(minutes=41)
    assert messages.read(frame('[2,"1","MeterValues",{"timestamp":"' + NOW.isoformat() + '"}]')).late is None
    assert messages.read(frame('[2,"1","X",{"timestamp":"yesterday"}]')).late is None


def test_a_page_of_messages_ends_between_two_instants(world: World) -> None:
    first = message_parts.page_of(world.telemetry, "HAR-03", START, NOW, FrameFilter())
    second = message_parts.page_of(world.telemetry, "HAR-03", START, first[-1].received_at, FrameFilter())
    assert 50 < len(first) <= message_parts.PAGE_SIZE
    assert not {(r.received_at, r.direction) for r in first} & {(r.received_at, r.direction) for r in second}
    seen = [*first, *second]
    everything = world.telemetry.frames("HAR-03", START, NOW, 1_000)
    assert seen == everything[: len(seen)]


def test_cards_are_masked_in_every_message(app: Flask) -> None:
    shown = page(logged_in(app, Role.ADMIN), station_path("HAR-03"), "?show=messages")
    assert "04A2B9C17F21" not in shown
    assert "04AAAAAAAA99" not in shown
    assert "••••7F21" in shown or "\\u2022\\u2022\\u2022\\u20227F21" in shown


def test_a_search_goes_to_the_store(app: Flask) -> None:
    client = logged_in(app, Role.VIEWER)
    shown = page(client, station_path("HAR-03"), "?show=messages&text=softTY".lower())
    assert "No message fits this search" in shown
    shown = page(client, station_path("HAR-03"), "?show=messages&action=Reset&way=%3E")
    assert '"InternalError' in shown or "InternalError" in shown
    assert "Heartbeat" not in shown.split("talks")[1]


def _dossier_like() -> Any:
    from types import SimpleNamespace

    from dashboard.formats import zone

    return SimpleNamespace(where=zone("Europe/Berlin"), now=NOW)


# ---- forms


def leaves(field: Field) -> Iterator[Field]:
    yield field
    for inner in (*field.fields, *([field.item] if field.item else [])):
        yield from leaves(inner)


@pytest.mark.parametrize("protocol", ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
def test_every_message_of_every_version_has_a_form(protocol: str) -> None:
    for action in schemas.calls_to_station(protocol):
        form = schema_forms.action_form(protocol, action)
        found = list(leaves(form))
        assert form.kind == "object"
        assert all(one.choices for one in found if one.kind == "choice")
        assert not any("urn:x-" in one.help or one.name == "customData" for one in found), action
        wanted = set(schemas.schema(protocol, action).get("required", []))
        assert {one.name for one in form.fields if one.required} == wanted
        msgspec.json.encode(form)


def test_a_command_s_form_has_its_parameters() -> None:
    for command in COMPOSED.values():
        form = schema_forms.composed_form(command)
        assert [one.name for one in form.fields] == [parameter.name for parameter in command.parameters]


def test_faults_are_said_at_their_fields() -> None:
    payload = {"setVariableData": [{"attributeValue": 3, "component": {"name": "x"}, "more": 1}]}
    found = schema_forms.faults_of(schemas.violations("ocpp2.0.1", "SetVariables", payload))
    assert Fault("setVariableData.0.variable", "is needed") in found
    assert Fault("setVariableData.0.more", "is no field of this message") in found
    assert any(one.path == "setVariableData.0.attributeValue" and "string" in one.detail for one in found)


# ---- commands


def test_what_is_wrong_is_said_at_its_field_and_nothing_leaves(app: Flask, commands: FakeCommands) -> None:
    client = logged_in(app, Role.OPERATOR)
    before = len(commands.asked)
    cases = {
        '{"type":"Softly"}': ("theirs", "Reset", "type", "is not one of"),
        "{}": ("theirs", "Reset", "type", "is needed"),
        "[1]": ("theirs", "Reset", "", "must be an object"),
        "{": ("theirs", "Reset", "", "no JSON"),
        '{"kind":"gently"}': ("ours", "Reset", "kind", "soft, hard"),
        "{} ": ("ours", "NoSuchCommand", "", "no command"),
        " {}": ("theirs", "BootNotification", "", "no command"),
    }
    for text, (kind, name, path, words) in cases.items():
        given = {"command_name": [kind, name], "command_raw": text, "station_id": "HAR-03"}
        said_ = call(client, "command-check.n_clicks", command_check=1, **given).get_data(as_text=True)
        assert f'"data-fault-at":"{path}"' in said_, said_
        assert words in said_
        call(client, "command-now.n_clicks", command_now=1, command_confirmed=text, **given)
    assert len(commands.asked) == before


def test_a_command_is_shown_confirmed_sent_answered_and_audited(
    app: Flask, world: World, commands: FakeCommands
) -> None:
    client = logged_in(app, Role.OPERATOR)
    given = {"command_name": ["ours", "Reset"], "station_id": "HAR-03"}
    shown = call(client, "command-check.n_clicks", command_check=1, command_raw='{"kind":"hard"}', **given).get_data(
        as_text=True
    )
    assert "Send Reset to" in shown
    assert "Hard" in shown
    assert "command-now" in shown
    answer = call(client, "command-now.n_clicks", command_now=1, command_confirmed='{"kind":"hard"}', **given)
    assert "The station answered: Accepted" in answer.get_data(as_text=True)
    assert commands.asked[-1] == ("HAR-03", "Reset", {"kind": "hard"})
    entries = [(e.actor, e.subject) for e in world.people.audit(10) if e.action.startswith("command")]
    assert entries[:2] == [("operator", "HAR-03")] * 2


def test_any_message_goes_out_as_it_stands(app: Flask, commands: FakeCommands) -> None:
    client = logged_in(app, Role.OPERATOR)
    text = '{"requestedMessage":"Heartbeat"}'
    given = {"command_name": ["theirs", "TriggerMessage"], "station_id": ODD, "command_confirmed": text}
    commands.answer = Answer(id="1", outcome=CommandOutcome.REFUSED, code="NotSupported", detail=HOSTILE)
    shown = call(client, "command-now.n_clicks", command_now=1, **given).get_data(as_text=True)
    commands.answer = Answer(id="1", outcome=CommandOutcome.ANSWERED, payload={"status": "Accepted"})
    assert commands.asked[-1] == (ODD, "TriggerMessage", {"requestedMessage": "Heartbeat"})
    assert "The station refused the message: NotSupported" in shown
    assert "\\u202e" not in shown
    assert "\u202e" not in shown


def test_what_changes_keys_needs_an_administrator(app: Flask, commands: FakeCommands) -> None:
    client = logged_in(app, Role.OPERATOR)
    before = len(commands.asked)
    for kind, name, text in (
        ("ours", "RotateKey", '{"key":"0123456789abcdef0123456789abcdef"}'),
        ("ours", "SetConfiguration", '{"key":"AuthorizationKey","value":"x"}'),
        ("theirs", "ChangeConfiguration", '{"key":"AuthorizationKey","value":"x"}'),
        ("theirs", "UpdateFirmware", '{"location":"http://a","retrieveDate":"2027-01-01T00:00:00Z"}'),
    ):
        given = {"command_name": [kind, name], "station_id": "HAR-03"}
        for trigger in ("command-check.n_clicks", "command-now.n_clicks"):
            clicked = {"command_check": 1, "command_now": 1, "command_raw": text, "command_confirmed": text}
            shown = call(client, trigger, **clicked, **given).get_data(as_text=True)
            assert "Your role does not reach so far" in shown, (name, trigger)
    assert len(commands.asked) == before


def test_a_secret_is_veiled_where_it_is_confirmed_and_in_the_audit(app: Flask, world: World) -> None:
    client, key = logged_in(app, Role.ADMIN), "0123456789abcdef0123456789abcdef"
    given = {"command_name": ["ours", "RotateKey"], "station_id": "HAR-03", "command_raw": f'{{"key":"{key}"}}'}
    shown = call(client, "command-check.n_clicks", command_check=1, **given).get_data(as_text=True)
    assert "Send ChangeConfiguration to" in shown
    assert key not in shown.replace("command-confirmed", "").split('"data":')[0]
    assert not any(key in entry.detail for entry in world.people.audit(50))


@pytest.mark.parametrize("role", list(Role))
def test_each_role_sees_what_it_may_do(app: Flask, role: Role) -> None:
    client = logged_in(app, role)
    tabs = page(client, station_path("HAR-03"))
    assert ("show=commands" in tabs) == (role != Role.VIEWER)
    assert ("show=settings" in tabs) == (role == Role.ADMIN)
    assert ('"Correct"' in tabs) == (role == Role.ADMIN)
    device = page(client, station_path("HAR-03"), "?show=device")
    assert ("SetConfiguration" in device) == (role != Role.VIEWER)
    if role != Role.VIEWER:
        menu = page(client, station_path("HAR-03"), "?show=commands")
        assert all((c.title in menu) == (c.role == "operator" or role == Role.ADMIN) for c in composed_for("ocpp1.6"))
    forced = page(client, station_path("HAR-03"), "?show=settings")
    assert ("What it must prove" in forced) == (role == Role.ADMIN)


# ---- ids, hostile texts, details


@pytest.mark.parametrize("station", [ODD, "MILL/1", "evil"])
@pytest.mark.parametrize("show", ["", "device", "commands", "messages", "settings"])
def test_any_id_has_its_page(app: Flask, station: str, show: str) -> None:
    client = logged_in(app, Role.ADMIN)
    path = station_path(station)
    assert path == "/station/" + quote(station, safe="")
    shown = page(client, path, f"?show={show}")
    assert "There is no station with this id" not in shown
    assert client.get(path).status_code == 200
    seen = texts(msgspec.json.decode(shown)["response"]["_pages_content"]["children"])
    assert len(seen) > 10
    assert [text for text in seen if "\u202e" in text] == []


def test_an_id_that_no_station_has_says_so(app: Flask) -> None:
    assert "There is no station with this id" in page(logged_in(app, Role.VIEWER), "/station/nobody")


def test_no_secret_of_a_station_is_shown_or_stands_in_an_address(app: Flask) -> None:
    shown = page(logged_in(app, Role.ADMIN), station_path("HAR-03"), "?show=device")
    assert "0123456789abcdef" not in shown
    assert "key=AuthorizationKey" in shown
    assert "04A2B9C17F21" not in shown


def test_a_variable_of_2x_leads_to_its_own_form(app: Flask) -> None:
    client = logged_in(app, Role.OPERATOR)
    shown = page(client, station_path("AIR-02"), "?show=device")
    assert "key=Module%2F7.Variable7&value=7&attribute=Actual" in shown
    form = page(
        client, station_path("AIR-02"), "?show=commands&command=SetConfiguration&key=Module%2F7.Variable7&value=8"
    )
    assert '"key":"Module/7.Variable7"' in str(msgspec.json.decode(form))


def test_a_store_that_is_away_leaves_the_record(app: Flask, world: World) -> None:
    world.telemetry.is_away = True
    try:
        client = logged_in(app, Role.VIEWER)
        assert "The time series do not answer right now" in page(client, station_path("HAR-03"))
        assert "cannot be read right now" in page(client, station_path("HAR-03"), "?show=messages")
    finally:
        world.telemetry.is_away = False


# ---- edits


@pytest.fixture
def editable(tmp_path: Path) -> Iterator[tuple[World, Flask]]:
    world = seeded_world(tmp_path)
    furnish(world)
    yield world, build(world)
    world.records.close()


def edit(app: Flask, role: Role, **given: Any) -> tuple[int, str]:
    answer = call(
        logged_in(app, role),
        "station-edits.data",
        station_edits=given,
        station_id="HAR-03",
        station_show=["settings", ""],
    )
    return answer.status_code, answer.get_data(as_text=True)


def test_what_an_administrator_edits_is_kept_and_audited(editable: tuple[World, Flask]) -> None:
    world, app = editable
    edits: list[dict[str, Any]] = [
        {"action": "station", "name": "Quay 3", "site": "mill"},
        {"action": "connector", "evse": "2", "connector": "1", "kind": "CCS2", "rated_kw": "7,4"},
        {"action": "security", "security_profile": "1"},
        {"action": "policy", "register": "session", "pings": "false", "id_tag_bytes": "4", "clock": ""},
        {"action": "site", "id": "quay", "name": "The quay", "timezone": "Europe/Oslo"},
        {"action": "refuse"},
        {"action": "reconsider"},
    ]
    for given in edits:
        status, shown = edit(app, Role.ADMIN, **given)
        assert (status, "notice good" in shown) == (200, True), shown
    row = world.records.station("HAR-03")
    assert row is not None
    assert (row.name, row.site_id, row.security_profile) == ("Quay 3", "mill", 1)
    assert row.policy == {"register": "session", "pings": False, "id_tag_bytes": 4}
    (second,) = [c for c in world.records.connectors("HAR-03") if c.evse == 2]
    assert (second.kind, second.rated_power_w) == ("CCS2", 7_400)
    assert "quay" in {site.id for site in world.records.sites()}
    done = {entry.action for entry in world.people.audit(20) if entry.actor == "admin"}
    assert {"station.edit", "connector.edit", "site.save", "station.refuse", "station.reconsider"} <= done


def test_an_edit_that_makes_no_sense_changes_nothing_and_says_why(editable: tuple[World, Flask]) -> None:
    world, app = editable
    before = world.records.station("HAR-03")
    for given, words in (
        ({"action": "station", "name": "x", "site": "nowhere"}, "there is no site"),
        ({"action": "connector", "evse": "2", "connector": "1", "rated_kw": "-3"}, "number of kW above 0"),
        ({"action": "connector", "evse": "x", "connector": "1"}, "whole number"),
        ({"action": "security", "security_profile": "7"}, "security profile"),
        ({"action": "policy", "register": "weekly"}, "register"),
        ({"action": "policy", "time_zone": "Mars/Base"}, "no zone"),
        ({"action": "site", "id": "mill", "name": "again"}, "already"),
        ({"action": "trait", "key": "deaf"}, "nothing is known to put it right"),
        ({"action": "__class__"}, "nothing to change"),
    ):
        status, shown = edit(app, Role.ADMIN, **given)
        assert (status, "notice bad" in shown) == (200, True), given
        assert words in shown, (given, shown)
    assert world.records.station("HAR-03") == before


def test_a_registered_station_that_waits_is_approved_on_its_page(editable: tuple[World, Flask]) -> None:
    world, app = editable
    world.people.set_station_key("HAR-03", "a key that it was given")
    world.records.approve_station("HAR-03", False)
    client = logged_in(app, Role.ADMIN)
    assert "Needs approval" in page(client, station_path("HAR-03"))
    _, shown = edit(app, Role.ADMIN, action="approve")
    assert "It is let in." in shown
    row = world.records.station("HAR-03")
    assert row is not None
    assert row.is_approved is True
    edit(app, Role.ADMIN, action="refuse")
    assert "Shut out" in page(client, station_path("HAR-03"))


def test_no_key_is_pinned_that_the_person_has_not_seen(editable: tuple[World, Flask]) -> None:
    world, app = editable
    world.records.approve_station("HAR-03", False)
    seen = {"first_seen_at": NOW, "last_seen_at": NOW}
    waits = Held(station="HAR-03", offered_key_hmac=b"k" * 32, security="basic+tls", **seen)
    Provisioning(world.records).take_held([waits])
    _, shown = edit(app, Role.ADMIN, action="approve")
    assert "on the page Stations" in shown
    row = world.records.station("HAR-03")
    assert row is not None
    assert (row.has_key, row.is_approved) == (False, False)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_nobody_else_edits(editable: tuple[World, Flask], role: Role) -> None:
    assert edit(editable[1], role, action="station", name="mine")[0] == 403


def test_correcting_a_trait_sets_the_policy_beside_what_was_set(editable: tuple[World, Flask]) -> None:
    world, app = editable
    edit(app, Role.ADMIN, action="policy", pings="false")
    status, _ = edit(app, Role.ADMIN, action="trait", key="register")
    row = world.records.station("HAR-03")
    assert row is not None
    assert (status, row.policy) == (200, {"pings": False, "register": "session"})
    assert "Corrected" in page(logged_in(app, Role.ADMIN), station_path("HAR-03"))


def test_every_way_of_a_policy_has_a_control_that_comes_back() -> None:
    for name in Policy.__struct_fields__:
        value = getattr(Policy(), name)
        text = settings_parts.said(value)
        if text:
            assert settings_parts.policy_of({name: text}) == {name: value}
    assert settings_parts.policy_of({"unknown": "x", "clock": " "}) == {}


def test_times_in_a_search_are_the_site_s_own() -> None:
    from dashboard.formats import zone

    asked = message_parts.asked_of(
        {"since": "2026-11-23 10:00", "until": "2026-11-23T11:00", "way": "?", "period": "x"}
    )
    start, end = asked.range(NOW, zone("Europe/Berlin"))
    assert (start.astimezone(zone("UTC")).hour, end.astimezone(zone("UTC")).hour, asked.way) == (9, 10, "")
    odd = message_parts.asked_of({"since": "0001-01-01", "until": "soon"})
    assert odd.range(NOW, zone("UTC"))[0] == NOW - timedelta(days=1)
    assert isinstance(odd.range(NOW, zone("UTC"))[1], datetime)


def test_what_happened_is_cut_at_forty_and_leads_to_all(editable: tuple[World, Flask]) -> None:
    world, app = editable
    for number in range(60):
        happen(world, 1 + number / 3, "SecurityEventNotified", 0, kind=f"Kind{number}")
    shown = str(msgspec.json.decode(page(logged_in(app, Role.VIEWER), station_path("HAR-03"))))
    assert "the newest 40 of the last 24 hours" in shown
    assert station_path("HAR-03", show="messages") in shown
    assert shown.count("'className': 'event'") + shown.count("'className': 'event warn'") == 40


@pytest.mark.parametrize(("hours", "name", "words"), [(1, "events", "13:32:07"), (20, "events dated", "22 Nov 18:32")])
def test_a_line_of_yesterday_has_room_for_its_day(hours: int, name: str, words: str) -> None:
    at = NOW - timedelta(hours=hours)
    shown = repr(timeline([Happening(at, "Energy flows", "StatusChanged", "", False)], UTC, NOW))
    assert f"className='{name}'" in shown
    assert words in shown
