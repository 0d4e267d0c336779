import { columns, pieces, plain } from "../../../static/js/ansi.js";
import { equal } from "./equal.js";

const brief = (/** @type {string} */ text) => pieces(text).map((p) => [p.text, p.classes, p.href].filter(Boolean));

Deno.test("plain text is one piece", () => equal(brief("hello"), [["hello"]]));
Deno.test("an empty line has none", () => equal(brief(""), []));
Deno.test("colours and flags become classes and end", () => {
  equal(brief("\x1b[31;1mred\x1b[0m not"), [["red", "bold f1"], [" not"]]);
  equal(brief("\x1b[92mgreen\x1b[39m"), [["green", "f10"]]);
  equal(brief("\x1b[4;7mx\x1b[24;27my"), [["x", "under inverse"], ["y"]]);
});
Deno.test("256 and true colours are clamped to the sixteen", () => {
  equal(brief("\x1b[38;5;196mx"), [["x", "f9"]]);
  equal(brief("\x1b[38;2;0;0;230mx\x1b[48;5;4my"), [["x", "f4"], ["y", "b4"]]);
});
Deno.test("links go to http and https alone", () => {
  equal(brief("\x1b]8;;https://a.example/\x1b\\here\x1b]8;;\x1b\\ there"), [["here", "https://a.example/"], [" there"]]);
  equal(brief("\x1b]8;;javascript:alert(1)\x07here\x1b]8;;\x07"), [["here"]]);
});
Deno.test("cursor movement, titles and broken escapes vanish", () => {
  equal(plain("\x1b[2Ka\x1b]0;title\x07b\x1bPq#0\x1b\\c\x1b[?25ld\x1b["), "abcd");
});
Deno.test("control and bidi characters are shown as such", () => {
  equal(plain("a\0b\x7fc\u202ed"), "a\u2400b\u2421c[U+202E]d");
});
Deno.test("columns: wide and combining characters, tabs, escapes", () => {
  equal(["abc", "\x1b[31mabc\x1b[0m", "日本", "e\u0301", "a\tb", ""].map(columns), [3, 3, 4, 1, 9, 0]);
});
