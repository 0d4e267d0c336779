"""One thread beside the writer: compresses closed segments, and wakes for the next one that is too old.

It rests on a condition and costs nothing until a segment is closed or a moment has come. Compressing is done with the
lock of the store free; only the exchange of the two files takes it. So that it takes half a core at most, it rests
after each piece for as long as the piece took.

Known wart: a file is compressed from the page cache or the disk, so right after a flood the disk is read again.
"""

import contextlib
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable

from .files import FILE_MODE, NEW, StreamFiles
from .index import open_plain
from .packed import pack

LONGEST = 86_400.0
"""Seconds that it rests at a stretch, since some systems bound a wait."""
SHORTEST = 1.0
"""Seconds between two looks at what is too old."""
LATER = 60.0
"""Seconds until another try where something cannot be deleted just now."""

Swap = Callable[[StreamFiles, int, str], bool]
"""Puts the compressed file in its place when the segment is still there; then says True."""


class Upkeep:
    """`expire` deletes what is too old and gives the time of the next, `swap` is asked under the store's lock."""

    def __init__(self, now: Callable[[], float], expire: Callable[[], float], swap: Swap) -> None:
        self._now = now
        self._expire = expire
        self._swap = swap
        self._due = math.inf
        self._jobs: deque[tuple[StreamFiles, int]] = deque()
        self._busy = False
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def compress(self, files: StreamFiles, base: int) -> None:
        """Orders a closed segment to be compressed."""
        with self._changed:
            self._jobs.append((files, base))
            self._wake()

    def by(self, due: float) -> None:
        """Sees to it that what is too old is deleted at `due` at the latest, in seconds since the epoch."""
        with self._changed:
            if due < self._due:
                self._due = due
                self._wake()

    def settle(self) -> None:
        """Returns when nothing is left to compress."""
        with self._changed:
            self._changed.wait_for(lambda: self._over.is_set() or not (self._jobs or self._busy))

    def close(self) -> None:
        """Ends the thread; what is half done is left as it was."""
        self._over.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _wake(self) -> None:
        if self._thread is None and not self._over.is_set():
            self._thread = threading.Thread(target=self._run, name="log upkeep", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while job := self._next():
            with contextlib.suppress(OSError):  # gone, or no room: it stays as it is until the next start
                self._compress(*job)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _next(self) -> tuple[StreamFiles, int] | None:
        """Rests until there is something to compress; None at the end."""
        while True:
            with self._changed:
                if self._over.is_set():
                    return None
                if self._due > self._now() and not self._jobs:
                    self._changed.wait(min(self._due - self._now(), LONGEST))
                    continue
                if self._due > self._now():
                    self._busy = True
                    return self._jobs.popleft()
                self._due = math.inf
            due = self._now() + LATER
            with contextlib.suppress(OSError):
                due = max(self._expire(), self._now() + SHORTEST)
            self.by(due)

    def _compress(self, files: StreamFiles, base: int) -> None:
        new = files.packed(base) + NEW
        source = open_plain(files.log(base))
        try:
            target = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
            try:
                whole = pack(source, target, self._breathe())
                os.fsync(target)  # else a power cut leaves an empty file and the plain one is gone
                _sync(files.index(base))
            finally:
                os.close(target)
            if whole and self._swap(files, base, new):
                os.unlink(files.log(base))
        finally:
            os.close(source)
            with contextlib.suppress(OSError):
                os.unlink(new)

    def _breathe(self) -> Callable[[], bool]:
        """Rests as long as the last piece took; false at the end."""
        last = time.monotonic()

        def breathe() -> bool:
            nonlocal last
            over = self._over.wait(time.monotonic() - last)
            last = time.monotonic()
            return not over

        return breathe


def _sync(path: str) -> None:
    """Has the system put a file on the disk, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
