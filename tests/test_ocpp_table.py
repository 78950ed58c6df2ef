"""docs/ocpp.md says of every message of every version what the code does with it."""

from __future__ import annotations

import re

import pytest
from ocpp_table import OLDEST_FIRST, PAGE, rewritten

from bridge import schemas

TEXT = PAGE.read_text()
MARKS = re.findall(r"^\| (\w+) \|" + r" (yes|) ?\|" * len(OLDEST_FIRST), TEXT, re.MULTILINE)


@pytest.mark.parametrize("column", range(len(OLDEST_FIRST)), ids=[version.protocol for version in OLDEST_FIRST])
def test_every_schema_has_its_row(column: int) -> None:
    shown = {mark[0] for mark in MARKS if mark[1 + column]}
    assert shown == schemas.known_actions(OLDEST_FIRST[column].protocol)


def test_the_tables_are_what_the_code_does() -> None:
    assert rewritten(TEXT) == TEXT, "python tests/ocpp_table.py writes them anew"


def test_a_row_that_is_not_as_the_code_is_would_be_found() -> None:
    wrong = TEXT.replace("event TokenPresented", "event StationSeen")
    assert wrong != TEXT
    assert rewritten(wrong) == TEXT
