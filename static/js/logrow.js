/**
 * One row of the log as DOM: text nodes and class names only, whatever the text says.
 * @module
 */
import { pieces } from "./ansi.js";
import { make } from "./env.js";

/** @typedef {import("./logring.js").Row & {index: number, tall: number}} ShownRow */

/** @param {string} time RFC 3339 @param {boolean} short */
export function gutterTime(time, short) {
  if (!time) return "";
  const moment = new Date(time);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const clock = `${two(moment.getHours())}:${two(moment.getMinutes())}`;
  return short ? clock : `${clock}:${two(moment.getSeconds())}.${String(moment.getMilliseconds()).padStart(3, "0")}`;
}

/** @param {ShownRow} row @param {boolean} short a narrow gutter, for phones */
export function makeRow(row, short) {
  const element = make("div", "", { class: `line ${classOf(row)}` });
  element.dataset.index = String(row.index);
  const time = make("span", gutterTime(row.time, short), { class: "time" });
  if (row.time) time.title = `${row.time} ${row.stream}`;
  const text = make("span", "", { class: "text" });
  if (row.kind === "line") text.append(...nodes(row.text));
  else text.textContent = row.text;
  element.append(time, text);
  return element;
}

/** @param {ShownRow} row */
function classOf(row) {
  if (row.kind === "run") return "rule";
  if (row.kind === "gap") return "rule gap";
  const stream = row.stream === "err" ? "err" : row.stream === "log" ? "note" : "out";
  return row.key === null ? `${stream} partial` : stream;
}

/** @param {string} text @returns {Node[]} */
function nodes(text) {
  return pieces(text).map((piece) => {
    if (piece.href) return make("a", piece.text, { href: piece.href, rel: "noreferrer noopener nofollow", target: "_blank", class: piece.classes });
    return piece.classes ? make("span", piece.text, { class: piece.classes }) : document.createTextNode(piece.text);
  });
}
