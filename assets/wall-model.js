// The wall's view of the world: from documents of the feed to sites and tiles. No DOM; time is a parameter (ms).
(function () {
  "use strict";

  const OLD_AFTER_S = 90, BRIDGE_OLD_AFTER_S = 15;
  const OPEN = new Set(["pending", "charging", "suspended", "finishing"]);
  const WAITING = new Set(["Preparing", "SuspendedEV", "SuspendedEVSE", "Finishing", "Occupied"]);
  const WORDS = {
    Preparing: "plugged in, not started", SuspendedEV: "paused by the car", SuspendedEVSE: "paused by the charger",
    Finishing: "finished, cable still in", Occupied: "occupied", Reserved: "reserved", Available: "free",
    Unavailable: "out of service", Faulted: "faulted", Charging: "charging"
  };

  function seconds(iso, now) { return iso ? Math.max(0, (now - Date.parse(iso)) / 1000) : Infinity; }
  function isOpen(session) { return !!session && !session.ended_at && OPEN.has(session.state); }
  function connectorKey(station, evse, connector) { return "connector/" + segment(station) + "/" + evse + "/" + connector; }
  // as the topics have it (urllib.parse.quote)
  function segment(text) {
    return encodeURIComponent(text).replace(/[!'()*]/g, function (c) { return "%" + c.charCodeAt(0).toString(16).toUpperCase(); });
  }

  // Where everything stands: sites with their connectors in order. Stations the plan does not know yet still show.
  function structure(docs) {
    const plan = docs.get("plan") || { sites: [], stations: {}, connectors: [] };
    const sites = new Map(), places = new Map();
    plan.sites.forEach(function (site) { sites.set(site.id, site); });
    plan.connectors.forEach(function (c) { places.set(connectorKey(c.station, c.evse, c.connector), c); });
    docs.forEach(function (doc, key) {
      if (key.startsWith("connector/") && doc.evse > 0 && !places.has(key)) {
        places.set(key, { station: doc.station, evse: doc.evse, connector: doc.connector, kind: "", rated_w: null });
      }
    });
    const found = new Map();
    function siteOf(station) {
      const known = plan.stations[station], site = known && sites.get(known.site);
      const id = site ? site.id : "";
      if (!found.has(id)) {
        found.set(id, { id: id, name: site ? site.name : "No site yet", place: site ? site.place : "", limit_w: site ? site.grid_limit_w : null, stations: new Set(), tiles: [] });
      }
      return found.get(id);
    }
    Object.keys(plan.stations).forEach(function (station) { siteOf(station).stations.add(station); });
    docs.forEach(function (doc, key) { if (key.startsWith("station/")) { siteOf(doc.station).stations.add(doc.station); } });
    places.forEach(function (place, key) {
      const site = siteOf(place.station), known = plan.stations[place.station];
      site.stations.add(place.station);
      site.tiles.push({ key: key, station: place.station, evse: place.evse, connector: place.connector, kind: place.kind, rated_w: place.rated_w, name: (known && known.name) || place.station, site: site.id });
    });
    found.forEach(function (site) {
      site.tiles.sort(function (a, b) { return compare(a.name, b.name) || compare(a.station, b.station) || a.evse - b.evse || a.connector - b.connector; });
      site.tiles.forEach(function (tile, index) { tile.number = index + 1; });
      site.rated_w = site.tiles.reduce(function (sum, tile) { return sum + (tile.rated_w || 0); }, 0);
    });
    return [...found.values()].filter(function (site) { return site.tiles.length || site.stations.size; })
      .sort(function (a, b) { return (a.id === "") - (b.id === "") || compare(a.name, b.name) || compare(a.id, b.id); });
  }
  function compare(a, b) { return a.localeCompare(b, "en", { numeric: true }); }

  // One connector now: kind, figure, age, share of rated power, link, and the whole in words.
  function tileState(tile, docs, alarms, now) {
    const view = docs.get(tile.key), station = docs.get("station/" + segment(tile.station));
    if (!station && !view) { return plainState("offline", "", "never connected"); }
    if (station && !station.is_connected) {
      const gone = seconds(station.disconnected_at || station.last_seen_at, now);
      return aged("offline", gone, "offline");
    }
    const bridge = station && docs.get("bridge/" + segment(station.bridge || ""));
    if (bridge && (bridge.is_up === false || seconds(bridge.at, now) > BRIDGE_OLD_AFTER_S)) {
      return aged("stale", seconds(bridge.at, now), "old: its bridge does not answer");
    }
    return view ? viewState(tile, view, docs, alarms, now) : plainState("unknown", "", "status not reported yet");
  }
  function viewState(tile, view, docs, alarms, now) {
    const whole = docs.get("connector/" + segment(tile.station) + "/0/1");
    const alarm = alarms.get(tile.station + "/" + tile.evse), words = WORDS[view.status] || view.status;
    if (view.status === "Faulted") { return linked("/faults", aged("faulted", seconds(view.status_at, now), "faulted" + reason(view))); }
    if (view.status === "Unavailable") { return aged("out", seconds(view.status_at, now), words); }
    const busy = busyState(tile, view, now) || (view.status === "Reserved" ? plainState("reserved", "", words)
      : view.status === "Available" || view.status === "" && view.session ? plainState("free", "", "free")
        : view.status ? plainState("free", "", words) : plainState("unknown", "", "status not reported yet"));
    const isWarned = alarm && alarm.priority <= 3 || (whole && whole.status === "Faulted") || (view.error_code && view.error_code !== "NoError");
    if (!isWarned || busy.kind === "stale") { return busy; }
    const why = alarm ? alarm.title : whole && whole.status === "Faulted" ? "station faulted" + reason(whole) : view.error_code + reason(view);
    const kind = alarm && alarm.priority === 1 ? "faulted" : "warn";
    return Object.assign({}, busy, { kind: kind, text: "", age_s: null, words: why + ", " + busy.words, href: busy.href || "/faults", counts: busy.counts || busy.kind });
  }
  function busyState(tile, view, now) {
    const session = isOpen(view.session) ? view.session : null;
    const href = session ? "/session/" + encodeURIComponent(session.id) : "";
    if (view.status === "Charging" || (session && session.state === "charging" && !WAITING.has(view.status))) {
      return linked(href, chargingState(tile, view, session, now));
    }
    if (WAITING.has(view.status) || session) {
      const since = view.status_at || (session && session.started_at);
      return linked(href, Object.assign(aged("idle", seconds(since, now), WORDS[view.status] || "occupied, not charging"), { power_w: view.is_late ? 0 : view.power_w || 0 }));
    }
    return null;
  }
  function chargingState(tile, view, session, now) {
    if (typeof view.power_w !== "number") {
      const waits = seconds(view.status_at || (session && session.started_at), now);
      return waits > OLD_AFTER_S ? Object.assign(aged("stale", waits, "charging, no power reported"), { counts: "charging" }) : charging(tile, null);
    }
    const old = view.is_late ? seconds(view.power_at, now) : seconds(view.power_received_at || view.power_at, now);
    if (view.is_late || old > OLD_AFTER_S) {
      return Object.assign(aged("stale", old, "old value, " + (view.power_w / 1000).toFixed(1) + " kW"), { counts: "charging" });
    }
    return charging(tile, view.power_w);
  }
  function charging(tile, watts) {
    const share = watts === null ? 0 : tile.rated_w ? Math.min(1, Math.max(0, watts / tile.rated_w)) : .5;
    const kw = watts === null ? "–" : watts > 0 && watts < 9950 ? (watts / 1000).toFixed(watts < 995 ? 1 : 0) : (watts / 1000).toFixed(0);
    const of = tile.rated_w ? " of " + tile.rated_w / 1000 : "";
    return { kind: "charging", text: kw, age_s: null, share: share, power_w: watts || 0, words: "charging, " + kw + of + " kW", href: "" };
  }
  function reason(view) {
    const code = view.error_code && view.error_code !== "NoError" ? view.error_code : "";
    return [code, view.info].filter(Boolean).map(function (text) { return ": " + text; }).join("");
  }
  function plainState(kind, text, words) { return { kind: kind, text: text, age_s: null, share: 0, power_w: 0, words: words, href: "" }; }
  function aged(kind, age_s, words) { return { kind: kind, text: null, age_s: isFinite(age_s) ? age_s : null, share: 0, power_w: 0, words: words, href: "" }; }
  function linked(href, state) { state.href = href; return state; }

  // A site from its tiles' states: power, how bad it is (1 worst .. 4 fine), and since when nothing came.
  function siteState(site, states, docs, alarms, now) {
    let power_w = 0, worst = alarms.get("site:" + site.id) || 4, offline = 0, newest = Infinity, old = 0;
    site.tiles.forEach(function (tile) {
      const state = states.get(tile.key);
      power_w += state.power_w;
      old += state.kind === "stale";
      if (state.kind === "faulted") { worst = 1; }
      if (state.kind === "warn" || state.kind === "stale") { worst = Math.min(worst, 3); }
    });
    site.stations.forEach(function (id) {
      const station = docs.get("station/" + segment(id));
      if (station && station.is_connected) { return; }
      offline += 1;
      if (station) { newest = Math.min(newest, seconds(station.disconnected_at || station.last_seen_at, now)); }
    });
    if (offline) { worst = Math.min(worst, 2); }
    const isKnown = power_w > 0 || old === 0;  // nothing fresh is not the same as no power
    return { power_w: power_w, isKnown: isKnown, severity: worst, offline: offline, isDark: offline > 0 && offline === site.stations.size, dark_s: newest };
  }

  // Open alarms in the order they are read: not acknowledged first, then priority, then the newest.
  function alarmsOf(docs) {
    const found = [];
    docs.forEach(function (doc, key) { if (key.startsWith("alarm/")) { found.push(doc); } });
    return found.sort(function (a, b) {
      return (a.state !== "unacknowledged") - (b.state !== "unacknowledged") || a.priority - b.priority || Date.parse(b.raised_at) - Date.parse(a.raised_at) || a.id - b.id;
    });
  }
  // "station/evse" -> its worst alarm; "site:id" -> worst priority there
  function alarmIndex(alarms, siteByStation) {
    const index = new Map();
    alarms.forEach(function (alarm) {
      if (alarm.state === "returned" || alarm.priority > 3) { return; }
      const key = alarm.station + "/" + alarm.evse, before = index.get(key), site = "site:" + siteByStation.get(alarm.station);
      if (!before || alarm.priority < before.priority) { index.set(key, alarm); }
      index.set(site, Math.min(index.get(site) || 4, alarm.priority));
    });
    return index;
  }

  function sessionsOf(tiles, docs) {
    const open = [], over = [];
    tiles.forEach(function (tile) {
      const view = docs.get(tile.key), session = view && view.session;
      if (!session) { return; }
      if (isOpen(session)) { open.push({ tile: tile, view: view, session: session }); } else if (session.ended_at) { over.push({ tile: tile, view: view, session: session }); }
    });
    open.sort(function (a, b) { return Date.parse(a.session.started_at) - Date.parse(b.session.started_at); });
    over.sort(function (a, b) { return Date.parse(b.session.ended_at) - Date.parse(a.session.ended_at); });
    return { open: open, over: over };
  }

  window.wallModel = {
    structure: structure, tileState: tileState, siteState: siteState, alarmsOf: alarmsOf, alarmIndex: alarmIndex,
    sessionsOf: sessionsOf, seconds: seconds
  };
})();
