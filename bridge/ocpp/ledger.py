"""What the door has to have written down in the records: who waits, which new keys were used, which certificates were
shown. Gathered on the loop, written in a thread, and kept while the records do not answer."""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog

from bridge.events import utc_now
from bridge.ocpp.tls import Certificate
from bridge.ocpp.waiting_room import WaitingRoom
from bridge.settings import Stations
from bridge.stores.certificates import CertificateRow, Certificates
from bridge.stores.database import Database, RecordsRejected, RecordsUnavailable
from bridge.stores.provisioning import Held, Provisioning

_log = structlog.get_logger("ocpp")
_MAX_WAITING = 10_000


class Ledger:
    """``records`` is ``None`` where nothing is written down, as in a bench."""

    def __init__(self, records: Database | None, stations: Stations, bridge: str = "") -> None:
        self.room = WaitingRoom(stations.max_held, stations.max_held_per_address, bridge)
        self.certificates = None if records is None else Certificates(records)
        self._provisioning = None if records is None else Provisioning(records)
        self._limit = stations.max_held
        self._bridge = bridge
        self._used_keys: dict[str, bytes] = {}
        self._shown: dict[str, CertificateRow] = {}
        self._known: set[str] = set()

    def key_was_used(self, station: str, key_hmac: bytes) -> None:
        """The station has come with the key that it was told to take."""
        self._used_keys[station] = key_hmac

    def certificate_was_shown(self, station: str, found: Certificate, now: datetime) -> None:
        """Noted once. One that only a proxy has seen is not at hand."""
        if found.not_before is None or found.not_after is None or found.fingerprint in self._known:
            return
        if len(self._known) >= _MAX_WAITING:
            self._known.clear()
        self._known.add(found.fingerprint)
        self._shown[found.fingerprint] = CertificateRow(
            fingerprint=found.fingerprint,
            station=station,
            kind="station",
            serial=found.serial,
            subject=found.subject,
            issuer=found.issuer,
            is_ours=False,
            not_before=found.not_before,
            not_after=found.not_after,
            issued_at=now,
            pem=found.pem,
        )

    async def write(self) -> None:
        """Everything since the last time; what cannot be written now is kept."""
        if self._provisioning is None:
            return
        changed, gone = self.room.take_news()
        keys, self._used_keys = self._used_keys, {}
        shown, self._shown = self._shown, {}
        if not (changed or gone or keys or shown):
            return
        try:
            await asyncio.to_thread(self._write, changed, gone, keys, list(shown.values()))
        except RecordsRejected as error:
            _log.error("the records will never take this of the door", error=str(error))
        except RecordsUnavailable:
            self.room.give_back(changed, gone)
            self._used_keys = keys | self._used_keys
            self._shown = shown | self._shown

    def begin(self) -> None:
        """A bridge that starts holds no sockets. Raises RecordsUnavailable."""
        if self._provisioning is not None:
            self._provisioning.none_is_connected(self._bridge)
            self._provisioning.drop_stale_keys(utc_now())

    async def offer_key(self, station: str, key_hmac: bytes, actor: str) -> None:
        """Raises ProvisioningError, RecordsUnavailable."""
        if self._provisioning is None:
            raise RecordsUnavailable("no records here")
        await asyncio.to_thread(self._provisioning.offer_key, station, key_hmac, actor, utc_now())

    async def withdraw_key(self, station: str, key_hmac: bytes) -> None:
        """Raises RecordsUnavailable."""
        if self._provisioning is not None:
            await asyncio.to_thread(self._provisioning.withdraw_key, station, key_hmac, utc_now())

    def _write(self, changed: list[Held], gone: list[str], keys: dict[str, bytes], shown: list[CertificateRow]) -> None:
        assert self._provisioning is not None
        assert self.certificates is not None
        if changed or gone:
            self._provisioning.take_held(changed, gone, self._limit)
        for station, key_hmac in keys.items():
            self._provisioning.promote_key(station, key_hmac, utc_now())
        if shown:
            self.certificates.saw(shown)
