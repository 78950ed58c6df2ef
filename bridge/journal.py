"""The journal: what a charger said is on disk before it is answered.

One SQLite file per bridge (WAL, ``synchronous=FULL``), written by one thread in group commits. ``entries`` holds
every frame with our reply and the events read from it. ``state`` holds the newest snapshot of each station,
connector and session, as of a checkpoint about a second old that commits with it: after a crash the book is read
back from ``state`` and the entries behind the checkpoint are applied again. ``state`` is numbered too and so is a
compacted change feed. Everything behind the journal is a projection with a cursor (``cursors``).

``append`` is called on one thread (the bridge's loop); every other method from any.

What was appended lately is read from memory: a statement that steps over rows queues for the interpreter at each
(see ``bulk``).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from bridge.bulk import insert_rows

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY, received_us INTEGER NOT NULL, station TEXT NOT NULL, source TEXT NOT NULL,
    direction TEXT NOT NULL, action TEXT NOT NULL, frame BLOB NOT NULL, reply BLOB NOT NULL, events BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS state (
    key TEXT PRIMARY KEY, seq INTEGER NOT NULL, at_us INTEGER NOT NULL, is_final INTEGER NOT NULL,
    body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS state_seq ON state (seq);
CREATE TABLE IF NOT EXISTS cursors (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
"""
_TAIL = 4_000  # entries also kept in memory for the projections that keep up
_MAX_BYTES = 8 * 1024**2  # of entries in that tail, or waiting for the disk: one alone may have a megabyte
_PAGE_BYTES = 4 * 1024**2
_BITE = 1_000  # entries that expire in one transaction
_HEAD = "head"  # a cursor that holds the highest sequence number ever given, across retention
_CHECKPOINT = "checkpoint"  # the entry up to which ``state`` tells everything
_STATE_HEAD = "state-head"


class JournalError(Exception):
    """The journal cannot be written; the bridge must stop answering. The message says what to mend."""


class Entry(NamedTuple):
    """One frame. ``direction`` '>' from the charger, '<' to it; ``events`` as ``events.encode`` gives them."""

    received_us: int
    station: str
    source: str
    direction: str
    action: str
    frame: bytes
    reply: bytes
    events: bytes

    @property
    def size(self) -> int:
        """Bytes of what may be big."""
        return len(self.frame) + len(self.reply) + len(self.events)


class StateRow(NamedTuple):
    """The newest snapshot under ``key``; ``is_final`` when it will not change again (an ended session)."""

    key: str
    is_final: bool
    body: bytes


class Journal:
    """Durable append with group commit. ``on_commit(seq)`` is called on the writer's thread after each commit."""

    def __init__(self, path: Path, commit_every_s: float = 0.002, max_pending: int = 20_000) -> None:
        self._path = path
        self._commit_every_s = commit_every_s
        self._max_pending = max_pending
        self._wake = threading.Condition()
        self._pending: list[tuple[int, Entry]] = []
        self._pending_bytes = 0
        self._pending_state: list[tuple[int, Iterable[StateRow]]] = []
        self._tail: deque[tuple[int, Entry]] = deque()
        self._tail_bytes = 0
        self._stopping = False
        self._failure: BaseException | None = None
        self._local = threading.local()
        self._head = 0
        self.committed = 0
        self.committed_state = 0
        self.on_commit: Callable[[int], None] = lambda seq: None
        self._thread = threading.Thread(target=self._write_for_ever, name="journal", daemon=True)

    def open(self) -> None:
        """Create or open the file and start the writer. Raises JournalError."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            database = self._connect()
            database.executescript(_SCHEMA)
            newest = database.execute("SELECT max(seq) FROM entries").fetchone()[0] or 0
            self._head = self.committed = max(newest, self.cursor(_HEAD))
            self.committed_state = self.cursor(_STATE_HEAD)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(f"cannot open the journal {self._path}: {error}; check folder and disk") from error
        self._thread.start()

    @property
    def head(self) -> int:
        """The newest sequence number given out; not yet durable above ``committed``."""
        return self._head

    @property
    def is_full(self) -> bool:
        """More waits for the disk than is healthy: adapters stop reading until it is false."""
        return len(self._pending) >= self._max_pending or self._pending_bytes >= _MAX_BYTES

    def append(self, entry: Entry) -> int:
        """Queue an entry; durable when ``committed`` reaches the result. Raises JournalError once the disk has
        failed."""
        if self._failure is not None:
            raise JournalError(f"the journal {self._path} failed: {self._failure}") from self._failure
        with self._wake:
            self._head = seq = self._head + 1
            self._pending.append((seq, entry))
            self._tail.append((seq, entry))
            size = entry.size
            self._pending_bytes += size
            self._tail_bytes += size
            while len(self._tail) > _TAIL or self._tail_bytes > _MAX_BYTES:
                self._tail_bytes -= self._tail.popleft()[1].size
            if len(self._pending) == 1:
                self._wake.notify()
        return seq

    def put_state(self, rows: Iterable[StateRow]) -> None:
        """Queue the snapshots changed since the last call, as of ``head``: the next checkpoint. ``rows`` is walked
        on the writer's thread."""
        with self._wake:
            self._pending_state.append((self._head, rows))
            self._wake.notify()

    @property
    def checkpoint(self) -> int:
        """The entry up to which ``state`` tells everything; what is newer must be applied again."""
        return self.cursor(_CHECKPOINT)

    def read(self, after: int, limit: int) -> list[tuple[int, Entry]]:
        """Committed entries with a higher number, in order; fewer than ``limit`` when they are big."""
        with self._wake:
            first = self._tail[0][0] if self._tail else None
            if first is not None and first <= after + 1:
                here = islice(self._tail, after + 1 - first, after + 1 - first + limit)
                return list(_within_bytes((seq, entry) for seq, entry in here if seq <= self.committed))
        rows = self._reader().execute(
            "SELECT seq, received_us, station, source, direction, action, frame, reply, events"
            " FROM entries WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return list(_within_bytes((row[0], Entry(*row[1:])) for row in rows))

    def walk(self, after: int) -> Iterator[tuple[int, Entry]]:
        """All that ``read`` gives, page by page."""
        while page := self.read(after, _TAIL):
            yield from page
            after = page[-1][0]

    def read_state(self, after: int, limit: int) -> list[tuple[int, StateRow]]:
        """The change feed: newest snapshots changed after ``after``, oldest change first. A page ends between
        two sequence numbers, so its last number can serve as the cursor."""
        reader = self._reader()
        edge = reader.execute("SELECT seq FROM state WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?", (after, limit - 1))
        last = edge.fetchone()
        rows = reader.execute(
            "SELECT seq, key, is_final, body FROM state WHERE seq > ? AND seq <= ? ORDER BY seq",
            (after, last[0] if last else self.committed_state),
        )
        return [(row[0], StateRow(row[1], bool(row[2]), row[3])) for row in rows]

    def cursor(self, name: str) -> int:
        """How far a projection has come; 0 at first."""
        row = self._reader().execute("SELECT seq FROM cursors WHERE name = ?", (name,)).fetchone()
        return row[0] if row else 0

    def move(self, name: str, seq: int) -> None:
        """Remember how far a projection has come."""
        self._reader().execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (name, seq))

    def keep(self, name: str, body: bytes) -> None:
        """Keep a small document beside the journal (the last copy of the directory)."""
        self._reader().execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, body))

    def kept(self, name: str) -> bytes | None:
        row = self._reader().execute("SELECT body FROM kept WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def waiting_since_us(self, after: int) -> int | None:
        """When the first entry behind a cursor was received; ``None`` when there is none."""
        row = self._reader().execute("SELECT received_us FROM entries WHERE seq > ? ORDER BY seq LIMIT 1", (after,))
        return next((found for (found,) in row), None)

    def state_waiting_since_us(self, after: int) -> int | None:
        """When the first snapshot behind a cursor was put; ``None`` when there is none."""
        row = self._reader().execute("SELECT at_us FROM state WHERE seq > ? ORDER BY seq LIMIT 1", (after,))
        return next((found for (found,) in row), None)

    def expire(self, before_us: int, of_entries: Sequence[str], of_state: str) -> int:
        """Drop what is older than ``before_us`` and has been passed by the projections that read it (their names):
        entries, and final snapshots. Returns how many entries went."""
        database = self._reader()
        self.move(_HEAD, self.committed)
        passed = min(self.checkpoint, *(self.cursor(name) for name in of_entries))
        final = "DELETE FROM state WHERE is_final AND at_us < ? AND seq <= ?"
        database.execute(final, (before_us, self.cursor(of_state)))
        return sum(_expire_entries(database, before_us, passed))

    def close(self) -> None:
        """Commit what waits and stop the writer."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=30.0, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("PRAGMA wal_autocheckpoint=8000")
        return database

    def _reader(self) -> sqlite3.Connection:
        database: sqlite3.Connection | None = getattr(self._local, "database", None)
        if database is None:
            database = self._local.database = self._connect()
        return database

    def _write_for_ever(self) -> None:
        database = self._connect()
        try:
            while self._wait():
                self._commit(database)
        except Exception as error:  # whatever it is: a bridge whose writer is gone must stop, not hang
            self._failure = error
            self.on_commit(-1)
        finally:
            database.close()

    def _wait(self) -> bool:
        with self._wake:
            while not self._pending and not self._pending_state and not self._stopping:
                self._wake.wait()
            if not self._pending and not self._pending_state:
                return False
        if self._commit_every_s and not self._stopping:
            time.sleep(self._commit_every_s)  # company makes the commit cheaper for all
        return True

    def _commit(self, database: sqlite3.Connection) -> None:
        with self._wake:
            entries, self._pending, self._pending_bytes = self._pending, [], 0
            states, self._pending_state = self._pending_state, []
        database.execute("BEGIN IMMEDIATE")
        insert_rows(database, "INSERT INTO entries", [(seq, *entry) for seq, entry in entries])
        state_head = self.committed_state
        for head, rows in states:
            state_head = self._commit_state(database, head, state_head, rows)
        database.execute("COMMIT")
        self.committed_state = state_head
        if entries:
            self.committed = entries[-1][0]
            self.on_commit(self.committed)

    def _commit_state(
        self, database: sqlite3.Connection, head: int, state_head: int, rows: Iterable[StateRow]
    ) -> int:
        now_us = time.time_ns() // 1000
        numbered = [
            (row.key, seq, now_us, row.is_final, row.body) for seq, row in enumerate(rows, start=state_head + 1)
        ]
        state_head += len(numbered)
        insert_rows(database, "INSERT OR REPLACE INTO state", numbered)
        cursors = [(_CHECKPOINT, head), (_STATE_HEAD, state_head)]
        insert_rows(database, "INSERT OR REPLACE INTO cursors", cursors)
        return state_head


def _within_bytes(entries: Iterable[tuple[int, Entry]]) -> Iterator[tuple[int, Entry]]:
    size = 0
    for seq, entry in entries:
        yield seq, entry
        size += entry.size
        if size >= _PAGE_BYTES:
            return


def _expire_entries(database: sqlite3.Connection, before_us: int, passed: int) -> Iterator[int]:
    """From the oldest on in small bites: a scan of everything would hold the commits up until the journal fails."""
    after = 0
    while page := database.execute(
        "SELECT seq, received_us FROM entries WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?", (after, passed, _BITE)
    ).fetchall():
        last = page[-1][0]
        if all(received_us >= before_us for _, received_us in page):
            return
        yield database.execute(
            "DELETE FROM entries WHERE seq > ? AND seq <= ? AND received_us < ?", (after, last, before_us)
        ).rowcount
        after = last
