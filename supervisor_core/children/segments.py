"""The log store in files: plain text segments, an index beside each, one writer, any number of readers.

The writer is one process, held by a lock on the folder. Its calls are synchronous and use no event loop, so that a
process without one can use it. Readers take the watermark first and then read files only.

Known wart: the lock is held over a whole move, so two threads that write wait for each other.
"""

import fcntl
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from ..errors import SupervisorError
from ..lines import FULL, Item, Line, Page, View, make_key, marks_stream, one_line, parse_key
from ..merge import Cost, Merged, merge
from .files import FILE_MODE, FOLDER_MODE, Folders, StreamFiles
from .index import Index, Vanished
from .reader import StreamReader
from .recovery import mend, newest_stamp
from .retention import Retention
from .stamps import Stamps
from .writer import MOVE, StreamLog

MIB = 1024 * 1024
_Result = TypeVar("_Result")


class SegmentStore:
    """Implements `LogSink` in the folder `root`. `now` in seconds since the epoch, sizes in bytes.

    Raises `SupervisorError` when another process writes there. Close it to let go of the folder.
    """

    def __init__(
        self,
        root: Path,
        *,
        now: Callable[[], float],
        segment: int = 16 * MIB,
        max_worker: int = 1024 * MIB,
        max_total: int = 10 * 1024 * MIB,
    ) -> None:
        root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._lock_fd = _take_lock(root)
        self._lock = threading.RLock()
        self._segment = segment
        self._stamps = Stamps(root / "watermark", now)
        self._folders = Folders(root)
        self._retention = Retention(max_worker, max_total)
        self._logs: dict[tuple[str, str], StreamLog] = {}
        self._watchers: dict[str, tuple[Callable[[], None], ...]] = {}
        known = self._folders.all()
        self._stamps.begin(newest_stamp(known))
        for files in known:
            self._log(files)

    # -- writing

    def open_stream(self, worker: str, stream: str, run: int) -> "RunStream":
        """Begins the output of a run, or goes on with it when it is the one that is open."""
        with self._lock:
            log = self._log(self._folders.open(worker, stream))
            log.enter(run)
        self._moved(worker)
        return RunStream(self._lock, log, run, self._moved)

    def note(self, worker: str, run: int, text: str) -> None:
        with self._lock:
            log = self._log(self._folders.open(worker, "log"))
            log.enter(run)
            log.append(one_line(text))
            log.rest()
        self._moved(worker)

    def close(self) -> None:
        """Lets go of the files and the folder. What was written stays readable."""
        with self._lock:
            for log in self._logs.values():
                log.rest()
            if self._lock_fd >= 0:
                self._stamps.close()
                os.close(self._lock_fd)
                self._lock_fd = -1

    def _log(self, files: StreamFiles) -> StreamLog:
        key = files.worker, files.stream
        log = self._logs.get(key)
        if log is None:
            log = self._logs[key] = StreamLog(files, self._stamps, self._segment, self._retention.sealed)
            mend(log, self._stamps)
            self._retention.know(files)
        return log

    def _moved(self, worker: str) -> None:
        for moved in self._watchers.get(worker, ()):
            moved()

    # -- reading

    def subscribe(self, workers: Sequence[str], moved: Callable[[], None]) -> Callable[[], None]:
        with self._lock:
            for worker in workers:
                self._watchers[worker] = (*self._watchers.get(worker, ()), moved)

        def leave() -> None:
            with self._lock:
                for worker in workers:
                    left = tuple(other for other in self._watchers.get(worker, ()) if other is not moved)
                    self._watchers[worker] = left
                    if not left:
                        del self._watchers[worker]

        return leave

    def after(self, view: View, key: str, limit: int) -> Page:
        stamp, offset = parse_key(key)
        return _again(lambda: self._after(view, stamp, offset, limit))

    def before(self, view: View, key: str, limit: int) -> Page:
        stamp, offset = parse_key(key)
        return _again(lambda: self._before(view, stamp, offset, limit))

    def tail(self, view: View, count: int) -> Page:
        return _again(lambda: self._tail(view, count))

    def at(self, view: View, time: float, limit: int) -> Page:
        watermark = self._stamps.written
        micros = int(time * 1e6)
        found = [s for files in self._streams(view) if (s := _since(files, micros)) is not None]
        return self.after(view, make_key(max(min(found, default=watermark + 1) - 1, 0), FULL), limit)

    def _after(self, view: View, stamp: int, offset: int, limit: int) -> Page:
        with _Reading(view, self._stamps.written, self._streams(view)) as reading:
            stamp, offset = min((stamp, offset), (reading.watermark, FULL))
            found = reading.merge((r.forward(stamp, offset) for r in reading.readers), limit)
            key = make_key(stamp, offset)
            if found.more:
                return reading.page(found.items, found.last or key, more=True)
            return reading.end(found.items, found.hid, key)

    def _before(self, view: View, stamp: int, offset: int, limit: int) -> Page:
        with _Reading(view, self._stamps.written, self._streams(view)) as reading:
            found = reading.merge((r.backward(stamp, offset) for r in reading.readers), limit, backward=True)
            items = found.items[::-1]
            key = make_key(stamp, offset)
            return reading.page(items, items[-1].key or key if items else key, first=found.last or key, more=found.more)

    def _tail(self, view: View, count: int) -> Page:
        with _Reading(view, self._stamps.written, self._streams(view)) as reading:
            found = reading.merge((r.backward(FULL, FULL) for r in reading.readers), count, backward=True)
            first = found.last or make_key(reading.watermark, FULL)
            return reading.end(found.items[::-1], found.hid, "", first=first, more=found.more)

    def _streams(self, view: View) -> list[StreamFiles]:
        return [
            files
            for worker in dict.fromkeys(view.workers)
            for files in self._folders.streams.get(worker, {}).values()
            if files.stream in view.streams
        ]


class RunStream:
    """One stream of one run: the `StreamWriter` of this store."""

    def __init__(self, lock: "threading.RLock", log: StreamLog, run: int, moved: Callable[[str], None]) -> None:
        self._lock = lock
        self._log = log
        self._run = run
        self._moved = moved
        self._worker = log.files.worker

    def move(self, fd: int, limit: int = MOVE) -> int:
        with self._lock:
            self._log.enter(self._run)
            count = self._log.move(fd, limit)
        if count:
            self._moved(self._worker)
        return count

    def append(self, data: bytes) -> None:
        with self._lock:
            self._log.enter(self._run)
            self._log.append(data)
        self._moved(self._worker)

    def end(self) -> None:
        with self._lock:
            if self._log.run == self._run:
                self._log.finish()
                self._log.rest()
        self._moved(self._worker)


class _Reading:
    """One call: the watermark that was taken first, then the streams."""

    def __init__(self, view: View, watermark: int, streams: Iterable[StreamFiles]) -> None:
        self.watermark = watermark
        self._view = view
        self._cost = Cost()
        self._streams = [files for files in streams if files.bases]
        marks = marks_stream(view.streams)
        self.readers = [StreamReader(f, watermark, self._cost, marks=f.stream == marks) for f in self._streams]

    def __enter__(self) -> "_Reading":
        return self

    def __exit__(self, *exc: object) -> None:
        for reader in self.readers:
            reader.release()

    def merge(self, sources: Iterable[Iterable[Item]], limit: int, *, backward: bool = False) -> Merged:
        return merge(list(sources), limit, self._view.match, self._cost, backward=backward)

    def end(self, items: list[Item], hid: bool, key: str, *, first: str | None = None, more: bool = False) -> Page:
        """A page that reaches the present."""
        found = [reader.open_line() for reader in self.readers]
        opened = tuple(line for line in found if line is not None)
        following = max(key, make_key(self.watermark, FULL))
        if items and not hid and not opened:
            following = items[-1].key or following
        return self.page(items, following, first=first, more=more, opened=opened, newest=following)

    def page(
        self,
        items: list[Item],
        following: str,
        *,
        first: str | None = None,
        more: bool = False,
        opened: tuple[Line, ...] = (),
        newest: str = "",
    ) -> Page:
        oldest = [make_key(files.first(files.bases[0])[0], files.bases[0]) for files in self._streams]
        last = max((min(files.last, self.watermark) for files in self._streams), default=0)
        return Page(
            items=tuple(items),
            next=following,
            first=first if first is not None else (items[0].key or following if items else following),
            oldest=min(oldest, default=""),
            newest=newest or (make_key(last, FULL) if last else ""),
            expired_bytes=sum(files.bases[0] for files in self._streams),
            open=opened,
            more=more,
        )


def _again(read: Callable[[], _Result]) -> _Result:
    """Reads again when retention deleted a segment in the midst of it."""
    for _ in range(100):
        try:
            return read()
        except Vanished:
            continue
    return read()


def _since(files: StreamFiles, time: int) -> int | None:
    """The stamp of the first record that is not older than `time`, in microseconds."""
    for n in range(len(files.bases) - 1, -1, -1):
        if n == 0 or files.first(files.bases[n])[1] < time:
            with Index(files.index(files.bases[n])) as index:
                i = index.find_time(time)
                if i < index.count:
                    return index.get(i).stamp
            return files.first(files.bases[n + 1])[0] if n + 1 < len(files.bases) else None
    return None


def _take_lock(root: Path) -> int:
    fd = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise SupervisorError(
            f"another process writes the logs in {root}; end it, or choose another state folder"
        ) from None
    return fd
