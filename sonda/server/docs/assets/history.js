// What this browser remembers of sends: no key, no password, no value of a header.

import { $, make, recall, remember } from "./dom.js";

const MOST_KEPT = 10;
const SECRET = /^(?:headers|sasl)$/;
const kept = recall("history", []);

/** Return the event without what may be secret. */
export function shareable(event) {
  if (!event.sink) return event;
  const shown = Object.entries(event.sink).filter(([name]) => !SECRET.test(name)).map(([name, value]) => [name, withoutUserinfo(value)]);
  const { url, ...verify } = event.verify ?? {};
  return { ...event, sink: Object.fromEntries(shown), ...(event.verify && { verify: url ? { ...verify, url: withoutUserinfo(url) } : verify }) };
}

const withoutUserinfo = (value) => (typeof value === "string" ? value.replace(/^([a-z]+:..)?[^/]*@/i, "$1") : value);

export function keep(verdict, event) {
  kept.unshift({ at: new Date().toISOString(), ...verdict, event: shareable(event) });
  kept.length = Math.min(kept.length, MOST_KEPT);
  remember("history", kept);
}

/** Show the last sends; *refill* is called with the event of one that is pressed. */
export function showHistory(refill) {
  $("history").replaceChildren(...kept.map(({ at, status, verdict, sent, dry, event }) => {
    const what = event.log?.message ?? event.metric?.name ?? "";
    return make("li", {}, make("button", { type: "button", className: "row", title: "Fill this in again", onclick: () => refill(structuredClone(event)) },
      make("b", { className: dry ? "dry" : sent ? "good" : verdict === "Unknown" ? "unsure" : "bad" }, String(status || "—")),
      make("span", {}, `${what} → ${event.destination ?? event.sink.type}`), make("time", {}, at.slice(11, 19))));
  }));
  $("past").hidden = kept.length === 0;
}
