"""Files of stations: a place opens once, a part leaves nothing behind, nothing that is said becomes a path."""

from __future__ import annotations

import hashlib
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from bridge.stores import files as module
from bridge.stores.files import MAX_NAME, TOKEN_CHARS, FileRefused, Files, Image, Link, Refusal, Upload, safe_name
from bridge.stores.records import Records
from bridge.stores.tables import downloads, uploads

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DATA = b"log line\n" * 1000


@pytest.fixture
def files(records: Records, tmp_path: Path) -> Files:
    return Files(records, tmp_path / "files", b"pepper")


def opened(files: Files, max_bytes: int = 1_000_000, station: str = "CP1") -> Link:
    return files.open_upload(station, "diagnostics", "anna", NOW, HOUR, max_bytes)


def put(files: Files, place: Upload, data: bytes = DATA, name: str = "diag.zip") -> Upload:
    with files.part(place.max_bytes) as part:
        for start in range(0, len(data), 1000):
            part.write(data[start : start + 1000])
        return files.take_in(place, part, name, "192.0.2.7", NOW)


def image(files: Files, data: bytes = DATA, name: str = "fw.bin") -> Image:
    with files.part(1_000_000) as part:
        part.write(data)
        return files.add_image(part, name, "anna", NOW, version="2.1", vendor="Acme", model="X")


def on_disk(files: Files) -> list[str]:
    return sorted(str(path.relative_to(files._folder)) for path in files._folder.rglob("*") if path.is_file())


def refused(call: object, *given: object) -> Refusal:
    with pytest.raises(FileRefused) as caught:
        call(*given)  # type: ignore[operator]
    assert str(caught.value).endswith(".")
    return caught.value.why


def test_a_file_comes_whole_with_its_hash_and_its_name(files: Files) -> None:
    link = opened(files)
    place = files.upload_for(link.token, NOW)
    assert (place.station, place.kind, place.received_at, files.open(place)) == ("CP1", "diagnostics", None, None)
    taken = put(files, place)
    assert files.upload(link.id) == taken == files.uploads("CP1")[0]
    assert (taken.name, taken.size_bytes, taken.sha256) == ("diag.zip", len(DATA), hashlib.sha256(DATA).hexdigest())
    assert (taken.received_at, taken.address, taken.created_by) == (NOW, "192.0.2.7", "anna")
    path = files.open(taken)
    assert path is not None
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o077 == 0
    assert on_disk(files) == [f"uploads/{link.id}"]


def test_the_records_hold_no_token(files: Files, records: Records) -> None:
    link, load = opened(files), files.open_download(image(files), "CP1", "anna", NOW, HOUR)
    with records.reading() as connection:
        rows = [*connection.execute(sa.select(uploads)), *connection.execute(sa.select(downloads))]
    for token in (link.token, load.token):
        assert len(token) == TOKEN_CHARS
        assert not any(token.encode() in value for row in rows for value in row if isinstance(value, bytes))
        assert not any(token in str(value) for row in rows for value in row)


def test_a_place_opens_once(files: Files) -> None:
    link = opened(files)
    place = files.upload_for(link.token, NOW)
    put(files, place)
    assert refused(files.upload_for, link.token, NOW) is Refusal.SPENT
    assert refused(put, files, place, b"other") is Refusal.SPENT  # it was let in before the first one was whole
    path = files.open(files.uploads()[0])
    assert path is not None
    assert path.read_bytes() == DATA
    assert on_disk(files) == [f"uploads/{link.id}"]


def test_of_two_at_once_one_stands_and_its_bytes_are_its_own(files: Files) -> None:
    place = files.upload_for(opened(files).token, NOW)
    barrier, outcomes = threading.Barrier(2), []

    def race(data: bytes) -> None:
        with files.part(place.max_bytes) as part:
            part.write(data)
            barrier.wait(10)
            try:
                outcomes.append(files.take_in(place, part, "x", "", NOW).sha256)
            except FileRefused as error:
                outcomes.append(error.why)

    threads = [threading.Thread(target=race, args=(data,)) for data in (b"one", b"two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    path = files.open(files.uploads()[0])
    assert path is not None
    assert sorted(map(str, outcomes)) == sorted([hashlib.sha256(path.read_bytes()).hexdigest(), "spent"])


def test_a_wrong_token_and_an_old_one_open_nothing(files: Files) -> None:
    link = opened(files)
    assert refused(files.upload_for, link.token[:-1] + "!", NOW) is Refusal.UNKNOWN
    assert refused(files.upload_for, "", NOW) is Refusal.UNKNOWN
    assert refused(files.upload_for, link.token, NOW + HOUR) is Refusal.EXPIRED
    assert refused(files.download_for, link.token, NOW) is Refusal.UNKNOWN  # a token opens what it was made for
    load = files.open_download(image(files), "CP1", "anna", NOW, HOUR)
    assert refused(files.upload_for, load.token, NOW) is Refusal.UNKNOWN
    assert refused(files.download_for, load.token, NOW + HOUR) is Refusal.EXPIRED


def test_what_is_too_large_or_empty_or_breaks_off_leaves_nothing_and_may_be_tried_again(files: Files) -> None:
    link = opened(files, max_bytes=2500)
    place = files.upload_for(link.token, NOW)
    assert refused(put, files, place, b"x" * 2501) is Refusal.TOO_LARGE
    assert refused(put, files, place, b"") is Refusal.EMPTY

    def break_off() -> None:
        with files.part(place.max_bytes) as part:
            part.write(b"half")
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        break_off()
    assert on_disk(files) == []
    assert put(files, files.upload_for(link.token, NOW), b"x" * 2500).size_bytes == 2500


def test_a_full_disk_is_noticed_before_and_while_it_fills(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(records, tmp_path / "files", b"pepper", keep_free_mb=100)
    place = files.upload_for(opened(files, 10**12).token, NOW)
    free = [10**9]
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: _Usage(free[0]))
    with files.part(place.max_bytes) as part:
        part.expect(800_000_000)
        assert refused(part.expect, 950_000_000) is Refusal.NO_ROOM
        part.write(b"x")
        free[0] = 10**7
        assert refused(part.write, b"x" * 9_000_000) is Refusal.NO_ROOM
    assert on_disk(files) == []


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("diag.zip", "diag.zip"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system.ini", "system.ini"),
        ("/etc/shadow", "shadow"),
        ("..", "file"),
        (".", "file"),
        ("", "file"),
        (".bashrc", "bashrc"),
        ("a\x00b\r\nSet-Cookie: x.log", "abSet-Cookie_ x.log"),
        ("gpj.\u202eexe.log", "gpj.exe.log"),
        ('"><script>.txt', "___script_.txt"),
        ("%2e%2e%2f", "_2e_2e_2f"),
        ("Zähler.log", "Zähler.log"),
        ("x" * 300 + ".tar", "x" * 96 + ".tar"),
    ],
)
def test_a_name_is_made_harmless(said: str, name: str) -> None:
    assert safe_name(said) == name


@given(st.text())
def test_no_name_leads_out_of_a_folder(said: str) -> None:
    name = safe_name(said)
    assert 0 < len(name) <= MAX_NAME
    assert name.isprintable()
    assert not set(name) & set("/\\\0")
    assert not name.startswith(".")


def test_uploads_are_listed_newest_first_in_pages(files: Files) -> None:
    ids = [opened(files).id for _ in range(5)]
    opened(files, station="CP2")
    assert [found.id for found in files.uploads("CP1", limit=2)] == ids[:-3:-1]
    assert [found.id for found in files.uploads("CP1", before=ids[3])] == ids[2::-1]
    assert len(files.uploads()) == 6


def test_tidying_drops_what_is_old_and_keeps_the_rest(files: Files, records: Records) -> None:
    old, unused, fresh, waiting = (opened(files) for _ in range(4))
    for link in (old, fresh):
        put(files, files.upload_for(link.token, NOW))
    with records.writing() as connection:
        connection.execute(sa.update(uploads).where(uploads.c.id == old.id).values(received_at=NOW - timedelta(days=8)))
        late = NOW - timedelta(days=2)
        connection.execute(sa.update(uploads).where(uploads.c.id == unused.id).values(expires_at=late))
    stale = files._folder / "parts" / "left"
    stale.write_bytes(b"x")
    os.utime(stale, ((NOW - timedelta(days=2)).timestamp(),) * 2)
    assert files.tidy(NOW, keep_days=7) == 2
    assert {found.id for found in files.uploads()} == {fresh.id, waiting.id}
    assert on_disk(files) == [f"uploads/{fresh.id}"]


def test_an_image_is_kept_once_and_goes_with_its_links(files: Files) -> None:
    found = image(files)
    assert files.images() == [found]
    assert files.image(found.id) == found
    assert refused(image, files) is Refusal.KNOWN
    load = files.open_download(found, "CP1", "anna", NOW, HOUR)
    assert files.download_for(load.token, NOW) == (found, "CP1", True)
    files.note_fetched(load.token, NOW)
    assert files.download_for(load.token, NOW).is_first is False
    path = files.image_path(found)
    assert path is not None
    assert path.read_bytes() == DATA
    files.delete_image(found)
    assert files.image_path(found) is None
    assert refused(files.download_for, load.token, NOW) is Refusal.UNKNOWN
    assert on_disk(files) == []
