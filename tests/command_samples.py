"""One believable call of each command that a server may send, by version: what is asked, answered and said after it."""

from __future__ import annotations

from typing import Any, NamedTuple


class Sample(NamedTuple):
    """``answer``: parts of the answer that must come; ``follows``: what the charger then says, in that order."""

    action: str
    payload: dict[str, Any]
    answer: dict[str, Any]
    follows: tuple[str, ...] = ()


LATER = "2099-01-01T00:00:00Z"
_OK = {"status": "Accepted"}
_PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
_HASH = {"hashAlgorithm": "SHA256", "issuerNameHash": "aa", "issuerKeyHash": "bb", "serialNumber": "01"}
_PERIODS = [{"startPeriod": 0, "limit": 16.0, "numberPhases": 3}, {"startPeriod": 3600, "limit": 8.5}]
_LOG = {"remoteLocation": "https://logs.example/up", "oldestTimestamp": "2026-01-01T00:00:00Z"}
_UPDATE = {
    "location": "https://fw.example/1.1.bin",
    "retrieveDateTime": LATER,
    "signingCertificate": _PEM,
    "signature": "c2ln",
}
_PROFILE_16 = {
    "chargingProfileId": 1,
    "stackLevel": 0,
    "chargingProfilePurpose": "TxDefaultProfile",
    "chargingProfileKind": "Absolute",
    "chargingSchedule": {
        "startSchedule": LATER, "duration": 86400, "chargingRateUnit": "A", "chargingSchedulePeriod": _PERIODS
    },
}  # fmt: skip

_OF_16 = (
    Sample("ChangeAvailability", {"connectorId": 2, "type": "Inoperative"}, _OK, ("StatusNotification",)),
    Sample("ChangeAvailability", {"connectorId": 2, "type": "Operative"}, _OK, ("StatusNotification",)),
    Sample("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "60"}, _OK),
    Sample("ChangeConfiguration", {"key": "Nonsense", "value": "1"}, {"status": "NotSupported"}),
    Sample(
        "GetConfiguration",
        {"key": ["HeartbeatInterval", "Nonsense"]},
        {
            "configurationKey": [{"key": "HeartbeatInterval", "readonly": False, "value": "60"}],
            "unknownKey": ["Nonsense"],
        },
    ),
    Sample("GetConfiguration", {}, {}),
    Sample("ClearCache", {}, _OK),
    Sample("DataTransfer", {"vendorId": "com.example", "messageId": "ping", "data": "{}"}, _OK | {"data": "pong"}),
    Sample("GetLocalListVersion", {}, {"listVersion": 0}),
    Sample(
        "SendLocalList",
        {
            "listVersion": 3,
            "updateType": "Full",
            "localAuthorizationList": [
                {"idTag": "CARD-A", "idTagInfo": {"status": "Accepted", "expiryDate": LATER, "parentIdTag": "FLEET"}},
                {"idTag": "CARD-B", "idTagInfo": {"status": "Blocked"}},
            ],
        },
        _OK,
    ),
    Sample("GetLocalListVersion", {}, {"listVersion": 3}),
    Sample(
        "GetDiagnostics",
        {"location": "https://logs.example/up", "retries": 2, "startTime": "2026-01-01T00:00:00Z"},
        {"fileName": "diagnostics.zip"},
        ("DiagnosticsStatusNotification",) * 2,
    ),
    Sample(
        "UpdateFirmware",
        {"location": "https://fw.example/1.1.bin", "retrieveDate": LATER, "retries": 1},
        {},
        ("FirmwareStatusNotification",) * 4,
    ),
    Sample("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": _PROFILE_16}, _OK),
    Sample("GetCompositeSchedule", {"connectorId": 1, "duration": 3600, "chargingRateUnit": "A"}, _OK),
    Sample("ClearChargingProfile", {"id": 1, "connectorId": 1, "stackLevel": 0}, _OK),
    Sample(
        "ReserveNow",
        {"connectorId": 2, "expiryDate": LATER, "idTag": "CARD-A", "reservationId": 9},
        _OK,
        ("StatusNotification",),
    ),
    Sample("CancelReservation", {"reservationId": 9}, _OK),
    Sample("UnlockConnector", {"connectorId": 1}, {"status": "Unlocked"}),
    Sample(
        "GetLog", {"logType": "SecurityLog", "requestId": 5, "log": _LOG}, _OK | {"filename": "security.log"},
        ("LogStatusNotification",) * 2,
    ),
    Sample("ExtendedTriggerMessage", {"requestedMessage": "Heartbeat"}, _OK, ("Heartbeat",)),
    Sample(
        "SignedUpdateFirmware",
        {"requestId": 6, "firmware": _UPDATE},
        _OK,
        ("SignedFirmwareStatusNotification",) * 3,
    ),
    Sample("InstallCertificate", {"certificateType": "CentralSystemRootCertificate", "certificate": _PEM}, _OK),
    Sample("GetInstalledCertificateIds", {"certificateType": "CentralSystemRootCertificate"}, _OK),
    Sample("DeleteCertificate", {"certificateHashData": _HASH}, _OK),
    Sample("CertificateSigned", {"certificateChain": _PEM}, _OK),
)  # fmt: skip

_HEARTBEAT = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
_NONSENSE = {"component": {"name": "Nonsense"}, "variable": {"name": "Nothing"}}
_POWER = {"component": {"name": "EVSE", "evse": {"id": 1}}, "variable": {"name": "Power"}}
_TOKEN = {"idToken": "CARD-A", "type": "ISO14443"}
_SCHEDULE = {"id": 1, "startSchedule": LATER, "chargingRateUnit": "A", "chargingSchedulePeriod": _PERIODS}
_PROFILE_2 = {
    "id": 1,
    "stackLevel": 0,
    "chargingProfilePurpose": "TxDefaultProfile",
    "chargingProfileKind": "Absolute",
    "chargingSchedule": [_SCHEDULE],
}
_WELCOME = {
    "id": 1, "priority": "NormalCycle", "message": {"format": "UTF8", "content": "Welcome", "language": "en"}
}  # fmt: skip
_MONITOR = {"value": 30000.0, "type": "UpperThreshold", "severity": 3} | _POWER
_NETWORK = {
    "ocppVersion": "OCPP20",
    "ocppTransport": "JSON",
    "ocppCsmsUrl": "wss://csms.example/ocpp",
    "messageTimeout": 30,
    "securityProfile": 2,
    "ocppInterface": "Wired0",
}

_OF_2 = (
    Sample(
        "ChangeAvailability",
        {"operationalStatus": "Inoperative", "evse": {"id": 2, "connectorId": 1}},
        _OK,
        ("StatusNotification",),
    ),
    Sample("ChangeAvailability", {"operationalStatus": "Operative", "evse": {"id": 2}}, _OK, ("StatusNotification",)),
    Sample("SetVariables", {"setVariableData": [_HEARTBEAT | {"attributeValue": "60"}]}, {}),
    Sample(
        "GetVariables",
        {"getVariableData": [_HEARTBEAT, _NONSENSE]},
        {
            "getVariableResult": [
                _HEARTBEAT | {"attributeStatus": "Accepted", "attributeValue": "60"},
                _NONSENSE | {"attributeStatus": "UnknownVariable"},
            ]
        },
    ),
    Sample("GetBaseReport", {"requestId": 1, "reportBase": "SummaryInventory"}, _OK, ("NotifyReport",) * 3),
    Sample(
        "GetReport",
        {"requestId": 2, "componentCriteria": ["Problem"], "componentVariable": [_POWER]},
        _OK,
        ("NotifyReport",) * 3,
    ),
    Sample("SetMonitoringBase", {"monitoringBase": "All"}, _OK),
    Sample("SetMonitoringLevel", {"severity": 4}, _OK),
    Sample("SetVariableMonitoring", {"setMonitoringData": [_MONITOR]}, {}),
    Sample("GetMonitoringReport", {"requestId": 3, "componentVariable": [_POWER]}, _OK, ("NotifyMonitoringReport",)),
    Sample("ClearVariableMonitoring", {"id": [1]}, {"clearMonitoringResult": [{"id": 1, "status": "Accepted"}]}),
    Sample("ClearCache", {}, _OK),
    Sample("DataTransfer", {"vendorId": "com.example", "messageId": "ping", "data": "{}"}, _OK | {"data": "pong"}),
    Sample("GetLocalListVersion", {}, {"versionNumber": 0}),
    Sample(
        "SendLocalList",
        {
            "versionNumber": 3,
            "updateType": "Full",
            "localAuthorizationList": [{"idToken": _TOKEN, "idTokenInfo": {"status": "Accepted"}}],
        },
        _OK,
    ),
    Sample("GetLocalListVersion", {}, {"versionNumber": 3}),
    Sample(
        "GetLog", {"logType": "DiagnosticsLog", "requestId": 5, "log": _LOG}, _OK | {"filename": "diagnostics.zip"},
        ("LogStatusNotification",) * 2,
    ),
    Sample("UpdateFirmware", {"requestId": 6, "firmware": _UPDATE}, _OK, ("FirmwareStatusNotification",) * 4),
    Sample(
        "PublishFirmware",
        {"location": "https://fw.example/1.1.bin", "checksum": "d41d8cd98f00b204e9800998ecf8427e", "requestId": 7},
        _OK,
        ("PublishFirmwareStatusNotification",) * 3,
    ),
    Sample("UnpublishFirmware", {"checksum": "d41d8cd98f00b204e9800998ecf8427e"}, {"status": "Unpublished"}),
    Sample("SetChargingProfile", {"evseId": 1, "chargingProfile": _PROFILE_2}, _OK),
    Sample(
        "GetChargingProfiles",
        {"requestId": 8, "evseId": 1, "chargingProfile": {"chargingProfilePurpose": "TxDefaultProfile"}},
        _OK,
        ("ReportChargingProfiles",),
    ),
    Sample("GetCompositeSchedule", {"duration": 3600, "chargingRateUnit": "A", "evseId": 1}, _OK),
    Sample("ClearChargingProfile", {"chargingProfileId": 1}, _OK),
    Sample(
        "ReserveNow", {"id": 9, "expiryDateTime": LATER, "idToken": _TOKEN, "evseId": 2}, _OK, ("StatusNotification",)
    ),
    Sample("CancelReservation", {"reservationId": 9}, _OK),
    Sample("UnlockConnector", {"evseId": 1, "connectorId": 1}, {"status": "Unlocked"}),
    Sample("GetTransactionStatus", {}, {"messagesInQueue": False}),
    Sample("CostUpdated", {"totalCost": 3.5, "transactionId": "T-1"}, {}),
    Sample(
        "CustomerInformation",
        {"requestId": 10, "report": True, "clear": False, "idToken": _TOKEN},
        _OK,
        ("NotifyCustomerInformation",) * 2,
    ),
    Sample("SetDisplayMessage", {"message": _WELCOME}, _OK),
    Sample("GetDisplayMessages", {"requestId": 11}, _OK, ("NotifyDisplayMessages",)),
    Sample("ClearDisplayMessage", {"id": 1}, _OK),
    Sample("SetNetworkProfile", {"configurationSlot": 2, "connectionData": _NETWORK}, _OK),
    Sample("InstallCertificate", {"certificateType": "CSMSRootCertificate", "certificate": _PEM}, _OK),
    Sample("GetInstalledCertificateIds", {"certificateType": ["CSMSRootCertificate"]}, _OK),
    Sample("DeleteCertificate", {"certificateHashData": _HASH}, _OK),
    Sample("CertificateSigned", {"certificateChain": _PEM, "certificateType": "ChargingStationCertificate"}, _OK),
)  # fmt: skip

COMMANDS = {"ocpp1.6": _OF_16, "ocpp2.0.1": _OF_2, "ocpp2.1": _OF_2}
