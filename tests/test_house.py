"""The manners of the house, held by reading the source: who may import whom, what is listed where, what is shipped."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

from dashboard.cli import cli

ROOT = Path(__file__).parent.parent
PYTHON = sorted(path for top in ("bridge", "dashboard") for path in (ROOT / top).rglob("*.py"))
DOCS = "\n".join(path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# A module imports only from lines above its own, and from its own folder.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("measurands", "events", "settings", "health", "bulk", "schemas", "descriptors", "secrecy"),
    ("evidence", "logs", "policies", "portions"),
    ("session",),
    ("access", "authority"),
    ("grades",),
    ("billing", "compose"),
    ("snapshots", "live"),
    ("faults", "shelf"),
    ("book",),
    ("journal",),
    ("intake",),
    ("stores", "broker"),
    ("command_bus",),
    ("projections", "publisher", "commander"),
    ("ocpp", "mqtt"),
    ("__main__", "doctor"),
    ("bench", "demo"),
    ("commands",),
)
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}

OPEN_TO_THE_DASHBOARD = {
    "access", "billing", "book", "broker", "command_bus", "commands", "compose", "events", "evidence", "grades",
    "health", "live", "logs", "measurands", "policies", "schemas", "session", "settings", "stores",
}  # fmt: skip


class Import(NamedTuple):
    where: Path
    line: int
    module: str  # dotted, absolute

    @property
    def top(self) -> str:
        return self.module.split(".")[0]

    @property
    def part(self) -> str:
        """``stores`` of ``bridge.stores.records``; empty for ``bridge`` itself."""
        return (*self.module.split("."), "")[1]

    def __str__(self) -> str:
        return f"{self.where.relative_to(ROOT)}:{self.line} imports {self.module}"


def imports_of(path: Path) -> Iterator[Import]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (Import(path, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            if node.module in ("bridge", "dashboard"):
                yield from (Import(path, node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
            else:
                yield Import(path, node.lineno, node.module or "")


IMPORTS = [found for path in PYTHON for found in imports_of(path)]


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[1]


# ---- direction


def test_the_bridge_knows_no_screen() -> None:
    wrong = [str(i) for i in IMPORTS if i.where.is_relative_to(ROOT / "bridge") and i.top == "dashboard"]
    assert wrong == []


def test_every_part_of_the_bridge_has_its_floor() -> None:
    parts = {part_of(path) for path in PYTHON if path.is_relative_to(ROOT / "bridge")} - {"__init__"}
    assert parts - FLOOR.keys() == set()


def test_imports_in_the_bridge_point_one_way() -> None:
    wrong = []
    for found in IMPORTS:
        if found.where.is_relative_to(ROOT / "bridge") and found.top == "bridge" and found.part:
            here = part_of(found.where)
            if found.part != here and FLOOR[found.part] >= FLOOR[here]:
                wrong.append(str(found))
    assert wrong == []


def test_the_dashboard_uses_the_bridge_s_vocabulary_and_stores_and_never_its_road() -> None:
    """Its commands may start what they like: they are the command line, not the web process."""
    of_dashboard = [i for i in IMPORTS if i.where.is_relative_to(ROOT / "dashboard") and i.top == "bridge"]
    wrong = [str(i) for i in of_dashboard if i.part and i.part not in OPEN_TO_THE_DASHBOARD and not is_command(i.where)]
    assert wrong == []


def is_command(path: Path) -> bool:
    return path.is_relative_to(ROOT / "dashboard" / "commands")


def test_every_library_that_is_imported_is_declared() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    listed = [*PROJECT["project"]["dependencies"], *extras["demo"], *extras["bench"]]
    declared = {normal(re.split(r"[<>=\[; ]", requirement)[0]) for requirement in listed}
    owners = packages_distributions()
    undeclared = {
        i.top: str(i)
        for i in IMPORTS
        if i.top not in sys.stdlib_module_names | {"bridge", "dashboard"}
        and not {normal(owner) for owner in owners.get(i.top, ())} & (declared | FOLLOW)
    }
    assert undeclared == {}


# a library's own foundation, whose types it hands out
FOLLOW = {"flask", "werkzeug", "pydantic", "urllib3", "limits"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_importing_a_module_builds_nothing_and_opens_nothing() -> None:
    """In a fresh process: no thread, no socket and no file for writing after every module is imported."""
    script = """
import importlib, sys, threading
def hook(event, args):
    if event == "socket.bind" and args[1] == ("::1", 0):
        return  # urllib3 asks whether there is IPv6
    if event in ("socket.bind", "socket.connect", "sqlite3.connect", "subprocess.Popen"):
        raise SystemExit(f"at import: {event} {args}")
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        raise SystemExit(f"at import: writes {args[0]}")
sys.addaudithook(hook)
sys.dont_write_bytecode = True
for name in sys.argv[1:]:
    importlib.import_module(name)
assert threading.active_count() == 1, threading.enumerate()
"""
    modules = [dotted(path) for path in PYTHON if "migrations" not in path.parts]
    command = [sys.executable, "-c", script, *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_what_tests_share_stands_in_a_module_of_its_own() -> None:
    """Not in another test, which would be collected, and run its fixtures, twice."""
    borrowed = [str(i) for path in sorted((ROOT / "tests").glob("*.py")) for i in imports_of(path)]
    assert [line for line in borrowed if re.search(r" imports test_", line)] == []


# ---- size and words


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    if text.strip() and path.name != "env.py":
        assert ast.get_docstring(ast.parse(text)), "a module says what it is for"


def test_three_functions_in_four_are_below_twenty_lines() -> None:
    functions = [node for path in PYTHON for node in ast.walk(ast.parse(path.read_text())) if is_function(node)]
    lengths = sorted((node.end_lineno or 0) - node.lineno + 1 for node in functions)
    assert lengths[len(lengths) * 3 // 4] < 20


def is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def test_nothing_is_left_for_later() -> None:
    sources = [*PYTHON, *(ROOT / "assets").glob("*.js"), *(ROOT / "assets").glob("*.css")]
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert [str(path) for path in sources if marks.search(path.read_text())] == []


# ---- what is listed where


REGISTRIES = {
    "vendors": ("bridge/mqtt/vendors", "*.toml"),
    "quirks": ("bridge/ocpp/quirks", "*.toml"),
    "rules": ("dashboard/alerts/rules", "*.yaml"),
    "channels": ("dashboard/alerts/channels", "*.py"),
    "pages": ("dashboard/pages", "*.py"),
}
ENTRIES = [
    (kind, path.stem)
    for kind, (folder, pattern) in REGISTRIES.items()
    for path in sorted((ROOT / folder).glob(pattern))
    if not path.stem.startswith("_")
]


@pytest.mark.parametrize("kind", REGISTRIES)
def test_a_registry_is_not_empty(kind: str) -> None:
    assert [name for of, name in ENTRIES if of == kind]


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_file_of_a_registry_is_in_the_documents(kind: str, name: str) -> None:
    assert f"`{name}`" in DOCS, f"{kind}: docs or README must name `{name}`"


@pytest.mark.parametrize("name", sorted(cli.list_commands(None)))  # type: ignore[arg-type]
def test_every_command_is_in_the_documents(name: str) -> None:
    assert f"chargewatch {name}" in DOCS


def test_documents_link_only_to_files_that_are_there() -> None:
    gone = []
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
            if not target.startswith(("http://", "https://")) and not (page.parent / target).exists():
                gone.append(f"{page.name}: {target}")
    assert gone == []


def test_a_document_that_the_source_names_is_there() -> None:
    named = {(path, page) for path in PYTHON for page in re.findall(r"docs/\w+\.md", path.read_text())}
    assert [f"{path} names {page}" for path, page in named if not (ROOT / page).exists()] == []


def test_every_document_is_listed_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert {page for page in pages if f"({page})" not in index} == set()


# ---- what is shipped


ASSETS = sorted(path for path in (ROOT / "assets").rglob("*") if path.is_file())
OUTSIDE = re.compile(r"""(?:["'(]|url\()\s*(?:https?:)?//(?!www\.w3\.org/)[\w.-]+""")


@pytest.mark.parametrize("path", ASSETS, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_asset_asks_nobody_outside(path: Path) -> None:
    if path.suffix in {".js", ".css", ".svg", ".html", ".json"}:
        assert OUTSIDE.findall(path.read_text()) == []


def test_an_address_outside_would_be_found() -> None:
    assert OUTSIDE.search('@import url("https://fonts.example/x.css")')
    assert OUTSIDE.search("fetch('//cdn.example/lib.js')")


def test_the_wheel_takes_every_asset_along() -> None:
    shipped = PROJECT["tool"]["setuptools"]["data-files"]
    packed = {(target, path) for target, patterns in shipped.items() for p in patterns for path in ROOT.glob(p)}
    wanted = {(f"share/chargewatch/{path.parent.relative_to(ROOT)}", path) for path in ASSETS}
    assert {str(path.relative_to(ROOT)) for _, path in wanted - packed} == set()


def test_the_wheel_takes_every_data_file_of_the_packages_along() -> None:
    shipped = PROJECT["tool"]["setuptools"]["package-data"]
    packed = {path for top, patterns in shipped.items() for p in patterns for path in (ROOT / top).glob(p)}
    data = {p for top in shipped for p in (ROOT / top).rglob("*") if p.is_file() and p.suffix not in {".py", ".pyc"}}
    assert {str(path.relative_to(ROOT)) for path in data - packed} == set()


def test_the_pinned_versions_are_what_the_project_asks_for() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *(one for extra in extras.values() for one in extra)]
    names = {normal(re.split(r"[<>=\[; ]", requirement)[0]) for requirement in wanted}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!+-]+", line) for line in pinned)
    assert names - {normal(line.split("==")[0]) for line in pinned} == set()
