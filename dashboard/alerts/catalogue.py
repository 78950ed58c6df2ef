"""The rules: one YAML file each, the file name is the rule's name. No expression language: a rule names a condition.

Shipped rules lie in ``rules/``; a folder of the operator's own may add to them and replace one by its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import yaml

from dashboard.alerts.conditions import CONDITIONS, Condition, Parameters
from dashboard.alerts.texts import placeholders

SHIPPED = Path(__file__).parent / "rules"
CHANNELS = Path(__file__).parent / "channels"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class RuleError(Exception):
    """A rule file cannot be used; the message names the file and the key."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule. Without a ``priority`` it sends a notice and is no alarm. ``for_s`` is the on-delay, ``max_age_s`` the
    age above which an event that is learnt of late is kept but not sent as if it were news; ``suppresses`` names rules
    whose alarms say less while one of this is up."""

    name: str = ""
    is_enabled: bool = True
    title: str
    detail: str = ""
    condition: str
    parameters: dict[str, Any] = {}
    priority: int | None = None
    for_s: int = 0
    max_age_s: int = 3600
    cause: str
    consequence: str
    action: str
    notify: tuple[str, ...] = ()
    notify_over: bool = False
    suppresses: tuple[str, ...] = ()

    @property
    def kind(self) -> Condition:
        return CONDITIONS[self.condition]

    def typed_parameters(self) -> Parameters:
        return msgspec.convert(self.parameters, self.kind.parameters)


def load_rules(*folders: Path | None) -> dict[str, Rule]:
    """The enabled rules of all folders by name, later folders replacing earlier ones. Raises RuleError."""
    found: dict[str, Rule] = {}
    for folder in folders:
        if folder is None:
            continue
        if not folder.is_dir():
            raise RuleError(f"alerts.rules: {folder} is not a folder")
        for path in sorted(folder.glob("*.yaml")):
            rule = read_rule(path)
            found[rule.name] = rule
    rules = {name: rule for name, rule in found.items() if rule.is_enabled}
    _check_suppressions(rules, found)
    return rules


def read_rule(path: Path) -> Rule:
    """One checked rule. Raises RuleError naming file and key."""
    if not _NAME.fullmatch(path.stem):
        raise RuleError(f"{path}: a rule's file name is lower case letters, digits and _")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RuleError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict) or "name" in found:
        raise RuleError(f"{path}: a rule is a mapping of keys without 'name' (the file name is it)")
    try:
        rule = msgspec.convert({**found, "name": path.stem}, Rule)
    except msgspec.ValidationError as error:
        raise RuleError(f"{path}: {error}") from error
    for key, problem in _problems(rule):
        raise RuleError(f"{path}: {key}: {problem}")
    return rule


def _problems(rule: Rule) -> Iterable[tuple[str, str]]:
    condition = CONDITIONS.get(rule.condition)
    if condition is None:
        yield "condition", f"'{rule.condition}' is none of {', '.join(sorted(CONDITIONS))}"
        return
    try:
        msgspec.convert(rule.parameters, condition.parameters)
    except msgspec.ValidationError as error:
        yield "parameters", str(error)
    for key in ("title", "detail"):
        yield from _template_problems(key, getattr(rule, key), condition)
    if rule.priority is not None and not 1 <= rule.priority <= 4:
        yield "priority", "is 1 (highest) to 4, or left out for a notice that is no alarm"
    if rule.for_s < 0 or rule.max_age_s < 0:
        yield "for_s" if rule.for_s < 0 else "max_age_s", "is not negative"
    for channel in rule.notify:
        if channel not in channel_names():
            yield "notify", f"'{channel}' is none of {', '.join(channel_names())}"


def _template_problems(key: str, template: str, condition: Condition) -> Iterable[tuple[str, str]]:
    try:
        unknown = placeholders(template) - condition.texts
    except ValueError as error:
        yield key, str(error)
        return
    if unknown:
        yield key, f"{{{sorted(unknown)[0]}}} is none of {', '.join(sorted(condition.texts))}"


def _check_suppressions(rules: dict[str, Rule], known: dict[str, Rule]) -> None:
    for rule in rules.values():
        for name in rule.suppresses:
            if name not in known:
                raise RuleError(f"{rule.name}.yaml: suppresses: there is no rule '{name}'")
            if name in rules and rules[name].suppresses:
                raise RuleError(f"{rule.name}.yaml: suppresses: '{name}' suppresses others itself")


def channel_names() -> list[str]:
    """The folder is the registry."""
    return sorted(path.stem for path in CHANNELS.glob("*.py") if not path.stem.startswith("_"))
