/**
 * The one event stream of a browser: holds the fleet's state as of a cursor, watches the heartbeat, reconnects, fans out.
 * Runs in the SharedWorker (`hub.js`), or in the page itself where there is none. No DOM here.
 * Known wart: a port that dies without saying goodbye stays in the set until the worker ends; posting to it is harmless.
 * @module
 */

/** @typedef {import("./words.js").Status} Status */
/** @typedef {"connecting" | "live" | "reconnecting" | "stale" | "signed-out"} StateName */
/** @typedef {{name: StateName, last: number, retryAt: number, bye: boolean, skew: number, version: string, boot: string}} Connection */
/** @typedef {{postMessage(message: unknown): void}} Port */
/** @typedef {{cursor: string, workers: Status[], complete: boolean}} Seed */

export const SILENT = 12_000;
export const STALE = 30_000;
const EVENTS = ["hello", "snapshot", "changed", "removed", "phase", "operation", "gap", "resync", "conditions", "heartbeat", "bye"];

/** Milliseconds to wait before try n (from 0), spread by a third. @param {number} tries @param {number} [spread] */
export function backoff(tries, spread = Math.random()) {
  return Math.min(30_000, 1000 * 2 ** tries) * (0.67 + 0.66 * spread);
}

export class Hub {
  /** @param {string} base */
  constructor(base) {
    this.base = base;
    /** @type {Set<Port>} */ this.ports = new Set();
    /** @type {Map<string, Status>} */ this.workers = new Map();
    this.cursor = "";
    this.phase = "";
    /** What is wrong with the service itself; null until it has said. @type {unknown[] | null} */
    this.conditions = null;
    /** @type {EventSource | null} */ this.source = null;
    this.tries = 0;
    this.opened = 0;
    this.timer = 0;
    /** @type {Connection} */
    this.connection = { name: "connecting", last: 0, retryAt: 0, bye: false, skew: 0, version: "", boot: "" };
  }

  /** A page comes, with the state that it was rendered from. @param {Port} port @param {Seed} seed */
  join(port, seed) {
    this.ports.add(port);
    if (!this.cursor && seed.complete) {
      this.cursor = seed.cursor;
      for (const status of seed.workers) this.workers.set(status.name, status);
    }
    if (this.cursor) port.postMessage(this.picture());
    if (this.conditions) port.postMessage({ t: "conditions", conditions: this.conditions });
    port.postMessage({ t: "state", connection: this.connection });
    if (!this.timer) this.timer = setInterval(() => this.watch(), 1000);
    if (!this.source && !this.connection.retryAt) this.connect();
  }

  /** @param {Port} port */
  leave(port) {
    this.ports.delete(port);
    if (this.ports.size) return;
    this.close();
    clearInterval(this.timer);
    this.timer = 0;
    this.connection.retryAt = 0;
    this.connection.name = "connecting";
  }

  /** The reader does not want to wait. */
  retry() {
    this.tries = 0;
    this.connect();
  }

  picture() {
    return { t: "snapshot", cursor: this.cursor, workers: [...this.workers.values()], phase: this.phase };
  }

  /** @param {unknown} message */
  tell(message) {
    for (const port of this.ports) port.postMessage(message);
  }

  /** @param {Partial<Connection>} change */
  become(change) {
    Object.assign(this.connection, change);
    this.tell({ t: "state", connection: this.connection });
  }

  connect() {
    this.close();
    this.connection.retryAt = 0;
    this.opened = Date.now();
    const query = this.cursor ? `?after=${encodeURIComponent(this.cursor)}` : "";
    const source = new EventSource(`${this.base}api/v1/events/stream${query}`);
    this.source = source;
    for (const name of EVENTS) {
      source.addEventListener(name, (event) => this.source === source && this.take(name, /** @type {MessageEvent} */ (event)));
    }
    source.addEventListener("error", () => this.source === source && this.lost());
  }

  close() {
    this.source?.close();
    this.source = null;
  }

  /** The stream broke: own back-off, because the browser itself never tries again after a refusal. */
  lost() {
    this.close();
    const delay = backoff(this.tries++);
    const first = this.connection.name === "connecting" && !this.connection.last;
    const name = this.connection.name === "stale" || first ? this.connection.name : "reconnecting";
    this.become({ name, retryAt: Date.now() + delay });
    fetch(`${this.base}api/v1/workers?state=none`, { cache: "no-store" }).then((answer) => {
      if (answer.status === 401 || answer.status === 403) this.become({ name: "signed-out", retryAt: 0 });
    }, () => {});
  }

  /** Once a second: silence is noticed here, and here a due retry begins. */
  watch() {
    const now = Date.now();
    const { name, retryAt, last } = this.connection;
    if (name === "signed-out") return;
    if (last && now - last > STALE && name !== "stale") this.become({ name: "stale" });
    else if (last && now - last > SILENT && name === "live") this.become({ name: "reconnecting" });
    if (retryAt ? now >= retryAt : this.source && now - Math.max(last, this.opened) > SILENT) this.connect();
  }

  /** @param {string} name @param {MessageEvent} event */
  take(name, event) {
    const data = JSON.parse(event.data);
    const previous = this.connection;
    if (data && data.time) this.connection.skew = Date.parse(data.time) - Date.now();
    this.connection.last = Date.now();
    if (name === "bye") {
      this.close();
      this.become({ name: "reconnecting", bye: true, retryAt: Date.now() + 1000 });
      return;
    }
    if (name === "hello") this.connection.version = data.version;
    if (previous.name !== "live") {
      this.tries = 0;
      this.become({ name: "live", bye: false, retryAt: 0 });
    }
    this.fold(name, data);
    if (event.lastEventId.includes(":") && name !== "heartbeat") this.cursor = event.lastEventId;
  }

  /** Applies one event and passes it on. @param {string} name @param {any} data */
  fold(name, data) {
    if (name === "hello" || name === "conditions") {
      this.conditions = name === "hello" ? data.conditions ?? [] : data;
      this.tell({ t: "conditions", conditions: this.conditions });
    } else if (name === "snapshot") {
      this.cursor = data.cursor;
      this.phase = data.phase ?? this.phase;
      this.workers = new Map(data.workers.map((/** @type {Status} */ s) => [s.name, s]));
      this.tell(this.picture());
    } else if (name === "changed") {
      for (const change of data) this.workers.set(change.status.name, change.status);
      this.tell({ t: "changed", changes: data });
    } else if (name === "removed") {
      const names = removedNames(data);
      for (const one of names) this.workers.delete(one);
      this.tell({ t: "removed", names });
    } else if (name === "phase") {
      this.phase = data.phase ?? data;
      this.tell({ t: "phase", phase: this.phase });
    } else if (name === "operation") {
      this.tell({ t: "operation", operation: data });
    } else if (name === "heartbeat") {
      this.tell({ t: "beat", last: this.connection.last, skew: this.connection.skew });
    }
  }
}

/** `removed` carries one `{name}` or several. @param {any} data @returns {string[]} */
export function removedNames(data) {
  return (Array.isArray(data) ? data : [data]).map((one) => (typeof one === "string" ? one : one.name));
}
