"""The outbox: notices on their way, each until it is taken or given up. Only here is anything retried.

At least once: a row is marked sent after its channel took it, so a crash between the two sends it again, with the
same id in its header (``channels/_base.py``). Never lost: the row is written with the edge that caused it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
import structlog
from prometheus_client import Counter, Gauge

from bridge.settings import Alerts
from bridge.stores.database import Database
from bridge.stores.tables import outbox
from dashboard.alerts.catalogue import Rule, channel_names
from dashboard.alerts.channels._base import DeliveryError, Message
from dashboard.alerts.store import Notice

MAX_ATTEMPTS = 50  # with the waits below: half a day
FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 900.0
_BATCH = 50

_log = structlog.get_logger("outbox")
_sent = Counter("chargewatch_notices_sent_total", "Notices that a channel took.", ["channel"])
_failed = Counter("chargewatch_notice_failures_total", "Attempts that failed.", ["channel"])
_dead = Gauge("chargewatch_notices_dead", "Notices that were given up.")
_queued = Gauge("chargewatch_notices_queued", "Notices that wait to be taken.")
_oldest = Gauge("chargewatch_notice_oldest_seconds", "Age of the oldest notice that waits.")


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """A notice for one recipient on one channel."""

    id: int
    key: str
    channel: str
    recipient: str
    subject: str
    body: str
    priority: int
    created_at: datetime
    due_at: datetime
    attempts: int
    sent_at: datetime | None
    dead_at: datetime | None
    last_error: str


class Standing(NamedTuple):
    queued: int
    dead: int
    oldest_at: datetime | None


class Channel(NamedTuple):
    """A file of ``channels/``: ``targets`` are the recipients that the settings name."""

    targets: Mapping[str, Any]
    send: Callable[[Message, Any], None]


def open_channels(settings: Alerts) -> dict[str, Channel]:
    """Every channel with the recipients it has."""
    modules = {name: import_module(f"dashboard.alerts.channels.{name}") for name in channel_names()}
    return {name: Channel(module.targets(settings), module.send) for name, module in modules.items()}


def router(
    channels: Mapping[str, Channel], min_priority: int
) -> Callable[[Rule, Notice], list[tuple[str, str]]]:
    """To which (channel, recipient) a rule's notice goes: alarms from ``min_priority`` up, notices always."""

    def route(rule: Rule, notice: Notice) -> list[tuple[str, str]]:
        if rule.priority is not None and rule.priority > min_priority:
            return []
        return [(name, target) for name in rule.notify for target in channels[name].targets]

    return route


def wait_s(attempts: int, chance: float) -> float:
    """How long to wait after this many failures: doubling, bounded, spread by ``chance`` in [0, 1)."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempts - 1, 20)) * (0.75 + chance / 2)


class Outbox:
    """Raises RecordsUnavailable from any method while the database does not answer."""

    def __init__(self, records: Database) -> None:
        self._records = records

    def due(self, now: datetime, limit: int = _BATCH) -> list[Parcel]:
        """What is to be sent now, most urgent first."""
        waiting = _is_waiting() & (outbox.c.due_at <= now)
        query = sa.select(outbox).where(waiting).order_by(outbox.c.priority, outbox.c.due_at, outbox.c.id)
        with self._records.reading() as connection:
            return [Parcel(**row._mapping) for row in connection.execute(query.limit(limit))]

    def parcels(self, limit: int = 100) -> list[Parcel]:
        """Newest first, whatever became of them."""
        query = sa.select(outbox).order_by(outbox.c.id.desc()).limit(limit)
        with self._records.reading() as connection:
            return [Parcel(**row._mapping) for row in connection.execute(query)]

    def sent(self, parcel: Parcel, now: datetime) -> None:
        self._change(parcel, sent_at=now, attempts=parcel.attempts + 1, last_error="")

    def failed(self, parcel: Parcel, error: DeliveryError, now: datetime, chance: float) -> bool:
        """Put off, or give up; True when it was given up."""
        attempts = parcel.attempts + 1
        is_dead = error.permanent or attempts >= MAX_ATTEMPTS
        due_at = now + timedelta(seconds=wait_s(attempts, chance))
        self._change(
            parcel, attempts=attempts, last_error=str(error), due_at=due_at, dead_at=now if is_dead else None
        )
        return is_dead

    def standing(self) -> Standing:
        waiting = _is_waiting()
        query = sa.select(
            sa.func.count().filter(waiting),
            sa.func.count().filter(outbox.c.dead_at.is_not(None)),
            sa.func.min(outbox.c.created_at).filter(waiting),
        )
        with self._records.reading() as connection:
            return Standing(*connection.execute(query).one())

    def _change(self, parcel: Parcel, **values: Any) -> None:
        with self._records.writing() as connection:
            connection.execute(sa.update(outbox).where(outbox.c.id == parcel.id).values(values))


def deliver(
    box: Outbox,
    channels: Mapping[str, Channel],
    clock: Callable[[], datetime],
    may_send: Callable[[], bool],
) -> int:
    """One round over what is due; returns how many were taken. A target that fails is left alone for the rest of
    the round, so one dead server costs one attempt, not one for each notice."""
    taken, failing = 0, set()
    for parcel in box.due(clock()):
        place = (parcel.channel, parcel.recipient)
        if place in failing:
            continue
        if not may_send():
            break
        try:
            _send(parcel, channels)
        except DeliveryError as error:
            _note_failure(box, parcel, error, clock())
            if not error.permanent:
                failing.add(place)
        else:
            box.sent(parcel, clock())
            _sent.labels(parcel.channel).inc()
            taken += 1
    _measure(box.standing(), clock())
    return taken


def _send(parcel: Parcel, channels: Mapping[str, Channel]) -> None:
    channel = channels.get(parcel.channel)
    if channel is None or parcel.recipient not in channel.targets:
        raise DeliveryError("the settings no longer name this recipient", permanent=True)
    message = Message(id=parcel.key, subject=parcel.subject, body=parcel.body, priority=parcel.priority)
    try:
        channel.send(message, channel.targets[parcel.recipient])
    except DeliveryError:
        raise
    except Exception as error:  # a channel's own defect must not stop the others
        raise DeliveryError(f"{type(error).__name__}: {error}") from error


def _note_failure(box: Outbox, parcel: Parcel, error: DeliveryError, now: datetime) -> None:
    _failed.labels(parcel.channel).inc()
    is_dead = box.failed(parcel, error, now, random.random())  # noqa: S311 (spreads load, hides nothing)
    say = _log.error if is_dead else _log.warning
    say(
        "a notice was given up" if is_dead else "a notice was put off",
        channel=parcel.channel,
        recipient=parcel.recipient,
        notice=parcel.key,
        attempts=parcel.attempts + 1,
        reason=str(error),
    )


def _measure(standing: Standing, now: datetime) -> None:
    _queued.set(standing.queued)
    _dead.set(standing.dead)
    _oldest.set(0.0 if standing.oldest_at is None else (now - standing.oldest_at).total_seconds())


def _is_waiting() -> sa.ColumnElement[bool]:
    return outbox.c.sent_at.is_(None) & outbox.c.dead_at.is_(None)
