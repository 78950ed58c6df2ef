"""The operator's pages in a real Chromium against a real broker: no error, no other host, contrast, live figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import axe
import browser_world as shared
import pytest
import servers
from browser_world import CLOCK, NOT_OURS, Screen, Watched, served, show
from playwright.sync_api import expect
from screens_world import DELIVERED_WH, ENDED, EVIL, LIVE, NOW, ORPHAN, SILENT, STARTED, seeded_world

from bridge.live import (
    AlarmView,
    BridgeView,
    ConnectorView,
    SessionView,
    StationView,
    alarm_topic,
    bridge_topic,
    connector_topic,
    station_topic,
)

PAGES = {
    "sessions": "/sessions",
    "ended": "/sessions?show=ended",
    "nothing found": "/sessions?show=ended&text=zzz",
    "live session": f"/session/{LIVE}",
    "ended session": f"/session/{ENDED}",
    "orphan": f"/session/{ORPHAN}",
    "without samples": f"/session/{SILENT}",
    "hostile": f"/session/{EVIL}",
    "faults": "/faults",
}
chromium, open_page, theme, _axe = shared.chromium, shared.open_page, shared.theme, shared._axe


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory, mosquitto: servers.Mosquitto) -> Iterator[Screen]:
    with served(seeded_world(tmp_path_factory.mktemp("world")), mosquitto, "test-screens") as screen:
        screen.publish(connector_topic("AIR-02", 1, 1), connector())
        yield screen


def connector(
    power_w: float = 44_297.0, state: str = "charging", id: str = LIVE, station: str = "AIR-02"
) -> ConnectorView:
    session = SessionView(
        id=id,
        state=state,
        started_at=STARTED,
        energy_wh=DELIVERED_WH,
        cost="29.56",
        currency="EUR",
        token="••••7F21",
        soc_percent=66.0,
        ended_at=CLOCK() if state == "ended" else None,
    )
    return ConnectorView(
        station=station,
        evse=1,
        connector=1,
        status="Charging",
        power_w=power_w,
        power_at=CLOCK(),
        power_received_at=CLOCK(),
        session=session,
    )


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_error_asks_no_other_host_and_can_be_read(
    open_page: Callable[..., Watched], screen: Screen, theme: str, name: str
) -> None:
    watched = open_page(theme)
    page = show(watched, screen, PAGES[name])
    assert watched.wrong == []
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert axe.violations(page, NOT_OURS) == []


def test_the_login_page_can_be_read(open_page: Callable[..., Watched], screen: Screen, theme: str) -> None:
    watched = open_page(theme, user="")
    watched.page.goto(screen.url + "/login")
    assert watched.wrong == []
    assert axe.violations(watched.page) == []
    watched.page.fill("#name", "operator")
    watched.page.fill("#password", "not this one")
    watched.page.click("button")
    expect(watched.page.get_by_role("alert")).to_contain_text("do not match")
    assert axe.violations(watched.page) == []


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_a_phone(open_page: Callable[..., Watched], screen: Screen, name: str) -> None:
    page = show(open_page(width=390, height=844), screen, PAGES[name])
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_curve_is_drawn_in_the_colours_of_the_theme(
    open_page: Callable[..., Watched], screen: Screen, theme: str
) -> None:
    page = show(open_page(theme), screen, PAGES["live session"])
    line = page.locator('.js-line[style*="stroke-width: 2px"]').first
    line.wait_for(state="attached")
    drawn = line.evaluate("line => getComputedStyle(line).stroke")
    token = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--energy').trim()")
    red, green, blue = (int(token[i : i + 2], 16) for i in (1, 3, 5))
    assert drawn == f"rgb({red}, {green}, {blue})"


def test_a_figure_follows_the_feed(open_page: Callable[..., Watched], screen: Screen) -> None:
    watched = open_page()
    page = show(watched, screen, PAGES["live session"])
    screen.publish(connector_topic("AIR-02", 1, 1), connector(31_250.0))
    expect(page.locator("[data-fact=power] .value")).to_have_text("31.3", timeout=10_000)
    expect(page.locator("[data-chip=age]")).to_contain_text("Live, ")
    assert watched.wrong == []


def test_nothing_is_called_live_while_its_bridge_or_station_is_gone(
    open_page: Callable[..., Watched], screen: Screen
) -> None:
    watched = open_page()
    page = show(watched, screen, PAGES["live session"])
    chip, feed = page.locator("[data-chip=age]"), page.locator("#feed-state")
    screen.publish(connector_topic("AIR-02", 1, 1), connector())
    screen.publish(station_topic("AIR-02"), StationView(station="AIR-02", bridge="b'1", is_connected=True))
    screen.publish(bridge_topic("b'1"), BridgeView(bridge="b'1", at=CLOCK()))
    expect(chip).to_contain_text("Live, ", timeout=10_000)
    screen.publish(bridge_topic("b'1"), BridgeView(bridge="b'1", is_up=False, at=CLOCK()))
    expect(chip).to_contain_text("Its bridge does not answer, last value", timeout=10_000)
    expect(feed).to_contain_text("bridge b'1 gone")
    screen.publish(bridge_topic("b'1"), None)
    screen.publish(station_topic("AIR-02"), StationView(station="AIR-02", bridge="b'1"))
    expect(chip).to_contain_text("Station offline, last value", timeout=10_000)
    expect(feed).to_have_text("● live")
    screen.publish(station_topic("AIR-02"), None)
    expect(chip).to_contain_text("Live, ", timeout=10_000)
    assert watched.wrong == []


def test_a_session_appears_in_the_list_and_leaves_it(open_page: Callable[..., Watched], screen: Screen) -> None:
    watched = open_page()
    page = show(watched, screen, "/sessions")
    topic = connector_topic("HAR-03", 1, 1)
    row = page.locator('.ag-row[row-id="abcdef0123456789"]').first
    expect(row).to_have_count(0)
    screen.publish(topic, connector(7_400.0, id="abcdef0123456789", station="HAR-03"))
    expect(row).to_contain_text("Harbour East 03", timeout=10_000)
    expect(row).to_contain_text("7.4 kW")
    screen.publish(topic, connector(0.0, "ended", id="abcdef0123456789", station="HAR-03"))
    expect(row).to_have_count(0, timeout=10_000)
    assert watched.wrong == []


def test_the_navigation_counts_sessions_and_alarms(open_page: Callable[..., Watched], screen: Screen) -> None:
    page = show(open_page(), screen, "/faults")
    expect(page.locator("[data-count=sessions]")).to_have_text("1")
    alarm = AlarmView(id=9, rule="r", priority=1, state="unacknowledged", station="X", title="t", raised_at=NOW)
    screen.publish(alarm_topic(9), alarm)
    expect(page.locator("[data-count=alarms]")).to_have_text("◆ 1", timeout=10_000)
    screen.publish(alarm_topic(9), None)
    expect(page.locator("[data-count=alarms]")).to_have_text("", timeout=10_000)


def test_a_search_is_in_the_address_and_holds_for_what_comes_later(
    open_page: Callable[..., Watched], screen: Screen
) -> None:
    page = show(open_page(), screen, "/sessions")
    page.locator("select[name=site]").select_option("airport")
    page.wait_for_url("**/sessions?site=airport**")
    expect(page.locator(".ag-center-cols-container .ag-row")).to_have_count(1)
    assert page.locator("select[name=site]").input_value() == "airport"
    topic = connector_topic("HAR-03", 1, 1)
    screen.publish(topic, connector(7_400.0, id="abcdef0123456780", station="HAR-03"))
    page.wait_for_timeout(2500)
    expect(page.locator(".ag-center-cols-container .ag-row")).to_have_count(1)
    screen.publish(topic, None)


def test_ended_sessions_come_by_page(open_page: Callable[..., Watched], screen: Screen) -> None:
    page = show(open_page(), screen, "/sessions?show=ended")
    expect(page.locator(".pager")).to_contain_text("50 shown")
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".pager")).to_contain_text("12 shown")
    page.get_by_role("link", name="Newest").click()
    expect(page.locator(".pager")).to_contain_text("50 shown")


def test_a_raw_message_opens_under_its_sentence(open_page: Callable[..., Watched], screen: Screen) -> None:
    page = show(open_page(), screen, PAGES["live session"])
    event = page.locator("details.event", has_text="cable derates")
    expect(event.locator("pre")).not_to_be_visible()
    event.locator("summary").click()
    expect(event.locator("pre")).to_contain_text('"NotifyEvent"')


def test_a_refresh_keeps_the_figure_and_what_was_opened(open_page: Callable[..., Watched], screen: Screen) -> None:
    watched = open_page()
    page = show(watched, screen, PAGES["live session"])
    event = page.locator("details.event", has_text="cable derates")
    event.locator("summary").click()
    with page.expect_response("**/_dash-update-component*", timeout=20_000):  # each ten seconds
        page.wait_for_timeout(1)
    page.wait_for_timeout(500)
    expect(event.locator("pre")).to_be_visible()
    figure = page.locator(".figure").bounding_box()
    assert figure is not None
    assert figure["height"] == 420
    assert watched.wrong == []


def test_a_refresh_leaves_the_focus_where_it_was(open_page: Callable[..., Watched], screen: Screen) -> None:
    page = show(open_page(), screen, "/faults")
    button = page.get_by_role("button", name="Acknowledge").first
    button.focus()
    with page.expect_response("**/_dash-update-component*", timeout=20_000):  # each five seconds
        page.wait_for_timeout(1)
    page.wait_for_timeout(500)
    expect(button).to_be_focused()


def test_acknowledging_takes_the_button_away(open_page: Callable[..., Watched], screen: Screen) -> None:
    watched = open_page()
    page = show(watched, screen, "/faults")
    button = page.get_by_role("button", name="Acknowledge: Mill Lane 1 is offline")
    button.click()
    expect(button).to_have_count(0)
    expect(page.locator(".alarm", has_text="Mill Lane 1 is offline")).to_contain_text("seen by operator")
    assert watched.wrong == []


def test_a_viewer_has_no_buttons(open_page: Callable[..., Watched], screen: Screen) -> None:
    watched = open_page(user="viewer")
    page = show(watched, screen, "/faults")
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    show(watched, screen, PAGES["live session"])
    expect(page.get_by_text("Stop session")).to_have_count(0)


def test_a_page_whose_login_ended_goes_to_the_door(open_page: Callable[..., Watched], screen: Screen) -> None:
    page = show(open_page(user="admin"), screen, "/faults")
    user = screen.world.people.user_by_name("admin")
    assert user is not None
    screen.world.people.end_logins(user.id)
    page.wait_for_url("**/login?next=**", timeout=15_000)


def test_logging_out_leads_to_the_door(open_page: Callable[..., Watched], screen: Screen) -> None:
    page = show(open_page(), screen, "/faults")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    page.goto(screen.url + "/faults")
    page.wait_for_url("**/login?next=/faults")


def test_an_address_that_is_no_page_says_so(open_page: Callable[..., Watched], screen: Screen) -> None:
    page = open_page().page
    answer = page.goto(screen.url + "/no/such/page")
    assert answer is not None
    assert answer.status == 404
    expect(page.locator(".page")).to_contain_text("There is no page at this address.")
    page.goto(screen.url + "/session/unknown")
    expect(page.locator(".page")).to_contain_text("There is no session with this id.")
