"""A file in the body of a request, as it arrives: raw, or the first file of a multipart form. Never whole in memory.

The time it may take is bounded: a body that stands still, or trickles for an hour, is cut off at the socket, so that it
cannot hold a thread of the server for ever.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from flask import Request
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

CHUNK = 65_536
MAX_FIELD = 65_536  # a certificate chain fits
_MAX_PARTS = 20
FRAME = 1_000_000  # what a form may have around its file
STILL_S = 30.0  # without a byte
LONGEST_S = 3_600.0
ASK_S = 20.0  # for the head of a request, and again for a body that is no file


class BrokenBody(Exception):
    """The body ended early, stood still, or is no form; the message says which."""


class Arriving:
    """Iterate over it to get the file. ``name`` and ``fields`` are known when it is over."""

    def __init__(self, request: Request, name: str = "") -> None:
        said = parse_options_header(request.headers.get("Content-Disposition"))[1]
        self.name = name or said.get("filename", "")
        self.fields: dict[str, str] = {}
        self.content_length = request.content_length
        self._read = 0
        self._stream: IO[bytes] = request.stream
        options = request.mimetype_params
        self._is_form = request.mimetype == "multipart/form-data"
        self._boundary = options.get("boundary", "").encode("ascii", "ignore")

    def __iter__(self) -> Iterator[bytes]:
        if self._is_form and not self._boundary:
            raise BrokenBody("The form has no boundary.")
        try:
            yield from self._of_form() if self._is_form else self._raw()
        except (OSError, HTTPException) as error:
            raise BrokenBody("The upload broke off or stood still: send it again.") from error
        if self.content_length is not None and self._read < self.content_length:
            raise BrokenBody("The upload broke off: send it again.")

    def _next(self) -> bytes:
        chunk = self._stream.read(CHUNK)
        self._read += len(chunk)
        return chunk

    def _raw(self) -> Iterator[bytes]:
        while chunk := self._next():
            yield chunk

    def _of_form(self) -> Iterator[bytes]:
        decoder = MultipartDecoder(self._boundary, max_form_memory_size=4 * CHUNK, max_parts=_MAX_PARTS)
        form = _Form(self)
        while not form.is_over:
            try:
                decoder.receive_data(self._next() or None)
                yield from form.take(decoder)
            except (ValueError, AttributeError) as error:  # what a decoder says of a form that is none
                raise BrokenBody("The form is incomplete or broken.") from error


class _Form:
    """Where in the form we are."""

    def __init__(self, arriving: Arriving) -> None:
        self.is_over = False
        self._arriving = arriving
        self._has_file = self._is_in_file = False
        self._field = ""

    def take(self, decoder: MultipartDecoder) -> Iterator[bytes]:
        while not isinstance(event := decoder.next_event(), NeedData):
            if isinstance(event, Epilogue):
                self.is_over = True
                return
            if isinstance(event, File):
                self._is_in_file, self._field = not self._has_file, ""
                if self._is_in_file:
                    self._has_file, self._arriving.name = True, event.filename or self._arriving.name
            elif isinstance(event, Field):
                self._is_in_file, self._field = False, event.name or ""
            elif isinstance(event, Data) and event.data:
                if self._is_in_file:
                    yield event.data
                elif self._field:
                    self._add(event.data)

    def _add(self, data: bytes) -> None:
        text = self._arriving.fields.get(self._field, "") + data.decode("utf-8", "replace")
        if len(text) > MAX_FIELD:
            raise BrokenBody(f"The field {self._field[:40]!r} is longer than {MAX_FIELD} characters.")
        self._arriving.fields[self._field] = text


def allow(request: Request, max_bytes: int) -> None:
    """Let this request be as long as its file may be; whoever reads it counts."""
    request.max_content_length = max_bytes + FRAME


@contextmanager
def patience(request: Request) -> Iterator[None]:
    """While the body is read: cut it off when nothing comes, or when it takes too long."""
    link = _socket_of(request)
    if link is None:  # a test's client, which has the body whole
        yield
        return
    body = request.environ["wsgi.input"]
    if isinstance(body, Body):
        body.is_file = True
    before = link.gettimeout()
    link.settimeout(STILL_S)
    deadline = Deadline(link, LONGEST_S)
    try:
        yield
    finally:
        deadline.end()
        if link.fileno() >= 0:
            link.settimeout(before)


class Deadline:
    """The connection is cut when it is reached."""

    def __init__(self, link: socket.socket, seconds: float) -> None:
        self._timer = threading.Timer(seconds, _cut, (link,))
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        self._timer.cancel()


class Body:
    """A request's body that has to come in time, whatever reads it. ``is_file``: its reader has its own patience."""

    def __init__(self, body: IO[bytes], link: socket.socket) -> None:
        self._body = body
        self._link = link
        self._by: float | None = None
        self.is_file = False

    def read(self, size: int = -1) -> bytes:
        return self._timely(self._body.read, size)

    def readline(self, size: int = -1) -> bytes:
        return self._timely(self._body.readline, size)

    def _timely(self, read: Callable[[int], bytes], size: int) -> bytes:
        if self.is_file:
            return read(size)
        self._by = self._by or time.monotonic() + ASK_S
        deadline = Deadline(self._link, max(0.0, self._by - time.monotonic()))
        try:
            return read(size)
        finally:
            deadline.end()


def in_time(app: Callable[..., Any]) -> Callable[..., Any]:
    """A WSGI application whose bodies have to come in time."""

    def timely(environ: dict[str, Any], start_response: Any) -> Any:
        link = environ.get("gunicorn.socket")
        if link is not None:
            environ["wsgi.input"] = Body(environ["wsgi.input"], link)
        return app(environ, start_response)

    return timely


def hang_up(request: Request) -> None:
    """End the connection: what is left of a body that was not wanted is not waited for."""
    link = _socket_of(request)
    if link is not None:
        _cut(link)


def _cut(link: socket.socket) -> None:
    with suppress(OSError):  # it is gone already
        link.shutdown(socket.SHUT_RDWR)


def _socket_of(request: Request) -> Any:
    return request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
