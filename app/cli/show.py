"""What the command line prints: a table that fits the terminal, reasons in words, lines of workers, JSON.

Nothing a worker or a service says reaches a terminal with control characters in it. No exit status is decided here.
Known wart: a wide character counts as one column.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from supervisor_core.clock import Clock

from ..echo import harmless

Row = Mapping[str, Any]

COLOURS = {
    "running": "32", "starting": "36", "blocked": "33", "backoff": "33", "stopping": "36", "killing": "31",
    "failed": "31", "done": "2", "stopped": "2",
}  # fmt: skip

USED = {
    "CPU": ("cpu", "%"), "MEM": ("memory", "B"), "PROCS": ("processes", ""), "THREADS": ("threads", ""),
    "FDS": ("fds", ""), "READ": ("read", "B/s"), "WRITTEN": ("written", "B/s"),
}  # fmt: skip
"""Columns of what workers use: the name in the API, and the unit."""


def as_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=sys.stdout.isatty()))


def colourful(out: TextIO) -> bool:
    return out.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def clean(text: object) -> str:
    """One line without control characters and colours."""
    return harmless(str(text).replace("\n", " "), colour=False)


def down(row: Row) -> bool:
    """Wanted, and neither ready nor done."""
    return bool(row["wanted"]) and not row["ready"] and row["state"] != "done"


def unsure(row: Row) -> bool:
    """Whether what its probes found says more: it is up and not ready, or not well."""
    live = row["state"] in ("starting", "running", "stopping")
    return live and (not row["ready"] or row.get("health") == "unhealthy")


def table(rows: Sequence[Row], used: Mapping[str, Row] | None = None) -> None:
    """Prints the workers, one a line, the last column cut at the terminal's width; with what they use, if given."""
    now = Clock().now()
    columns = ("NAME", "STATE", "PID", "SINCE", "RESTARTS", *(USED if used is not None else ()))
    cells = [(*columns, "")]
    for row in rows:
        shown = (clean(row["name"]), _state(row), str(row["pid"] or "-"), _age(row["since"], now), str(row["restarts"]))
        more = tuple(_used((used or {}).get(row["name"]), column) for column in columns[len(shown) :])
        cells.append((*shown, *more, clean(reason(row, now))))
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    colour = colourful(sys.stdout)
    for index, line in enumerate(cells):
        text = "  ".join(cell.ljust(wide) for cell, wide in zip(line, widths, strict=False)) + f"  {line[-1]}"
        text = _cut(text.rstrip(), width)
        if colour and index:
            at = widths[0] + 2
            state = text[at : at + widths[1]]
            text = (
                f"{text[:at]}\x1b[{COLOURS.get(rows[index - 1]['state'], '0')}m{state}\x1b[0m{text[at + widths[1] :]}"
            )
        print(text)


def _used(row: Row | None, column: str) -> str:
    """One number of what a worker uses; a dash where it is not known."""
    name, unit = USED[column]
    value = None if row is None else row.get(name)
    if value is None:
        return "-"
    match unit:
        case "%":
            return f"{value:.0f}%"
        case "":
            return str(value)
    return size(value) + unit


def size(count: float) -> str:
    """At most four digits: 812M, 1.2G."""
    for unit in ("", "K", "M"):
        if count < 1000:
            return f"{count:.0f}{unit}" if count >= 10 or not unit else f"{count:.1f}{unit}"
        count /= 1024
    return f"{count:.1f}G"


def columns(rows: Iterable[tuple[str, ...]]) -> None:
    """Prints a table whose first row is its head, the last column cut at the terminal's width."""
    cells = [tuple(map(clean, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)][:-1]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for *line, last in cells:
        print(_cut("  ".join([*map(str.ljust, line, widths), last]).rstrip(), width))


def _cut(text: str, width: int) -> str:
    return text if not width or len(text) <= width else text[: width - 1] + "…"


def _state(row: Row) -> str:
    state = clean(row["state"])
    if state == "running":
        state += "" if row["ready"] else ", not ready"
    return f"{state}, {row['health']}" if row.get("health") == "unhealthy" else state


def _moment(text: str | None) -> float | None:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp() if text else None


def _age(since: str | None, now: float) -> str:
    moment = _moment(since)
    return "-" if moment is None else age(max(0.0, now - moment))


def age(seconds: float) -> str:
    """Two units at most: 5s, 3m12s, 4h05m, 2d03h."""
    count = int(seconds)
    if count < 60:
        return f"{count}s"
    if count < 3600:
        return f"{count // 60}m{count % 60:02}s"
    if count < 86_400:
        return f"{count // 3600}h{count % 3600 // 60:02}m"
    return f"{count // 86_400}d{count % 86_400 // 3600:02}h"


def _blocker(told: Row, now: float) -> str:
    moment = _moment(told.get("next"))
    left = "" if moment is None else f", next in {age(max(0.0, moment - now))}"
    return f"{told['worker']} ({told['why']}{left})"


def reason(row: Row, now: float) -> str:
    """Why it is as it is, in a few words; empty for a worker that simply runs."""
    words = []
    if row.get("blocked_on"):
        words.append("waits for " + ", ".join(_blocker(b, now) for b in row["blocked_on"]))
    if row.get("waiting_for"):
        words.append("held by " + ", ".join(row["waiting_for"]))
    if row.get("stuck"):
        words.append("killed, and still there")
    if row.get("leader_gone") is not None:
        words.append(f"main gone, {row['leader_gone']} left")
    if not row.get("enabled", True):
        words.append("disabled")
    if row.get("outdated"):
        words.append("started with an older config")
    deadline = _moment(row.get("deadline"))
    if row.get("gave_up"):
        words.append("gave up for now")
    if row["state"] == "backoff" and deadline is not None:
        words.append(f"next try in {age(max(0.0, deadline - now))}")
    if said := row.get("said"):
        words.append(said["text"])
    for look in row.get("probes", ()):
        if row["ready"] or not look["good"]:
            words.append(f"{look['probe']}: {look['output']}, {_age(look['at'], now)} ago")
    if row["state"] in ("backoff", "failed", "done") and (last := row.get("last_exit")):
        words.append(last["reason"] or f"exit code {last['code']}")
    if row["state"] in ("stopped", "done", "failed") and (plan := row.get("schedule")):
        moment = _moment(plan["next"])
        words.append("never comes again" if moment is None else f"next run in {age(max(0.0, moment - now))}")
    return "; ".join(words)


class Lines:
    """Prints lines of workers: `name | text` for several, the text alone for one."""

    def __init__(self, *, named: bool, raw: bool, as_json: bool) -> None:
        self._named, self._json = named, as_json
        self._keep = raw or not sys.stdout.isatty()

    def print(self, lines: Sequence[Row]) -> None:
        for line in lines:
            if line["key"] is None:
                continue  # it is still being written, and comes again
            if self._json:
                print(json.dumps(line, ensure_ascii=True))
                continue
            text = line["text"] if self._keep else harmless(line["text"], colour=colourful(sys.stdout))
            if line.get("cut"):
                text += f" … [cut: {line['cut']} bytes in all]"
            print(f"{clean(line['worker'])} | {text}" if self._named else text)
        sys.stdout.flush()
