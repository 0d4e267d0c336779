"""The one order of all log records of the host, and the watermark that makes it safe to read.

A stamp is max(last + 1, wall clock in nanoseconds): order only. The watermark is raised after a record is written, so
a reader that takes it first and shows nothing above it never misses a record of another stream.

Beside it a second word counts changes to which files there are, so that a reader in another process need not look at
folders in which nothing came or went.
"""

import mmap
import os
import struct
from collections.abc import Callable
from typing import NamedTuple

_WORDS = struct.Struct("=QQ")


class Words(NamedTuple):
    """What the file says: everything up to the stamp `watermark` is written, and so often files came or went."""

    watermark: int
    changes: int


NOTHING = Words(0, 0)


class Stamps:
    """Issues stamps; owned by the one writer, who calls it under its lock. `now` in seconds since the epoch."""

    def __init__(self, path: str, now: Callable[[], float]) -> None:
        self._path = path
        self._open()
        self._now = now
        self.written = self._words[0]
        self.issued = self.written
        """The stamp that was given last."""

    def _open(self) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            if os.fstat(fd).st_size < _WORDS.size:
                os.ftruncate(fd, _WORDS.size)
            self._map = mmap.mmap(fd, _WORDS.size)
            self._file = os.fstat(fd).st_ino
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("Q")  # a store through it is one 8-byte move: no reader sees half

    def begin(self, seen: int) -> None:
        """Starts above every stamp that was ever written.

        A writer that was killed may have written that, or made a file, and not have said so.
        """
        self._words[1] += 1
        self.issued = max(self.issued, seen)
        self.raise_to(self.issued)

    def changed(self) -> None:
        """Says that files came or are about to go. Where somebody took this file away it is made anew."""
        try:
            stands = os.stat(self._path, follow_symlinks=False).st_ino == self._file
        except OSError:
            stands = False
        if not stands:
            changes = self._words[1]
            self.close()
            self._open()
            self._words[0], self._words[1] = self.written, changes
        self._words[1] += 1

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
        self._words[0] = stamp

    def close(self) -> None:
        self._words.release()
        self._map.close()


def read_words(path: str) -> Words:
    """The words as another process sees them, both of one moment; noughts when there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return NOTHING
    try:
        before, data = b"", os.pread(fd, _WORDS.size, 0)
        while data != before:  # a copy may be half of before and half of after; two of the same are whole
            before, data = data, os.pread(fd, _WORDS.size, 0)
    finally:
        os.close(fd)
    return Words._make(_WORDS.unpack(data)) if len(data) == _WORDS.size else NOTHING
