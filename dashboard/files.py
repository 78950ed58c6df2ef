"""The doors for stations' files: an upload address that works once, an image address that works for some hours.

Stations have no login: the token in the address is the credential, and 43 random characters cannot be guessed. Who
tries is told to wait. Chargers put or post, raw or as a form, and append a name of their own to the address, with a
slash or without one; all of that is understood.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import structlog
from flask import Blueprint, Response, request, send_file
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from bridge.stores.database import RecordsUnavailable
from bridge.stores.files import TOKEN_CHARS, FileRefused, Image, Part, Refusal, Upload
from bridge.stores.telemetry import Batch, Occurrence, StoreRejected, StoreUnavailable
from dashboard import bodies
from dashboard.auth import audit
from dashboard.security import caller_address, is_direct_loopback
from dashboard.services import Services, services

PREFIX = "/files"
WRONG_PER_MINUTE = 20  # of one address, before it is told to wait
PLACES = 8  # files under way at once: each holds a thread
TIDY_EVERY_S = 3_600.0
_STATUS = {
    Refusal.UNKNOWN: 404,
    Refusal.SPENT: 410,
    Refusal.EXPIRED: 410,
    Refusal.TOO_LARGE: 413,
    Refusal.NO_ROOM: 507,
    Refusal.EMPTY: 400,
}

_log = structlog.get_logger("files")


class _Refused(Exception):
    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after_s = status, retry_after_s


class _Places:
    """Who is under way: a bounded number, and each upload once."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(PLACES)
        self._lock = threading.Lock()
        self._uploads: set[int] = set()

    def enter(self) -> None:
        if not self._free.acquire(blocking=False):
            raise _Refused(503, "Too many files are under way. Try again in a minute.", 60)

    def leave(self) -> None:
        self._free.release()

    @contextmanager
    def upload(self, id: int) -> Iterator[None]:
        self.enter()
        try:
            with self._lock:
                if id in self._uploads:
                    raise _Refused(409, "A file is just being received at this address.")
                self._uploads.add(id)
            try:
                yield
            finally:
                with self._lock:
                    self._uploads.discard(id)
        finally:
            self.leave()


def blueprint() -> Blueprint:
    """The routes, with a throttle of their own. Register it where CSRF does not apply."""
    doors = Blueprint("files", __name__, url_prefix=PREFIX)
    throttle, places = MovingWindowRateLimiter(MemoryStorage()), _Places()
    doors.before_request(lambda: _let_in(throttle))
    doors.add_url_rule("/upload/<path:rest>", "upload", _upload(places), methods=["PUT", "POST"])
    doors.add_url_rule("/firmware/<path:rest>", "firmware", _firmware(places), methods=["GET"])
    doors.register_error_handler(_Refused, _say)
    doors.register_error_handler(FileRefused, lambda error: _refuse(throttle, error))
    doors.register_error_handler(bodies.BrokenBody, lambda error: _say(_Refused(400, str(error))))
    doors.register_error_handler(RecordsUnavailable, _away)
    return doors


def start_tidying(found: Services, every_s: float = TIDY_EVERY_S) -> threading.Event:
    """Drop what is past its retention, now and then, on a thread of its own until the event is set."""
    stop = threading.Event()

    def tidy() -> None:
        while True:
            try:
                gone = found.files.tidy(found.now(), found.settings.files.keep_days)
                if gone:
                    _log.info("old uploads were deleted", uploads=gone)
            except (RecordsUnavailable, OSError) as error:  # next time
                _log.warning("old uploads could not be deleted", reason=str(error))
            if stop.wait(every_s):
                return

    threading.Thread(target=tidy, name="files", daemon=True).start()
    return stop


# ---- the door


def _let_in(throttle: MovingWindowRateLimiter) -> None:
    if not throttle.test(_limit(), caller_address()):
        raise _Refused(429, "Too many wrong addresses. Wait a minute.", 60)
    if not (request.is_secure or is_direct_loopback() or services().settings.files.allow_http):
        raise _Refused(403, "Files travel over HTTPS only: use the https address.")


def _limit() -> RateLimitItemPerMinute:
    return RateLimitItemPerMinute(WRONG_PER_MINUTE)


def _refuse(throttle: MovingWindowRateLimiter, error: FileRefused) -> Response:
    if error.why is Refusal.UNKNOWN:
        throttle.hit(_limit(), caller_address())
    return _say(_Refused(_STATUS[error.why], str(error)))


def _away(_error: RecordsUnavailable) -> Response:
    return _say(_Refused(503, "The records do not answer. Try again in a minute.", 60))


def _say(error: _Refused) -> Response:
    """A body that nobody reads any more ends with the connection."""
    response = Response(f"{error}\n", error.status, content_type="text/plain; charset=utf-8")
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    if request.method in ("PUT", "POST"):
        asked = request._get_current_object()  # type: ignore[attr-defined]
        response.call_on_close(lambda: bodies.hang_up(asked))
    return response


def _parted(rest: str) -> tuple[str, str]:
    """Token and name: some chargers append their name without a slash."""
    return rest[:TOKEN_CHARS], rest[TOKEN_CHARS:].strip("/")


# ---- uploads


def _upload(places: _Places) -> Callable[[str], Response]:
    def upload(rest: str) -> Response:
        found = services()
        token, name = _parted(rest)
        place = found.files.upload_for(token, found.now())
        with places.upload(place.id), found.files.part(place.max_bytes) as part:
            try:
                taken = _received(place, part, name)
            except (FileRefused, bodies.BrokenBody) as error:
                audit("file_refused", place.station, f"upload {place.id}: {error}", f"station {place.station}")
                raise
        _note(taken)
        return Response("Received.\n", 200, content_type="text/plain; charset=utf-8")

    return upload


def _received(place: Upload, part: Part, name: str) -> Upload:
    is_form = request.mimetype == "multipart/form-data"
    part.expect(max(0, (request.content_length or 0) - (bodies.FRAME if is_form else 0)))
    bodies.allow(request, place.max_bytes)
    with bodies.patience(request):
        arriving = bodies.Arriving(request, name)
        for chunk in arriving:
            part.write(chunk)
    found = services()
    return found.files.take_in(place, part, arriving.name, caller_address(), found.now())


def _note(taken: Upload) -> None:
    """What is received stays so, whether or not it can be told."""
    size = f"{(taken.size_bytes or 0) / 1000:,.0f} kB".replace(",", " ")
    body = {"upload": taken.id, "kind": taken.kind, "name": taken.name, "size": size, "sha256": taken.sha256}
    detail = f"upload {taken.id}, {taken.kind}: {taken.name}, {taken.size_bytes} bytes, SHA-256 {taken.sha256}"
    _tell(taken.station, "FileReceived", body, "file_received", detail)


def _tell(station: str, kind: str, body: dict[str, object], action: str, detail: str) -> None:
    """An audit line, and an event in the station's timeline."""
    found = services()
    now = found.now()
    try:
        audit(action, station, detail, f"station {station}")
        event = Occurrence(station, 0, now, now, kind, "", msgspec.json.encode(body).decode())
        found.telemetry.write(Batch(occurrences=[event]))
    except (RecordsUnavailable, StoreUnavailable, StoreRejected) as error:
        _log.warning("a file's event could not be noted", station=station, kind=kind, reason=str(error))


# ---- firmware


def _firmware(places: _Places) -> Callable[[str], Response]:
    def firmware(rest: str) -> Response:
        found = services()
        token, _ = _parted(rest)
        download = found.files.download_for(token, found.now())
        image = download.image
        path = found.files.image_path(image)
        if path is None:
            raise FileRefused(Refusal.UNKNOWN, "The image is gone.")
        if request.method == "GET" and download.is_first:
            found.files.note_fetched(token, found.now())
            body: dict[str, object] = {"image": image.id, "name": image.name, "version": image.version}
            detail = f"image {image.id}: {image.name} {image.version}, SHA-256 {image.sha256}"
            _tell(download.station, "FirmwareFetched", body, "firmware_fetched", detail)
        places.enter()
        try:
            response = send_file(
                path,
                "application/octet-stream",
                as_attachment=True,
                download_name=image.name,
                conditional=True,
                etag=image.sha256,
            )
        except BaseException:
            places.leave()
            raise
        response.call_on_close(places.leave)
        return _with_digests(response, image)

    return firmware


def _with_digests(response: Response, image: Image) -> Response:
    """The checksum of the whole image, in the words of RFC 9530 and of RFC 3230 before it."""
    digest = base64.b64encode(bytes.fromhex(image.sha256)).decode()
    response.headers["Repr-Digest"] = f"sha-256=:{digest}:"
    response.headers["Digest"] = f"sha-256={digest}"
    response.headers["Cache-Control"] = "no-store"
    return response
