/**
 * A worker's state in words: family, shape, what it waits for. Twin of app/web/words.py, held to the same vectors
 * (tests/browser/words.json). No DOM here.
 * Known wart: two languages say the same thing; the vectors are what keeps them together.
 * @module
 */

/**
 * The Status of the API, as far as the page reads it.
 * @typedef {{name: string, state: string, health: string, wanted: boolean, run: number, pid: number | null,
 *   since: string, deadline?: string | null, version: string, blocked_on: {worker: string, condition: string, why: string, next?: string | null}[],
 *   waiting_for: string[], failures: number, restarts: number, last_exit: LastExit | null,
 *   requires: {worker: string, condition: string}[], dependents: string[], ready: boolean, restarting: string | null,
 *   leader_gone?: number | null, outdated?: boolean, enabled?: boolean, why?: string, tries?: number, gave_up?: boolean, stuck?: boolean, max_restarts?: number, labels?: Record<string, string>, links?: Record<string, string>}} Status
 */
/** @typedef {{run?: number, code: number | null, signal: number | string | null, reason: string, at: string, by: string}} LastExit */
/** @typedef {{family: string, shape: string, word: string, detail: string, action: string, label: string, stoppable: boolean}} Words */

/** Shape to its word in the summary strip, the worst first. A shape is its family, but for `done` of `ok`. @type {Record<string, string>} */
export const GROUPS = { fail: "failed", warn: "retrying", block: "waiting", move: "starting", ok: "running", done: "done", idle: "stopped" };
const REST = ["stopped", "done", "failed"];

/** @type {Record<number, string>} */
const SIGNALS = {
  1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL",
  10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS",
};

/** A span in seconds as its two largest units: `8 s`, `3 m 12 s`, `4 h 12 m`, `3 d 4 h`. @param {number} span */
export function age(span) {
  const whole = Math.max(0, Math.floor(span));
  /** @type {[number, string, number, string][]} */
  const units = [[86400, "d", 3600, "h"], [3600, "h", 60, "m"], [60, "m", 1, "s"]];
  for (const [size, unit, small, part] of units) {
    if (whole >= size) return `${Math.floor(whole / size)} ${unit} ${Math.floor((whole % size) / small)} ${part}`;
  }
  return `${whole} s`;
}

/** `exit 137 (SIGKILL)`, `exit 3`, or the reason when there is no number. @param {LastExit | null} last */
export function exitWords(last) {
  if (!last) return "";
  let name = last.signal;
  if (typeof name === "number") name = SIGNALS[name] ?? `signal ${name}`;
  if (name) {
    const full = /^(SIG|signal)/.test(name) ? name : `SIG${name}`;
    const number = Object.keys(SIGNALS).find((n) => SIGNALS[Number(n)] === full);
    return number ? `exit ${128 + Number(number)} (${full})` : full;
  }
  if (last.code === null || last.code === undefined) return last.reason || "end unknown";
  const known = last.code > 128 && last.code < 160 ? SIGNALS[last.code - 128] : undefined;
  return known ? `exit ${last.code} (${known})` : `exit ${last.code}`;
}

/** @param {string[]} names */
function join(names) {
  return names.length <= 3 ? names.join(", ") : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
}

/**
 * What to show of one status; `now` in milliseconds of the host's clock counts its deadline down.
 * @param {Status} status @param {number} now @returns {Words}
 */
export function describe(status, now) {
  const left = status.deadline ? Math.max(0, Math.ceil((Date.parse(status.deadline) - now) / 1000)) : 0;
  const last = exitWords(status.last_exit);
  const held = join(status.waiting_for ?? []);
  const wanted = status.wanted ?? true;
  const gone = typeof status.leader_gone === "number" ? `main gone, ${status.leader_gone} left` : "";
  const RESTART = ["restart", "Restart"], START = ["start", "Start"], enabled = status.enabled ?? true;
  const words = (/** @type {string} */ family, /** @type {string} */ word, detail = "", act = RESTART, shape = family) =>
    ({ family, shape, word, detail, action: enabled ? act[0] : "enable", label: enabled ? act[1] : "Enable", stoppable: wanted && !REST.includes(status.state) });

  if (status.stuck) return words("fail", "stuck", "killed, and still there");
  switch (status.state) {
    case "blocked": {
      const on = join((status.blocked_on ?? []).map((b) => b.worker));
      return on ? words("block", `waiting: ${on}`, "", START) : words("move", "waiting", "", START);
    }
    case "starting":
      return words("move", "starting", gone);
    case "running":
      if (!wanted && held) return words("move", "running", `stops after ${held}`);
      if (status.health === "unhealthy") return words("warn", "unhealthy", gone);
      if (!(status.ready ?? true)) return words("move", "running", "not ready");
      return words("ok", "running", [gone, status.outdated ? "started with an older config" : "", enabled ? "" : "disabled"].filter(Boolean).join(", "));
    case "backoff": {
      if (status.gave_up) return words("fail", `gave up, retry in ${age(left)}`, last, ["start", "Retry now"]);
      const count = status.tries ?? status.failures ?? 0;
      const tries = status.max_restarts ? `${count}/${status.max_restarts}` : `${count}`;
      return words("warn", `retry ${tries} in ${left} s`, last, ["start", "Retry now"]);
    }
    case "stopping":
      return words("move", "stopping", [status.restarting ? "to restart" : "", gone, status.deadline ? `kill in ${left} s` : ""].filter(Boolean).join(", "));
    case "killing":
      return words("move", "killing", gone);
    case "done":
      return words("ok", "done", last, ["start", "Start again"], "done");
    case "failed":
      return words("fail", "failed", last, START);
    default:
      return words("idle", enabled ? "stopped" : "disabled", last, START);
  }
}
