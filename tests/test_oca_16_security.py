"""The Open Charge Alliance's test cases of a central system for OCPP 1.6: security, on real TLS.

Each test plays the charge point of the case with that number; the steps follow the security whitepaper, edition 3.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from door_world import KEY, Papers, basic, keyed, request_for
from oca_world import ACCEPTED, Played, Station16, cases, now
from ocpp_world import PEPPER
from websockets.exceptions import WebSocketException

from bridge.events import DetailKind, SecurityEventNotified
from bridge.ocpp.certificates import Signer
from bridge.stores.certificates import Certificates
from bridge.stores.people import People
from bridge.stores.records import Records

BY_KEY = {"additional_headers": basic()}
_PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path)


@pytest.fixture
def own_records(tmp_path: Path, _migrated_sqlite: Path) -> Any:
    """Records in which the charge point has its key."""
    path = tmp_path / "own.db"
    path.write_bytes(_migrated_sqlite.read_bytes())
    with Records(f"sqlite:///{path}") as records:
        People(records, PEPPER).set_station_key("CP", KEY.decode())
        yield records


def comes_in(cp: Station16, security: str) -> None:
    assert cp.boot()["status"] == "Accepted"
    cp.status("Available")
    assert cp.book.stations["CP"].security == security


def security_event(cp: Station16, kind: str) -> None:
    assert cp.say("SecurityEventNotification", {"type": kind, "timestamp": now()}) == {}
    assert [event.kind for event in cp.told(SecurityEventNotified)] == [kind]


# the connection


def test_TC_085_CSMS_basic_authentication(played: Played) -> None:
    with played(Station16, keyed("CP"), BY_KEY, security_profile=1) as cp:
        comes_in(cp, "basic+local")
        assert cp.knocks(additional_headers=basic(b"another-key-0000")) == 401
        assert cp.knocks(additional_headers={}) == 401


def test_TC_086_CSMS_tls_with_a_valid_server_certificate(played: Played, papers: Papers) -> None:
    door = BY_KEY | {"ssl": papers.client()}
    with played(Station16, keyed("CP"), door, security_profile=2, **papers.settings) as cp:
        comes_in(cp, "basic+tls")
        assert cp.knocks(ssl=ssl.create_default_context()) == 0


def test_TC_087_CSMS_tls_with_a_valid_client_certificate(played: Played, papers: Papers) -> None:
    door = {"ssl": papers.client("CP")}
    with played(Station16, keyed("CP"), door, security_profile=3, **papers.with_clients) as cp:
        comes_in(cp, "mtls")
        assert cp.knocks(ssl=papers.client("OTHER")) == 401


def test_TC_088_CSMS_websocket_subprotocol(cp16: Station16) -> None:
    assert cp16.link.subprotocol == "ocpp1.6"
    cp16.close()
    cp16.protocol = "ocpp0.1"
    with pytest.raises(WebSocketException):
        cp16.again()


# keys and certificates


def test_TC_073_CSMS_a_new_password(played: Played, own_records: Records) -> None:
    new = "0123456789abcdef0123456789abcdef"
    with played(Station16, own_records.directory(), BY_KEY, security_profile=1, records=own_records) as cp:
        comes_in(cp, "basic+local")
        done = cp.asked("RotateKey", {"key": new})
        assert (done.action, done.payload) == ("ChangeConfiguration", {"key": "AuthorizationKey", "value": new})
        assert not any(new.encode() in frame.raw for frame in cp.frames), "a key is in no journal"
        cp.decided(own_records.directory())
        for spelled in (new.encode(), bytes.fromhex(new)):
            cp.again(additional_headers=basic(spelled))
            comes_in(cp, "basic+local")


def test_TC_074_CSMS_a_certificate_for_the_charge_point(
    played: Played, papers: Papers, own_records: Records
) -> None:
    door = BY_KEY | {"ssl": papers.client()}
    settings = papers.with_clients | {"records": own_records}
    with played(Station16, own_records.directory(), door, security_profile=2, **settings) as cp:
        cp.there.server.sign_by(Signer(papers.authority, Certificates(own_records), 90))
        cp.again()
        comes_in(cp, "basic+tls")
        done = cp.asked("Trigger", {"message": "SignChargingStationCertificate"})
        assert (done.action, done.payload) == (
            "ExtendedTriggerMessage", {"requestedMessage": "SignChargePointCertificate"},
        )  # fmt: skip
        assert cp.say("SignCertificate", {"csr": request_for("CP")}) == {"status": "Accepted"}
        action, payload = cp.called()
        assert (action, set(payload)) == ("CertificateSigned", {"certificateChain"})
        leaf, root = x509.load_pem_x509_certificates(payload["certificateChain"].encode())
        leaf.verify_directly_issued_by(root)
        cp.again(ssl=papers.client("CP"))
        comes_in(cp, "mtls")


@cases("kind", {"TC_075_1_CSMS": "ManufacturerRootCertificate", "TC_075_2_CSMS": "CentralSystemRootCertificate"})
def test_TC_install_certificate(cp16: Station16, kind: str) -> None:
    asked = {"certificateType": kind, "certificate": _PEM}
    assert cp16.asked("InstallCertificate", asked).payload == asked
    found(cp16, kind)
    assert cp16.asked("InstallCertificate", asked, {"status": "Rejected"}).is_refused


def found(cp: Station16, kind: str) -> dict[str, str]:
    hashes = {"hashAlgorithm": "SHA256", "issuerNameHash": "aa", "issuerKeyHash": "bb", "serialNumber": "1"}
    answer = {"status": "Accepted", "certificateHashData": [hashes]}
    done = cp.asked("GetInstalledCertificateIds", {"certificateType": kind}, answer)
    assert done.payload == {"certificateType": kind}
    (known,) = cp.details(DetailKind.CERTIFICATE).values()
    assert known == hashes | {"certificateType": kind}
    return hashes


def test_TC_076_CSMS_delete_a_certificate(cp16: Station16) -> None:
    hashes = found(cp16, "ManufacturerRootCertificate")
    assert cp16.asked("DeleteCertificate", {"certificateHashData": hashes}, {"status": "Failed"}).is_refused
    assert len(cp16.details(DetailKind.CERTIFICATE)) == 1
    assert cp16.asked("DeleteCertificate", {"certificateHashData": hashes}).payload == {"certificateHashData": hashes}
    assert cp16.details(DetailKind.CERTIFICATE) == {}


# security events


def test_TC_077_CSMS_invalid_charge_point_certificate(
    played: Played, papers: Papers, own_records: Records
) -> None:
    """What we signed is not what it wants: it says so, and the connection that it has goes on."""
    settings: dict[str, Any] = {"records": own_records, "security_profile": 1}
    with played(Station16, own_records.directory(), BY_KEY, **settings) as cp:
        cp.there.server.sign_by(Signer(papers.authority, Certificates(own_records), 90))
        cp.again()
        comes_in(cp, "basic+local")
        assert cp.say("SignCertificate", {"csr": request_for("CP")}) == {"status": "Accepted"}
        assert cp.called({"status": "Rejected"})[0] == "CertificateSigned"
        security_event(cp, "InvalidChargePointCertificate")
        assert set(cp.say("Heartbeat")) == {"currentTime"}


def test_TC_078_CSMS_invalid_central_system_certificate(cp16: Station16) -> None:
    asked = {"certificateType": "CentralSystemRootCertificate", "certificate": _PEM}
    assert cp16.asked("InstallCertificate", asked, {"status": "Rejected"}).is_refused
    security_event(cp16, "InvalidCentralSystemCertificate")


# log and signed firmware


def test_TC_079_CSMS_get_security_log(cp16: Station16) -> None:
    asked = {"kind": "security", "location": "https://up.example/1", "request_id": 1}
    done = cp16.asked("FetchLogs", asked, ACCEPTED | {"filename": "log.zip"})
    assert (done.action, done.payload["logType"]) == ("GetLog", "SecurityLog")
    for status in ("Uploading", "Uploaded"):
        assert cp16.say("LogStatusNotification", {"status": status, "requestId": 1}) == {}
    assert cp16.details(DetailKind.LOG)["status"] == {"status": "Uploaded", "requestId": 1}
    assert cp16.details(DetailKind.LOG)["asked"]["filename"] == "log.zip"


@cases("is_good", {"TC_080_CSMS": True, "TC_081_CSMS": False})
def test_TC_secure_firmware_update(cp16: Station16, is_good: bool) -> None:
    signed = {"signing_certificate": _PEM, "signature": "c2ln"}
    asked = {"location": "https://fw.example/1", "request_id": 1} | signed
    done = cp16.asked("UpdateFirmware", asked)
    firmware = done.payload["firmware"]
    assert done.action == "SignedUpdateFirmware"
    assert (firmware["signingCertificate"], firmware["signature"]) == (_PEM.strip(), "c2ln")
    rest = ("SignatureVerified", "Installing", "Installed") if is_good else ("InvalidSignature",)
    for status in ("Downloading", "Downloaded", *rest):
        assert cp16.say("SignedFirmwareStatusNotification", {"status": status, "requestId": 1}) == {}
        assert cp16.details(DetailKind.FIRMWARE)["status"]["status"] == status
    if not is_good:
        security_event(cp16, "InvalidFirmwareSignature")


def test_TC_083_CSMS_upgrade_of_the_security_profile(played: Played, papers: Papers) -> None:
    """From a key over TLS to a certificate. After it has come so once, the weaker proof opens no more."""
    door = BY_KEY | {"ssl": papers.client()}
    with played(Station16, keyed("CP"), door, security_profile=2, **papers.with_clients) as cp:
        comes_in(cp, "basic+tls")
        done = cp.asked("SetConfiguration", {"key": "SecurityProfile", "value": "3"})
        assert done.payload == {"key": "SecurityProfile", "value": "3"}
        cp.again(additional_headers={}, ssl=papers.client("CP"))
        comes_in(cp, "mtls")
        assert cp.knocks(additional_headers=basic(), ssl=papers.client()) == 401
        assert cp.knocks() == 101
