/**
 * The lines that a page holds: a ring with absolute indexes, and where each row stands if every line wraps at `cols`
 * columns. Heights are sums over blocks, so nothing is ever measured. Pure; lives in the log worker.
 * Known wart: characters whose width a font gets wrong make a row taller than computed; the next page of rows is right again.
 * @module
 */

/**
 * @typedef {{kind: "line" | "gap" | "run", key: string | null, time: string, stream: string, run: number, text: string, cells: number, at: number}} Row
 */

const BLOCK = 512;

export class Ring {
  /** @param {number} [capacity] */
  constructor(capacity = 200_000) {
    this.capacity = capacity;
    /** @type {Row[]} */ this.slots = new Array(capacity);
    /** First index held and the one after the last; both may be negative after prepending. */
    this.lo = 0;
    this.hi = 0;
    /** Lines still being written, after all others. @type {Row[]} */
    this.open = [];
    /** Rows of text above index `lo` since the beginning; negative after prepending. */
    this.origin = 0;
    this.cols = 0;
    /** @type {Map<number, number>} */ this.sums = new Map();
    this.held = 0;
  }

  get end() {
    return this.hi + this.open.length;
  }

  /** @param {number} index */
  slot(index) {
    return ((index % this.capacity) + this.capacity) % this.capacity;
  }

  /** @param {number} index @returns {Row} */
  get(index) {
    return index >= this.hi ? this.open[index - this.hi] : this.slots[this.slot(index)];
  }

  /** Rows of text that one line takes. @param {Row} row */
  height(row) {
    return this.cols && row.kind === "line" ? Math.max(1, Math.ceil(row.cells / this.cols)) : 1;
  }

  /** @param {number} index @param {number} rows */
  count(index, rows) {
    const block = Math.floor(index / BLOCK);
    this.sums.set(block, (this.sums.get(block) ?? 0) + rows);
    this.held += rows;
  }

  /** @param {Row} row */
  push(row) {
    if (this.hi - this.lo === this.capacity) {
      const gone = this.height(this.get(this.lo));
      this.count(this.lo, -gone);
      this.origin += gone;
      this.lo++;
    }
    this.slots[this.slot(this.hi)] = row;
    this.count(this.hi++, this.height(row));
  }

  /** Puts older rows before the first, as many (the newest of them) as there is room for. @param {Row[]} rows */
  unshift(rows) {
    for (let i = rows.length - 1; i >= 0 && this.hi - this.lo < this.capacity; i--) {
      this.slots[this.slot(--this.lo)] = rows[i];
      const height = this.height(rows[i]);
      this.count(this.lo, height);
      this.origin -= height;
    }
  }

  /** Rows of text in all, open lines included. */
  get total() {
    return this.open.reduce((sum, row) => sum + this.height(row), this.held);
  }

  /** Sets the width at which lines wrap; 0 for no wrapping. @param {number} cols */
  wrapAt(cols) {
    if (cols === this.cols) return;
    this.cols = cols;
    this.sums.clear();
    this.held = 0;
    for (let i = this.lo; i < this.hi; i++) this.count(i, this.height(this.get(i)));
  }

  /** Where the line begins, in rows of text from `origin`'s zero. @param {number} index */
  offset(index) {
    let at = this.origin, i = this.lo;
    const to = Math.min(Math.max(index, this.lo), this.end);
    while (i < Math.min(to, this.hi)) {
      const next = (Math.floor(i / BLOCK) + 1) * BLOCK;
      if (next <= to && next <= this.hi) {
        at += this.sums.get(Math.floor(i / BLOCK)) ?? 0;
        i = next;
      } else at += this.height(this.get(i++));
    }
    while (i < to) at += this.height(this.get(i++));
    return at;
  }

  /** The line that stands at this row of text, and where it begins. @param {number} row @returns {{index: number, start: number}} */
  find(row) {
    let at = this.origin, i = this.lo;
    while (i < this.hi) {
      const block = Math.floor(i / BLOCK), sum = this.sums.get(block) ?? 0;
      if (at + sum > row) break;
      at += sum;
      i = (block + 1) * BLOCK;
    }
    i = Math.min(i, this.hi);
    for (; i < this.end; i++) {
      const height = this.height(this.get(i));
      if (at + height > row) break;
      at += height;
    }
    if (i >= this.end && this.end > this.lo) {
      i = this.end - 1;
      at -= this.height(this.get(i));
    }
    return { index: i, start: at };
  }
}
