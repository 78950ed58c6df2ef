"""What must never be stored or shown: keys and passwords, by the names that they go under. Pure.

One list of names and one way of hiding, for frames before the journal (``bridge/ocpp/masking.py``), for what is read
from them, and for commands in forms and audits (``compose.veiled``). Besides what stands under such a name, the user
part of an address (``ftp://user:word@host``) is hidden, and the token of an address where we take a file or give one:
it is the leave to do so. Cards are no secret here: who was started for is what an audit is read for.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

HIDDEN = "(hidden)"

_WORDS = (
    r"authorizationkey|authkey|passw|pwd|passphrase|secret|simpin|pincode|privatekey|vpnkey|apikey|wifikey|wpakey"
    r"|encryptionkey|psk|(?:api|access|auth|bearer)token"
)
_IS_SECRET = re.compile(_WORDS)
_SEPARATORS = re.compile(r"[\W_]+")
_VALUES = frozenset(("value", "attributeValue", "actualValue"))
_NAMES = ("key", "variable")
_ADDRESSES = frozenset(("location", "remotelocation"))  # they carry a password, or are one themselves
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


def may_hold(raw: bytes) -> bool:
    """Is there anything in these bytes that is worth a closer look? Most messages end here."""
    return _HINT.search(raw) is not None


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


def hidden_bytes(raw: bytes) -> bytes:
    """Bytes that no parser reads: whatever stands behind such a name goes."""
    return _RAW_VALUE.sub(rb"\1" + HIDDEN.encode(), raw)


def hosts_only(tree: Any) -> Any:
    """The tree with scheme and host alone of the addresses of uploads and downloads."""
    if isinstance(tree, list):
        return [hosts_only(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    return {
        key: _host(value) if key.casefold() in _ADDRESSES and isinstance(value, str) else hosts_only(value)
        for key, value in tree.items()
    }


def _host(address: str) -> str:
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return HIDDEN
    return f"{parts.scheme}://{host}/{HIDDEN}" if host else HIDDEN


def _names_a_secret(tree: dict[str, Any]) -> bool:
    for field in _NAMES:
        named = tree.get(field)
        if isinstance(named, dict):
            named = named.get("name")
        if isinstance(named, str) and is_secret(named):
            return True
    return False


def _hidden_field(key: str, value: Any, parent: str, is_named: bool) -> Any:
    if (is_named and key in _VALUES) or is_secret(key) or (parent == "vpn" and key == "key"):
        return _all_hidden(value)
    return hidden(value, key, is_named)


def _all_hidden(value: Any) -> Any:
    """Its shape stays, so that it can be held against a schema."""
    if isinstance(value, list):
        return [_all_hidden(item) for item in value]
    if isinstance(value, dict):
        return {key: _all_hidden(item) for key, item in value.items()}
    return value if value in (None, "") else HIDDEN
