"""The verbs `runs` and `events`: what was, from the ledger of the service.

Newest last, as in a log, so that what matters stands above the prompt. Known wart: a pattern means the workers that are
there now; those that are no more are found by their names alone.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from supervisor_core.clock import Clock

from ..client import Client, Declined, Unreachable
from . import DONE, FAILED, UNREACHABLE, USAGE, complain
from .show import age, as_json, clean, columns
from .target import find_target, is_pattern, resolve

MOST, DEFAULT = 1000, 20

Row = Mapping[str, Any]


def runs(options: argparse.Namespace) -> int:
    """Prints the last runs, of all workers or of some: when, how long, how and why they ended."""
    return _print(options, _ask_runs, "runs", _runs)


def _ask_runs(client: Client, options: argparse.Namespace) -> Any:
    names: list[str] = []
    for address in options.names:
        names += [row["name"] for row in resolve(client, [address])] if is_pattern(address) else [address]
    return client.history("runs", worker=names, limit=options.lines)


def events(options: argparse.Namespace) -> int:
    """Prints the last transitions with their causes and who asked for them."""
    return _print(options, lambda client, _: client.history("events", limit=options.lines), "events", _events)


def _print(options: argparse.Namespace, ask: Any, key: str, show: Any) -> int:
    if not 1 <= options.lines <= MOST:
        return complain(f"-n {options.lines}: it must be between 1 and {MOST}", USAGE)
    try:
        with Client(find_target(options)) as client:
            answer = ask(client, options)
    except Unreachable as error:
        return complain(error, UNREACHABLE)
    except Declined as error:
        return complain(clean(error), FAILED)
    if options.output == "json":
        as_json(answer)
    else:
        columns(show(answer[key]))
    return DONE


def _runs(rows: Sequence[Row]) -> Iterable[tuple[str, ...]]:
    yield "WORKER", "RUN", "PID", "STARTED", "FOR", "CAUSE", ""
    now = Clock().now()
    for row in reversed(rows):
        exit, by = row["exit"], row["by"]
        how = "" if exit is None else str(exit["reason"])
        if row["cause"] == "person":
            how += f", by {by}"
        yield (
            str(row["worker"]), str(row["run"]), str(row["pid"] or "-"), _when(row["started"]),
            _length(row["started"], row["ended"], now), str(row["cause"] or "lives"), how,
        )  # fmt: skip


def _events(rows: Sequence[Row]) -> Iterable[tuple[str, ...]]:
    yield "TIME", "WORKER", "STATE", "RUN", ""
    for row in rows:
        words = ", ".join(row.get("causes", ()))
        if row.get("why"):
            words += f": {row['why']}"
        if row["event"] == "gap":
            words = f"{row['count']} events are missing here"
        if row["by"]:
            words += f" (by {row['by']})"
        state = row.get("state") or row.get("phase") or row["event"]
        yield _when(row["time"]), str(row.get("worker", "-")), str(state), str(row.get("run", "-")), words


def _when(text: str | None) -> str:
    """In the time of this machine."""
    return "-" if text is None else f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"


def _length(started: str | None, ended: str | None, now: float) -> str:
    if started is None:
        return "-"
    end = now if ended is None else datetime.fromisoformat(ended).timestamp()
    return age(max(0.0, end - datetime.fromisoformat(started).timestamp()))
