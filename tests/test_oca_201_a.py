"""The Open Charge Alliance's test cases of a CSMS for OCPP 2.0.1: block A, security, on real TLS.

Each test plays the charging station of the case with that number; the steps follow part 2 block A.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from door_world import KEY, Papers, basic, keyed, request_for
from oca_world import Played, Station201, cases
from ocpp_world import PEPPER

from bridge.authority import Authority
from bridge.command_bus import CommandOutcome
from bridge.events import CertificateRequested, SecurityEventNotified, StationConnected, utc_now
from bridge.ocpp.certificates import Signer
from bridge.stores.certificates import Certificates
from bridge.stores.people import People
from bridge.stores.records import Records

BY_KEY = {"additional_headers": basic()}


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path)


@pytest.fixture
def own_records(tmp_path: Path, _migrated_sqlite: Path) -> Any:
    """Records in which the station has its key."""
    path = tmp_path / "own.db"
    path.write_bytes(_migrated_sqlite.read_bytes())
    with Records(f"sqlite:///{path}") as records:
        People(records, PEPPER).set_station_key("CP", KEY.decode())
        yield records


def comes_in(cs: Station201, security: str) -> None:
    """It boots, and it is known how it proved who it is."""
    assert cs.boot()["status"] == "Accepted"
    cs.status("Available")
    connected = [event for event in cs.events if isinstance(event, StationConnected)]
    assert connected == [] or connected[-1].security == security
    assert cs.book.stations["CP"].security == security


# basic authentication


def test_TC_A_01_CSMS_basic_authentication(played: Played) -> None:
    with played(Station201, keyed("CP"), BY_KEY, security_profile=1) as cs:
        comes_in(cs, "basic+local")


def test_TC_A_02_CSMS_user_name_is_not_the_station(played: Played) -> None:
    """The right key under another name; a person may allow it for a station that cannot be mended."""
    with played(Station201, keyed("CP"), BY_KEY, security_profile=1) as cs:
        for user in ("OTHER", "CP2", ""):
            assert cs.knocks(additional_headers=basic(user=user)) == 401
        assert cs.knocks("ocpp2.1", additional_headers=basic(user="OTHER")) == 401
        assert cs.knocks("ocpp1.6", additional_headers=basic(user="OTHER")) == 101, "field quirk 8"
        cs.decided(keyed("CP", policy={"user_name": "any"}))
        assert cs.knocks(additional_headers=basic(user="OTHER")) == 101
        cs.decided(keyed("CP", policy={"user_name": "own"}))
        assert cs.knocks("ocpp1.6", additional_headers=basic(user="OTHER")) == 401
        assert cs.knocks(additional_headers=basic(user="cp")) == 101


def test_TC_A_03_CSMS_wrong_password(played: Played) -> None:
    with played(Station201, keyed("CP"), BY_KEY, security_profile=1) as cs:
        assert cs.knocks(additional_headers=basic(b"another-key-0000")) == 401
        assert cs.knocks(additional_headers={}) == 401
        assert cs.knocks() == 101


@cases("is_taken", {"TC_A_09_CSMS": True, "TC_A_10_CSMS": False})
def test_TC_a_new_password(played: Played, own_records: Records, is_taken: bool) -> None:
    """Until the station has come with the new key, both open; one that it did not take opens nothing."""
    new = b"fedcba98765432100123"
    with played(Station201, own_records.directory(), BY_KEY, security_profile=1, records=own_records) as cs:
        comes_in(cs, "basic+local")
        place = {"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"}}
        status = "Accepted" if is_taken else "Rejected"
        answer = {"setVariableResult": [place | {"attributeStatus": status}]}
        done = cs.asked("RotateKey", {"key": new.decode()}, answer)
        assert done.payload == {"setVariableData": [place | {"attributeValue": new.decode()}]}
        assert done.result.payload == {"status": status}
        assert not any(new in frame.raw for frame in cs.frames), "a key is in no journal"
        cs.decided(own_records.directory())
        assert cs.knocks(additional_headers=basic(new)) == (101 if is_taken else 401)
        cs.again(additional_headers=basic(new) if is_taken else basic())
        comes_in(cs, "basic+local")


# TLS


def test_TC_A_04_CSMS_tls_with_a_valid_server_certificate(played: Played, papers: Papers) -> None:
    with played(
        Station201, keyed("CP"), BY_KEY | {"ssl": papers.client()}, security_profile=2, **papers.settings
    ) as cs:
        comes_in(cs, "basic+tls")
        assert cs.link.transport.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
        stranger = ssl.create_default_context()
        assert cs.knocks(ssl=stranger) == 0, "who does not know our authority does not come"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_TC_A_06_CSMS_tls_version_too_low(played: Played, papers: Papers) -> None:
    door = BY_KEY | {"ssl": papers.client()}
    with played(Station201, keyed("CP"), door, security_profile=2, **papers.settings) as cs:
        comes_in(cs, "basic+tls")
        old = papers.client()
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        assert cs.knocks(ssl=old) == 0
        assert cs.knocks() == 101


def test_TC_A_07_CSMS_client_certificate(played: Played, papers: Papers) -> None:
    door = {"ssl": papers.client("CP")}
    with played(Station201, keyed("CP"), door, security_profile=3, **papers.with_clients) as cs:
        comes_in(cs, "mtls")


def test_TC_A_08_CSMS_invalid_client_certificate(played: Played, papers: Papers) -> None:
    """Of an authority that we do not know, of another station, or none."""
    stranger = Authority.create(papers.folder / "stranger", "Stranger", utc_now())
    with played(
        Station201, keyed("CP"), {"ssl": papers.client("CP")}, security_profile=3, **papers.with_clients
    ) as cs:
        comes_in(cs, "mtls")
        assert cs.knocks(ssl=papers.client("OTHER")) == 401
        assert cs.knocks(ssl=papers.client()) == 0
        assert cs.knocks(ssl=papers.client("CP", stranger)) == 0
        assert cs.knocks(ssl=papers.client("CP")) == 101


# certificates of the station


def ask_for(cs: Station201, kind: str, name: str = "CP") -> dict[str, Any]:
    """We ask the station to ask for a certificate; it does."""
    wanted = {"ChargingStationCertificate": "SignChargingStationCertificate", "V2GCertificate": "SignV2GCertificate"}
    done = cs.asked("Trigger", {"message": wanted[kind]})
    assert done.payload == {"requestedMessage": wanted[kind]}
    answer = cs.say("SignCertificate", {"csr": request_for(name), "certificateType": kind})
    assert [event.kind for event in cs.told(CertificateRequested)] == [kind]
    return answer


def test_TC_A_11_CSMS_a_certificate_for_the_station(
    played: Played, papers: Papers, own_records: Records
) -> None:
    door = BY_KEY | {"ssl": papers.client()}
    settings = papers.with_clients | {"records": own_records}
    with played(Station201, own_records.directory(), door, security_profile=2, **settings) as cs:
        cs.there.server.sign_by(Signer(papers.authority, Certificates(own_records), 90))
        cs.again()
        comes_in(cs, "basic+tls")
        assert ask_for(cs, "ChargingStationCertificate") == {"status": "Accepted"}
        action, payload = cs.called()
        assert (action, payload["certificateType"]) == ("CertificateSigned", "ChargingStationCertificate")
        leaf, root = x509.load_pem_x509_certificates(payload["certificateChain"].encode())
        leaf.verify_directly_issued_by(root)
        assert [row.serial for row in Certificates(own_records).known("CP")] == [f"{leaf.serial_number:x}"]
        cs.again(ssl=papers.client("CP"))
        comes_in(cs, "mtls")


def test_TC_A_14_CSMS_a_certificate_that_the_station_does_not_take(
    played: Played, papers: Papers, own_records: Records
) -> None:
    """It tells so in its answer and by a security event; the connection that it has goes on."""
    door = BY_KEY | {"ssl": papers.client()}
    settings = papers.with_clients | {"records": own_records}
    with played(Station201, own_records.directory(), door, security_profile=2, **settings) as cs:
        cs.there.server.sign_by(Signer(papers.authority, Certificates(own_records), 90))
        cs.again()
        comes_in(cs, "basic+tls")
        assert ask_for(cs, "ChargingStationCertificate") == {"status": "Accepted"}
        assert cs.called({"status": "Rejected"})[0] == "CertificateSigned"
        said = {"type": "InvalidChargingStationCertificate", "timestamp": utc_now().isoformat()}
        assert cs.say("SecurityEventNotification", said) == {}
        assert [event.kind for event in cs.told(SecurityEventNotified)] == ["InvalidChargingStationCertificate"]
        assert set(cs.say("Heartbeat")) == {"currentTime"}


def test_TC_A_CSMS_without_an_authority_no_certificate_is_promised(cs201: Station201) -> None:
    for kind in ("ChargingStationCertificate", "V2GCertificate"):
        assert ask_for(cs201, kind) == {"status": "Rejected"}


# a higher security profile


def test_TC_A_19_CSMS_upgrade_of_the_security_profile(played: Played, papers: Papers, own_records: Records) -> None:
    """From a key over TLS to a certificate. After it has come so once, the weaker proof opens no more."""
    door = BY_KEY | {"ssl": papers.client()}
    with played(Station201, keyed("CP"), door, security_profile=2, **papers.with_clients) as cs:
        comes_in(cs, "basic+tls")
        data = {"ocppVersion": "OCPP20", "ocppTransport": "JSON", "ocppCsmsUrl": "wss://csms.example/ocpp",
                "messageTimeout": 30, "securityProfile": 3, "ocppInterface": "Wired0"}  # fmt: skip
        asked = {"configurationSlot": 1, "connectionData": data}
        assert cs.asked("SetNetworkProfile", asked).result.outcome is CommandOutcome.ANSWERED
        cs.variable_set("OCPPCommCtrlr.NetworkConfigurationPriority", "1,0")
        assert cs.asked("Reset", {"kind": "soft"}).result.payload == {"status": "Accepted"}
        cs.again(additional_headers={}, ssl=papers.client("CP"))
        comes_in(cs, "mtls")
        assert cs.knocks(additional_headers=basic(), ssl=papers.client()) == 401
        assert cs.knocks() == 101
