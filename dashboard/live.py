"""The live feed: the newest state of everything, and ten times a second what changed, encoded once for all browsers.

A document has a key (its topic below ``chargewatch/live/``; ours are ``plan``, ``summary`` and ``feed``) and is JSON.
A frame is ``{"at": ..., "docs": {key: document or null when it is gone}}``; a snapshot is a frame with everything.
``Feed`` is the pure core; ``Hub`` gives it a broker, a clock and streams. Whether the broker answers is a document
of its own, so that a browser shows old values as old even while our own connection to it is fine.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import structlog

from bridge.broker import BrokerClient
from bridge.events import utc_now
from bridge.live import ROOT, AlarmView, AlertsView, BridgeView, ConnectorView, StationView, segment
from bridge.settings import Mqtt

_log = structlog.get_logger("feed")

MAX_BYTES = 65_536  # of one document; ours are below 2 kB
MAX_DOCUMENTS = 200_000
QUEUED_FRAMES = 100  # ten seconds: a browser that is further behind is dropped and begins anew with a snapshot
FRAME_EVERY_S = 0.1
SWEEP_AFTER = timedelta(seconds=30)  # what the broker did not send again by then, it no longer has

View = StationView | ConnectorView | BridgeView | AlarmView | AlertsView
_VIEWS: dict[str, tuple[int, type[View]]] = {  # first level -> how many levels follow it, and what it holds
    "station": (1, StationView),
    "connector": (3, ConnectorView),
    "bridge": (1, BridgeView),
    "alarm": (1, AlarmView),
    "alerts": (0, AlertsView),
}


class BrokerState(msgspec.Struct, frozen=True):
    """The document ``feed``: whether the broker answers us, since when, and how many documents were refused."""

    broker: str  # "up", "gone"
    since: datetime
    refused: int


class Feed:
    """The latest-state map and what of it changed. No I/O, no clock, no lock."""

    def __init__(self, epoch: str, now: datetime) -> None:
        self._epoch = epoch  # tells one run of this process from the next, in event ids
        self._documents: dict[str, msgspec.Raw] = {}
        self._dirty: set[str] = set()
        self._seen: set[str] = set()  # since the newest connection
        self._sweep_at: datetime | None = None
        self._broker = BrokerState("gone", now, 0)
        self._sequence = 0
        self._put_broker()

    @property
    def id(self) -> str:
        return f"{self._epoch}-{self._sequence}"

    @property
    def refused(self) -> int:
        return self._broker.refused

    def offer(self, topic: str, payload: bytes) -> bool:
        """Take in what the broker sent; an empty payload removes. False when it was refused (and counted)."""
        key = topic.removeprefix(f"{ROOT}/")
        document = b"" if not payload and _kind(key) else _checked(key, payload)
        if document is None or (key not in self._documents and len(self._documents) >= MAX_DOCUMENTS):
            self._refuse()
            return False
        if self._sweep_at is not None:
            self._seen.add(key)
        self.put(key, self._dated(key, document))
        return True

    def _dated(self, key: str, document: bytes) -> bytes:
        """A last will says when its client connected; what was heard since says better when it went."""
        kind, known = _kind(key), self._documents.get(key)
        if not document or known is None or not (kind is BridgeView or kind is AlertsView):
            return document
        will, heard = msgspec.json.decode(document, type=kind), msgspec.json.decode(known, type=kind)
        if will.is_up or will.at is None or heard.at is None or will.at >= heard.at:
            return document
        return msgspec.json.encode(msgspec.structs.replace(will, at=heard.at))

    def put(self, key: str, document: bytes) -> None:
        """Set a document that is ours, or one already checked; ``b""`` removes it."""
        if bytes(self._documents.get(key, b"")) == document:
            return
        if document:
            self._documents[key] = msgspec.Raw(document)
        else:
            del self._documents[key]
        self._dirty.add(key)

    def broker(self, is_up: bool, now: datetime) -> None:
        """The broker answers, or it is gone. Its return starts the search for documents it lost meanwhile."""
        state = "up" if is_up else "gone"
        if state == self._broker.broker:
            return
        self._broker = BrokerState(state, now, self.refused)
        self._put_broker()
        self._seen.clear()
        self._sweep_at = now + SWEEP_AFTER if is_up else None

    def frame(self, now: datetime) -> bytes | None:
        """What changed since the last frame, or None."""
        if self._sweep_at is not None and now >= self._sweep_at:
            self._sweep()
        if not self._dirty:
            return None
        self._sequence += 1
        changed = {key: self._documents.get(key) for key in self._dirty}
        self._dirty.clear()
        return _encode(changed, now)

    def snapshot(self, now: datetime) -> bytes:
        """Everything as it is now, changes not yet sent included."""
        return _encode(self._documents, now)

    def _sweep(self) -> None:
        self._sweep_at = None
        for key in [key for key in self._documents if _kind(key) and key not in self._seen]:
            self.put(key, b"")
        self._seen.clear()

    def _refuse(self) -> None:
        self._broker = msgspec.structs.replace(self._broker, refused=self.refused + 1)
        self._put_broker()

    def _put_broker(self) -> None:
        self.put("feed", msgspec.json.encode(self._broker))


def _encode(documents: dict[str, msgspec.Raw] | dict[str, msgspec.Raw | None], now: datetime) -> bytes:
    return msgspec.json.encode({"at": now, "docs": documents})


def _kind(key: str) -> type[View] | None:
    first, *rest = key.split("/")
    levels, view = _VIEWS.get(first, (-1, None))
    return view if len(rest) == levels else None


def _checked(key: str, payload: bytes) -> bytes | None:
    """The document without anything unknown in it, or None when it is not one or lies about where it belongs."""
    kind = _kind(key)
    if kind is None or len(payload) > MAX_BYTES:
        return None
    try:
        view = msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    home = "/".join([key.split("/")[0], *map(segment, _levels(view))])
    return msgspec.json.encode(view) if key == home else None


def _levels(view: View) -> list[str]:
    match view:
        case ConnectorView():
            return [view.station, str(view.evse), str(view.connector)]
        case StationView():
            return [view.station]
        case BridgeView():
            return [view.bridge]
        case AlarmView():
            return [str(view.id)]
        case _:
            return []


class Event(NamedTuple):
    id: str
    data: bytes


class Stream:
    """One browser's queue. When it overflows, ``cut`` ends the connection that does not read."""

    def __init__(self, first: Event, cut: Callable[[], None]) -> None:
        self.first = first
        self.is_dropped = False
        self._cut = cut
        self._queue: queue.Queue[Event | None] = queue.Queue(QUEUED_FRAMES)

    def offer(self, event: Event) -> None:
        """Never waits."""
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.drop()

    def drop(self) -> None:
        self.is_dropped = True
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        with contextlib.suppress(OSError):
            self._cut()

    def next(self, timeout_s: float) -> Event | None:
        """The next frame, or None when none came in time or the stream was dropped."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None


class TooManyStreams(Exception):
    """No stream is free; the browser may ask again."""


class Job(NamedTuple):
    """A document of ours: ``make(now)`` gives its JSON every ``every_s``, or None to leave it as it is."""

    key: str
    every_s: float
    make: Callable[[datetime], bytes | None]


class Hub:
    """The feed with a broker, a clock and streams. ``start`` it once; thread-safe."""

    def __init__(
        self, settings: Mqtt, client_id: str, max_streams: int, jobs: tuple[Job, ...] = (),
        clock: Callable[[], datetime] = utc_now,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._lock = threading.Lock()
        self._feed = Feed(f"{clock().timestamp():.0f}", clock())
        self._streams: set[Stream] = set()
        self._max_streams = max_streams
        self._jobs = jobs
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._work)]
        self._broker = BrokerClient(settings, client_id)
        self._broker.subscribe(f"{ROOT}/#", self._heard)

    @property
    def is_connected(self) -> bool:
        return self._broker.is_connected

    def start(self) -> None:
        self._broker.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads, the connection and every stream."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._broker.stop()
        with self._lock:
            for stream in list(self._streams):
                stream.drop()

    @contextlib.contextmanager
    def stream(self, cut: Callable[[], None] = lambda: None) -> Iterator[Stream]:
        """A stream that begins with a snapshot. Raises TooManyStreams."""
        with self._lock:
            if len(self._streams) >= self._max_streams:
                raise TooManyStreams
            stream = Stream(Event(self._feed.id, self._feed.snapshot(self._clock())), cut)
            self._streams.add(stream)
        try:
            yield stream
        finally:
            with self._lock:
                self._streams.discard(stream)

    def _heard(self, topic: str, payload: bytes, _retained: bool) -> None:
        with self._lock:
            if not self._feed.offer(topic, payload) and self._feed.refused % 1000 == 1:
                _log.warning("refused a live document", topic=topic[:200], so_far=self._feed.refused)

    def _send(self) -> None:
        while not self._stopping.wait(FRAME_EVERY_S):
            now = self._clock()
            with self._lock:
                self._feed.broker(self._broker.is_connected, now)
                frame = self._feed.frame(now)
                if frame is not None:
                    event = Event(self._feed.id, frame)
                    for stream in [s for s in self._streams if not s.is_dropped]:
                        stream.offer(event)

    def _work(self) -> None:
        due = dict.fromkeys(self._jobs, 0.0)
        waited = 0.0
        while not self._stopping.is_set():
            for job in [job for job in self._jobs if due[job] <= waited]:
                due[job] = waited + job.every_s
                self._do(job)
            self._stopping.wait(1.0)
            waited += 1.0

    def _do(self, job: Job) -> None:
        try:
            document = job.make(self._clock())
        except Exception:  # one bad row must not end the figures of a wall for good
            _log.exception("could not make a live document", key=job.key)
            return
        if document is not None:
            with self._lock:
                self._feed.put(job.key, document)
