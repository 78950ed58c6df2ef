"""Files of stations: what they upload (logs, diagnostics) and what they may fetch (firmware images).

Rows are in the records, bytes in a folder under names of ours: nothing that a charger says becomes a path. A link is a
random token, of which the records hold only an HMAC: it opens one upload once, or one image for one station, for some
hours. Bytes are written to a part first, counted and hashed on the way, and get their place only when they are whole.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
import sqlalchemy as sa

from bridge import access
from bridge.stores.records import Records
from bridge.stores.tables import downloads, firmware_images, uploads

TOKEN_CHARS = 43  # of token_urlsafe(32): always as many
MAX_NAME = 100
_MB = 1_000_000
_LOOK_EVERY = 8 * _MB  # bytes between two looks at the free disk
_STALE = timedelta(days=1)  # a part this old has no writer any more
_UNWANTED = frozenset('<>:"|?*%')


class Refusal(StrEnum):
    """Why a file is not taken or given."""

    UNKNOWN = "unknown"
    SPENT = "spent"
    EXPIRED = "expired"
    TOO_LARGE = "too_large"
    NO_ROOM = "no_room"
    EMPTY = "empty"
    KNOWN = "known"


class FileRefused(Exception):
    """The message says why, and what to do."""

    def __init__(self, why: Refusal, message: str) -> None:
        super().__init__(message)
        self.why = why


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A place for one file of a station; ``received_at`` and what follows are empty until it came."""

    id: int
    station: str
    kind: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    max_bytes: int
    received_at: datetime | None
    name: str
    size_bytes: int | None
    sha256: str
    address: str


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A firmware image. ``signing_certificate`` is PEM, ``signature`` base64, both as the maker gave them."""

    id: int
    name: str
    version: str
    vendor: str
    model: str
    size_bytes: int
    sha256: str
    signing_certificate: str
    signature: str
    created_at: datetime
    created_by: str


class Link(NamedTuple):
    """``id`` of the upload or image, and the token, which is never shown again."""

    id: int
    token: str


class Download(NamedTuple):
    image: Image
    station: str
    is_first: bool  # nobody has fetched it by this link before


class Part:
    """Bytes that arrive. ``write`` raises FileRefused when they are too many or the disk is nearly full."""

    def __init__(self, file: IO[bytes], path: Path, max_bytes: int, keep_free_bytes: int) -> None:
        self._file = file
        self.path = path
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._keep_free_bytes = keep_free_bytes
        self._hash = hashlib.sha256()
        self._look_at = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def expect(self, size_bytes: int) -> None:
        """What is said to come. Raises FileRefused before the first byte of what cannot be kept."""
        if size_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        if shutil.disk_usage(self.path.parent).free - size_bytes < self._keep_free_bytes:
            raise FileRefused(Refusal.NO_ROOM, "The disk is nearly full: free some of it, or lower files.keep_free_mb.")

    def write(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        if self.size_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        if self.size_bytes >= self._look_at:
            self.expect(0)
            self._look_at = self.size_bytes + _LOOK_EVERY
        self._hash.update(chunk)
        self._file.write(chunk)

    def place(self, path: Path) -> None:
        """Give the whole file its name, on disk before it is said so."""
        self._file.flush()
        os.fsync(self._file.fileno())
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.replace(self.path, path)
        _sync_folder(path.parent)


class Files:
    """Raises RecordsUnavailable from any method while the database does not answer."""

    def __init__(self, records: Records, folder: Path, pepper: bytes, keep_free_mb: int = 0) -> None:
        self._records = records
        self._folder = folder.absolute()  # Flask would look for a relative path beside the code
        self._pepper = pepper
        self._keep_free_bytes = keep_free_mb * _MB

    @contextmanager
    def part(self, max_bytes: int) -> Iterator[Part]:
        """A file that may come to be. What was not placed leaves nothing behind."""
        folder = self._folder / "parts"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=folder)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield Part(file, Path(name), max_bytes, self._keep_free_bytes)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)

    # ---- uploads

    def open_upload(
        self, station: str, kind: str, by: str, now: datetime, life: timedelta, max_bytes: int
    ) -> Link:
        """A place for one file; ``kind`` is what it will be (diagnostics, log, security log)."""
        token = secrets.token_urlsafe(32)
        row: dict[str, Any] = {"token_hmac": self._hmac("upload", token), "station": station, "kind": kind}
        row |= {"created_at": now, "created_by": by, "expires_at": now + life, "max_bytes": max_bytes}
        with self._records.writing() as connection:
            id = connection.execute(sa.insert(uploads).values(row).returning(uploads.c.id)).scalar_one()
        return Link(id, token)

    def upload_for(self, token: str, now: datetime) -> Upload:
        """The place that a token opens. The index is searched for an HMAC that a caller cannot steer, so the time it
        takes tells nothing. Raises FileRefused."""
        found = self._one_upload(uploads.c.token_hmac == self._hmac("upload", token))
        if found is None:
            raise FileRefused(Refusal.UNKNOWN, "There is nothing at this address.")
        if found.received_at is not None:
            raise _spent()
        if found.expires_at <= now:
            raise FileRefused(Refusal.EXPIRED, "This address has expired: ask for a new one.")
        return found

    def take_in(self, upload: Upload, part: Part, name: str, address: str, now: datetime) -> Upload:
        """The file has come whole. Of two at once the first stands. Raises FileRefused."""
        if not part.size_bytes:
            raise FileRefused(Refusal.EMPTY, "The file is empty.")
        told = {"received_at": now, "name": safe_name(name), "address": address}
        told |= {"size_bytes": part.size_bytes, "sha256": part.sha256}
        is_free = (uploads.c.id == upload.id) & uploads.c.received_at.is_(None)
        with self._records.writing() as connection:
            if connection.execute(sa.update(uploads).where(is_free).values(told)).rowcount == 0:
                raise _spent()
            part.place(self._upload_path(upload.id))  # before the commit: a row that says received has its file
        return msgspec.structs.replace(upload, **told)

    def uploads(self, station: str | None = None, limit: int = 100, before: int | None = None) -> list[Upload]:
        """Newest first, those that are still to come too; ``before`` is the id of the last one already seen."""
        query = sa.select(uploads).order_by(uploads.c.id.desc()).limit(limit)
        if station is not None:
            query = query.where(uploads.c.station == station)
        if before is not None:
            query = query.where(uploads.c.id < before)
        with self._records.reading() as connection:
            return [_upload(row) for row in connection.execute(query)]

    def upload(self, id: int) -> Upload | None:
        return self._one_upload(uploads.c.id == id)

    def open(self, upload: Upload) -> Path | None:
        """Where its bytes lie; ``None`` while they have not come, or when they are gone."""
        path = self._upload_path(upload.id)
        return path if upload.received_at is not None and path.is_file() else None

    def delete_upload(self, id: int) -> None:
        with self._records.writing() as connection:
            connection.execute(sa.delete(uploads).where(uploads.c.id == id))
        self._upload_path(id).unlink(missing_ok=True)

    def tidy(self, now: datetime, keep_days: int) -> int:
        """Drop files older than their retention, addresses that expired a day ago, and parts nobody writes any more.
        Returns how many uploads went."""
        is_old = uploads.c.received_at < now - timedelta(days=keep_days)
        is_unused = uploads.c.received_at.is_(None) & (uploads.c.expires_at < now - _STALE)
        with self._records.reading() as connection:
            gone = list(connection.execute(sa.select(uploads.c.id).where(is_old | is_unused)).scalars())
        for id in gone:
            self.delete_upload(id)
        with self._records.writing() as connection:
            connection.execute(sa.delete(downloads).where(downloads.c.expires_at < now - _STALE))
        for path in (self._folder / "parts").glob("*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < (now - _STALE).timestamp():
                    path.unlink()
        return len(gone)

    # ---- firmware

    def add_image(self, part: Part, name: str, by: str, now: datetime, **told: str) -> Image:
        """``told``: version, vendor, model, signing_certificate, signature. Raises FileRefused."""
        if not part.size_bytes:
            raise FileRefused(Refusal.EMPTY, "The file is empty.")
        row: dict[str, Any] = {"name": safe_name(name), "sha256": part.sha256, "size_bytes": part.size_bytes}
        row |= {"created_at": now, "created_by": by} | told
        same = sa.select(firmware_images.c.id).where(firmware_images.c.sha256 == part.sha256)
        with self._records.writing() as connection:
            known = connection.execute(same).scalar()
            if known is not None:
                raise FileRefused(Refusal.KNOWN, f"This image is here already: it is number {known}.")
            found = connection.execute(sa.insert(firmware_images).values(row).returning(firmware_images)).one()
            part.place(self._image_path(part.sha256))
        return _image(found)

    def images(self) -> list[Image]:
        """Newest first."""
        with self._records.reading() as connection:
            query = sa.select(firmware_images).order_by(firmware_images.c.id.desc())
            return [_image(row) for row in connection.execute(query)]

    def image(self, id: int) -> Image | None:
        with self._records.reading() as connection:
            row = connection.execute(sa.select(firmware_images).where(firmware_images.c.id == id)).first()
        return None if row is None else _image(row)

    def delete_image(self, image: Image) -> None:
        """Its links end with it."""
        with self._records.writing() as connection:
            connection.execute(sa.delete(firmware_images).where(firmware_images.c.id == image.id))
        self._image_path(image.sha256).unlink(missing_ok=True)

    def open_download(self, image: Image, station: str, by: str, now: datetime, life: timedelta) -> Link:
        """Leave for one station to fetch one image, as often as it needs until it expires."""
        token = secrets.token_urlsafe(32)
        row: dict[str, Any] = {"token_hmac": self._hmac("download", token), "image_id": image.id, "station": station}
        row |= {"created_at": now, "created_by": by, "expires_at": now + life}
        with self._records.writing() as connection:
            connection.execute(sa.insert(downloads).values(row))
        return Link(image.id, token)

    def download_for(self, token: str, now: datetime) -> Download:
        """The image that a token opens. Raises FileRefused."""
        hmac = self._hmac("download", token)
        query = sa.select(downloads).where(downloads.c.token_hmac == hmac)
        with self._records.reading() as connection:
            row = connection.execute(query).first()
        image = None if row is None else self.image(row.image_id)
        if row is None or image is None:
            raise FileRefused(Refusal.UNKNOWN, "There is nothing at this address.")
        if row.expires_at <= now:
            raise FileRefused(Refusal.EXPIRED, "This address has expired: ask for a new one.")
        return Download(image, row.station, row.fetched_at is None)

    def close_download(self, token: str) -> None:
        """The station has no use for it."""
        with self._records.writing() as connection:
            connection.execute(sa.delete(downloads).where(downloads.c.token_hmac == self._hmac("download", token)))

    def note_fetched(self, token: str, now: datetime) -> None:
        is_new = (downloads.c.token_hmac == self._hmac("download", token)) & downloads.c.fetched_at.is_(None)
        with self._records.writing() as connection:
            connection.execute(sa.update(downloads).where(is_new).values(fetched_at=now))

    def image_path(self, image: Image) -> Path | None:
        """Where its bytes lie; ``None`` when they are gone."""
        path = self._image_path(image.sha256)
        return path if path.is_file() else None

    # ---- plumbing

    def _one_upload(self, condition: sa.ColumnElement[bool]) -> Upload | None:
        with self._records.reading() as connection:
            row = connection.execute(sa.select(uploads).where(condition)).first()
        return None if row is None else _upload(row)

    def _upload_path(self, id: int) -> Path:
        return self._folder / "uploads" / str(id)

    def _image_path(self, sha256: str) -> Path:
        return self._folder / "firmware" / sha256

    def _hmac(self, purpose: str, token: str) -> bytes:
        return access.key_hmac(self._pepper, f"{purpose}:{token}".encode())


def safe_name(said: str) -> str:
    """A file's name as a person may see and save it: the last part of any path, printable, no leading dots, at most
    ``MAX_NAME`` characters with its ending kept; "file" when nothing is left."""
    last = said.replace("\\", "/").rpartition("/")[2]
    name = "".join("_" if c in _UNWANTED else c for c in last if c.isprintable()).strip(" .")
    if len(name) > MAX_NAME:
        ending = Path(name).suffix[:16]
        name = name[: MAX_NAME - len(ending)] + ending
    return name or "file"


def _too_large(max_bytes: int) -> FileRefused:
    return FileRefused(Refusal.TOO_LARGE, f"The file is larger than {max_bytes / _MB:g} MB, which is the most here.")


def _spent() -> FileRefused:
    return FileRefused(Refusal.SPENT, "A file was received at this address already; it works once.")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _upload(row: Any) -> Upload:
    return Upload(**{name: row._mapping[name] for name in Upload.__struct_fields__})


def _image(row: Any) -> Image:
    return Image(**{name: row._mapping[name] for name in Image.__struct_fields__})
