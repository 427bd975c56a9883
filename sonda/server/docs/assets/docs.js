// The form is drawn from openapi.json: an option that a schema gains is here without a change.

import { ask, reference } from "./answer.js";
import { $, coloured, make, marked, recall, remember, withKey } from "./dom.js";
import { keep, shareable, showHistory } from "./history.js";
import { scenarios } from "./scenarios.js";

let api;
let event;
let named = [];
let spelled = { encoder: { type: "json_lines" }, sink: { type: "stdout" } };

// --- schemas and values --------------------------------------------------------------------------

const find = (ref) => ref.split("/").slice(1).reduce((node, name) => node[name], api);

function resolve(schema) {
  if (!schema.$ref) return schema;
  const { $ref, ...beside } = schema;
  return { ...resolve(find($ref)), ...beside };
}

const shape = (signal = event.signal_type) => find(resolve(api.components.schemas.InlineEvent).discriminator.mapping[signal]);
const choices = (kind, signal) => shape(signal).properties[kind].discriminator.mapping;
const fits = (encoder, sink) => find(choices("sink")[sink])["x-encoders"].includes(encoder);
const get = (path) => path.reduce((node, name) => node?.[name], event);

function put(path, value) {
  const name = path.at(-1);
  const parent = path.slice(0, -1).reduce((node, step) => (node[step] ??= {}), event);
  if (value === undefined) delete parent[name];
  else parent[name] = value;
  show();
}

/** The least that a schema asks for, out of its own examples. */
function initial(schema) {
  const { const: fixed, default: usual, examples, properties, required } = resolve(schema);
  if (fixed !== undefined) return fixed;
  if (properties) return Object.fromEntries((required ?? []).map((name) => [name, initial(properties[name])]));
  return structuredClone(usual ?? examples?.[0] ?? "");
}

// --- the form ------------------------------------------------------------------------------------

function draw() {
  const { log, metric, labels, timestamp, encoder, sink } = shape().properties;
  const signals = resolve(api.components.schemas.InlineEvent).discriminator.mapping;
  $("form").replaceChildren(
    where(sink),
    part("What happened", "",
      tiles("signal_type", "Signal", signals, (ref) => find(ref).title, chooseSignal),
      fields(log ? ["log"] : ["metric"], resolve(log ?? metric)),
      make("div", { className: "fields" }, field(["labels"], labels, true), field(["timestamp"], timestamp, false))),
    event.destination ? "" : plugin("encoder", "How it is rendered", encoder));
  $("verify").checked = event.verify !== undefined;
  show();
}

/** The destinations that the operator has named, and the sinks for one that is spelled out. */
function where(sink) {
  if (!named.length) return plugin("sink", "Where it goes", sink);
  const options = { "": "another", ...Object.fromEntries(named.map(({ name, sink: type }) => [name, `${name} (${type})`])) };
  const chosen = (name) => {
    const { encoder: _, sink: __, destination: ___, ...rest } = event;
    event = { ...rest, ...(name ? { destination: name } : structuredClone(spelled)) };
    agree("sink");
  };
  if (!event.destination) spelled = { encoder: event.encoder, sink: event.sink };
  const tile = ([name, text]) => make("label", {},
    make("input", { type: "radio", name: "destination", id: `destination=${name}`, value: name, checked: name === (event.destination ?? ""), onchange: () => chosen(name) }),
    make("span", {}, text));
  const offered = make("fieldset", { className: "tiles", id: "destination" }, make("legend", {}, "Destination"),
    ...Object.entries(options).sort(([a], [b]) => (a === "") - (b === "")).map(tile), flawLine("destination"));
  const box = part("Where it goes", "Named by the operator of this server; its credentials stay there.", offered);
  if (!event.destination) box.append(...plugin("sink", "", sink).children);
  box.querySelectorAll("h2:empty").forEach((empty) => empty.remove());
  return box;
}

function plugin(kind, title, choice) {
  const { type } = event[kind];
  const chosen = resolve({ $ref: choice.discriminator.mapping[type] });
  const extra = chosen["x-extra"] ? ` Needs pip install 'sonda-events[${chosen["x-extra"]}]'.` : "";
  const able = Object.entries(choice.discriminator.mapping).filter(([name]) => usable(kind, name));
  return part(title, chosen.description + extra,
    tiles(`${kind}.type`, choice.title, Object.fromEntries(able), (ref) => find(ref).title, (name) => choose(kind, name)),
    fields([kind], chosen));
}

/** A sink is offered if some encoder of this signal fits it. */
const usable = (kind, name) =>
  kind === "encoder" || Object.keys(choices("encoder")).some((encoder) => fits(encoder, name));

function part(title, help, ...children) {
  const [choice, ...rest] = children;
  return make("section", { className: "part" }, make("h2", {}, title), choice, make("p", { className: "help" }, ...marked(help)), ...rest);
}

function tiles(id, legend, mapping, titled, chosen) {
  const current = get(id.split("."));
  const tile = ([name, ref]) => make("label", { title: name },
    make("input", { type: "radio", name: id, id: `${id}=${name}`, value: name, checked: name === current, onchange: () => chosen(name) }),
    make("span", {}, titled(ref)));
  return make("fieldset", { className: "tiles", id }, make("legend", {}, legend), ...Object.entries(mapping).map(tile), flawLine(id));
}

/** The required fields, and the others behind a fold that is open when one of them is in use. */
function fields(path, schema) {
  const all = Object.entries(schema.properties).filter(([, inner]) => resolve(inner).const === undefined);
  const needed = all.filter(([name]) => schema.required?.includes(name));
  const others = all.filter(([name]) => !schema.required?.includes(name));
  const drawn = (list, required) => list.map(([name, inner]) => field([...path, name], inner, required));
  if (others.length <= 2) return make("div", { className: "fields" }, ...drawn(needed, true), ...drawn(others, false));
  const fold = make("details", { open: others.some(([name]) => get([...path, name]) !== undefined) },
    make("summary", {}, `${others.length} more options`), make("div", { className: "fields" }, ...drawn(others, false)));
  return make("div", { className: "fields" }, ...drawn(needed, true), fold);
}

function field(path, written, required) {
  const schema = resolve(written);
  const id = path.join(".");
  if (schema.properties) return group(path, schema, required);
  const control = controlOf(path, schema, required);
  const isMap = schema.type === "object";
  const label = make(isMap ? "span" : "label", isMap ? { id: `${id}:label` } : { htmlFor: id }, schema.title, " ",
    make("code", {}, path.at(-1)), required ? make("b", { title: "required" }, " required") : null);
  const help = make("p", { className: "help", id: `${id}:help` }, ...marked(schema.description ?? ""));
  const isWide = isMap || ["message", "timestamp", "url", "endpoint"].includes(path.at(-1));
  const box = make("div", { className: schema.type === "boolean" ? "field check" : isWide ? "field wide" : "field" }, label, control, help, flawLine(id));
  control.setAttribute("aria-describedby", `${id}:help ${id}:flaw`);
  if (isMap) control.setAttribute("aria-labelledby", `${id}:label`);
  return box;
}

function controlOf(path, schema, required) {
  const id = path.join(".");
  const value = get(path);
  const hint = schema.default ?? (schema.examples ? `e.g. ${schema.examples[0]}` : "");
  if (schema.type === "object") return pairs(path);
  if (schema.enum) {
    const options = [...(required ? [] : [""]), ...schema.enum].map((name) =>
      make("option", { value: name, selected: name === value }, name || `default: ${hint}`));
    return make("select", { id, onchange: (e) => put(path, e.target.value || undefined) }, ...options);
  }
  if (schema.type === "boolean") {
    const changed = (e) => put(path, e.target.checked === (schema.default ?? false) ? undefined : e.target.checked);
    return make("input", { id, type: "checkbox", checked: value ?? schema.default ?? false, onchange: changed });
  }
  const isNumber = ["integer", "number"].includes(schema.type);
  const read = (text) => (isNumber && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text);
  const changed = (e) => put(path, e.target.value === "" && !(required && !isNumber) ? undefined : read(e.target.value));
  const common = { id, value: value ?? "", oninput: changed, placeholder: required ? "" : String(hint), required };
  if (path.at(-1) === "message") return make("textarea", { ...common, rows: 2 });
  const type = schema.writeOnly ? "password" : "text";
  return make("input", { ...common, type, inputMode: isNumber ? "decimal" : "text", spellcheck: false, size: 1 });
}

/** Names and values: labels, fields, headers. */
function pairs(path) {
  const id = path.join(".");
  const rows = make("div", { className: "pairs", role: "group", id });
  const keep = () => {
    const read = [...rows.querySelectorAll(".pair")].map((row) => [...row.querySelectorAll("input")].map((input) => input.value));
    const named = read.filter(([name]) => name !== "");
    put(path, named.length || path.at(-1) === "labels" ? Object.fromEntries(named) : undefined);
  };
  const add = (name = "", value = "") => {
    const input = (text, label) => make("input", { type: "text", value: text, placeholder: label, "aria-label": `${path.at(-1)}: ${label}`, oninput: keep, spellcheck: false, size: 1 });
    const row = make("div", { className: "pair" }, input(name, "name"), input(value, "value"),
      make("button", { type: "button", className: "quiet", "aria-label": `remove ${name || "this row"}`, onclick: () => { row.remove(); keep(); } }, "✕"));
    more.before(row);
    return row;
  };
  const more = make("button", { type: "button", className: "quiet", onclick: () => add().querySelector("input").focus() }, `+ ${path.at(-1).replace(/s$/, "")}`);
  rows.append(more);
  Object.entries(get(path) ?? {}).forEach(([name, value]) => add(name, value));
  return rows;
}

/** An object of options that is there or not: retry, tls, sasl. */
function group(path, schema, required) {
  const id = path.join(".");
  const inside = make("div", {});
  const fill = () => inside.replaceChildren(...(get(path) ? [fields(path, schema)] : []));
  const toggled = (e) => { put(path, e.target.checked ? initial(schema) : undefined); fill(); };
  const box = make("input", { type: "checkbox", id, checked: get(path) !== undefined, onchange: toggled, disabled: required });
  fill();
  return make("div", { className: "group wide" },
    make("div", { className: "field check" }, make("label", { htmlFor: id }, schema.title, " ", make("code", {}, path.at(-1))), box,
      make("p", { className: "help" }, ...marked(schema.description ?? "")), flawLine(id)), inside);
}

const flawLine = (id) => make("p", { className: "flaw", id: `${id}:flaw` });

// --- choosing: an encoder, a sink and a signal that go together -----------------------------------

function choose(kind, name) {
  event[kind] = nearby(initial({ $ref: choices(kind)[name] }));
  agree(kind);
}

/** Give a server on this machine destinations on this machine: it knows no container's names. */
function nearby(options) {
  for (const field of ["url", "endpoint", "address", "brokers"]) {
    if (isLocal && options?.[field]) options[field] = options[field].replace(/^([a-z]+:..)?[a-z]+(?=:)/, "$1localhost");
  }
  return options;
}

function chooseSignal(signal) {
  const body = signal === "logs" ? "log" : "metric";
  const { encoder, sink, labels, timestamp, destination, verify } = event;
  event = { signal_type: signal, labels, [body]: initial(shape(signal).properties[body]), ...(timestamp && { timestamp }), ...(destination ? { destination } : { encoder, sink }), ...(verify && { verify }) };
  agree("encoder");
}

/** Let what was not chosen just now follow what was. */
function agree(kept) {
  if (!event.destination) {
    // What this signal cannot have.
    for (const kind of ["encoder", "sink"]) {
      if (!choices(kind)[event[kind].type]) event[kind] = initial({ $ref: Object.values(choices(kind))[0] });
    }
    if (!fits(event.encoder.type, event.sink.type)) {
      const other = kept === "sink" ? "encoder" : "sink";
      const fitting = Object.keys(choices(other)).find((name) => (other === "sink" ? fits(event.encoder.type, name) : fits(name, event.sink.type)));
      if (fitting) event[other] = initial({ $ref: choices(other)[fitting] });
    }
    if ("signal_type" in event.sink) event.sink.signal_type = event.signal_type;
  }
  redraw();
}

function redraw() {
  const focused = document.activeElement?.id;
  draw();
  if (focused) $(focused)?.focus();
}

// --- the request and its answer ------------------------------------------------------------------

function show() {
  $("preview").replaceChildren(...coloured(JSON.stringify(event, null, 2)));
  $("curl").textContent = curl();
  $("send").textContent = `Send to ${event.destination ?? find(choices("sink")[event.sink.type]).title}`;
  remember("event", shareable(event));
}

function curl() {
  const quoted = JSON.stringify(event, null, 2).replaceAll("'", "'\\''");
  const key = $("key").value ? ' \\\n  -H "Authorization: Bearer $SONDA_API_KEY"' : "";
  return `curl -sS -X POST ${new URL("events", location.href)} \\\n  -H "Content-Type: application/json"${key} \\\n  -d '${quoted}'`;
}

async function send(dryRun) {
  if ($("send").disabled) return;
  const asked = structuredClone(event);
  const verdict = await ask(asked, { dryRun, resend: (time) => { event.timestamp = time; draw(); send(false); } });
  keep(verdict, asked);
  showHistory(refill);
}

function refill(was) {
  event = was;
  // It is none of the examples.
  $("example").selectedIndex = -1;
  draw();
}

// --- the rest of the page ------------------------------------------------------------------------

function start(name) {
  event = structuredClone(api.paths["/events"].post.requestBody.content["application/json"].examples[name].value);
  nearby(event.sink);
  draw();
}

/** Names come by key: without the right one there are none. */
async function names() {
  try {
    const reply = await fetch("destinations", { headers: withKey() });
    named = reply.ok ? (await reply.json()).destinations : [];
  } catch {
    named = [];
  }
  draw();
}

function tab(name) {
  for (const one of ["send", "scenarios"]) {
    $(`tab-${one}`).setAttribute("aria-selected", String(one === name));
    $(`tab-${one}`).tabIndex = one === name ? 0 : -1;
    $(`panel-${one}`).hidden = one !== name;
  }
  runs.watch(name === "scenarios");
}

/** The first step: a deploy as an annotation, filled in, looked at, sent and read back. */
function guide() {
  const known = named.find(({ sink }) => sink === "loki");
  $("example").value = "loki";
  const loki = structuredClone(api.paths["/events"].post.requestBody.content["application/json"].examples.loki.value);
  const { encoder, sink, ...rest } = loki;
  event = known ? { ...rest, destination: known.name, verify: { timeout: "5s" } } : { ...loki, verify: { timeout: "5s" } };
  nearby(event.sink);
  draw();
  $("dry").focus();
}

const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
api = await (await fetch("openapi.json")).json();
const examples = Object.entries(api.paths["/events"].post.requestBody.content["application/json"].examples)
  .filter(([, { value }]) => !value.destination);
const runs = scenarios(api.paths["/scenarios"].post.requestBody.content);
$("version").textContent = api.info.version;
$("example").append(...examples.map(([name, { summary }]) => make("option", { value: name }, summary)));
$("example").onchange = (e) => { history.replaceState(null, "", `#${e.target.value}`); start(e.target.value); };
$("key").oninput = show;
$("key").onchange = names;
$("form").onsubmit = (e) => { e.preventDefault(); send(false); };
$("dry").onclick = () => send(true);
$("verify").onchange = (e) => put(["verify"], e.target.checked ? { timeout: "5s" } : undefined);
$("guide-fill").onclick = guide;
for (const one of ["send", "scenarios"]) {
  $(`tab-${one}`).onclick = () => tab(one);
  $(`tab-${one}`).onkeydown = (e) => {
    if (!["ArrowLeft", "ArrowRight"].includes(e.key)) return;
    tab(one === "send" ? "scenarios" : "send");
    document.querySelector('[role="tab"][aria-selected="true"]').focus();
  };
}
$("copy").onclick = async () => {
  // A page that came by plain HTTP from another machine has no clipboard.
  if (!navigator.clipboard) {
    $("curl").parentElement.open = true;
    getSelection().selectAllChildren($("curl"));
    return;
  }
  await navigator.clipboard.writeText(curl());
  $("copy").textContent = "Copied";
  setTimeout(() => { $("copy").textContent = "Copy as curl"; }, 1500);
};
document.onkeydown = (e) => {
  if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) $($("panel-send").hidden ? "scenario" : "form").requestSubmit();
};
$("answers").append(...reference(api.paths["/events"].post.responses, find));
const asked = location.hash.slice(1);
const isNamed = (name) => examples.some(([one]) => one === name);
const isExample = isNamed(asked);
const last = recall("event", null);
$("example").value = isExample ? asked : examples[0][0];
start($("example").value);
if (!isExample && last?.signal_type) {
  // It may be of another version of the page.
  try { refill(last); } catch { start(examples[0][0]); }
}
showHistory(refill);
tab(asked === "scenarios" ? "scenarios" : "send");
addEventListener("hashchange", () => {
  const name = location.hash.slice(1);
  if (isNamed(name)) start($("example").value = name);
  tab(name === "scenarios" ? "scenarios" : "send");
});
// Last, for it waits for the server: what a person chooses meanwhile stays.
await names();
