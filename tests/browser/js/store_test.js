import { backoff, removedNames } from "../../../static/js/hubcore.js";
import { later, Store } from "../../../static/js/store.js";
import { equal } from "./equal.js";

/** @param {string} name @param {string} version @param {string} [state] */
const status = (name, version, state = "running") => /** @type {any} */ ({ name, version, state, dependents: [] });
/** @param {any[]} workers @param {string} [cursor] */
const store = (workers, cursor = "1:10") => {
  const made = new Store({ cursor, workers }, () => {});
  made.soon = () => {};
  return made;
};

Deno.test("versions: numbers compare as numbers, another boot is later", () => {
  equal([later("1:10", "1:9"), later("1:9", "1:9"), later("2:1", "1:900")], [true, false, true]);
});
Deno.test("an older status never replaces a newer one", () => {
  const one = store([status("a", "1:9")]);
  one.take({ t: "changed", changes: [{ status: status("a", "1:8", "failed") }] });
  equal([one.get("a")?.state, one.changed.size], ["running", 0]);
});
Deno.test("a picture older than the page removes nothing and revives nothing", () => {
  const one = store([status("a", "1:9"), status("new", "1:10")]);
  one.take({ t: "snapshot", cursor: "1:8", workers: [status("a", "1:2"), status("gone", "1:3")] });
  equal([...one.workers.keys()], ["a", "new"]);
});
Deno.test("a picture of a new boot replaces everything", () => {
  const one = store([status("a", "1:9"), status("b", "1:9")]);
  one.take({ t: "snapshot", cursor: "2:3", workers: [status("b", "2:1", "starting"), status("c", "2:2")] });
  equal([[...one.workers.keys()].sort(), one.get("b")?.state, [...one.removed]], [["b", "c"], "starting", ["a"]]);
});
Deno.test("live dependents in any number of steps, each once", () => {
  const of = (/** @type {string} */ name, /** @type {string[]} */ dependents, state = "running") => ({ ...status(name, "1:1", state), dependents });
  const one = store([of("db", ["api", "cron"]), of("api", ["web"]), of("web", []), of("cron", ["web"], "stopped")]);
  equal(one.liveDependents("db"), ["api", "web"]);
});
Deno.test("waiting grows and ends at half a minute", () => {
  equal([0, 1, 5, 40].map((n) => Math.round(backoff(n, 0.5))), [1000, 2000, 30000, 30000]);
});
Deno.test("removed workers come one or several", () => {
  equal([removedNames({ name: "a" }), removedNames([{ name: "a" }, "b"])], [["a"], ["a", "b"]]);
});
