// A request, what is waited for, and its answer: verdict, receipt, and each flaw beside its field.

import { $, coloured, make, marked, waiting, withKey } from "./dom.js";

/** Send *event*; *resend* is called with the time of one whose outcome is unknown. Return the verdict. */
export async function ask(event, { dryRun, resend }) {
  const buttons = [$("send"), $("dry")];
  // A button that cannot be pressed any more loses the focus.
  const pressed = document.activeElement;
  buttons.forEach((button) => { button.disabled = true; });
  const wait = waiting();
  showWait(event, wait);
  let status = 0;
  let text = "";
  try {
    const reply = await fetch(`events?receipt=true${dryRun ? "&dry_run=true" : ""}`, {
      method: "POST",
      headers: withKey({ "Content-Type": "application/json" }),
      body: JSON.stringify(event),
      signal: wait.signal,
    });
    status = reply.status;
    text = await reply.text();
    return tell(status, envelope(text, status, dryRun), wait.elapsed_ms(), resend);
  } catch (error) {
    const left = dryRun ? "nothing was sent" : "the event may or may not have been delivered";
    const why = wait.signal.aborted
      ? `you have stopped waiting; ${left}`
      : error instanceof SyntaxError
        ? `the answer is not Sonda's, but perhaps a proxy's: ${text.slice(0, 200)}`
        : `the connection ended without an answer (${error}); ${left}`;
    return tell(dryRun ? undefined : 0, { error: "no answer", detail: why }, wait.elapsed_ms(), resend);
  } finally {
    wait.end();
    buttons.forEach((button) => { button.disabled = false; });
    if (document.activeElement === document.body) pressed?.focus();
  }
}

// A proxy's, too, while the server may deliver the event; in Sonda's own answer is the outcome.
const WITH_OUTCOME = [500, 502, 504];

/** Return an answer of Sonda's; raise `SyntaxError` for anything that a proxy may have said instead. */
function envelope(text, status, dryRun) {
  const answer = JSON.parse(text);
  const lacksOutcome = !dryRun && WITH_OUTCOME.includes(status) && typeof answer?.outcome !== "string";
  if (lacksOutcome) throw new SyntaxError("no answer of Sonda's");
  if (typeof answer?.sent !== "boolean" && typeof answer?.detail !== "string") throw new SyntaxError("no answer of Sonda's");
  return answer;
}

/** Replace the last answer by what is waited for, how long, and a way to stop. */
function showWait(event, { seconds, stop }) {
  pin([]);
  const sink = event.sink ?? {};
  const target = sink.url ?? sink.endpoint ?? sink.address ?? sink.brokers ?? sink.path ?? "";
  $("answer").className = "unsure";
  $("answer").replaceChildren(
    make("div", { className: "bar" }, make("h2", {}, "Waiting"), seconds),
    make("p", { className: "help" }, `waiting for ${[event.destination ?? sink.type, target].filter(Boolean).join(" ")}`),
    stop);
  $("answer").scrollIntoView({ block: "nearest" });
}

function verdictOf(status, answer) {
  if (answer.sent) return answer.verified ? "Delivered and read back" : "Delivered";
  if (answer.preview) return "Dry run";
  return { 0: "Unknown", 500: "Unknown", 504: "Unknown", 502: "Not delivered" }[status] ?? "Not sent";
}

function tell(status, answer, took_ms, resend) {
  const isGood = "sent" in answer;
  const issues = isGood ? [] : answer.issues?.length ? answer.issues : [{ path: "", reason: answer.detail }];
  const flaws = pin(issues);
  const verdict = verdictOf(status, answer);
  const lines = isGood ? (answer.warnings ?? []).map(marked) : flaws;
  $("answer").className = answer.sent ? "good" : answer.preview ? "dry" : verdict === "Unknown" ? "unsure" : "bad";
  $("answer").replaceChildren(
    make("div", { className: "bar" }, make("h2", {}, verdict), make("b", { id: "status" }, status ? `${status}` : "—")),
    make("p", { className: "help" }, said(answer, took_ms)),
    make("ul", {}, ...lines.map((line) => make("li", {}, ...line))),
    ...facts(answer),
    answer.outcome === "unknown" && answer.timestamp
      ? make("button", { type: "button", className: "quiet", onclick: () => resend(answer.timestamp) }, "Send it again as the same event")
      : "",
    make("details", { id: "whole", open: true }, make("summary", {}, "The whole answer"),
      make("pre", { id: "body", tabIndex: 0 }, ...coloured(JSON.stringify(answer, null, 2)))));
  return { status, verdict, sent: answer.sent === true, dry: Boolean(answer.preview) };
}

const said = (answer, took_ms) =>
  answer.sent ? `acknowledged in ${answer.latency_ms} ms, answered in ${took_ms} ms`
    : answer.preview ? "nothing was opened, nothing was sent" : `${answer.error}, answered in ${took_ms} ms`;

/** What proves the answer: the receipt of a yes, the consequences of anything else. */
function facts(answer) {
  const { receipt, verified, visible_ms: visible, outcome, timestamp, resend, preview } = answer;
  const shown = Object.entries({
    ...(receipt && { confirmed: receipt.confirmed.replace("_", " "), timestamp: receipt.timestamp, tries: receipt.tries }),
    ...(receipt?.status && { "destination's status": receipt.status }),
    ...(receipt?.place && { place: Object.entries(receipt.place).map((pair) => pair.join(" ")).join(", ") }),
    ...(verified !== undefined && { "read back": verified ? `visible after ${visible} ms` : "not seen in time" }),
    ...(outcome && { outcome: outcome.replace("_", " "), ...(timestamp && { timestamp }), "sent again": resend === "safe" ? "safe" : "may be there twice" }),
    ...(preview && { target: preview.target, bytes: preview.bytes, framing: preview.framing }),
  });
  if (!shown.length) return [];
  return [make("dl", { id: "receipt" }, ...shown.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]))];
}

/** Put each flaw beside its field; return all of them, those that have a field as buttons that lead there. */
export function pin(issues) {
  document.querySelectorAll(".flaw").forEach((line) => { line.textContent = ""; });
  document.querySelectorAll("[aria-invalid]").forEach((control) => control.removeAttribute("aria-invalid"));
  const flaws = issues.map(({ path, reason }) => {
    const missing = reason.match(/^missing field '(\w+)'/)?.[1];
    const line = nearest([path, missing].filter(Boolean).join("."));
    const text = path ? `${path}: ${reason}` : reason;
    if (!line) return marked(text);
    line.append(make("span", {}, reason));
    $(line.id.replace(/:flaw$/, ""))?.setAttribute("aria-invalid", "true");
    line.closest("details")?.setAttribute("open", "");
    const lead = () => {
      const control = $(line.id.replace(/:flaw$/, "")) ?? line.parentElement.querySelector("input, select, textarea");
      control?.focus();
    };
    return [make("button", { type: "button", className: "quiet", onclick: lead }, ...marked(text))];
  });
  document.querySelector("[aria-invalid]")?.scrollIntoView({ block: "center", behavior: "smooth" });
  return flaws;
}

/** The line for flaws of a field, or of the object around it. */
function nearest(path) {
  for (const steps = path.split(/[.[]/); steps[0]; steps.pop()) {
    const line = $(`${steps.join(".")}:flaw`);
    if (line) return line;
  }
  return null;
}

/** What else sending can be answered, from the document. */
export function reference(responses, find) {
  const refusals = Object.entries(responses).filter(([, { $ref }]) => $ref);
  return refusals.map(([status, { $ref }]) => {
    const { description, content } = find($ref);
    const examples = Object.values(content["application/json"].examples).map(({ value }) => make("li", {}, value.detail));
    const title = [make("b", {}, status), " ", make("code", {}, $ref.split("/").at(-1)), " ", make("span", {}, ...marked(description))];
    return make("details", {}, make("summary", {}, ...title), make("ul", {}, ...examples));
  });
}
