"""Who comes in: paths, keys in every spelling, and the brake."""

from __future__ import annotations

import base64

import pytest

from bridge.access import Directory, Entry, StationEntry, key_hmac
from bridge.ocpp.security import Brake, admit_with_key, basic_key, station_of
from bridge.settings import Unknown

PEPPER = b"p"


@pytest.mark.parametrize(
    ("path", "station"),
    [
        ("/ocpp/CP1", "CP1"),
        ("/CP1", "CP1"),
        ("///CP1", "CP1"),
        ("/ocpp//CP1/", "CP1"),
        ("/OCPP/CP1", "CP1"),
        ("/ocpp/CP1?token=x", "CP1"),
        ("/ocpp/CP%2F1", "CP/1"),
        ("/ocpp/a+b*c.d", "a+b*c.d"),
        ("/ocpp/%C3%82x", "Âx"),
        ("/ocpp/%C2x", "Âx"),
        ("/ocpp/M%C3%BCller%20%231", "Müller #1"),
        ("/", None),
        ("/ocpp/", None),
        ("/ocpp/a/b", None),
        ("/ws/CP1", None),
        ("/ocpp/%00", None),
        ("/ocpp/a%0Ab", None),
        ("/ocpp/" + "x" * 256, None),
    ],
)
def test_quirks_5_and_6_the_station_of_a_path(path: str, station: str | None) -> None:
    assert station_of(path) == station


def header(user: bytes, key: bytes) -> str:
    return "Basic " + base64.b64encode(user + b":" + key).decode()


def test_a_basic_key_is_bytes_whatever_the_user_name() -> None:
    assert basic_key(header(b"CP1", b"s3cret")) == b"s3cret"
    assert basic_key(header(b"anyone", b"\x00\xff:x")) == b"\x00\xff:x"
    assert basic_key("basic " + base64.b64encode(b"a:b").decode()) == b"b"


@pytest.mark.parametrize("value", [None, "", "Bearer x", "Basic", "Basic !!!", "Basic " + "A" * 5, "Basic YWJj"])
def test_what_is_no_basic_header_is_no_key(value: str | None) -> None:
    assert basic_key(value) is None


def directory(key: bytes, **entry: bool) -> Directory:
    return Directory(stations={"CP1": StationEntry(id="CP1", key_hmac=key_hmac(PEPPER, key), **entry)})


@pytest.mark.parametrize("registered", [b"\x01\xab" * 10, b"01ab" * 10, b"01AB" * 10])
@pytest.mark.parametrize("sent", [b"\x01\xab" * 10, b"01ab" * 10, b"01AB" * 10])
def test_quirk_8_bytes_and_hex_digits_are_the_same_key(registered: bytes, sent: bytes) -> None:
    admission = admit_with_key(directory(registered), Unknown.REJECT, PEPPER, "CP1", sent)
    assert (admission.entry, admission.security) == (Entry.ACCEPTED, "basic")


@pytest.mark.parametrize("key", [None, b"", b"wrong", b"00" * 20])
def test_a_wrong_or_missing_key_is_refused(key: bytes | None) -> None:
    assert admit_with_key(directory(b"right"), Unknown.ACCEPT, PEPPER, "CP1", key).entry is Entry.REFUSED


def test_quirk_7_the_id_is_that_of_the_registration() -> None:
    assert admit_with_key(directory(b"right"), Unknown.REJECT, PEPPER, "cp1", b"right").station == "CP1"


def test_the_brake_holds_one_address_and_lets_go_with_time() -> None:
    brake = Brake(burst=3, refill_s=10.0)
    for _ in range(3):
        assert not brake.is_on("a", 0.0)
        brake.failed("a", 0.0)
    for _ in range(50):
        brake.failed("a", 0.0)  # more of the same does not prolong it
    assert brake.is_on("a", 1.0)
    assert not brake.is_on("b", 1.0)
    assert not brake.is_on("a", 11.0)


def test_the_brake_forgets_the_oldest_address_before_its_memory_grows() -> None:
    brake = Brake(burst=1, max_addresses=2)
    for address in ("a", "b", "c"):
        brake.failed(address, 0.0)
    assert [brake.is_on(address, 0.0) for address in ("a", "b", "c")] == [False, True, True]
