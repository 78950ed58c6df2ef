// The live feed in a page: window.chargewatch. docs/live.md tells the documents and how to use it.
// Texts in documents come from chargers: set them as textContent, through chargewatch.plain().
(function () {
  "use strict";

  const GONE_AFTER_MS = 12000;  // a beat comes every 5 s; with the check each second this is said within 15 s
  const BROKER_GRACE_MS = 3000;
  const WORKER = "/assets/worker/feed-worker.js";

  const docs = new Map(), subscribers = new Set(), offsets = [];
  let hasSnapshot = false, newestAt = null;
  let heardSteady = performance.now(), heardClock = Date.now();  // a sleeping machine stops only the first

  // ---- time: the server's, because this machine's clock may be wrong and ages must not be

  function now() { return Date.now() + (offsets.length ? Math.max.apply(null, offsets) : 0); }
  function heardServer(iso) {
    offsets.push(Date.parse(iso) - Date.now());  // delay on the way only ever makes this smaller
    if (offsets.length > 40) { offsets.shift(); }
  }
  function age(iso) { return iso ? Math.max(0, (now() - Date.parse(iso)) / 1000) : Infinity; }
  function zone() { const summary = docs.get("summary"); return summary ? summary.zone : undefined; }
  function time(iso, withSeconds) {
    const form = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: zone() };
    if (withSeconds) { form.second = "2-digit"; }
    return new Intl.DateTimeFormat("en-GB", form).format(new Date(iso));
  }

  // ---- numbers

  const NONE = "–", money_ = new Map();
  function fixed(value, digits) {
    return Number(value).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }
  function isNumber(value) { return typeof value === "number" && isFinite(value); }
  function kw(watts, digits) { return isNumber(watts) ? fixed(watts / 1000, digits || 0) : NONE; }
  function kwh(wh, digits) { return isNumber(wh) ? fixed(wh / 1000, digits === undefined ? 1 : digits) : NONE; }
  function money(amount, currency, digits) {
    if (amount === null || amount === undefined || amount === "" || !isFinite(amount)) { return NONE; }
    const key = currency + (digits === undefined ? "" : digits);
    if (!money_.has(key)) {
      const form = { style: "currency", currency: currency, currencyDisplay: "narrowSymbol" };
      if (digits !== undefined) { form.minimumFractionDigits = form.maximumFractionDigits = digits; }
      try { money_.set(key, new Intl.NumberFormat("en-US", form)); } catch (error) { return fixed(amount, 2); }
    }
    return money_.get(key).format(amount);
  }
  // a length of time in words ("41 s", "6 min", "2 h 05", "3 d") and as short as a tile ("6′", "2h", "3d")
  function span(seconds) {
    const whole = Math.floor(seconds);
    if (!isFinite(seconds)) { return NONE; }
    if (whole < 60) { return whole + " s"; }
    if (whole < 3600) { return Math.floor(whole / 60) + " min"; }
    if (whole < 86400) { return Math.floor(whole / 3600) + " h " + String(Math.floor(whole % 3600 / 60)).padStart(2, "0"); }
    return Math.floor(whole / 86400) + " d";
  }
  function short(seconds) {
    if (!isFinite(seconds)) { return ""; }
    if (seconds < 60) { return Math.floor(seconds) + "″"; }
    if (seconds < 6000) { return Math.floor(seconds / 60) + "′"; }
    return seconds < 172800 ? Math.floor(seconds / 3600) + "h" : Math.floor(seconds / 86400) + "d";
  }

  // text for the screen: no control characters, nothing that turns the direction of what follows, bounded
  function plain(text, longest) {
    const kept = String(text === null || text === undefined ? "" : text)
      .replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, " ").trim();
    const most = longest || 120;
    return kept.length > most ? kept.slice(0, most - 1) + "…" : kept;
  }

  // ---- who listens

  function tell(changed, isSnapshot) {
    subscribers.forEach(function (take) {
      try { take(changed, docs, isSnapshot); } catch (error) { console.error("feed subscriber", error); }
    });
  }
  function subscribe(take) {
    subscribers.add(take);
    if (hasSnapshot) { take(new Map(docs), docs, true); }
    return function () { subscribers.delete(take); };
  }

  function heard(message) {
    if (message.kind === "login") { toLogin(); return; }
    if (message.at) { heardSteady = performance.now(); heardClock = Date.now(); heardServer(message.at); }
    if (message.kind === "beat") { return; }
    const changed = new Map(Object.entries(message.docs));
    if (message.at) { newestAt = message.at; }
    if (message.kind === "snapshot") {
      docs.forEach(function (_, key) { if (!changed.has(key)) { changed.set(key, null); } });
      hasSnapshot = true;
    }
    changed.forEach(function (doc, key) { if (doc === null) { docs.delete(key); } else { docs.set(key, doc); } });
    tell(changed, message.kind === "snapshot");
    showState();
  }
  function toLogin() {
    if (location.pathname !== "/login") { location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search)); }
  }

  // ---- is it still live? On this page's own clock, because what is gone sends nothing

  function silenceMs() { return Math.max(performance.now() - heardSteady, Date.now() - heardClock); }
  function state() {
    const feed = docs.get("feed"), silent = silenceMs();
    if (silent > GONE_AFTER_MS) { return { isLive: false, why: "feed", since: new Date(now() - silent).toISOString(), heard: hasSnapshot }; }
    if (feed && feed.broker === "gone" && age(feed.since) * 1000 > BROKER_GRACE_MS) { return { isLive: false, why: "broker", since: feed.since, heard: true }; }
    return { isLive: true, why: "", since: newestAt, heard: hasSnapshot };
  }

  let banner = null;
  function showState() {
    const found = state();
    if (!banner && !found.isLive && document.body) {
      banner = document.body.appendChild(document.createElement("div"));
      banner.className = "feed-gone";
      banner.setAttribute("role", "alert");
      banner.append(document.createElement("b"), document.createElement("span"));
    }
    if (!banner) { return; }
    if (banner.hidden !== found.isLive) { banner.hidden = found.isLive; }
    document.documentElement.classList.toggle("is-old", !found.isLive);
    if (found.isLive) { return; }
    const since = time(found.since, true);
    set(banner.firstChild, found.why === "broker" ? "Live data gone since " + since : found.heard ? "Feed gone since " + since : "No feed since " + since);
    set(banner.lastChild, (found.why === "broker" ? "The broker does not answer. " : "The server does not answer. ")
      + "All figures are " + span(age(found.since)) + " old; chargers keep charging and nothing they send is lost.");
  }
  function set(node, text) { if (node.textContent !== text) { node.textContent = text; } }

  // ---- one connection for all tabs

  function start() {
    if (typeof EventSource === "undefined") { return; }
    if (typeof SharedWorker !== "undefined") {
      try {
        const port = new SharedWorker(WORKER, "chargewatch-feed").port;
        port.onmessage = function (event) { heard(event.data); };
        port.start();
        addEventListener("pagehide", function () { port.postMessage("bye"); });
        addEventListener("pageshow", function (event) { if (event.persisted) { location.reload(); } });
        return;
      } catch (error) { /* forbidden here: the page holds the connection itself */ }
    }
    const script = document.createElement("script");
    script.src = WORKER;
    script.onload = function () { window.openFeed(heard); };
    document.head.append(script);
  }

  window.chargewatch = {
    subscribe: subscribe, docs: docs, now: now, age: age, state: state, plain: plain,
    format: { kw: kw, kwh: kwh, money: money, span: span, short: short, time: time, fixed: fixed, NONE: NONE }
  };
  setInterval(showState, 1000);
  start();
})();
