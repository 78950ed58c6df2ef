"""Alarms in the records: rows, edges, on-delays and the notices they cause, each tick in one transaction.

The Faults page and the REST interface read here; ``acknowledge`` is the one thing a person does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bridge.stores.database import Database
from bridge.stores.shapes import MAX_PAGE, Page, decode_cursor, encode_cursor
from bridge.stores.tables import alarm_edges, alarms, outbox, rule_states
from dashboard.alerts.catalogue import Rule
from dashboard.alerts.conditions import Finding
from dashboard.alerts.engine import Decision, DecisionKind, Key
from dashboard.alerts.facts import HANDLED, EndFact
from dashboard.alerts.lifecycle import OPEN_STATES, AlarmState, Edge, Trigger, advance
from dashboard.alerts.texts import fill, plain

Fence = Callable[[Connection], None]
_SYSTEM = "rule"


class NoSuchAlarm(LookupError):
    """There is no alarm with this number."""


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm as stored. ``subject`` is what it is about: a station, a connector, a site or a session."""

    id: int
    rule: str
    subject: str
    station: str
    evse: int | None
    session_id: str | None
    priority: int
    state: AlarmState
    title: str
    consequence: str
    action: str
    detail: str
    raised_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str
    cleared_at: datetime | None


class AlarmEdge(msgspec.Struct, frozen=True, kw_only=True):
    at: datetime
    old: AlarmState
    new: AlarmState
    reason: str
    actor: str


class AlarmQuery(msgspec.Struct, frozen=True, kw_only=True):
    states: frozenset[AlarmState] = OPEN_STATES
    station: str | None = None
    cursor: str | None = None
    limit: int = 50


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something to tell: ``key`` is the same however often it is sent."""

    key: str
    subject: str
    body: str
    priority: int


class AlarmStore:
    """Raises RecordsUnavailable from any method while the database does not answer."""

    def __init__(self, records: Database) -> None:
        self._records = records

    def open_alarms(self) -> list[Alarm]:
        """Every alarm that is not normal, most urgent first, then oldest."""
        query = sa.select(alarms).where(alarms.c.state.in_(_values(OPEN_STATES)))
        with self._records.reading() as connection:
            return [_alarm(row) for row in connection.execute(query.order_by(alarms.c.priority, alarms.c.raised_at))]

    def alarms(self, query: AlarmQuery = AlarmQuery()) -> Page[Alarm]:  # noqa: B008 (frozen)
        """Newest first by (raised_at, id). Raises BadCursor."""
        statement = sa.select(alarms).where(alarms.c.state.in_(_values(query.states)))
        if query.station is not None:
            statement = statement.where(alarms.c.station == query.station)
        if query.cursor is not None:
            at, id = decode_cursor(query.cursor)
            statement = statement.where(sa.tuple_(alarms.c.raised_at, alarms.c.id) < (at, _number(id)))
        limit = min(max(query.limit, 1), MAX_PAGE)
        statement = statement.order_by(alarms.c.raised_at.desc(), alarms.c.id.desc()).limit(limit + 1)
        with self._records.reading() as connection:
            found = [_alarm(row) for row in connection.execute(statement)]
        last = found[limit - 1] if len(found) > limit else None
        return Page(found[:limit], encode_cursor(last.raised_at, last.id) if last else None)

    def alarm(self, alarm_id: int) -> Alarm | None:
        with self._records.reading() as connection:
            row = connection.execute(sa.select(alarms).where(alarms.c.id == alarm_id)).first()
        return None if row is None else _alarm(row)

    def edges(self, alarm_id: int) -> list[AlarmEdge]:
        """The alarm's life, oldest first."""
        query = sa.select(alarm_edges).where(alarm_edges.c.alarm_id == alarm_id).order_by(alarm_edges.c.id)
        with self._records.reading() as connection:
            return [_edge(row) for row in connection.execute(query)]

    def acknowledge(self, alarm_id: int, by: str, now: datetime) -> Alarm:
        """A person has seen it; a second time changes nothing. Raises NoSuchAlarm."""
        with self._records.writing() as connection:
            query = sa.select(alarms).where(alarms.c.id == alarm_id).with_for_update()
            row = connection.execute(query).first()
            if row is None:
                raise NoSuchAlarm(f"there is no alarm {alarm_id}")
            change = {"acknowledged_at": now, "acknowledged_by": by}
            _step(connection, _alarm(row), Trigger.ACKNOWLEDGED, now, by, change)
            return _alarm(connection.execute(query).one())

    def delays(self) -> dict[Key, datetime]:
        """The on-delays that run: (rule, subject) -> since when the condition holds."""
        query = sa.select(rule_states).where(rule_states.c.rule != HANDLED)
        with self._records.reading() as connection:
            return {(row.rule, row.subject): row.since for row in connection.execute(query)}

    def apply(
        self,
        decisions: Sequence[Decision],
        rules: Mapping[str, Rule],
        ends: Iterable[EndFact],
        now: datetime,
        post: Callable[[Rule, Notice], Iterable[tuple[str, str]]],
        fence: Fence | None = None,
    ) -> None:
        """Store all of a tick or nothing: alarms, edges, on-delays, the ends that are now seen and the notices.

        ``post`` says to which (channel, recipient) a rule's notice goes. ``fence`` may refuse by raising.
        """
        marks = [{"rule": HANDLED, "subject": end.id, "since": end.stop_received_at} for end in ends]
        if not decisions and not marks:
            return
        with self._records.writing() as connection:
            if fence is not None:
                fence(connection)
            for decision in decisions:
                notice = _APPLY[decision.kind](connection, decision, rules.get(decision.rule), now)
                if notice is not None and decision.is_fresh:
                    rule = rules[decision.rule]
                    _enqueue(connection, notice, post(rule, notice), now)
            if marks:
                connection.execute(sa.insert(rule_states), marks)

    def prune(self, before: datetime) -> None:
        """Forget which ended sessions were seen, where they are too old to be read again."""
        old = (rule_states.c.rule == HANDLED) & (rule_states.c.since < before)
        with self._records.writing() as connection:
            connection.execute(sa.delete(rule_states).where(old))


def _raise(connection: Connection, decision: Decision, rule: Rule | None, now: datetime) -> Notice | None:
    finding = decision.finding
    if rule is None or finding is None or rule.priority is None:
        return None
    _forget(connection, decision, rule, now)
    alarm = _open_alarm(connection, decision)
    row = _row(rule, finding, now)
    if alarm is None:
        stored = connection.execute(sa.insert(alarms).values(row).returning(alarms)).one()
        alarm = _alarm(stored)
    change = {**row, "raised_at": alarm.raised_at, "acknowledged_at": None, "acknowledged_by": "", "cleared_at": None}
    edge_id = _step(connection, alarm, Trigger.RAISED, now, _SYSTEM, change)
    return None if edge_id is None else _notice(f"edge-{edge_id}", rule, finding)


def _note(connection: Connection, decision: Decision, rule: Rule | None, now: datetime) -> Notice | None:
    notice = _raise(connection, decision, rule, now)
    _clear(connection, decision, None, now)
    return notice


def _tell(connection: Connection, decision: Decision, rule: Rule | None, now: datetime) -> Notice | None:
    if rule is None or decision.finding is None:
        return None
    return _notice(f"notice-{rule.name}-{decision.subject}", rule, decision.finding)


def _clear(connection: Connection, decision: Decision, rule: Rule | None, now: datetime) -> Notice | None:
    alarm = _open_alarm(connection, decision)
    if alarm is None:
        return None
    edge_id = _step(connection, alarm, Trigger.CLEARED, now, _SYSTEM, {"cleared_at": now})
    if edge_id is None or rule is None or not rule.notify_over:
        return None
    minutes = max(1, round((now - alarm.raised_at) / timedelta(minutes=1)))
    body = f"{alarm.title}\n\nThis is over since {now:%Y-%m-%d %H:%M} UTC, after {minutes} min.\n"
    return Notice(key=f"edge-{edge_id}", subject=f"Over: {alarm.title}", body=body, priority=alarm.priority)


def _wait(connection: Connection, decision: Decision, rule: Rule | None, now: datetime) -> None:
    row = {"rule": decision.rule, "subject": decision.subject, "since": decision.since or now}
    connection.execute(sa.insert(rule_states).values(row))


def _forget(connection: Connection, decision: Decision, rule: Rule | None, now: datetime) -> None:
    ours = (rule_states.c.rule == decision.rule) & (rule_states.c.subject == decision.subject)
    connection.execute(sa.delete(rule_states).where(ours))


_Apply = Callable[[Connection, Decision, Rule | None, datetime], Notice | None]
_APPLY: dict[DecisionKind, _Apply] = {
    DecisionKind.WAIT: _wait,
    DecisionKind.FORGET: _forget,
    DecisionKind.RAISE: _raise,
    DecisionKind.CLEAR: _clear,
    DecisionKind.NOTE: _note,
    DecisionKind.NOTICE: _tell,
}


def _open_alarm(connection: Connection, decision: Decision) -> Alarm | None:
    query = (
        sa.select(alarms)
        .where(alarms.c.rule == decision.rule, alarms.c.subject == decision.subject)
        .where(alarms.c.state.in_(_values(OPEN_STATES)))
        .with_for_update()
    )
    row = connection.execute(query).first()
    return None if row is None else _alarm(row)


def _step(
    connection: Connection, alarm: Alarm, trigger: Trigger, now: datetime, actor: str, change: dict[str, Any]
) -> int | None:
    """The alarm's row and its edge; the edge's number, or ``None`` where the table knows no such step."""
    edge = advance(alarm.state, trigger)
    if edge is None:
        return None
    connection.execute(sa.update(alarms).where(alarms.c.id == alarm.id).values({**change, "state": str(edge.new)}))
    row = {"alarm_id": alarm.id, "at": now, "actor": plain(actor), **_edge_row(edge)}
    inserted: int = connection.execute(sa.insert(alarm_edges).values(row).returning(alarm_edges.c.id)).scalar_one()
    return inserted


def _row(rule: Rule, finding: Finding, now: datetime) -> dict[str, Any]:
    return {
        "rule": rule.name,
        "subject": finding.subject,
        "station": finding.station,
        "evse": finding.evse,
        "session_id": finding.session_id,
        "priority": rule.priority,
        "state": str(AlarmState.NORMAL),
        "title": fill(rule.title, finding.texts),
        "consequence": rule.consequence,
        "action": rule.action,
        "detail": fill(rule.detail, finding.texts),
        "raised_at": now,
    }


def _notice(key: str, rule: Rule, finding: Finding) -> Notice:
    title, detail = fill(rule.title, finding.texts), fill(rule.detail, finding.texts)
    lines = [title, detail, f"Cause: {rule.cause}", f"Consequence: {rule.consequence}", f"What to do: {rule.action}"]
    grade = "" if rule.priority is None else f"P{rule.priority} "
    return Notice(
        key=key,
        subject=f"{grade}{title}",
        body="\n\n".join(line for line in lines if line) + "\n",
        priority=rule.priority or 4,
    )


def _enqueue(connection: Connection, notice: Notice, targets: Iterable[tuple[str, str]], now: datetime) -> None:
    rows = [
        {
            "key": f"{notice.key}/{channel}/{recipient}",
            "channel": channel,
            "recipient": recipient,
            "subject": notice.subject,
            "body": notice.body,
            "priority": notice.priority,
            "created_at": now,
            "due_at": now,
        }
        for channel, recipient in targets
    ]
    if rows:
        connection.execute(sa.insert(outbox), rows)


def _edge_row(edge: Edge) -> dict[str, str]:
    return {"old": str(edge.old), "new": str(edge.new), "reason": str(edge.reason)}


def _values(states: Iterable[AlarmState]) -> list[str]:
    return sorted(str(state) for state in states)


def _number(id: str | int) -> int:
    return id if isinstance(id, int) else -1


def _alarm(row: Any) -> Alarm:
    return Alarm(**{**row._mapping, "state": AlarmState(row.state)})


def _edge(row: Any) -> AlarmEdge:
    return AlarmEdge(
        at=row.at, old=AlarmState(row.old), new=AlarmState(row.new), reason=row.reason, actor=row.actor
    )
