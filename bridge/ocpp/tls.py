"""TLS of our own listener: 1.2 and newer, certificates taken anew when their files change, and what a certificate says.

Source: OCPP 1.6 security whitepaper edition 3 sections 3.4 to 3.6, OCPP 2.0.1 part 2 section A00.
"""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bridge.settings import Ocpp

_log = structlog.get_logger("ocpp")


class Certificate(NamedTuple):
    """What a certificate says of whom it was given to. ``fingerprint`` is SHA-256 in hex."""

    names: tuple[str, ...]  # common names, then DNS names
    fingerprint: str
    serial: str = ""
    subject: str = ""
    issuer: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    pem: str = ""


class Tls:
    """The context for the next handshake. Raises OSError (ssl.SSLError) when a file cannot be used at the start; later
    a file that cannot be used is logged and the last good ones go on."""

    def __init__(self, settings: Ocpp) -> None:
        self._settings = settings
        self._stamps = self._read_stamps()
        self.context = _context(settings)

    def refresh(self) -> bool:
        """Look at the files; have they changed and been taken?"""
        stamps = self._read_stamps()
        if stamps == self._stamps:
            return False
        try:
            self.context = _context(self._settings)
        except (OSError, ValueError) as error:  # half written, or certificate and key of two generations
            _log.error("changed TLS files cannot be used: the old ones go on", error=str(error))
            return False
        self._stamps = stamps
        _log.info("TLS files taken anew")
        return True

    def _read_stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        settings = self._settings
        paths = (settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
        return tuple(_stamp(path) for path in paths if path is not None)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _context(settings: Ocpp) -> ssl.SSLContext:
    assert settings.tls_certificate is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(settings.tls_ciphers)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    if settings.tls_client_ca is not None:
        context.load_verify_locations(settings.tls_client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if settings.security_profile >= 3 else ssl.CERT_OPTIONAL
    return context


def certificate_of(der: bytes) -> Certificate:
    """Raises ValueError when it cannot be read."""
    return read_certificate(x509.load_der_x509_certificate(der))


def read_certificate(found: x509.Certificate) -> Certificate:
    """Raises ValueError when a field of it cannot be read."""
    names = [str(name.value) for name in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        alternative = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names += alternative.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        pass
    return Certificate(
        tuple(names),
        found.fingerprint(SHA256()).hex(),
        f"{found.serial_number:x}",
        found.subject.rfc4514_string(),
        found.issuer.rfc4514_string(),
        found.not_valid_before_utc,
        found.not_valid_after_utc,
        found.public_bytes(Encoding.PEM).decode(),
    )


def common_name(subject: str) -> str:
    """The common name of a subject as proxies write it: ``CN=CP1,O=...``, ``/O=.../CN=CP1``, or the name alone. Empty
    where there are several: another field may hold what looks like one (``O=a\\,CN=CP2``)."""
    parts = subject.split("/") if subject.startswith("/") else subject.split(",")
    fields = [part.strip().partition("=") for part in parts]
    names = [value.strip() for key, equals, value in fields if equals and key.strip().upper() == "CN"]
    if names:
        return names[0] if len(names) == 1 else ""
    return "" if "=" in subject else subject.strip()


_FAILURES = (  # in OpenSSL's words -> one word for the metrics, and what to do
    (("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN"), "untrusted", "install the CA of our certificate on it"),
    (("PEER_DID_NOT_RETURN",), "no certificate", "it must show a client certificate (chargewatch ca sign)"),
    (("CERTIFICATE_VERIFY_FAILED",), "bad certificate", "its certificate is not from ocpp.tls_client_ca, or expired"),
    (("UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "VERSION_TOO_LOW"), "old version", "it needs TLS 1.2 or newer"),
    (("NO_SHARED_CIPHER", "HANDSHAKE_FAILURE"), "cipher", "it knows none of ocpp.tls_ciphers, or no such key type"),
    (("HTTP_REQUEST", "WRONG_VERSION_NUMBER"), "not TLS", "it speaks plain ws://: give it a wss:// address"),
)


def failure(error: BaseException) -> tuple[str, str]:
    """(one word, what to do) about a handshake that failed. One that ends in silence mostly means a charger without our
    CA, which says nothing (field quirk 9)."""
    words = f"{getattr(error, 'reason', '')} {error}".upper().replace(" ", "_")
    for marks, reason, advice in _FAILURES:
        if any(mark in words for mark in marks):
            return reason, advice
    if isinstance(error, ssl.SSLError):
        return "other", str(error)
    return "closed", "it went away in the handshake: it may lack the CA of our certificate"
