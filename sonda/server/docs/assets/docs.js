// The form is drawn from openapi.json: an option that a schema gains is here without a change.

const $ = (id) => document.getElementById(id);
let api;
let event;

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

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
    part("What happened", "",
      tiles("signal_type", "Signal", signals, (ref) => find(ref).title, chooseSignal),
      fields(log ? ["log"] : ["metric"], resolve(log ?? metric)),
      make("div", { className: "fields" }, field(["labels"], labels, true), field(["timestamp"], timestamp, false))),
    plugin("encoder", "How it is rendered", encoder),
    plugin("sink", "Where it goes", sink));
  show();
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

/** Text with `code` in it. */
const marked = (text) => text.split("`").map((piece, index) => (index % 2 ? make("code", {}, piece) : piece));

// --- choosing: an encoder, a sink and a signal that go together -----------------------------------

function choose(kind, name) {
  event[kind] = initial({ $ref: choices(kind)[name] });
  agree(kind);
}

function chooseSignal(signal) {
  const body = signal === "logs" ? "log" : "metric";
  const { encoder, sink, labels, timestamp } = event;
  event = { signal_type: signal, labels, [body]: initial(shape(signal).properties[body]), ...(timestamp ? { timestamp } : {}), encoder, sink };
  if (!choices("encoder")[encoder.type]) event.encoder = initial({ $ref: Object.values(choices("encoder"))[0] });
  agree("encoder");
}

/** Let what was not chosen just now follow what was. */
function agree(kept) {
  if (!fits(event.encoder.type, event.sink.type)) {
    const other = kept === "sink" ? "encoder" : "sink";
    const names = Object.keys(choices(other));
    const fitting = names.find((name) => (other === "sink" ? fits(event.encoder.type, name) : fits(name, event.sink.type)));
    if (fitting) event[other] = initial({ $ref: choices(other)[fitting] });
  }
  if ("signal_type" in event.sink) event.sink.signal_type = event.signal_type;
  const focused = document.activeElement?.id;
  draw();
  if (focused) $(focused)?.focus();
}

// --- the request and its answer ------------------------------------------------------------------

function show() {
  $("preview").replaceChildren(...coloured(JSON.stringify(event, null, 2)));
  $("curl").textContent = curl();
  $("send").textContent = `Send to ${find(choices("sink")[event.sink.type]).title}`;
}

function coloured(json) {
  const token = /("(?:\\.|[^"\\])*")(\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*/g;
  const pieces = [];
  let end = 0;
  for (const match of json.matchAll(token)) {
    const kind = match[2] ? "name" : match[1] ? "string" : "literal";
    pieces.push(json.slice(end, match.index), make("span", { className: kind }, match[1] ?? match[0]), match[2] ?? "");
    end = match.index + match[0].length;
  }
  return [...pieces, json.slice(end)];
}

function curl() {
  const quoted = JSON.stringify(event, null, 2).replaceAll("'", "'\\''");
  const key = $("key").value ? ' \\\n  -H "Authorization: Bearer $SONDA_API_KEY"' : "";
  return `curl -sS -X POST ${new URL("events", location.href)} \\\n  -H "Content-Type: application/json"${key} \\\n  -d '${quoted}'`;
}

async function send(submitted) {
  submitted.preventDefault();
  if ($("send").disabled) return;
  $("send").disabled = true;
  const key = $("key").value;
  const began = performance.now();
  const stopped = new AbortController();
  const clock = wait(stopped, began);
  let status = 0;
  let text = "";
  try {
    const reply = await fetch("events", {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) },
      body: JSON.stringify(event),
      signal: stopped.signal,
    });
    status = reply.status;
    text = await reply.text();
    tell(status, envelope(text), Math.round(performance.now() - began));
  } catch (error) {
    const why = stopped.signal.aborted
      ? "you have stopped waiting; the event may or may not have been delivered"
      : error instanceof SyntaxError
        ? `the answer is not Sonda's, but perhaps a proxy's: ${text.slice(0, 200)}`
        : `the connection ended without an answer (${error}); the event may or may not have been delivered`;
    tell(status, { error: "no answer", detail: why }, Math.round(performance.now() - began), true);
  } finally {
    clearInterval(clock);
    $("send").disabled = false;
  }
}

/** Return an answer of Sonda's; raise `SyntaxError` for anything that a proxy may have said instead. */
function envelope(text) {
  const answer = JSON.parse(text);
  if (answer?.sent !== true && typeof answer?.detail !== "string") throw new SyntaxError("no answer of Sonda's");
  return answer;
}

/** Replace the last answer by what is waited for, how long, and a way to stop. */
function wait(stopped, began) {
  pin([]);
  const sink = event.sink;
  const target = sink.url ?? sink.endpoint ?? sink.address ?? sink.brokers ?? sink.path ?? "";
  const seconds = make("b", { id: "seconds" }, "0 s");
  const stop = make("button", { type: "button", className: "quiet", id: "stop", onclick: () => stopped.abort() }, "Stop waiting");
  $("answer").className = "unsure";
  $("answer").replaceChildren(
    make("div", { className: "bar" }, make("h2", {}, "Waiting"), seconds),
    make("p", { className: "help" }, `waiting for ${[sink.type, target].filter(Boolean).join(" ")}`),
    stop);
  $("answer").hidden = false;
  return setInterval(() => { seconds.textContent = `${Math.round((performance.now() - began) / 1000)} s`; }, 250);
}

function tell(status, answer, took_ms, isUnknown = false) {
  const general = pin(answer.sent ? [] : answer.detail.split(FLAW_BEGINS));
  const verdict = answer.sent ? "Delivered" : isUnknown ? "Unknown" : { 500: "Unknown", 504: "Unknown", 502: "Not delivered" }[status] ?? "Not sent";
  const time = answer.sent ? `acknowledged in ${answer.latency_ms} ms, answered in ${took_ms} ms` : `answered in ${took_ms} ms`;
  const lines = answer.sent ? answer.warnings ?? [] : general.length ? general : ["Each flaw stands beside its field."];
  $("answer").className = answer.sent ? "good" : verdict === "Unknown" ? "unsure" : "bad";
  $("answer").replaceChildren(
    make("div", { className: "bar" }, make("h2", {}, verdict), make("b", { id: "status" }, status ? `${status}` : "—")),
    make("p", { className: "help" }, answer.sent ? time : `${answer.error}, ${time}`),
    make("ul", {}, ...lines.map((line) => make("li", {}, ...marked(line)))),
    status === 504 ? again(answer.detail) : "",
    make("pre", { id: "body", tabIndex: 0 }, ...coloured(JSON.stringify(answer, null, 2))));
  $("answer").hidden = false;
}

/** Offer to send an event whose outcome is unknown once more, as the same event. */
function again(detail) {
  const time = detail.match(/\(timestamp (\S+)\)/)?.[1];
  const resend = () => { event.timestamp = time; draw(); $("form").requestSubmit(); };
  return time ? make("button", { type: "button", className: "quiet", onclick: resend }, "Send it again as the same event") : "";
}

// A reason may have a semicolon of its own; what follows one is a flaw if it begins as flaws do.
const FLAW_BEGINS = /; (?=[a-z_][\w.-]*(?:\[.*?\])?: |(?:unknown|missing) field |invalid (?:metric|label) name |retry max_attempts |(?:encoder|sink) type )/;
// These details name their subject in words; all others begin with a path.
const SUBJECTS = [[/^invalid metric name/, "metric.name"], [/^invalid label name/, "labels"], [/^retry max_attempts/, "sink.retry.max_attempts"]];

/** Put each flaw beside its field; gives those that belong to none. */
function pin(flaws) {
  document.querySelectorAll(".flaw").forEach((line) => { line.textContent = ""; });
  document.querySelectorAll("[aria-invalid]").forEach((control) => control.removeAttribute("aria-invalid"));
  const left = flaws.filter((flaw) => {
    const [, path, reason] = flaw.match(/^([a-z_][\w.-]*)(?:\[.*?\])?: (.*)$/s) ?? [null, "", flaw];
    const missing = reason.match(/^missing field '(\w+)'/)?.[1];
    const subject = SUBJECTS.find(([words]) => words.test(flaw))?.[1];
    const line = nearest(subject ?? [path, missing].filter(Boolean).join("."));
    if (!line) return true;
    line.append(make("span", {}, reason));
    $(line.id.replace(/:flaw$/, ""))?.setAttribute("aria-invalid", "true");
    line.closest("details")?.setAttribute("open", "");
    return false;
  });
  document.querySelector("[aria-invalid]")?.scrollIntoView({ block: "center", behavior: "smooth" });
  return left;
}

/** The line for flaws of a field, or of the object around it. */
function nearest(path) {
  for (const steps = path.split("."); steps[0]; steps.pop()) {
    const line = $(`${steps.join(".")}:flaw`);
    if (line) return line;
  }
  return null;
}

// --- the rest of the page ------------------------------------------------------------------------

function answers() {
  const refusals = Object.entries(api.paths["/events"].post.responses).filter(([, { $ref }]) => $ref);
  return refusals.map(([status, { $ref }]) => {
    const { description, content } = find($ref);
    const examples = Object.values(content["application/json"].examples).map(({ value }) => make("li", {}, value.detail));
    const title = [make("b", {}, status), " ", make("code", {}, $ref.split("/").at(-1)), " ", make("span", {}, ...marked(description))];
    return make("details", {}, make("summary", {}, ...title), make("ul", {}, ...examples));
  });
}

function start(name) {
  event = structuredClone(api.paths["/events"].post.requestBody.content["application/json"].examples[name].value);
  draw();
}

api = await (await fetch("openapi.json")).json();
const examples = Object.entries(api.paths["/events"].post.requestBody.content["application/json"].examples)
  .filter(([, { value }]) => !value.destination);
$("version").textContent = api.info.version;
$("example").append(...examples.map(([name, { summary }]) => make("option", { value: name }, summary)));
$("example").onchange = (e) => { history.replaceState(null, "", `#${e.target.value}`); start(e.target.value); };
$("key").oninput = show;
$("form").onsubmit = send;
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
document.onkeydown = (e) => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) $("form").requestSubmit(); };
$("answers").append(...answers());
const asked = location.hash.slice(1);
$("example").value = examples.some(([name]) => name === asked) ? asked : examples[0][0];
start($("example").value);
