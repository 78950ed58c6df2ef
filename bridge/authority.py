"""A certificate authority of our own: a key, a certificate and a folder. EC P-256, SHA-256.

Files of the folder: ``ca.key`` (mode 0600, not encrypted: who can read the folder can sign) and ``ca.pem``. Source:
OCPP 1.6 security whitepaper edition 3 section 3.5, OCPP 2.0.1 part 2 section A00.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KEY_FILE, CERTIFICATE_FILE = "ca.key", "ca.pem"
CA_DAYS = 3650
MAX_CSR = 16_384
_MIN_RSA_BITS, _MAX_RSA_BITS, _MIN_EC_BITS = 2048, 8192, 224  # whitepaper section 3.5
_BACKDATE = timedelta(minutes=5)  # chargers' clocks lag

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class AuthorityError(Exception):
    """It cannot be done; the message says why, for a person."""


class Authority:
    """Signs with the key in ``folder``. Raises AuthorityError when there is none that can be used."""

    def __init__(self, folder: Path) -> None:
        try:
            key = load_pem_private_key((folder / KEY_FILE).read_bytes(), None)
            self.certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE_FILE).read_bytes())
        except FileNotFoundError as error:
            raise AuthorityError(f"there is no authority in {folder}: chargewatch ca init") from error
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise AuthorityError(f"the authority in {folder} cannot be read: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AuthorityError(f"{folder / KEY_FILE} is no EC key")
        self._key = key

    @classmethod
    def create(cls, folder: Path, name: str, now: datetime, days: int = CA_DAYS) -> Authority:
        """A new authority; never over one that is there. Raises AuthorityError, OSError."""
        if (folder / KEY_FILE).exists() or (folder / CERTIFICATE_FILE).exists():
            raise AuthorityError(f"there is an authority in {folder} already: it is not overwritten")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        found = (
            _builder(subject, subject, key.public_key(), now, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, SHA256())
        )
        write_secret(folder / KEY_FILE, pem_of_key(key))
        (folder / CERTIFICATE_FILE).write_bytes(found.public_bytes(Encoding.PEM))
        return cls(folder)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def sign_station(self, csr: str, station: str, now: datetime, days: int) -> x509.Certificate:
        """A client certificate for a station, from its own request. Raises AuthorityError."""
        request = read_csr(csr, station)
        return self._issue(station, request_key(request), now, days, ExtendedKeyUsageOID.CLIENT_AUTH, [station])

    def issue_station(self, station: str, now: datetime, days: int) -> tuple[x509.Certificate, bytes]:
        """Certificate and key (PEM) for a charger that cannot make a request of its own. Raises AuthorityError."""
        key = ec.generate_private_key(ec.SECP256R1())
        found = self._issue(station, key.public_key(), now, days, ExtendedKeyUsageOID.CLIENT_AUTH, [station])
        return found, pem_of_key(key)

    def issue_server(self, names: Sequence[str], now: datetime, days: int) -> tuple[x509.Certificate, bytes]:
        """Certificate and key (PEM) for our own listener. Raises AuthorityError."""
        if not names:
            raise AuthorityError("a server's certificate needs a host name or an address")
        key = ec.generate_private_key(ec.SECP256R1())
        found = self._issue(names[0], key.public_key(), now, days, ExtendedKeyUsageOID.SERVER_AUTH, names)
        return found, pem_of_key(key)

    def _issue(
        self, name: str, key: PublicKey, now: datetime, days: int, use: x509.ObjectIdentifier, names: Sequence[str]
    ) -> x509.Certificate:
        is_agreeing = isinstance(key, rsa.RSAPublicKey)
        builder = (
            _builder(_name(name), self.certificate.subject, key, now, days, self.certificate.not_valid_after_utc)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False, enciphers=is_agreeing), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if use == ExtendedKeyUsageOID.SERVER_AUTH:
            builder = builder.add_extension(_alternatives(names), critical=False)
        return builder.sign(self._key, SHA256())


def read_csr(csr: str, station: str) -> x509.CertificateSigningRequest:
    """A request that may be signed for this station. Raises AuthorityError saying what is wrong with it."""
    if len(csr) > MAX_CSR:
        raise AuthorityError(f"the request is longer than {MAX_CSR} characters")
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        names = [str(name.value) for name in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        is_signed = request.is_signature_valid
        digest = request.signature_hash_algorithm
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise AuthorityError(f"the request cannot be read: {error}") from error
    if not isinstance(digest, SHA256 | SHA384 | SHA512):
        raise AuthorityError("the request is signed with a digest weaker than SHA-256")
    if not is_signed:
        raise AuthorityError("the request is not signed by its own key")
    if [name.casefold() for name in names] != [station.casefold()]:
        shown = ", ".join(names)[:100]
        raise AuthorityError(f"the request is for {shown or 'nobody'!r}, its common name must be {station!r}")
    request_key(request)
    return request


def request_key(request: x509.CertificateSigningRequest) -> PublicKey:
    """Raises AuthorityError for a key that is too weak or of another kind."""
    try:
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AuthorityError(f"the request's key cannot be read: {error}") from error
    if isinstance(key, rsa.RSAPublicKey):
        if not _MIN_RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
            raise AuthorityError(f"an RSA key has {_MIN_RSA_BITS} to {_MAX_RSA_BITS} bits, not {key.key_size}")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size >= _MIN_EC_BITS:
        return key
    raise AuthorityError("the request's key is neither RSA nor elliptic curve of 224 bits and more")


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_secret(path: Path, content: bytes) -> None:
    """A new file of mode 0600, never over another. Raises OSError (FileExistsError)."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, now: datetime, days: int, at_most: datetime | None = None
) -> x509.CertificateBuilder:
    until = now + timedelta(days=days)
    if at_most is not None and at_most < until:
        until = at_most  # no certificate outlives its authority
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(until)
    )


def _usage(*, signs_certificates: bool, enciphers: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=enciphers,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    try:
        organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "chargewatch")
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name), organisation])
    except ValueError as error:
        raise AuthorityError(f"{common_name[:80]!r} cannot stand in a certificate: 1 to 64 characters") from error


def _alternatives(names: Sequence[str]) -> x509.SubjectAlternativeName:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            try:
                found.append(x509.DNSName(name))
            except ValueError as error:
                raise AuthorityError(f"{name!r} is no host name") from error
    return x509.SubjectAlternativeName(found)
