"""Which role a command needs: operator, or admin for what changes keys, certificates, firmware or the network.

A command may be given in our words or in OCPP's, so the settings that hold keys are looked for in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bridge.compose.terms import ADMIN, OPERATOR

ADMIN_ACTIONS = frozenset({
    "CertificateSigned", "DeleteCertificate", "InstallCertificate", "PublishFirmware", "RotateKey", "SetNetworkProfile",
    "SignedUpdateFirmware", "UnpublishFirmware", "UpdateFirmware",
})  # fmt: skip
# settings by which a station proves itself, or finds us: OCPP 1.6 keys and variables of 2.x
ADMIN_SETTINGS = frozenset({
    "additionalrootcertificatecheck", "authorizationkey", "basicauthpassword", "certsigningrepeattimes",
    "certsigningwaitminimum", "cponame", "identity", "networkconfigurationpriority", "organizationname",
    "securityprofile",
})  # fmt: skip
ADMIN_COMPONENTS = frozenset({"networkconfiguration", "securityctrlr"})


def needed_role(name: str, params: Mapping[str, Any]) -> str:
    """``operator`` or ``admin`` for a command with these parameters, or an OCPP action with this payload."""
    if name in ADMIN_ACTIONS:
        return ADMIN
    if name in ("SetConfiguration", "ChangeConfiguration", "SetVariables") and any(map(_is_guarded, _named(params))):
        return ADMIN
    if name in ("Trigger", "TriggerMessage", "ExtendedTriggerMessage"):
        asked = str(params.get("message") or params.get("requestedMessage") or "")
        return ADMIN if asked.casefold().startswith("sign") else OPERATOR
    return OPERATOR


def _named(params: Mapping[str, Any]) -> Iterator[str]:
    yield str(params.get("key", ""))
    listed = params.get("setVariableData")
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, Mapping):
            component, variable = entry.get("component"), entry.get("variable")
            yield f"{_name(component)}.{_name(variable)}"


def _name(of: Any) -> str:
    return str(of.get("name", "")) if isinstance(of, Mapping) else ""


def _is_guarded(name: str) -> bool:
    component, _, variable = name.strip().casefold().rpartition(".")
    component = component.partition("/")[0].partition("@")[0]
    return variable.partition("/")[0] in ADMIN_SETTINGS or component in ADMIN_COMPONENTS
