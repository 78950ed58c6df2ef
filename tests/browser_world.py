"""A page in a real Chromium: how it is opened, watched and left, against a real broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import axe
import msgspec
import paho.mqtt.client as paho
import pytest
import servers
from conftest import NOT_RUN
from paho.mqtt.enums import CallbackAPIVersion
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright
from screens_world import NOW, PASSWORD, World
from werkzeug.serving import make_server

from bridge.settings import Mqtt
from dashboard.live import Hub

CHROMIUM = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# AG Grid's own rows are checked for contrast, its role structure is the library's
NOT_OURS = (".ag-root-wrapper",)


class Screen(NamedTuple):
    """A served app with its broker. ``publish`` puts a view into the live state."""

    url: str
    world: World
    publish: Callable[[str, msgspec.Struct | None], None]


class Clock:
    """Begins at the world's moment and runs."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self) -> datetime:
        return NOW + timedelta(seconds=time.monotonic() - self._began)


CLOCK = Clock()


def publisher_to(mosquitto: servers.Mosquitto) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect(mosquitto.host, mosquitto.port)
    client.loop_start()
    return client


@pytest.fixture(scope="module")
def chromium(chromium_path: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium_path), args=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Watched(NamedTuple):
    page: Page
    wrong: list[str]  # console errors, failed requests, dialogs, other hosts


@pytest.fixture
def open_page(chromium: Browser, screen: Screen) -> Iterator[Callable[..., Watched]]:
    contexts = []

    def opened(theme: str = "light", width: int = 1920, height: int = 1080, user: str = "operator") -> Watched:
        state = _cookies(chromium, screen, user) if user else None
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, storage_state=state
        )
        contexts.append(context)
        page = context.new_page()
        wrong: list[str] = []
        _watch(page, screen.url, wrong)
        return Watched(page, wrong)

    yield opened
    for context in contexts:
        context.close()


def _watch(page: Page, own: str, wrong: list[str]) -> None:
    def asked(request: Request) -> None:
        if not request.url.startswith((own, "data:", "blob:")):
            wrong.append(f"asked {request.url}")

    page.on("request", asked)
    page.on("console", lambda m: wrong.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))


_known_cookies: dict[tuple[str, str], Any] = {}


def _cookies(chromium: Browser, screen: Screen, user: str) -> Any:
    """Of one login a person, by the login page: each costs a password check."""
    key = (screen.url, user)
    if key not in _known_cookies:
        with chromium.new_context() as context:
            page = context.new_page()
            page.goto(screen.url + "/login?next=/faults")
            page.fill("#name", user)
            page.fill("#password", PASSWORD)
            page.click("button")
            page.wait_for_url("**/faults")
            _known_cookies[key] = context.storage_state()
    return _known_cookies[key]


def show(watched: Watched, screen: Screen, path: str) -> Page:
    watched.page.goto(screen.url + path)
    expect(watched.page.locator(".page")).to_be_visible()
    watched.page.wait_for_timeout(700)  # the figures and the first frames of the feed
    return watched.page


@pytest.fixture(scope="module", autouse=True)
def _axe() -> None:
    try:
        axe.prepare()
    except axe.AxeMissing as error:
        (pytest.fail if servers.IS_CI else pytest.skip)(f"{NOT_RUN}axe-core: {error}")


@contextmanager
def served(world: World, mosquitto: servers.Mosquitto, name: str, **more: Any) -> Iterator[Screen]:
    """The web process on a port of its own, fed by a hub of that name. What was published is taken back."""
    from dashboard.app import create_app

    hub = Hub(Mqtt(host=mosquitto.host, port=mosquitto.port), name, 20, clock=CLOCK)
    given = {"records": world.records, "people": world.people, "telemetry": world.telemetry, "hub": hub}
    app = create_app(world.settings, with_broker=False, now=CLOCK, **given, **more)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    publisher = publisher_to(mosquitto)
    topics: set[str] = set()

    def publish(topic: str, view: msgspec.Struct | None) -> None:
        topics.add(topic)
        publisher.publish(topic, msgspec.json.encode(view) if view else b"", qos=1, retain=True).wait_for_publish(5)

    hub.start()
    thread.start()
    yield Screen(f"http://127.0.0.1:{server.server_port}", world, publish)
    for topic in topics:
        publish(topic, None)
    publisher.disconnect()
    publisher.loop_stop()
    server.shutdown()
    hub.stop()
    thread.join()
    server.server_close()
    world.records.close()
