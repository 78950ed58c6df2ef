"""docs/conformance.md, made of the published lists of test cases and of the tests that carry their ids:
``python tests/oca_table.py`` writes it anew; ``test_conformance.py`` keeps it true."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "conformance.md"
_ID = re.compile(r"TC_([A-P]_\d\d|\d{3}(?:_\d)?)_CSMS")
_CONTRACTS = "a car's contract is vouched for by an OCSP responder or a pool of roots, which are no part of this system"
_SCHEDULES = "nothing here computes a schedule while a car waits: `NotifyEVChargingNeeds` is answered Rejected at once"
_OTHER_AUTHORITY = "our authority signs certificates of stations only; those for cars come from a V2G authority"

NOT_HERE = {
    "A_12": _OTHER_AUTHORITY,
    "A_13": _OTHER_AUTHORITY,
    "C_50": f"{_CONTRACTS}; such an Authorize is answered Invalid",
    "C_52": f"{_CONTRACTS}; such an Authorize is answered Invalid",
    "K_53": _SCHEDULES,
    "K_55": _SCHEDULES,
    "K_57": _SCHEDULES,
    "K_59": _SCHEDULES,
    "M_24": f"{_CONTRACTS}; `GetCertificateStatus` is answered Failed",
    "M_26": f"{_CONTRACTS}; `Get15118EVCertificate` is answered Failed",
    "M_28": f"{_CONTRACTS}; `Get15118EVCertificate` is answered Failed",
}
NOTES = {
    "A_02": "where 2.x is offered; a person may allow another name for one station (policy `user_name`)",
    "B_02": "what lets it in is a person's approval",
    "B_31": "asked for as soon as it is approved",
    "C_51": "with NoCertificateAvailable: no contract can be checked here",
    "D_04": "a list without cards is sent without the field",
    "I_02": "where the setting `billing.tell_stations` is on",
    "P_02": "UnknownVendorId; the message is kept",
    "064": "UnknownVendorId; the message is kept",
}
_TEXT = """\
# Conformance

The Open Charge Alliance publishes the list of the cases by which it certifies a central system (CSMS). Each of them
is played here against the real server: a charging station that the test steers goes through the steps of the use case
over a WebSocket, with TLS where the case is about TLS. Every message in both directions is held against the official
schemas, and the test asserts what the case is about: what is answered, what is sent, what is recorded, and that a
refusal changes nothing.

**These are our own tests, written after the published ids and titles and the use cases of the specification. They
are no certificate of the Open Charge Alliance, were not run by its tool, and its exact steps may differ.**

{counts}

The cases of the core and of advanced security in 2.0.1 are printed bold. `pytest tests -k TC_B_21` runs one: the ids
are in the names of the tests.
"""


class Case(NamedTuple):
    """``is_core``: of the profiles that every certificate of 2.0.1 asks for."""

    id: str
    title: str
    is_core: bool


def cases_of(name: str) -> list[Case]:
    """One published list, in its order."""
    found = []
    for line in (TESTS / name).read_text().splitlines():
        if line and not line.startswith("#"):
            id, _, title = line.partition(" ")
            found.append(Case(id, title.removeprefix("(C) "), title.startswith("(C) ")))
    return found


LISTS = {"OCPP 1.6": cases_of("oca_cases_16.txt"), "OCPP 2.0.1": cases_of("oca_cases_201.txt")}


def places() -> Iterator[tuple[str, str]]:
    """(id, where) of every case that a test carries in its name or in its parameters' ids."""
    for path in sorted(TESTS.glob("test_oca_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                said = [node.name, *(ast.unparse(decorator) for decorator in node.decorator_list)]
                for id in sorted(set(_ID.findall(" ".join(said)))):
                    yield id, f"`{path.stem}` {node.name.removeprefix('test_')}"


def page() -> str:
    """The whole document."""
    where = dict(places())
    parts = [_TEXT.format(counts="\n".join(_counts(where)))]
    for version, cases in LISTS.items():
        parts += [f"\n## {version}\n", "| case | title | tested by |", "| --- | --- | --- |"]
        parts += [_row(case, where) for case in cases]
    return "\n".join(parts) + "\n"


def _counts(where: dict[str, str]) -> Iterator[str]:
    yield "| | cases | tested | not supported |\n| --- | --: | --: | --: |"
    old, new = LISTS.values()
    groups = {
        "OCPP 1.6": old,
        "OCPP 2.0.1, core and advanced security": [case for case in new if case.is_core],
        "OCPP 2.0.1, other": [case for case in new if not case.is_core],
    }
    for name, cases in groups.items():
        tested = sum(case.id in where for case in cases)
        yield f"| {name} | {len(cases)} | {tested} | {len(cases) - tested} |"


def _row(case: Case, where: dict[str, str]) -> str:
    id = f"**{case.id}**" if case.is_core else case.id
    note = f"; {NOTES[case.id]}" if case.id in NOTES else ""
    tested = where.get(case.id) or f"not supported: {NOT_HERE.get(case.id, '')}"
    return f"| {id} | {case.title.replace('|', '/')} | {tested}{note} |"


if __name__ == "__main__":
    PAGE.write_text(page())
