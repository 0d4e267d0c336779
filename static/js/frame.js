/**
 * The frame's own controls: theme, list of keys. Settings that describe looking are kept in cookies, so that the server
 * renders them right the first time.
 * @module
 */
import { base, make, must } from "./env.js";

const THEMES = ["system", "light", "dark"];

/** Shows the theme button and makes it work. */
export function themeButton() {
  const button = must('[data-do="theme"]');
  const root = document.documentElement;
  button.hidden = false;
  const say = () => {
    const now = root.dataset.theme ?? "system";
    button.setAttribute("aria-label", `Theme: ${now}`);
    button.title = `Theme: ${now}`;
  };
  say();
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "system") + 1) % THEMES.length];
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    keep("qd_theme", next === "system" ? "" : next);
    say();
  });
}

/** Keeps one preference for a year; an empty value forgets it. @param {string} name @param {string} value */
export function keep(name, value) {
  document.cookie = `${name}=${value}; path=${base}; max-age=${value ? 31536000 : 0}; samesite=lax`;
}

/** A preference, or "". @param {string} name */
export function kept(name) {
  return document.cookie.split("; ").find((part) => part.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
}

/**
 * Single-letter keys, inactive while the reader types or a dialog is open; `?` lists them.
 * @param {[string, string, (event: KeyboardEvent) => void][]} keys what is pressed, what it does in words, the deed
 */
export function shortcuts(keys) {
  const button = must('[data-do="keys"]');
  button.hidden = false;
  const dialog = /** @type {HTMLDialogElement} */ (make("dialog", "", { "aria-labelledby": "keys-title" }));
  const list = make("dl");
  for (const [key, words] of keys) {
    const term = make("dt");
    term.append(make("kbd", key === " " ? "Space" : key));
    list.append(term, make("dd", words));
  }
  const close = make("button", "Close", { type: "button" });
  close.addEventListener("click", () => dialog.close());
  const choices = make("div", "", { class: "choices" });
  choices.append(close);
  dialog.append(make("h2", "Keys of this page", { id: "keys-title" }), list, choices);
  document.body.append(dialog);
  button.addEventListener("click", () => dialog.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest("input, textarea, select, dialog[open]")) return;
    if (event.key === "?") {
      event.preventDefault();
      dialog.showModal();
      return;
    }
    const found = keys.find(([key]) => key === event.key);
    if (!found || (event.key === " " || event.key === "Enter") && target.closest("button, a")) return;
    event.preventDefault();
    found[2](event);
  });
}
