"use strict";
// The life of an OCPP 1.6 charge point: what it says of its own accord, and how it answers.

const now = () => new Date().toISOString();

function status(charger, connectorId, word, errorCode = "NoError") {
  return charger.call("StatusNotification", { connectorId, errorCode, status: word, timestamp: now() });
}

function register(charger) {
  return charger.call("BootNotification", {
    chargePointVendor: "Acme",
    chargePointModel: "Rpc-16",
    chargePointSerialNumber: "SN-0016",
    firmwareVersion: "1.0.0",
  });
}

async function boot(charger) {
  const answer = await register(charger);
  charger.expect(answer.status === "Accepted", `booted as ${answer.status}`);
  charger.expect(Math.abs(new Date(answer.currentTime) - Date.now()) < 60_000, `told the time ${answer.currentTime}`);
  for (const connectorId of [0, 1, 2]) await status(charger, connectorId, "Available");
}

function sampled(wh, context) {
  const sample = (measurand, unit, value, more) => ({ value: `${value}`, measurand, unit, context, ...more });
  return {
    timestamp: now(),
    sampledValue: [
      sample("Energy.Active.Import.Register", "Wh", wh, { location: "Outlet" }),
      sample("Power.Active.Import", "W", 7360),
      ...["L1", "L2", "L3"].map((phase) => sample("Current.Import", "A", 10.7, { phase })),
      sample("Voltage", "V", 229.5, { phase: "L1-N" }),
      sample("SoC", "Percent", 54, { location: "EV" }),
    ],
  };
}

async function begin(charger, connectorId, idTag) {
  await status(charger, connectorId, "Preparing");
  const start = { connectorId, idTag, meterStart: charger.registerWh[connectorId], timestamp: now() };
  const { transactionId, idTagInfo } = await charger.call("StartTransaction", start);
  charger.expect(idTagInfo.status === "Accepted", `the start was answered ${idTagInfo.status}`);
  await status(charger, connectorId, "Charging");
  const transaction = { id: transactionId, connectorId, idTag, first: sampled(start.meterStart, "Transaction.Begin") };
  charger.transactions.set(transactionId, transaction);
  return transaction;
}

async function sample(charger, { id, connectorId }, wh) {
  charger.registerWh[connectorId] += wh;
  const meterValue = [sampled(charger.registerWh[connectorId], "Sample.Periodic")];
  await charger.call("MeterValues", { connectorId, transactionId: id, meterValue });
}

async function end(charger, { id, connectorId, idTag, first }, reason) {
  charger.transactions.delete(id);
  const meterStop = charger.registerWh[connectorId];
  await charger.call("StopTransaction", {
    transactionId: id,
    idTag,
    meterStop,
    timestamp: now(),
    reason,
    transactionData: [first, sampled(meterStop, "Transaction.End")],
  });
  await status(charger, connectorId, "Finishing");
  await status(charger, connectorId, "Available");
}

async function live(charger) {
  await charger.call("Heartbeat", {});
  const known = await charger.call("Authorize", { idTag: charger.card });
  charger.expect(known.idTagInfo.status === "Accepted", `its card is ${known.idTagInfo.status}`);
  const stranger = await charger.call("Authorize", { idTag: "STRANGER" });
  charger.expect(stranger.idTagInfo.status === "Invalid", `a stranger's card is ${stranger.idTagInfo.status}`);
  await charger.call("SecurityEventNotification", { type: "StartupOfTheDevice", timestamp: now(), techInfo: "cold" });
  await charger.call("FirmwareStatusNotification", { status: "Installed" });
  await charger.call("DiagnosticsStatusNotification", { status: "Idle" });
  await charger.call("LogStatusNotification", { status: "Idle" });
  await charger.call("SignedFirmwareStatusNotification", { status: "Idle" });
  await charger.call("DataTransfer", { vendorId: "com.example", messageId: "tilt", data: '{"angle":3}' });
  await charger.tryCall("SignCertificate", { csr: "-----BEGIN CERTIFICATE REQUEST-----" });
  await charger.call("MeterValues", { connectorId: 0, meterValue: [sampled(6000, "Sample.Clock")] });
  await status(charger, 2, "Faulted", "GroundFailure");
  await status(charger, 2, "Available");
  const transaction = await begin(charger, 1, charger.card);
  for (const wh of [150, 150]) await sample(charger, transaction, wh);
  await status(charger, 1, "SuspendedEV");
  charger.registerWh[1] += 120;
  await end(charger, transaction, "EVDisconnected");
}

const TRIGGERED = {
  BootNotification: boot,
  DiagnosticsStatusNotification: (charger) => charger.call("DiagnosticsStatusNotification", { status: "Idle" }),
  FirmwareStatusNotification: (charger) => charger.call("FirmwareStatusNotification", { status: "Idle" }),
  Heartbeat: (charger) => charger.call("Heartbeat", {}),
  LogStatusNotification: (charger) => charger.call("LogStatusNotification", { status: "Idle" }),
  MeterValues: (charger, { connectorId = 1 }) =>
    charger.call("MeterValues", { connectorId, meterValue: [sampled(charger.registerWh[connectorId], "Trigger")] }),
  StatusNotification: (charger, { connectorId = 0 }) => status(charger, connectorId, "Available"),
};

function trigger(charger, params) {
  const deed = TRIGGERED[params.requestedMessage];
  if (deed) charger.later(() => deed(charger, params));
  return { status: deed ? "Accepted" : "NotImplemented" };
}

function inTurn(charger, action, payloads) {
  charger.later(async () => {
    for (const payload of payloads) await charger.call(action, payload);
  });
}

const accept = () => ({ status: "Accepted" });
const SETTINGS = new Map([["HeartbeatInterval", "300"], ["NumberOfConnectors", "2"]]);
const HASH = { hashAlgorithm: "SHA256", issuerNameHash: "aa", issuerKeyHash: "bb", serialNumber: "01" };

const ANSWERS = {
  CancelReservation: accept,
  CertificateSigned: accept,
  ChangeAvailability(charger, { connectorId, type }) {
    charger.later(() => status(charger, connectorId, type === "Operative" ? "Available" : "Unavailable"));
    return accept();
  },
  ChangeConfiguration(charger, { key, value }) {
    if (!SETTINGS.has(key)) return { status: "NotSupported" };
    SETTINGS.set(key, value);
    return accept();
  },
  ClearCache: accept,
  ClearChargingProfile: accept,
  DataTransfer: () => ({ status: "Accepted", data: "pong" }),
  DeleteCertificate: accept,
  ExtendedTriggerMessage: trigger,
  GetCompositeSchedule: (charger, { connectorId, duration }) => ({
    status: "Accepted",
    connectorId,
    scheduleStart: now(),
    chargingSchedule: { duration, chargingRateUnit: "A", chargingSchedulePeriod: [{ startPeriod: 0, limit: 16 }] },
  }),
  GetConfiguration(charger, { key }) {
    const wanted = key?.length ? key : [...SETTINGS.keys()];
    const known = wanted.filter((name) => SETTINGS.has(name));
    return {
      configurationKey: known.map((name) => ({ key: name, readonly: false, value: SETTINGS.get(name) })),
      unknownKey: wanted.filter((name) => !SETTINGS.has(name)),
    };
  },
  GetDiagnostics(charger) {
    inTurn(charger, "DiagnosticsStatusNotification", [{ status: "Uploading" }, { status: "Uploaded" }]);
    return { fileName: "diagnostics.zip" };
  },
  GetInstalledCertificateIds: () => ({ status: "Accepted", certificateHashData: [HASH] }),
  GetLocalListVersion: (charger) => ({ listVersion: charger.listVersion ?? 0 }),
  GetLog(charger, { requestId }) {
    inTurn(charger, "LogStatusNotification", [{ status: "Uploading", requestId }, { status: "Uploaded", requestId }]);
    return { status: "Accepted", filename: "security.log" };
  },
  InstallCertificate: accept,
  RemoteStartTransaction(charger, { connectorId = 1, idTag }) {
    charger.later(async () => sample(charger, await begin(charger, connectorId, idTag), 200));
    return accept();
  },
  RemoteStopTransaction(charger, { transactionId }) {
    const transaction = charger.transactions.get(transactionId);
    if (transaction) charger.later(() => end(charger, transaction, "Remote"));
    return { status: transaction ? "Accepted" : "Rejected" };
  },
  ReserveNow(charger, { connectorId, expiryDate }) {
    charger.expect(new Date(expiryDate) > Date.now(), `a reservation until ${expiryDate}`);
    charger.later(() => status(charger, connectorId, "Reserved"));
    return accept();
  },
  Reset(charger, { type }) {
    charger.later(() => charger.restart(type === "Hard"));
    return accept();
  },
  SendLocalList(charger, { listVersion }) {
    charger.listVersion = listVersion;
    return accept();
  },
  SetChargingProfile: accept,
  SignedUpdateFirmware(charger, { requestId }) {
    const words = ["Downloading", "SignatureVerified", "Installed"];
    inTurn(charger, "SignedFirmwareStatusNotification", words.map((word) => ({ status: word, requestId })));
    return accept();
  },
  TriggerMessage: trigger,
  UnlockConnector: () => ({ status: "Unlocked" }),
  UpdateFirmware(charger) {
    const words = ["Downloading", "Downloaded", "Installing", "Installed"];
    inTurn(charger, "FirmwareStatusNotification", words.map((word) => ({ status: word })));
    return {};
  },
};

module.exports = { ANSWERS, begin, boot, end, live, register, sample };
