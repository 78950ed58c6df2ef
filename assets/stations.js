// The list of stations in the browser: cells, filters, and rows kept current from the live feed (assets/feed.js).
// dashboard/station_rows.py makes the same rows. Texts from chargers are only ever set as text, never as HTML.
(function () {
  "use strict";

  const feed = window.chargewatch, format = feed.format, NONE = format.NONE;
  const FAULTED = 1, OFFLINE = 2, OUT = 3, NEVER = 8, FINE = 9, BRIDGE_OLD_AFTER_S = 15;
  const KINDS = {
    Available: ["free", "free"], Charging: ["charging", "charging"], Preparing: ["idle", "plugged in, not started"],
    SuspendedEV: ["idle", "paused by the car"], SuspendedEVSE: ["idle", "paused by the charger"],
    Finishing: ["idle", "finished, cable still in"], Reserved: ["reserved", "reserved"],
    Unavailable: ["out", "out of service"], Faulted: ["faulted", "faulted"], "": ["unknown", "not told"]
  };
  const MOST_CONNECTORS = 7;
  const rows = new Map(), changed = new Set();

  function page() { return document.querySelector(".stations-page"); }
  function grid() {
    try { return page() && window.dash_ag_grid ? window.dash_ag_grid.getApi("station-grid") : null; } catch (error) { return null; }
  }
  function element() { return window.React.createElement.apply(null, arguments); }
  function age(iso) { return iso ? format.span(feed.age(iso)) : ""; }

  // ---- order: trouble first, as station_rows.arranged does it

  function collated(name) { return name.toLowerCase().replace(/\d{1,9}/g, function (digits) { return digits.padStart(9, "0"); }); }
  function urgency(row) {
    const seconds = row.rank < NEVER && row.since ? Math.max(0, Math.floor(Date.parse(row.since) / 1000)) : 0;
    return row.rank + String(seconds).padStart(11, "0");
  }
  function judge(row) {
    const found = row.alarms.map(function (alarm) { return { rank: alarm[1], word: "alarm", since: alarm[2] || row.since }; });
    if (!row.up && !row.seen) { found.splice(0, found.length, { rank: NEVER, word: "never connected", since: null }); }
    else if (!row.up) { found.push({ rank: OFFLINE, word: "offline", since: row.at }); }
    else {
      row.connectors.concat([[0, 0, row.own, row.ownAt]]).forEach(function (one) {
        const whole = one[0] ? "" : "station ";
        if (one[2] === "Faulted") { found.push({ rank: FAULTED, word: whole + "faulted", since: one[3] || row.since }); }
        if (one[2] === "Unavailable") { found.push({ rank: OUT, word: whole + "out of service", since: one[3] || row.since }); }
      });
    }
    found.sort(function (a, b) { return a.rank - b.rank || (a.word === "alarm") - (b.word === "alarm") || Date.parse(a.since || 0) - Date.parse(b.since || 0); });
    return found[0] || { rank: FINE, word: "", since: null };
  }

  // ---- what the feed brings

  function take(docs) {
    docs.forEach(function (doc, key) {
      const parts = key.split("/"), kind = parts[0];
      if (kind === "station" || kind === "connector") { changed.add(decodeURIComponent(parts[1])); }
      if (kind === "alarm") { takeAlarm(Number(parts[1]), doc); }
    });
  }
  const stationOf = new Map();  // alarm -> station
  function takeAlarm(id, doc) {
    const station = doc ? doc.station : stationOf.get(id), row = rows.get(station);
    if (!row) { return; }
    row.alarms = row.alarms.filter(function (alarm) { return alarm[0] !== id; });
    if (doc) { row.alarms.push([id, doc.priority, doc.raised_at]); stationOf.set(id, station); }
    changed.add(station);
  }
  function segment(id) { return encodeURIComponent(id).replace(/[!'()*]/g, function (c) { return "%" + c.charCodeAt(0).toString(16).toUpperCase(); }); }
  function renew(row) {
    const station = feed.docs.get("station/" + segment(row.id));
    if (station) {
      row.up = !!station.is_connected;
      row.at = (row.up ? station.connected_at : station.disconnected_at) || row.at;
      row.seen = station.last_seen_at || row.seen;
      row.firmware = feed.plain(station.firmware || row.firmware, 40);
      row.charger = feed.plain([station.vendor, station.model].filter(Boolean).join(" ") || row.charger, 60);
      row.bridge = station.bridge;
    }
    return row;
  }
  function renewConnectors(views) {
    views.forEach(function (view) {
      const row = rows.get(view.station);
      if (!row) { return; }
      if (!view.evse) { row.own = view.status || ""; row.ownAt = view.status_at; return; }
      const known = row.connectors.find(function (one) { return one[0] === view.evse && one[1] === view.connector; });
      const said = [view.evse, view.connector, view.status || "", view.status_at, view.power_w];
      if (known) { known.splice(0, 5, ...said); } else { row.connectors.push(said); row.connectors.sort(function (a, b) { return a[0] - b[0] || a[1] - b[1]; }); }
    });
  }
  function flush() {
    const api = grid();
    if (!api) { rows.clear(); return; }
    if (!rows.size) { begin(api); api.redrawRows(); }
    if (!changed.size) { return; }
    const views = [];
    feed.docs.forEach(function (doc, key) {
      if (key.startsWith("connector/") && changed.has(doc.station)) { views.push(doc); }
    });
    renewConnectors(views);
    const told = [], sites = new Set();
    changed.forEach(function (id) {
      const row = rows.get(id);
      if (!row) { return; }
      const before = urgency(row);
      Object.assign(renew(row), judge(row));
      if (urgency(row) !== before) { sites.add(row.site_id); }
      told.push(row);
    });
    changed.clear();
    api.applyTransaction({ update: told.concat(reordered(sites, told)).map(copied) });
    showCount(api);
  }
  // the grid draws a cell anew when its value is another, not when it was changed inside
  function copied(row) {
    return row.head ? Object.assign({}, row) : Object.assign({}, row, { connectors: row.connectors.map(function (one) { return one.slice(); }), alarms: row.alarms.slice() });
  }
  // a site stands where its worst station puts it
  function reordered(sites, told) {
    const more = [];
    sites.forEach(function (site) {
      const members = [...rows.values()].filter(function (row) { return row.site_id === site && !row.head; });
      const worst = members.map(urgency).sort()[0], head = rows.get("site\u0001" + site);
      const prefix = worst + (site ? collated(members[0].site) : "\uffff") + "\u0001" + site + "\u0001";
      head.order = prefix;
      members.forEach(function (row) { row.order = prefix + urgency(row) + collated(row.name); });
      more.push(head, ...members.filter(function (row) { return !told.includes(row); }));
    });
    return more;
  }
  function begin(api) {
    api.forEachNode(function (node) { rows.set(node.data.id, copied(node.data)); });
    rows.forEach(function (row) { (row.alarms || []).forEach(function (alarm) { stationOf.set(alarm[0], row.id); }); });
    rows.forEach(function (row) { if (!row.head && feed.docs.has("station/" + segment(row.id))) { changed.add(row.id); } });
    api.addEventListener("sortChanged", function () { refilter(api); });
    refilter(api);
  }

  // ---- what is looked for

  const TESTS = {
    trouble: function (row) { return row.rank < NEVER; },
    faulted: function (row) { return row.up && (row.own === "Faulted" || row.connectors.some(function (one) { return one[2] === "Faulted"; })); },
    offline: function (row) { return !row.up && !!row.seen; },
    out: function (row) { return row.up && (row.own === "Unavailable" || row.connectors.some(function (one) { return one[2] === "Unavailable"; })); },
    charging: function (row) { return row.up && row.connectors.some(function (one) { return one[2] === "Charging"; }); },
    connected: function (row) { return row.up; },
    never: function (row) { return !row.up && !row.seen; }
  };
  let asked = { site: "", state: "", text: "" }, seenSites = new Map(), isSorted = false;
  function fits(row) {
    const test = TESTS[asked.state];
    return (!asked.site || asked.site === row.site_id) && (!test || test(row))
      && (!asked.text || [row.id, row.name, row.site, row.charger, row.firmware, row.protocol].join("\n").toLowerCase().includes(asked.text));
  }
  function refilter(api) {
    const data = page().dataset;
    asked = { site: data.site || "", state: data.state || "", text: (data.text || "").toLowerCase() };
    isSorted = api.getColumnState().some(function (column) { return column.sort && column.colId !== "order"; });
    seenSites = new Map();
    rows.forEach(function (row) { if (!row.head && fits(row)) { seenSites.set(row.site_id, (seenSites.get(row.site_id) || 0) + 1); } });
    api.onFilterChanged();
    showCount(api);
  }
  function showCount(api) {
    let all = 0, shown = 0, wrong = 0;
    rows.forEach(function (row) { if (!row.head) { all += 1; if (fits(row)) { shown += 1; wrong += row.rank < NEVER; } } });
    const line = document.getElementById("station-count");
    const text = (shown === all ? all : shown + " of " + all) + (all === 1 ? " station" : " stations") + (wrong ? ", " + wrong + " in trouble" : "");
    let fresh = 0;  // came since: nothing is put under the eye of who reads
    feed.docs.forEach(function (doc, key) { if (key.startsWith("station/") && !rows.has(doc.station)) { fresh += 1; } });
    const more = fresh ? fresh + " new: show" : "";
    if (!line || line.dataset.said === text + more) { return; }
    line.dataset.said = text + more;
    line.replaceChildren(text + (more ? ", " : ""), ...(more ? [Object.assign(document.createElement("a"), { href: location.href, textContent: more })] : []));
  }
  function look(event) {
    const form = event.target.closest && event.target.closest(".stations-page .filters"), api = grid();
    if (!form || !api) { return; }
    const given = new URLSearchParams(new FormData(form));
    ["site", "state", "text"].forEach(function (name) { page().dataset[name] = given.get(name) || ""; if (!given.get(name)) { given.delete(name); } });
    history.replaceState(history.state, "", location.pathname + (String(given) ? "?" + given : ""));
    refilter(api);
  }
  document.addEventListener("input", look);
  document.addEventListener("submit", function (event) { if (event.target.closest(".stations-page .filters")) { event.preventDefault(); } });

  // ---- cells

  const functions = window.dashAgGridFunctions = window.dashAgGridFunctions || {};
  functions.cwIsHead = function (params) { return !!params.rowNode.data && !!params.rowNode.data.head; };
  functions.cwHeight = function (params) { return params.data && params.data.head ? 40 : 44; };
  functions.cwAlways = function () { return true; };
  functions.cwFits = function (params) {
    const row = params.data;
    return row.head ? !isSorted && (!rows.size || seenSites.has(row.site_id)) : fits(rows.get(row.id) || row);
  };
  functions.cwPlainOrder = function (a, b) { return a < b ? -1 : a > b ? 1 : 0; };
  functions.cwMostAlarms = function (a, b) { return (a || []).length - (b || []).length; };

  const cells = window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {};
  cells.CwSite = function (props) {
    const of = [...rows.values()].filter(function (row) { return !row.head && row.site_id === props.data.site_id; });
    const power = of.reduce(function (sum, row) { return sum + row.connectors.reduce(function (all, one) { return all + (one[2] === "Charging" && one[4] || 0); }, 0); }, 0);
    const offline = of.filter(function (row) { return !row.up && row.seen; }).length;
    const words = [of.length + (of.length === 1 ? " station" : " stations")];
    if (offline) { words.push(offline + " offline"); }
    if (power) { words.push(format.kw(power, 0) + " kW"); }
    return element("div", { className: "site-row" }, element("b", null, props.data.site || "No site"), element("span", { className: "cell-sub num" }, of.length ? words.join(", ") : ""));
  };
  cells.CwStation = function (props) {
    const row = props.data;
    return element("a", { href: "/station/" + encodeURIComponent(row.id), className: "place" }, element("b", null, row.name),
      element("span", { className: "cell-sub" }, isSorted && row.site ? "  " + row.site : row.name === row.id ? "" : "  " + feed.plain(row.id, 40)));
  };
  cells.CwStationState = function (props) {
    const row = props.data, bridge = row.bridge && feed.docs.get("bridge/" + segment(row.bridge));
    const isLost = row.up && bridge && (bridge.is_up === false || feed.age(bridge.at) > BRIDGE_OLD_AFTER_S);
    if (isLost) { return element("span", { className: "cell-old" }, "Bridge gone, ", age(bridge.at)); }
    if (row.rank === NEVER) { return element("span", { className: "cell-sub" }, "Never connected"); }
    if (!row.up) { return state("warn", "▲", "Offline", row.at); }
    if (row.rank === FAULTED && row.word !== "alarm") { return state("bad", "◆", row.word, row.since); }
    if (row.rank === OUT && row.word !== "alarm") { return state("", "○", row.word, row.since); }
    return state("", "", "Connected", row.at);
  };
  function state(kind, shape, word, since) {
    return element("span", { className: "cell-state " + kind }, shape ? element("span", { "aria-hidden": "true" }, shape) : null,
      word.charAt(0).toUpperCase() + word.slice(1), element("span", { className: "cell-sub num" }, age(since)));
  }
  cells.CwConnectors = function (props) {
    const row = props.data, shown = row.connectors.slice(0, row.connectors.length > MOST_CONNECTORS ? MOST_CONNECTORS - 1 : MOST_CONNECTORS);
    const many = row.connectors.some(function (one) { return one[1] > 1; });
    const glyphs = shown.map(function (one) {
      const kind = KINDS[one[2]] || ["idle", one[2]], name = many ? one[0] + "." + one[1] : String(one[0]);
      const words = "Connector " + name + ": " + (row.up ? kind[1] : "offline, last " + kind[1]) + (row.up && one[4] && one[2] === "Charging" ? ", " + format.kw(one[4], 1) + " kW" : "");
      return element("span", { key: name, className: "plug " + (row.up ? kind[0] : "offline"), title: words, role: "img", "aria-label": words }, name);
    });
    const more = row.connectors.length - shown.length;
    return element("span", { className: "plugs num" }, glyphs, more > 0 ? element("span", { className: "cell-sub" }, "+" + more) : null);
  };
  cells.CwProtocol = function (props) {
    return element("span", null, props.value || NONE, props.data.security ? element("span", { className: "cell-sub" }, ", " + props.data.security) : null);
  };
  cells.CwCharger = function (props) {
    return element("span", null, props.value || NONE, props.data.firmware ? element("span", { className: "cell-sub" }, "  " + props.data.firmware) : null);
  };
  cells.CwSeen = function (props) {
    return element("span", { className: "cell-sub num" }, props.value ? age(props.value) + " ago" : "never");
  };
  cells.CwAlarms = function (props) {
    const found = props.value || [], worst = found.reduce(function (low, alarm) { return Math.min(low, alarm[1]); }, 9);
    if (!found.length) { return ""; }
    const shape = worst === 1 ? "◆" : worst === 2 ? "▲" : "●";
    return element("a", { href: "/faults", className: "cell-state " + (worst === 1 ? "bad" : worst === 2 ? "warn" : ""), "aria-label": found.length + " open, worst priority " + worst },
      element("span", { "aria-hidden": "true" }, shape), String(found.length));
  };
  cells.CwVariable = function (props) {
    return element("span", { title: props.value }, props.value || NONE, props.data.unit ? element("span", { className: "cell-sub" }, " " + props.data.unit) : null);
  };
  cells.CwSet = function (props) {
    return props.value ? element("a", { href: props.value, "aria-label": "Set " + props.data.variable }, "Set") : "";
  };
  cells.CwNoVariables = function () { return element("span", null, "Nothing it told fits this search."); };
  document.addEventListener("input", function (event) {
    if (event.target.id !== "variable-text" || !window.dash_ag_grid) { return; }
    window.dash_ag_grid.getApi("variable-grid").setGridOption("quickFilterText", event.target.value);
  });
  cells.CwNoStations = function () { return element("span", null, "No station fits this search."); };

  // ---- the page of one station: ages run on, and a change of state is fetched at once

  let told = "", toldOf = "";
  function showStation() {
    const host = document.querySelector(".station-page");
    if (!host) { told = toldOf = ""; return; }
    const name = host.dataset.station, station = feed.docs.get("station/" + name);
    const chip = host.querySelector('[data-chip="connection"][data-since]'), seen = host.querySelector('[data-fact="station-seen"] .value');
    if (chip) { set(chip, chip.dataset.word + " " + age(chip.dataset.since)); }
    if (!station) { return; }
    if (seen && station.last_seen_at) { set(seen, age(station.last_seen_at)); }
    const parts = [station.is_connected, station.firmware];
    feed.docs.forEach(function (doc, key) {
      if (!key.startsWith("connector/" + name + "/")) { return; }
      parts.push(doc.status, doc.session && doc.session.id, doc.session && doc.session.state);
      const outlet = host.querySelector('[data-outlet="' + CSS.escape(key) + '"] .flow:not(.late) .value');
      if (outlet && !doc.is_late && doc.power_w !== undefined) { set(outlet, format.kw(doc.power_w, 1)); }
    });
    const now = JSON.stringify(parts);
    if (toldOf === name && told !== now && window.dash_clientside) {  // a moment later, when the records have it too
      setTimeout(function () { if (document.getElementById("station-body")) { window.dash_clientside.set_props("station-tick", { n_intervals: Date.now() }); } }, 1500);
    }
    told = now;
    toldOf = name;
  }
  function set(node, text) { if (node.textContent !== text) { node.textContent = text; } }

  // ---- once a second, on this page's own clock

  let narrowed = null;
  function everySecond() {
    const api = grid();
    flush();
    if (api && rows.size) { showCount(api); }
    showStationCount();
    showStation();
    showTab();
    if (!api) { return; }
    api.refreshCells({ columns: ["rank", "seen"], force: true, suppressFlash: true });
    if (innerWidth <= 600 && narrowed !== api) {
      narrowed = api;
      api.applyColumnState({ state: [{ colId: "name", flex: null, width: 148 }, { colId: "rank", width: 150 }, { colId: "connectors", width: 150 }] });
    }
    document.querySelectorAll("[data-address]:not([data-told])").forEach(function (node) {
      node.dataset.told = "yes";
      node.firstChild.textContent = node.dataset.address.replace("{host}", location.hostname);
    });
  }
  // on a phone the chosen tab may lie beyond the edge
  function showTab() {
    const tab = document.querySelector(".page-tabs a[aria-current]:not([data-shown])");
    if (!tab) { return; }
    tab.dataset.shown = "yes";
    tab.parentNode.scrollLeft = tab.offsetLeft - tab.parentNode.offsetLeft - 60;
  }
  function showStationCount() {
    const plan = feed.docs.get("plan");  // every station, also one that no bridge holds; without it those that live
    let stations = plan ? Object.keys(plan.stations).length : 0;
    if (!plan) { feed.docs.forEach(function (_, key) { if (key.startsWith("station/")) { stations += 1; } }); }
    document.querySelectorAll('[data-count="stations"]').forEach(function (node) {
      const text = stations ? String(stations) : "";
      if (node.textContent !== text) { node.textContent = text; }
    });
  }
  setInterval(everySecond, 1000);
  feed.subscribe(function (docs) { take(docs); });
})();
