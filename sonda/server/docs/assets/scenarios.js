// The second tab: write a scenario, see its plan, start it, watch its ledger, stop it.

import { $, make, recall, remember, svg, withKey } from "./dom.js";

const EVERY_MS = 1000;
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
    return { ok: reply.ok, answer: await reply.json() };
  } catch (error) {
    return { ok: false, answer: { error: "no answer", detail: String(error) } };
  }
}

async function post(dryRun) {
  const text = $("document").value;
  remember("scenario", text);
  const { ok, answer } = await call("POST", `scenarios${dryRun ? "?dry_run=true" : ""}`, {
    // JSON is YAML, too.
    headers: { "Content-Type": "application/yaml" },
    body: text,
  });
  $("plan-answer").className = ok ? "" : "bad";
  $("plan-said").textContent = !ok ? answer.detail : dryRun ? (answer.warnings ?? []).join("\n") : `${answer.name} has begun`;
  if (ok && dryRun) drawPlan(answer.scenarios);
  if (!ok) $("plan").replaceChildren();
  if (ok && !dryRun) look();
}

/** One bar for each entry, over the time that it runs, and its first event below. */
function drawPlan(entries) {
  const longest = Math.max(1, ...entries.map((entry) => entry.ends_at_s ?? 0));
  const rows = entries.flatMap((entry, place) => {
    const top = place * 46;
    const isEndless = entry.ends_at_s === null;
    const width = isEndless ? 440 : Math.max(4, (entry.ends_at_s / longest) * 440);
    const count = entry.planned === null ? "without an end" : `${entry.planned.toLocaleString()} events`;
    const end = isEndless ? "" : `, ends at ${entry.ends_at_s} s`;
    return [
      svg("rect", { x: 0, y: top + 18, width, height: 14, rx: 4, class: isEndless ? "endless" : "planned" }),
      svg("text", { x: 0, y: top + 12 }, `${entry.id}: ${count}${end}, ${entry.series} series`),
    ];
  });
  $("plan").setAttribute("viewBox", `0 0 440 ${Math.max(1, entries.length) * 46}`);
  $("plan").setAttribute("aria-label", entries.map((entry) => `${entry.id}: ${entry.planned ?? "endless"} events`).join("; "));
  $("plan").replaceChildren(...rows);
  $("first-events").textContent = entries.flatMap((entry) => entry.events.slice(0, 2)).join("").trimEnd();
}

/** Show the newest runs, each with its ledger as one bar, and a button that stops it. */
async function look() {
  const { ok, answer } = await call("GET", "scenarios?limit=10");
  if (!ok) {
    $("runs").replaceChildren(make("li", { className: "help" }, answer.detail));
    return;
  }
  const focused = document.activeElement?.id;
  $("runs").replaceChildren(...answer.scenarios.map(run));
  if (!answer.scenarios.length) $("runs").replaceChildren(make("li", { className: "help" }, "None yet."));
  if (focused?.startsWith("stop-")) $(focused)?.focus();
}

function run({ id, name, state, outcome, ledger, degraded }) {
  const whole = ledger.planned ?? ledger.due;
  const segments = COLUMNS.filter((column) => ledger[column]);
  const bar = make("div", { className: "ledger", role: "img", "aria-label": segments.map((column) => `${column.replace("_", " ")} ${ledger[column]}`).join(", ") });
  for (const column of segments) {
    const piece = make("i", { className: column });
    piece.style.flexGrow = String(ledger[column] / Math.max(1, whole));
    bar.append(piece);
  }
  const words = segments.map((column) => `${column.replace("_", " ")} ${ledger[column].toLocaleString()}`).join(" · ");
  const stop = async (e) => { e.target.disabled = true; await call("DELETE", `scenarios/${id}`); look(); };
  return make("li", { className: "run" },
    make("div", { className: "bar" }, make("h3", {}, name), make("span", { className: "state" }, `${outcome ?? state}${degraded ? ", degraded" : ""}`),
      state === "finished" ? null : make("button", { type: "button", className: "quiet", id: `stop-${id}`, onclick: stop }, "Stop")),
    bar, make("p", { className: "help" }, words || "nothing is due yet"));
}
