"""The one order of all log records of the host, and the watermark that makes it safe to read.

A stamp is max(last + 1, wall clock in nanoseconds): order only. The watermark is raised after a record is written, so
a reader that takes it first and shows nothing above it never misses a record of another stream.
"""

import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path

_WORD = struct.Struct("=Q")


class Stamps:
    """Issues stamps; owned by the one writer, who calls it under its lock. `now` in seconds since the epoch."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            if os.fstat(fd).st_size < _WORD.size:
                os.ftruncate(fd, _WORD.size)
            self._map = mmap.mmap(fd, _WORD.size)
        finally:
            os.close(fd)
        self._word = memoryview(self._map).cast("Q")  # a store through it is one 8-byte move: no reader sees half
        self._now = now
        self.written = self._word[0]
        self.issued = self.written
        """The stamp that was given last."""

    def begin(self, seen: int) -> None:
        """Starts above every stamp that was ever written."""
        self.issued = max(self.issued, seen)
        self.written = self.issued

    def issue(self) -> tuple[int, int]:
        """Gives a stamp and the time in microseconds."""
        now = self._now()
        self.issued = max(self.issued + 1, int(now * 1e9))
        return self.issued, int(now * 1e6)

    def time(self) -> int:
        """The time in microseconds."""
        return int(self._now() * 1e6)

    def raise_to(self, stamp: int) -> None:
        """Says that every record up to `stamp` is written."""
        self.written = stamp
        self._word[0] = stamp

    def close(self) -> None:
        self._word.release()
        self._map.close()


def read_watermark(path: Path) -> int:
    """The watermark as another process sees it; 0 when there is none yet."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return 0
    return int(_WORD.unpack(data)[0]) if len(data) == _WORD.size else 0
