"""axe-core, the accessibility checker, fetched once by npm into the cache folder of the tests' tools."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import servers
from playwright.sync_api import Page

VERSION = "4.11.0"
_FOLDER = servers.TOOLS / f"axe-core-{VERSION}"
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]


class AxeMissing(Exception):
    """axe-core cannot be had here, and why."""


def prepare() -> Path:
    """The path of ``axe.min.js``. Raises AxeMissing."""
    script = _FOLDER / "node_modules" / "axe-core" / "axe.min.js"
    if script.is_file():
        return script
    npm = shutil.which("npm")
    if npm is None:
        raise AxeMissing("npm is not installed")
    _FOLDER.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(_FOLDER), "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run([*command, f"axe-core@{VERSION}"], capture_output=True, text=True, timeout=90, check=False)
    if done.returncode or not script.is_file():
        raise AxeMissing(f"npm could not fetch axe-core: {done.stderr.strip()[-200:]}")
    return script


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
