"""Frames as they may be stored: without the keys and passwords that ``bridge/secrecy.py`` knows. Pure.

A charger tells its AuthorizationKey when asked carelessly, and we tell it a new one: the value becomes ``HIDDEN``
before the journal, and so before everything behind it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bridge import secrecy
from bridge.ocpp import frames

# no place for a secret in these, and most of all frames
_HARMLESS = frozenset((
    "Authorize", "BootNotification", "Heartbeat", "MeterValues", "StartTransaction", "StatusNotification",
    "StopTransaction", "TransactionEvent", "NotifyPeriodicEventStream",
))  # fmt: skip


def masked(action: str, raw: bytes) -> bytes:
    """A frame as it may be stored; the same bytes when there is nothing to hide."""
    if action in _HARMLESS or not secrecy.may_hold(raw):
        return raw
    tree = None if frames.is_deep(raw) else frames.loose(raw)
    if tree is None:  # no JSON
        return secrecy.hidden_bytes(raw)
    safe = secrecy.hidden(tree)
    return raw if safe == tree else msgspec.json.encode(safe)


def shown(action: str, tree: Any) -> Any:
    """A payload as it may be quoted in what is told about it."""
    return tree if action in _HARMLESS else secrecy.hidden(tree)
