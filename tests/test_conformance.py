"""docs/conformance.md is what the tests say: every published case is tested once, or says why it is not."""

from __future__ import annotations

import re
from collections import Counter

from oca_table import LISTS, NOT_HERE, NOTES, PAGE, TESTS, page, places

IDS = [case.id for cases in LISTS.values() for case in cases]


def test_every_case_is_tested_or_says_why_not() -> None:
    tested = {id for id, _ in places()}
    assert set(IDS) - tested - NOT_HERE.keys() == set()
    assert tested & NOT_HERE.keys() == set()


def test_a_case_is_tested_in_one_place_and_is_a_published_one() -> None:
    found = Counter(id for id, _ in places())
    assert [id for id, times in found.items() if times > 1] == []
    assert found.keys() - set(IDS) == set()
    assert (NOT_HERE.keys() | NOTES.keys()) - set(IDS) == set()


def test_every_case_of_the_core_is_tested() -> None:
    core = {case.id for cases in LISTS.values() for case in cases if case.is_core}
    assert len(core) > 100
    assert core - {id for id, _ in places()} == set()


def test_none_of_them_is_skipped() -> None:
    text = "\n".join(path.read_text() for path in TESTS.glob("test_oca_*.py"))
    assert re.findall(r"mark\.skip|mark\.xfail|pytest\.skip|pytest\.xfail", text) == []


def test_the_page_is_what_the_tests_say() -> None:
    assert PAGE.read_text() == page(), "python tests/oca_table.py writes it anew"
