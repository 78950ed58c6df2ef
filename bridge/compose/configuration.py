"""Composed commands about settings: read them, set one, rotate the key.

A setting is named as the station's details name it: an OCPP 1.6 key, or ``Component.Variable`` of the 2.x device
model, with instance and EVSE where there are any: ``Connector/left@1.Available``, ``ChargingStation.Available/x``.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from bridge.compose.terms import ADMIN, CannotCompose, Composed, Given, Kind, Parameter, Said, Target, new_id

_NAME = re.compile(
    r"(?P<component>[^./@]+)(?:/(?P<of_component>[^@]*?))?(?:@(?P<evse>\d{1,3})(?::(?P<connector>\d{1,3}))?)?"
    r"\.(?P<variable>[^./]+)(?:/(?P<of_variable>.+))?"
)
_REPORTS = ("FullInventory", "ConfigurationInventory", "SummaryInventory")
_ATTRIBUTES = ("Actual", "Target", "MinSet", "MaxSet")
_KEY_CHARACTERS = re.compile(r"[A-Za-z0-9*\-_=:+|@.]*")  # 2.0.1 part 2 section 3: identifierString
_KEY_MIN, _KEY_MAX = 16, 40
_HEX_KEY = re.compile(r"([0-9A-Fa-f]{2}){16,20}")


def variable(name: str, path: str = "key") -> dict[str, Any]:
    """``Component.Variable`` as GetVariables and SetVariables want it. Raises CannotCompose."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise CannotCompose(
            f"'{path}': write Component.Variable, as OCPPCommCtrlr.HeartbeatInterval, not '{name[:64]}'", path
        )
    component: dict[str, Any] = {"name": found["component"]}
    if found["of_component"]:
        component["instance"] = found["of_component"]
    if found["evse"]:
        component["evse"] = {"id": int(found["evse"])}
        if found["connector"]:
            component["evse"]["connectorId"] = int(found["connector"])
    of_variable = {"instance": found["of_variable"]} if found["of_variable"] else {}
    return {"component": component, "variable": {"name": found["variable"]} | of_variable}


def _get(to: Target, given: Given) -> Said:
    keys = [key.strip() for key in (given["keys"] or "").split(",") if key.strip()]
    if to.is_16:
        return "GetConfiguration", {"key": keys} if keys else {}
    if not keys:
        return "GetBaseReport", {"requestId": new_id(), "reportBase": given["report"]}
    return "GetVariables", {"getVariableData": [variable(key, "keys") for key in keys]}


def _set(to: Target, given: Given) -> Said:
    key, value = given["key"], given["value"]
    if to.is_16:
        return "ChangeConfiguration", {"key": key, "value": value}
    entry = variable(key) | {"attributeValue": value}
    if given["attribute"] != "Actual":
        entry["attributeType"] = given["attribute"]
    return "SetVariables", {"setVariableData": [entry]}


def _rotate_key(to: Target, given: Given) -> Said:
    """1.6: AuthorizationKey as hex digits (OCPP-J 1.6 section 6.2.2, security whitepaper); a charger may then show the
    digits or the bytes they mean, and the door takes both. 2.x: BasicAuthPassword as it is (2.0.1 part 2 A01)."""
    key = given["key"] or secrets.token_hex(16)  # what carries the command out gives one that it has recorded
    if not _KEY_MIN <= len(key) <= _KEY_MAX:
        raise CannotCompose(f"RotateKey: a key has {_KEY_MIN} to {_KEY_MAX} characters", "key")
    if not _KEY_CHARACTERS.fullmatch(key):
        raise CannotCompose("RotateKey: a key has letters, digits and * - _ = : + | @ . only", "key")
    if to.is_16:
        return "ChangeConfiguration", {"key": "AuthorizationKey", "value": _hex_digits(key)}
    entry = variable("SecurityCtrlr.BasicAuthPassword") | {"attributeValue": key}
    return "SetVariables", {"setVariableData": [entry]}


def _hex_digits(key: str) -> str:
    if _HEX_KEY.fullmatch(key):
        return key
    digits = key.encode().hex()
    if len(digits) > _KEY_MAX:
        raise CannotCompose("RotateKey: in OCPP 1.6 a key that is no hex digits has at most 20 characters", "key")
    return digits


COMMANDS = (
    Composed(
        "GetConfiguration",
        "Read settings",
        "The station tells its settings and the page shows them; nothing changes.",
        (
            Parameter(
                "keys",
                "Settings",
                help="With commas: OCPP 1.6 keys, or Component.Variable of 2.x. Without any: all that it has.",
            ),
            Parameter("report", "Report", Kind.CHOICE, _REPORTS, _REPORTS[0], help="Of OCPP 2.x, when none is named."),
        ),
        _get,
    ),
    Composed(
        "SetConfiguration",
        "Change a setting",
        "The station takes the new value, some only after a restart.",
        (
            Parameter("key", "Setting", required=True, help="An OCPP 1.6 key, or Component.Variable of 2.x."),
            Parameter("value", "Value", required=True),
            Parameter("attribute", "Attribute", Kind.CHOICE, _ATTRIBUTES, _ATTRIBUTES[0], help="Of OCPP 2.x."),
        ),
        _set,
    ),
    Composed(
        "RotateKey",
        "Change the station's key",
        "The station proves itself with the new key from its next connection on; then the old one ends.",
        (
            Parameter(
                "key",
                "New key",
                help=f"{_KEY_MIN} to {_KEY_MAX} characters. Without one a random key is made, better than any typed.",
                is_secret=True,
            ),
        ),
        _rotate_key,
        role=ADMIN,
    ),
)
