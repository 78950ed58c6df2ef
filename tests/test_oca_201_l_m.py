"""The Open Charge Alliance's test cases of a CSMS for OCPP 2.0.1: blocks L, firmware, and M, certificates.

Each test plays the charging station of the case with that number; the steps follow part 2 blocks L and M.
"""

from __future__ import annotations

from typing import Any

from oca_world import ACCEPTED, LATER, Asked, Station201, cases, now

from bridge.events import DetailKind, SecurityEventNotified
from bridge.session import SessionState

LATER_TEXT = "2099-01-01T00:00:00Z"
_SIGNED = {"signing_certificate": "-----BEGIN CERTIFICATE-----", "signature": "c2ln"}


# firmware


def update(cs: Station201, answer: Any = ACCEPTED, number: int = 1, **params: Any) -> Asked:
    asked = {"location": "https://fw.example/1", "request_id": number} | _SIGNED | params
    done = cs.asked("UpdateFirmware", asked, answer)
    firmware = done.payload["firmware"]
    assert (done.action, done.payload["requestId"]) == ("UpdateFirmware", number)
    assert firmware["location"] == "https://fw.example/1"
    assert (firmware["signingCertificate"], firmware["signature"]) == tuple(_SIGNED.values())
    return done


def progress(cs: Station201, *steps: str, number: int = 1) -> None:
    for status in steps:
        assert cs.say("FirmwareStatusNotification", {"status": status, "requestId": number}) == {}
        assert cs.details(DetailKind.FIRMWARE)["status"] == {"status": status, "requestId": number}


def security_event(cs: Station201, kind: str) -> None:
    assert cs.say("SecurityEventNotification", {"type": kind, "timestamp": now()}) == {}
    assert [event.kind for event in cs.told(SecurityEventNotified)] == [kind]


def test_TC_L_01_CSMS_secure_firmware_update(cs201: Station201) -> None:
    update(cs201)
    progress(cs201, "Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallRebooting")
    cs201.again()
    assert cs201.boot("FirmwareUpdate")["status"] == "Accepted"
    security_event(cs201, "FirmwareUpdated")
    progress(cs201, "Installed")


@cases(
    "params, field, steps",
    {
        "TC_L_02_CSMS": (
            {"install_at": LATER.isoformat()},
            "installDateTime",
            ("Downloading", "Downloaded", "SignatureVerified", "InstallScheduled", "Installing", "Installed"),
        ),
        "TC_L_03_CSMS": (
            {"retrieve_at": LATER.isoformat()},
            "retrieveDateTime",
            ("DownloadScheduled", "Downloading", "Downloaded", "SignatureVerified", "Installing", "Installed"),
        ),
    },
)
def test_TC_firmware_update_at_its_time(
    cs201: Station201, params: dict[str, str], field: str, steps: tuple[str, ...]
) -> None:
    assert update(cs201, **params).payload["firmware"][field] == LATER_TEXT
    progress(cs201, *steps)


@cases("status", {"TC_L_04_CSMS": "RevokedCertificate", "TC_L_05_CSMS": "InvalidCertificate"})
def test_TC_firmware_of_a_bad_certificate(cs201: Station201, status: str) -> None:
    done = update(cs201, {"status": status})
    assert (done.result.payload["status"], done.is_refused) == (status, True)
    security_event(cs201, "InvalidFirmwareSigningCertificate")
    assert cs201.details(DetailKind.FIRMWARE) == {}


@cases(
    "steps",
    {
        "TC_L_06_CSMS": [("Downloading", "Downloaded", "InvalidSignature")],
        "TC_L_07_CSMS": [("Downloading", "DownloadFailed")],
        "TC_L_08_CSMS": [("Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallVerificationFailed")],
        "TC_L_09_CSMS": [("Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallationFailed")],
    },
)
def test_TC_firmware_update_that_fails(cs201: Station201, steps: list[tuple[str, ...]]) -> None:
    """The last word stands in the records."""
    update(cs201)
    progress(cs201, *steps[0])
    if steps[0][-1] == "InvalidSignature":
        security_event(cs201, "InvalidFirmwareSignature")
    assert cs201.details(DetailKind.FIRMWARE)["status"]["status"] == steps[0][-1]


def test_TC_L_10_CSMS_a_second_update_cancels_the_first(cs201: Station201) -> None:
    update(cs201)
    progress(cs201, "Downloading")
    assert update(cs201, {"status": "AcceptedCanceled"}, 2).result.payload == {"status": "AcceptedCanceled"}
    asked = cs201.details(DetailKind.FIRMWARE)["asked"]
    assert (asked["requestId"], asked["status"]) == (2, "AcceptedCanceled")
    progress(cs201, "Downloading", "Downloaded", "SignatureVerified", "Installing", "Installed", number=2)


def test_TC_L_11_CSMS_an_update_that_cannot_be_cancelled(cs201: Station201) -> None:
    update(cs201)
    progress(cs201, "Downloading", "Downloaded", "SignatureVerified", "Installing")
    assert update(cs201, {"status": "Rejected"}, 2).is_refused
    assert cs201.details(DetailKind.FIRMWARE)["asked"]["requestId"] == 1
    progress(cs201, "Installed")


def test_TC_L_13_CSMS_no_firmware_while_charging(cs201: Station201) -> None:
    """It waits for the end of the transaction, which goes on untouched."""
    going = cs201.charging()
    update(cs201)
    progress(cs201, "DownloadScheduled")
    assert going.session.state is SessionState.CHARGING
    going.event("Ended", "StopAuthorized", "EVConnected", "CARD1", 3000, "Local")
    progress(cs201, "Downloading", "Downloaded", "SignatureVerified", "Installing", "Installed")
    assert going.session.energy_wh == 2000


@cases(
    "steps",
    {
        "TC_L_17_CSMS": [("Downloading", "Downloaded", "ChecksumVerified", "Published")],
        "TC_L_19_CSMS": [("Downloading", "Downloaded", "InvalidChecksum")],
        "TC_L_20_CSMS": [("Downloading", "Downloaded", "ChecksumVerified", "PublishFailed")],
        "TC_L_24_CSMS": [("Downloading", "DownloadFailed")],
    },
)
def test_TC_publish_firmware(cs201: Station201, steps: list[tuple[str, ...]]) -> None:
    """A local controller takes the image for the stations behind it."""
    publish(cs201)
    for status in steps[0]:
        where = {"location": ["http://lc.example/fw"]} if status == "Published" else {}
        said = {"status": status, "requestId": 1} | where
        assert cs201.say("PublishFirmwareStatusNotification", said) == {}
        assert cs201.details(DetailKind.FIRMWARE)["publish status"] == said


@cases("status", {"TC_L_21_CSMS": "Unpublished", "TC_L_22_CSMS": "NoFirmware", "TC_L_23_CSMS": "DownloadOngoing"})
def test_TC_unpublish_firmware(cs201: Station201, status: str) -> None:
    publish(cs201)
    asked = {"checksum": "0" * 32}
    done = cs201.asked("UnpublishFirmware", asked, {"status": status})
    assert (done.payload, done.result.payload) == (asked, {"status": status})
    assert ("publish asked" in cs201.details(DetailKind.FIRMWARE)) is (status == "DownloadOngoing")


def publish(cs: Station201) -> None:
    asked = {"location": "https://fw.example/1", "checksum": "0" * 32, "requestId": 1}
    assert cs.asked("PublishFirmware", asked).payload == asked
    assert cs.details(DetailKind.FIRMWARE)["publish asked"]["requestId"] == 1


# certificates

_PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def hashes(serial: str) -> dict[str, str]:
    return {"hashAlgorithm": "SHA256", "issuerNameHash": "aa", "issuerKeyHash": "bb", "serialNumber": serial}


@cases(
    "kind, status",
    {
        "TC_M_01_CSMS": ("CSMSRootCertificate", "Accepted"),
        "TC_M_02_CSMS": ("ManufacturerRootCertificate", "Accepted"),
        "TC_M_03_CSMS": ("V2GRootCertificate", "Accepted"),
        "TC_M_04_CSMS": ("MORootCertificate", "Accepted"),
        "TC_M_05_CSMS": ("CSMSRootCertificate", "Failed"),
    },
)
def test_TC_install_certificate(cs201: Station201, kind: str, status: str) -> None:
    asked = {"certificateType": kind, "certificate": _PEM}
    done = cs201.asked("InstallCertificate", asked, {"status": status})
    assert (done.payload, done.result.payload) == (asked, {"status": status})
    assert done.is_refused is (status == "Failed")


@cases(
    "kinds",
    {
        "TC_M_12_CSMS": [["CSMSRootCertificate"]],
        "TC_M_13_CSMS": [["ManufacturerRootCertificate"]],
        "TC_M_14_CSMS": [["V2GRootCertificate"]],
        "TC_M_15_CSMS": [["V2GCertificateChain"]],
        "TC_M_16_CSMS": [["MORootCertificate"]],
        "TC_M_17_CSMS": [["CSMSRootCertificate", "ManufacturerRootCertificate"]],
        "TC_M_18_CSMS": [[]],
    },
)
def test_TC_retrieve_certificates(cs201: Station201, kinds: list[list[str]]) -> None:
    """What is found is all there is of those kinds; a chain brings its children along."""
    asked = {"certificateType": kinds[0]} if kinds[0] else {}
    found = kinds[0] or ["CSMSRootCertificate", "V2GCertificateChain"]
    chains: list[dict[str, Any]] = [
        {"certificateType": kind, "certificateHashData": hashes(f"1{n}")} for n, kind in enumerate(found)
    ]
    if "V2GCertificateChain" in found:
        chains[-1]["childCertificateHashData"] = [hashes("99")]
    done = cs201.asked(
        "GetInstalledCertificateIds", asked, {"status": "Accepted", "certificateHashDataChain": chains}
    )
    assert done.payload == asked
    known = cs201.details(DetailKind.CERTIFICATE)
    assert {body["certificateType"] for body in known.values()} == set(found)
    assert len(known) == len(found) + ("V2GCertificateChain" in found)


def test_TC_M_19_CSMS_no_matching_certificate(cs201: Station201) -> None:
    installed(cs201)
    asked = {"certificateType": ["CSMSRootCertificate"]}
    assert cs201.asked("GetInstalledCertificateIds", asked, {"status": "NotFound"}).payload == asked
    assert cs201.details(DetailKind.CERTIFICATE) == {}, "it says that it has none"


@cases("status", {"TC_M_20_CSMS": "Accepted", "TC_M_21_CSMS": "Failed"})
def test_TC_delete_certificate(cs201: Station201, status: str) -> None:
    installed(cs201)
    done = cs201.asked("DeleteCertificate", {"certificateHashData": hashes("1")}, {"status": status})
    assert done.payload == {"certificateHashData": hashes("1")}
    assert done.is_refused is (status == "Failed")
    assert len(cs201.details(DetailKind.CERTIFICATE)) == (status == "Failed")


def installed(cs: Station201) -> None:
    chain = {"certificateType": "CSMSRootCertificate", "certificateHashData": hashes("1")}
    cs.asked("GetInstalledCertificateIds", {}, {"status": "Accepted", "certificateHashDataChain": [chain]})
    assert len(cs.details(DetailKind.CERTIFICATE)) == 1
