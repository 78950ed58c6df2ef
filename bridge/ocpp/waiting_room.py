"""Stations that are connected, or were lately, and that nobody has decided about. In memory and bounded.

They are not in the book: what a stranger says reaches no wall, no alarm and no session. ``take_news`` hands out what
the records' inbox should know.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from msgspec.structs import replace

from bridge.events import StationBooted
from bridge.ocpp.visitor import side_of
from bridge.stores.provisioning import Held

MAX_FRAMES = 200  # at once: a stranger has a boot to say again and little else
MAX_FRAME_BYTES = 16_384
_MAX_TEXT = 100


class Host(Protocol):
    """What a talk tells of a station that waits for a person."""

    def has_booted(self, event: StationBooted) -> None: ...
    def is_let_in(self) -> None: ...


class WaitingRoom:
    """At most ``limit`` stations, ``per_address`` from one address: who is gone the longest makes room."""

    def __init__(self, limit: int, per_address: int, bridge: str) -> None:
        self._limit = limit
        self._per_address = per_address
        self._bridge = bridge
        self._held: dict[str, Held] = {}
        self._changed: set[str] = set()
        self._gone: set[str] = set()

    def __contains__(self, station: str) -> bool:
        return station in self._held

    def stations(self) -> list[str]:
        return list(self._held)

    def has_place(self, station: str, address: str) -> bool:
        """Could it come in, with somebody who has left making room for it?"""
        if station in self._held:
            return True
        here = self._here(address)
        if len(here) >= self._per_address and all(held.is_connected for held in here):
            return False
        return len(self._held) < self._limit or any(not held.is_connected for held in self._held.values())

    def enter(
        self, station: str, address: str, protocol: str, security: str, key_hmac: bytes | None, now: datetime
    ) -> None:
        """It is connected and waits. Call ``has_place`` first."""
        known = self._held.get(station)
        if known is None:
            self._make_room(address)
            known = Held(station=station, connections=0, first_seen_at=now, last_seen_at=now, offered_key_hmac=key_hmac)
        self._put(
            known,
            address=address,
            protocol=protocol,
            security=security,
            offered_key_hmac=key_hmac,
            other_keys=known.other_keys + (known.offered_key_hmac != key_hmac),
            connections=known.connections + 1,
            is_connected=True,
            bridge=self._bridge,
            last_seen_at=now,
        )

    def told(self, station: str, now: datetime, **said: str) -> None:
        """What it said in its boot."""
        if station in self._held:
            self._put(self._held[station], last_seen_at=now, **{name: text[:_MAX_TEXT] for name, text in said.items()})

    def contested(self, station: str, key_hmac: bytes | None) -> None:
        """Another one has come by its name. With another key a person should know of it before approving the first."""
        known = self._held.get(station)
        if known is not None and known.offered_key_hmac != key_hmac:
            self._put(known, other_keys=known.other_keys + 1)

    def left(self, station: str, now: datetime) -> None:
        if station in self._held:
            self._put(self._held[station], is_connected=False, last_seen_at=now)

    def decided(self, station: str) -> None:
        """A person has let it in or shut it out."""
        if self._held.pop(station, None) is not None:
            self._changed.discard(station)
            self._gone.add(station)

    def take_news(self) -> tuple[list[Held], list[str]]:
        """(changed, gone) since the last call."""
        changed, self._changed = self._changed, set()
        gone, self._gone = self._gone, set()
        return [self._held[station] for station in sorted(changed) if station in self._held], sorted(gone)

    def give_back(self, changed: list[Held], gone: list[str]) -> None:
        """The records did not answer: to be told again."""
        self._changed |= {held.station for held in changed if held.station in self._held}
        self._gone |= set(gone) - self._held.keys()

    def _put(self, held: Held, **changes: Any) -> None:
        self._held[held.station] = replace(held, **changes)
        self._changed.add(held.station)

    def _make_room(self, address: str) -> None:
        here = self._here(address)
        if len(here) >= self._per_address:
            self._forget(here)
        if len(self._held) >= self._limit:
            self._forget(list(self._held.values()))

    def _here(self, address: str) -> list[Held]:
        side = side_of(address)
        return [held for held in self._held.values() if side_of(held.address) == side]

    def _forget(self, among: list[Held]) -> None:
        away = [held for held in among if not held.is_connected]
        if away:
            oldest = min(away, key=lambda held: held.last_seen_at)
            del self._held[oldest.station]
            self._changed.discard(oldest.station)
            self._gone.add(oldest.station)
