"""Who is at the door: station id from the path, key from HTTP Basic, and a brake for those who guess.

Source: OCPP 1.6 security whitepaper edition 3 section 3 and OCPP 2.0.1 part 2 section A00 (profiles 1 and 2).
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from urllib.parse import unquote_to_bytes

from bridge.access import Admission, Directory, Entry, admit, key_hmac
from bridge.settings import Unknown

MAX_STATION_ID = 255
_MAX_KEY = 1024


def station_of(path: str) -> str | None:
    """The station id of ``/ocpp/<station>`` or ``/<station>``; ``None`` when the path names none.

    Doubled and trailing slashes do not matter (field quirk 5); what is percent-encoded is decoded after the
    path was split, so an id may hold a slash (field quirk 6)."""
    parts = [part for part in path.partition("?")[0].split("/") if part]
    if len(parts) == 2 and parts[0].lower() == "ocpp":
        parts = parts[1:]
    if len(parts) != 1 or parts[0].lower() == "ocpp":
        return None
    raw = unquote_to_bytes(parts[0].encode("utf-8", "surrogateescape"))
    try:
        station = raw.decode()
    except UnicodeDecodeError:
        station = raw.decode("latin-1")
    return station if 0 < len(station) <= MAX_STATION_ID and station.isprintable() else None


def basic_key(header: str | None) -> bytes | None:
    """The password of an Authorization header as bytes; chargers put their id or anything else before it
    (field quirk 8)."""
    return _basic(header)[1]


def basic_user(header: str | None) -> str:
    """What stands before the password; empty where nothing does."""
    return _basic(header)[0].decode("utf-8", "replace")


def _basic(header: str | None) -> tuple[bytes, bytes | None]:
    scheme, _, encoded = (header or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return b"", None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b"", None
    user, colon, key = decoded.partition(b":")
    return (user, key) if colon and len(key) <= _MAX_KEY else (b"", None)


def admit_with_key(
    directory: Directory, policy: Unknown, pepper: bytes, station: str, key: bytes | None
) -> Admission:
    """Try the key as it came, and its other spelling: some send the bytes, some their hex digits.

    The work does not depend on whether the station is known or its key right."""
    key_hmac(pepper, key or b"")
    admissions = [admit(directory, policy, pepper, station, form) for form in _forms(key)]
    return next((found for found in admissions if found.entry is not Entry.REFUSED), admissions[0])


def _forms(key: bytes | None) -> list[bytes | None]:
    if key is None:
        return [None]
    try:
        raw = bytes.fromhex(key.decode("ascii"))
    except ValueError:
        raw = key
    digits = raw.hex().encode()
    return [key, raw, digits, digits.upper()]


class DoorBrake:
    """Brakes a station's guesses from one address, and laxer all guesses from that address: behind one router a
    charger with a wrong key must not lock out its neighbours. What is braked counts no further."""

    def __init__(self) -> None:
        self._of_station = Brake()
        self._of_address = Brake(burst=200, refill_s=0.1)

    def is_on(self, address: str, station: str, now_s: float) -> bool:
        return self._of_station.is_on(f"{address} {station}", now_s) or self._of_address.is_on(address, now_s)

    def failed(self, address: str, station: str, now_s: float) -> None:
        if not self.is_on(address, station, now_s):
            self._of_station.failed(f"{address} {station}", now_s)
            self._of_address.failed(address, now_s)


class Brake:
    """A token bucket per key for failures: ``burst`` at once, then one each ``refill_s`` seconds."""

    def __init__(self, burst: int = 20, refill_s: float = 1.0, max_addresses: int = 10_000) -> None:
        self._burst = burst
        self._refill_s = refill_s
        self._max_addresses = max_addresses
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> (failures, when)

    def is_on(self, address: str, now_s: float) -> bool:
        """Has this address failed too often lately?"""
        return self._failures(address, now_s) > self._burst - 1

    def failed(self, address: str, now_s: float) -> None:
        self._spent[address] = (min(self._failures(address, now_s) + 1.0, self._burst), now_s)
        self._spent.move_to_end(address)
        if len(self._spent) > self._max_addresses:
            self._spent.popitem(last=False)

    def _failures(self, address: str, now_s: float) -> float:
        failures, at_s = self._spent.get(address, (0.0, now_s))
        return max(0.0, failures - (now_s - at_s) / self._refill_s)
