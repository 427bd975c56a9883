// The second tab: write a scenario, see its plan, start it, watch its ledger, change its rate, stop it.

import { $, make, recall, remember, waiting, withKey } from "./dom.js";

const EVERY_MS = 1000;
const POINTS = 120;
const COLUMNS = ["delivered", "rejected", "unknown", "skipped", "in_flight", "backlog", "not_due"];

/** Fill the tab in; *content* has the examples of `POST /scenarios`. Return what watches the runs. */
export function scenarios(content) {
  const yaml = content["application/yaml"].examples;
  const json = content["application/json"].examples;
  const texts = {
    ...Object.fromEntries(Object.entries(json).map(([name, { summary, value }]) => [name, { summary, text: JSON.stringify(value, null, 2) }])),
    ...Object.fromEntries(Object.entries(yaml).map(([name, { summary, value }]) => [name, { summary, text: value }])),
  };
  $("scenario-example").append(...Object.entries(texts).map(([name, { summary }]) => make("option", { value: name }, summary)));
  $("scenario-example").onchange = (e) => { $("document").value = texts[e.target.value].text; };
  $("document").value = recall("scenario", Object.values(texts)[0].text);
  $("plan-button").onclick = () => post(true);
  $("scenario").onsubmit = (e) => { e.preventDefault(); post(false); };
  let timer = 0;
  return {
    watch(isOn) {
      clearInterval(timer);
      if (!isOn) return;
      look();
      timer = setInterval(look, EVERY_MS);
    },
  };
}

async function call(method, path, options = {}) {
  try {
    const reply = await fetch(path, { method, ...options, headers: withKey(options.headers) });
    const answer = await reply.json();
    if (!reply.ok && typeof answer?.detail !== "string") throw new SyntaxError("the answer is not Sonda's");
    return { ok: reply.ok, answer };
  } catch (error) {
    return { ok: false, isUnknown: true, answer: { error: "no answer", detail: String(error) } };
  }
}

/** Why the last change of a run failed, by the run's id; it is shown until the next one. */
const failures = new Map();

/** Ask for a change of a run, by the button *pressed*, and show what became of it. */
async function change(pressed, id, method, body) {
  const hadFocus = document.activeElement === pressed;
  pressed.disabled = true;
  failures.delete(id);
  const { ok, isUnknown, answer } = await call(method, `scenarios/${id}`, body && {
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!ok) failures.set(id, isUnknown ? `the connection ended without an answer of Sonda's (${answer.detail}); the run may or may not have changed` : answer.detail);
  $("runs-said").textContent = failures.get(id) ?? "";
  await look();
  pressed.disabled = false;
  // A button that cannot be pressed any more loses the focus.
  if (hadFocus && document.activeElement === document.body) $(pressed.id)?.focus();
  return ok;
}

async function post(dryRun) {
  const buttons = [$("start"), $("plan-button")];
  if (buttons[0].disabled) return;
  const text = $("document").value;
  remember("scenario", text);
  // A button that cannot be pressed any more loses the focus.
  const pressed = document.activeElement;
  buttons.forEach((button) => { button.disabled = true; });
  const wait = waiting("scenario-");
  say("unsure", "waiting for the server ", wait.seconds, " ", wait.stop);
  const { ok, isUnknown, answer } = await call("POST", `scenarios${dryRun ? `?dry_run=true&points=${POINTS}` : ""}`, {
    // JSON is YAML, too.
    headers: { "Content-Type": "application/yaml" },
    body: text,
    signal: wait.signal,
  });
  wait.end();
  buttons.forEach((button) => { button.disabled = false; });
  if (document.activeElement === document.body) pressed?.focus();
  if (ok) say("", dryRun ? (answer.warnings ?? []).join("\n") : `${answer.name} has begun`);
  else if (dryRun || !isUnknown) say("bad", answer.detail);
  else {
    const why = wait.signal.aborted ? "you have stopped waiting" : `the connection ended without an answer of Sonda's (${answer.detail})`;
    say("unsure", `${why}; the scenario may or may not have begun: if it has, it stands below`);
  }
  if (ok && dryRun) drawPlan(answer.scenarios);
  if (!dryRun) look();
}

/** Replace the last answer, its plan included. */
function say(className, ...words) {
  $("plan-answer").className = className;
  $("plan-said").replaceChildren(...words);
  $("plan").replaceChildren();
  $("first-events").textContent = "";
}

/** Each entry's rate, and its values where it has any, over the time of the whole; the first events below. */
function drawPlan(entries) {
  $("plan").replaceChildren(...entries.map((entry) => {
    const count = entry.planned === null ? "without an end" : `${entry.planned.toLocaleString()} events`;
    const end = entry.ends_at_s === null ? "" : `, ends at ${entry.ends_at_s} s`;
    const { until_s: until, rate, value } = entry.curve ?? {};
    return make("li", {}, make("h3", {}, `${entry.id}: ${count}${end}, ${entry.series} series`),
      rate && curve("rate", "events/s", rate, until), value && curve("value", "value", value, until));
  }));
  $("first-events").textContent = entries.flatMap((entry) => entry.events.slice(0, 2)).join("").trimEnd();
}

/** A curve with its range in words; where a number is missing it has a gap. A rate changes in steps. */
function curve(kind, unit, numbers, until) {
  const known = numbers.filter((number) => number !== null);
  const low = kind === "rate" ? 0 : Math.min(...known);
  const high = Math.max(...known);
  const span = high - low || 1;
  let pen = "M";
  const path = numbers.map((number, place) => {
    if (number === null) { pen = "M"; return ""; }
    const x = (place / numbers.length) * 100;
    const y = 38 - ((number - low) / span) * 36;
    const drawn = kind === "rate" && pen === "L" ? `H${x}V${y}` : `${pen}${x} ${y}`;
    pen = "L";
    return drawn;
  }).join("");
  const drawing = $("chart").content.firstElementChild.cloneNode(true);
  drawing.firstElementChild.setAttribute("d", kind === "rate" ? `${path}H100` : path);
  const least = Math.min(...known);
  const words = `${unit}: ${least === high ? "" : `${short(least)} to `}${short(high)}, over ${until} s`;
  drawing.setAttribute("class", kind);
  drawing.setAttribute("aria-label", words);
  return make("figure", {}, drawing, make("figcaption", { className: "help" }, words));
}

const short = (number) => Number(number.toPrecision(4)).toLocaleString();

/** Show the newest runs, each with its ledger as one bar, and buttons that pause and stop it. */
async function look() {
  const { ok, answer } = await call("GET", "scenarios?limit=10");
  if (!ok) {
    $("runs").replaceChildren(make("li", { className: "help" }, answer.detail));
    return;
  }
  const active = answer.scenarios.filter(({ state }) => state !== "finished");
  const details = await Promise.all(active.map(({ id }) => call("GET", `scenarios/${id}`)));
  const known = new Map(details.filter(({ ok: found }) => found).map(({ answer: run }) => [run.id, run]));
  const focused = document.activeElement?.id;
  if (answer.scenarios.length) show(answer.scenarios.map((one) => run(one, known.get(one.id))));
  else $("runs").replaceChildren(make("li", { className: "help" }, "None yet."));
  if (/^(stop|pause|set)-/.test(focused ?? "")) $(focused)?.focus();
}

/** Show the rows. One that was there stays in its place: a click that has begun on it, and what is typed, would be lost. */
function show(rows) {
  const list = $("runs");
  const old = new Map([...list.children].map((row) => [row.id, row]));
  const shown = rows.map((row) => renewed(old.get(row.id), row));
  [...list.children].filter((row) => !shown.includes(row)).forEach((row) => row.remove());
  shown.forEach((row, place) => { if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null); });
}

/** The *old* row with all that is new, unless its buttons are others: then the new one. */
function renewed(old, row) {
  const [stays, other] = [old, row].map((one) => one?.querySelector(".controls"));
  if (stays?.textContent !== other.textContent) return row;
  const parts = [...row.children];
  const place = parts.indexOf(other);
  [...old.children].filter((part) => part !== stays).forEach((part) => part.remove());
  stays.before(...parts.slice(0, place));
  stays.after(...parts.slice(place + 1));
  return old;
}

/** How fast a run is, and how far behind its plan: the sum of the rates, and the longest lag. */
function pace({ scenarios: entries }) {
  const rate = entries.reduce((sum, entry) => sum + entry.rate.last_1s, 0);
  const lag = Math.max(...entries.map((entry) => entry.lag_s ?? 0));
  return `${short(rate)} events/s, lag ${lag.toFixed(2)} s`;
}

/** Whether nothing of a run is scheduled until somebody lets it go on. */
function isPaused({ scenarios: entries }) {
  const going = entries.filter(({ state }) => state !== "finished");
  return going.length > 0 && going.every(({ segments }) => segments?.at(-1).paused);
}

function run({ id, name, state, outcome, ledger, degraded }, detail) {
  const whole = ledger.planned ?? ledger.due;
  const segments = COLUMNS.filter((column) => ledger[column]);
  const bar = make("div", { className: "ledger", role: "img", "aria-label": segments.map((column) => `${column.replace("_", " ")} ${ledger[column]}`).join(", ") });
  for (const column of segments) {
    const piece = make("i", { className: column });
    piece.style.flexGrow = String(ledger[column] / Math.max(1, whole));
    bar.append(piece);
  }
  const words = segments.map((column) => `${column.replace("_", " ")} ${ledger[column].toLocaleString()}`).join(" · ");
  const stop = (e) => change(e.target, id, "DELETE");
  const paused = detail !== undefined && isPaused(detail);
  const pause = (e) => change(e.target, id, "PATCH", { paused: !paused });
  const said = [outcome ?? state, paused && "paused", degraded && "degraded"].filter(Boolean).join(", ");
  return make("li", { className: "run", id: `run-${id}` },
    make("div", { className: "bar" }, make("h3", {}, name), make("span", { className: "state" }, said)),
    make("div", { className: "controls" },
      state === "running" && detail ? rateOf(id, name, detail) : null,
      state === "running" && detail ? make("button", { type: "button", className: "quiet", id: `pause-${id}`, onclick: pause }, paused ? "Go on" : "Pause") : null,
      state === "finished" ? null : make("button", { type: "button", className: "quiet", id: `stop-${id}`, onclick: stop }, "Stop")),
    bar, failures.has(id) ? make("p", { className: "failure" }, failures.get(id)) : null,
    make("p", { className: "help" }, [words || "nothing is due yet", detail && pace(detail)].filter(Boolean).join(" · ")));
}

/** A field for another rate: that of each of the run's entries. */
function rateOf(id, name, { scenarios: entries }) {
  const field = make("input", { type: "number", id: `rate-${id}`, min: "0", step: "any", required: true, "aria-label": `rate of ${name}, events/s${entries.length > 1 ? " of each entry" : ""}`, placeholder: "per s" });
  const button = make("button", { type: "submit", className: "quiet", id: `set-${id}` }, "Set rate");
  const set = async (e) => {
    e.preventDefault();
    if (await change(button, id, "PATCH", { rate: field.valueAsNumber })) field.value = "";
  };
  return make("form", { className: "rate", onsubmit: set, autocomplete: "off" }, field, button);
}
