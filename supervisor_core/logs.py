"""What a reader of logs sees: the contract of a log store, following one, and a store in memory.

A reader holds a key, never a queue: a slow one costs nothing and loses nothing. Keys are fixed-width hex whose string
order is line order over all workers of the host, valid across restarts. The store in files is
`children/segments.py`; API, command line and page read through this module only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_TEXT = 16 * 1024
"""Characters of a line's `text`; a longer one is cut and says so in `cut`."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line. A partial one (still being written) has no key and is replaced by (worker, stream, run, at).

    `time` is in seconds since the epoch, `at` the logical offset of its first byte in its stream. `raw` says that
    bytes were not UTF-8 and stand as U+FFFD; `cut` is the whole length in bytes of a line that was too long.
    """

    key: str | None
    time: float
    worker: str
    stream: str
    run: int
    at: int
    text: str
    raw: bool = False
    cut: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes [start, end) of a stream that cannot be shown; `why` is expired, dropped or rebuilt."""

    key: str
    worker: str
    stream: str
    start: int
    end: int
    why: str


@dataclass(frozen=True, slots=True)
class RunMark:
    """A run began (`kind` = "start") or its output ended ("end")."""

    key: str
    time: float
    worker: str
    run: int
    kind: str


Item = Line | Gap | RunMark


@dataclass(frozen=True, slots=True)
class View:
    """Which lines: of these workers, of these streams, that `match` accepts (every one without it)."""

    workers: tuple[str, ...]
    streams: frozenset[str] = frozenset({"out", "err", "log"})
    match: Callable[[Line], bool] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some items in key order.

    `next` is the key to go on from (strictly greater), also when the page is empty or a filter hid everything: the
    reader has seen all up to it. `open` holds the partial lines as of now (only for pages that reach the end).
    `oldest` and `newest` bound what is retained of the view; `expired_bytes` is what retention deleted of it.
    """

    items: tuple[Item, ...]
    next: str
    first: str = ""
    oldest: str = ""
    newest: str = ""
    expired_bytes: int = 0
    open: tuple[Line, ...] = ()
    more: bool = False


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

    def subscribe(self, workers: Sequence[str], moved: Callable[[], None]) -> Callable[[], None]:
        """Calls `moved` (from any thread, coalesced) whenever one of them has something new; returns the way out."""
        ...

    def note(self, worker: str, run: int, text: str) -> None:
        """Writes one line to the worker's `log` stream."""
        ...


class BadKey(ValueError):
    """A key that no store can have given out."""
