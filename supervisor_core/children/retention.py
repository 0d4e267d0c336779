"""Deletes the oldest segments when a worker, or all of them, hold too many bytes; says what is gone.

Before a segment goes, a record of its end is written to the stream's `expired.idx`: from it a reader that comes back
learns how much it missed. The segment that is being written is never deleted.
"""

import contextlib
import os
from bisect import bisect_right

from .files import FILE_MODE, StreamFiles
from .index import CHUNK, SIZE, Index, Record


class Retention:
    """Limits in bytes, indexes included. Called by the writer under its lock."""

    def __init__(self, per_worker: int, total: int) -> None:
        self._per_worker = per_worker
        self._total = total
        self._sealed: dict[StreamFiles, list[tuple[int, int]]] = {}
        self._of_worker: dict[str, int] = {}
        self._sum = 0

    def know(self, files: StreamFiles) -> None:
        """Counts what an earlier process left, and ends a deletion that it had begun."""
        for base in files.bases[:-1]:
            self._add(files, base)
        gone = _last(files)
        while gone is not None and len(files.bases) > 1 and files.bases[1] <= gone.end:
            self._delete(files)

    def sealed(self, files: StreamFiles, base: int) -> None:
        """A segment was cut: counts it, and deletes what is too much."""
        self._add(files, base)
        self.trim(files.worker)

    def trim(self, worker: str) -> None:
        while self._of_worker.get(worker, 0) > self._per_worker:
            self._delete(min((f for f in self._sealed if f.worker == worker), key=self._age))
        while self._sum > self._total:
            self._delete(min(self._sealed, key=self._age))

    def _age(self, files: StreamFiles) -> int:
        return files.first(files.bases[0])[0]

    def _add(self, files: StreamFiles, base: int) -> None:
        size = 0
        for path in (files.log(base), files.index(base)):
            with contextlib.suppress(FileNotFoundError):
                size += os.path.getsize(path)
        self._sealed.setdefault(files, []).append((base, size))
        self._of_worker[files.worker] = self._of_worker.get(files.worker, 0) + size
        self._sum += size

    def _delete(self, files: StreamFiles) -> None:
        """Deletes the oldest segment of a stream."""
        sealed = self._sealed[files]
        base, size = sealed.pop(0)
        if not sealed:
            del self._sealed[files]
        self._of_worker[files.worker] -= size
        self._sum -= size
        bury(files, base)
        files.bases = tuple(b for b in files.bases if b > base)
        files.forget(base)
        for path in (files.index(base), files.log(base)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def bury(files: StreamFiles, base: int) -> None:
    """Writes down that a segment is gone; done before it is."""
    end = files.bases[files.bases.index(base) + 1]
    before = _last(files)
    if before is not None and before.end >= end:
        return
    with Index(files.index(base)) as index:
        last = index.get(index.count - 1) if index.count else None
    stamp = last.stamp if last else files.first(end)[0] - 1
    record = Record(stamp, last.time if last else 0, end, last.run if last else 0, CHUNK)
    fd = os.open(files.expired, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        os.pwrite(fd, record.pack(), os.fstat(fd).st_size // SIZE * SIZE)
    finally:
        os.close(fd)


def _last(files: StreamFiles) -> Record | None:
    with Index(files.expired) as index:
        return index.get(index.count - 1) if index.count else None


def missed(files: StreamFiles, stamp: int) -> tuple[int, int, int] | None:
    """What a reader that had read up to `stamp` missed: (stamp, start, end) of the deleted bytes, None for nothing.

    `start` is the beginning of the segment in which it was.
    """
    with Index(files.expired) as index:
        if not index.count:
            return None
        last = index.get(index.count - 1)
        if last.stamp <= stamp:
            return None
        i = bisect_right(range(index.count), stamp, key=lambda k: index.get(k).stamp)
        return last.stamp, index.get(i - 1).end if i else 0, last.end
