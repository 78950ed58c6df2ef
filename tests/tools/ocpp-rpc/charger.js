"use strict";
// A charge point made with ocpp-rpc, whose strict mode holds every frame against the official schemas.
//
// node charger.js CONFIG: the configuration is JSON (url, station, key, protocols, card, scene, deflate, ca). It prints what
// happens as JSON lines, goes on when told by a line, and ends with 1 when anything it saw broke the protocol.

const readline = require("node:readline");
const { RPCClient, createValidator } = require("ocpp-rpc");

const config = JSON.parse(process.argv[2]);
const violations = [];
const input = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const told = () => input.next(); // the next line, or the end of the input

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
function violation(text) {
  violations.push(text);
  say({ violation: text });
}

// ocpp-rpc 2.2.1 asks for "urn:Authorize.req" where its own schemas of 2.1 are called "urn:AuthorizeRequest".
function validator21() {
  const name = (id) => id.replace(/Request$/, ".req").replace(/Response$/, ".conf");
  const schemas = require("ocpp-rpc/lib/schemas/ocpp2_1.json");
  const validator = createValidator("ocpp2.1", schemas.map((schema) => ({ ...schema, $id: name(schema.$id) })));
  validator._ajv.logger = { ...console, warn() {} }; // about the style of the official schemas
  return validator;
}

class Charger {
  constructor({ reconnect = true } = {}) {
    this.card = config.card;
    this.registerWh = { 1: 1000, 2: 5000 };
    this.transactions = new Map(); // id -> what the version's module keeps of it
    this.client = new RPCClient({
      endpoint: config.url,
      identity: config.station,
      password: config.key ?? null,
      protocols: config.protocols,
      strictMode: true,
      strictModeValidators: config.protocols.includes("ocpp2.1") ? [validator21()] : [],
      reconnect,
      backoff: { initialDelay: 50, maxDelay: 200, factor: 2, randomisationFactor: 0 },
      callTimeoutMs: 10_000,
      wsOpts: { perMessageDeflate: config.deflate ?? true, ca: config.ca },
    });
    this.listen();
  }

  listen() {
    const client = this.client;
    client.on("strictValidationFailure", ({ method, outbound, isCall, error }) => {
      const whose = outbound ? "ours" : "theirs";
      violation(`${method} ${isCall ? "request" : "answer"} of ${whose}: ${error.message}`);
    });
    client.on("badMessage", ({ buffer, error }) => violation(`bad message ${buffer}: ${error.message}`));
    client.on("call", ({ outbound, payload }) => outbound || say({ asked: payload[2], payload: payload[3] }));
    client.on("disconnect", ({ code, reason }) => say({ event: "disconnect", code, reason }));
    client.on("open", () => {
      say({ event: "open", protocol: client.protocol, extensions: client._ws.extensions });
    });
  }

  async connect() {
    await this.client.connect();
    this.version = require(this.client.protocol === "ocpp1.6" ? "./v16.js" : "./v2.js");
    for (const [action, answer] of Object.entries(this.version.ANSWERS)) {
      this.client.handle(action, ({ params }) => answer(this, params));
    }
  }

  async call(action, payload) {
    const answer = await this.client.call(action, payload);
    say({ said: action, answer });
    return answer;
  }

  // For what a server may leave out: an answer or a clean refusal, both are well-behaved.
  async tryCall(action, payload) {
    try {
      return await this.call(action, payload);
    } catch (error) {
      say({ said: action, refused: error.rpcErrorCode, detail: error.message });
      this.expect(["NotSupported", "NotImplemented"].includes(error.rpcErrorCode), `${action}: ${error.message}`);
      return null;
    }
  }

  expect(isSo, text) {
    if (!isSo) violation(text);
  }

  // What follows an answer: it may not overtake it.
  later(deed) {
    setImmediate(() => Promise.resolve(deed()).catch((error) => violation(`${error.stack}`)));
  }

  async restart(isHard) {
    while (this.client._ws.bufferedAmount > 0) await new Promise(setImmediate); // the answer, which may yet be compressed
    await this.client.close(isHard ? { force: true } : { code: 1000, reason: "reset" });
    await this.client.connect();
    await this.version.boot(this, isHard ? "RemoteReset" : "ScheduledReset");
    say({ event: "restarted" });
  }
}

const SCENES = {
  // boots, charges once, then obeys
  async life() {
    const charger = new Charger();
    await charger.connect();
    await charger.version.boot(charger, "PowerUp");
    await charger.version.live(charger);
    say({ event: "ready" });
    await told();
    await charger.client.close({ awaitPending: true });
  },

  // loses its connection in the middle of a transaction, which ends meanwhile
  async offline() {
    const charger = new Charger();
    await charger.connect();
    await charger.version.boot(charger, "PowerUp");
    const transaction = await charger.version.begin(charger, 1, charger.card);
    await charger.version.sample(charger, transaction, 100);
    const lost = new Promise((resolve) => charger.client.once("disconnect", () => setImmediate(resolve)));
    say({ event: "ready" });
    await lost;
    charger.isOffline = true;
    charger.registerWh[1] += 250;
    const ending = charger.version.end(charger, transaction, "Local");
    await new Promise((resolve) => charger.client.once("open", resolve));
    charger.isOffline = false;
    await ending;
    say({ event: "delivered" });
    await told();
    await charger.client.close();
  },

  // comes again while its old socket is still open
  async twice() {
    const [first, second] = [new Charger({ reconnect: false }), new Charger()];
    await first.connect();
    await first.version.boot(first, "PowerUp");
    const closed = new Promise((resolve) => first.client.once("close", resolve));
    await second.connect();
    await second.version.boot(second, "PowerUp");
    const { code, reason } = await closed;
    say({ event: "replaced", code, reason });
    await second.call("Heartbeat", {});
    say({ event: "ready" });
    await told();
    await second.client.close();
  },

  // expects not to be let in
  async refused() {
    const charger = new Charger({ reconnect: false });
    try {
      await charger.connect();
      violation("it was let in");
    } catch (error) {
      say({ event: "refused", code: error.code });
    }
  },

  // is new here, and waits for a person to approve it
  async held() {
    const charger = new Charger();
    await charger.connect();
    const answer = await charger.version.register(charger, "PowerUp");
    charger.expect(answer.status === "Pending", `registered as ${answer.status}`);
    charger.expect(answer.interval > 0 && answer.interval <= 30, `asked to come again in ${answer.interval} s`);
    const refusal = await charger.client.call("Heartbeat", {}).catch((error) => error);
    charger.expect(refusal.rpcErrorCode === "SecurityError", `its heartbeat got ${JSON.stringify(refusal)}`);
    say({ event: "held" });
    await told();
    await charger.version.boot(charger, "PowerUp");
    await charger.call("Heartbeat", {});
    say({ event: "ready" });
    await told();
    await charger.client.close();
  },

  // says and hears much
  async large() {
    const charger = new Charger();
    await charger.connect();
    await charger.version.boot(charger, "PowerUp");
    for (let i = 0; i < 20; i++) {
      await charger.call("DataTransfer", { vendorId: "com.example", messageId: "log", data: "meter ok; ".repeat(3000) });
    }
    say({ event: "ready" });
    await told();
    await charger.client.close();
  },
};

SCENES[config.scene]()
  .catch((error) => violation(error.stack))
  .finally(() => {
    process.exit(violations.length ? 1 : 0);
  });
