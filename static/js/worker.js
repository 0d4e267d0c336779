/**
 * The page of one worker: its head and rail follow the stream, its log is a `LogView`.
 * @module
 */
import { Actions, dressButtons } from "./actions.js";
import { base, make, must, setShape, setText, workerUrl } from "./env.js";
import { shortcuts, themeButton } from "./frame.js";
import { clockTime, Live, seed } from "./live.js";
import { LogView } from "./logview.js";
import { sayFailed } from "./speak.js";
import { Store } from "./store.js";
import { age, describe, exitWords, GROUPS } from "./words.js";

/** @typedef {import("./words.js").Status} Status */

document.body.classList.add("scripted");
const name = document.body.dataset.worker ?? "";
const top = must("#top");
const page = must("#worker");
const part = (/** @type {string} */ which) => must(`[data-part="${which}"]`, top);
page.dataset.tab = "log";

const start = seed();
const store = new Store(start, paint);
const live = new Live(start, (message) => {
  if (!store.take(message) && message.t === "operation") actions.settled(message.operation);
});
const actions = new Actions(store, (one) => (one === name ? top : null));
const log = new LogView(name);

/** @param {Set<string>} changed @param {Set<string>} removed */
function paint(changed, removed) {
  if (removed.has(name)) gone();
  const status = store.get(name);
  if (!status) return;
  if (changed.has(name)) {
    head(status);
    actions.seen(name, status.version);
    if (status.state === "failed") sayFailed(name);
  }
  for (const id of ["requires", "dependents"]) others(must(`#${id}`), id === "requires" ? status.requires.map((r) => r.worker) : status.dependents);
}

/** @param {string | null | undefined} next */
function inTime(next) {
  return next ? `, next in ${Math.max(0, Math.ceil((Date.parse(next) - live.now()) / 1000))} s` : "";
}

/** @param {Status} status */
function head(status) {
  const words = describe(status, live.now());
  for (const element of [top, must(".state", top)]) {
    element.classList.remove(...Object.keys(GROUPS));
    element.classList.add(words.family);
  }
  setShape(must(".state", top), words.shape);
  setText(part("word"), words.word);
  setText(part("detail"), words.detail);
  const reason = part("reason");
  if (status.blocked_on.length && status.blocked_on[0].condition !== "slot") {
    reason.replaceChildren(...status.blocked_on.flatMap((b, i) => [i ? " and " : "waits for ", make("a", b.worker, { href: workerUrl(b.worker) }), ` (${b.why}${inTime(b.next)})`]));
  } else {
    reason.textContent = status.why ?? "";
  }
  fact("run", status.run);
  fact("pid", status.pid);
  setText(must("b", part("restarts")), String(status.restarts));
  const last = exitWords(status.last_exit);
  fact("last", last);
  dressButtons(top, status, words);
  ticking(status);
  lastExit(status.last_exit, last);
  const mark = document.title.startsWith("⚠") ? "⚠ " : "";
  document.title = `${mark}${name} · ${words.word.replace(/ in \d+ s$/, "")}`;
}

/** @param {string} which @param {string | number | null} value */
function fact(which, value) {
  part(which).hidden = !value;
  setText(must("b", part(which)), String(value ?? ""));
}

/** @param {import("./words.js").LastExit | null} exit @param {string} how */
function lastExit(exit, how) {
  must("#last-exit").hidden = !exit;
  if (!exit) return;
  const values = { run: String(exit.run ?? ""), how, why: exit.reason, by: exit.by || "itself", at: exit.at };
  for (const [key, value] of Object.entries(values)) setText(must(`[data-exit="${key}"]`), value);
}

/** Time in state and countdowns, while the data is fresh. @param {Status} status */
function ticking(status) {
  const since = Date.parse(status.since);
  setText(part("age"), live.fresh ? age((live.now() - since) / 1000) : clockTime(since));
  part("age").title = status.since;
  if (status.deadline && live.fresh) {
    const words = describe(status, live.now());
    setText(part("word"), words.word);
    setText(part("detail"), words.detail);
  }
}

/** The workers that this one needs, or that need it. @param {HTMLElement} section @param {string[]} names */
function others(section, names) {
  const list = must("ul", section);
  section.hidden = !names.length;
  const wanted = new Set(names);
  for (const item of [...list.children]) if (!wanted.has(/** @type {HTMLElement} */ (item).dataset.worker ?? "")) item.remove();
  for (const other of names) {
    let item = [...list.children].find((one) => /** @type {HTMLElement} */ (one).dataset.worker === other);
    if (!item) {
      item = make("li");
      /** @type {HTMLElement} */ (item).dataset.worker = other;
      const shape = /** @type {Element} */ (must(".shape", top).cloneNode(true));
      item.append(shape, " ", make("a", other, { href: workerUrl(other) }), " ", make("span", "", { class: "quiet" }));
      list.append(item);
    }
    const status = store.get(other);
    if (!status) continue;
    const words = describe(status, live.now());
    item.className = words.family;
    setShape(item, words.shape);
    const condition = section.id === "requires" ? store.get(name)?.requires.find((r) => r.worker === other)?.condition : "";
    setText(must(".quiet", item), condition ? `${words.word} · must be ${condition}` : words.word);
  }
}

function gone() {
  const banner = must("#banner");
  banner.replaceChildren(make("span", `${name} was removed from the configuration.`), make("a", "All workers", { href: base }));
  banner.className = "banner warn";
  banner.hidden = false;
}

for (const button of document.querySelectorAll(".tabs button")) {
  button.addEventListener("click", () => {
    page.dataset.tab = /** @type {HTMLElement} */ (button).dataset.tab;
    for (const one of document.querySelectorAll(".tabs button")) one.setAttribute("aria-pressed", String(one === button));
  });
}
setInterval(() => {
  const status = store.get(name);
  if (status) ticking(status);
}, 1000);
themeButton();
const act = (/** @type {string} */ action) => actions.ask(name, action, /** @type {HTMLElement} */ (document.activeElement));
shortcuts([
  ["s", "start, or try again now", () => act("start")],
  ["r", "restart", () => act("restart")],
  ["S", "stop", () => act("stop")],
  ["End", "end of the log, and follow", () => log.setFollow(true)],
  ["G", "end of the log, and follow", () => log.setFollow(true)],
  ["Home", "first line that is held", () => log.toStart()],
  [" ", "pause or go on", () => log.setPaused(!log.paused)],
  ["w", "wrap lines", () => log.setWrap(!log.wrap)],
  ["c", "copy the picked lines", () => log.copy()],
  ["u", "all workers", () => location.assign(base)],
  ["Escape", "pick no line", () => log.unpick()],
]);
document.documentElement.dataset.ready = "worker";
