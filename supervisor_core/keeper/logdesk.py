"""The keeper's side of logs: the one writer of the files, and what the service asks of it and is told.

The service reads the files by itself; here it only learns that there is something to read.
"""

import contextlib
import errno
from collections.abc import Callable, Mapping
from typing import Any

from ..children.loops import Loop, Timer
from ..children.segments import SegmentStore
from ..failing import point
from .policies import read_policies
from .watches import Watches
from .wire import Message

Taker = Callable[[Message, tuple[int, ...]], None]

SHORTEST, LONGEST = 1.0, 3600.0
"""Seconds between two looks at what is too old."""


class LogDesk:
    """`folder` is the root of the log files; `now` in seconds since the epoch; `tell` speaks to the service."""

    def __init__(self, loop: Loop, folder: str, now: Callable[[], float], tell: Callable[[Message], object]) -> None:
        self._loop, self._folder, self._now, self._tell = loop, folder, now, tell
        self._store: SegmentStore | None = None
        self._watches = Watches(lambda worker: tell({"t": "moved", "worker": worker}))
        self._stuck: dict[tuple[str, str], int] = {}
        """Why streams cannot be stored just now, as errno."""
        self._expiry: Timer | None = None
        self.takers: Mapping[str, Taker] = {
            "log": self._log,
            "watch": self._watch,
            "unwatch": self._unwatch,
            "swap": self._swap,
        }

    def open(self, policies: Mapping[str, Any]) -> SegmentStore:
        """The store. Raises OSError and `SupervisorError`."""
        store = self._store = SegmentStore(self._folder, now=self._now, maintain=False, **read_policies(policies))
        store.on_moved, store.on_trouble = self._watches.moved, self._troubled
        self._expire()
        return store

    def configure(self, policies: Mapping[str, Any]) -> None:
        """From now on these."""
        if self._store is not None:
            self._store.configure(**read_policies(policies))
            self._expire()

    def welcome(self) -> None:
        """Tells a service that has come what is wrong just now."""
        for (worker, stream), number in self._stuck.items():
            self._tell({"t": "stream", "worker": worker, "stream": stream, "errno": number})

    def service_died(self) -> None:
        """Its successor asks anew for what it wants to hear of."""
        self._watches.clear()

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def _expire(self) -> None:
        """Deletes what is too old, and comes back for the next."""
        assert self._store is not None
        if self._expiry is not None:
            self._expiry.cancel()
        due = self._store.expire()
        self._expiry = self._loop.call_later(min(max(due - self._now(), SHORTEST), LONGEST), self._expire)

    def _troubled(self, worker: str, stream: str, error: OSError | None) -> None:
        number = 0 if error is None else error.errno or errno.EIO
        if number:
            self._stuck[worker, stream] = number
        else:
            self._stuck.pop((worker, stream), None)
        self._tell({"t": "stream", "worker": worker, "stream": stream, "errno": number})

    # ------------------------------------------------------------ asked

    def _log(self, message: Message, _: tuple[int, ...]) -> None:
        if self._store is not None:
            with contextlib.suppress(OSError):  # no room for a line of ours
                self._store.note(message["worker"], int(message["run"]), message["text"])

    def _watch(self, message: Message, _: tuple[int, ...]) -> None:
        worker, seen = message["worker"], int(message["seen"])
        self._watches.watch(worker, newer=self._store is not None and self._store.news(worker) > seen)

    def _unwatch(self, message: Message, _: tuple[int, ...]) -> None:
        self._watches.unwatch(message["worker"])

    def _swap(self, message: Message, _: tuple[int, ...]) -> None:
        done = False
        if self._store is not None:
            with contextlib.suppress(OSError):
                done = self._store.swap(message["worker"], message["stream"], int(message["base"]), message["new"])
        point("packed segment in place")
        self._tell({"t": "swapped", "id": message["id"], "done": done})
