/**
 * What is said to screen readers: one polite sentence about failures, at most every five seconds.
 * @module
 */
import { must } from "./env.js";

/** @type {Set<string>} */ const failed = new Set();
let timer = 0;

/** @param {string} name */
export function sayFailed(name) {
  failed.add(name);
  timer ||= setTimeout(() => {
    const names = [...failed];
    must("#spoken").textContent = names.length === 1 ? `${names[0]} failed` : `${names.length} workers failed: ${names.slice(0, 5).join(", ")}`;
    failed.clear();
    timer = 0;
  }, 1000);
}
