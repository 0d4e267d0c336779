/**
 * Start, stop, restart, kill: the pending look within one frame, the truth only from the stream, errors where the action was.
 * Buttons are real form buttons, so all of this is an improvement of what works without it. Handlers are delegated, so
 * they do not depend on a row surviving an update.
 * @module
 */
import { base, make, must, setText, workerUrl } from "./env.js";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {{action: string, version: string, at: number}} Pending */

const VERBS = /** @type {Record<string, string>} */ ({ start: "start", stop: "stop", restart: "restart", kill: "kill", enable: "enable" });
const SLOW = 10_000;

export class Actions {
  /** @param {Store} store @param {(name: string) => Element | null} place where a worker stands on this page */
  constructor(store, place) {
    this.store = store;
    this.place = place;
    /** @type {Map<string, Pending>} */ this.pending = new Map();
    document.addEventListener("click", (event) => this.clicked(event));
    setInterval(() => this.pending.forEach((_, name) => this.show(name)), 1000);
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const button = /** @type {HTMLElement} */ (event.target).closest("form.acts button");
    if (!(button instanceof HTMLButtonElement) || button.disabled) return;
    event.preventDefault();
    const name = button.form?.dataset.worker;
    if (name && button.getAttribute("aria-disabled") !== "true") this.ask(name, button.value, button);
  }

  /** Asks first where others would be taken along. @param {string} name @param {string} action @param {HTMLElement} [from] */
  ask(name, action, from) {
    const others = action === "stop" ? this.store.liveDependents(name) : [];
    if (action === "kill") this.confirm(`Kill ${name}?`, [], "Every process of it is killed at once, without a chance to clean up.", `Kill ${name}`, () => this.send(name, action), from);
    else if (others.length) {
      const count = others.length + 1;
      this.confirm(`Stop ${name}?`, others, `${others.length === 1 ? "This worker needs" : "These workers need"} it and will be stopped first:`, `Stop ${count} workers`, () => this.send(name, action, true), from);
    } else this.send(name, action);
  }

  /**
   * @param {string} title @param {string[]} names @param {string} text @param {string} verb @param {() => void} deed @param {HTMLElement} [from]
   */
  confirm(title, names, text, verb, deed, from) {
    const dialog = /** @type {HTMLDialogElement} */ (make("dialog", "", { "aria-labelledby": "confirm-title" }));
    const list = make("ul");
    list.append(...names.map((one) => make("li", one)));
    const yes = make("button", verb, { type: "button", class: "grave" });
    const no = make("button", "Cancel", { type: "button", autofocus: "" });
    const choices = make("div", "", { class: "choices" });
    choices.append(yes, no);
    dialog.append(make("h2", title, { id: "confirm-title" }), make("p", text), ...(names.length ? [list] : []), choices);
    yes.addEventListener("click", () => {
      dialog.close();
      deed();
    });
    no.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      from?.focus();
    });
    document.body.append(dialog);
    dialog.showModal();
  }

  /** @param {string} name @param {string} action @param {boolean} [cascade] */
  async send(name, action, cascade = false) {
    const version = this.store.get(name)?.version ?? "";
    this.forgive(name);
    this.pending.set(name, { action, version, at: Date.now() });
    this.show(name);
    try {
      const answer = await fetch(`${base}api/v1/workers/${encodeURIComponent(name)}/${action}?wait=0`, {
        method: "POST",
        headers: { "content-type": "application/json", "idempotency-key": key() },
        body: JSON.stringify({ ...(version && action !== "kill" ? { if_version: version } : {}), ...(cascade ? { cascade } : {}) }),
      });
      if (answer.ok) return;
      const problem = await answer.json().catch(() => ({}));
      this.fail(name, action, problem.detail ?? problem.title ?? `the service answered ${answer.status}`);
    } catch {
      this.fail(name, action, "the service cannot be reached");
    }
  }

  /** A change of the worker ends the pending look: what it shows now is the truth. @param {string} name @param {string} version */
  seen(name, version) {
    const asked = this.pending.get(name);
    if (!asked || asked.version === version) return;
    this.pending.delete(name);
    this.show(name);
  }

  /** Settled without any change of the worker, e.g. a stop of one that was stopped. @param {any} operation */
  settled(operation) {
    if (operation.state === "pending" || !this.pending.has(operation.worker)) return;
    this.pending.delete(operation.worker);
    this.show(operation.worker);
    if (operation.state === "failed") this.fail(operation.worker, operation.action, operation.outcome ?? "failed");
  }

  /** @param {string} name */
  show(name) {
    const place = this.place(name), asked = this.pending.get(name);
    if (!place) return;
    const words = place.querySelector('[data-part="asked"]');
    const old = asked && Date.now() - asked.at > SLOW;
    if (words) setText(words, !asked ? "" : old ? `still asked to ${VERBS[asked.action]}, since ${Math.round((Date.now() - asked.at) / 1000)} s` : `${VERBS[asked.action]} asked…`);
    for (const button of place.querySelectorAll("form.acts button")) {
      if (asked && !(old && button.getAttribute("value") === "kill")) button.setAttribute("aria-disabled", "true");
      else button.removeAttribute("aria-disabled");
    }
  }

  /** @param {string} name @param {string} action @param {string} reason */
  fail(name, action, reason) {
    this.pending.delete(name);
    this.show(name);
    const place = this.place(name);
    if (!place) return;
    this.forgive(name);
    const text = `${VERBS[action]} ${name}: ${reason}`;
    const box = make("div", "", { class: "error-box trouble", role: "alert" });
    const copy = make("button", "Copy", { type: "button", "aria-label": "Copy this message" });
    const close = make("button", "Dismiss", { type: "button" });
    copy.addEventListener("click", () => navigator.clipboard?.writeText(text));
    close.addEventListener("click", () => box.remove());
    box.append(make("p", text), copy, close);
    place.append(box);
  }

  /** @param {string} name */
  forgive(name) {
    this.place(name)?.querySelector(".trouble")?.remove();
  }
}

/** A random key; a plain-http page on a LAN name has no `crypto.randomUUID`. */
function key() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");
}

/** Brings the buttons of one worker in line with its state. @param {Element} place @param {import("./words.js").Status} status @param {import("./words.js").Words} words */
export function dressButtons(place, status, words) {
  const form = must("form.acts", place);
  must('[name="if_version"]', form).setAttribute("value", status.version);
  const act = /** @type {HTMLButtonElement} */ (must('[data-part="act"]', form));
  const stop = /** @type {HTMLButtonElement} */ (must('[data-part="stop"]', form));
  if (act.value !== words.action) act.value = words.action;
  if (act.textContent !== words.label) {
    setText(act, words.label);
    act.setAttribute("aria-label", `${words.label} ${status.name}`);
  }
  if (stop.disabled === words.stoppable) stop.disabled = !words.stoppable;
  const kill = form.querySelector('[data-part="kill"]');
  if (kill instanceof HTMLElement) kill.hidden = !status.pid && typeof status.leader_gone !== "number";
  if (!form.dataset.worker) {
    form.dataset.worker = status.name;
    form.setAttribute("action", `${workerUrl(status.name)}/act`);
    stop.setAttribute("aria-label", `Stop ${status.name}`);
  }
}
