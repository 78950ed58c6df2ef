"""The journal: group commit, what is durable, what a crash leaves, and the change feed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.journal import Entry, Journal, JournalError, StateRow

HOUR_US = 3_600_000_000


def entry(number: int, received_us: int | None = None) -> Entry:
    at_us = number if received_us is None else received_us
    return Entry(at_us, f"CP{number}", "ocpp1.6", ">", "Heartbeat", b"frame", b"reply", b"events")


class Watch:
    """Remembers the commits and lets a test wait for them."""

    def __init__(self, journal: Journal) -> None:
        self.commits: list[int] = []
        self._came = threading.Condition()
        journal.on_commit = self._on_commit

    def _on_commit(self, seq: int) -> None:
        with self._came:
            self.commits.append(seq)
            self._came.notify_all()

    def wait(self, seq: int) -> None:
        with self._came:
            assert self._came.wait_for(lambda: any(commit in (-1, seq) or commit > seq for commit in self.commits), 20)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.db")
    made.open()
    yield made
    made.close()


def test_what_is_committed_is_on_disk_when_it_is_said(journal: Journal, tmp_path: Path) -> None:
    watch = Watch(journal)
    for number in range(1, 101):
        assert journal.append(entry(number)) == number
    watch.wait(100)
    other = sqlite3.connect(tmp_path / "journal.db")
    assert other.execute("SELECT count(*) FROM entries").fetchone()[0] == 100
    other.close()
    assert [seq for seq, _ in journal.read(0, 1000)] == list(range(1, 101))
    assert journal.read(98, 1) == [(99, entry(99))]


def test_many_entries_share_a_commit(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", commit_every_s=0.2)
    journal.open()
    watch = Watch(journal)
    for number in range(1, 301):
        journal.append(entry(number))
    watch.wait(300)
    assert len(watch.commits) <= 3
    assert watch.commits == sorted(watch.commits)
    journal.close()


def test_close_commits_what_waits(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", commit_every_s=0.5)
    journal.open()
    for number in range(1, 11):
        journal.append(entry(number))
    journal.close()
    again = Journal(tmp_path / "journal.db")
    again.open()
    assert (again.committed, again.head, len(again.read(0, 100))) == (10, 10, 10)
    again.close()


def test_numbers_are_never_given_twice_even_when_all_entries_have_expired(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.open()
    watch = Watch(journal)
    for number in range(1, 6):
        journal.append(entry(number))
    journal.put_state([])
    watch.wait(5)
    journal.close()
    journal = Journal(tmp_path / "journal.db")
    journal.open()
    journal.move("telemetry", 5)
    journal.move("records", 5)
    assert journal.expire(HOUR_US, ["telemetry"], "records") == 5
    journal.close()
    again = Journal(tmp_path / "journal.db")
    again.open()
    assert again.append(entry(6)) == 6
    again.close()


def wait_until_checkpoint(journal: Journal, seq: int) -> None:
    deadline = time.monotonic() + 20
    while journal.checkpoint < seq:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_nothing_expires_before_its_reader_and_the_checkpoint_have_passed_it(journal: Journal) -> None:
    watch = Watch(journal)
    for number in range(1, 11):
        journal.append(entry(number))
    watch.wait(10)
    journal.move("telemetry", 10)
    assert journal.expire(HOUR_US, ["telemetry"], "records") == 0, "no checkpoint yet"
    journal.put_state([])
    journal.append(entry(11))
    watch.wait(11)
    journal.move("telemetry", 4)
    assert journal.expire(HOUR_US, ["telemetry"], "records") == 4
    assert journal.waiting_since_us(4) == 5


def test_the_change_feed_holds_the_newest_of_each_key_in_the_order_of_change(journal: Journal) -> None:
    watch = Watch(journal)
    journal.append(entry(1))
    journal.put_state([StateRow("a", False, b"1"), StateRow("b", False, b"1")])
    journal.append(entry(2))
    watch.wait(2)
    first = journal.read_state(0, 10)
    journal.put_state([StateRow("a", True, b"2")])
    journal.append(entry(3))
    watch.wait(3)
    assert [(row.key, row.body) for _, row in first] == [("a", b"1"), ("b", b"1")]
    assert [row for _, row in journal.read_state(first[-1][0], 10)] == [StateRow("a", True, b"2")]
    assert [row.key for _, row in journal.read_state(0, 10)] == ["b", "a"]
    assert [row.key for _, row in journal.read_state(0, 1)] == ["b"]


def test_the_checkpoint_is_the_entry_up_to_which_the_state_tells_everything(journal: Journal) -> None:
    watch = Watch(journal)
    journal.append(entry(1))
    journal.append(entry(2))
    journal.put_state([StateRow("a", False, b"1")])
    journal.append(entry(3))
    watch.wait(3)
    assert journal.checkpoint == 2


def test_a_page_of_entries_from_memory_is_the_same_as_from_disk(journal: Journal, tmp_path: Path) -> None:
    watch = Watch(journal)
    for number in range(1, 51):
        journal.append(entry(number))
    watch.wait(50)
    again = Journal(tmp_path / "journal.db")
    again.open()
    for after, limit in ((0, 10), (7, 5), (49, 5), (50, 5)):
        assert journal.read(after, limit) == again.read(after, limit)
    again.close()


def test_big_entries_come_in_small_pages(journal: Journal, tmp_path: Path) -> None:
    watch = Watch(journal)
    for number in range(1, 21):
        journal.append(entry(number)._replace(frame=bytes(1024**2)))
    watch.wait(20)
    again = Journal(tmp_path / "journal.db")
    again.open()
    for read in (journal, again):
        assert len(read.read(16, 1000)) == 4
        assert [seq for seq, _ in read.walk(0)] == list(range(1, 21))
    again.close()


def test_megabytes_that_wait_for_the_disk_fill_the_journal_like_many_entries(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")  # not opened: nothing is written yet
    for number in range(1, 8):
        journal.append(entry(number)._replace(frame=bytes(1024**2)))
    assert not journal.is_full
    journal.append(entry(8)._replace(frame=bytes(1024**2)))
    assert journal.is_full
    watch = Watch(journal)
    journal.open()
    watch.wait(8)
    assert not journal.is_full
    journal.close()


def test_what_is_kept_in_memory_is_bounded_in_bytes(journal: Journal) -> None:
    watch = Watch(journal)
    for number in range(1, 31):
        journal.append(entry(number)._replace(frame=bytes(1024**2)))
    watch.wait(30)
    assert sum(kept.size for _, kept in journal._tail) <= 8 * 1024**2


def test_a_small_document_is_kept(journal: Journal) -> None:
    assert journal.kept("directory") is None
    journal.keep("directory", b"1")
    journal.keep("directory", b"2")
    assert journal.kept("directory") == b"2"


def test_too_much_waiting_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", commit_every_s=0.5, max_pending=3)
    journal.open()
    for number in range(1, 4):
        journal.append(entry(number))
    assert journal.is_full
    journal.close()
    assert not journal.is_full


def test_a_disk_that_fails_is_said_once_and_nothing_is_taken_any_more(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.open()
    watch = Watch(journal)
    breaker = sqlite3.connect(tmp_path / "journal.db")
    breaker.execute("DROP TABLE entries")
    breaker.close()
    journal.append(entry(1))
    watch.wait(1)
    assert watch.commits == [-1]
    assert journal.committed == 0
    with pytest.raises(JournalError, match="failed"):
        journal.append(entry(2))
    journal.close()


def test_a_journal_that_cannot_be_opened_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot open the journal"):
        Journal(tmp_path / "file" / "journal.db").open()


_WRITER = """
import sys
from pathlib import Path
from bridge.journal import Entry, Journal
journal = Journal(Path(sys.argv[1]))
journal.open()
def said(seq):
    sys.stdout.write(f"{seq}\\n")
    sys.stdout.flush()
journal.on_commit = said
for number in range(1, 10**9):
    journal.append(Entry(number, "CP", "s", ">", "a", b"x" * 500, b"", b""))
    while journal.is_full:
        pass
"""


def test_what_was_said_to_be_committed_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    said = [int(writer.stdout.readline()) for _ in range(5)][-1]
    os.kill(writer.pid, signal.SIGKILL)
    said = max([said, *(int(line) for line in writer.stdout.read().split("\n")[:-1] if line)])
    writer.wait()
    writer.stdout.close()
    journal = Journal(path)
    journal.open()
    assert journal.committed >= said
    numbers = [seq for seq, _ in journal.walk(0)]
    assert numbers == list(range(1, journal.committed + 1)), "no gap, none twice"
    journal.close()


def test_a_snapshot_that_cannot_be_written_stops_the_journal_loudly(tmp_path: Path) -> None:
    def broken() -> Iterator[StateRow]:
        raise TypeError("no such snapshot")
        yield

    journal = Journal(tmp_path / "journal.db")
    journal.open()
    watch = Watch(journal)
    journal.put_state(broken())
    watch.wait(-1)
    with pytest.raises(JournalError, match="no such snapshot"):
        journal.append(entry(1))
    journal.close()


def test_old_entries_go_in_small_bites_so_that_commits_do_not_wait(journal: Journal) -> None:
    watch = Watch(journal)
    for number in range(1, 2501):
        journal.append(entry(number))
    journal.append(entry(2501, received_us=2 * HOUR_US))
    journal.put_state([])
    watch.wait(2501)
    wait_until_checkpoint(journal, 2501)
    journal.move("telemetry", 2501)
    said: list[str] = []
    journal._reader().set_trace_callback(said.append)

    assert journal.expire(HOUR_US, ["telemetry"], "records") == 2500

    assert sum(statement.startswith("DELETE FROM entries") for statement in said) >= 3
    assert journal.waiting_since_us(0) == 2 * HOUR_US
