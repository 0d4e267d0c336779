/**
 * What the server tells this page: base path, static path, version; and the one Trusted Types policy.
 * Nothing here runs on import but reading one <meta>.
 * @module
 */

const meta = /** @type {HTMLElement} */ (document.querySelector('meta[name="quarterdeck"]'));

/** The path of the service, with a slash at its end: `/` or `/jobs/`. */
export const base = meta.dataset.base ?? "/";
export const version = meta.dataset.version ?? "";
export const host = meta.dataset.host ?? "";
/** Milliseconds from this machine's clock to the host's, until an event says it better. */
export const skew = meta.dataset.now ? Date.parse(meta.dataset.now) - Date.now() : 0;
const scripts = `${meta.dataset.static}js/`;

/** @typedef {{createPolicy(name: string, rules: {createScriptURL(url: string): string}): {createScriptURL(url: string): string}}} Types */
const types = /** @type {{trustedTypes?: Types}} */ (/** @type {unknown} */ (globalThis)).trustedTypes;
const own = (/** @type {string} */ name) => {
  if (!/^[a-z.]+\.js$/.test(name)) throw new TypeError(`not one of our scripts: ${name}`);
  return scripts + name;
};
const policy = types?.createPolicy("quarterdeck", { createScriptURL: own });

/** The address of one of our worker scripts, as `Worker` may take it. @param {string} name */
export function scriptUrl(name) {
  return policy ? policy.createScriptURL(name) : own(name);
}

/** The page of a worker. @param {string} name */
export function workerUrl(name) {
  return `${base}workers/${encodeURIComponent(name)}`;
}

/** @template {Element} [T=HTMLElement] @param {string} selector @param {ParentNode} [root] @returns {T} */
export function must(selector, root = document) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return /** @type {T} */ (/** @type {unknown} */ (found));
}

/** Replaces text only when it differs, so that a selection and the paint survive. @param {Element} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Makes an element with text and attributes. @param {string} tag @param {string} [text] @param {Record<string, string>} [attributes] */
export function make(tag, text = "", attributes = {}) {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** Points a shape at another symbol. @param {Element} root @param {string} shape */
export function setShape(root, shape) {
  const use = root.querySelector(".shape use");
  if (use && use.getAttribute("href") !== `#s-${shape}`) use.setAttribute("href", `#s-${shape}`);
}
