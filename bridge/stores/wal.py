"""SQLite's write-ahead log, switched on while other processes do the same."""

from __future__ import annotations

import sqlite3
import time


def enter_wal(connection: sqlite3.Connection, timeout_s: float) -> None:
    """The switch to WAL does not wait for locks as everything else does. Raises sqlite3.OperationalError."""
    deadline = time.monotonic() + timeout_s
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
