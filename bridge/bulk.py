"""Many rows to an SQLite statement.

Python's sqlite3 gives the interpreter away and queues for it again at every row that ``executemany`` steps over; a
busy thread beside it lets it wait up to a switch interval each time. A statement with many rows queues once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

_CHUNKS = (64, 32, 16, 8, 4, 2, 1)  # rows a statement; few sizes, so that the statements stay prepared


def insert_rows(
    connection: sqlite3.Connection, insert: str, rows: Sequence[Sequence[object]], on_conflict: str = ""
) -> None:
    """Run ``insert`` VALUES (...), (...) ``on_conflict`` over rows of one width, as few statements as possible."""
    if not rows:
        return
    done = 0
    for chunk in _CHUNKS:
        while len(rows) - done >= chunk:
            statement = _statement(insert, len(rows[0]), chunk, on_conflict)
            connection.execute(statement, tuple(chain.from_iterable(rows[done : done + chunk])))
            done += chunk


@lru_cache(maxsize=500)
def _statement(insert: str, width: int, rows: int, on_conflict: str) -> str:
    marks = "(" + ", ".join("?" * width) + ")"
    return f"{insert} VALUES {', '.join([marks] * rows)} {on_conflict}"
