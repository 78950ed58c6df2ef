"""``chargewatch rules``: what the alarm rules are, whether a file is right, what a rule would say now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from bridge.events import utc_now
from bridge.settings import load_settings
from dashboard.alerts.catalogue import SHIPPED, Rule, RuleError, load_rules, read_rule

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def command() -> None:
    """List, check and try the alarm rules."""


def _loaded() -> dict[str, Rule]:
    try:
        return load_rules(SHIPPED, load_settings().alerts.rules)
    except RuleError as error:
        raise click.ClickException(str(error)) from error


def _grade(rule: Rule) -> str:
    return "notice" if rule.priority is None else f"P{rule.priority}"


@command.command(name="list")
@_AS_JSON
def list_(as_json: bool) -> None:
    """The rules in force, most urgent first."""
    rules = sorted(_loaded().values(), key=lambda rule: (rule.priority or 9, rule.name))
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(rules), indent=2))
        return
    for rule in rules:
        click.echo(f"{_grade(rule):<7} {rule.name:<20} {rule.condition:<20} after {rule.for_s:>3} s  {rule.title}")


@command.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_AS_JSON
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Say what is wrong with rule files; exit 1 when anything is."""
    results = {str(path): _problem(path) for path in files}
    if as_json:
        click.echo(json.dumps(results, indent=2))
    else:
        for path, problem in results.items():
            click.echo(problem or f"{path}: good")
    if any(results.values()):
        raise SystemExit(1)


def _problem(path: Path) -> str | None:
    try:
        read_rule(path)
    except RuleError as error:
        return str(error)
    return None


@command.command()
@click.argument("name")
@_AS_JSON
def test(name: str, as_json: bool) -> None:
    """What rule NAME finds in the records now, on-delay aside. Nothing is stored or sent."""
    rule = _loaded().get(name)
    if rule is None:
        raise click.ClickException(f"there is no rule '{name}': see 'chargewatch rules list'")
    found = _findings(rule)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for finding in found:
        click.echo(f"{_grade(rule)}  {finding['title']}")
    if not found:
        click.echo(f"{name} finds nothing now")


def _findings(rule: Rule) -> list[dict[str, Any]]:
    from bridge.stores.database import Database, RecordsUnavailable
    from dashboard.alerts.facts import read_facts
    from dashboard.alerts.process import FAR
    from dashboard.alerts.texts import fill

    now = utc_now()
    try:
        with Database(load_settings().records.url.get_secret_value()) as records:
            facts = read_facts(records, now, FAR)
    except RecordsUnavailable as error:
        raise click.ClickException(str(error)) from error
    return [
        {
            "subject": finding.subject,
            "since": msgspec.to_builtins(finding.since),
            "title": fill(rule.title, finding.texts),
            "detail": fill(rule.detail, finding.texts),
        }
        for finding in rule.kind.find(rule.typed_parameters(), facts, now)
    ]
