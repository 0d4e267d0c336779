/**
 * The page's side of the hub: joins it, and shows the connection (pill, banner, title, stale data, signed out).
 * @module
 */
import { base, make, must, scriptUrl, setShape, setText, skew, version } from "./env.js";
import { showConditions } from "./conditions.js";
import { Hub } from "./hubcore.js";

/** @typedef {import("./hubcore.js").Connection} Connection */

/** What the page was rendered from. @returns {import("./hubcore.js").Seed} */
export function seed() {
  return JSON.parse(must("#snapshot").textContent ?? "{}");
}

/** @param {number} time @returns {string} */
export function clockTime(time) {
  return new Date(time).toLocaleTimeString("en-GB");
}

export class Live {
  /** @param {import("./hubcore.js").Seed} seed @param {(message: any) => void} take */
  constructor(seed, take) {
    this.seed = seed;
    this.take = take;
    /** @type {Connection} */
    this.connection = { name: "connecting", last: 0, retryAt: 0, bye: false, skew, version: "", boot: "" };
    this.wasStale = false;
    /** Workers that turned out to have changed while the page was stale. */
    this.missed = 0;
    /** @type {{join(): void, leave(): void, retry(): void}} */
    this.link = this.shared() ?? this.alone();
    this.link.join();
    addEventListener("pagehide", () => this.link.leave());
    addEventListener("pageshow", (event) => event.persisted && this.link.join());
    addEventListener("online", () => this.connection.name !== "live" && this.link.retry());
    setInterval(() => this.show(), 1000);
    this.show();
  }

  shared() {
    if (typeof SharedWorker === "undefined") return null;
    const worker = new SharedWorker(/** @type {string} */ (scriptUrl("hub.js")), { type: "module", name: `quarterdeck ${base}` });
    worker.port.onmessage = ({ data }) => this.hear(data);
    worker.onerror = () => {
      // An old browser, or a proxy that breaks worker scripts: this tab takes a stream of its own.
      this.link = this.alone();
      this.link.join();
    };
    return {
      join: () => worker.port.postMessage({ t: "join", base, seed: this.seed }),
      leave: () => worker.port.postMessage({ t: "leave" }),
      retry: () => worker.port.postMessage({ t: "retry" }),
    };
  }

  alone() {
    const hub = new Hub(base);
    const port = { postMessage: (/** @type {unknown} */ message) => this.hear(message) };
    return { join: () => hub.join(port, this.seed), leave: () => hub.leave(port), retry: () => hub.retry() };
  }

  /** @param {any} message */
  hear(message) {
    if (message.t === "state") {
      const before = this.connection.name;
      this.connection = { ...message.connection, skew: message.connection.last ? message.connection.skew : skew };
      if (before === "stale" && this.connection.name === "live") {
        this.wasStale = true;
        this.missed = 0;
        setTimeout(() => this.again(), 300);
      }
      if (this.connection.name === "signed-out" && before !== "signed-out") this.signedOut();
      this.show();
    } else if (message.t === "conditions") {
      showConditions(message.conditions);
    } else if (message.t === "beat") {
      this.connection.last = message.last;
      this.connection.skew = message.skew;
    } else {
      if (message.t === "changed") this.connection.last = Date.now();
      if (this.wasStale && message.t === "changed") this.missed += new Set(message.changes.map((/** @type {any} */ c) => c.status.name)).size;
      this.take(message);
    }
  }

  /** Milliseconds of the host's clock. */
  now() {
    return Date.now() + this.connection.skew;
  }

  /** May the page let durations run on? */
  get fresh() {
    return this.connection.name === "live" || this.connection.name === "connecting";
  }

  show() {
    const { name, last, retryAt, bye } = this.connection;
    const since = last ? clockTime(last) : "";
    /** @type {Record<string, [string, string, string]>} */
    const looks = {
      connecting: ["idle", "move", retryAt ? "Connecting, trying again" : "Connecting"],
      live: ["idle", "ok", "Live"],
      reconnecting: ["warn", "warn", `${bye ? "Service is leaving" : "Reconnecting"}, data from ${since}`],
      stale: ["warn", "warn", `Not live since ${since}`],
      "signed-out": ["fail", "fail", "Signed out"],
    };
    let [family, shape, words] = looks[name];
    const outdated = name === "live" && this.connection.version && version && this.connection.version !== version;
    if (outdated) [family, shape, words] = ["warn", "warn", "New version: reload the page"];
    const pill = must("#pill");
    const look = `pill ${family}`;
    if (pill.className !== look) pill.className = look;
    pill.dataset.state = name;
    setShape(pill, shape);
    must(".shape", pill).style.color = name === "live" ? "var(--ok)" : "";
    setText(must("span", pill), words);
    pill.title = last ? `last event ${Math.max(0, (Date.now() - last) / 1000).toFixed(1)} s ago` : "";
    this.banner(name, since, retryAt);
  }

  /** @param {string} name @param {string} since @param {number} retryAt */
  banner(name, since, retryAt) {
    const banner = must("#banner"), main = must("main");
    const stale = name === "stale" || name === "signed-out";
    if (stale !== "stale" in main.dataset) {
      if (stale) main.dataset.stale = "";
      else delete main.dataset.stale;
      document.title = stale ? `⚠ ${document.title}` : document.title.replace(/^⚠ /, "");
    }
    if (name === "stale") {
      const left = retryAt ? Math.max(0, Math.ceil((retryAt - Date.now()) / 1000)) : 0;
      if (banner.dataset.kind !== "stale") {
        const retry = make("button", "Retry now", { type: "button" });
        retry.addEventListener("click", () => this.link.retry());
        banner.replaceChildren(make("span"), retry);
        banner.dataset.kind = "stale";
        banner.className = "banner warn";
      }
      setText(must("span", banner), `Not live since ${since}. ${left ? `Trying again in ${left} s.` : "Trying again."}`);
      banner.hidden = false;
    } else if (banner.dataset.kind === "stale") {
      banner.hidden = true;
      banner.dataset.kind = "";
    }
  }

  /** Says for six seconds that it is live again, once what was missed has come. */
  again() {
    this.wasStale = false;
    const banner = must("#banner");
    const { missed } = this;
    banner.replaceChildren(make("span", `Live again.${missed ? ` ${missed} ${missed === 1 ? "worker" : "workers"} changed meanwhile.` : ""}`));
    banner.dataset.kind = "again";
    banner.className = "banner";
    banner.hidden = false;
    setTimeout(() => {
      if (banner.dataset.kind === "again") banner.hidden = true;
    }, 6000);
  }

  signedOut() {
    const dialog = /** @type {HTMLDialogElement} */ (make("dialog", "", { "aria-labelledby": "signed-out" }));
    const here = location.pathname + location.search;
    const choices = make("div", "", { class: "choices" });
    choices.append(make("a", "Sign in", { class: "button", href: `${base}sign-in?next=${encodeURIComponent(here)}` }));
    dialog.append(make("h2", "Signed out", { id: "signed-out" }), make("p", "This browser is no longer signed in. The page behind shows what was known last."), choices);
    document.body.append(dialog);
    dialog.showModal();
  }
}
