"""What a run has written, against patterns: read from the log store, beside the way that the bytes take.

A pattern is searched for in each line without its colours, also in one that is still being written; only what this run
wrote to `out` and `err` counts. Known wart: `re` cannot be interrupted, so a pattern of the config that backtracks
without end stops the service; a line is looked at up to 4,096 characters.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable

from ..lines import Item, Line, Page, RunMark, View
from ..logs import LogStore, follow
from .prober import wait

LONGEST = 4096
PAGE = 2000
STREAMS = frozenset({"out", "err"})
TROUBLE = 1.0
"""Seconds until the next try where the log cannot be read."""

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_a-z])")


def end_of(store: LogStore, worker: str) -> str:
    """The key behind everything that this worker has written so far."""
    return store.tail(View((worker,), STREAMS), 0).next


class Watch:
    """Looks for patterns in what one run writes. `after`: where its output begins, None for one that was found."""

    def __init__(self, store: LogStore, worker: str, run: int, after: str | None) -> None:
        self._store, self._run, self._after = store, run, after
        self._view = View((worker,), STREAMS)

    async def matches(self, patterns: Iterable[str]) -> AsyncIterator[tuple[str, str]]:
        """Gives each pattern once, with the line, as soon as it was written; ends with the last one."""
        left = {pattern: re.compile(pattern) for pattern in patterns}
        while left:
            try:
                async for page in self._pages():
                    for line in self._lines(page):
                        for pattern in [text for text, found in left.items() if found.search(line)]:
                            del left[pattern]
                            yield pattern, line
                    if not left:
                        return
            except OSError:
                await wait(TROUBLE)

    async def heard(self, pattern: str) -> str | None:
        """A line that matches and came since the last call; None for none. The first call only takes the position."""
        worker, compiled = self._view.workers[0], re.compile(pattern)
        more = self._after is not None
        while more and self._after is not None:
            page = self._store.after(self._view, self._after, PAGE)
            self._after, more = page.next, page.more
            found = next((line for line in self._lines(page) if compiled.search(line)), None)
            if found is not None:
                self._after = end_of(self._store, worker) if more else page.next
                return found
            await asyncio.sleep(0)
        if self._after is None:
            self._after = end_of(self._store, worker)
        return None

    async def _pages(self) -> AsyncIterator[Page]:
        if self._after is None:  # it was found alive: what it wrote before is looked through first, backward
            page = self._store.tail(self._view, PAGE)
            newest = page.next
            yield page
            while page.more and not self._begins(page.items):
                await asyncio.sleep(0)
                page = self._store.before(self._view, page.first, PAGE)
                yield page
            self._after = newest
        pages = follow(self._store, self._view, after=self._after, limit=PAGE)
        try:
            async for page in pages:
                yield page
                self._after = page.next
        finally:
            await pages.aclose()  # type: ignore[attr-defined]

    def _begins(self, items: Iterable[Item]) -> bool:
        """Whether the beginning of the run is among these."""
        return any(
            (isinstance(item, Line | RunMark) and item.run < self._run)
            or (isinstance(item, RunMark) and item.run == self._run and item.kind == "start")
            for item in items
        )

    def _lines(self, page: Page) -> list[str]:
        lines = [item for item in (*page.items, *page.open) if isinstance(item, Line) and item.run == self._run]
        return [_ESCAPE.sub("", line.text[:LONGEST]) for line in lines]
