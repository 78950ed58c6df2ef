"""Answers a station's certificate request by our own authority: check, sign, write down, send.

Source: OCPP 1.6 security whitepaper edition 3 section 4.1.1 (A02), OCPP 2.0.1 part 2 A02.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bridge.access import RANK
from bridge.authority import Authority, AuthorityError
from bridge.events import CertificateRequested, utc_now
from bridge.ocpp.errands import Desk
from bridge.ocpp.tls import read_certificate
from bridge.stores.certificates import CertificateRow, Certificates

_log = structlog.get_logger("ocpp")

_STATION_KIND = "ChargingStationCertificate"
_MOST_A_DAY = 10  # a station that asks in a loop does not fill the records
_CALL_S = 60.0
_PROVED = 2  # a key that was read off a plain wire must not buy a certificate that outlives it


class Signer:
    """The errand of ``CertificateRequested``."""

    def __init__(self, authority: Authority, certificates: Certificates, days: int) -> None:
        self._authority = authority
        self._certificates = certificates
        self._days = days

    async def __call__(self, desk: Desk, event: CertificateRequested) -> None:
        """Raises AuthorityError with the reason when nothing is signed, RecordsUnavailable."""
        if not event.accepted:
            return
        station = desk.known(event.station)
        if station is None or RANK.get(station.security, 0) < _PROVED:
            raise AuthorityError("it came without a key, or with one over a plain wire: let it come by wss:// first")
        if event.kind not in ("", _STATION_KIND):
            raise AuthorityError(f"{event.kind[:50]} is signed by another authority than ours")
        found = await asyncio.to_thread(self._sign, event)
        chain = found.public_bytes(Encoding.PEM).decode() + self._authority.pem
        payload: dict[str, Any] = {"certificateChain": chain}
        if event.kind:
            payload |= _more(station.protocol, event)
        done = await desk.call(event.station, "CertificateSigned", payload, _CALL_S)
        status = done.payload.get("status", done.detail)
        _log.info("certificate sent", station=event.station, serial=f"{found.serial_number:x}", status=status)

    def _sign(self, event: CertificateRequested) -> x509.Certificate:
        now = utc_now()
        if self._certificates.issued_lately(event.station, now, timedelta(days=1)) >= _MOST_A_DAY:
            raise AuthorityError(f"it got {_MOST_A_DAY} certificates within a day")
        found = self._authority.sign_station(event.csr, event.station, now, self._days)
        self._certificates.add_issued(issued_row(found, event.station, "station"), "bridge")
        return found


def _more(protocol: str, event: CertificateRequested) -> dict[str, Any]:
    """What 2.x wants beside the chain; 1.6 has one kind only."""
    if not protocol.startswith("ocpp2"):
        return {}
    named = {} if event.request_id is None or protocol == "ocpp2.0.1" else {"requestId": event.request_id}
    return {"certificateType": event.kind} | named


def issued_row(found: x509.Certificate, station: str, kind: str) -> CertificateRow:
    """What the records keep of a certificate that we gave out."""
    read = read_certificate(found)
    assert read.not_before is not None
    assert read.not_after is not None
    return CertificateRow(
        fingerprint=read.fingerprint,
        station=station,
        kind=kind,
        serial=read.serial,
        subject=read.subject,
        issuer=read.issuer,
        is_ours=True,
        not_before=read.not_before,
        not_after=read.not_after,
        issued_at=utc_now(),
        pem=read.pem,
    )
