"""Rules and facts in, decisions out. Pure: no I/O, no clock, the same in a test, in ``rules test`` and at night."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from dashboard.alerts.catalogue import Rule
from dashboard.alerts.conditions import Finding
from dashboard.alerts.facts import Facts
from dashboard.alerts.lifecycle import ACTIVE_STATES, AlarmState

Key = tuple[str, str]  # rule, subject


class DecisionKind(StrEnum):
    WAIT = "wait"  # the on-delay begins
    FORGET = "forget"  # gone before the on-delay was over
    RAISE = "raise"
    CLEAR = "clear"
    NOTE = "note"  # raised and over at once: an event
    NOTICE = "notice"  # to be told, no alarm


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about one subject of one rule. ``is_fresh``: worth telling anybody."""

    kind: DecisionKind
    rule: str
    subject: str
    finding: Finding | None = None
    since: datetime | None = None
    is_fresh: bool = True


def evaluate(
    rules: Mapping[str, Rule],
    facts: Facts,
    open_alarms: Mapping[Key, AlarmState],
    since: Mapping[Key, datetime],
    now: datetime,
) -> list[Decision]:
    """Compare what is with what should be told. ``open_alarms`` are all that are not normal, ``since`` the on-delays
    that run. Applying the decisions and evaluating again decides nothing new."""
    decisions: list[Decision] = []
    covered: dict[str, set[str]] = {}  # rule -> stations whose alarm another rule already tells
    for rule in sorted(rules.values(), key=lambda rule: not rule.suppresses):
        findings = {f.subject: f for f in rule.kind.find(rule.typed_parameters(), facts, now)}
        made = list(_of_rule(rule, findings, covered.get(rule.name, set()), open_alarms, since, now))
        for name in rule.suppresses:
            covered.setdefault(name, set()).update(_covered(rule, findings, made, open_alarms))
        decisions += made
    decisions += _of_rules_gone(rules, open_alarms, since)
    return decisions


def _of_rule(
    rule: Rule,
    findings: Mapping[str, Finding],
    covered: set[str],
    open_alarms: Mapping[Key, AlarmState],
    since: Mapping[Key, datetime],
    now: datetime,
) -> Iterator[Decision]:
    for subject, finding in findings.items():
        key = (rule.name, subject)
        if finding.is_event:
            if key not in open_alarms:
                yield _event(rule, finding, now)
        elif open_alarms.get(key) not in ACTIVE_STATES:
            yield from _standing(rule, finding, finding.station in covered, since.get(key), now)
    yield from _gone(rule.name, findings, open_alarms, since)


def _event(rule: Rule, finding: Finding, now: datetime) -> Decision:
    is_fresh = finding.since is None or now - finding.since <= timedelta(seconds=rule.max_age_s)
    kind = DecisionKind.NOTICE if rule.priority is None else DecisionKind.NOTE
    return Decision(
        kind=kind, rule=rule.name, subject=finding.subject, finding=finding, since=finding.since, is_fresh=is_fresh
    )


def _standing(
    rule: Rule, finding: Finding, is_covered: bool, since: datetime | None, now: datetime
) -> Iterator[Decision]:
    began = min(finding.since or since or now, now)  # a clock of elsewhere may run ahead
    kind = None
    if now - began >= timedelta(seconds=rule.for_s) and not is_covered:
        kind = DecisionKind.RAISE
    elif since is None:
        kind = DecisionKind.WAIT
    if kind is not None:
        yield Decision(kind=kind, rule=rule.name, subject=finding.subject, finding=finding, since=began)


def _gone(
    rule: str,
    findings: Mapping[str, Finding],
    open_alarms: Mapping[Key, AlarmState],
    since: Mapping[Key, datetime],
) -> Iterator[Decision]:
    for (of, subject), state in open_alarms.items():
        if of == rule and state in ACTIVE_STATES and subject not in findings:
            yield Decision(kind=DecisionKind.CLEAR, rule=rule, subject=subject)
    for of, subject in since:
        if of == rule and subject not in findings:
            yield Decision(kind=DecisionKind.FORGET, rule=rule, subject=subject)


def _covered(
    rule: Rule,
    findings: Mapping[str, Finding],
    made: Iterable[Decision],
    open_alarms: Mapping[Key, AlarmState],
) -> set[str]:
    raised = {d.subject for d in made if d.kind is DecisionKind.RAISE}
    up = {s for s in findings if s in raised or open_alarms.get((rule.name, s)) in ACTIVE_STATES}
    return {station for subject in up for station in findings[subject].covers}


def _of_rules_gone(
    rules: Mapping[str, Rule], open_alarms: Mapping[Key, AlarmState], since: Mapping[Key, datetime]
) -> Iterator[Decision]:
    """What a rule left behind that was removed or switched off."""
    for name in sorted({of for of, _ in (*open_alarms, *since)} - set(rules)):
        yield from _gone(name, {}, open_alarms, since)
