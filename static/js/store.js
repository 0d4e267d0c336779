/**
 * The fleet as this page knows it: newest status by name, changes collected and handed over once a frame.
 * @module
 */
/** @typedef {import("./words.js").Status} Status */

/** Is version a (`boot:seq`) later than b? Another boot counts as later. @param {string} a @param {string} b */
export function later(a, b) {
  const [bootA, seqA] = a.split(":"), [bootB, seqB] = b.split(":");
  return bootA === bootB ? Number(seqA) > Number(seqB) : true;
}

export class Store {
  /** @param {{cursor: string, workers: Status[]}} seed @param {(changed: Set<string>, removed: Set<string>) => void} paint */
  constructor(seed, paint) {
    this.cursor = seed.cursor;
    /** @type {Map<string, Status>} */ this.workers = new Map(seed.workers.map((s) => [s.name, s]));
    this.paint = paint;
    /** @type {Set<string>} */ this.changed = new Set();
    /** @type {Set<string>} */ this.removed = new Set();
    this.due = false;
  }

  /** @param {string} name */
  get(name) {
    return this.workers.get(name);
  }

  /** A message of the hub; true when it was about workers. @param {any} message */
  take(message) {
    if (message.t === "changed") {
      for (const { status } of message.changes) this.put(status);
    } else if (message.t === "removed") {
      for (const name of message.names) this.drop(name);
    } else if (message.t === "snapshot") {
      this.swap(message.cursor, message.workers);
    } else return false;
    this.soon();
    return true;
  }

  /** @param {Status} status */
  put(status) {
    const known = this.workers.get(status.name);
    if (known && !later(status.version, known.version)) return;
    this.workers.set(status.name, status);
    this.changed.add(status.name);
    this.removed.delete(status.name);
  }

  /** @param {string} name */
  drop(name) {
    if (this.workers.delete(name)) this.removed.add(name);
    this.changed.delete(name);
  }

  /** A picture older than this page's own only brings what is newer in it. @param {string} cursor @param {Status[]} workers */
  swap(cursor, workers) {
    const newer = cursor === this.cursor || later(cursor, this.cursor);
    for (const status of workers) {
      if (newer || this.workers.has(status.name) || later(status.version, this.cursor)) this.put(status);
    }
    if (!newer) return;
    const names = new Set(workers.map((s) => s.name));
    for (const name of [...this.workers.keys()]) if (!names.has(name)) this.drop(name);
    this.cursor = cursor;
  }

  soon() {
    if (this.due || !(this.changed.size || this.removed.size)) return;
    this.due = true;
    const now = () => {
      const { changed, removed } = this;
      this.changed = new Set();
      this.removed = new Set();
      this.due = false;
      this.paint(changed, removed);
    };
    // A hidden page has no frames, yet its title must stay true.
    if (document.visibilityState === "visible") requestAnimationFrame(now);
    else setTimeout(now, 200);
  }

  /** All live workers that need this one, in any number of steps. @param {string} name @returns {string[]} */
  liveDependents(name) {
    /** @type {Set<string>} */ const found = new Set();
    const visit = (/** @type {string} */ one) => {
      for (const other of this.workers.get(one)?.dependents ?? []) {
        const status = this.workers.get(other);
        if (!status || found.has(other) || !["starting", "running", "stopping", "killing"].includes(status.state)) continue;
        found.add(other);
        visit(other);
      }
    };
    visit(name);
    return [...found].sort();
  }
}
