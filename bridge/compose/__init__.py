"""Commands of ours in the words of each version of OCPP, as one typed table that bridge and screens both read.

``COMPOSED`` is the table, ``compose`` says one. A name that is not in it is an OCPP action and passes as it is; so
does a payload in OCPP's own words for an action that shares its name with one of ours. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from bridge import schemas, secrecy
from bridge.access import TokenEntry
from bridge.compose import charging, configuration, display, files, remote, tokens
from bridge.compose.roles import needed_role
from bridge.compose.terms import (
    ADMIN,
    ALL_VERSIONS,
    OPERATOR,
    CannotCompose,
    Composed,
    Kind,
    Parameter,
    new_target,
    read,
)

__all__ = [
    "ADMIN",
    "ALL_VERSIONS",
    "COMPOSED",
    "OPERATOR",
    "CannotCompose",
    "Composed",
    "Kind",
    "Parameter",
    "compose",
    "composed_for",
    "needed_role",
    "veiled",
]

COMPOSED: Mapping[str, Composed] = {
    command.name: command
    for module in (remote, configuration, tokens, charging, files, display)
    for command in module.COMMANDS
}
_NOBODY: Mapping[str, TokenEntry] = MappingProxyType({})


def compose(
    protocol: str,
    name: str,
    params: Mapping[str, Any],
    tokens: Mapping[str, TokenEntry] = _NOBODY,
    now: datetime | None = None,
) -> tuple[str, dict[str, Any]]:
    """A command in the words of that version: (action, payload). ``tokens`` are the drivers' cards by normalised
    token, as in ``access.Directory``. Raises CannotCompose."""
    command = COMPOSED.get(name)
    if command is None or _is_plain(command, protocol, params):
        return name, dict(params)
    return command.say(new_target(protocol, tokens, now), read(command, params))


def composed_for(protocol: str) -> list[Composed]:
    """The commands of ours that can be said in that version, in the order of the table."""
    return [command for command in COMPOSED.values() if protocol in command.versions]


def veiled(name: str, payload: Mapping[str, Any], *, with_addresses: bool = False) -> dict[str, Any]:
    """The payload of a command or OCPP action as it may be kept and shown. ``with_addresses``: of the addresses of
    uploads and downloads only scheme and host stay."""
    command = COMPOSED.get(name)
    secrets = {parameter.name for parameter in command.parameters if parameter.is_secret} if command else set()
    shown = {field: secrecy.HIDDEN if field in secrets else value for field, value in payload.items()}
    found: dict[str, Any] = secrecy.hidden(secrecy.hosts_only(shown) if with_addresses else shown)
    return found


def _is_plain(command: Composed, protocol: str, params: Mapping[str, Any]) -> bool:
    """Is it OCPP's own payload for an action of the same name? Then it has a field that no parameter is."""
    if command.name not in schemas.calls_to_station(protocol):
        return False
    return bool(set(params) - {parameter.name for parameter in command.parameters})
