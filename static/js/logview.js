/**
 * The log on the page: a window of rows in DOM order over the worker's ring. Nothing moves the view but the reader,
 * unless it follows. Heights are arithmetic: one row of text is ROW pixels (worker.css says the same).
 * @module
 */
import { base, make, must, scriptUrl, setText } from "./env.js";
import { keep, kept } from "./frame.js";
import { makeRow } from "./logrow.js";

/** @typedef {import("./logrow.js").ShownRow} ShownRow */

const ROW = 20;
/** Tallest sheet; browsers end near 33 million pixels. */
const TALLEST = 8_000_000;
const HIDDEN_FOR = 10_000;

export class LogView {
  /** @param {string} name the worker's */
  constructor(name) {
    this.scroller = must("#log");
    this.sheet = must(".sheet", this.scroller);
    this.list = must(".rows", this.scroller);
    this.follow = true;
    this.paused = false;
    this.seq = 0;
    this.origin = 0;
    this.total = 0;
    this.end = 0;
    this.newSince = 0;
    /** Rows by index, so that an element outlives scrolling. @type {Map<number, {element: HTMLElement, key: string | null, text: string, run: number}>} */
    this.shown = new Map();
    /** Picked lines, both ends included. @type {{from: number, to: number} | null} */
    this.picked = null;
    this.pickedText = "";
    this.settingTop = -1;
    this.started = false;
    this.wrap = kept("qd_wrap") ? kept("qd_wrap") === "1" : matchMedia("(max-width: 760px)").matches;
    this.short = matchMedia("(max-width: 760px)").matches;
    this.worker = new Worker(/** @type {string} */ (scriptUrl("logstore.worker.js")), { type: "module" });
    this.worker.onmessage = ({ data }) => this.hear(data);
    this.worker.postMessage({ t: "open", base, name, tail: 500 });
    this.measure();
    this.controls();
    this.ask();
  }

  /** How many characters fit, by the font's own advance. */
  measure() {
    const probe = make("span", "0".repeat(100), { class: "text" });
    const line = make("div", "", { class: "line" });
    line.append(make("span", "", { class: "time" }), probe);
    const width = this.scroller.clientWidth;
    line.style.position = "absolute";
    line.style.visibility = "hidden";
    line.style.gridTemplateColumns = "var(--gutter) max-content";
    this.scroller.append(line);
    const advance = (probe.getBoundingClientRect().width - 8) / 100 || 7.5;
    const gutter = must(".time", line).getBoundingClientRect().width;
    line.remove();
    this.cols = Math.max(10, Math.floor((width - gutter - 8) / advance));
    this.height = Math.max(1, Math.ceil(this.scroller.clientHeight / ROW));
  }

  /** Asks for the rows under the present scroll position, or the end while following. @param {number | null} [anchor] @param {number} [shift] */
  ask(anchor = null, shift = 0) {
    if (this.paused && anchor === null && this.follow) return;
    const top = this.follow || anchor !== null ? null : this.origin + this.scroller.scrollTop / ROW;
    const view = { seq: ++this.seq, top, anchor, shift, height: this.height, cols: this.wrap ? this.cols : 0 };
    this.worker.postMessage({ t: "view", view });
  }

  /** @param {any} data */
  hear(data) {
    if (data.t === "rows") this.rows(data);
    else if (data.t === "moved") {
      if (this.paused) this.newSince = data.end - this.end;
      else this.grow(data);
      this.say(data);
    } else if (data.t === "text") this.gotText(data);
    else if (data.t === "stream") setText(must('[data-log="stream"]'), data.state === "live" ? "" : "log stream lost, trying again");
    else if (data.t === "problem") setText(must('[data-log="stream"]'), data.text);
  }

  /** New lines below while the reader looks elsewhere: the sheet grows, the view stays. @param {{total: number, origin: number, end: number}} data */
  grow(data) {
    const moved = data.origin - this.origin;
    this.newSince += Math.max(0, data.end - this.end);
    this.end = data.end;
    if (moved || !this.started) return this.ask();
    this.total = data.total;
    this.sheet.style.height = `${Math.min(TALLEST, this.total * ROW)}px`;
  }

  /** @param {any} data */
  rows(data) {
    if (data.seq !== this.seq || this.paused && data.follow) return;
    // Nothing has come yet: the lines that came with the page stay.
    if (!this.started && !data.rows.length) return this.say(data);
    const was = this.origin;
    this.origin = data.origin;
    this.total = data.total;
    this.end = data.end;
    this.scroller.classList.toggle("wrap", this.wrap);
    this.sheet.style.height = `${Math.min(TALLEST, this.total * ROW)}px`;
    this.patch(data.rows);
    this.list.style.top = `${(data.start - data.origin) * ROW}px`;
    if (data.follow) this.setTop(this.scroller.scrollHeight);
    // Rows came or went above, or every height changed: what was on top stays on top.
    else if (data.anchored || (was !== data.origin && this.started)) this.setTop((data.top - data.origin) * ROW);
    if (data.follow) this.newSince = 0;
    this.started = true;
    this.say(data);
    this.atStart = data.atStart;
    this.full = data.full;
    if (!data.rows.length) this.list.replaceChildren(make("p", "No output yet.", { class: "empty" }));
    // A short log has no way to scroll up: the older lines come by themselves.
    if (!data.atStart && data.rows.length && !this.follow && this.scroller.scrollTop < ROW * 40) this.worker.postMessage({ t: "older" });
  }

  /** Keyed patch in DOM order: kept rows stay the same elements. @param {ShownRow[]} rows */
  patch(rows) {
    if (!this.started || !this.shown.size) this.list.replaceChildren();
    const keepers = new Set(rows.map((row) => row.index));
    for (const [index, { element }] of this.shown) {
      if (keepers.has(index)) continue;
      element.remove();
      this.shown.delete(index);
    }
    /** @type {Element | null} */ let at = this.list.firstElementChild;
    for (const row of rows) {
      let known = this.shown.get(row.index);
      if (known && (known.key !== row.key || known.text !== row.text || known.run !== row.run)) {
        const fresh = makeRow(row, this.short);
        if (at === known.element) at = fresh;
        known.element.replaceWith(fresh);
        known = { element: fresh, key: row.key, text: row.text, run: row.run };
        this.shown.set(row.index, known);
      }
      if (!known) {
        known = { element: makeRow(row, this.short), key: row.key, text: row.text, run: row.run };
        this.shown.set(row.index, known);
        this.list.insertBefore(known.element, at);
      } else if (known.element === at) at = at.nextElementSibling;
      else this.list.insertBefore(known.element, at);
      known.element.classList.toggle("picked", !!this.picked && row.index >= this.picked.from && row.index <= this.picked.to);
    }
  }

  /** Scrolls without that counting as the reader's own doing. @param {number} top */
  setTop(top) {
    this.scroller.scrollTop = top;
    this.settingTop = this.scroller.scrollTop;
  }

  /** @param {{lines: number, gaps: number}} data */
  say({ lines, gaps }) {
    const state = this.paused ? "Paused" : this.follow ? "Following" : "Not following";
    const parts = [state, this.started ? `${lines.toLocaleString("en")} lines` : "", gaps ? `${gaps} ${gaps === 1 ? "gap" : "gaps"}` : ""];
    setText(must('[data-log="said"]'), parts.filter(Boolean).join(" · "));
    must('[data-log="follow"]').setAttribute("aria-pressed", String(this.follow && !this.paused));
    const pause = must('[data-log="pause"]');
    pause.setAttribute("aria-pressed", String(this.paused));
    const end = must('[data-log="end"]');
    end.hidden = this.follow && !this.paused;
    setText(end, this.newSince > 0 ? `↓ ${this.newSince.toLocaleString("en")} new` : "↓ End");
  }

  /** @param {boolean} on */
  setFollow(on) {
    this.follow = on;
    if (on) this.paused = false;
    this.ask();
  }

  /** The first line that is held. */
  toStart() {
    this.follow = false;
    this.scroller.scrollTop = 0;
    this.ask();
    this.worker.postMessage({ t: "older" });
  }

  /** @param {boolean} on */
  setPaused(on) {
    this.paused = on;
    if (!on) this.ask();
    this.worker.postMessage({ t: "view", view: { seq: ++this.seq, top: on ? this.origin + this.scroller.scrollTop / ROW : this.follow ? null : this.origin + this.scroller.scrollTop / ROW, anchor: null, shift: 0, height: this.height, cols: this.wrap ? this.cols : 0 } });
  }

  /** @param {boolean} on */
  setWrap(on) {
    this.wrap = on;
    keep("qd_wrap", on ? "1" : "0");
    must('[data-log="wrap"]').setAttribute("aria-pressed", String(on));
    this.relayout();
  }

  /** The first row on screen stays where it is when heights change. */
  relayout() {
    const box = this.scroller.getBoundingClientRect();
    const first = [...this.list.children].find((row) => row.getBoundingClientRect().bottom > box.top);
    this.measure();
    if (this.follow || !first) this.ask();
    else this.ask(Number(/** @type {HTMLElement} */ (first).dataset.index));
  }

  controls() {
    for (const button of document.querySelectorAll("[data-log][hidden]")) {
      if (/** @type {HTMLElement} */ (button).dataset.log !== "end") /** @type {HTMLElement} */ (button).hidden = false;
    }
    must('[data-log="wrap"]').setAttribute("aria-pressed", String(this.wrap));
    must('[data-log="follow"]').addEventListener("click", () => this.setFollow(!this.follow));
    must('[data-log="pause"]').addEventListener("click", () => this.setPaused(!this.paused));
    must('[data-log="wrap"]').addEventListener("click", () => this.setWrap(!this.wrap));
    must('[data-log="end"]').addEventListener("click", () => this.setFollow(true));
    must('[data-log="copy"]').addEventListener("click", () => this.copy());
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.scroller.addEventListener("click", (event) => this.pick(event));
    document.addEventListener("copy", (event) => this.onCopy(event));
    new ResizeObserver(() => this.relayout()).observe(this.scroller);
    let hidden = 0;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(hidden);
      if (document.visibilityState === "hidden") hidden = setTimeout(() => this.worker.postMessage({ t: "sleep" }), HIDDEN_FOR);
      else this.worker.postMessage({ t: "wake" });
    });
  }

  scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.scroller;
    if (Math.abs(scrollTop - this.settingTop) < 1) return;
    this.settingTop = -1;
    const atEnd = scrollTop + clientHeight >= scrollHeight - 2;
    if (atEnd && !this.paused) this.follow = true;
    else if (!atEnd) this.follow = false;
    this.ask();
    if (scrollTop < ROW * 40 && !this.follow) this.worker.postMessage({ t: "older" });
  }

  /** A click on the gutter picks a line, with Shift up to it. @param {MouseEvent} event */
  pick(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (!target.classList.contains("time")) return;
    const index = Number(target.parentElement?.dataset.index);
    const start = this.picked && event.shiftKey ? this.pickStart ?? index : index;
    if (!event.shiftKey) this.pickStart = index;
    this.picked = { from: Math.min(start, index), to: Math.max(start, index) };
    this.follow = false;
    this.worker.postMessage({ t: "text", ...this.picked });
    this.ask();
  }

  unpick() {
    this.picked = null;
    this.pickedText = "";
    /** @type {HTMLButtonElement} */ (must('[data-log="copy"]')).disabled = true;
    for (const { element } of this.shown.values()) element.classList.remove("picked");
  }

  /** @param {{from: number, to: number, text: string}} data */
  gotText(data) {
    if (this.picked?.from !== data.from || this.picked.to !== data.to) return;
    this.pickedText = data.text;
    /** @type {HTMLButtonElement} */ (must('[data-log="copy"]')).disabled = false;
    const count = data.to - data.from + 1;
    setText(must('[data-log="copy"]'), count > 1 ? `Copy ${count} lines` : "Copy line");
  }

  /** @param {ClipboardEvent} event */
  onCopy(event) {
    const selection = getSelection();
    const text = selection && !selection.isCollapsed ? this.selectedText(selection) : this.picked ? this.pickedText : "";
    if (!text || !event.clipboardData) return;
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
  }

  /** What the browser has selected in the log, one line a row and without the gutter; "" when it is not the log's. @param {Selection} selection */
  selectedText(selection) {
    if (!this.list.contains(selection.anchorNode) || !this.list.contains(selection.focusNode)) return "";
    const range = selection.getRangeAt(0);
    const texts = [];
    for (const row of this.list.children) {
      const text = row.querySelector(".text");
      if (!text || !range.intersectsNode(text)) continue;
      const part = document.createRange();
      part.selectNodeContents(text);
      if (text.contains(range.startContainer)) part.setStart(range.startContainer, range.startOffset);
      if (text.contains(range.endContainer)) part.setEnd(range.endContainer, range.endOffset);
      texts.push(part.toString());
    }
    return texts.join("\n");
  }

  /** Copies the picked lines; a plain-http page on a LAN name has no clipboard, so the old way stays. */
  copy() {
    if (!this.picked) return;
    if (navigator.clipboard) navigator.clipboard.writeText(this.pickedText).catch(() => document.execCommand("copy"));
    else document.execCommand("copy");
  }
}
