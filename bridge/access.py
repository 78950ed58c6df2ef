"""Who may come in: stations at the door, drivers' tokens at the charger. Pure; the directory is data.

The directory is a copy of what the records hold about stations and tokens. The bridge refreshes it while the
database answers and keeps the last copy while it does not, so an outage locks nobody out.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

import msgspec

from bridge.settings import Unknown

# How a station proved who it is, and which security profile that is (OCPP 1.6 security whitepaper, 2.0.1 part 2 A00):
# "basic+local" is a key over this machine's loopback, which is on no wire.
RANK = {"": 0, "none": 0, "basic": 1, "basic+local": 2, "basic+tls": 2, "mtls": 3}


class StationEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A registered station. ``key_hmac`` is empty where it needs no key (a private network, by choice)."""

    id: str
    site_id: str = ""
    is_approved: bool = True
    is_refused: bool = False
    key_hmac: bytes = b""
    next_key_hmac: bytes = b""  # of the key it was told to take: both open until it has come with it
    proved: str = ""  # how it proved who it is when it last connected, to any bridge
    security_profile: int | None = None  # what it must prove by a person's word; else the setting
    policy: dict[str, Any] = {}  # what a person decided about its ways; else what is known of its model
    time_zone: str = ""  # its site's


class TokenEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    token: str  # normalised
    group: str = ""
    is_blocked: bool = False
    expires_at: datetime | None = None


class Directory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """What the records say about who may come in; station ids and tokens as keys. ``revoked`` are fingerprints of
    certificates (SHA-256, hex)."""


    stations: dict[str, StationEntry] = {}
    tokens: dict[str, TokenEntry] = {}
    revoked: frozenset[str] = frozenset()

    @cached_property
    def by_folded_id(self) -> dict[str, StationEntry | None]:
        """Stations by id without case, ``None`` where that is not one. Looking through all of them for each unknown
        station would make a storm of strangers dear, and the time taken tell who is known."""
        folded: dict[str, StationEntry | None] = {}
        for id, entry in self.stations.items():
            folded[id.casefold()] = None if id.casefold() in folded else entry
        return folded


class Entry(StrEnum):
    ACCEPTED = "accepted"
    HELD = "held"  # connected, answered Pending, waits for a person's approval
    REFUSED = "refused"


class Admission(msgspec.Struct, frozen=True):
    """``station`` is the id as registered, whatever case the charger used (field quirk 7). ``reason`` is one word for
    the metrics."""

    entry: Entry
    station: str
    cause: str
    security: str = "none"  # "basic" when a key was checked
    reason: str = ""
    is_next_key: bool = False


class Decision(msgspec.Struct, frozen=True):
    """About a token. ``status`` is OCPP's AuthorizationStatus: Accepted, Invalid, Blocked, Expired."""

    status: str
    cause: str
    group: str = ""
    expires_at: datetime | None = None  # when what is said here ends

    @property
    def is_accepted(self) -> bool:
        return self.status == "Accepted"


def key_hmac(pepper: bytes, key: bytes) -> bytes:
    """HMAC-SHA256 of a random key. Keys are random, so a fast hash with a pepper is enough."""
    return hmac.new(pepper, key, hashlib.sha256).digest()


def admit(
    directory: Directory, policy: Unknown, pepper: bytes, station: str, key: bytes | None
) -> Admission:
    """Decide about a station at the door. ``key`` is the Basic password as bytes, ``None`` when absent."""
    entry = entry_of(directory, station)
    if entry is None:
        return Admission(_UNKNOWN_STATION[policy], station, f"unknown station, policy {policy}", reason="unknown")
    if entry.is_refused:
        return Admission(Entry.REFUSED, entry.id, "a person shut it out", reason="shut out")
    if entry.key_hmac:
        shown = None if key is None else key_hmac(pepper, key)
        if shown is not None and hmac.compare_digest(shown, entry.key_hmac):
            return Admission(_approval(entry), entry.id, "key matches", "basic")
        if shown is not None and entry.next_key_hmac and hmac.compare_digest(shown, entry.next_key_hmac):
            return Admission(_approval(entry), entry.id, "its new key matches", "basic", is_next_key=True)
        return Admission(Entry.REFUSED, entry.id, "wrong or missing key", reason="key")
    return Admission(_approval(entry), entry.id, "registered without a key")


def admit_with_certificate(directory: Directory, policy: Unknown, station: str) -> Admission:
    """Decide about a station whose certificate names it. A key it may send as well does not matter."""
    entry = entry_of(directory, station)
    if entry is None:
        cause = f"unknown station with a certificate, policy {policy}"
        return Admission(_UNKNOWN_STATION[policy], station, cause, "mtls", reason="unknown")
    if entry.is_refused:
        return Admission(Entry.REFUSED, entry.id, "a person shut it out", reason="shut out")
    return Admission(_approval(entry), entry.id, "certificate matches", "mtls")


def _approval(entry: StationEntry) -> Entry:
    return Entry.ACCEPTED if entry.is_approved else Entry.HELD


_UNKNOWN_STATION = {
    Unknown.REJECT: Entry.REFUSED,
    Unknown.HOLD: Entry.HELD,
    Unknown.ACCEPT: Entry.ACCEPTED,
}


def entry_of(directory: Directory, station: str) -> StationEntry | None:
    """The registration of a station, whatever case it writes its id in."""
    return directory.stations.get(station) or directory.by_folded_id.get(station.casefold())


def normalise_token(token: str) -> str:
    """Chargers differ in case and padding (field quirk 60)."""
    return token.strip().strip("\x00").upper()


def decide(directory: Directory, policy: Unknown, token: str, now: datetime) -> Decision:
    """Decide about a driver's token."""
    entry = directory.tokens.get(normalise_token(token))
    if entry is None:
        if policy is Unknown.ACCEPT and token:
            return Decision("Accepted", "unknown token, policy accept")
        return Decision("Invalid", "unknown token")
    if entry.is_blocked:
        return Decision("Blocked", "token is blocked", entry.group, entry.expires_at)
    if entry.expires_at is not None and entry.expires_at <= now:
        return Decision("Expired", "token has expired", entry.group, entry.expires_at)
    return Decision("Accepted", "by the list", entry.group, entry.expires_at)
