"""Alarms onto the broker, as retained documents (``bridge/live.py``). Alarming never waits for the broker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from bridge.live import ALERTS_TOPIC, ROOT, AlarmView, AlertsView, alarm_topic
from dashboard.alerts.store import Alarm

_PREFIX = f"{ROOT}/alarm/"


class Broker(Protocol):
    """What is used of ``bridge.broker.BrokerClient``."""

    @property
    def is_connected(self) -> bool: ...
    def publish(self, topic: str, body: bytes, retain: bool = False, qos: int = 0) -> None: ...
    def subscribe(self, topic: str, handler: Callable[[str, bytes, bool], None]) -> None: ...
    def on_connected(self, callback: Callable[[], None]) -> None: ...


def alarm_view(alarm: Alarm) -> AlarmView:
    """What a wall may know of an alarm: all of it."""
    shared = {name: getattr(alarm, name) for name in AlarmView.__struct_fields__}
    return AlarmView(**{**shared, "state": str(alarm.state)})


def last_will(holder: str, now: datetime) -> tuple[str, bytes]:
    """What the broker says when this process is gone without a word."""
    return ALERTS_TOPIC, msgspec.json.encode(AlertsView(at=now, holder=holder, is_up=False))


class AlarmPublisher:
    """Publishes what changed since the last tick, everything after a reconnect, and takes away what is over, also
    what another process, or this one before a crash, left on the broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._lock = threading.Lock()
        self._on_broker: dict[str, bytes] = {}  # by topic, as the broker has it
        broker.subscribe(f"{_PREFIX}+", self._heard)
        broker.on_connected(self._forget)

    def publish(self, alarms: Sequence[Alarm], holder: str, now: datetime) -> None:
        """The open alarms as they are now, and that the alarm process lives."""
        if not self._broker.is_connected:
            return
        wanted = {alarm_topic(a.id): msgspec.json.encode(alarm_view(a)) for a in alarms}
        with self._lock:
            changed = {t: body for t, body in wanted.items() if self._on_broker.get(t) != body}
            over = [topic for topic in self._on_broker if topic not in wanted]
            self._on_broker = wanted
        for topic, body in changed.items():
            self._broker.publish(topic, body, retain=True, qos=1)
        for topic in over:
            self._broker.publish(topic, b"", retain=True, qos=1)
        self._broker.publish(ALERTS_TOPIC, msgspec.json.encode(AlertsView(at=now, holder=holder)), retain=True)

    def say_down(self, holder: str, now: datetime) -> None:
        """The leader leaves in good order."""
        self._broker.publish(*last_will(holder, now), retain=True, qos=1)

    def _heard(self, topic: str, body: bytes, is_retained: bool) -> None:
        """What others left or leave there; what we publish comes back too and changes nothing."""
        with self._lock:
            if body:
                self._on_broker.setdefault(topic, body)
            else:
                self._on_broker.pop(topic, None)

    def _forget(self) -> None:
        with self._lock:
            self._on_broker = {}
