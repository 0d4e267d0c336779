/**
 * Log text to pieces: SGR to class names, OSC 8 links (http and https alone), every other sequence dropped, control and
 * bidi characters made visible. Pure; the caller makes text nodes of the pieces, never HTML.
 * Known wart: 256 and true colours are clamped to the nearest of the theme's sixteen, for contrast in both themes.
 * @module
 */

/** @typedef {{text: string, classes: string, href: string}} Piece */

// CSI … final, OSC … BEL or ST, other strings (DCS, PM, APC) … ST, two-byte escapes.
// deno-lint-ignore no-control-regex
const ESCAPE = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\]([^\x07\x1b]*)(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~]?)/g;
// deno-lint-ignore no-control-regex
const HIDDEN = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;
const PLAIN = /^[\x20-\x7e]*$/;

/** @param {string} one */
function visible(one) {
  const code = one.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
}

const BASE = [[0, 0, 0], [205, 0, 0], [0, 205, 0], [205, 205, 0], [0, 0, 238], [205, 0, 205], [0, 205, 205], [229, 229, 229],
  [127, 127, 127], [255, 0, 0], [0, 255, 0], [255, 255, 0], [92, 92, 255], [255, 0, 255], [0, 255, 255], [255, 255, 255]];

/** @param {number} r @param {number} g @param {number} b */
function nearest(r, g, b) {
  let best = 0, least = Infinity;
  BASE.forEach((colour, index) => {
    const distance = (colour[0] - r) ** 2 + (colour[1] - g) ** 2 + (colour[2] - b) ** 2;
    if (distance < least) [best, least] = [index, distance];
  });
  return best;
}

/** @param {number} n */
function clamp256(n) {
  if (n < 16) return n;
  if (n >= 232) return nearest(8 + (n - 232) * 10, 8 + (n - 232) * 10, 8 + (n - 232) * 10);
  const level = (/** @type {number} */ x) => (x ? 55 + x * 40 : 0);
  return nearest(level(Math.floor((n - 16) / 36)), level(Math.floor((n - 16) / 6) % 6), level((n - 16) % 6));
}

/** The look in force. @typedef {{fg: number, bg: number, flags: Set<string>}} Look */
/** @type {Record<number, [string, boolean]>} */
const FLAGS = {
  1: ["bold", true], 2: ["dim", true], 3: ["italic", true], 4: ["under", true], 7: ["inverse", true], 9: ["strike", true],
  23: ["italic", false], 24: ["under", false], 27: ["inverse", false], 29: ["strike", false],
};

/** @param {Look} look @param {string} parameters */
function sgr(look, parameters) {
  const codes = parameters.split(/[;:]/).map((part) => Number(part) || 0);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    if (code === 0) [look.fg, look.bg] = [-1, -1], look.flags.clear();
    else if (FLAGS[code]) look.flags[FLAGS[code][1] ? "add" : "delete"](FLAGS[code][0]);
    else if (code === 22) look.flags.delete("bold"), look.flags.delete("dim");
    else if (code >= 30 && code <= 37) look.fg = code - 30;
    else if (code >= 90 && code <= 97) look.fg = code - 82;
    else if (code === 39) look.fg = -1;
    else if (code >= 40 && code <= 47) look.bg = code - 40;
    else if (code >= 100 && code <= 107) look.bg = code - 92;
    else if (code === 49) look.bg = -1;
    else if (code === 38 || code === 48) {
      const colour = codes[i + 1] === 5 ? clamp256(codes[i + 2] ?? 0) : nearest(codes[i + 2] ?? 0, codes[i + 3] ?? 0, codes[i + 4] ?? 0);
      if (code === 38) look.fg = colour;
      else look.bg = colour;
      i += codes[i + 1] === 5 ? 2 : 4;
    }
  }
}

/** @param {Look} look */
function classes(look) {
  const names = [...look.flags];
  if (look.bg >= 0) names.push(`b${look.bg}`);
  else if (look.fg >= 0 && !look.flags.has("inverse")) names.push(`f${look.fg}`);
  return names.join(" ");
}

/** @param {string} text what stands between escapes */
const shown = (text) => text.replace(HIDDEN, visible);

/** @param {string} text @returns {Piece[]} */
export function pieces(text) {
  if (PLAIN.test(text)) return text ? [{ text, classes: "", href: "" }] : [];
  /** @type {Piece[]} */ const found = [];
  /** @type {Look} */ const look = { fg: -1, bg: -1, flags: new Set() };
  let href = "", from = 0;
  const add = (/** @type {string} */ part) => {
    if (part) found.push({ text: shown(part), classes: classes(look), href });
  };
  for (const match of text.matchAll(ESCAPE)) {
    add(text.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[2] === "m") sgr(look, match[1]);
    else if (match[3]?.startsWith("8;")) {
      const target = match[3].slice(match[3].indexOf(";", 2) + 1);
      href = /^https?:\/\//i.test(target) ? target : "";
    }
  }
  add(text.slice(from));
  return found;
}

/** The text without its escapes, as it is shown. @param {string} text */
export function plain(text) {
  return PLAIN.test(text) ? text : shown(text.replace(ESCAPE, ""));
}

const WIDE = /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

/** Columns that the text takes in a fixed-width font; tabs stop every 8. @param {string} text */
export function columns(text) {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const one of plain(text)) {
    if (one === "\t") width += 8 - width % 8;
    else if (!/\p{Mn}|\u200b|\u200d/u.test(one)) width += WIDE.test(one) ? 2 : 1;
  }
  return width;
}
