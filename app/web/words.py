"""A worker's state in words, for the rows that the server renders: which family, which shape, what it waits for.

Reads the JSON of `wire.py`, not records, so that it is the twin of `static/js/words.js`: both are held to the same
vectors in `tests/browser/words.json`. No HTML here.
Known wart: two languages say the same thing; the vectors are what keeps them together.
"""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

Json = Mapping[str, Any]

GROUPS = {
    "fail": "failed",
    "warn": "retrying",
    "block": "waiting",
    "move": "starting",
    "ok": "running",
    "done": "done",
    "idle": "stopped",
}
"""Shape to its word in the summary strip, the worst first. A shape is its family, but for `done` of the family `ok`."""

REST = ("stopped", "done", "failed")
SIGNALS = {number.value: number.name for number in signal.Signals}


@dataclass(frozen=True, slots=True)
class Words:
    """What a row says. `action` is the one button that fits the state, `label` what stands on it."""

    family: str
    shape: str
    word: str
    detail: str
    action: str
    label: str
    stoppable: bool


def seconds(moment: str | None) -> float:
    """RFC 3339 to seconds since the epoch; 0 for none."""
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0


def age(span: float) -> str:
    """A span in seconds as its two largest units: `8 s`, `3 m 12 s`, `4 h 12 m`, `3 d 4 h`."""
    whole = max(0, int(span))
    for size, unit, small, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // small} {part}"
    return f"{whole} s"


def exit_words(last: Json | None) -> str:
    """`exit 137 (SIGKILL)`, `exit 3`, or the reason when there is no number."""
    if last is None:
        return ""
    name = last.get("signal")
    if isinstance(name, int):
        name = SIGNALS.get(name, f"signal {name}")
    code = last.get("code")
    if name:
        name = name if name.startswith(("SIG", "signal")) else f"SIG{name}"
        number = next((n for n, known in SIGNALS.items() if known == name), 0)
        return f"exit {128 + number} ({name})" if number else str(name)
    if code is None:
        return str(last.get("reason") or "end unknown")
    known = SIGNALS.get(code - 128) if 128 < code < 160 else None
    return f"exit {code} ({known})" if known else f"exit {code}"


def _join(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def describe(status: Json, now: float) -> Words:
    """What to show of one Status; `now` in seconds of the host's clock counts its deadline down."""
    state, left = status["state"], max(0, ceil(seconds(status.get("deadline")) - now))
    last = exit_words(status.get("last_exit"))
    held = _join(status.get("waiting_for") or [])
    wanted = status.get("wanted", True)
    gone = "" if status.get("leader_gone") is None else f"main gone, {status['leader_gone']} left"
    restart, start, enabled = ("restart", "Restart"), ("start", "Start"), status.get("enabled", True)

    def words(family: str, word: str, detail: str = "", act: tuple[str, str] = restart, shape: str = "") -> Words:
        act = act if enabled else ("enable", "Enable")
        return Words(family, shape or family, word, detail, *act, stoppable=bool(wanted and state not in REST))

    if status.get("stuck"):
        return words("fail", "stuck", "killed, and still there")
    match state:
        case "blocked":
            on = _join([blocker["worker"] for blocker in status.get("blocked_on") or []])
            return words("block", f"waiting: {on}", act=start) if on else words("move", "waiting", act=start)
        case "starting":
            return words("move", "starting", gone)
        case "running" if not wanted and held:
            return words("move", "running", f"stops after {held}")
        case "running" if status.get("health") == "unhealthy":
            return words("warn", "unhealthy", gone)
        case "running":
            ready = status.get("ready", True)
            old = "started with an older config" if status.get("outdated") else ""
            detail = ", ".join(part for part in (gone, old, "" if enabled else "disabled") if part)
            return words("ok", "running", detail) if ready else words("move", "running", "not ready")
        case "backoff":
            if status.get("gave_up"):
                return words("fail", f"gave up, retry in {age(left)}", last, ("start", "Retry now"))
            most, count = status.get("max_restarts"), status.get("tries", status.get("failures", 0))
            tries = f"{count}/{most}" if most else f"{count}"
            return words("warn", f"retry {tries} in {left} s", last, ("start", "Retry now"))
        case "stopping":
            why = "to restart" if status.get("restarting") else ""
            kill = f"kill in {left} s" if status.get("deadline") else ""
            return words("move", "stopping", ", ".join(part for part in (why, gone, kill) if part))
        case "killing":
            return words("move", "killing", gone)
        case "done":
            return words("ok", "done", last, ("start", "Start again"), "done")
        case "failed":
            return words("fail", "failed", last, start)
        case _:
            return words("idle", "stopped" if enabled else "disabled", last, start)
