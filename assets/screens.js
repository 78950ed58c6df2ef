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

  // ---- numbers, as dashboard/formats.py says them

  var feed = window.chargewatch, format = feed.format, NONE = format.NONE;
  var STATES = {
    pending: "Waiting", charging: "Charging", suspended: "Paused", finishing: "Finishing",
    ended: "Ended", orphaned: "No stop seen"
  };
  var OPEN = new Set(["pending", "charging", "suspended", "finishing"]);
  var OLD_AFTER_S = 90, BRIDGE_OLD_AFTER_S = 15;

  function kw(watts) { return format.kw(watts, 1); }
  function kwh(wh) { return format.kwh(wh, 2); }
  function clock(seconds) {
    var minutes = Math.floor(Math.max(0, seconds) / 60);
    return Math.floor(minutes / 60) + ":" + String(minutes % 60).padStart(2, "0");
  }
  function since(iso) { return Math.floor((feed.now() - Date.parse(iso)) / 1000); }

  // ---- grid cells

  var functions = window.dashAgGridFunctions = window.dashAgGridFunctions || {};
  functions.cwKwh = function (params) { return kwh(params.value) + " kWh"; };
  functions.cwPercent = function (params) {
    return params.value === null || params.value === undefined ? NONE : Math.round(params.value) + " %";
  };
  functions.cwSeconds = function (params) {
    return OPEN.has(params.data.state) ? Math.max(0, since(params.data.started)) : params.data.seconds;
  };
  functions.cwClock = function (params) { return clock(params.value) + " h"; };
  functions.cwMoney = function (params) { return format.money(params.value, params.data.currency); };
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
    var where = (row.site && !row.name.startsWith(row.site) ? row.site + ", " : "") + "connector " + row.evse;
    return element("span", null, element("a", { href: "/session/" + encodeURIComponent(row.id), className: "place" }, element("b", null, row.name)),
      element("a", { href: "/station/" + encodeURIComponent(row.station), className: "cell-sub", title: "Its station" }, "  " + where));
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
    var seconds = row.at ? feed.age(row.at) : 0;
    var isOld = row.late || seconds > OLD_AFTER_S || !!silence(segment(row.station));
    return element("span", { className: isOld ? "cell-old" : "" }, kw(row.power_w) + " kW",
      isOld ? element("span", null, "  " + (row.late ? "late" : format.span(seconds) + " old")) : null);
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

  // ---- counts in the navigation, and whether the feed lives

  function showCounts() {
    var state = feed.state(), sessions = 0, alarms = 0, worst = 5;
    if (!state.heard) { return; }
    feed.docs.forEach(function (doc, key) {
      if (key.startsWith("connector/") && isOpen(doc.session)) { sessions += 1; }
      if (key.startsWith("alarm/")) { alarms += 1; worst = Math.min(worst, doc.priority); }
    });
    setCount("sessions", String(sessions), "");
    setCount("alarms", alarms ? (worst === 1 ? "◆ " : worst === 2 ? "▲ " : "● ") + alarms : "", alarms ? "abnormal p" + worst : "");
    var line = document.getElementById("feed-state");
    var gone = state.isLive ? goneBridge() : null;
    if (line) {
      set(line, !state.isLive ? "feed gone" : gone ? "◆ bridge " + feed.plain(gone.bridge, 12) + " gone, " + format.span(feed.age(gone.at)) : "● live");
      line.classList.toggle("gone", !state.isLive || !!gone);
    }
  }
  // a station or bridge as one level of a topic, as bridge/live.py quotes it
  function segment(text) {
    return encodeURIComponent(text).replace(/[!'()*]/g, function (c) { return "%" + c.charCodeAt(0).toString(16).toUpperCase(); });
  }
  // a bridge says every second that it lives
  function isGone(bridge) { return bridge.is_up === false || feed.age(bridge.at) > BRIDGE_OLD_AFTER_S; }
  function goneBridge() {
    var gone = null;
    feed.docs.forEach(function (doc, key) { if (key.startsWith("bridge/") && isGone(doc)) { gone = doc; } });
    return gone;
  }
  // why nothing newer can come from a station: "" when it can
  function silence(name) {
    var station = feed.docs.get("station/" + name), bridge = station && feed.docs.get("bridge/" + segment(station.bridge || ""));
    if (!station) { return ""; }
    return !station.is_connected ? "Station offline" : bridge && isGone(bridge) ? "Its bridge does not answer" : "";
  }
  function isOpen(session) { return !!session && !session.ended_at && OPEN.has(session.state); }
  function setCount(name, text, kind) {
    document.querySelectorAll('[data-count="' + name + '"]').forEach(function (node) {
      set(node, text);
      node.className = ("count num " + kind).trim();
    });
  }
  function set(node, text) { if (node.textContent !== text) { node.textContent = text; } }

  // ---- the session page

  function setFact(name, value) {
    var node = document.querySelector('[data-fact="' + name + '"] .value');
    if (node) { set(node, value); }
  }
  // what the script keeps current and what the server wrote must be of the same moment
  var lastEnergy = "", nextRefresh = 0;
  function refreshSoon(session) {
    var seen = session.id + " " + session.energy_wh, now = Date.now();
    if (seen === lastEnergy || now < nextRefresh || !(window.dash_clientside && window.dash_clientside.set_props)) { return; }
    lastEnergy = seen;
    // a moment later, when the records have it too
    setTimeout(function () {
      if (document.getElementById("session-facts")) { window.dash_clientside.set_props("session-tick", { n_intervals: now }); }
    }, 1200);
    nextRefresh = now + 4000;
  }
  function showSession() {
    var page = document.querySelector(".session-page[data-open='yes']");
    if (!page) { return; }
    var view = feed.docs.get(page.dataset.connector);
    var session = view && view.session && view.session.id === page.dataset.session ? view.session : null;
    if (session) {
      setFact("energy", kwh(session.energy_wh));
      setFact("cost", format.money(session.cost, session.currency));
      refreshSoon(session);
      if (session.soc_percent !== undefined) { setFact("soc", String(Math.round(session.soc_percent))); }
      if (!view.is_late && view.power_w !== undefined) { setFact("power", kw(view.power_w)); }
      if (!isOpen(session)) { page.dataset.open = "over"; setTimeout(function () { location.reload(); }, 2500); }
    }
    showAge(session ? view.power_received_at : null, !!session && !!view.is_late);
    setFact("time", clock(since(page.dataset.started)));
  }
  function showAge(receivedAt, isLate) {
    var chip = document.querySelector('[data-chip="age"]');
    var at = receivedAt || (chip && chip.dataset.at);
    if (!chip || !at) { return; }
    var why = silence(document.querySelector(".session-page").dataset.connector.split("/")[1]);
    var seconds = feed.age(at), isOld = !!why || seconds > OLD_AFTER_S;
    chip.className = "chip" + (isLate || isOld ? " stale" : "");
    set(chip, why ? why + ", last value " + format.span(seconds) + " old" : isLate ? "Late value, received " + format.span(seconds) + " ago"
      : isOld ? "Last value " + format.span(seconds) + " old" : "Live, " + format.span(seconds) + " old");
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
    var names = stations[view.station] || [feed.plain(view.station, 60), "", ""], session = view.session;
    return {
      id: session.id, station: view.station, name: names[0], site: names[1], site_id: names[2], evse: view.evse,
      state: session.state, power_w: view.power_w === undefined ? null : view.power_w, at: view.power_received_at || null,
      late: !!view.is_late, energy_wh: session.energy_wh, soc: session.soc_percent === undefined ? null : session.soc_percent,
      started: session.started_at, ended: null, seconds: 0, cost: session.cost, currency: session.currency,
      token: feed.plain(session.token), review: session.needs_review ? ["needs a look"] : []
    };
  }
  function fits(page, row) {
    var text = page.dataset.text.toLowerCase();
    var hay = [row.station, row.name, row.token, row.id].join("\n").toLowerCase();
    return (!page.dataset.site || page.dataset.site === row.site_id) && (!page.dataset.state || page.dataset.state === row.state)
      && (!text || hay.includes(text));
  }
  var shown = new Map();  // connector's key -> the session its row is of
  function noteRow(key, view) {
    var session = view && view.session, before = shown.get(key);
    if (before && (!session || session.id !== before)) { removed.add(before); shown.delete(key); }
    if (!session) { return; }
    if (isOpen(session)) { pending.set(session.id, view); shown.set(key, session.id); } else { removed.add(session.id); pending.delete(session.id); }
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

  // on a phone the power stands beside the place and its state, the rest a swipe away
  var narrowed = null;
  function narrow(api) {
    if (innerWidth > 600 || narrowed === api) { return; }
    narrowed = api;
    api.applyColumnState({ state: [{ colId: "name", flex: null, width: 150 }, { colId: "state", width: 112 }, { colId: "power_w", width: 104 }] });
  }

  // ---- once a second, on this page's own clock

  function everySecond() {
    showSession();
    showCounts();
    flushRows();
    var api = livePage() && gridApi();
    if (api) { narrow(api); api.refreshCells({ columns: ["seconds", "power_w"], force: true, suppressFlash: true }); }
  }

  // a refresh draws these anew: what a person opened stays open
  var opened = new Set();
  document.addEventListener("toggle", function (event) {
    var key = event.target.dataset && event.target.dataset.key;
    if (key && event.target.isConnected) { if (event.target.open) { opened.add(key); } else { opened.delete(key); } }
  }, true);

  // and who works with the keyboard keeps the focus
  var focused = "", lostAt = 0;
  document.addEventListener("focusin", function (event) { focused = event.target.id || ""; });
  document.addEventListener("focusout", function () { lostAt = performance.now(); });
  function keepFocus() {
    if (!focused || document.activeElement !== document.body || performance.now() - lostAt > 400) { return; }
    var again = document.getElementById(focused);
    if (again) { again.focus({ preventScroll: true }); }
  }

  function dress() {
    keepFocus();
    document.querySelectorAll("details[data-key]:not([open])").forEach(function (node) {
      if (opened.has(node.dataset.key) && !node.dataset.dressed) { node.open = true; }
      node.dataset.dressed = "yes";
    });
    document.querySelectorAll(".nav-link[data-path]").forEach(function (link) {
      var path = link.dataset.path, here = location.pathname;
      var isHere = path === here || here.startsWith(path.replace(/s$/, "") + "/");  // one of a list's items
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
  document.addEventListener("click", function (event) {
    var question = event.target.closest("#stop-now") && event.target.closest("details");
    if (question) { question.open = false; }
  });
  document.addEventListener("change", function (event) {
    if (event.target.matches(".filters select")) { event.target.form.requestSubmit(); }
  });

  new MutationObserver(dress).observe(document.documentElement, { childList: true, subtree: true });
  setInterval(everySecond, 1000);
  feed.subscribe(function (changed) {
    changed.forEach(function (view, key) { if (key.startsWith("connector/")) { noteRow(key, view); } });
    showSession();
  });
})();
