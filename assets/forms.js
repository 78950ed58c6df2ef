// Forms from a tree of fields (dashboard/schema_forms.py): nested objects, lists with add and remove, enums as selects.
// The JSON beside the form (a Dash textarea) is what is sent; the form writes into it and reads from it.
(function () {
  "use strict";

  let shown = null;  // {host, tree, root}

  function make(tag, given, ...children) {
    const node = document.createElement(tag);
    Object.entries(given || {}).forEach(function (pair) {
      if (pair[1] === undefined || pair[1] === false) { return; }
      if (pair[0] === "text") { node.textContent = pair[1]; } else if (pair[0] === "on") { node.addEventListener("click", pair[1]); }
      else { node.setAttribute(pair[0], pair[1] === true ? "" : pair[1]); }
    });
    node.append(...children.filter(Boolean));
    return node;
  }
  function put(id, given) { if (window.dash_clientside && window.dash_clientside.set_props) { window.dash_clientside.set_props(id, given); } }
  function join(path, name) { return path ? path + "." + name : String(name); }

  // ---- drawing: each part has ``read()``, which gives its value or undefined

  let number = 0;
  function draw(field, path, value) {
    if (field.kind === "object") { return drawObject(field, path, value); }
    if (field.kind === "array") { return drawArray(field, path, value); }
    return drawScalar(field, path, value);
  }
  function title(field, id, path) {
    const name = field.label || field.name;
    if (!name) { return null; }
    const words = [make("span", { text: name })];
    if (field.required) { words.push(make("span", { class: "needed", text: "needed", title: "Without it the message is not sent" })); }
    if (field.label && field.name) { words.push(make("code", { text: field.name })); }
    return make(id ? "label" : "div", id ? { for: id, class: "field-name" } : { class: "field-name" }, ...words);
  }
  function errorAt(path) { return make("div", { class: "field-error", "data-error-at": path, id: "error-" + (number += 1), hidden: true }); }
  function control(field, id, value) {
    const options = field.kind === "boolean" ? ["true", "false"] : field.choices;
    if (field.kind === "boolean" || field.kind === "choice") {
      const select = make("select", { id: id }, make("option", { value: "", text: field.required ? "Choose" : "–" }));
      const known = options.includes(String(value)) || value === undefined ? options : options.concat([String(value)]);
      known.forEach(function (option) { select.append(make("option", { value: option, text: field.kind === "boolean" ? (option === "true" ? "yes" : "no") : option })); });
      select.value = value === undefined ? "" : String(value);
      return select;
    }
    if (field.kind === "json" || field.longest > 300) {
      const area = make("textarea", { id: id, rows: 3, spellcheck: "false" });
      area.value = value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
      return area;
    }
    const input = make("input", {
      id: id, type: field.secret ? "password" : "text", autocomplete: field.secret ? "new-password" : "off", spellcheck: "false",
      inputmode: field.kind === "integer" ? "numeric" : field.kind === "number" ? "decimal" : undefined,
      placeholder: field.kind === "time" ? "2027-01-31T08:00:00Z" : undefined
    });
    input.value = value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
    return input;
  }
  function drawScalar(field, path, value) {
    const id = "field-" + (number += 1), input = control(field, id, value === undefined ? field.default : value), error = errorAt(path);
    input.dataset.path = path;
    const limit = field.longest && field.longest <= 300 ? "At most " + field.longest + " characters." : "";
    const help = [field.help, limit].filter(Boolean).join(" ");
    const hint = help ? make("div", { class: "field-help", text: help, id: id + "-help" }) : null;
    if (hint) { input.setAttribute("aria-describedby", hint.id); }
    const node = make("div", { class: "field" }, title(field, id, path), input, hint, error);
    return { node: node, read: function () { return scalar(field, input.value); } };
  }
  function scalar(field, text) {
    const plain = field.kind === "text" ? text : text.trim();
    if (plain === "" ) { return undefined; }
    if (field.kind === "boolean") { return plain === "true"; }
    if ((field.kind === "integer" || field.kind === "number") && isFinite(plain)) { return Number(plain); }
    if (field.kind === "json") { try { return JSON.parse(plain); } catch (error) { return plain; } }
    return plain;
  }
  function drawObject(field, path, value) {
    const body = make("div", { class: path ? "fields nested" : "fields" }), error = errorAt(path);
    let parts = null;
    function fill(given) {
      parts = field.fields ? field.fields.map(function (one) { return [one.name, draw(one, join(path, one.name), given[one.name])]; }) : [];
      body.replaceChildren(...parts.map(function (part) { return part[1].node; }));
      if (!parts.length && !path) { body.append(make("p", { class: "dim", text: "This message has no fields." })); }
    }
    const isOptional = path && !field.required, add = make("button", { type: "button", class: "quiet", text: "Add " + (field.name || "entry"), on: function () { fill({}); show(); changed(); } });
    const remove = make("button", { type: "button", class: "quiet", text: "Remove", on: function () { parts = null; body.replaceChildren(); show(); changed(); } });
    function show() { body.hidden = !parts; add.hidden = !!parts || !isOptional; remove.hidden = !parts || !isOptional; }
    if (!isOptional || isObject(value)) { fill(isObject(value) ? value : {}); }
    show();
    const head = path && field.name ? make("div", { class: "field-head" }, title(field, "", path), add, remove) : null;
    const node = path ? make("div", { class: "group" }, head, field.help && head ? make("div", { class: "field-help", text: field.help }) : null, error, body) : make("div", {}, error, body);
    return { node: node, read: function () {
      if (!parts) { return undefined; }
      const found = {};
      parts.forEach(function (part) { const given = part[1].read(); if (given !== undefined) { found[part[0]] = given; } });
      return found;
    } };
  }
  function drawArray(field, path, value) {
    const body = make("div", { class: "entries" }), error = errorAt(path);
    let parts = [];
    function lay() {
      const values = parts.map(function (part) { return part.read(); });
      parts = [];
      body.replaceChildren();
      values.forEach(append);
      add.disabled = field.most !== undefined && parts.length >= field.most;
    }
    function append(given) {
      const place = parts.length, part = draw(Object.assign({}, field.item, { name: "", label: "" }), join(path, place), given);
      const remove = make("button", { type: "button", class: "quiet", text: "Remove", "aria-label": "Remove " + field.name + " " + (place + 1), on: function () { parts.splice(place, 1); lay(); changed(); } });
      parts.push(part);
      body.append(make("div", { class: "entry" }, make("div", { class: "entry-head" }, make("span", { class: "dim num", text: String(place + 1) }), remove), part.node));
    }
    const add = make("button", { type: "button", class: "quiet", text: "Add " + (field.name || "entry"), on: function () { append(undefined); lay(); changed(); } });
    (Array.isArray(value) ? value : []).forEach(append);
    while (field.required && parts.length < Math.min(field.least || 0, 5)) { append(undefined); }
    const node = make("div", { class: "group" }, make("div", { class: "field-head" }, title(field, "", path), add), field.help ? make("div", { class: "field-help", text: field.help }) : null, error, body);
    return { node: node, read: function () {
      const found = parts.map(function (part) { const given = part.read(); return given === undefined ? (field.item.kind === "object" ? {} : "") : given; });
      return found.length || field.required ? found : undefined;
    } };
  }
  function isObject(value) { return !!value && typeof value === "object" && !Array.isArray(value); }

  // ---- form and JSON in step

  function changed() {
    if (!shown) { return; }
    put("command-raw", { value: JSON.stringify(shown.root.read(), null, 2) });
    forget();
  }
  // what was checked is no longer what stands there
  function forget() {
    if (document.querySelector("#command-step > *")) { put("command-step", { children: "" }); }
    place([]);
  }
  function build(host) {
    const tree = JSON.parse(host.dataset.tree), root = draw(tree, "", JSON.parse(host.dataset.value || "{}"));
    host.replaceChildren(root.node);
    host.dataset.built = "yes";
    shown = { host: host, tree: tree, root: root };
    changed();
  }
  function fromJson(text) {
    let value;
    try { value = JSON.parse(text); } catch (error) { return; }  // half typed: the form waits, checking says why
    if (!isObject(value) || !shown) { return; }
    shown.root = draw(shown.tree, "", value);
    shown.host.replaceChildren(shown.root.node);
  }
  document.addEventListener("input", function (event) {
    if (event.target.closest(".schema-form")) { changed(); }
    if (event.target.id === "command-raw") { fromJson(event.target.value); forget(); }
  });
  document.addEventListener("submit", function (event) { if (event.target.closest(".no-submit")) { event.preventDefault(); } });

  // ---- faults at their fields: the list that the server wrote, by path

  function place(faults) {
    document.querySelectorAll(".schema-form [data-error-at]").forEach(function (node) { node.hidden = true; node.textContent = ""; });
    document.querySelectorAll(".schema-form [aria-invalid]").forEach(function (node) { node.removeAttribute("aria-invalid"); node.removeAttribute("aria-errormessage"); });
    faults.forEach(function (fault) {
      let path = fault.dataset.faultAt, at = find(path);
      while (!at && path.includes(".")) { path = path.slice(0, path.lastIndexOf(".")); at = find(path); }
      if (!at) { return; }
      at.hidden = false;
      at.textContent = (path === fault.dataset.faultAt ? "" : fault.dataset.faultAt + " ") + fault.dataset.detail;
      const input = document.querySelector('.schema-form [data-path="' + CSS.escape(path) + '"]');
      if (input) { input.setAttribute("aria-invalid", "true"); input.setAttribute("aria-errormessage", at.id); }
    });
  }
  function find(path) { return document.querySelector('.schema-form [data-error-at="' + CSS.escape(path) + '"]'); }
  let placed = null, answered = null;
  function look() {
    const step = document.querySelector("#command-answer > *") || document.querySelector("#command-step > .step");
    if (step !== answered) { answered = step; if (step) { step.scrollIntoView({ block: "nearest" }); } }
    const host = document.querySelector(".schema-form");
    if (host && !host.dataset.built && document.getElementById("command-raw")) { build(host); }
    const list = document.querySelector("#command-step .faults");
    if (list !== placed) { placed = list; if (list) { place([...list.querySelectorAll("[data-fault-at]")]); const first = document.querySelector(".schema-form [aria-invalid]"); if (first) { first.focus(); } } }
  }
  new MutationObserver(look).observe(document.documentElement, { childList: true, subtree: true });
})();

// Small forms of the pages about stations: what was filled in goes to the page's store, the server does the rest.
(function () {
  "use strict";

  function put(id, given) { window.dash_clientside.set_props(id, given); }
  document.addEventListener("submit", function (event) {
    const form = event.target.closest("form.edit");
    if (!form) { return; }
    event.preventDefault();
    if (form.matches(".image-add")) { sendImage(form); return; }
    const given = Object.assign({}, Object.fromEntries(new FormData(form, event.submitter)), form.dataset, { asked: Date.now() });
    put(form.dataset.store || (document.getElementById("station-edits") || !document.getElementById("inbox") ? "station-edits" : "inbox-edits"), { data: given });
    const open = form.closest("details.confirm, details.more");
    if (open) { open.open = false; }
  });

  // ---- a firmware image, sent as it is read from the disk

  function sendImage(form) {
    const file = form.querySelector("input[type=file]").files[0], button = form.querySelector("button[type=submit]");
    const told = function (text) { form.querySelector(".image-said").textContent = text; };
    if (!file) { told("Choose the file first."); return; }
    if (file.size > Number(form.dataset.most)) { told("The file is larger than files.max_image_mb allows."); return; }
    told("Sending " + file.name + " …");
    button.disabled = true;
    fetch(form.dataset.to, { method: "POST", body: new FormData(form) })
      .then(function (answer) { return answer.json(); })
      .then(function (found) {
        told(found.sha256 ? "Added. SHA-256 " + found.sha256 : (found.detail || found.message || "It was refused."));
        if (found.sha256) { form.querySelector("input[type=file]").value = ""; put("station-files", { data: { action: "look", asked: Date.now() } }); }
      })
      .catch(function () { told("The server ended the connection. Nothing was added."); })
      .finally(function () { button.disabled = false; });
  }

  // ---- the plan of stations as a file: first what it would do, then doing it

  function make(tag, text, given) { return Object.assign(document.createElement(tag), { textContent: text || "" }, given || {}); }
  function send(host, file, isPreview) {
    say([make("b", "Reading " + file.name + " …")], "");
    fetch(host.dataset.to + (isPreview ? "?preview=yes" : ""), { method: "POST", body: file, headers: { "Content-Type": "text/csv" } })
      .then(function (answer) { return answer.status === 413 ? { errors: ["the file is longer than 5 MB"] } : answer.json(); })
      .then(function (found) { tell(host, file, found); })
      .catch(function () { say([make("b", "The server does not answer."), make("p", "Nothing was changed.")], "bad"); });
  }
  function tell(host, file, found) {
    if (!found.counts) {
      const list = make("ul");
      (found.errors || [found.message || "it was refused"]).forEach(function (line) { list.append(make("li", line)); });
      say([make("b", file.name + " cannot be taken. Nothing was changed."), list], "bad");
      return;
    }
    const words = ["site", "station", "connector"].map(function (name) { return found.counts[name] + " " + name + (found.counts[name] === 1 ? "" : "s"); }).join(", ");
    if (found.is_done) {
      say([make("b", "Imported: " + words + ".")], "good");
      setTimeout(function () { location.reload(); }, 1200);
      return;
    }
    const go = make("button", "Import " + words, { type: "button", className: "solid" });
    go.addEventListener("click", function () { go.disabled = true; send(host, file, false); });
    say([make("b", file.name + " can be taken."), make("p", "It adds or changes " + words + ". What is not in it stays as it is."), go], "warn");
  }
  function say(parts, kind) {
    const box = make("div", "", { className: "notice " + kind });
    box.append(...parts);
    document.getElementById("plan-said").replaceChildren(box);
  }
  function fill(query, tag, given) {
    const host = document.querySelector(query + ":empty");
    if (host) { host.append(make(tag, "", given)); }
  }
  function look() {
    fill(".image-file", "input", { type: "file", name: "file" });
    fill(".image-certificate", "textarea", { name: "signing_certificate", rows: 3, spellcheck: false, maxLength: 20000 });
    const host = document.querySelector(".plan-import:empty");
    if (!host) { return; }
    const input = make("input", "", { type: "file", accept: ".csv,text/csv", hidden: true, id: "plan-file" });
    const button = make("button", "Import CSV", { type: "button" });
    button.addEventListener("click", function () { input.click(); });
    input.addEventListener("change", function () { if (input.files[0]) { send(host, input.files[0], true); } input.value = ""; });
    host.append(button, input);
  }
  new MutationObserver(look).observe(document.documentElement, { childList: true, subtree: true });
})();
