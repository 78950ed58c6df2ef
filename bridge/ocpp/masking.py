"""What must never be stored: keys and passwords, in frames and in what is read from them. Pure.

A charger tells its AuthorizationKey when asked carelessly, and we tell it a new one: the value becomes ``HIDDEN``
before the journal, and so before everything behind it. So does the user part of an address (``ftp://user:word@host``)
and the token of an address where we take a file or give one: it is the leave to do so.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from bridge.ocpp import frames

HIDDEN = "(hidden)"

_WORDS = (
    r"authorizationkey|authkey|passw|pwd|passphrase|secret|simpin|pincode|privatekey|vpnkey|apikey|wifikey|wpakey"
    r"|encryptionkey|psk|(?:api|access|auth|bearer)token"
)
_IS_SECRET = re.compile(_WORDS)
_SEPARATORS = re.compile(r"[\W_]+")
_VALUES = frozenset(("value", "attributeValue", "actualValue"))
_NAMES = ("key", "variable")
# no place for a secret in these, and most of all frames
_HARMLESS = frozenset((
    "Authorize", "BootNotification", "Heartbeat", "MeterValues", "StartTransaction", "StatusNotification",
    "StopTransaction", "TransactionEvent", "NotifyPeriodicEventStream",
))  # fmt: skip
_SPLIT = _WORDS.replace("key", r"[_\-. ]?key").replace("token", r"[_\-. ]?token")
# all lengths are bounded: a hostile text must not make the search slow
_IN_TEXT = re.compile(rf"((?:{_SPLIT})[\w-]{{0,40}}[\"']?\s{{0,5}}[:=]\s{{0,5}}[\"']?)[^\"'&;,\s}}]+", re.IGNORECASE)
_USER_PART = re.compile(r"(?<=://)[^/@\s\"]+(?=@)")
_TICKET = re.compile(r"(?<=/files/upload/)[\w-]{20,64}|(?<=/files/firmware/)[\w-]{20,64}")
_HINT = re.compile(rb"key|passw|pwd|passphrase|secret|pin|psk|token|@|\\u|files\\?/", re.IGNORECASE)
_RAW_NAME = rf'"(?:value|attributeValue|actualValue|[^"]{{0,60}}(?:{_SPLIT})[^"]{{0,60}})"'
_RAW_VALUE = re.compile(rf'({_RAW_NAME}\s{{0,5}}:\s{{0,5}}")(?:[^"\\]|\\.)*+'.encode(), re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Is that the name of a configuration key, variable or field whose value nobody may read?"""
    return _IS_SECRET.search(_SEPARATORS.sub("", name[:200].lower())) is not None


def masked(action: str, raw: bytes) -> bytes:
    """A frame as it may be stored; the same bytes when there is nothing to hide."""
    if action in _HARMLESS or not _HINT.search(raw):
        return raw
    tree = None if frames.is_deep(raw) else frames.loose(raw)
    if tree is None:  # no JSON: whatever stands behind such a name goes
        return _RAW_VALUE.sub(rb"\1" + HIDDEN.encode(), raw)
    safe = hidden(tree)
    return raw if safe == tree else msgspec.json.encode(safe)


def shown(action: str, tree: Any) -> Any:
    """A payload as it may be quoted in what is told about it."""
    return tree if action in _HARMLESS else hidden(tree)


def hidden(tree: Any, parent: str = "", is_named: bool = False) -> Any:
    """The tree without its secrets: fields of such a name, and the values of keys and variables of such a name."""
    if isinstance(tree, str):
        return text(tree)
    if isinstance(tree, list):
        return [hidden(item, parent, is_named) for item in tree]
    if not isinstance(tree, dict):
        return tree
    is_named = is_named or _names_a_secret(tree)
    return {key: _hidden_field(key, value, parent, is_named) for key, value in tree.items()}


def text(said: str) -> str:
    """Free text without the secrets that it names."""
    if "://" in said:
        said = _TICKET.sub(HIDDEN, _USER_PART.sub(HIDDEN, said))
    return _IN_TEXT.sub(rf"\1{HIDDEN}", said) if ":" in said or "=" in said else said


def _names_a_secret(tree: dict[str, Any]) -> bool:
    for field in _NAMES:
        named = tree.get(field)
        if isinstance(named, dict):
            named = named.get("name")
        if isinstance(named, str) and is_secret(named):
            return True
    return False


def _hidden_field(key: str, value: Any, parent: str, is_named: bool) -> Any:
    is_value = not isinstance(value, dict | list) and value not in (None, "")
    is_hidden = (is_named and key in _VALUES) or is_secret(key) or (parent == "vpn" and key == "key")
    return HIDDEN if is_value and is_hidden else hidden(value, key, is_named)
