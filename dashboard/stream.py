"""``/stream``: the live feed as Server-Sent Events.

Events: ``snapshot`` (everything), ``message`` (what changed), ``beat`` (server time, every 5 s), ``login`` (the login
is over; the stream ends). The login is checked at the start and again every 15 s. Source: WHATWG HTML, section 9.2.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

from flask import Blueprint, Response, g, jsonify, request, stream_with_context
from flask.typing import ResponseReturnValue
from flask_login import current_user

from dashboard.live import Event, Hub, Stream, TooManyStreams

PATH = "/stream"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Pace(NamedTuple):
    beat_s: float
    check_s: float


STEADY = Pace(beat_s=5.0, check_s=15.0)  # a browser says that its feed is gone after 12 s of silence


def is_still_logged_in() -> bool:
    """Ask the records again, not what this long request found at its start."""
    g.pop("_login_user", None)
    return bool(current_user.is_authenticated)


def blueprint(
    hub: Hub, clock: Callable[[], datetime], is_allowed: Callable[[], bool] = is_still_logged_in, pace: Pace = STEADY
) -> Blueprint:
    """The route ``/stream``. A stranger gets 401, one browser too many 503 with Retry-After."""

    def stream() -> ResponseReturnValue:
        if not is_allowed():
            return jsonify(error="login", message="Log in first."), 401
        if request.method == "HEAD":
            return Response(mimetype="text/event-stream", headers=_HEADERS)
        held = contextlib.ExitStack()
        try:
            opened = held.enter_context(hub.stream(_cutter()))
        except TooManyStreams:
            return Response("Every live stream is taken.\n", 503, {"Retry-After": "5"}, mimetype="text/plain")
        events = stream_with_context(_events(opened, clock, is_allowed, pace))
        response = Response(events, mimetype="text/event-stream", headers=_HEADERS)
        response.call_on_close(held.close)
        return response

    routes = Blueprint("stream", __name__)
    routes.add_url_rule(PATH, "stream", stream, methods=["GET"])
    return routes


def _cutter() -> Callable[[], None]:
    """Ends this connection from another thread: a browser that does not read holds its own thread in ``send``."""
    connection = request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
    if not isinstance(connection, socket.socket):
        return lambda: None
    return lambda: connection.shutdown(socket.SHUT_RDWR)


def _events(
    stream: Stream, clock: Callable[[], datetime], is_allowed: Callable[[], bool], pace: Pace
) -> Iterator[bytes]:
    yield b"retry: 1000\n\n" + beat(clock()) + encode(stream.first, b"snapshot")
    beat_at, check_at = (time.monotonic() + wait for wait in (pace.beat_s, pace.check_s))
    while not stream.is_dropped:
        event = stream.next(max(0.0, min(beat_at, check_at) - time.monotonic()))
        if event is not None:
            yield encode(event)
        if time.monotonic() >= check_at:
            check_at = time.monotonic() + pace.check_s
            if not is_allowed():
                yield b"event: login\ndata: {}\n\n"
                return
        if time.monotonic() >= beat_at:
            beat_at = time.monotonic() + pace.beat_s
            yield beat(clock())


def encode(event: Event, name: bytes = b"") -> bytes:
    """One event on the wire. JSON from the feed holds no line breaks, so one ``data:`` line carries it."""
    return (b"event: " + name + b"\n" if name else b"") + b"id: %b\ndata: %b\n\n" % (event.id.encode(), event.data)


def beat(now: datetime) -> bytes:
    """A comment for proxies that count silence, and the server's time for browsers whose clock is wrong."""
    return b': beat\n\nevent: beat\ndata: {"at":"%b"}\n\n' % now.isoformat().encode()
