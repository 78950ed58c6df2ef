"""What chargers put into MQTT payloads, made into plain values. No I/O; hostile bytes end as PayloadError.

A *document* is what a payload decodes to: JSON values, a text, or a list of texts. A *path* walks into it:
``value``, ``[11]``, ``energy.total``, ``phases[0].power``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

MAX_PAYLOAD_BYTES = 262_144  # no charger says more in one message
_MAX_TEXT = 500
_MAX_NUMBER = 1e12
_MILLISECONDS_ABOVE = 1e11  # as seconds this is the year 5138, so it must be milliseconds

Path = tuple[str | int, ...]


class PayloadError(Exception):
    """A payload that cannot be what the mapping says it is. The message is short and safe to keep."""


class _Missing:
    """What a path finds where the document has nothing."""


MISSING: Final = _Missing()


def decode_json(payload: bytes) -> Any:
    """Raises PayloadError."""
    try:
        return msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError(f"not valid JSON: {str(error)[:120]}") from error


def decode_text(payload: bytes) -> str:
    """Raises PayloadError."""
    try:
        return payload.decode().strip()
    except UnicodeDecodeError as error:
        raise PayloadError(f"not valid UTF-8 at byte {error.start}") from error


def decode_auto(payload: bytes) -> Any:
    """JSON where it is JSON, else the text. Raises PayloadError for bytes that are neither."""
    text = decode_text(payload)
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return text


def decode_split(payload: bytes) -> list[str]:
    """``1,2,3`` or ``1;2;3`` as a list of texts. Raises PayloadError."""
    return [part.strip() for part in re.split("[,;]", decode_text(payload))]


def decode_raw(payload: bytes) -> str:
    """Bytes as hexadecimal digits, for enums of binary payloads."""
    return payload.hex()


DECODERS: dict[str, Callable[[bytes], Any]] = {
    "auto": decode_auto,
    "json": decode_json,
    "text": decode_text,
    "split": decode_split,
    "raw": decode_raw,
}

_STEP = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")


def parse_path(text: str) -> Path:
    """``a.b[2]`` as ``("a", "b", 2)``; empty is the document itself. Raises ValueError."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            raise ValueError(f"path '{text}' cannot be read at '{text[at:]}'; write it like value, [11] or a.b[2]")
        steps.append(int(step[1]) if step[1] else step[2])
        at = step.end()
    return tuple(steps)


def dig(document: Any, path: Path) -> Any:
    """Follow a path; ``MISSING`` where it leads nowhere."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(document, list) or step >= len(document):
                return MISSING
            document = document[step]
        else:
            if not isinstance(document, dict) or step not in document:
                return MISSING
            document = document[step]
    return document


def as_number(value: Any) -> float | None:
    """A finite number of sane size; ``None`` for anything else (true and false are not numbers)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) <= _MAX_NUMBER else None


_BOOLEANS = {
    "true": True,
    "1": True,
    "on": True,
    "yes": True,
    "online": True,
    "false": False,
    "0": False,
    "off": False,
    "no": False,
    "offline": False,
}


def as_bool(value: Any) -> bool | None:
    return _BOOLEANS.get(as_text(value).lower())


def as_text(value: Any) -> str:
    """How a value is written in a mapping's tables: ``null``, ``true``, ``3``, ``text``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, int) and abs(value) > _MAX_NUMBER:
        return ""
    if isinstance(value, str | int | float):
        return str(value)[:_MAX_TEXT]
    return msgspec.json.encode(value)[:_MAX_TEXT].decode(errors="replace")


def as_time(value: Any) -> datetime | None:
    """RFC 3339 with an offset, or seconds or milliseconds since 1970; ``None`` for anything else."""
    number = as_number(value)
    try:
        if number is not None:
            seconds = number / 1000 if number > _MILLISECONDS_ABOVE else number
            return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError, OSError):
        return None
    return None
