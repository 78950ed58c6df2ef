// The one EventSource of this browser. As a SharedWorker it serves every tab; loaded as a plain script (where
// SharedWorker is missing) it gives the page openFeed(post). It is no page script: Dash must not include it by itself.
function openFeed(post) {
  "use strict";
  const SILENT_MS = 15000, LONGEST_WAIT_MS = 3000;
  const docs = new Map();
  let source = null, wait = 250, heard = Date.now(), timer = 0, hasSnapshot = false;

  function take(kind, event) {
    heard = Date.now();
    wait = 250;
    let frame;
    try { frame = JSON.parse(event.data); } catch (error) { return; }
    if (kind === "snapshot") { docs.clear(); hasSnapshot = true; }
    for (const key in frame.docs) {
      if (frame.docs[key] === null) { docs.delete(key); } else { docs.set(key, frame.docs[key]); }
    }
    post({ kind: kind, at: frame.at, docs: frame.docs });
  }

  function again() {
    clearTimeout(timer);
    if (source) { source.close(); source = null; }
    timer = setTimeout(open, wait);
    wait = Math.min(LONGEST_WAIT_MS, wait * 2);
  }

  // an EventSource does not say why it was refused
  function ask() {
    source.close();
    source = null;
    fetch("/stream", { method: "HEAD", cache: "no-store" }).then(
      function (answer) { if (answer.status === 401) { post({ kind: "login" }); } again(); }, again);
  }

  function open() {
    heard = Date.now();
    source = new EventSource("/stream");
    source.addEventListener("snapshot", function (event) { take("snapshot", event); });
    source.addEventListener("message", function (event) { take("change", event); });
    source.addEventListener("beat", function (event) { take("beat", event); });
    source.addEventListener("login", function () { post({ kind: "login" }); });
    source.addEventListener("error", function () { if (source && source.readyState === 2) { ask(); } });
  }

  setInterval(function () { if (source && Date.now() - heard > SILENT_MS) { again(); } }, 1000);
  open();
  return {
    greet: function (send) { if (hasSnapshot) { send({ kind: "snapshot", at: null, docs: Object.fromEntries(docs) }); } }
  };
}

if (typeof SharedWorkerGlobalScope !== "undefined" && self instanceof SharedWorkerGlobalScope) {
  const ports = new Set();
  const feed = openFeed(function (message) { ports.forEach(function (port) { port.postMessage(message); }); });
  self.onconnect = function (event) {
    const port = event.ports[0];
    ports.add(port);
    port.onmessage = function (message) { if (message.data === "bye") { ports.delete(port); port.close(); } };
    feed.greet(function (message) { port.postMessage(message); });
  };
}
