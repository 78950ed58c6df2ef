// The wall: mounts into #wall, keeps tiles current from the feed (only what changed, once a frame), fits the sites
// to the screen. The parts beside the sites are in wall-parts.js, what things mean in wall-model.js.
(function () {
  "use strict";
  const CALM_AFTER_MS = 30000;  // a site that got better keeps its place for so long: nothing jumps under the eye
  const DENSE_FROM_REM = { width: 24, height: 11.5 };
  let wall = null;

  function mount(host) {
    const cw = window.chargewatch, model = window.wallModel, parts = window.wallParts, make = parts.make, set = parts.set, dress = parts.dress;
    const head = parts.header(), figures = parts.figures(), alarmPanel = parts.alarmPanel(), sessionPanel = parts.sessionPanel(), foot = parts.footer();
    const middle = make("div", "middle"), sitesBox = make("section", "sites"), cards = make("div", "cards"), dense = make("div", "dense"), aside = make("aside");
    sitesBox.setAttribute("aria-label", "Sites");
    sitesBox.append(cards, dense);
    aside.append(alarmPanel.node, sessionPanel.node);
    middle.append(sitesBox, aside);
    host.replaceChildren(head.node, figures.node, middle, foot.node);

    const tiles = new Map(), sites = new Map(), states = new Map(), siteByStation = new Map();
    let alarms = [], alarmIndex = new Map(), dirty = new Set(), signature = "", isAllDirty = true, alarmsDirty = true, asked = false, nobody = null;

    // ---- structure: made anew only when a site, station or connector comes or goes

    function shape(docs) {
      const found = model.structure(docs), next = JSON.stringify(found.map(function (s) { return [s.id, s.name, s.limit_w, [...s.stations], s.tiles.map(function (t) { return [t.key, t.rated_w, t.kind, t.name]; })]; }));
      if (next === signature) { return; }
      signature = next;
      sites.forEach(function (site) { site.node.remove(); });
      sites.clear(); tiles.clear(); states.clear(); siteByStation.clear();
      found.forEach(function (site, index) { sites.set(site.id, buildSite(site, index)); });
      isAllDirty = alarmsDirty = true;
      showNobody(found.length === 0 && docs.has("plan"));
      foot.show(found.filter(function (s) { return s.id; }).length, siteByStation.size, tiles.size);
    }
    function buildSite(site, index) {
      const node = make("article", "site"), title = make("h2"), name = make("b", "", cw.plain(site.name, 60)), figure = make("span", "num"), strong = make("em"), rest = document.createTextNode("");
      const load = make("div", "load"), fill = make("i"), mark = make("u"), glyphs = make("div", "glyphs");
      figure.append(strong, rest);
      title.append(name, figure);
      load.append(fill, mark);
      node.append(title, load, glyphs);
      if (site.place) { node.title = cw.plain(site.name + ", " + site.place, 120); }
      const full = Math.max(site.rated_w || 0, site.limit_w || 0) || 1;
      mark.hidden = !site.limit_w;
      fill.hidden = full === 1;  // what the site can take is not known: no share to show
      if (site.limit_w) { mark.style.left = "calc(" + (site.limit_w / full * 100).toFixed(1) + "% - .2rem)"; }
      site.tiles.forEach(function (tile) {
        const part = buildTile(tile);
        tiles.set(tile.key, part);
        glyphs.append(part.node);
      });
      site.stations.forEach(function (station) { siteByStation.set(station, site.id); });
      return { site: site, node: node, strong: strong, rest: rest, load: load, fill: fill, glyphs: glyphs, full: full, index: index, state: null, rank: 4, betterAt: 0 };
    }
    function buildTile(tile) {
      const node = make("a", "g unknown"), bar = make("i"), value = make("em", "v num"), number = make("em", "n", String(tile.number));
      node.append(bar, value, number);
      node.dataset.key = tile.key;
      return { tile: tile, node: node, value: value, size: "", label: "" };
    }
    function showNobody(isEmpty) {
      if (nobody) { nobody.remove(); nobody = null; }
      sitesBox.hidden = aside.hidden = isEmpty;
      if (!isEmpty) { return; }
      const address = (host.dataset.chargerAddress || "").replace("{host}", location.hostname) ;
      nobody = make("section", "nobody");
      const how = make("p"), code = make("code", "", address + "STATION-ID");
      how.append(document.createTextNode("Connect one by OCPP 1.6 or 2.0.1 at "), code);
      nobody.append(make("h2", "", "Your chargers appear here the moment they connect."), how);
      middle.append(nobody);
    }

    // ---- what changed

    function take(changed, docs, isSnapshot) {
      changed.forEach(function (doc, key) {
        if (key.startsWith("connector/")) { if (tiles.has(key) || doc === null) { dirty.add(key); } if (!tiles.has(key) || key.includes("/0/")) { isAllDirty = true; } }
        else if (key.startsWith("station/")) { isAllDirty = true; } else if (key.startsWith("alarm/")) { alarmsDirty = true; } else if (key === "plan") { isAllDirty = true; }
        else if (key.startsWith("bridge/")) { bridgeChanged(key, doc); }
      });
      if (isSnapshot) { isAllDirty = alarmsDirty = true; }
      if (!asked) { asked = true; schedule(draw); }
    }
    // a bridge says every second that it lives; its tiles change only when it went or came back
    const bridgeUp = new Map();
    function bridgeChanged(key, doc) {
      const isUp = !!doc && doc.is_up !== false;  // what is as usual is left out of a document
      if (bridgeUp.get(key) !== isUp) { bridgeUp.set(key, isUp); isAllDirty = true; }
    }
    // a hidden tab gets no animation frames, but its picture must be right when it is shown
    function schedule(run) { if (document.hidden) { setTimeout(run, 1000); } else { requestAnimationFrame(run); } }

    function draw() {
      asked = false;
      const docs = cw.docs, now = cw.now();
      if (isAllDirty) { shape(docs); }
      if (alarmsDirty) {
        alarms = model.alarmsOf(docs);
        alarmIndex = model.alarmIndex(alarms, siteByStation);
        alarmPanel.show(alarms);
        isAllDirty = true;
      }
      const touched = isAllDirty ? new Set(sites.keys()) : new Set();
      (isAllDirty ? [...tiles.keys()] : [...dirty]).forEach(function (key) {
        const part = tiles.get(key);
        if (part) { showTile(part, model.tileState(part.tile, docs, alarmIndex, now)); touched.add(part.tile.site); }
      });
      touched.forEach(function (id) { showSite(sites.get(id), docs, now); });
      const wasAll = isAllDirty;
      dirty = new Set();
      isAllDirty = alarmsDirty = false;
      if (touched.size) { showFigures(docs, now); }
      if (wasAll) { sort(Date.now()); showSessions(docs); }
    }

    function showTile(part, state) {
      const node = part.node, before = states.get(part.tile.key);
      states.set(part.tile.key, state);
      dress(node, "g " + state.kind + part.size);
      set(part.value, state.text === null ? (state.age_s === null ? "" : cw.format.short(state.age_s)) : state.text);
      if (state.kind === "charging" && (!before || before.share !== state.share)) { node.style.setProperty("--share", (state.share * 100).toFixed(0) + "%"); }
      if (!before || before.href !== state.href || !before.kind) { link(node, state.href); }
      const label = describe(part.tile, state);
      if (label !== part.label) { part.label = label; node.setAttribute("aria-label", label); node.title = label; }
    }
    function link(node, href) {
      if (href) { node.href = href; node.removeAttribute("role"); } else { node.removeAttribute("href"); node.setAttribute("role", "img"); }
    }
    function describe(tile, state) {
      const what = [tile.kind, tile.rated_w ? tile.rated_w / 1000 + " kW" : ""].filter(Boolean).join(" ");
      return cw.plain(tile.number + ": " + tile.name + ", EVSE " + tile.evse + (what ? ", " + what : "") + ": " + state.words, 300);
    }
    function showSite(part, docs, now) {
      const state = part.state = model.siteState(part.site, states, docs, alarmIndex, now);
      dress(part.node, "site" + (state.severity < 3 ? " p" + state.severity : ""));
      set(part.strong, state.isDark ? "" : state.isKnown ? cw.format.kw(state.power_w) : "–");
      const limit = part.site.limit_w || part.site.rated_w;
      const words = state.isDark ? "no data " + (isFinite(state.dark_s) ? cw.format.span(state.dark_s) : "yet") : (limit ? " of " + cw.format.kw(limit) : "") + " kW" + (state.offline ? ", " + state.offline + " offline" : "");
      if (part.rest.data !== words) { part.rest.data = words; }
      const width = Math.min(100, state.power_w / part.full * 100).toFixed(1) + "%";
      if (part.fill.style.width !== width) { part.fill.style.width = width; }
      part.load.classList.toggle("over", !!part.site.limit_w && state.power_w > part.site.limit_w);
    }
    function showFigures(docs, now) {
      const live = { power_w: 0, limit_w: 0, charging: 0, idle: 0, old: 0, connectors: tiles.size };
      states.forEach(function (state) {
        const kind = state.counts || state.kind;
        live.power_w += state.power_w;
        if (kind === "charging") { live.charging += 1; }
        if (kind === "idle") { live.idle += 1; }
        if (state.kind === "stale") { live.old += 1; }
      });
      sites.forEach(function (part) { live.limit_w += part.site.limit_w || part.site.rated_w || 0; });
      figures.show(live, docs.get("summary"), now);
    }
    function showSessions(docs) {
      const found = model.sessionsOf([...tiles.values()].map(function (part) { return part.tile; }), docs);
      function named(entry) {
        const part = sites.get(entry.tile.site);
        return Object.assign(entry, { place: part.site.id ? part.site.name + " " + entry.tile.number : entry.tile.name + " " + entry.tile.evse });
      }
      const most = 16;
      sessionPanel.show(found.open.slice(0, most).map(named), found.over.slice(0, most).map(named), found.open.length);
    }

    // ---- order: trouble first; worse at once, better after a while; healthy by name

    function sort(now) {
      let isMoved = false;
      sites.forEach(function (part) {
        const wanted = part.state.severity;
        if (wanted >= part.rank && part.betterAt === 0 && wanted !== part.rank) { part.betterAt = now + CALM_AFTER_MS; }
        if (wanted === part.rank) { part.betterAt = 0; }
        if (wanted < part.rank || (part.betterAt && now >= part.betterAt)) { part.rank = wanted; part.betterAt = 0; isMoved = true; }
        const order = String(part.rank * 10000 + part.index);
        if (part.node.style.order !== order) { part.node.style.order = order; isMoved = true; }
      });
      if (isMoved || !sitesBox.dataset.fitted) { fit(); }
    }

    // ---- fit: all sites as cards; where they would get too small, the healthy ones become a dense list

    function fit() {
      const rem = parseFloat(getComputedStyle(document.documentElement).fontSize), gap = 1.2 * rem, width = sitesBox.clientWidth, height = sitesBox.clientHeight;
      const all = [...sites.values()].sort(function (a, b) { return a.rank - b.rank || a.index - b.index; });
      if (!all.length || !width) { return; }
      sitesBox.dataset.fitted = "yes";
      if (innerWidth <= 760) { all.forEach(function (part) { move(part, cards); }); fitTiles(all, width, 0, rem, 0); return; }
      const most = Math.max(...all.map(function (part) { return part.site.tiles.length; }));
      const whole = grid(all.length, width, height, gap, DENSE_FROM_REM.width * rem, DENSE_FROM_REM.height * rem);
      if (whole && tileFit(most, whole.width - 2.8 * rem, whole.height - 6.2 * rem, rem).side >= 1.2 * rem) {
        all.forEach(function (part) { move(part, cards); });
        lay(cards, whole);
        fitTiles(all, whole.width, whole.height, rem, 6.2);
        return;
      }
      const columns = Math.max(1, Math.floor((width + gap) / (26 * rem + gap))), troubled = all.filter(function (part) { return part.rank < 4; });
      const rows = Math.min(2, Math.ceil(troubled.length / columns)), top = troubled.slice(0, rows * columns), rest = all.slice(top.length);
      const card = { columns: columns, rows: rows, width: (width - gap * (columns - 1)) / columns, height: 17 * rem };
      top.forEach(function (part) { move(part, cards); });
      rest.forEach(function (part) { move(part, dense); });
      lay(cards, card);
      fitTiles(top, card.width, card.height, rem, 6.2);
      const left = height - (rows ? rows * (card.height + gap) : 0), small = .8 * rem;
      const list = grid(rest.length, width, left, small, 15 * rem, 6 * rem) || { columns: Math.max(1, Math.floor((width + small) / (16 * rem))), rows: 1, width: 15 * rem, height: 6.4 * rem };
      lay(dense, list);
      fitTiles(rest, list.width, list.height, rem, 4.6);
    }
    function move(part, box) { if (part.node.parentNode !== box) { box.append(part.node); } }
    function lay(box, cell) {
      box.style.gridTemplateColumns = "repeat(" + cell.columns + ", minmax(0, 1fr))";
      box.style.gridAutoRows = cell.height + "px";
    }
    // the number of columns whose cells come nearest to a good shape, none smaller than allowed
    function grid(count, width, height, gap, leastWidth, leastHeight) {
      let best = null;
      for (let columns = 1; columns <= count; columns += 1) {
        const rows = Math.ceil(count / columns), cell = { columns: columns, rows: rows, width: (width - gap * (columns - 1)) / columns, height: (height - gap * (rows - 1)) / rows };
        if (cell.width < leastWidth || cell.height < leastHeight) { continue; }
        const waste = (rows * columns - count) / count, score = Math.abs(Math.log(cell.width / cell.height / 1.8)) + waste * 1.5;
        if (!best || score < best.score) { best = Object.assign(cell, { score: score }); }
      }
      if (best) { best.height = Math.min(best.height, best.width * .75); }
      return best;
    }
    // the largest tile of which `count` fit: at most 1.75 times as tall as wide
    function tileFit(count, width, height, rem) {
      let best = { columns: 1, side: 0, width: 8, height: 8 };
      for (let columns = 1; columns <= Math.max(1, count); columns += 1) {
        const gap = .5 * rem, rows = Math.ceil(count / columns), w = Math.min(6.4 * rem, (width - gap * (columns - 1)) / columns), h = Math.min(w * 1.75, 9.2 * rem, (height - gap * (rows - 1)) / rows);
        const side = Math.min(w * 1.25, h);
        if (side > best.side + .5) { best = { columns: columns, side: side, width: w, height: h }; }
      }
      return best;
    }
    function fitTiles(list, width, height, rem, headRem) {
      const inner = width - (headRem === 4.6 ? 2.4 : 3.2) * rem, room = height ? height - headRem * rem : 1e9;
      const each = list.map(function (part) { return tileFit(part.site.tiles.length, inner, height ? room : Math.ceil(part.site.tiles.length / 8) * 7.2 * rem, rem); });
      // one width for all that can have it: a common rhythm reads better than each at its largest
      const widths = each.map(function (cell) { return cell.width; }).sort(function (a, b) { return a - b; }), common = widths[Math.floor(widths.length * .3)];
      list.forEach(function (part, index) {
        let cell = each[index];
        if (cell.width > common) {
          const columns = Math.max(1, Math.floor((inner + .5 * rem) / (common + .5 * rem))), rows = Math.ceil(part.site.tiles.length / columns);
          cell = { columns: columns, width: common, height: Math.min(common * 1.75, 9.2 * rem, height ? (room - .5 * rem * (rows - 1)) / rows : 7.6 * rem) };
        }
        part.glyphs.style.gridTemplateColumns = "repeat(" + cell.columns + ", " + cell.width.toFixed(1) + "px)";
        part.glyphs.style.gridAutoRows = cell.height.toFixed(1) + "px";
        const size = cell.width < 1.9 * rem || cell.height < 1.5 * rem ? " s xs" : cell.width < 2.7 * rem || cell.height < 3.2 * rem ? " s" : "";
        part.site.tiles.forEach(function (tile) { const t = tiles.get(tile.key); if (t.size !== size) { t.size = size; dress(t.node, "g " + states.get(tile.key).kind + size); } });
      });
    }

    // ---- once a second: what shows an age, and everything that becomes old without any news

    function tick() {
      if (!host.isConnected) { return; }
      const docs = cw.docs, now = cw.now();
      head.show(docs);
      if (document.hidden) { return; }
      const touched = new Set();
      tiles.forEach(function (part, key) {
        const before = states.get(key);
        if (!before || (before.kind === "free" || before.kind === "reserved") && !isBridgeLate(part.tile, docs)) { return; }
        const state = model.tileState(part.tile, docs, alarmIndex, now);
        showTile(part, state);
        if (state.kind !== before.kind) { touched.add(part.tile.site); }
      });
      sites.forEach(function (part, id) { if (touched.has(id) || (part.state && part.state.offline)) { showSite(part, docs, now); } });
      showFigures(docs, now);
      alarmPanel.tick();
      showSessions(docs);
      sort(Date.now());
    }
    function isBridgeLate(tile, docs) {
      const station = docs.get("station/" + encodeURIComponent(tile.station)), bridge = station && docs.get("bridge/" + encodeURIComponent(station.bridge || ""));
      return !!bridge && cw.age(bridge.at) > 15;
    }

    head.show(cw.docs);
    cw.subscribe(take);
    const timer = setInterval(tick, 1000);
    addEventListener("resize", function () { requestAnimationFrame(function () { fit(); alarmPanel.show(alarms); tick(); }); });
    if (document.fonts) { document.fonts.ready.then(fit); }
    return { host: host, stop: function () { clearInterval(timer); } };
  }

  function look() {
    const host = document.getElementById("wall");
    if (host && (!wall || wall.host !== host)) {
      if (wall) { wall.stop(); }
      wall = mount(host);
    }
  }
  new MutationObserver(look).observe(document.documentElement, { childList: true, subtree: true });
  look();
})();
