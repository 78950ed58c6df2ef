"""``chargewatch ca`` as it is typed, what our authority signs, and certificate requests of stations."""

from __future__ import annotations

import asyncio
import json
import ssl
import stat
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from door_world import basic, keyed, play, request_for
from ocpp_world import World

from bridge.authority import MAX_CSR, Authority, AuthorityError, read_csr
from bridge.events import CertificateRequested, utc_now
from bridge.ocpp.certificates import Signer
from bridge.settings import load_settings
from bridge.snapshots import Station
from bridge.stores.certificates import Certificates
from bridge.stores.people import People
from bridge.stores.records import Records
from dashboard.cli import cli


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["ca", *words], input=stdin)


def told(*words: str, stdin: str | None = None) -> Any:
    result = typed(*words, "--json", stdin=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def read(path: str | Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


# the command


def test_an_authority_is_made_once_and_its_key_is_for_its_owner_alone() -> None:
    made = told("init", "--name", "Acme CA")
    assert stat.S_IMODE(Path(made["key"]).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(made["key"]).parent.stat().st_mode) == 0o700
    before = Path(made["key"]).read_bytes()
    again = typed("init")
    assert again.exit_code == 1
    assert "not overwritten" in again.stderr
    assert Path(made["key"]).read_bytes() == before
    found = read(made["certificate"])
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert typed("export").stdout == Path(made["certificate"]).read_text()


def test_without_an_authority_every_word_says_how_to_make_one() -> None:
    for words in (("sign", "CP"), ("server", "host"), ("export",)):
        result = typed(*words)
        assert result.exit_code == 1
        assert "chargewatch ca init" in result.stderr


def test_a_station_gets_a_certificate_and_a_key_that_fit(folder: Path) -> None:
    told("init")
    made = told("sign", "CP/1", "--days", "30", "--out", "out")
    assert Path(made["certificate"]).name == "CP_1.pem"
    assert stat.S_IMODE(Path(made["key"]).stat().st_mode) == 0o600
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(made["certificate"], made["key"])
    found = read(made["certificate"])
    assert [name.value for name in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["CP/1"]
    uses = list(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert uses == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert timedelta(days=29) < found.not_valid_after_utc - utc_now() <= timedelta(days=30)
    assert typed("sign", "CP/1", "--out", "out").exit_code == 1, "a key is never overwritten"
    (listed, _) = told("list")
    assert (listed["station"], listed["kind"], listed["is_ours"]) == ("CP/1", "station", True)
    assert listed["revoked_at"] is None


def test_a_stations_own_request_is_signed_and_no_key_is_made() -> None:
    told("init")
    made = told("sign", "CP", "--csr", "-", stdin=request_for("CP"))
    assert list(made) == ["certificate"]
    other = typed("sign", "CP2", "--csr", "-", stdin=request_for("CP"))
    assert other.exit_code == 1
    assert "must be 'CP2'" in other.stderr


def test_a_server_certificate_has_its_names_and_its_use() -> None:
    told("init")
    found = read(told("server", "ocpp.example.org", "192.0.2.1")["certificate"])
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["ocpp.example.org"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1"]
    uses = list(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert uses == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert typed("server").exit_code == 2
    assert typed("server", "b\u00fccher.example").exit_code == 1


def test_a_certificate_is_revoked_by_serial_or_all_of_a_station_and_the_audit_knows() -> None:
    told("init")
    told("sign", "CP", "--out", "a")
    told("sign", "CP", "--out", "b")
    serial = told("list", "--station", "CP")[0]["serial"]
    assert [row["serial"] for row in told("revoke", serial)] == [serial]
    assert typed("revoke", serial).exit_code == 1
    assert len(told("revoke", "CP")) == 1
    with Records(load_settings().records.url.get_secret_value()) as records:
        assert len(records.directory().revoked) == 2
        actions = [entry.action for entry in People(records, b"p").audit()]
    assert actions == ["certificate.revoke"] * 2 + ["certificate.issue"] * 3


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca", "CA", utc_now(), days=10)
    found, _ = authority.issue_station("CP", utc_now(), 365)
    assert found.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_a_folder_with_something_else_in_it_is_an_error_in_words(tmp_path: Path) -> None:
    told("init")
    Path("data/ca/ca.key").write_text("no key")
    result = typed("sign", "CP")
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr


# requests


SIGNED_BY_ANOTHER = request_for("CP")


@pytest.mark.parametrize(
    ("csr", "says"),
    [
        ("", "cannot be read"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----", "cannot be read"),
        ("x" * (MAX_CSR + 1), "longer than"),
        (request_for("OTHER"), "'OTHER', its common name must be 'CP'"),
        (request_for(""), "'nobody', its common name"),
        (request_for("CP", rsa.generate_private_key(65537, 1024)), "2048 to 8192 bits, not 1024"),
        (request_for("CP", ec.generate_private_key(ec.SECP192R1())), "224 bits"),
        (request_for("CP", ed25519.Ed25519PrivateKey.generate()), "digest"),
    ],
)
def test_a_request_that_must_not_be_signed_is_refused_with_the_reason(csr: str, says: str) -> None:
    with pytest.raises(AuthorityError, match=says):
        read_csr(csr, "CP")


def test_a_request_that_its_own_key_did_not_sign_is_refused() -> None:
    der = bytearray(x509.load_pem_x509_csr(request_for("CP").encode()).public_bytes(Encoding.DER))
    at = bytes(der).rindex(b"CP")
    der[at : at + 2] = b"XP"
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    with pytest.raises(AuthorityError, match="not signed by its own key"):
        read_csr(forged, "XP")


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)])
def test_a_good_request_in_any_case_of_the_id_is_read(key: Any) -> None:
    assert read_csr(request_for("cp", key), "CP").is_signature_valid


def test_sha_1_is_no_digest_for_a_request(folder: Path) -> None:
    command = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-sha1", "-subj", "/CN=CP", "-keyout", "k"]
    csr = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    with pytest.raises(AuthorityError, match=r"weaker than SHA-256|cannot be read"):
        read_csr(csr, "CP")


# the errand


async def ask(house: World, csr: str, protocol: str, kind: str, **headers: str) -> list[tuple[str, Any]]:
    """What the station is called by after it asked for a certificate."""
    async with house.charger("CP", protocol, additional_headers=headers) as charger:
        if protocol == "ocpp1.6":
            await charger.boot()
        else:
            station = {"vendorName": "Acme", "model": "Box"}
            await charger.call("BootNotification", {"reason": "PowerUp", "chargingStation": station})
        charger.answers["CertificateSigned"] = {"status": "Accepted"}
        now = utc_now()
        event = CertificateRequested(station="CP", at=now, received_at=now, csr=csr, kind=kind, accepted=True)
        house.server._errands.begin("CP", [event])
        key = ("CP", CertificateRequested)
        while key in house.server._errands._running:
            reading = asyncio.ensure_future(charger.link.recv())
            running = house.server._errands._running[key]
            await asyncio.wait([reading, running], return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                await charger.reply(json.loads(reading.result()))
            else:
                reading.cancel()
            await asyncio.sleep(0)
        return charger.calls


@pytest.fixture
def records(tmp_path: Path) -> Any:
    with Records(f"sqlite:///{tmp_path}/records.db") as records:
        records.migrate()
        yield records


STATION_KIND = "ChargingStationCertificate"


@pytest.mark.parametrize(
    ("protocol", "kind", "more"),
    [("ocpp1.6", STATION_KIND, {}), ("ocpp2.0.1", STATION_KIND, {"certificateType": STATION_KIND})],
)
def test_a_station_that_asks_gets_its_certificate_and_it_is_on_record(
    tmp_path: Path, records: Records, protocol: str, kind: str, more: dict[str, str]
) -> None:
    authority = Authority.create(tmp_path / "ca", "CA", utc_now())

    async def scene(house: World) -> None:
        house.server.sign_by(Signer(authority, Certificates(records), 90))
        (name, payload), = await ask(house, request_for("CP"), protocol, kind, **basic())
        assert name == "CertificateSigned"
        assert payload.items() >= more.items()
        assert set(payload) == {"certificateChain", *more}
        leaf, root = x509.load_pem_x509_certificates(payload["certificateChain"].encode())
        leaf.verify_directly_issued_by(root)
        (row,) = Certificates(records).known("CP")
        assert (row.kind, row.is_ours, row.serial) == ("station", True, f"{leaf.serial_number:x}")

    play(tmp_path, scene, directory=keyed("CP"), records=records)


def test_what_a_charger_asks_for_by_its_own_message_it_gets(tmp_path: Path, records: Records) -> None:
    authority = Authority.create(tmp_path / "ca", "CA", utc_now())

    async def scene(house: World) -> None:
        house.server.sign_by(Signer(authority, Certificates(records), 90))
        async with house.charger("CP", additional_headers=basic()) as charger:
            await charger.boot()
            assert await charger.call("SignCertificate", {"csr": request_for("CP")}) == {"status": "Accepted"}
            message = json.loads(await charger.link.recv())
            assert message[2] == "CertificateSigned"
            charger.answers["CertificateSigned"] = {"status": "Accepted"}
            await charger.reply(message)

    play(tmp_path, scene, directory=keyed("CP"), records=records)


@pytest.mark.parametrize(
    ("name", "kind", "headers", "says"),
    [
        ("OTHER", STATION_KIND, basic(), "common name must be"),
        ("CP", "V2GCertificate", basic(), "another authority"),
        ("CP", STATION_KIND, {}, "it came without a key"),
    ],
)
def test_what_must_not_be_signed_is_not_and_the_log_says_why(
    tmp_path: Path,
    records: Records,
    capsys: pytest.CaptureFixture[str],
    name: str,
    kind: str,
    headers: dict[str, str],
    says: str,
) -> None:
    authority = Authority.create(tmp_path / "ca", "CA", utc_now())
    options: dict[str, Any] = {"directory": keyed("CP")} if headers else {}

    async def scene(house: World) -> None:
        house.server.sign_by(Signer(authority, Certificates(records), 90))
        assert await ask(house, request_for(name), "ocpp1.6", kind, **headers) == []

    play(tmp_path, scene, records=records, **options)
    assert Certificates(records).known() == []
    assert says in capsys.readouterr().out


def test_a_key_that_came_over_a_plain_wire_buys_no_certificate(tmp_path: Path, records: Records) -> None:
    class Desk:
        def known(self, station: str) -> Station:
            return Station(id=station, protocol="ocpp1.6", security="basic")

    authority = Authority.create(tmp_path / "ca", "CA", utc_now())
    asked = CertificateRequested(
        station="CP", at=utc_now(), received_at=utc_now(), csr=request_for("CP"), kind=STATION_KIND, accepted=True
    )
    with pytest.raises(AuthorityError, match="over a plain wire"):
        asyncio.run(Signer(authority, Certificates(records), 90)(Desk(), asked))  # type: ignore[arg-type]
    assert Certificates(records).known() == []


def test_a_station_that_asks_without_end_gets_no_more(tmp_path: Path, records: Records) -> None:
    authority = Authority.create(tmp_path / "ca", "CA", utc_now())

    async def scene(house: World) -> None:
        house.server.sign_by(Signer(authority, Certificates(records), 90))
        for _ in range(12):
            await ask(house, request_for("CP"), "ocpp1.6", STATION_KIND, **basic())
            await house.until(lambda: not house.server.connections, "its end")

    play(tmp_path, scene, directory=keyed("CP"), records=records)
    assert len(Certificates(records).known("CP")) == 10
