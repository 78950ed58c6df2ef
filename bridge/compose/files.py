"""Composed commands about files: fetch logs, update the firmware. The addresses come from whoever asks.

Source: OCPP 1.6 sections 5.7 and 5.19 and its security whitepaper (GetLog, SignedUpdateFirmware); 2.0.1 part 2 blocks
L and N.
"""

from __future__ import annotations

from bridge.compose.terms import (
    ADMIN,
    CannotCompose,
    Composed,
    Given,
    Kind,
    Parameter,
    Said,
    Target,
    new_id,
    times,
    utc_text,
)

_LOGS = {"diagnostics": "DiagnosticsLog", "security": "SecurityLog"}
_RETRIES = Parameter("retries", "Retries", Kind.INTEGER, help="How often the station tries again.")
_REQUEST = Parameter("request_id", "Number", Kind.INTEGER, help="Random without it; the station's news repeat it.")


def _fetch_logs(to: Target, given: Given) -> Said:
    location, extra = given["location"], given.some(retries="retries")
    if to.is_16 and given["kind"] == "diagnostics":
        span = times(given, startTime="since", stopTime="until")
        return "GetDiagnostics", {"location": location} | span | extra
    log = {"remoteLocation": location} | times(given, oldestTimestamp="since", latestTimestamp="until")
    number = given["request_id"] or new_id()
    return "GetLog", {"log": log, "logType": _LOGS[given["kind"]], "requestId": number} | extra


def _update_firmware(to: Target, given: Given) -> Said:
    retrieve = utc_text(given["retrieve_at"] or to.now)
    signed = given.some(signingCertificate="signing_certificate", signature="signature")
    if len(signed) == 1:
        lacking = "signature" if "signature" not in signed else "signing_certificate"
        raise CannotCompose(
            f"UpdateFirmware: '{lacking}' is needed: signature and signing certificate go together", lacking
        )
    extra = given.some(retries="retries")
    if to.is_16 and not signed:
        return "UpdateFirmware", {"location": given["location"], "retrieveDate": retrieve} | extra
    firmware = {"location": given["location"], "retrieveDateTime": retrieve} | signed
    firmware |= times(given, installDateTime="install_at")
    action = "SignedUpdateFirmware" if to.is_16 else "UpdateFirmware"
    return action, {"requestId": given["request_id"] or new_id(), "firmware": firmware} | extra


COMMANDS = (
    Composed(
        "FetchLogs",
        "Fetch logs",
        "The station uploads its log to the address; charging goes on.",
        (
            Parameter("kind", "Log", Kind.CHOICE, tuple(_LOGS), "diagnostics"),
            Parameter("location", "Address of the upload", required=True, help="A URL that the station can reach."),
            Parameter("since", "From", Kind.TIME),
            Parameter("until", "To", Kind.TIME),
            _RETRIES,
            _REQUEST,
        ),
        _fetch_logs,
    ),
    Composed(
        "UpdateFirmware",
        "Update the firmware",
        "The station downloads and installs it and restarts, which may end sessions.",
        (
            Parameter("location", "Address of the image", required=True, help="A URL that the station can reach."),
            Parameter("retrieve_at", "Download at", Kind.TIME, help="Now without it."),
            Parameter("install_at", "Install at", Kind.TIME, help="OCPP 2.x, or a signed update; at once without it."),
            Parameter("signing_certificate", "Signing certificate", help="PEM; together with the signature."),
            Parameter("signature", "Signature", help="Base64."),
            _RETRIES,
            _REQUEST,
        ),
        _update_firmware,
        role=ADMIN,
    ),
)
