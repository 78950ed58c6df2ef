"""A command as it may be kept and shown: keys and passwords are veiled, in our words and in OCPP's.

Only what opens a door is veiled. Cards are not: who was started for is what an audit is read for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

VEIL = "••••"
_SECRET_FIELDS = frozenset({"apnpassword", "basicauthpassword", "password", "simpin"})
_SECRET_SETTINGS = frozenset({"authorizationkey", "basicauthpassword"})
_ADDRESS_FIELDS = frozenset({"location", "remotelocation"})  # they carry a password, or are one themselves


def veiled(name: str, payload: Mapping[str, Any], *, with_addresses: bool = False) -> dict[str, Any]:
    """The payload of a command or OCPP action without its secrets. ``with_addresses``: of the addresses of uploads
    and downloads only scheme and host stay."""
    if name == "RotateKey":
        return {field: VEIL if field == "key" else value for field, value in payload.items()}
    found = _veiled(dict(payload), with_addresses)
    assert isinstance(found, dict)
    return found


def _veiled(value: Any, with_addresses: bool) -> Any:
    if isinstance(value, list):
        return [_veiled(item, with_addresses) for item in value]
    if not isinstance(value, dict):
        return value
    shown = {field: _field(field, item, with_addresses) for field, item in value.items()}
    if _is_secret(value):
        shown |= {field: VEIL for field in ("value", "attributeValue") if field in shown}
    if "vpn" in shown and isinstance(shown["vpn"], dict) and "key" in shown["vpn"]:
        shown["vpn"]["key"] = VEIL
    return shown


def _field(field: str, value: Any, with_addresses: bool) -> Any:
    folded = field.casefold()
    if folded in _SECRET_FIELDS:
        return VEIL
    if with_addresses and folded in _ADDRESS_FIELDS and isinstance(value, str):
        return _host(value)
    return _veiled(value, with_addresses)


def _is_secret(setting: dict[str, Any]) -> bool:
    variable = setting.get("variable")
    named = variable.get("name") if isinstance(variable, dict) else variable
    name = named or setting.get("key", "")
    return str(name).strip().rpartition(".")[2].partition("/")[0].casefold() in _SECRET_SETTINGS


def _host(address: str) -> str:
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return VEIL
    return f"{parts.scheme}://{host}/{VEIL}" if host else VEIL
