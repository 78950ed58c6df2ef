"""axe-core, the accessibility checker, fetched once by npm into the cache folder of the tests' tools."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from installing import ServerMissing, npm_packages
from playwright.sync_api import Page

VERSION = "4.11.0"
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]


class AxeMissing(Exception):
    """axe-core cannot be had here, and why."""


def prepare() -> Path:
    """The path of ``axe.min.js``. Raises AxeMissing."""
    try:
        return npm_packages("axe-core", [f"axe-core@{VERSION}"]) / "axe-core" / "axe.min.js"
    except ServerMissing as error:
        raise AxeMissing(str(error)) from error


@cache
def _source() -> str:
    return prepare().read_text()


def violations(page: Page, exclude: tuple[str, ...] = ()) -> list[str]:
    """What WCAG 2.1 A and AA says against the page as it is drawn now, one line each."""
    page.evaluate(_source())
    what = {"exclude": [[selector] for selector in exclude]}
    found: dict[str, Any] = page.evaluate(
        "([what, tags]) => axe.run(what.exclude.length ? what : document, {runOnly: {type: 'tag', values: tags}})",
        [what, _TAGS],
    )
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary'].splitlines()[1].strip()}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
