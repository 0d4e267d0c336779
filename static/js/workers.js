/**
 * The page of all workers: wires store, hub, table, actions and keys together.
 * @module
 */
import { Actions } from "./actions.js";
import { must, workerUrl } from "./env.js";
import { shortcuts, themeButton } from "./frame.js";
import { Live, seed } from "./live.js";
import { sayFailed } from "./speak.js";
import { Store } from "./store.js";
import { Table } from "./table.js";

const start = seed();
const store = new Store(start, (changed, removed) => {
  table.paint(changed, removed);
  for (const name of changed) {
    const status = store.get(name);
    if (!status) continue;
    actions.seen(name, status.version);
    if (status.state === "failed") sayFailed(name);
  }
});
const live = new Live(start, (message) => {
  if (!store.take(message) && message.t === "operation") actions.settled(message.operation);
});
const table = new Table(store, live);
const actions = new Actions(store, (name) => table.row(name));
setInterval(() => table.tick(), 1000);
themeButton();

const act = (/** @type {string} */ action) => {
  const name = table.focused();
  const status = name && store.get(name);
  if (name && status) actions.ask(name, action === "start" ? "start" : action, /** @type {HTMLElement} */ (document.activeElement));
};
shortcuts([
  ["j", "next worker", () => table.move(1)],
  ["k", "previous worker", () => table.move(-1)],
  ["Enter", "open the worker", () => table.focused() && location.assign(workerUrl(table.focused()))],
  ["/", "filter by name or state", () => must('[name="q"]').focus()],
  ["s", "start, or try again now", () => act("start")],
  ["r", "restart", () => act("restart")],
  ["S", "stop", () => act("stop")],
  ["Escape", "clear the filter", () => table.clear()],
]);
must('[name="q"]').addEventListener("keydown", (event) => {
  if (event.key === "Escape") table.clear(), must('[name="q"]').blur();
  if (event.key === "ArrowDown" || event.key === "Enter") event.preventDefault(), table.move(1);
});
document.documentElement.dataset.ready = "workers";
