// What the modules of the page share: elements, text with `code` in it, JSON in colours, requests.

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** Text with `code` in it. */
export const marked = (text) => text.split("`").map((piece, index) => (index % 2 ? make("code", {}, piece) : piece));

export function coloured(json) {
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

export const withKey = (headers = {}) => {
  const key = $("key").value;
  return key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
};

/** Read what was kept in this browser; a page without storage has nothing. */
export function recall(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`sonda.${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(`sonda.${name}`, JSON.stringify(value));
  } catch { /* a private window, or full: the page works without */ }
}

/** Count the seconds of a wait, and offer to stop it: what to show, the signal for `fetch`, and `end`, to be called after it. */
export function waiting(prefix = "") {
  const began = performance.now();
  const stopped = new AbortController();
  const seconds = make("b", { id: `${prefix}seconds` }, "0 s");
  const stop = make("button", { type: "button", className: "quiet", id: `${prefix}stop`, onclick: () => stopped.abort() }, "Stop waiting");
  const elapsed_ms = () => Math.round(performance.now() - began);
  const clock = setInterval(() => { seconds.textContent = `${Math.round(elapsed_ms() / 1000)} s`; }, 250);
  return { seconds, stop, signal: stopped.signal, elapsed_ms, end: () => clearInterval(clock) };
}
