"""What both telemetry stores do to a batch before they write it, so that they stay interchangeable."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from zlib import crc32

from bridge.events import to_us
from bridge.stores.telemetry import StoreRejected

# InfluxDB counts nanoseconds in 64 bits; both stores keep to what it can hold
_FIRST = datetime(1678, 1, 1, tzinfo=UTC)
_LAST = datetime(2262, 1, 1, tzinfo=UTC)


def stored_us(at: datetime) -> int:
    """Microseconds since 1970. Raises StoreRejected for a time that cannot be stored."""
    if at.tzinfo is None or not _FIRST <= at < _LAST:
        raise StoreRejected(f"{at!r} is not a time between {_FIRST.year} and {_LAST.year} with a zone")
    return to_us(at)


def span(start: datetime, end: datetime) -> tuple[int, int]:
    """A range [start, end) in microseconds, cut to the times that can be stored."""
    start_us, end_us = (to_us(min(max(at, _FIRST), _LAST)) for at in (start, end))
    return start_us, end_us


def finite(values: dict[str, float]) -> dict[str, float]:
    """Without NaN and infinity, which neither store can hold and no curve can show."""
    if math.isfinite(sum(values.values())):  # one wrong value makes the sum wrong: the usual case costs one look
        return values
    return {field: value for field, value in values.items() if math.isfinite(value)}


def whole(text: str) -> str:
    """Without halves of surrogate pairs, which JSON can smuggle in and UTF-8 cannot carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def fingerprint(*parts: str) -> int:
    """Tells apart what happened in the same microsecond; the same on every replay."""
    return crc32("\0".join(parts).encode("utf-8", "replace"))
