"""Mends the end of each stream when the writer starts: torn records, bytes without a record, a lost index.

First every stream's last stamp is read, then repairs get fresh stamps above all of them: never one below a stamp that
a reader may have seen. Bytes are never changed.
"""

import contextlib
import os
import stat
from collections.abc import Iterable

from .files import FILE_MODE, NEW, StreamFiles
from .index import CHUNK, END, ESTIMATED, REBUILT, SIZE, Index, Record, whole
from .stamps import Stamps
from .writer import MOVE, StreamLog


def tidy(files: StreamFiles) -> None:
    """Ends what was cut off while a segment was being compressed: of two copies the fuller one stays."""
    names = set(os.listdir(files.folder))
    for name in names:
        if name.endswith(NEW):
            _remove(os.path.join(files.folder, name))
    for base in files.bases if any(name.endswith(".gz") for name in names) else ():
        if {os.path.basename(files.packed(base)), os.path.basename(files.log(base))} <= names:
            _remove(files.packed(base) if is_less(files, base) else files.log(base))


def is_less(files: StreamFiles, base: int) -> bool:
    """Whether the compressed copy holds less than the plain one."""
    try:
        plain = files.plain_size(base)
    except OSError:
        return False
    with contextlib.suppress(OSError):
        return files.packed_size(base) < plain
    return True


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def newest_stamp(streams: Iterable[StreamFiles]) -> int:
    """The greatest stamp in any index."""
    newest = 0
    for files in streams:
        for path in (*map(files.index, reversed(files.bases)), files.expired):
            with Index(path) as index:
                last = index.last_whole()
            if last is not None:
                newest = max(newest, last.stamp)
                break
    return newest


def mend(log: StreamLog, stamps: Stamps) -> None:
    """Makes the files of one stream whole and sets where its writer goes on."""
    files = log.files
    if not files.bases:
        return
    base = files.bases[-1]
    with Index(files.index(base)) as index:
        count = _last_whole(index)
        last = index.get(count - 1) if count else None
    size = _size(files, base)
    if last is None:
        run, end, fresh = _run_before(files, len(files.bases) - 1), base, []
        if size:
            fresh = [_stamped(stamps, Record(0, 0, base, size, REBUILT, ESTIMATED))]
    else:
        run, end, fresh = last.run, last.end, []
        if last.kind == END and size > end - base:
            run = 0  # the first bytes of the run after it, which nobody can tell
    for stop in _pieces(end, base + size):
        fresh.append(_stamped(stamps, Record(0, 0, stop, run, CHUNK, ESTIMATED)))
    _write(files, base, count, fresh)
    if fresh:
        stamps.raise_to(fresh[-1].stamp)
    log.base, log.records = base, count + len(fresh)
    log.end = max(end, base + size)
    log.torn = base + size < end
    log.run = run
    log.ended = run == 0 or (last is not None and last.kind == END and not fresh)
    files.last = fresh[-1].stamp if fresh else (last.stamp if last else _stamp_before(files, len(files.bases) - 1))
    _rebuild_sealed(files, stamps)


def _rebuild_sealed(files: StreamFiles, stamps: Stamps) -> None:
    """Sealed segments whose index is gone: each gets stamps just below those behind it, which keeps the order.

    Those behind which no record stands get fresh ones.
    """
    lost = [n for n, base in enumerate(files.bases[:-1]) if _lacks_index(files, base)]
    newest = [n for n in lost if _first_behind(files, n) is None]
    for n in newest:
        given = [_stamped(stamps, record) for record in _rebuilt(files, n)]
        _write(files, files.bases[n], 0, given)
        files.last = given[-1].stamp
        stamps.raise_to(files.last)
    for n in reversed(lost):
        following = _first_behind(files, n)
        if n not in newest and following is not None and _size(files, files.bases[n]):
            _rebuild_before(files, n, following)


def _first_behind(files: StreamFiles, n: int) -> Record | None:
    """The first record behind segment n, its stamp below those of damaged ones before it; None when there is none."""
    for base in files.bases[n + 1 :]:
        with Index(files.index(base)) as index:
            for i in range(index.count):
                if record := index.get_whole(i):
                    return record._replace(stamp=record.stamp - i)
    return None


def _rebuild_before(files: StreamFiles, n: int, following: Record) -> None:
    """Segment n gets as many records as there is room for."""
    first, *others = _rebuilt(files, n)
    room = max(following.stamp - _stamp_before(files, n) - 1, 1)
    records = [first, *others[-max(room - 1, 1) :]]
    begin = max(following.stamp - len(records), 0)
    given = [record._replace(stamp=begin + i, time=following.time) for i, record in enumerate(records)]
    _write(files, files.bases[n], 0, given)


def _rebuilt(files: StreamFiles, n: int) -> list[Record]:
    """What stands in an index that was lost, without stamps and times; where the bytes are, too, it names the hole."""
    base, size, run, following = files.bases[n], _size(files, files.bases[n]), _run_before(files, n), files.bases[n + 1]
    if not size:
        return [Record(0, 0, following, run, CHUNK, ESTIMATED)]
    first = Record(0, 0, base, following - base, REBUILT, ESTIMATED)
    return [first, *(Record(0, 0, stop, run, CHUNK, ESTIMATED) for stop in _pieces(base, base + size))]


def _pieces(start: int, end: int) -> list[int]:
    return [*range(start + MOVE, end, MOVE), end] if end > start else []


def _stamped(stamps: Stamps, record: Record) -> Record:
    stamp, time = stamps.issue()
    return record._replace(stamp=stamp, time=time)


def _write(files: StreamFiles, base: int, count: int, records: list[Record]) -> None:
    """Cuts the index to `count` records and appends."""
    path = files.index(base)
    if not records and os.path.exists(path) and os.path.getsize(path) == count * SIZE:
        return
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        os.ftruncate(fd, count * SIZE)
        os.pwrite(fd, b"".join(record.pack() for record in records), count * SIZE)
    finally:
        os.close(fd)
    files.forget(base)


def _last_whole(index: Index) -> int:
    """How many records stand before the first torn one at the end."""
    count = index.count
    while count and not whole(index.raw(count - 1, 1)):
        count -= 1
    return count


def _size(files: StreamFiles, base: int) -> int:
    """Raw bytes of a segment; 0 where they cannot be read."""
    for size in (files.plain_size, files.packed_size):
        with contextlib.suppress(OSError):
            return size(base)
    return 0


def _lacks_index(files: StreamFiles, base: int) -> bool:
    try:
        about = os.lstat(files.index(base))
    except OSError:
        return True
    return about.st_size < SIZE or not stat.S_ISREG(about.st_mode)


def _record_before(files: StreamFiles, n: int) -> Record | None:
    """The last record before segment n."""
    while n > 0:
        n -= 1
        with Index(files.index(files.bases[n])) as index:
            if record := index.last_whole():
                return record
    return None


def _stamp_before(files: StreamFiles, n: int) -> int:
    record = _record_before(files, n)
    if record is None:
        with Index(files.expired) as index:
            record = index.last_whole()
    return record.stamp if record else 0


def _run_before(files: StreamFiles, n: int) -> int:
    record = _record_before(files, n)
    return record.run if record and record.kind != REBUILT else 0
