"""What a virtual station keeps for its central system: the local list, reservations, messages on its display."""

from __future__ import annotations

from typing import Any, NamedTuple

Payload = dict[str, Any]


class LocalList:
    """Cards by their number, with what the central system said about each. Version 0: there is no list."""

    def __init__(self) -> None:
        self.version = 0
        self.entries: dict[str, Payload] = {}

    def update(self, version: int, is_full: bool, entries: list[tuple[str, Payload | None]]) -> str:
        """OCPP's status for the answer. A card without information leaves the list."""
        if not is_full and version <= self.version:
            return "VersionMismatch"
        kept = {} if is_full else dict(self.entries)
        for card, info in entries:
            kept.pop(card, None)
            if info is not None:
                kept[card] = info
        self.version, self.entries = version, kept
        return "Accepted"

    def refuses(self, card: str) -> bool:
        """Does the list say no? A card that is not listed is no matter of the list."""
        return bool(self.entries.get(card, {}).get("status", "Accepted") != "Accepted")


class Reservation(NamedTuple):
    id: int
    evse: int  # 0: any
    card: str
    group: str
    until: float


class Reservations:
    """By number; the station lets a reserved bay to nobody else."""

    def __init__(self) -> None:
        self._by_id: dict[int, Reservation] = {}

    def put(self, new: Reservation) -> None:
        self._by_id[new.id] = new

    def take(self, id: int) -> Reservation | None:
        return self._by_id.pop(id, None)

    def of(self, evse: int) -> Reservation | None:
        return next((r for r in self._by_id.values() if r.evse == evse), None)

    def due(self) -> float:
        """When the next one ends."""
        return min((r.until for r in self._by_id.values()), default=float("inf"))

    def expired(self, at: float) -> list[Reservation]:
        """Those that end now; they are gone."""
        over = [r for r in self._by_id.values() if r.until <= at]
        for reservation in over:
            del self._by_id[reservation.id]
        return over


class Display:
    """Messages by number."""

    MOST = 10

    def __init__(self) -> None:
        self.messages: dict[int, Payload] = {}

    def put(self, message: Payload) -> bool:
        """False when it is full."""
        if len(self.messages) >= self.MOST and message["id"] not in self.messages:
            return False
        self.messages[int(message["id"])] = message
        return True

    def take(self, id: int) -> bool:
        return self.messages.pop(id, None) is not None
