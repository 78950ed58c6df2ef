// The parts of the wall beside the sites: figures, alarms, sessions, header. Each takes what is true now and touches
// only what changed. Texts from chargers are set as textContent only.
(function () {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) { node.className = className; }
    if (text !== undefined) { node.textContent = text; }
    return node;
  }
  function set(node, text) { if (node.textContent !== text) { node.textContent = text; } }
  function dress(node, className) { if (node.className !== className) { node.className = className; } }

  // ---- figures

  function kpi(label) {
    const node = make("div", "kpi"), figure = make("b", "num"), value = document.createTextNode("–"), unit = make("small");
    const note = make("span", "note");
    figure.append(value, unit);
    node.append(make("span", "label", label), figure, note);
    return { node: node, show: function (text, unitText, noteText, isLate) {
      if (value.data !== text) { value.data = text; }
      set(unit, unitText);
      set(note, noteText);
      dress(note, isLate ? "note late" : "note");
    } };
  }

  function path(parent, attributes) {
    const node = document.createElementNS(SVG, attributes.tag || "path");
    for (const name in attributes) { if (name !== "tag" && name !== "text") { node.setAttribute(name, attributes[name]); } }
    if (attributes.text !== undefined) { node.textContent = attributes.text; }
    parent.append(node);
  }
  // Today's power over what is usual, drawn to the pixel. Limit dashed, the hours under it, now as a dot.
  function curve(svg, summary, powerNow, limit, now) {
    const width = svg.clientWidth, height = svg.clientHeight;
    svg.replaceChildren();
    if (!summary || !width || (!summary.day && !summary.band)) { return; }
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const day = summary.day || [], band = summary.band, top = 1.5 * rem, bottom = height - 1.7 * rem;
    const most = Math.max(powerNow || 0, 1, ...day.map(function (v) { return v || 0; }), ...(band ? band.high : []));
    const shows = limit > 0 && limit < most * 2.2, full = shows ? Math.max(limit, most) : most * 1.1;
    const x = function (slot) { return slot / 96 * width; }, y = function (w) { return bottom - w / full * (bottom - top); };
    const line = function (values, from) { return values.map(function (v, i) { return (i ? "L" : from) + x(i + .5).toFixed(1) + "," + y(v || 0).toFixed(1); }).join(""); };
    if (band) {
      const back = band.low.map(function (v, i) { return "L" + x(i + .5).toFixed(1) + "," + y(v).toFixed(1); }).reverse().join("");
      path(svg, { d: line(band.high, "M") + back + "Z", fill: "var(--line)", stroke: "var(--line)", "stroke-width": .5 * rem, "stroke-linejoin": "round", opacity: ".75" });  // the stroke shows a band of one day
    }
    const slot = Math.min(96, Math.max(0, (now - Date.parse(summary.day_start)) / 900000));
    const known = day.slice(0, Math.floor(slot));
    if (shows) {
      path(svg, { tag: "line", x1: 0, x2: width, y1: y(limit), y2: y(limit), stroke: "var(--ink-3)", "stroke-dasharray": ".3rem .5rem", "stroke-width": ".12rem" });
      path(svg, { tag: "text", x: width, y: y(limit) - .5 * rem, "text-anchor": "end", text: "grid limit" });
    }
    path(svg, { tag: "line", x1: 0, x2: width, y1: bottom, y2: bottom, stroke: "var(--line)", "stroke-width": ".1rem" });
    [0, 6, 12, 18, 24].forEach(function (hour) {
      const anchor = hour === 0 ? "start" : hour === 24 ? "end" : "middle";
      path(svg, { tag: "text", x: x(hour * 4), y: height - .1 * rem, "text-anchor": anchor, text: String(hour).padStart(2, "0") });
    });
    const end = powerNow === null ? "" : (known.length ? "L" : "M") + x(slot).toFixed(1) + "," + y(powerNow).toFixed(1);
    path(svg, { d: line(known, "M") + end, fill: "none", stroke: "var(--energy)", "stroke-width": ".24rem", "stroke-linejoin": "round", "stroke-linecap": "round" });
    if (powerNow !== null) { path(svg, { tag: "circle", cx: x(slot), cy: y(powerNow), r: .45 * rem, fill: "var(--energy)", stroke: "var(--panel)", "stroke-width": ".2rem" }); }
  }

  function figures() {
    const cw = window.chargewatch, f = cw.format, node = make("section", "kpis");
    const power = kpi("Power now"), charging = kpi("Charging"), energy = kpi("Energy today"), revenue = kpi("Revenue today"), success = kpi("First plug-in success, 24 h");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", "Power today by quarter of an hour, with the usual band of this weekday");
    power.node.append(svg);
    [power, charging, energy, revenue, success].forEach(function (part) { node.append(part.node); });
    node.setAttribute("aria-label", "Figures of all sites");

    function showPower(live, summary, now) {
      const of = live.limit_w ? " of " + f.kw(live.limit_w) : "";
      let note = live.old ? live.old + (live.old === 1 ? " old value" : " old values") + " left out" : "no history to compare with yet";
      if (!live.old && summary && summary.band) {
        const slot = Math.min(95, Math.max(0, Math.floor((now - Date.parse(summary.day_start)) / 900000)));
        const at = Date.parse(summary.day_start) + slot * 900000;
        const weekday = new Intl.DateTimeFormat("en-GB", { weekday: "long", timeZone: summary.zone }).format(at);
        note = "usual for " + weekday + " " + f.time(at) + ": " + f.kw(summary.band.usual[slot]);
      }
      const known = live.old > 0 && live.power_w === 0 ? null : live.power_w;  // nothing fresh is not the same as no power
      power.show(f.kw(known), "kW" + of, note, live.old > 0);
      curve(svg, summary, known, live.limit_w, now);
    }
    function moneyLine(amounts, digits) {
      return Object.keys(amounts).map(function (currency) { return f.money(amounts[currency], currency, digits); });
    }
    function showRevenue(summary) {
      if (!summary || !summary.revenue) { revenue.show("–", "", "the records do not answer", false); return; }
      const parts = moneyLine(summary.revenue), risk = moneyLine(summary.at_risk || {}), count = summary.at_risk_sessions || 0;
      const large = parts.length === 1 && Number(Object.values(summary.revenue)[0]) >= 1000 ? moneyLine(summary.revenue, 0) : parts;
      revenue.show(large[0] || "0", large.slice(1).join("  "), count ? (risk.join(", ") + " to review, " + count + (count === 1 ? " session" : " sessions")) : "nothing to review", false);
    }
    function showDay(summary) {
      const wh = summary ? summary.energy_wh : null, count = summary ? summary.sessions : null;
      const isLarge = wh !== null && wh >= 1e6;
      const usual = summary && summary.usual_sessions !== null ? ", usual " + f.fixed(summary.usual_sessions, 0) : "";
      energy.show(wh === null ? "–" : isLarge ? f.fixed(wh / 1e6, 2) : f.kwh(wh, 0), isLarge ? "MWh" : "kWh", count === null ? "the stores do not answer" : f.fixed(count, 0) + " sessions" + usual, false);
      const share = summary ? summary.success_share : null;
      success.show(share === null ? "–" : f.fixed(share * 100, 1), share === null ? "" : "%", summary && summary.ended_24h ? f.fixed(summary.ended_24h, 0) + " sessions ended" : "no session ended yet", false);
    }
    return { node: node, show: function (live, summary, now) {
      showPower(live, summary, now);
      const isKnown = live.charging + live.idle > 0 || live.old === 0;
      const note = isKnown ? live.idle + " occupied, not charging" : "no connector has a fresh value";
      charging.show(isKnown ? String(live.charging) : "–", "of " + f.fixed(live.connectors, 0) + " connectors", note, !isKnown);
      showDay(summary);
      showRevenue(summary);
    } };
  }

  // ---- alarms

  const LONGEST = 12;
  function alarmRow() {
    const node = make("a", "al"), shape = make("div", "sh"), body = make("div"), when = make("time");
    const title = make("strong"), consequence = make("span"), action = make("span", "do"), age = make("b", "num"), state = document.createTextNode("");
    node.href = "/faults";
    body.append(title, consequence, action);
    when.append(age, state);
    node.append(shape, body, when);
    function tick(alarm) { set(age, window.chargewatch.format.span(window.chargewatch.age(alarm.raised_at))); }
    return { node: node, alarm: null, tick: tick, show: function (alarm) {
      const plain = window.chargewatch.plain, isNew = alarm.state === "unacknowledged", priority = Math.min(4, Math.max(1, alarm.priority));
      dress(node, "al p" + priority + (isNew ? " new" : " seen"));
      set(shape, String(priority));
      shape.setAttribute("aria-label", "Priority " + priority);
      shape.setAttribute("role", "img");
      set(title, plain(alarm.title || alarm.rule, 160));
      set(consequence, isNew ? plain(alarm.consequence, 160) : "");
      set(action, isNew ? plain(alarm.action, 160) : "");
      const word = isNew ? "new" : alarm.state === "returned" ? "over" : alarm.acknowledged_by ? "with " + plain(alarm.acknowledged_by, 14) : "seen";
      if (state.data !== word) { state.data = word; }
      this.alarm = alarm;
      tick(alarm);
    } };
  }
  function alarmPanel() {
    const node = make("section", "panel alarms"), head = make("h2", "", "Alarms"), count = make("span", "num"), rows = make("div");
    const more = make("a", "more"), calm = make("p", "calm-line", "Nothing is wrong.");
    const shown = new Map();
    more.href = "/faults";
    head.append(count);
    node.append(head, rows, calm, more);
    node.setAttribute("aria-label", "Alarms");
    function fit(total) {
      const list = [...rows.children], limit = node.parentElement ? node.parentElement.clientHeight * .56 : 1e9;
      list.forEach(function (row) { row.hidden = false; });
      let visible = list.length;
      if (innerWidth > 760) {
        while (visible > 1 && rows.offsetHeight > limit) { visible -= 1; list[visible].hidden = true; }
      }
      more.hidden = total <= visible;
      set(more, "and " + (total - visible) + " more");
    }
    return { node: node, tick: function () { shown.forEach(function (row) { row.tick(row.alarm); }); }, fit: fit, show: function (alarms) {
      const fresh = alarms.filter(function (a) { return a.state === "unacknowledged"; }).length;
      set(count, alarms.length ? fresh + " new, " + alarms.length + " open" : "");
      calm.hidden = alarms.length > 0;
      const top = alarms.slice(0, LONGEST), keep = new Set(top.map(function (a) { return a.id; }));
      shown.forEach(function (row, id) { if (!keep.has(id)) { row.node.remove(); shown.delete(id); } });
      top.forEach(function (alarm, index) {
        if (!shown.has(alarm.id)) { shown.set(alarm.id, alarmRow()); }
        const row = shown.get(alarm.id);
        row.show(alarm);
        if (rows.children[index] !== row.node) { rows.insertBefore(row.node, rows.children[index] || null); }
      });
      fit(alarms.length);
    } };
  }

  // ---- sessions

  function cells(count) {
    const row = make("tr"), found = [];
    for (let i = 0; i < count; i += 1) { found.push(row.appendChild(make("td"))); }
    const link = found[0].appendChild(make("a"));
    return { row: row, td: found, link: link };
  }
  function place(entry) { return window.chargewatch.plain(entry.place, 60); }
  function openRow() {
    const part = cells(5), bar = make("span", "bar"), fill = make("i"), text = make("span", "w");
    bar.append(fill);
    part.td[1].append(bar, text);
    part.td[2].className = "dim";
    return { node: part.row, show: function (entry) {
      const f = window.chargewatch.format, soc = entry.session.soc_percent, isKnown = typeof soc === "number";
      const share = isKnown ? soc : entry.tile.rated_w && typeof entry.view.power_w === "number" ? Math.min(100, entry.view.power_w / entry.tile.rated_w * 100) : 0;
      set(part.link, place(entry));
      part.link.href = "/session/" + encodeURIComponent(entry.session.id);
      bar.style.visibility = isKnown ? "" : "hidden";
      fill.style.width = share.toFixed(0) + "%";
      set(text, isKnown ? soc.toFixed(0) + " %" : f.kw(entry.view.power_w, 1) + " kW");
      set(part.td[2], f.span(window.chargewatch.age(entry.session.started_at)));
      set(part.td[3], f.kwh(entry.session.energy_wh) + " kWh");
      set(part.td[4], f.money(entry.session.cost, entry.session.currency));
      part.td[4].className = "fold";
    } };
  }
  const CLEAN = new Set(["", "Local", "Remote", "EVDisconnected", "SOCLimitReached", "EnergyLimitReached", "TimeLimitReached", "StoppedByEV", "MasterPass", "DeAuthorized", "LocalOutOfCredit"]);
  function endWords(session) {
    if (session.state === "orphaned") { return ["no stop seen", true]; }
    if (session.needs_review) { return ["to review", true]; }
    if (!CLEAN.has(session.stop_reason || "")) { return [session.stop_reason === "Other" ? "interrupted" : window.chargewatch.plain(session.stop_reason, 22), true]; }
    return [session.stop_reason === "Remote" ? "stopped remotely" : session.stop_reason === "EVDisconnected" ? "unplugged" : "completed", false];
  }
  function overRow() {
    const part = cells(5);
    part.td[2].className = "dim";
    return { node: part.row, show: function (entry) {
      const f = window.chargewatch.format, words = endWords(entry.session);
      set(part.link, place(entry));
      part.link.href = "/session/" + encodeURIComponent(entry.session.id);
      set(part.td[1], words[0]);
      part.td[1].className = words[1] ? "cut" : "dim";
      set(part.td[2], f.span((Date.parse(entry.session.ended_at) - Date.parse(entry.session.started_at)) / 1000));
      set(part.td[3], f.kwh(entry.session.energy_wh) + " kWh");
      set(part.td[4], f.money(entry.session.cost, entry.session.currency));
      part.td[4].className = "fold";
    } };
  }
  function list(title, build, nothing) {
    const head = make("h2", "", title), note = make("span", "num"), table = make("table", "num"), body = make("tbody"), none = make("p", "calm-line", nothing);
    const rows = [];
    head.append(note);
    table.append(body);
    return { nodes: [head, table, none], show: function (entries, noteText, most) {
      set(note, noteText);
      none.hidden = entries.length > 0;
      const top = entries.slice(0, most);
      while (rows.length > top.length) { rows.pop().node.remove(); }
      top.forEach(function (entry, index) {
        if (!rows[index]) { rows[index] = build(); body.append(rows[index].node); }
        rows[index].show(entry);
      });
    } };
  }
  function sessionPanel() {
    const node = make("section", "panel lists");
    const running = list("Charging longest", openRow, "Cars appear here when they start to charge."), over = list("Just finished", overRow, "Ended sessions appear here.");
    node.append(...running.nodes, ...over.nodes);
    node.setAttribute("aria-label", "Sessions");
    return { node: node, show: function (open, ended, total) {
      const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
      const rows = innerWidth > 760 ? Math.max(3, Math.floor((node.clientHeight - 10 * rem) / (3.56 * rem))) : 9;
      const last = Math.max(1, Math.min(ended.length, Math.round(rows * .38)));  // one row says that there is none
      running.show(open, total + " live sessions", Math.max(2, rows - last));
      over.show(ended, "", Math.max(last, rows - Math.max(2, open.length)));
    } };
  }

  // ---- header and legend

  function beat() {
    const node = make("span", "beat"), text = document.createTextNode("");
    node.append(make("i"), text);
    return { node: node, show: function (words, isLate, isSecond) {
      if (text.data !== words) { text.data = words; }
      dress(node, "beat" + (isLate ? " late" : "") + (isSecond ? " second" : ""));
    } };
  }
  function header() {
    const node = make("header"), live = beat(), alerts = beat(), stores = beat(), clock = make("span", "clock num"), minutes = document.createTextNode(""), rest = make("span");
    const ways = make("nav", "ways");
    [["/sessions", "Live sessions"], ["/faults", "Faults"]].forEach(function (way) { const link = make("a", "", way[1]); link.href = way[0]; ways.append(link); });
    ways.setAttribute("aria-label", "Pages");
    clock.append(minutes, rest);
    node.append(make("h1", "", "All sites"), live.node, alerts.node, stores.node, ways, clock);
    return { node: node, show: function (docs) {
      const cw = window.chargewatch, f = cw.format, state = cw.state(), now = f.time(cw.now(), true);
      if (minutes.data !== now.slice(0, 5)) { minutes.data = now.slice(0, 5); }
      set(rest, now.slice(5));
      const old = cw.age(state.since);
      live.show(!state.isLive ? "no feed since " + f.time(state.since, true) : state.heard ? "live, " + (old < 10 ? old.toFixed(1) : old.toFixed(0)) + " s" : "waiting for the feed", !state.isLive || !state.heard);
      const alarms = docs.get("alerts"), since = alarms ? cw.age(alarms.at) : Infinity, isLate = !alarms || alarms.is_up === false || since > 30;
      alerts.show(!alarms ? "alarms are not evaluated" : isLate ? "alarms not evaluated for " + f.span(since) : "alarms evaluated " + f.span(since) + " ago", isLate);
      showStores(docs, stores, cw, f);
    } };
  }
  function showStores(docs, stores, cw, f) {
    let worst = 0, name = "", gone = null, bridges = 0;
    docs.forEach(function (doc, key) {
      if (!key.startsWith("bridge/")) { return; }
      bridges += 1;
      if (doc.is_up === false || cw.age(doc.at) > 15) { gone = doc; }
      for (const store in doc.lags_s) { if (doc.lags_s[store] > worst) { worst = doc.lags_s[store]; name = store; } }
    });
    if (!bridges) { stores.show("no bridge is running", true); return; }
    if (gone) { stores.show("bridge " + cw.plain(gone.bridge, 24) + " gone for " + f.span(cw.age(gone.at)), true); return; }
    stores.show(worst > 5 ? cw.plain(name, 24) + " " + f.span(worst) + " behind" : "all stores up to date", worst > 5, true);
  }
  function footer() {
    const node = make("footer"), count = make("span", "count num");
    [["free", "free"], ["charging", "charging, bar = share of rated power"], ["idle", "occupied, not charging"], ["reserved", "reserved"], ["warn", "warning"], ["faulted", "faulted"], ["out", "out of service"], ["offline", "offline"], ["stale", "old value, age shown"]].forEach(function (entry) {
      const item = make("span", "", ""), glyph = make("i", "g " + entry[0]);
      glyph.append(make("i"));
      item.append(glyph, document.createTextNode(entry[1]));
      node.append(item);
    });
    node.append(count);
    return { node: node, show: function (sites, stations, connectors) {
      set(count, sites + (sites === 1 ? " site, " : " sites, ") + stations + " stations, " + connectors + " connectors");
    } };
  }

  window.wallParts = { make: make, set: set, dress: dress, figures: figures, alarmPanel: alarmPanel, sessionPanel: sessionPanel, header: header, footer: footer };
})();
