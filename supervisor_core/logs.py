"""What a reader of logs sees: the contract of a log store, and following one.

A reader holds a key, never a queue: a slow one costs nothing and loses nothing. Keys are fixed-width hex whose string
order is line order over all workers of the host, valid across restarts. API, command line and page read through this
module only. Stores are `memory.py` (a ring) and `children/segments.py` (files).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from typing import Protocol

from .calling import call
from .lines import MAX_TEXT, BadKey, Gap, Histogram, Item, Line, NotKept, Page, RunMark, View
from .memory import MemoryStore

__all__ = [
    "MAX_TEXT",
    "BadKey",
    "Gap",
    "Histogram",
    "Item",
    "Line",
    "LogSink",
    "LogStore",
    "MemoryStore",
    "NotKept",
    "Page",
    "Raw",
    "RunMark",
    "StreamWriter",
    "View",
    "follow",
    "read",
]


class Raw(Protocol):
    """The bytes of one stream that were there when it was asked for, oldest first, lost ones left out.

    The bytes at a place stay the same, and only more come behind them, as long as `tag` is the same, also in a later
    one of these.
    """

    @property
    def size(self) -> int: ...

    @property
    def tag(self) -> str:
        """A few letters, digits and hyphens."""
        ...

    def read(self, at: int, limit: int) -> bytes:
        """Up to `limit` bytes from `at` on; none at the end, and where some have gone since."""
        ...


class LogStore(Protocol):
    """Synchronous and quick: each call reads a bounded number of bytes. Safe to call from any thread."""

    def tail(self, view: View, count: int) -> Page:
        """The last `count` lines."""
        ...

    def after(self, view: View, key: str, limit: int) -> Page:
        """Up to `limit` lines strictly after `key`; "" is before everything. Raises `BadKey`."""
        ...

    def before(self, view: View, key: str, limit: int) -> Page:
        """The last `limit` lines strictly before `key`. Raises `BadKey`."""
        ...

    def at(self, view: View, time: float, limit: int) -> Page:
        """Up to `limit` lines written at or after `time`."""
        ...

    def histogram(self, view: View, edges: Sequence[float]) -> Histogram:
        """Counts the lines between each two edges (seconds since the epoch, ascending); the view's filter is not asked.

        Reads more than the other calls, some hundred milliseconds' worth, so it belongs into a thread.
        """
        ...

    def raw(self, worker: str, stream: str) -> Raw:
        """The bytes of a stream, none when there is no such. Raises `NotKept` when the store holds lines alone."""
        ...

    def subscribe(self, workers: Sequence[str], moved: Callable[[], None]) -> Callable[[], None]:
        """Calls `moved` (from any thread, coalesced) whenever one of them has something new; returns the way out.

        `moved` must be quick and must not raise; it may be called more often than there is news.
        """
        ...

    def note(self, worker: str, run: int, text: str) -> None:
        """Writes one line to the worker's `log` stream."""
        ...


class StreamWriter(Protocol):
    """Takes the output of one stream of one run."""

    def move(self, fd: int, limit: int = ...) -> int:
        """Moves up to `limit` bytes from a pipe; 0 is the end of file.

        Raises BlockingIOError when nothing is there, another OSError when the bytes cannot be stored: they are then
        kept, in the pipe or here, and the next call tries again.
        """
        ...

    def append(self, data: bytes) -> None:
        """Writes bytes that are in memory already."""
        ...

    def end(self) -> None:
        """The output of this run has ended; completes an open line. May be called twice."""
        ...


class LogSink(LogStore, Protocol):
    """A store that also takes output: what spawners need."""

    def open_stream(self, worker: str, stream: str, run: int) -> StreamWriter: ...


async def read(way: Callable[..., Page], view: View, *args: str | float) -> Page:
    """Calls one of a store's four ways to read: here when that is quick, in a thread when a filter is asked."""
    page: Page = way(view, *args) if view.match is None else await call(way, view, *args)
    return page


async def follow(
    store: LogStore, view: View, *, after: str | None = None, tail: int = 0, limit: int = 2000
) -> AsyncIterator[Page]:
    """Yields pages: the backlog first (after a key, else the last `tail` lines), then what comes, until closed.

    The first page comes at once, be it empty. No line is lost, doubled or out of order, whatever the timing. A page
    without items comes when only partial lines changed, or when all that came was hidden. Raises `BadKey`, and what
    the view's filter raises, which is asked in a thread.
    """
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    pending = False

    def moved() -> None:
        nonlocal pending
        if not pending:
            pending = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(woken.set)

    leave = store.subscribe(view.workers, moved)
    try:
        page = await read(store.tail, view, tail) if after is None else await read(store.after, view, after, limit)
        behind = after is not None and page.more
        yield page
        while True:
            if behind:
                await _Turn()
            else:
                await woken.wait()
                woken.clear()
                pending = False
            newer = await read(store.after, view, page.next, limit)
            behind = newer.more
            if newer.items or newer.next != page.next:
                yield newer
            page = newer
    finally:
        leave()


class _Turn:
    """Lets the loop do other things once."""

    def __await__(self) -> Generator[None, None, None]:
        yield
