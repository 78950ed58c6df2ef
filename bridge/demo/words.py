"""What every virtual station is made of and says: its plan, a transaction, a call, a refusal, a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec

from bridge.demo.meter import Outlet

Payload = dict[str, Any]


class StationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One station as planned. ``outlets`` by EVSE from 1."""

    id: str
    protocol: str
    name: str = ""
    vendor: str = "Nordlade"
    model: str = "NL-22"
    firmware: str = "3.2.1"
    outlets: tuple[Outlet, ...]


@dataclass(slots=True, eq=False)
class Transaction:
    """``id`` comes from the central system in 1.6 (None until then), from the station in 2.0.1."""

    evse: int
    token: str
    began_at: float
    id: int | str | None = None
    seq_no: int = 0
    reservation: int | None = None


@dataclass(slots=True, eq=False)
class Call:
    """One message to the central system. ``is_kept``: survives being offline."""

    action: str
    payload: Payload
    is_kept: bool = False
    evse: int = 0
    transaction: Transaction | None = None
    message_id: str = field(default_factory=lambda: str(uuid4()))


class CommandRefused(Exception):
    """The answer to a command is a CALLERROR with this code."""

    def __init__(self, code: str, description: str = "") -> None:
        super().__init__(description)
        self.code, self.description = code, description


def rfc3339(at: float) -> str:
    """Unix seconds as RFC 3339 UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
