"""Whether a run is ready and alive, seen from outside: what was looked at, what came back, when.

One room a kind of look (`http`, `tcp`, `command`, `written`, `notify`), one that judges (`judge`, pure), one that
keeps looking (`prober`), and `probing`, which ties them to a run. Nobody here decides what follows: reports do.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

LATE = 0.3
"""Seconds after which a look that was to be over says that this process did not run: it was stopped, or busy."""

SHOWN = 500
"""Characters of what came back that are kept."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one look gave: `text` is what came back, or why nothing did, in words.

    `late`: it took longer than it may take, so this process did not run meanwhile.
    """

    good: bool
    text: str = ""
    late: bool = False


Look = Callable[[], Awaitable[Answer]]
"""Looks once, within the timeout of its probe. It never raises but when it is cancelled."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The last look of one probe of a worker: `role` is ready or alive, `at` in seconds since the epoch.

    `in_a_row` counts the looks with the same outcome up to this one.
    """

    role: str
    run: int
    probe: str
    good: bool
    text: str
    at: float
    in_a_row: int = 1


class Findings:
    """The last findings of each worker, and what it last said of itself (STATUS=). Any thread may forget."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Finding]] = {}
        self._said: dict[str, tuple[int, str, float]] = {}

    def put(self, worker: str, finding: Finding) -> None:
        self._found.setdefault(worker, {})[finding.role] = finding

    def say(self, worker: str, run: int, text: str, at: float) -> None:
        self._said[worker] = run, text, at

    def of(self, worker: str, run: int) -> tuple[Finding, ...]:
        """Those of this run, ready first."""
        found = self._found.get(worker, {})
        return tuple(found[role] for role in ("ready", "alive") if role in found and found[role].run == run)

    def said(self, worker: str, run: int) -> tuple[str, float] | None:
        """What that run last said of itself, and when."""
        known = self._said.get(worker)
        return known[1:] if known is not None and known[0] == run else None

    def forget(self, worker: str) -> None:
        self._found.pop(worker, None)
        self._said.pop(worker, None)


def brief(text: str) -> str:
    """One line of what came back, cut where it is long, without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
