"""Certificates: those that our own authority gave out, and those that stations showed at the door."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from bridge.stores.database import Database
from bridge.stores.provisioning import ProvisioningError, note
from bridge.stores.records import save
from bridge.stores.tables import certificates


class CertificateRow(msgspec.Struct, frozen=True, kw_only=True):
    """``fingerprint`` is SHA-256 in hex; ``kind``: station, v2g, server, ca. ``issued_at``: when we gave it out, or saw
    it first (``is_ours`` says which)."""

    fingerprint: str
    station: str
    kind: str
    serial: str
    subject: str
    issuer: str
    is_ours: bool
    not_before: datetime
    not_after: datetime
    issued_at: datetime
    revoked_at: datetime | None = None
    pem: str


class Certificates:
    """Raises RecordsUnavailable from any method while the database does not answer."""

    def __init__(self, records: Database) -> None:
        self._records = records

    def add_issued(self, row: CertificateRow, actor: str) -> None:
        """With a line in the audit."""
        with self._records.writing() as connection:
            save(connection, certificates, msgspec.structs.asdict(row))
            detail = f"{row.kind} {row.serial}, until {row.not_after:%F}"
            note(connection, row.issued_at, actor, "certificate.issue", row.station, detail)

    def saw(self, rows: Sequence[CertificateRow]) -> None:
        """Shown at the door; what is known already stays as it is."""
        with self._records.writing() as connection:
            for row in sorted(rows, key=lambda row: row.fingerprint):
                known = sa.select(certificates.c.fingerprint).where(certificates.c.fingerprint == row.fingerprint)
                if connection.execute(known).first() is None:
                    save(connection, certificates, msgspec.structs.asdict(row))

    def known(self, station: str | None = None) -> list[CertificateRow]:
        """The newest first."""
        query = sa.select(certificates).order_by(certificates.c.issued_at.desc(), certificates.c.fingerprint)
        if station is not None:
            query = query.where(certificates.c.station == station)
        with self._records.reading() as connection:
            return [CertificateRow(**row._mapping) for row in connection.execute(query)]

    def issued_lately(self, station: str, now: datetime, within: timedelta) -> int:
        """How many we gave to a station in that time."""
        ours = (certificates.c.station == station) & certificates.c.is_ours & (certificates.c.issued_at > now - within)
        with self._records.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).where(ours)).scalar_one())

    def revoke(self, which: str, actor: str, now: datetime) -> list[CertificateRow]:
        """Shut out one certificate by fingerprint or serial, or all of a station. Raises ProvisioningError when there
        is none that is not revoked yet."""
        known = certificates.c
        named = (known.fingerprint == which.lower()) | (known.serial == which.lower()) | (known.station == which)
        change = sa.update(certificates).where(named, known.revoked_at.is_(None)).values(revoked_at=now)
        with self._records.writing() as connection:
            rows = [CertificateRow(**row._mapping) for row in connection.execute(change.returning(certificates))]
            if not rows:
                raise ProvisioningError(f"no certificate with that fingerprint, serial or station is in use: {which}")
            for row in rows:
                note(connection, now, actor, "certificate.revoke", row.station, f"{row.kind} {row.serial}")
        return rows
