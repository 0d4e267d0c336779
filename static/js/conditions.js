/**
 * The lines at the top of every page that say what is wrong with the service itself, while its workers run on.
 * @module
 */
import { make, must } from "./env.js";

/** @typedef {{name: string, since: string, text: string}} Condition */

/** Shows these and no others; a line that is there already stays as it is. @param {Condition[]} conditions */
export function showConditions(conditions) {
  const place = must("#conditions");
  const lines = new Map([...place.children].map((line) => [/** @type {HTMLElement} */ (line).dataset.condition, line]));
  for (const [name, line] of lines) if (!conditions.some((one) => one.name === name)) line.remove();
  for (const { name, since, text } of conditions) {
    const line = /** @type {HTMLElement} */ (lines.get(name) ?? fresh(name));
    const words = must("span", line), sentence = `${text[0].toUpperCase()}${text.slice(1)}.`;
    if (words.textContent !== sentence) words.textContent = sentence;
    line.title = `since ${new Date(since).toLocaleString("en-GB")}`;
    if (!line.isConnected) place.append(line);
  }
  place.hidden = !conditions.length;
}

/** @param {string} name */
function fresh(name) {
  const line = make("p", "", { class: "banner warn", "data-condition": name });
  const sign = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  sign.setAttribute("class", "shape");
  sign.setAttribute("aria-hidden", "true");
  use.setAttribute("href", "#s-warn");
  sign.append(use);
  line.append(sign, make("span"));
  return line;
}
