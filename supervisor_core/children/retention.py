"""Deletes the oldest closed segments: past a size, past an age, and while the disk has too little room.

Before a segment goes, a record of its end is written to the stream's `expired.idx`: from it a reader that comes back
learns how much it missed. In the place of the run it holds how long the last line was. The segment that is being
written is never deleted.

Known wart: a file system that frees space late is asked again at the next closed segment, and more goes than need be.
"""

import contextlib
import errno
import math
import os
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .files import FILE_MODE, StreamFiles
from .index import CHUNK, SIZE, Index, Record

if TYPE_CHECKING:
    from ..declared import LogPolicy

OPEN = 4
"""Flag of a deleted segment: its last line went on in the next one."""

LOOK = 64 * 1024
"""Bytes in which the start of a segment's last line is looked for; behind a longer one a gap may be told twice."""

ERA = 1_735_689_600.0
"""The year 2025, in seconds since the epoch."""


class Retention:
    """What is kept of each worker, by its policy, and of all together. Called by the writer under its lock.

    Sizes in bytes, indexes included, compressed ones as they are; times in seconds since the epoch.
    """

    def __init__(self, root: str, policy: "Callable[[str], LogPolicy]", total: int, now: Callable[[], float]) -> None:
        self._root = root
        self._policy = policy
        self.total = total
        self._now = now
        self.since = now()
        """When this process began to look."""
        self._sealed: dict[StreamFiles, deque[tuple[int, int]]] = {}
        self._of_worker: dict[str, int] = {}
        self._sum = 0
        self._oldest: dict[StreamFiles, tuple[int, float]] = {}
        """Of the oldest segment of a stream: its base, and the time of its last record."""

    def know(self, files: StreamFiles) -> None:
        """Counts what an earlier process left, and ends a deletion that it had begun."""
        for base in files.bases[:-1]:
            self._add(files, base)
        gone = _last(files)
        while gone is not None and len(files.bases) > 1 and files.bases[1] <= gone.end:
            self._delete(files)

    def sealed(self, files: StreamFiles, base: int) -> None:
        """A segment was closed: counts it, and deletes what is too much."""
        self._add(files, base)
        self.trim(files.worker)
        self.make_room()

    def packed(self, files: StreamFiles, base: int) -> None:
        """A segment has another size now."""
        for i, (known, size) in enumerate(self._sealed.get(files, ())):
            if known == base:
                new = _size(files, base)
                self._sealed[files][i] = base, new
                self._count(files.worker, new - size)

    def trim_all(self) -> None:
        for worker in list(self._of_worker):
            self.trim(worker)
        self.make_room()

    def trim(self, worker: str) -> None:
        limit = self._policy(worker).max_worker
        while self._of_worker.get(worker, 0) > limit:
            if not self._delete_oldest(files for files in self._sealed if files.worker == worker):
                break
        while self._sum > self.total and self._delete_oldest(self._sealed):
            pass

    def make_room(self) -> bool:
        """Deletes the oldest while less is free than their policies want; says whether anything went."""
        try:
            disk = os.statvfs(self._root)
        except OSError:
            return False
        free, all = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        went = 0
        while gone := self._delete_oldest(
            f for f in self._sealed if free + went < self._policy(f.worker).min_free.of(all)
        ):
            went += gone
        return went > 0

    def expire(self) -> float:
        """Deletes what is too old; gives the time at which the next one will be, infinity when there is none."""
        soonest = math.inf
        for files in list(self._sealed):
            keep = self._policy(files.worker).keep
            while files in self._sealed:
                due = self._age(files) + keep
                if due > self._now():
                    soonest = min(soonest, due)
                    break
                self._delete(files)
        return soonest

    def holds(self, files: StreamFiles, base: int) -> bool:
        """Whether it is a closed segment that is still there."""
        return any(known == base for known, _ in self._sealed.get(files, ()))

    def _delete_oldest(self, candidates: Iterable[StreamFiles]) -> int:
        """Deletes the oldest segment of these streams; gives its bytes, 0 when nothing is left to delete."""
        files = min(candidates, key=_first_stamp, default=None)
        return self._delete(files) if files else 0

    def _age(self, files: StreamFiles) -> float:
        """The time of the last record of a stream's oldest segment."""
        base = self._sealed[files][0][0]
        known = self._oldest.get(files)
        if known is None or known[0] != base:
            known = self._oldest[files] = base, last_time(files, base, self.since)
        return known[1]

    def _add(self, files: StreamFiles, base: int) -> None:
        size = _size(files, base)
        self._sealed.setdefault(files, deque()).append((base, size))
        self._count(files.worker, size)

    def _count(self, worker: str, size: int) -> None:
        self._of_worker[worker] = self._of_worker.get(worker, 0) + size
        self._sum += size

    def _delete(self, files: StreamFiles) -> int:
        """Deletes the oldest segment of a stream; gives its bytes, one at least."""
        sealed = self._sealed[files]
        base, size = sealed[0]
        bury(files, base)
        sealed.popleft()
        if not sealed:
            del self._sealed[files]
        self._oldest.pop(files, None)
        self._count(files.worker, -size)
        files.gone(base)
        _remove(files, base)
        return max(size, 1)


def _first_stamp(files: StreamFiles) -> int:
    return files.first(files.bases[0])[0]


def _size(files: StreamFiles, base: int) -> int:
    """Bytes of a segment; a plain file beside the compressed one is on its way out."""
    packed = _length(files.packed(base))
    return (packed or _length(files.log(base))) + _length(files.index(base))


def _length(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def last_time(files: StreamFiles, base: int, since: float) -> float:
    """When the last record of a segment was written; when its index was, where that tells nothing.

    A clock that was behind is not believed: a record is as young as those that it stands behind, and nothing was
    written before this program was; then it counts as of `since`.
    """
    with Index(files.index(base)) as index:
        last = index.last_whole()
    told = 0.0
    if last is not None:
        told = max(last.time / 1e6, last.stamp / 1e9)
    else:
        for path in (files.index(base), files.log(base), files.packed(base)):
            with contextlib.suppress(OSError):
                told = os.lstat(path).st_mtime
                break
    return since if told < ERA <= since else told


def _remove(files: StreamFiles, base: int) -> None:
    for path in (files.index(base), files.log(base), files.packed(base)):
        with contextlib.suppress(OSError):  # gone, or something that is not ours stands there
            os.unlink(path)


def bury(files: StreamFiles, base: int) -> None:
    """Writes down that a segment is gone; done before it is, unless only its own bytes can make the room for that."""
    end = files.bases[files.bases.index(base) + 1]
    before = _last(files)
    if before is not None and before.end >= end:
        return
    with Index(files.index(base)) as index:
        last = index.last_whole()
    stamp = last.stamp if last else max(files.first(end)[0] - 1, before.stamp if before else 0)
    length, flags = _last_line(files, base, end)
    record = Record(stamp, last.time if last else 0, end, length, CHUNK, flags)
    try:
        _write_down(files, record)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        files.gone(base)
        _remove(files, base)
        with contextlib.suppress(OSError):  # freed late: then only how much is gone is known
            _write_down(files, record)


def _write_down(files: StreamFiles, record: Record) -> None:
    fd = os.open(files.expired, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        os.pwrite(fd, record.pack(), os.fstat(fd).st_size // SIZE * SIZE)
    finally:
        os.close(fd)


def _last_line(files: StreamFiles, base: int, end: int) -> tuple[int, int]:
    """Bytes of the line with which a segment ends, as far as it is looked for; and whether it goes on, as a flag."""
    data = files.read(max(base, end - LOOK), end)
    flags = 0 if data.endswith(b"\n") else OPEN
    return len(data) - 1 - data.rfind(b"\n", 0, None if flags else -1), flags


def _last(files: StreamFiles) -> Record | None:
    with Index(files.expired) as index:
        return index.last_whole()


def missed(files: StreamFiles, stamp: int, offset: int) -> tuple[str, int, int] | None:
    """What a reader that had read up to (stamp, offset) missed: (key, start, end) of deleted bytes, None for nothing.

    `start` is the beginning of the segment in which it was, or of a line whose end is still there. It may have stopped
    in the midst of a segment's last chunk, so what counts is whether the last line was read.
    """
    with Index(files.expired) as index:
        last = index.last_whole()
        if last is None:
            return None
        if not _unread(last, stamp, offset):
            told = (stamp, offset) == (last.stamp, last.end) or not last.flags & OPEN
            first = files.first(last.end)[0] if not told and last.end in files.bases else 0
            return (f"{first:016x}{0:016x}", last.end - last.run, last.end) if first > stamp else None
        start = 0
        for record in index.whole():
            if _unread(record, stamp, offset):
                break
            start = record.end - record.run if record.flags & OPEN else record.end
        return f"{last.stamp:016x}{last.end:016x}", min(start, last.end), last.end


def _unread(gone: Record, stamp: int, offset: int) -> bool:
    return (gone.stamp, gone.end - gone.run) > (stamp, offset)
