"use strict";
// The life of an OCPP 2.0.1 or 2.1 charging station: what it says of its own accord, and how it answers.

const { randomUUID } = require("node:crypto");

const now = () => new Date().toISOString();
const accept = () => ({ status: "Accepted" });

function status(charger, evseId, connectorStatus) {
  return charger.call("StatusNotification", { timestamp: now(), connectorStatus, evseId, connectorId: 1 });
}

function register(charger, reason) {
  return charger.call("BootNotification", {
    reason,
    chargingStation: { vendorName: "Acme", model: "Rpc-2", serialNumber: "SN-0002", firmwareVersion: "2.0.0" },
  });
}

async function boot(charger, reason) {
  const answer = await register(charger, reason);
  charger.expect(answer.status === "Accepted", `booted as ${answer.status}`);
  charger.expect(Math.abs(new Date(answer.currentTime) - Date.now()) < 60_000, `told the time ${answer.currentTime}`);
  for (const evseId of [1, 2]) await status(charger, evseId, "Available");
}

function sampled(wh, context) {
  const sample = (measurand, unit, value, more) => ({ value, measurand, unitOfMeasure: { unit }, context, ...more });
  return {
    timestamp: now(),
    sampledValue: [
      // in kWh by its multiplier: the register in Wh would be the easy way
      { ...sample("Energy.Active.Import.Register", "Wh", wh / 1000), unitOfMeasure: { unit: "Wh", multiplier: 3 } },
      sample("Power.Active.Import", "W", 7360),
      ...["L1", "L2", "L3"].map((phase) => sample("Current.Import", "A", 10.7, { phase })),
      sample("SoC", "Percent", 54, { location: "EV" }),
    ],
  };
}

// One TransactionEvent; `more` are further fields of the request, `info` of its transactionInfo.
async function event(charger, transaction, eventType, triggerReason, info, more = {}) {
  const answer = await charger.call("TransactionEvent", {
    eventType,
    timestamp: now(),
    triggerReason,
    seqNo: transaction.seqNo++,
    ...(charger.isOffline ? { offline: true } : {}),
    transactionInfo: { transactionId: transaction.id, ...info },
    evse: { id: transaction.evseId, connectorId: 1 },
    ...more,
  });
  if (more.idToken) {
    charger.expect(answer.idTokenInfo?.status === "Accepted", `${eventType} was answered ${JSON.stringify(answer)}`);
  }
}

async function begin(charger, evseId, idToken, remoteStartId) {
  const transaction = { id: randomUUID(), evseId, seqNo: 0, idToken: { idToken, type: "ISO14443" } };
  charger.transactions.set(transaction.id, transaction);
  const meterValue = [sampled(charger.registerWh[evseId], "Transaction.Begin")];
  const token = { idToken: transaction.idToken };
  await status(charger, evseId, "Occupied");
  if (remoteStartId === undefined) {
    const connected = { chargingState: "EVConnected" };
    await event(charger, transaction, "Started", "CablePluggedIn", connected, { meterValue });
    await event(charger, transaction, "Updated", "Authorized", connected, token);
  } else {
    await event(charger, transaction, "Started", "RemoteStart", { remoteStartId }, { ...token, meterValue });
  }
  await event(charger, transaction, "Updated", "ChargingStateChanged", { chargingState: "Charging" });
  return transaction;
}

async function sample(charger, transaction, wh) {
  charger.registerWh[transaction.evseId] += wh;
  const meterValue = [sampled(charger.registerWh[transaction.evseId], "Sample.Periodic")];
  await event(charger, transaction, "Updated", "MeterValuePeriodic", { chargingState: "Charging" }, { meterValue });
}

const REASONS = { Local: "StopAuthorized", Remote: "RemoteStop", EVDisconnected: "EVCommunicationLost" };

async function end(charger, transaction, stoppedReason) {
  charger.transactions.delete(transaction.id);
  const meterValue = [sampled(charger.registerWh[transaction.evseId], "Transaction.End")];
  const info = { stoppedReason, chargingState: "Idle" };
  const token = stoppedReason === "Local" ? { idToken: transaction.idToken } : {};
  await event(charger, transaction, "Ended", REASONS[stoppedReason], info, { meterValue, ...token });
  await status(charger, transaction.evseId, "Available");
}

const HEATSINK = { component: { name: "Controller", evse: { id: 2 } }, variable: { name: "Problem" } };

async function live(charger) {
  await charger.call("Heartbeat", {});
  const known = await charger.call("Authorize", { idToken: { idToken: charger.card, type: "ISO14443" } });
  charger.expect(known.idTokenInfo.status === "Accepted", `its card is ${known.idTokenInfo.status}`);
  const stranger = await charger.call("Authorize", { idToken: { idToken: "STRANGER", type: "ISO14443" } });
  charger.expect(stranger.idTokenInfo.status === "Unknown", `a stranger's card is ${stranger.idTokenInfo.status}`);
  await charger.call("SecurityEventNotification", { type: "StartupOfTheDevice", timestamp: now(), techInfo: "cold" });
  await charger.call("FirmwareStatusNotification", { status: "Installed", requestId: 1 });
  await charger.call("LogStatusNotification", { status: "Idle" });
  await charger.call("DataTransfer", { vendorId: "com.example", messageId: "tilt", data: { angle: 3 } });
  await charger.tryCall("SignCertificate", { csr: "-----BEGIN CERTIFICATE REQUEST-----" });
  await charger.call("MeterValues", { evseId: 0, meterValue: [sampled(6000, "Sample.Clock")] });
  const happened = { eventId: 1, timestamp: now(), trigger: "Alerting", eventNotificationType: "HardWiredNotification" };
  const eventData = [{ ...happened, ...HEATSINK, actualValue: "true", techCode: "E17" }];
  await charger.call("NotifyEvent", { generatedAt: now(), seqNo: 0, tbc: false, eventData });
  const chargingLimit = { chargingLimitSource: "EMS", isGridCritical: false };
  await charger.call("NotifyChargingLimit", { evseId: 1, chargingLimit });
  await charger.call("ClearedChargingLimit", { chargingLimitSource: "EMS", evseId: 1 });
  await charger.call("ReservationStatusUpdate", { reservationId: 9, reservationUpdateStatus: "Expired" });
  const transaction = await begin(charger, 1, charger.card);
  for (const wh of [150, 150]) await sample(charger, transaction, wh);
  await event(charger, transaction, "Updated", "ChargingStateChanged", { chargingState: "SuspendedEV" });
  charger.registerWh[1] += 120;
  await end(charger, transaction, "EVDisconnected");
}

const TRIGGERED = {
  BootNotification: (charger) => boot(charger, "Triggered"),
  FirmwareStatusNotification: (charger) => charger.call("FirmwareStatusNotification", { status: "Idle" }),
  Heartbeat: (charger) => charger.call("Heartbeat", {}),
  LogStatusNotification: (charger) => charger.call("LogStatusNotification", { status: "Idle" }),
  MeterValues: (charger, { evse }) =>
    charger.call("MeterValues", { evseId: evse.id, meterValue: [sampled(charger.registerWh[evse.id], "Trigger")] }),
  StatusNotification: (charger, { evse }) => status(charger, evse.id, "Available"),
};

// Parts of a report, the last of which says that nothing follows.
function inParts(charger, action, requestId, parts, more = {}) {
  charger.later(async () => {
    for (const [seqNo, part] of parts.entries()) {
      await charger.call(action, { requestId, seqNo, generatedAt: now(), tbc: seqNo < parts.length - 1, ...part, ...more });
    }
  });
}

function inTurn(charger, action, payloads) {
  charger.later(async () => {
    for (const payload of payloads) await charger.call(action, payload);
  });
}

const VARIABLES = [
  [{ name: "OCPPCommCtrlr" }, { name: "HeartbeatInterval" }, "300"],
  [{ name: "EVSE", evse: { id: 1 } }, { name: "Power" }, "22000"],
  [{ name: "Connector", evse: { id: 1, connectorId: 1 } }, { name: "ConnectorType" }, "cType2"],
].map(([component, variable, value]) => ({ component, variable, value }));

const reported = ({ component, variable, value }) => ({
  component,
  variable,
  variableAttribute: [{ type: "Actual", value, mutability: "ReadWrite" }],
  variableCharacteristics: { dataType: "string", supportsMonitoring: false },
});

function report(charger, { requestId }) {
  inParts(charger, "NotifyReport", requestId, VARIABLES.map((variable) => ({ reportData: [reported(variable)] })));
  return accept();
}

const variableOf = (wanted) =>
  VARIABLES.find((one) => one.component.name === wanted.component.name && one.variable.name === wanted.variable.name);

const HASH = { hashAlgorithm: "SHA256", issuerNameHash: "aa", issuerKeyHash: "bb", serialNumber: "01" };
const SCHEDULE = { chargingRateUnit: "A", chargingSchedulePeriod: [{ startPeriod: 0, limit: 16 }] };
const PROFILE = { id: 1, stackLevel: 0, chargingProfilePurpose: "TxDefaultProfile", chargingProfileKind: "Relative" };
const MONITOR = { id: 1, transaction: false, value: 90, type: "UpperThreshold", severity: 3 };

const ANSWERS = {
  CancelReservation: accept,
  CertificateSigned: accept,
  ChangeAvailability(charger, { operationalStatus, evse }) {
    charger.later(() => status(charger, evse.id, operationalStatus === "Operative" ? "Available" : "Unavailable"));
    return accept();
  },
  ClearCache: accept,
  ClearChargingProfile: accept,
  ClearDisplayMessage: accept,
  ClearVariableMonitoring: (charger, { id }) => ({
    clearMonitoringResult: id.map((one) => ({ id: one, status: "Accepted" })),
  }),
  CostUpdated: () => ({}),
  CustomerInformation(charger, { requestId }) {
    inParts(charger, "NotifyCustomerInformation", requestId, [{ data: "card 1" }, { data: "card 2" }]);
    return accept();
  },
  DataTransfer: () => ({ status: "Accepted", data: "pong" }),
  DeleteCertificate: accept,
  GetBaseReport: report,
  GetChargingProfiles(charger, { requestId }) {
    const chargingProfile = [{ ...PROFILE, chargingSchedule: [{ id: 1, ...SCHEDULE }] }];
    const payload = { requestId, chargingLimitSource: "CSO", evseId: 1, tbc: false, chargingProfile };
    inTurn(charger, "ReportChargingProfiles", [payload]);
    return accept();
  },
  GetCompositeSchedule: (charger, { evseId, duration }) => ({
    status: "Accepted",
    schedule: { evseId, duration, scheduleStart: now(), ...SCHEDULE },
  }),
  GetDisplayMessages(charger, { requestId }) {
    const message = { format: "UTF8", content: "Welcome", language: "en" };
    const messageInfo = [{ id: 1, priority: "NormalCycle", message }];
    inTurn(charger, "NotifyDisplayMessages", [{ requestId, tbc: false, messageInfo }]);
    return accept();
  },
  GetInstalledCertificateIds: () => ({
    status: "Accepted",
    certificateHashDataChain: [{ certificateType: "CSMSRootCertificate", certificateHashData: HASH }],
  }),
  GetLocalListVersion: (charger) => ({ versionNumber: charger.listVersion ?? 0 }),
  GetLog(charger, { requestId }) {
    inTurn(charger, "LogStatusNotification", ["Uploading", "Uploaded"].map((word) => ({ status: word, requestId })));
    return { status: "Accepted", filename: "diagnostics.zip" };
  },
  GetMonitoringReport(charger, { requestId }) {
    const { component, variable } = VARIABLES[1];
    // 2.1 wants to know where a monitor comes from, which 2.0.1 does not know of
    const monitor = charger.client.protocol === "ocpp2.1" ? { ...MONITOR, eventNotificationType: "CustomMonitor" } : MONITOR;
    inParts(charger, "NotifyMonitoringReport", requestId, [{ monitor: [{ component, variable, variableMonitoring: [monitor] }] }]);
    return accept();
  },
  GetReport: report,
  GetTransactionStatus: () => ({ messagesInQueue: false }),
  GetVariables: (charger, { getVariableData }) => ({
    getVariableResult: getVariableData.map(({ component, variable }) => {
      const value = variableOf({ component, variable })?.value;
      const found = value === undefined ? { attributeStatus: "UnknownVariable" } : { attributeValue: value };
      return { component, variable, attributeStatus: "Accepted", ...found };
    }),
  }),
  InstallCertificate: accept,
  PublishFirmware(charger, { requestId }) {
    const words = ["Downloading", "Downloaded"].map((word) => ({ status: word, requestId }));
    const published = { status: "Published", requestId, location: ["http://192.168.0.2/fw"] };
    inTurn(charger, "PublishFirmwareStatusNotification", [...words, published]);
    return accept();
  },
  RequestStartTransaction(charger, { evseId = 1, idToken, remoteStartId }) {
    charger.later(async () => sample(charger, await begin(charger, evseId, idToken.idToken, remoteStartId), 200));
    return accept();
  },
  RequestStopTransaction(charger, { transactionId }) {
    const transaction = charger.transactions.get(transactionId);
    if (transaction) charger.later(() => end(charger, transaction, "Remote"));
    return { status: transaction ? "Accepted" : "Rejected" };
  },
  ReserveNow(charger, { evseId, expiryDateTime }) {
    charger.expect(new Date(expiryDateTime) > Date.now(), `a reservation until ${expiryDateTime}`);
    charger.later(() => status(charger, evseId, "Reserved"));
    return accept();
  },
  Reset(charger, { type }) {
    charger.later(() => charger.restart(type === "Immediate"));
    return accept();
  },
  SendLocalList(charger, { versionNumber }) {
    charger.listVersion = versionNumber;
    return accept();
  },
  SetChargingProfile: accept,
  SetDisplayMessage: accept,
  SetMonitoringBase: accept,
  SetMonitoringLevel: accept,
  SetNetworkProfile: accept,
  SetVariableMonitoring: (charger, { setMonitoringData }) => ({
    setMonitoringResult: setMonitoringData.map(({ component, variable, type, severity }, index) => ({
      id: index + 1, status: "Accepted", component, variable, type, severity,
    })),
  }),
  SetVariables: (charger, { setVariableData }) => ({
    setVariableResult: setVariableData.map(({ component, variable, attributeValue }) => {
      const known = variableOf({ component, variable });
      if (known) known.value = attributeValue;
      return { component, variable, attributeStatus: known ? "Accepted" : "UnknownVariable" };
    }),
  }),
  TriggerMessage(charger, params) {
    const deed = TRIGGERED[params.requestedMessage];
    if (deed) charger.later(() => deed(charger, params));
    return { status: deed ? "Accepted" : "NotImplemented" };
  },
  UnlockConnector: () => ({ status: "Unlocked" }),
  UnpublishFirmware: () => ({ status: "Unpublished" }),
  UpdateFirmware(charger, { requestId }) {
    const words = ["Downloading", "Downloaded", "Installing", "Installed"];
    inTurn(charger, "FirmwareStatusNotification", words.map((word) => ({ status: word, requestId })));
    return accept();
  },
};

module.exports = { ANSWERS, begin, boot, end, live, register, sample };
