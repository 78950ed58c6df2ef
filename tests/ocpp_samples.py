"""A realistic message of every action of every version: what a charger says, and for our own calls what we ask and
what it answers. ``becomes`` names what must come of it: event types, or kinds of detail ("-" before one that is gone).
The tests say each of them, and the table in docs/ocpp.md is drawn from the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

Payload = dict[str, Any]
NOW = datetime.now(UTC).replace(microsecond=0)  # a message of another year is dated by our clock
AT = NOW.isoformat().replace("+00:00", "Z")


class Said(NamedTuple):
    """A charger's message."""

    payload: Payload
    becomes: tuple[str, ...]


class Asked(NamedTuple):
    """Our call and a charger's answer; ``becomes`` beside CommandAnswered, which every answer becomes."""

    payload: Payload
    answer: Payload
    becomes: tuple[str, ...] = ()


def _said(payload: Payload, *becomes: str) -> Said:
    return Said(payload, becomes)


def _asked(payload: Payload, answer: Payload | None = None, *becomes: str) -> Asked:
    return Asked(payload, {"status": "Accepted"} if answer is None else answer, becomes)


_HASHES = {"hashAlgorithm": "SHA256", "issuerNameHash": "a1" * 32, "issuerKeyHash": "b2" * 32, "serialNumber": "4711"}
_CSR = "-----BEGIN CERTIFICATE REQUEST-----\nMIIBVTCB\n-----END CERTIFICATE REQUEST-----\n"
_CARD = {"idToken": "04A2B9C17F21", "type": "ISO14443"}
_PERIODS = [{"startPeriod": 0, "limit": 16.0}, {"startPeriod": 3600, "limit": 32.0}]
_EVSE = {"name": "EVSE", "evse": {"id": 1}}
_SECURITY = _said({"type": "SettingSystemTime", "timestamp": AT, "techInfo": "NTP"}, "SecurityEventNotified")
_METER_16 = [{"timestamp": AT, "sampledValue": [{"value": "1500"}]}]
_METER_2 = [{"timestamp": AT, "sampledValue": [{"value": 1500.0}]}]
_SCHEDULE_16 = {"chargingRateUnit": "A", "chargingSchedulePeriod": _PERIODS}
_PROFILE_16 = {
    "chargingProfileId": 7, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
    "chargingProfileKind": "Relative", "chargingSchedule": _SCHEDULE_16,
}
_PROFILE_2 = {
    "id": 7, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Relative",
    "chargingSchedule": [{"id": 1} | _SCHEDULE_16],
}

FROM_16: dict[str, Said] = {
    "Authorize": _said({"idTag": "04A2B9C17F21"}, "TokenPresented"),
    "BootNotification": _said(
        {"chargePointVendor": "Acme", "chargePointModel": "Box", "chargePointSerialNumber": "SN1",
         "firmwareVersion": "1.2", "iccid": "8949", "imsi": "2620", "meterType": "EM340", "meterSerialNumber": "M1"},
        "StationBooted",
    ),
    "DataTransfer": _said({"vendorId": "Acme", "messageId": "m", "data": "d"}, "DataTransferred"),
    "DiagnosticsStatusNotification": _said({"status": "Uploading"}, "log"),
    "FirmwareStatusNotification": _said({"status": "Installing"}, "firmware"),
    "Heartbeat": _said({}, "StationSeen"),
    "LogStatusNotification": _said({"status": "Uploading", "requestId": 1}, "log"),
    "MeterValues": _said({"connectorId": 1, "meterValue": _METER_16}, "MeterSampled"),
    "SecurityEventNotification": _SECURITY,
    "SignCertificate": _said({"csr": _CSR}, "CertificateRequested"),
    "SignedFirmwareStatusNotification": _said({"status": "SignatureVerified", "requestId": 1}, "firmware"),
    "StartTransaction": _said(
        {"connectorId": 1, "idTag": "04A2B9C17F21", "meterStart": 0, "timestamp": AT, "reservationId": 5},
        "TransactionStarted", "-reservation",
    ),
    "StatusNotification": _said(
        {"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": AT}, "StatusChanged"
    ),
    "StopTransaction": _said(
        {"transactionId": 5, "meterStop": 9, "timestamp": AT, "idTag": "04A2B9C17F21", "transactionData": _METER_16},
        "MeterSampled", "TransactionEnded",
    ),
}  # fmt: skip

FROM_201: dict[str, Said] = {
    "Authorize": _said({"idToken": _CARD}, "TokenPresented"),
    "BootNotification": _said(
        {"reason": "PowerUp", "chargingStation": {
            "model": "Box", "vendorName": "Acme", "serialNumber": "SN1", "firmwareVersion": "1.2",
            "modem": {"iccid": "8949", "imsi": "2620"}}},
        "StationBooted",
    ),
    "ClearedChargingLimit": _said({"chargingLimitSource": "EMS", "evseId": 1}, "-limit"),
    "DataTransfer": _said({"vendorId": "Acme", "data": {"a": 1}}, "DataTransferred"),
    "FirmwareStatusNotification": _said({"status": "Installing", "requestId": 1}, "firmware"),
    "Get15118EVCertificate": _said(
        {"iso15118SchemaVersion": "urn:iso:15118:2:2013:MsgDef", "action": "Install", "exiRequest": "gJo="},
        "StationAsked",
    ),
    "GetCertificateStatus": _said(
        {"ocspRequestData": _HASHES | {"responderURL": "http://ocsp.example/"}}, "StationAsked"
    ),
    "Heartbeat": _said({}, "StationSeen"),
    "LogStatusNotification": _said({"status": "Uploading", "requestId": 1}, "log"),
    "MeterValues": _said({"evseId": 1, "meterValue": _METER_2}, "MeterSampled"),
    "NotifyChargingLimit": _said(
        {"evseId": 1, "chargingLimit": {"chargingLimitSource": "EMS", "isGridCritical": True},
         "chargingSchedule": [{"id": 1} | _SCHEDULE_16]},
        "limit",
    ),
    "NotifyCustomerInformation": _said(
        {"requestId": 1, "seqNo": 0, "generatedAt": AT, "data": "card 04A2B9C17F21", "tbc": True}, "customer"
    ),
    "NotifyDisplayMessages": _said(
        {"requestId": 1, "messageInfo": [{
            "id": 9, "priority": "InFront", "message": {"format": "UTF8", "content": "Hello"}}]},
        "message",
    ),
    "NotifyEVChargingNeeds": _said(
        {"evseId": 1, "chargingNeeds": {
            "requestedEnergyTransfer": "DC", "dcChargingParameters": {"evMaxCurrent": 200, "evMaxVoltage": 400}}},
        "needs",
    ),
    "NotifyEVChargingSchedule": _said(
        {"evseId": 1, "timeBase": AT, "chargingSchedule": {"id": 1} | _SCHEDULE_16}, "schedule"
    ),
    "NotifyEvent": _said(
        {"generatedAt": AT, "seqNo": 0, "eventData": [{
            "eventId": 1, "timestamp": AT, "trigger": "Alerting", "actualValue": "true", "cleared": False,
            "eventNotificationType": "HardWiredNotification", "component": {"name": "EVSE", "evse": {"id": 2}},
            "variable": {"name": "Problem"}}]},
        "DeviceEventNotified",
    ),
    "NotifyMonitoringReport": _said(
        {"requestId": 1, "seqNo": 0, "generatedAt": AT, "monitor": [{
            "component": _EVSE, "variable": {"name": "Power"}, "variableMonitoring": [
                {"id": 3, "transaction": False, "value": 22000, "type": "UpperThreshold", "severity": 4}]}]},
        "monitor",
    ),
    "NotifyReport": _said(
        {"requestId": 1, "generatedAt": AT, "seqNo": 0, "reportData": [{
            "component": _EVSE, "variable": {"name": "Power"},
            "variableAttribute": [{"value": "0", "mutability": "ReadOnly"}],
            "variableCharacteristics": {
                "dataType": "decimal", "unit": "W", "maxLimit": 22000, "supportsMonitoring": True}}]},
        "variable",
    ),
    "PublishFirmwareStatusNotification": _said(
        {"status": "Published", "location": ["http://lc.example/fw"], "requestId": 1}, "firmware"
    ),
    "ReportChargingProfiles": _said(
        {"requestId": 1, "chargingLimitSource": "CSO", "evseId": 1, "chargingProfile": [_PROFILE_2]}, "profile"
    ),
    "ReservationStatusUpdate": _said({"reservationId": 5, "reservationUpdateStatus": "Expired"}, "-reservation"),
    "SecurityEventNotification": _SECURITY,
    "SignCertificate": _said({"csr": _CSR, "certificateType": "V2GCertificate"}, "CertificateRequested"),
    "StatusNotification": _said(
        {"timestamp": AT, "connectorStatus": "Available", "evseId": 1, "connectorId": 1}, "StatusChanged"
    ),
    "TransactionEvent": _said(
        {"eventType": "Started", "timestamp": AT, "triggerReason": "Authorized", "seqNo": 0, "idToken": _CARD,
         "evse": {"id": 1, "connectorId": 1}, "reservationId": 5,
         "transactionInfo": {"transactionId": "T1", "chargingState": "Charging"}, "meterValue": _METER_2},
        "TransactionStarted", "TransactionUpdated", "MeterSampled", "-reservation",
    ),
}  # fmt: skip

_COST = {
    "totalCost": {"currency": "EUR", "typeOfCost": "NormalCost", "total": {"exclTax": 10.0, "inclTax": 11.9}},
    "totalUsage": {"energy": 20.0, "chargingTime": 1800, "idleTime": 0},
}
FROM_21: dict[str, Said] = FROM_201 | {
    "BatterySwap": _said(
        {"requestId": 1, "eventType": "BatteryIn", "idToken": _CARD,
         "batteryData": [{"evseId": 1, "serialNumber": "B1", "soC": 12.5, "soH": 93.0}]},
        "battery",
    ),
    "ClosePeriodicEventStream": _said({"id": 2}, "-stream"),
    "GetCertificateChainStatus": _said(
        {"certificateStatusRequests": [
            {"certificateHashData": _HASHES, "source": "OCSP", "urls": ["http://ocsp.example/"]}]},
        "StationAsked",
    ),
    "NotifyDERAlarm": _said(
        {"controlType": "HVMustTrip", "gridEventFault": "OverVoltage", "timestamp": AT}, "der"
    ),
    "NotifyDERStartStop": _said({"controlId": "c1", "started": True, "timestamp": AT}, "der"),
    "NotifyMonitoringReport": _said(
        {"requestId": 1, "seqNo": 0, "generatedAt": AT, "monitor": [{
            "component": _EVSE, "variable": {"name": "Power"}, "variableMonitoring": [
                {"id": 3, "transaction": False, "value": 22000, "type": "TargetDelta", "severity": 4,
                 "eventNotificationType": "CustomMonitor"}]}]},
        "monitor",
    ),
    "NotifyPeriodicEventStream": _said(
        {"id": 2, "pending": 0, "basetime": AT, "data": [{"t": 0.0, "v": "230.1"}, {"t": 0.5, "v": "230.4"}]},
        "StreamReported",
    ),
    "NotifyPriorityCharging": _said({"transactionId": "T1", "activated": True}, "PriorityChargingChanged"),
    "NotifySettlement": _said(
        {"pspRef": "psp-1", "transactionId": "T1", "status": "Settled", "settlementAmount": 11.9, "settlementTime": AT},
        "settlement",
    ),
    "OpenPeriodicEventStream": _said(
        {"constantStreamData": {"id": 2, "params": {"interval": 60}, "variableMonitoringId": 3}}, "stream"
    ),
    "PullDynamicScheduleUpdate": _said({"chargingProfileId": 7}, "StationAsked"),
    "ReportDERControl": _said(
        {"requestId": 1, "gradient": [{"id": "c1", "gradient": {"priority": 1, "gradient": 5, "softGradient": 5}}],
         "fixedPFInject": [{"id": "c2", "isDefault": True, "isSuperseded": False, "fixedPF": {
             "priority": 1, "displacement": 0.95, "excitation": True}}]},
        "der",
    ),
    "ReservationStatusUpdate": _said({"reservationId": 5, "reservationUpdateStatus": "NoTransaction"}, "-reservation"),
    "SignCertificate": _said(
        {"csr": _CSR, "certificateType": "V2G20Certificate", "requestId": 4}, "CertificateRequested"
    ),
    "TransactionEvent": _said(
        {"eventType": "Updated", "timestamp": AT, "triggerReason": "RunningCost", "seqNo": 2,
         "transactionInfo": {"transactionId": "T1", "operationMode": "CentralSetpoint", "tariffId": "day"},
         "meterValue": _METER_2, "costDetails": _COST},
        "TransactionUpdated", "MeterSampled", "CostReported",
    ),
    "VatNumberValidation": _said({"vatNumber": "DE123456789", "evseId": 1}, "StationAsked"),
}  # fmt: skip
FROM = {"ocpp1.6": FROM_16, "ocpp2.0.1": FROM_201, "ocpp2.1": FROM_21}

_LOG = {"logType": "DiagnosticsLog", "requestId": 1, "log": {"remoteLocation": "https://up.example/1"}}
_TRIGGER = {"requestedMessage": "Heartbeat"}
_DATA = _asked({"vendorId": "Acme"}, {"status": "Rejected"})
_DELETE = _asked({"certificateHashData": _HASHES}, None, "-certificate")

TO_16: dict[str, Asked] = {
    "CancelReservation": _asked({"reservationId": 5}, None, "-reservation"),
    "CertificateSigned": _asked({"certificateChain": "PEM"}),
    "ChangeAvailability": _asked({"connectorId": 0, "type": "Operative"}),
    "ChangeConfiguration": _asked({"key": "HeartbeatInterval", "value": "300"}, None, "variable"),
    "ClearCache": _asked({}),
    "ClearChargingProfile": _asked({"id": 7}, None, "-profile"),
    "DataTransfer": _DATA,
    "DeleteCertificate": _DELETE,
    "ExtendedTriggerMessage": _asked(_TRIGGER),
    "GetCompositeSchedule": _asked(
        {"connectorId": 1, "duration": 3600},
        {"status": "Accepted", "connectorId": 1, "scheduleStart": AT, "chargingSchedule": _SCHEDULE_16},
        "schedule",
    ),
    "GetConfiguration": _asked(
        {"key": ["HeartbeatInterval", "Nonsense"]},
        {"configurationKey": [{"key": "HeartbeatInterval", "readonly": False, "value": "300"}],
         "unknownKey": ["Nonsense"]},
        "variable", "-variable",
    ),
    "GetDiagnostics": _asked({"location": "https://up.example/1"}, {"fileName": "d.zip"}, "log"),
    "GetInstalledCertificateIds": _asked(
        {"certificateType": "CentralSystemRootCertificate"},
        {"status": "Accepted", "certificateHashData": [_HASHES]},
        "-certificate", "certificate",
    ),
    "GetLocalListVersion": _asked({}, {"listVersion": 3}, "list"),
    "GetLog": _asked(_LOG, {"status": "Accepted", "filename": "l.zip"}, "log"),
    "InstallCertificate": _asked({"certificateType": "CentralSystemRootCertificate", "certificate": "PEM"}),
    "RemoteStartTransaction": _asked({"idTag": "C", "chargingProfile": _PROFILE_16}, None, "profile"),
    "RemoteStopTransaction": _asked({"transactionId": 5}),
    "ReserveNow": _asked(
        {"connectorId": 1, "expiryDate": AT, "idTag": "C", "reservationId": 5}, None, "reservation"
    ),
    "Reset": _asked({"type": "Soft"}),
    "SendLocalList": _asked(
        {"listVersion": 4, "updateType": "Full", "localAuthorizationList": [{"idTag": "C"}]}, None, "list", "list"
    ),
    "SetChargingProfile": _asked({"connectorId": 1, "csChargingProfiles": _PROFILE_16}, None, "profile"),
    "SignedUpdateFirmware": _asked(
        {"requestId": 1, "firmware": {"location": "https://fw.example/1", "retrieveDateTime": AT,
                                      "signingCertificate": "PEM", "signature": "c2ln"}},
        None, "firmware",
    ),
    "TriggerMessage": _asked(_TRIGGER),
    "UnlockConnector": _asked({"connectorId": 1}, {"status": "Unlocked"}),
    "UpdateFirmware": _asked({"location": "https://fw.example/1", "retrieveDate": AT}, {}, "firmware"),
}  # fmt: skip

_VARIABLE = {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
_MONITOR = {"type": "UpperThreshold", "severity": 4, "component": _EVSE, "variable": {"name": "Power"}}
TO_201: dict[str, Asked] = {
    "CancelReservation": TO_16["CancelReservation"],
    "CertificateSigned": TO_16["CertificateSigned"],
    "ChangeAvailability": _asked({"operationalStatus": "Operative", "evse": {"id": 1}}),
    "ClearCache": _asked({}),
    "ClearChargingProfile": _asked({"chargingProfileId": 7}, None, "-profile"),
    "ClearDisplayMessage": _asked({"id": 9}, None, "-message"),
    "ClearVariableMonitoring": _asked(
        {"id": [3, 4]},
        {"clearMonitoringResult": [{"status": "Accepted", "id": 3}, {"status": "Rejected", "id": 4}]},
        "-monitor",
    ),
    "CostUpdated": _asked({"totalCost": 1.5, "transactionId": "T1"}, {}),
    "CustomerInformation": _asked({"requestId": 1, "report": True, "clear": False, "customerIdentifier": "x"}),
    "DataTransfer": _DATA,
    "DeleteCertificate": _DELETE,
    "GetBaseReport": _asked({"requestId": 1, "reportBase": "FullInventory"}),
    "GetChargingProfiles": _asked({"requestId": 1, "chargingProfile": {}}),
    "GetCompositeSchedule": _asked(
        {"evseId": 1, "duration": 3600},
        {"status": "Accepted", "schedule": {"evseId": 1, "duration": 3600, "scheduleStart": AT} | _SCHEDULE_16},
        "schedule",
    ),
    "GetDisplayMessages": _asked({"requestId": 1}),
    "GetInstalledCertificateIds": _asked(
        {},
        {"status": "Accepted", "certificateHashDataChain": [
            {"certificateType": "CSMSRootCertificate", "certificateHashData": _HASHES}]},
        "-certificate", "certificate",
    ),
    "GetLocalListVersion": _asked({}, {"versionNumber": 3}, "list"),
    "GetLog": _asked(_LOG, {"status": "Accepted", "filename": "l.zip"}, "log"),
    "GetMonitoringReport": _asked({"requestId": 1}),
    "GetReport": _asked({"requestId": 1}),
    "GetTransactionStatus": _asked({"transactionId": "T1"}, {"messagesInQueue": False, "ongoingIndicator": True}),
    "GetVariables": _asked(
        {"getVariableData": [_VARIABLE]},
        {"getVariableResult": [_VARIABLE | {"attributeStatus": "Accepted", "attributeValue": "300"}]},
        "variable",
    ),
    "InstallCertificate": _asked({"certificateType": "CSMSRootCertificate", "certificate": "PEM"}),
    "PublishFirmware": _asked(
        {"location": "https://fw.example/1", "checksum": "0" * 32, "requestId": 1}, None, "firmware"
    ),
    "RequestStartTransaction": _asked(
        {"idToken": _CARD, "remoteStartId": 1, "evseId": 1, "chargingProfile": _PROFILE_2}, None, "profile"
    ),
    "RequestStopTransaction": _asked({"transactionId": "T1"}),
    "ReserveNow": _asked({"id": 5, "expiryDateTime": AT, "idToken": _CARD, "evseId": 1}, None, "reservation"),
    "Reset": _asked({"type": "OnIdle"}),
    "SendLocalList": _asked(
        {"versionNumber": 4, "updateType": "Full", "localAuthorizationList": [{"idToken": _CARD}]},
        None, "list", "list",
    ),
    "SetChargingProfile": _asked({"evseId": 1, "chargingProfile": _PROFILE_2}, None, "profile"),
    "SetDisplayMessage": _asked(
        {"message": {"id": 9, "priority": "InFront", "message": {"format": "UTF8", "content": "Hello"}}},
        None, "message",
    ),
    "SetMonitoringBase": _asked({"monitoringBase": "All"}),
    "SetMonitoringLevel": _asked({"severity": 4}),
    "SetNetworkProfile": _asked({"configurationSlot": 1, "connectionData": {
        "ocppVersion": "OCPP20", "ocppTransport": "JSON", "ocppCsmsUrl": "wss://cs.example/ocpp",
        "messageTimeout": 30, "securityProfile": 2, "ocppInterface": "Wired0"}}),
    "SetVariableMonitoring": _asked(
        {"setMonitoringData": [_MONITOR | {"value": 22000}]},
        {"setMonitoringResult": [_MONITOR | {"id": 3, "status": "Accepted"}]},
        "monitor",
    ),
    "SetVariables": _asked(
        {"setVariableData": [_VARIABLE | {"attributeValue": "300"}]},
        {"setVariableResult": [_VARIABLE | {"attributeStatus": "Accepted"}]},
        "variable",
    ),
    "TriggerMessage": _asked(_TRIGGER),
    "UnlockConnector": _asked({"evseId": 1, "connectorId": 1}, {"status": "Unlocked"}),
    "UnpublishFirmware": _asked({"checksum": "0" * 32}, {"status": "Unpublished"}, "-firmware"),
    "UpdateFirmware": _asked(
        {"requestId": 1, "firmware": {"location": "https://fw.example/1", "retrieveDateTime": AT}}, None, "firmware"
    ),
}  # fmt: skip

_TARIFF = {"tariffId": "day", "currency": "EUR", "energy": {"prices": [{"priceKwh": 0.5}]}}
TO_21: dict[str, Asked] = TO_201 | {
    "AFRRSignal": _asked({"timestamp": AT, "signal": 5}),
    "AdjustPeriodicEventStream": _asked({"id": 2, "params": {"interval": 30}}, None, "stream"),
    "ChangeTransactionTariff": _asked({"transactionId": "T1", "tariff": _TARIFF}, None, "tariff"),
    "ClearDERControl": _asked({"isDefault": False, "controlId": "c1"}, None, "-der"),
    "ClearTariffs": _asked(
        {"tariffIds": ["day"]}, {"clearTariffsResult": [{"status": "Accepted", "tariffId": "day"}]}, "-tariff"
    ),
    "GetDERControl": _asked({"requestId": 1}),
    "GetPeriodicEventStream": _asked(
        {},
        {"constantStreamData": [{"id": 2, "params": {"interval": 60}, "variableMonitoringId": 3}]},
        "-stream", "stream",
    ),
    "GetTariffs": _asked(
        {"evseId": 1},
        {"status": "Accepted", "tariffAssignments": [{"tariffId": "day", "tariffKind": "DefaultTariff"}]},
        "tariff",
    ),
    "NotifyAllowedEnergyTransfer": _asked({"transactionId": "T1", "allowedEnergyTransfer": ["DC"]}),
    "NotifyWebPaymentStarted": _asked({"evseId": 1, "timeout": 60}, {}),
    "RequestBatterySwap": _asked({"idToken": _CARD, "requestId": 1}),
    "SetDERControl": _asked(
        {"isDefault": False, "controlId": "c1", "controlType": "Gradients",
         "gradient": {"priority": 1, "gradient": 5, "softGradient": 5}},
        {"status": "Accepted", "supersededIds": ["c0"]},
        "der", "der",
    ),
    "SetDefaultTariff": _asked({"evseId": 0, "tariff": _TARIFF}, None, "tariff"),
    "UpdateDynamicSchedule": _asked({"chargingProfileId": 7, "scheduleUpdate": {"limit": 16.0}}, None, "schedule"),
    "UsePriorityCharging": _asked({"transactionId": "T1", "activate": True}),
}  # fmt: skip
TO = {"ocpp1.6": TO_16, "ocpp2.0.1": TO_201, "ocpp2.1": TO_21}
