"""The last lines of runs that ended badly, read from the logs when their end is written; some a second, not more.

A worker that ends fifty times a second says the same each time, and reading its log takes longer than writing its end:
then only one run a second has its lines, and the others have their place in the log. A hundred workers that end at once
all have theirs.

Known wart: lines are read when the end is written, so what was written by others to the same log meanwhile is passed.
"""

from supervisor_core.lines import Line, View

from ...host import Host
from .account import Account, RunRow

LINES, WIDTH = 20, 300
"""Lines of a run, and characters of each."""

APART = 1.0
"""Seconds between two runs of one worker whose lines are kept."""

RATE, BURST = 50.0, 200.0
"""Runs a second, of all workers, and so many at once."""

KNOWN = 10_000
"""Workers of which it is remembered when their lines were kept."""


class LastLines:
    """Belongs to the writer's thread."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._left = BURST
        self._looked = host.now()
        self._last: dict[str, float] = {}

    def keep(self, account: Account) -> None:
        """Adds lines to the bad ends that are about to be written, the newest first."""
        ends = account.bad_ends()
        if not ends:
            return
        now = self._host.now()
        self._left = min(BURST, self._left + RATE * (now - self._looked))
        self._looked = now
        for row in reversed(ends):
            if self._left < 1:
                return
            if now - self._last.get(row.worker, 0.0) < APART:
                continue
            self._left -= 1
            self._last.pop(row.worker, None)
            self._last[row.worker] = now
            if lines := self._of(row):
                account.keep_lines(row.id, lines)
        while len(self._last) > KNOWN:
            del self._last[next(iter(self._last))]

    def _of(self, row: RunRow) -> tuple[str, ...]:
        view = View((row.worker,), frozenset({"out", "err"}))
        try:
            page = self._host.logs.tail(view, LINES)
        except OSError:
            return ()  # logs on a disk that is gone are no reason to keep no runs
        found = [item for item in (*page.items, *page.open) if isinstance(item, Line) and item.run == row.run]
        return tuple(line.text[:WIDTH] for line in found[-LINES:])
