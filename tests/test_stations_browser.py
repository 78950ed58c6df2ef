"""The pages about stations in a real Chromium against a real broker: live rows, forms, messages, contrast, no error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import axe
import browser_world as shared
import pytest
import servers
from browser_world import CLOCK, NOT_OURS, Screen, Watched, served, show
from playwright.sync_api import Page, expect
from screens_world import NOW, World, seeded_world
from stations_world import ODD, FakeCommands, furnish, line, plan

from bridge.command_bus import Answer, CommandOutcome
from bridge.live import AlarmView, ConnectorView, StationView, alarm_topic, connector_topic, station_topic
from bridge.settings import Files

PAGES = {
    "list": "/stations",
    "nothing found": "/stations?text=zzz",
    "overview": "/station/HAR-03",
    "a week": "/station/HAR-03?span=7d",
    "device": "/station/AIR-02?show=device",
    "commands": "/station/HAR-03?show=commands",
    "a small form": "/station/HAR-03?show=commands&command=Reset",
    "a large form": "/station/AIR-02?show=commands&action=SetChargingProfile",
    "messages": "/station/HAR-03?show=messages",
    "files": "/station/HAR-03?show=files",
    "settings": "/station/HAR-03?show=settings",
    "offline": "/station/MILL%2F1",
    "hostile": "/station/evil",
    "hostile device": "/station/evil?show=device",
    "hostile messages": "/station/evil?show=messages",
    "odd id": "/station/" + quote(ODD, safe=""),
}
COMMANDS = FakeCommands()
chromium, open_page, theme, _axe = shared.chromium, shared.open_page, shared.theme, shared._axe


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory, mosquitto: servers.Mosquitto) -> Iterator[Screen]:
    world = seeded_world(tmp_path_factory.mktemp("world"))
    furnish(world)
    files = Files(folder=tmp_path_factory.mktemp("files"), keep_free_mb=0)
    world = world._replace(settings=world.settings.model_copy(update={"files": files}))
    with served(world, mosquitto, "test-stations", commands=COMMANDS) as screen:
        screen.publish(station_topic("AIR-02"), live("AIR-02"))
        yield screen


def live(station: str, is_connected: bool = True, **more: object) -> StationView:
    at = {"connected_at": CLOCK() - timedelta(hours=2), "last_seen_at": CLOCK()}
    if not is_connected:
        at["disconnected_at"] = CLOCK()
    return StationView(station=station, is_connected=is_connected, **(at | more))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_error_asks_no_other_host_and_can_be_read(
    open_page: Callable[..., Watched], screen: Screen, theme: str, name: str
) -> None:
    watched = open_page(theme, user="admin")
    page = show(watched, screen, PAGES[name])
    for summary in page.locator(".talk > summary, .detail > summary").all()[:2]:
        summary.click()
    assert watched.wrong == []
    assert axe.violations(page, NOT_OURS) == []


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_a_phone(open_page: Callable[..., Watched], screen: Screen, name: str) -> None:
    page = show(open_page(width=390, height=844, user="admin"), screen, PAGES[name])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# ---- the list


def names(page: Page) -> list[str]:
    found: list[str] = page.locator(".ag-center-cols-container .ag-row .place b").all_inner_texts()
    return found


def test_trouble_is_first_and_a_site_s_head_stands_above_its_stations(
    open_page: Callable[..., Watched], screen: Screen
) -> None:
    page = show(open_page(), screen, "/stations")
    expect(page.locator(".site-row")).to_have_count(4)
    heads = page.evaluate(
        "[...document.querySelectorAll('.ag-full-width-row')].map(n => [+n.getAttribute('row-index'), n.innerText])"
    )
    assert [text.split("\n")[0] for _, text in sorted(heads)] == ["Mill Lane", "Harbour East", "Airport P4", "No site"]


def test_a_station_that_goes_offline_moves_up_and_says_so(open_page: Callable[..., Watched], screen: Screen) -> None:
    watched = open_page()
    page = show(watched, screen, "/stations")
    row = page.locator('.ag-center-cols-container [row-id="AIR-02"]')
    expect(row).to_contain_text("Connected", timeout=10_000)
    before = int(row.get_attribute("row-index") or -1)
    screen.publish(station_topic("AIR-02"), live("AIR-02", is_connected=False))
    expect(row).to_contain_text("Offline", timeout=10_000)
    expect(row.locator(".plug.offline")).to_have_count(1)
    assert int(row.get_attribute("row-index") or -1) == before  # nothing else is less urgent: it stays in its place
    screen.publish(station_topic("AIR-02"), live("AIR-02"))
    expect(row).to_contain_text("Connected", timeout=10_000)
    expect(page.locator("[data-count=stations]")).to_have_text("1")
    assert watched.wrong == []


def test_a_fault_and_an_alarm_reach_a_row(open_page: Callable[..., Watched], screen: Screen) -> None:
    page = show(open_page(), screen, "/stations")
    row = page.locator('.ag-center-cols-container [row-id="AIR-02"]')
    topic = connector_topic("AIR-02", 1, 1)
    old = page.locator(".ag-full-width-row", has_text="Airport P4")
    expect(old).to_have_attribute("row-index", "5")
    fault = ConnectorView(station="AIR-02", evse=1, connector=1, status="Faulted", status_at=NOW - timedelta(days=9))
    screen.publish(topic, fault)
    expect(row.locator(".plug.faulted")).to_have_count(1, timeout=10_000)
    expect(page.locator(".ag-full-width-row", has_text="Airport P4")).to_have_attribute("row-index", "0")
    alarm = AlarmView(id=77, rule="r", priority=1, state="unacknowledged", station="AIR-02", title="t", raised_at=NOW)
    screen.publish(alarm_topic(77), alarm)
    expect(row.locator('[col-id="alarms"]')).to_contain_text("◆", timeout=10_000)
    screen.publish(alarm_topic(77), None)
    screen.publish(topic, ConnectorView(station="AIR-02", evse=1, connector=1, status="Available", status_at=NOW))
    expect(row.locator('[col-id="alarms"]')).to_have_text("", timeout=10_000)
    expect(row.locator(".plug.free")).to_have_count(1)
    screen.publish(topic, None)


def test_a_station_that_is_new_is_said_and_nothing_jumps(open_page: Callable[..., Watched], screen: Screen) -> None:
    page = show(open_page(), screen, "/stations")
    expect(page.locator("#station-count")).to_contain_text("5 stations")
    screen.publish(station_topic("brand/new"), live("brand/new"))
    expect(page.locator("#station-count a")).to_have_text("1 new: show", timeout=10_000)
    expect(page.locator(".ag-center-cols-container .ag-row")).to_have_count(5)
    screen.publish(station_topic("brand/new"), None)
    expect(page.locator("#station-count a")).to_have_count(0, timeout=10_000)


def test_what_is_looked_for_narrows_at_once_and_is_in_the_address(
    open_page: Callable[..., Watched], screen: Screen
) -> None:
    page = show(open_page(), screen, "/stations")
    expect(page.locator("#station-count")).to_contain_text("5")
    page.fill("#station-text", "har-0")
    expect(page.locator(".ag-center-cols-container .ag-row")).to_have_count(1)
    expect(page.locator(".site-row")).to_have_count(1)
    assert page.url.endswith("/stations?text=har-0")
    page.reload()
    expect(page.locator("#station-count")).to_contain_text("1 of 5", timeout=10_000)
    page.fill("#station-text", "")
    page.locator("select[name=state]").select_option("offline")
    expect(page.locator(".ag-center-cols-container .ag-row")).to_have_count(1)
    assert names(page) == ["Mill Lane 1"]


def test_sorting_by_a_column_takes_the_sites_away(open_page: Callable[..., Watched], screen: Screen) -> None:
    page = show(open_page(), screen, "/stations")
    expect(page.locator(".site-row")).to_have_count(4)
    page.get_by_role("columnheader", name="Protocol").click()
    expect(page.locator(".site-row")).to_have_count(0)
    expect(page.locator(".ag-center-cols-container .ag-row")).to_have_count(5)


def test_an_odd_id_leads_from_the_list_to_its_page(open_page: Callable[..., Watched], screen: Screen) -> None:
    watched = open_page()
    page = show(watched, screen, "/stations")
    page.locator(".ag-row .place", has_text="a/b").click()
    expect(page.locator("h1")).to_have_text(ODD)
    page.get_by_role("link", name="Messages").click()
    expect(page.locator("h1")).to_have_text(ODD)
    expect(page.locator(".nav-link[aria-current]")).to_have_text("Stations1")
    assert watched.wrong == []


def test_deciding_about_one_that_waits(open_page: Callable[..., Watched], screen: Screen) -> None:
    watched = open_page(user="admin")
    page = show(watched, screen, "/stations")
    waiting = page.locator(".waiting", has_text="new one/7")
    waiting.get_by_role("button", name="Approve").click()
    expect(page.locator("#inbox-said")).to_contain_text("it showed no key")
    waiting.locator("input[name=name]").fill("Depot gate")
    waiting.locator("select[name=security_profile]").select_option("0")
    waiting.get_by_role("button", name="Approve").click()
    expect(page.locator("#inbox-said")).to_contain_text("new one/7 is let in")
    expect(page.locator(".waiting")).to_have_count(2)
    row = screen.world.records.station("new one/7")
    assert row is not None
    assert row.name == "Depot gate"
    page.locator(".waiting", has_text="<script>").get_by_role("button", name="Refuse").click()
    expect(page.locator(".waiting")).to_have_count(1)
    assert watched.wrong == []


def test_a_plan_is_previewed_then_imported(open_page: Callable[..., Watched], screen: Screen, tmp_path: Path) -> None:
    watched = open_page(user="admin")
    page = show(watched, screen, "/stations")
    wrong, right = tmp_path / "wrong.csv", tmp_path / "right.csv"
    wrong.write_text(plan(line(record="station", station="N-1", security_profile="x")))
    right.write_text(
        plan(line(record="site", site="quay", name="Quay"), line(record="station", station="N-1", site="quay"))
    )
    page.set_input_files("#plan-file", wrong)
    expect(page.locator("#plan-said li")).to_contain_text("line 2: security_profile")
    assert [entry for entry in watched.wrong if "422" not in entry] == []  # the browser's own note of the answer
    page.set_input_files("#plan-file", right)
    expect(page.locator("#plan-said")).to_contain_text("It adds or changes 1 site, 1 station, 0 connectors")
    assert screen.world.records.station("N-1") is None
    page.get_by_role("button", name="Import 1 site").click()
    expect(page.locator("#plan-said")).to_contain_text("Imported")
    expect(page.locator(".site-row", has_text="Quay")).to_be_visible(timeout=10_000)


# ---- one station


def test_the_ribbon_says_in_words_what_it_shows(open_page: Callable[..., Watched], screen: Screen) -> None:
    page = show(open_page(), screen, "/station/HAR-03")
    assert "Charging" in (page.locator(".track").first.get_attribute("aria-label") or "")
    band = page.locator(".track").first.locator(".band.offline")
    assert (band.get_attribute("data-words") or "").startswith(
        "Offline, last paused by the car" if False else "Offline"
    )
    band.hover()
    shown = page.evaluate("node => getComputedStyle(node, '::after').content", band.element_handle())
    assert "1 h 24" in shown
    page.get_by_role("link", name="7 days").click()
    expect(page.get_by_role("heading", name="The last 7 days")).to_be_visible()


def test_a_change_that_the_feed_tells_is_fetched_at_once(open_page: Callable[..., Watched], screen: Screen) -> None:
    watched = open_page()
    page = show(watched, screen, "/station/AIR-02")
    topic = connector_topic("AIR-02", 1, 1)
    screen.publish(topic, ConnectorView(station="AIR-02", evse=1, connector=1, status="Charging", power_w=12_300.0))
    expect(page.locator(".outlet .flow .value")).to_have_text("12.3", timeout=10_000)
    with page.expect_response("**/_dash-update-component*", timeout=6_000):  # sooner than each ten seconds
        screen.publish(topic, ConnectorView(station="AIR-02", evse=1, connector=1, status="Available"))
    screen.publish(topic, None)
    assert watched.wrong == []


def test_settings_are_searched_and_set(open_page: Callable[..., Watched], screen: Screen) -> None:
    watched = open_page()
    page = show(watched, screen, "/station/AIR-02?show=device")
    page.fill("#variable-text", "Variable17")
    expect(page.locator(".ag-center-cols-container .ag-row")).to_have_count(1)
    page.get_by_role("link", name="Set Variable17").click()
    expect(page.get_by_label("Setting")).to_have_value("Module/17.Variable17")
    page.get_by_label("Value").fill("18")
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#command-step")).to_contain_text('"attributeValue": "18"')
    page.get_by_role("button", name="Send now").click()
    expect(page.locator("#command-answer")).to_contain_text("The station answered: Accepted")
    station, name, params = COMMANDS.asked[-1]
    assert (station, name) == ("AIR-02", "SetConfiguration")
    assert params == {"key": "Module/17.Variable17", "value": "18", "attribute": "Actual"}
    assert watched.wrong == []


def test_a_nested_form_makes_the_payload_and_says_faults_at_their_fields(
    open_page: Callable[..., Watched], screen: Screen
) -> None:
    watched = open_page()
    page = show(watched, screen, "/station/AIR-02?show=commands&action=SetVariables")
    page.get_by_role("button", name="Check").click()
    at = page.locator(
        '[data-error-at="setVariableData.0.variable.name"], [data-error-at="setVariableData.0.attributeValue"]'
    )
    expect(at.filter(has_text="is needed").first).to_be_visible()
    expect(page.locator("[aria-invalid]").first).to_be_focused()
    for path, text in (("component.name", "Ctrlr"), ("variable.name", "Limit"), ("attributeValue", "32")):
        page.locator(f'[data-path="setVariableData.0.{path}"]').fill(text)
    expect(page.locator("[aria-invalid]")).to_have_count(0)  # what was said of another payload is gone
    page.get_by_role("button", name="Add evse").click()
    page.locator('[data-path="setVariableData.0.component.evse.id"]').fill("2")
    page.get_by_role("button", name="Add setVariableData").click()
    page.locator('[data-path="setVariableData.1.attributeType"]').select_option("Target")
    made = json.loads(page.locator("#command-raw").input_value())
    first = {"component": {"name": "Ctrlr", "evse": {"id": 2}}, "variable": {"name": "Limit"}, "attributeValue": "32"}
    assert made["setVariableData"][0] == first
    assert made["setVariableData"][1]["attributeType"] == "Target"
    page.get_by_role("button", name="Remove setVariableData 2").click()
    assert json.loads(page.locator("#command-raw").input_value()) == {"setVariableData": [first]}
    page.get_by_role("button", name="Check").click()
    page.get_by_role("button", name="Send now").click()
    expect(page.locator("#command-answer")).to_contain_text("answered")
    assert COMMANDS.asked[-1] == ("AIR-02", "SetVariables", {"setVariableData": [first]})
    assert watched.wrong == []


def test_the_json_beside_fills_the_form_and_a_change_withdraws_the_question(
    open_page: Callable[..., Watched], screen: Screen
) -> None:
    watched = open_page()
    page = show(watched, screen, "/station/HAR-03?show=commands&action=ChangeAvailability")
    page.locator("#command-raw").fill('{"connectorId": 2, "type": "Inoperative"}')
    expect(page.locator('[data-path="connectorId"]')).to_have_value("2")
    expect(page.locator('[data-path="type"]')).to_have_value("Inoperative")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("button", name="Send now")).to_be_visible()
    page.locator('[data-path="connectorId"]').fill("two")
    expect(page.get_by_role("button", name="Send now")).to_have_count(0)
    page.get_by_role("button", name="Check").click()
    expect(page.locator('[data-error-at="connectorId"]')).to_contain_text("integer")
    page.locator("#command-raw").fill("{ half")
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#command-step")).to_contain_text("no JSON")
    assert watched.wrong == []


def test_a_message_opens_beside_its_answer_and_older_ones_come_by_page(
    open_page: Callable[..., Watched], screen: Screen
) -> None:
    watched = open_page()
    page = show(watched, screen, "/station/HAR-03?show=messages")
    reset = page.locator(".talk", has_text="Reset")
    expect(reset.locator(".marks")).to_contain_text("refused")
    reset.locator("summary").click()
    expect(reset.locator(".side")).to_have_count(2)
    expect(reset.locator(".side").nth(1)).to_contain_text("InternalError")
    expect(page.locator(".talk", has_text="MeterValues").locator(".chip.stale")).to_contain_text("late")
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".talk", has_text="MeterValues")).to_have_count(0)
    page.get_by_role("link", name="Newest").click()
    page.fill("input[name=text]", "INTERNALerror")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".talk")).to_have_count(1)
    expect(page.locator(".talk b")).to_have_text("Reset")
    assert "text=INTERNALerror" in page.url
    assert watched.wrong == []


def test_what_is_edited_is_shown_at_once(open_page: Callable[..., Watched], screen: Screen) -> None:
    watched = open_page(user="admin")
    page = show(watched, screen, "/station/HAR-03?show=settings")
    page.locator("form[data-action=station] input[name=name]").fill("Quay 3")
    page.locator("form[data-action=station] select").select_option("mill")
    page.locator("form[data-action=station] button").click()
    expect(page.locator("h1")).to_have_text("Quay 3")
    expect(page.locator("form[data-action=station] select")).to_have_value("mill")
    page.locator("form[data-action=policy] select[name=register]").select_option("session")
    page.locator("form[data-action=policy] button").click()
    expect(page.locator("#station-said")).to_contain_text("Its ways are saved")
    expect(page.locator("form[data-action=policy]")).to_contain_text("session, set by a person")
    row = screen.world.records.station("HAR-03")
    assert row is not None
    assert (row.name, row.site_id, row.policy) == ("Quay 3", "mill", {"register": "session"})
    assert watched.wrong == []


def test_a_viewer_has_no_buttons(open_page: Callable[..., Watched], screen: Screen) -> None:
    watched = open_page(user="viewer")
    page = show(watched, screen, "/stations")
    expect(page.locator("#page button")).to_have_count(0)
    page = show(watched, screen, "/station/HAR-03")
    expect(page.locator("#page button")).to_have_count(0)
    expect(page.locator(".page-tabs a")).to_have_count(4)
    assert watched.wrong == []


def test_a_list_of_five_thousand_draws_only_what_is_seen(open_page: Callable[..., Watched], screen: Screen) -> None:
    _fill(screen.world, 5_000)
    watched = open_page()
    page = show(watched, screen, "/stations")
    expect(page.locator("#station-count")).to_contain_text("50", timeout=20_000)
    assert page.locator(".ag-center-cols-container .ag-row").count() < 80
    page.fill("#station-text", "BULK-04999")
    expect(page.locator(".ag-center-cols-container .ag-row")).to_have_count(1)
    screen.publish(station_topic("BULK-04999"), live("BULK-04999", is_connected=False))
    expect(page.locator('[row-id="BULK-04999"]').first).to_contain_text("Offline", timeout=10_000)
    assert watched.wrong == []


def _fill(world: World, count: int) -> None:
    from bridge.snapshots import Connector, Station

    ids = [f"BULK-{number:05}" for number in range(count)]
    up = {"protocol": "ocpp1.6", "is_connected": True, "connected_at": NOW, "last_seen_at": NOW, "revision": 1}
    world.records.upsert(
        [Station(id=id, **up) for id in ids], [Connector(station=id, evse=1, revision=1) for id in ids]
    )


# ---- files


def test_a_log_is_fetched_and_appears_when_it_has_come(open_page: Callable[..., Watched], screen: Screen) -> None:
    watched = open_page()
    page = show(watched, screen, "/station/HAR-03?show=files")
    COMMANDS.answer = Answer(id="1", outcome=CommandOutcome.ANSWERED, payload={"status": "Accepted"})
    page.select_option("select[name=kind]", "security")
    page.fill("input[name=since]", "2026-11-20 10:00")
    page.click("#files-fetch")
    expect(page.locator("#station-said")).to_contain_text("The station answered: Accepted", timeout=10_000)
    expect(page.locator(".file-row .file-name").first).to_have_text("Awaited")
    expect(page.locator("input[name=since]")).to_have_value("2026-11-20 10:00")
    station, action, payload = COMMANDS.asked[-1]
    assert (station, action, payload["kind"]) == ("HAR-03", "FetchLogs", "security")
    place = screen.url + urlsplit(payload["location"]).path
    with urlopen(Request(place + "/sec.log", b"what happened", method="PUT")) as answer:
        assert answer.status == 200
    expect(page.locator(".file-row .file-name").first).to_have_text("sec.log", timeout=15_000)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download sec.log").click()
    assert Path(download.value.path()).read_bytes() == b"what happened"
    assert watched.wrong == []


def test_an_image_is_added_from_the_disk(open_page: Callable[..., Watched], screen: Screen, tmp_path: Path) -> None:
    watched, file = open_page(user="admin"), tmp_path / "fw.bin"
    file.write_bytes(b"firmware" * 200_000)
    page = show(watched, screen, "/station/HAR-03?show=files")
    page.get_by_text("Add an image", exact=True).click()
    page.set_input_files(".image-file input", file)
    page.fill(".image-add input[name=version]", "9.1")
    page.get_by_role("button", name="Add the image").click()
    expect(page.locator(".image-said")).to_contain_text("Added. SHA-256", timeout=10_000)
    row = page.locator("#files-images .file-row", has_text="9.1")
    expect(row).to_contain_text("1.6 MB", timeout=10_000)
    row.locator("summary").click()
    expect(row.get_by_role("button", name="Install")).to_be_visible()
    assert watched.wrong == []
