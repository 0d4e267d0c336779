"""One stream of one run on its way into the store: the `StreamWriter` of the segments, and what it does on a full disk.

While bytes cannot be stored they stay in the pipe and the worker waits. After `patience` seconds they are read and
dropped, and counted; when there is room again a new segment begins behind them, so that a reader finds a gap of just
these bytes.

Known wart: what was dropped and not yet followed by a stored byte is forgotten when the service dies meanwhile.
"""

import errno
import threading
import time
from collections.abc import Callable

from .writer import MOVE, StreamLog

AGAIN = 0.25
"""Seconds until a store that had no room is tried again while bytes are dropped."""


class RunStream:
    """See `logs.StreamWriter`. `make_room` deletes old segments and says whether it found any.

    `troubled` is told why bytes cannot be stored, once, and None when they can or need not any more.

    `patience`: seconds that the worker waits for room; 0 drops at once, infinity never. `monotonic` gives seconds.
    """

    def __init__(
        self,
        lock: "threading.RLock",
        log: StreamLog,
        run: int,
        moved: Callable[[str], None],
        make_room: Callable[[], bool],
        patience: float,
        troubled: Callable[[OSError | None], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = lock
        self._log = log
        self._run = run
        self._moved = moved
        self._make_room = make_room
        self._patience = patience
        self._troubled = troubled
        self._monotonic = monotonic
        self._full_since: float | None = None
        self._next_try = 0.0
        self._worker = log.files.worker

    def move(self, fd: int, limit: int = MOVE) -> int:
        if self._full_since is not None and self._monotonic() < self._next_try:
            return self._drop(fd, limit)
        try:
            count = self._try(fd, limit)
        except BlockingIOError:
            raise
        except OSError as error:
            now = self._monotonic()
            if self._full_since is None:
                self._full_since = now
                self._troubled(error)
            if now - self._full_since < self._patience:
                raise
            self._next_try = now + AGAIN
            return self._drop(fd, limit)
        self._recover()
        if count:
            self._moved(self._worker)
        return count

    def _try(self, fd: int, limit: int) -> int:
        try:
            return self._move(fd, limit)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not self._make_room():
                raise
            return self._move(fd, limit)

    def _move(self, fd: int, limit: int) -> int:
        with self._lock:
            self._log.enter(self._run)
            return self._log.move(fd, limit)

    def _drop(self, fd: int, limit: int) -> int:
        with self._lock:
            return self._log.drop(fd, limit)

    def append(self, data: bytes) -> None:
        with self._lock:
            self._log.enter(self._run)
            self._log.append(data)
        self._moved(self._worker)

    def _recover(self) -> None:
        if self._full_since is not None:
            self._full_since, self._next_try = None, 0.0
            self._troubled(None)

    def end(self) -> None:
        self._recover()
        with self._lock:
            if self._log.run == self._run:
                self._log.finish()
                self._log.rest()
        self._moved(self._worker)
