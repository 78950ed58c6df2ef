// The operator's pages in the browser: expired logins, navigation counts, grid cells, and figures kept current
// from the live feed (assets/feed.js). Texts from chargers are only ever set as text, never as HTML.
(function () {
  "use strict";

  // ---- every request carries the CSRF token; an expired login leads to the door instead of to old data

  var plainFetch = window.fetch.bind(window);

  function cookie(name) {
    var found = document.cookie.split("; ").find(function (part) { return part.startsWith(name + "="); });
    return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
  }

  function toLogin() {
    location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
  }

  window.fetch = function (input, init) {
    var request = new Request(input, init);
    var isOurs = new URL(request.url).origin === location.origin;
    if (isOurs && request.method !== "GET" && !request.headers.has("X-CSRFToken")) {
      request.headers.set("X-CSRFToken", cookie("_csrf_token"));
    }
    return plainFetch(request).then(function (response) {
      if (isOurs && response.status === 401) { toLogin(); }
      return response;
    });
  };

  // ---- numbers as dashboard/formats.py says them

  var SYMBOLS = { EUR: "€", USD: "$", GBP: "£" };
  var STATES = {
    pending: "Waiting", charging: "Charging", suspended: "Paused", finishing: "Finishing",
    ended: "Ended", orphaned: "No stop seen"
  };
  var NONE = "–";
  var OLD_AFTER_S = 90;

  function fixed(value, digits) {
    return Number(value).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }
  function kw(watts) { return watts === null || watts === undefined ? NONE : fixed(watts / 1000, 1); }
  function kwh(wh) { return wh === null || wh === undefined ? NONE : fixed(wh / 1000, 2); }
  function money(amount, currency) {
    if (amount === null || amount === undefined) { return NONE; }
    return SYMBOLS[currency] ? SYMBOLS[currency] + fixed(amount, 2) : currency + " " + fixed(amount, 2);
  }
  function clock(seconds) {
    var minutes = Math.floor(seconds / 60);
    return Math.floor(minutes / 60) + ":" + String(minutes % 60).padStart(2, "0");
  }
  function span(seconds) {
    var whole = Math.floor(seconds);
    if (whole < 60) { return whole + " s"; }
    if (whole < 3600) { return Math.floor(whole / 60) + " min"; }
    if (whole < 86400) { return Math.floor(whole / 3600) + " h " + String(Math.floor(whole % 3600 / 60)).padStart(2, "0"); }
    return Math.floor(whole / 86400) + " d";
  }

  // the server's clock: this machine's may be wrong, and ages must not be
  var clockOffset = 0;
  function now() { return Date.now() + clockOffset; }
  function age(iso) { return Math.max(0, (now() - Date.parse(iso)) / 1000); }

  // ---- grid cells

  var functions = window.dashAgGridFunctions = window.dashAgGridFunctions || {};
  functions.cwKwh = function (params) { return kwh(params.value) + " kWh"; };
  functions.cwPercent = function (params) {
    return params.value === null || params.value === undefined ? NONE : Math.round(params.value) + " %";
  };
  functions.cwSeconds = function (params) {
    return params.data.ended ? params.data.seconds : Math.max(0, Math.floor((now() - Date.parse(params.data.started)) / 1000));
  };
  functions.cwClock = function (params) { return clock(params.value) + " h"; };
  functions.cwMoney = function (params) { return money(params.value, params.data.currency); };
  functions.cwKw = function (params) { return kw(params.value) + " kW"; };
  functions.cwCompare = function (a, b) { return Number(a) - Number(b); };
  functions.cwWhen = function (params) {
    if (!params.value) { return NONE; }
    var at = new Date(params.value), form = { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit" };
    return at.toLocaleString("en-GB", form).replace(",", "");
  };

  var cells = window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {};
  function element() { return window.React.createElement.apply(null, arguments); }
  cells.CwPlace = function (props) {
    var row = props.data;
    return element("a", { href: "/session/" + encodeURIComponent(row.id), className: "place" },
      element("b", null, row.name), element("span", { className: "cell-sub" }, row.site ? "  " + row.site : ""));
  };
  cells.CwState = function (props) {
    var kind = props.value === "charging" ? " on" : props.value === "orphaned" ? " warn" : "";
    var shape = kind === " on" ? "●" : kind === " warn" ? "▲" : "○";
    return element("span", { className: "cell-state" + kind },
      element("span", { "aria-hidden": "true" }, shape), STATES[props.value] || props.value);
  };
  cells.CwPower = function (props) {
    var row = props.data;
    if (row.power_w === null || row.power_w === undefined) { return NONE; }
    var seconds = row.at ? age(row.at) : 0;
    var isOld = row.late || seconds > OLD_AFTER_S;
    return element("span", { className: isOld ? "cell-old" : "" }, kw(row.power_w) + " kW",
      isOld ? element("span", null, "  " + (row.late ? "late" : span(seconds) + " old")) : null);
  };
  cells.CwReview = function (props) {
    var reasons = props.value || [];
    return reasons.length ? element("span", { className: "cell-state warn", title: reasons.join("; ") }, "▲ " + reasons[0]) : "";
  };
  cells.CwNoRows = function () {
    var page = document.querySelector(".sessions-page"), data = page ? page.dataset : {};
    var isSearch = data.site || data.state || data.text;
    return element("span", null, isSearch ? "No live session fits this search." : "Cars appear here the moment one starts to charge.");
  };

  // ---- the feed

  var connectors = new Map();  // "station/evse/connector" -> ConnectorView
  var alarms = new Map();  // id -> AlarmView
  var hasFeed = false;

  function openSessions() {
    var count = 0;
    connectors.forEach(function (view) { if (isOpen(view.session)) { count += 1; } });
    return count;
  }
  function isOpen(session) { return !!session && !session.ended_at && session.state !== "orphaned"; }

  function showCounts() {
    if (!hasFeed) { return; }
    var worst = 5;
    alarms.forEach(function (alarm) { worst = Math.min(worst, alarm.priority); });
    setCount("sessions", String(openSessions()), "");
    setCount("alarms", alarms.size ? (worst === 1 ? "◆ " : worst === 2 ? "▲ " : "● ") + alarms.size : "",
      alarms.size ? "abnormal p" + worst : "");
  }
  function setCount(name, text, kind) {
    document.querySelectorAll('[data-count="' + name + '"]').forEach(function (node) {
      if (node.textContent !== text) { node.textContent = text; }
      node.className = ("count num " + kind).trim();
    });
  }

  // ---- the session page

  function setFact(name, value) {
    var node = document.querySelector('[data-fact="' + name + '"] .value');
    if (node && node.textContent !== value) { node.textContent = value; }
  }
  function showSession() {
    var page = document.querySelector(".session-page[data-open='yes']");
    if (!page) { return; }
    var view = connectors.get(page.dataset.connector);
    if (view && view.session && view.session.id === page.dataset.session) {
      setFact("energy", kwh(view.session.energy_wh));
      setFact("cost", money(view.session.cost, view.session.currency));
      if (view.session.soc_percent !== undefined) { setFact("soc", String(Math.round(view.session.soc_percent))); }
      if (!view.is_late && view.power_w !== undefined) { setFact("power", kw(view.power_w)); }
      showAge(view.power_received_at, !!view.is_late);
    } else {
      showAge(null, false);
    }
    setFact("time", clock(Math.max(0, (now() - Date.parse(page.dataset.started)) / 1000)));
  }
  function showAge(receivedAt, isLate) {
    var chip = document.querySelector('[data-chip="age"]');
    var at = receivedAt || (chip && chip.dataset.at);
    if (!chip || !at) { return; }
    var seconds = age(at), isOld = seconds > OLD_AFTER_S;
    chip.className = "chip" + (isLate || isOld ? " stale" : "");
    chip.textContent = isLate ? "Late value, received " + span(seconds) + " ago"
      : isOld ? "Last value " + span(seconds) + " old" : "Live, " + span(seconds) + " old";
    var power = document.querySelector('[data-fact="power"]');
    if (power) { power.classList.toggle("old", isLate || isOld); }
  }

  // ---- the list of live sessions

  var pending = new Map(), removed = new Set(), stations = null;

  function livePage() { return document.querySelector(".sessions-page[data-show='open']"); }
  function gridApi() {
    try { return window.dash_ag_grid && window.dash_ag_grid.getApi("session-grid"); } catch (error) { return null; }
  }
  function rowOf(view) {
    var names = stations[view.station] || [view.station, "", ""], session = view.session;
    return {
      id: session.id, station: view.station, name: names[0], site: names[1], site_id: names[2], evse: view.evse,
      state: session.state, power_w: view.power_w === undefined ? null : view.power_w, at: view.power_received_at || null,
      late: !!view.is_late, energy_wh: session.energy_wh, soc: session.soc_percent === undefined ? null : session.soc_percent,
      started: session.started_at, ended: null, seconds: 0, cost: session.cost, currency: session.currency,
      token: session.token || "", review: session.needs_review ? ["see the session"] : []
    };
  }
  function fits(page, row) {
    var text = page.dataset.text.toLowerCase();
    var hay = [row.station, row.name, row.token, row.id].join("\n").toLowerCase();
    return (!page.dataset.site || page.dataset.site === row.site_id) && (!page.dataset.state || page.dataset.state === row.state)
      && (!text || hay.includes(text));
  }
  function noteRow(view, before) {
    if (before && before.session && (!view || !view.session || view.session.id !== before.session.id)) { removed.add(before.session.id); }
    if (!view || !view.session) { return; }
    if (isOpen(view.session)) { pending.set(view.session.id, view); } else { removed.add(view.session.id); pending.delete(view.session.id); }
  }
  function flushRows() {
    var page = livePage(), api = page && gridApi();
    if (!page || !api) { return; }
    if (!stations) { stations = JSON.parse(page.dataset.stations || "{}"); }
    var change = { add: [], update: [], remove: [] };
    pending.forEach(function (view) {
      var row = rowOf(view), isThere = !!api.getRowNode(row.id);
      if (!fits(page, row)) { if (isThere) { change.remove.push({ id: row.id }); } } else { change[isThere ? "update" : "add"].push(row); }
    });
    removed.forEach(function (id) { if (!pending.has(id) && api.getRowNode(id)) { change.remove.push({ id: id }); } });
    pending.clear();
    removed.clear();
    if (change.add.length + change.update.length + change.remove.length) { api.applyTransactionAsync(change); }
  }

  // ---- once a second, on this page's own clock

  function everySecond() {
    showSession();
    showCounts();
    flushRows();
    var api = livePage() && gridApi();
    if (api) { api.refreshCells({ columns: ["seconds", "power_w"], force: true, suppressFlash: true }); }
  }

  function dress() {
    var stamp = document.querySelector("[data-now]:not([data-read])");
    if (stamp) { stamp.dataset.read = "yes"; clockOffset = Date.parse(stamp.dataset.now) - Date.now(); }
    document.querySelectorAll(".nav-link[data-path]").forEach(function (link) {
      var path = link.dataset.path, here = location.pathname;
      var isHere = path === here || (path === "/sessions" && here.startsWith("/session/"));
      if (isHere) { link.setAttribute("aria-current", "page"); } else { link.removeAttribute("aria-current"); }
    });
    var retry = document.querySelector("[data-retry]:not([data-armed])");
    if (retry) { retry.dataset.armed = "yes"; setTimeout(function () { location.reload(); }, retry.dataset.retry * 1000); }
  }

  document.addEventListener("click", function (event) {
    if (event.target.closest("#logout")) {
      window.fetch("/logout", { method: "POST" }).then(function () { location.assign("/login"); });
    }
  });
  document.addEventListener("change", function (event) {
    if (event.target.matches(".filters select")) { event.target.form.requestSubmit(); }
  });

  new MutationObserver(dress).observe(document.documentElement, { childList: true, subtree: true });
  setInterval(everySecond, 1000);
  //FEED
})();
