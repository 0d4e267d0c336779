/**
 * The rows of the fleet: patched by key, filtered, ordered (what needs attention first), never moved under pointer or focus.
 * @module
 */
import { dressButtons } from "./actions.js";
import { must, setShape, setText, workerUrl } from "./env.js";
import { clockTime } from "./live.js";
import { age, describe, GROUPS } from "./words.js";

/** @typedef {import("./words.js").Status} Status */
/** @typedef {import("./words.js").Words} Words */

const GROUP = 50;
const RANK = /** @type {Record<string, number>} */ ({ fail: 0, warn: 1, block: 2 });

export class Table {
  /** @param {import("./store.js").Store} store @param {import("./live.js").Live} live */
  constructor(store, live) {
    this.store = store;
    this.live = live;
    this.fleet = must("#fleet");
    /** @type {HTMLTemplateElement} */ this.template = must("#row");
    /** @type {Map<string, HTMLElement>} */ this.rows = new Map();
    /** @type {Map<string, Words>} */ this.said = new Map();
    for (const row of this.fleet.querySelectorAll(".row[data-worker]")) this.rows.set(/** @type {HTMLElement} */ (row).dataset.worker ?? "", /** @type {HTMLElement} */ (row));
    const query = new URLSearchParams(location.search);
    this.q = query.get("q") ?? "";
    this.states = new Set(query.getAll("state").filter((word) => Object.values(GROUPS).includes(word)));
    this.held = false;
    this.waiting = false;
    this.controls();
    for (const status of store.workers.values()) this.patch(status);
    this.order();
    this.filter();
  }

  /** @param {string} name */
  row(name) {
    return this.rows.get(name) ?? null;
  }

  /** @param {Set<string>} changed @param {Set<string>} removed */
  paint(changed, removed) {
    for (const name of removed) {
      this.rows.get(name)?.remove();
      this.rows.delete(name);
      this.said.delete(name);
    }
    for (const name of changed) {
      const status = this.store.get(name);
      if (status) this.patch(status, true);
    }
    this.order();
    this.filter();
  }

  /** @param {Status} status @param {boolean} [flash] */
  patch(status, flash = false) {
    let row = this.rows.get(status.name);
    if (!row) {
      row = /** @type {HTMLElement} */ (/** @type {Element} */ (this.template.content.firstElementChild).cloneNode(true));
      row.dataset.worker = status.name;
      const link = must("a", row);
      link.textContent = status.name;
      link.setAttribute("href", workerUrl(status.name));
      delete must("form.acts", row).dataset.worker;
      this.rows.set(status.name, row);
    }
    const words = describe(status, this.live.now());
    const before = this.said.get(status.name);
    this.said.set(status.name, words);
    if (!row.classList.contains(words.family)) {
      row.classList.remove(...Object.keys(GROUPS));
      row.classList.add(words.family);
    }
    setShape(row, words.shape);
    this.speak(row, words);
    must(".state", row).title = status.why ?? "";
    this.tickAge(row, status);
    setText(must('[data-part="run"]', row), status.run ? `run ${status.run}${status.pid ? ` · ${status.pid}` : ""}` : "");
    setText(must('[data-part="restarts"]', row), status.restarts ? String(status.restarts) : "");
    dressButtons(row, status, words);
    row.dataset.version = status.version;
    if (flash && before && before.family !== words.family) {
      const cell = must(".state", row);
      cell.classList.remove("flash");
      cell.addEventListener("animationend", () => cell.classList.remove("flash"), { once: true });
      cell.classList.add("flash");
    }
  }

  /** @param {HTMLElement} row @param {Words} words */
  speak(row, words) {
    setText(must('[data-part="word"]', row), words.word);
    setText(must('[data-part="detail"]', row), words.detail);
  }

  /** @param {HTMLElement} row @param {Status} status */
  tickAge(row, status) {
    const since = Date.parse(status.since);
    const cell = must('[data-part="age"]', row);
    setText(cell, this.live.fresh ? age((this.live.now() - since) / 1000) : clockTime(since));
    if (cell.title !== status.since) cell.title = status.since;
  }

  /** Once a second: durations run on and countdowns count, but not on old data. */
  tick() {
    for (const [name, row] of this.rows) {
      const status = this.store.get(name);
      if (!status || row.hidden) continue;
      this.tickAge(row, status);
      if (this.live.fresh && status.deadline) this.speak(row, describe(status, this.live.now()));
    }
    if (this.waiting && !this.busy()) this.order();
  }

  /** Is the reader at the table, so that nothing may move? */
  busy() {
    return this.held || this.fleet.contains(document.activeElement) || document.querySelector("dialog[open]") !== null;
  }

  /** Puts rows in order in groups; new ones are shown at once, at the end if the reader is at the table. */
  order() {
    const names = [...this.store.workers.keys()].filter((name) => this.rows.has(name));
    const rank = (/** @type {string} */ name) => RANK[this.said.get(name)?.family ?? ""] ?? 9;
    names.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
    const present = [...this.fleet.querySelectorAll(".group > .row")].map((row) => /** @type {HTMLElement} */ (row).dataset.worker);
    if (names.length === present.length && names.every((name, i) => name === present[i])) {
      this.waiting = false;
      return;
    }
    if (this.busy() && present.length) {
      this.waiting = true;
      const shown = new Set(present);
      const fresh = names.filter((name) => !shown.has(name));
      this.place([.../** @type {string[]} */ (present), ...fresh]);
      return;
    }
    this.waiting = false;
    this.place(names);
  }

  /** @param {string[]} names */
  place(names) {
    const groups = [...this.fleet.querySelectorAll(".group")];
    while (groups.length * GROUP < names.length) {
      const group = document.createElement("div");
      group.className = "group";
      group.setAttribute("role", "rowgroup");
      this.fleet.append(group);
      groups.push(group);
    }
    groups.forEach((group, g) => {
      const wanted = names.slice(g * GROUP, (g + 1) * GROUP);
      if (!wanted.length) return group.remove();
      wanted.forEach((name, i) => {
        const row = /** @type {HTMLElement} */ (this.rows.get(name));
        if (group.children[i] !== row) group.insertBefore(row, group.children[i] ?? null);
        row.setAttribute("aria-rowindex", String(g * GROUP + i + 2));
      });
    });
    this.fleet.setAttribute("aria-rowcount", String(names.length + 1));
  }

  // ------------------------------------------------------------ filter

  filter() {
    const parts = this.q.toLowerCase().split(/\s+/).filter(Boolean);
    /** @type {Record<string, number>} */ const counts = {};
    let shown = 0;
    for (const [name, row] of this.rows) {
      const words = this.said.get(name);
      if (!words) continue;
      counts[words.shape] = (counts[words.shape] ?? 0) + 1;
      const text = `${name} ${words.word}`.toLowerCase();
      const show = (!this.states.size || this.states.has(GROUPS[words.shape])) && parts.every((part) => text.includes(part));
      if (row.hidden === show) row.hidden = !show;
      shown += show ? 1 : 0;
    }
    for (const chip of document.querySelectorAll(".chip")) {
      const { shape = "" } = /** @type {HTMLElement} */ (chip).dataset;
      const count = String(counts[shape] ?? 0);
      setText(must("b", chip), count);
      /** @type {HTMLElement} */ (chip).dataset.count = count;
      if (this.states.has(GROUPS[shape])) chip.setAttribute("aria-current", "true");
      else chip.removeAttribute("aria-current");
    }
    this.counts = counts;
    const none = must("#none"), total = this.rows.size;
    none.hidden = shown > 0 || total === 0;
    this.fleet.hidden = total === 0;
    const nothing = document.querySelector("#nothing");
    if (nothing instanceof HTMLElement) nothing.hidden = total > 0;
    setText(must("span", none), `No worker matches ${[...this.states, this.q].filter(Boolean).map((one) => `“${one}”`).join(" and ")}. ${total - shown} hidden.`);
    this.title();
  }

  title() {
    const { fail = 0, warn = 0 } = this.counts ?? {};
    const bad = [fail ? `${fail} ✕` : "", warn ? `${warn} ▲` : ""].filter(Boolean).join(", ");
    const mark = document.title.startsWith("⚠") ? "⚠ " : "";
    const title = `${mark}${bad ? `(${bad}) ` : ""}Workers · ${must('meta[name="quarterdeck"]').dataset.host}`;
    if (document.title !== title) document.title = title;
  }

  /** @param {boolean} [push] */
  address(push = false) {
    const query = new URLSearchParams();
    if (this.q) query.set("q", this.q);
    for (const word of this.states) query.append("state", word);
    const url = `${location.pathname}${query.size ? `?${query}` : ""}`;
    if (push) history.pushState(null, "", url);
    else history.replaceState(null, "", url);
  }

  clear() {
    this.q = "";
    this.states.clear();
    /** @type {HTMLInputElement} */ (must('[name="q"]')).value = "";
    this.address(true);
    this.filter();
  }

  controls() {
    this.fleet.addEventListener("pointerenter", (event) => this.held = event.pointerType !== "touch");
    this.fleet.addEventListener("pointerleave", () => {
      this.held = false;
      if (this.waiting) this.order();
    });
    const box = /** @type {HTMLInputElement} */ (must('[name="q"]'));
    box.addEventListener("input", () => {
      this.q = box.value.trim();
      this.address();
      this.filter();
    });
    must("form.filter").addEventListener("submit", (event) => event.preventDefault());
    must("#none a").addEventListener("click", (event) => {
      event.preventDefault();
      this.clear();
    });
    must(".summary").addEventListener("click", (event) => {
      const chip = /** @type {HTMLElement} */ (event.target).closest(".chip");
      if (!(chip instanceof HTMLElement) || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const word = GROUPS[chip.dataset.shape ?? ""];
      const had = this.states.has(word), only = this.states.size === 1;
      if (!event.shiftKey) this.states.clear();
      if (had && (event.shiftKey || only)) this.states.delete(word);
      else this.states.add(word);
      this.address(true);
      this.filter();
    });
    addEventListener("popstate", () => {
      const query = new URLSearchParams(location.search);
      this.q = box.value = query.get("q") ?? "";
      this.states = new Set(query.getAll("state"));
      this.filter();
    });
  }

  /** The shown rows in order, and the next one from where the focus is. @param {number} step */
  move(step) {
    const rows = /** @type {HTMLElement[]} */ ([...this.fleet.querySelectorAll(".group > .row:not([hidden])")]);
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const next = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step))];
    if (next) must(".name a", next).focus();
  }

  /** The worker whose row has the focus. */
  focused() {
    const row = document.activeElement?.closest(".row[data-worker]");
    return row instanceof HTMLElement ? row.dataset.worker ?? "" : "";
  }
}
