/**
 * One log view's store, in a worker of its own: the stream, the ring, older pages, and the window that the page shows.
 * The page asks with `view` and gets `rows`; while it follows it gets them unasked, at most once a frame.
 * Resume is by key with strict >, so a reconnect neither loses nor doubles a line.
 * @module
 */
import { columns, plain } from "./ansi.js";
import { backoff, SILENT } from "./hubcore.js";
import { Ring } from "./logring.js";

/** @typedef {import("./logring.js").Row} Row */
/** @typedef {{seq: number, top: number | null, anchor: number | null, shift: number, height: number, cols: number}} View */

const ring = new Ring();
const post = (/** @type {unknown} */ message) => /** @type {any} */ (globalThis).postMessage(message);
let base = "", path = "", tail = 500;
/** The key up to which everything has been seen, and the one before which older lines begin. */
let seen = "", back = "";
/** @type {EventSource | null} */ let source = null;
/** @type {View | null} */ let view = null;
let last = 0, opened = 0, tries = 0, retryAt = 0, asleep = false, due = false, older = false, first = false, lines = 0, gaps = 0;

/** @param {any} line @returns {Row} */
function row(line) {
  const text = line.cut ? `${line.text} … (cut, ${line.cut} bytes in all)` : line.text;
  const at = line.at ?? (line.key ? parseInt(line.key.slice(-16), 16) : 0);
  return { kind: "line", key: line.key, time: line.time, stream: line.stream, run: line.run, text, cells: columns(text), at };
}

/** @param {any} gap @returns {Row} */
function gapRow(gap) {
  /** @type {Record<string, string>} */
  const why = { expired: "deleted by retention", dropped: "dropped", rebuilt: "index rebuilt, lines may be missing" };
  const size = gap.bytes ? `${gap.bytes} bytes ` : "";
  return { kind: "gap", key: gap.key ?? null, time: "", stream: gap.stream ?? "", run: 0, text: `${size}${why[gap.why] ?? gap.why ?? "missing"}`, cells: 0, at: 0 };
}

/** @param {any} mark @returns {Row} */
function runRow(mark) {
  const ended = mark.kind === "end";
  return { kind: "run", key: mark.key ?? null, time: mark.time, stream: "", run: mark.run, text: `run ${mark.run} ${ended ? "ended" : "started"}`, cells: 0, at: 0 };
}

/** @param {Row} row */
const place = (row) => `${row.stream} ${row.run} ${row.at}`;

/** @param {Row[]} rows */
function take(rows) {
  for (const one of rows) {
    if (one.kind === "line" && one.key === null) {
      const index = ring.open.findIndex((other) => place(other) === place(one));
      if (index >= 0) ring.open[index] = one;
      else ring.open.push(one);
      continue;
    }
    if (one.key !== null && seen && one.key <= seen) continue;
    if (one.kind === "line") ring.open = ring.open.filter((other) => place(other) !== place(one));
    // A run's end completes what it left open.
    if (one.kind === "run" && one.text.endsWith("ended")) ring.open = ring.open.filter((other) => other.run !== one.run);
    if (one.key !== null) {
      seen = one.key;
      back ||= one.key;
    }
    lines += one.kind === "line" ? 1 : 0;
    gaps += one.kind === "gap" ? 1 : 0;
    ring.push(one);
  }
  soon();
}

/** Tells the page once a frame. */
function soon() {
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    if (view && view.top === null && view.anchor === null) show();
    else post({ t: "moved", end: ring.end, total: ring.total, origin: ring.origin, lines, gaps });
  }, 16);
}

/** Sends the window that the page asked for; `top` null and no anchor means the end. */
function show() {
  if (!view) return;
  ring.wrapAt(view.cols);
  const { height, seq } = view;
  let top = view.top;
  if (view.anchor !== null) top = ring.offset(view.anchor) + view.shift;
  const bottom = ring.origin + ring.total;
  const follow = top === null;
  const from = top === null ? bottom - height : top;
  const lead = Math.max(10, Math.round(height / 2));
  const { index, start } = ring.find(Math.max(ring.origin, Math.floor(from) - lead));
  const rows = [];
  let at = start;
  for (let i = index; i < ring.end && at < from + height + lead; i++) {
    const one = ring.get(i);
    const tall = ring.height(one);
    rows.push({ index: i, tall, ...one });
    at += tall;
  }
  post({ t: "rows", seq, follow, anchored: view.anchor !== null, top: from, start, total: ring.total, origin: ring.origin, lo: ring.lo, end: ring.end, lines, gaps, atStart: first, full: ring.hi - ring.lo >= ring.capacity, rows });
}

function close() {
  source?.close();
  source = null;
}

function connect() {
  close();
  retryAt = 0;
  opened = Date.now();
  const query = seen ? `after=${encodeURIComponent(seen)}` : `tail=${tail}`;
  const mine = new EventSource(`${path}/stream?${query}`);
  source = mine;
  const on = (/** @type {string} */ name, /** @type {(data: any) => void} */ deed) =>
    mine.addEventListener(name, (event) => {
      if (source !== mine) return;
      const { data, lastEventId } = /** @type {MessageEvent} */ (event);
      last = Date.now();
      tries = 0;
      deed(JSON.parse(data));
      if (lastEventId && /^[0-9a-f]+$/i.test(lastEventId) && lastEventId > seen) seen = lastEventId;
    });
  mine.addEventListener("open", () => post({ t: "stream", state: "live" }));
  on("log", (data) => take(data.map(row)));
  on("gap", (data) => take((Array.isArray(data) ? data : [data]).map(gapRow)));
  on("run", (data) => take((Array.isArray(data) ? data : [data]).map(runRow)));
  on("heartbeat", () => {});
  on("bye", () => lost(1000));
  mine.addEventListener("error", () => source === mine && lost(backoff(tries++)));
}

/** @param {number} delay */
function lost(delay) {
  close();
  retryAt = Date.now() + delay;
  post({ t: "stream", state: "lost" });
}

setInterval(() => {
  const now = Date.now();
  if (asleep || !path) return;
  if (retryAt ? now >= retryAt : source && now - Math.max(last, opened) > SILENT) connect();
}, 500);

async function fetchOlder() {
  if (older || first || !back || ring.hi - ring.lo >= ring.capacity) return;
  older = true;
  try {
    const answer = await fetch(`${path}?before=${encodeURIComponent(back)}&limit=500`, { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(`the service answered ${answer.status}`);
    const page = await answer.json();
    const rows = [...page.lines.map(row), ...page.gaps.map(gapRow), ...page.runs.map(runRow)].filter((one) => one.key !== null);
    rows.sort((a, b) => (/** @type {string} */ (a.key) < /** @type {string} */ (b.key) ? -1 : 1));
    ring.unshift(rows);
    lines += page.lines.length;
    back = page.first;
    first = !page.more;
    show();
  } catch (error) {
    post({ t: "problem", text: `Older lines did not come: ${/** @type {Error} */ (error).message}` });
  } finally {
    older = false;
  }
}

/** The text of the lines from one index to another, both included, as it is shown. @param {number} from @param {number} to */
function text(from, to) {
  const found = [];
  for (let i = Math.max(from, ring.lo); i <= Math.min(to, ring.end - 1); i++) {
    const one = ring.get(i);
    if (one.kind === "line") found.push(plain(one.text));
  }
  return found.join("\n");
}

globalThis.addEventListener("message", (event) => {
  const data = /** @type {MessageEvent} */ (event).data;
  switch (data.t) {
    case "open":
      base = data.base;
      path = `${base}api/v1/workers/${encodeURIComponent(data.name)}/logs`;
      tail = data.tail ?? tail;
      connect();
      break;
    case "view":
      view = data.view;
      show();
      break;
    case "older":
      fetchOlder();
      break;
    case "text":
      post({ t: "text", from: data.from, to: data.to, text: text(data.from, data.to) });
      break;
    case "sleep":
      asleep = true;
      close();
      break;
    case "wake":
      if (asleep || !source) {
        asleep = false;
        connect();
      }
      break;
  }
});
