"""/stream over a real socket: what it begins with, how it beats, and who is let in for how long."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from flask import Flask
from werkzeug.serving import make_server

from bridge.settings import Mqtt
from dashboard import stream
from dashboard.live import Event, Hub
from dashboard.stream import Pace

NOW = datetime(2026, 11, 23, 14, 32, 7, tzinfo=UTC)
QUICK = Pace(beat_s=0.05, check_s=0.1)


@contextmanager
def served(hub: Hub, is_allowed: Callable[[], bool] = lambda: True, pace: Pace = QUICK) -> Iterator[int]:
    app = Flask("test")
    app.register_blueprint(stream.blueprint(hub, lambda: NOW, is_allowed, pace))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub(Mqtt(host="127.0.0.1", port=1), "test-stream", max_streams=2)
    made.start()
    yield made
    made.stop()


@contextmanager
def asking(port: int, method: str = "GET") -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, "/stream")
    response = connection.getresponse()
    try:
        yield response
    finally:
        response.close()
        connection.close()


def block(response: http.client.HTTPResponse) -> dict[str, str]:
    """The fields of the next event; a comment's field is the empty string."""
    fields = {}
    while line := response.readline().decode().rstrip("\n"):
        name, _, value = line.partition(":")
        fields[name] = value.strip()
    return fields


def until(response: http.client.HTTPResponse, name: str) -> dict[str, str]:
    for _ in range(200):
        fields = block(response)
        if fields.get("event") == name:
            return fields
    raise AssertionError(f"no event {name}")


def test_a_stream_begins_with_a_snapshot_and_beats_with_the_server_s_time(hub: Hub) -> None:
    with served(hub) as port, asking(port) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Accel-Buffering"] == "no"
        snapshot = until(response, "snapshot")
        assert json.loads(snapshot["data"])["docs"]["feed"]["broker"] == "gone"
        assert snapshot["id"]
        assert datetime.fromisoformat(json.loads(until(response, "beat")["data"])["at"]) == NOW


def test_a_comment_goes_with_every_beat(hub: Hub) -> None:
    with served(hub) as port, asking(port) as response:
        until(response, "snapshot")
        assert block(response) == {"": "beat"}


def test_a_stranger_gets_401_and_no_redirect(hub: Hub) -> None:
    for method in ("GET", "HEAD"):
        with served(hub, lambda: False) as port, asking(port, method) as response:
            assert response.status == 401
            assert "Location" not in response.headers


def test_a_stream_ends_when_the_login_does(hub: Hub) -> None:
    allowed = [True]
    with served(hub, lambda: allowed[0]) as port, asking(port) as response:
        until(response, "snapshot")
        allowed[0] = False
        until(response, "login")
        assert response.read() == b""


def test_one_browser_too_many_is_told_to_come_back_and_gets_a_place_that_became_free(hub: Hub) -> None:
    with served(hub) as port:
        with asking(port) as first, asking(port) as second:
            until(first, "snapshot"), until(second, "snapshot")
            with asking(port) as third:
                assert (third.status, third.headers["Retry-After"]) == (503, "5")
        deadline, status = time.monotonic() + 20, 0
        while status != 200 and time.monotonic() < deadline:
            with asking(port) as again:
                status = again.status
        assert status == 200


def test_asking_for_the_head_takes_no_place(hub: Hub) -> None:
    with served(hub) as port:
        for _ in range(4):
            with asking(port, "HEAD") as response:
                assert (response.status, response.read()) == (200, b"")


def test_a_browser_that_does_not_read_is_cut_off_and_its_place_is_free_again() -> None:
    hub = Hub(Mqtt(host="127.0.0.1", port=1), "test-slow", max_streams=1)
    large = Event("e-1", b'{"docs":{"x":"' + b"x" * 4_000_000 + b'"}}')
    with served(hub) as port, asking(port) as response:
        until(response, "snapshot")
        (held,) = hub._streams
        for _ in range(120):  # more than the sockets' buffers and the queue hold
            held.offer(large)
        assert held.is_dropped
        deadline = time.monotonic() + 20
        while hub._streams and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not hub._streams


def test_an_event_is_one_line_of_data() -> None:
    assert stream.encode(Event("e-7", b'{"a":1}'), b"snapshot") == b'event: snapshot\nid: e-7\ndata: {"a":1}\n\n'
    assert stream.encode(Event("e-8", b"{}")) == b"id: e-8\ndata: {}\n\n"
