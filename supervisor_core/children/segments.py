"""The log store in files: plain text segments, an index beside each, one writer, any number of readers.

The writer is one process, held by a lock on the folder. Its calls are synchronous and use no event loop, so that a
process without one can use it. Readers (`pages.py`) take the watermark first and then read files only.

Known wart: the lock is held over a whole move, so two threads that write wait for each other.
"""

import contextlib
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..declared import MIB, Free, LogPolicy
from ..followers import Followers
from .files import StreamFiles
from .folders import Folders
from .lock import cannot_use, take_lock
from .recovery import mend, newest_stamp, tidy
from .retention import Retention, last_time
from .runstream import RunStream
from .stamps import Stamps
from .upkeep import LATER, Upkeep
from .writer import MOVE, StreamLog

if TYPE_CHECKING:
    from ..lines import Histogram, Page, View
    from .pages import Pages
    from .raw import RawBytes

PLAIN = 1
"""Closed segments of a stream that stay as they are: there `tail` and followers that lag read most."""


class SegmentStore:
    """Implements `LogSink` in the folder `root`. `now` in seconds since the epoch, sizes in bytes, `keep` in seconds.

    `own` are the policies of workers that have one of their own; the others have what the arguments say, or `policy`
    as a whole. `copy` is quicker and for a process with which its workers end: what was read and not yet written is
    lost with it. Without `maintain` there is no thread beside it: the caller calls `expire` when it is `due`, and
    somebody else compresses and calls `swap`. Raises `SupervisorError` when another process writes there, or when the
    folder cannot be used. Close it to let go of it.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        now: Callable[[], float],
        segment: int = 16 * MIB,
        max_worker: int = 1024 * MIB,
        max_total: int = 10 * 1024 * MIB,
        keep: float = math.inf,
        min_free: Free = Free(),  # noqa: B008 - frozen
        compress: bool = False,
        on_full: float = math.inf,
        own: Mapping[str, LogPolicy] = MappingProxyType({}),
        policy: LogPolicy | None = None,
        copy: bool = False,
        maintain: bool = True,
    ) -> None:
        self._buffer = memoryview(bytearray(MOVE)) if copy else None
        root = os.fspath(root)
        self._policy = policy or LogPolicy(max_worker, keep, segment, min_free, compress, on_full)
        self.due = math.inf
        """When `expire` is to be called, in seconds since the epoch. A new stream may bring it forward."""
        self.on_moved: Callable[[str], None] | None = None
        """Told of each worker that has something new, by the thread that wrote it. Must be quick."""
        self.on_trouble: Callable[[str, str, OSError | None], None] | None = None
        """Told of a worker's stream why it cannot be stored, and None once it can; by the thread that writes."""
        self._own = own
        self._now = now
        self._lock = threading.RLock()
        self._logs: dict[tuple[str, str], StreamLog] = {}
        self._followers = Followers()
        self._lock_fd = take_lock(root)
        try:
            self._stamps = Stamps(os.path.join(root, "watermark"), now)
            self._folders = Folders(root, self._stamps.changed)
        except OSError as error:
            os.close(self._lock_fd)
            raise cannot_use(root, error) from error
        self._retention = Retention(root, self._policy_of, max_total, now)
        self._upkeep = Upkeep(now, self.expire, self._swap) if maintain else None
        self._begin()

    def _begin(self) -> None:
        """Makes whole what an earlier process left, and deletes what is too much of it."""
        known = self._folders.all()
        for files in known:
            tidy(files)
        self._stamps.begin(newest_stamp(known))
        for files in known:
            self._log(files)
        self._retention.trim_all()
        self._by(self.expire())
        self._compress_closed()

    def configure(self, *, policy: LogPolicy, max_total: int, own: Mapping[str, LogPolicy]) -> None:
        """Other policies from now on; a run that goes on is as patient with a full disk as it was begun."""
        with self._lock:
            self._policy, self._own, self._retention.total = policy, own, max_total
            for log in self._logs.values():
                log.segment = self._policy_of(log.files.worker).segment
            with contextlib.suppress(OSError):  # what cannot be deleted just now is with the next closed segment
                self._retention.trim_all()
        self._by(self.expire())
        self._compress_closed()

    def _compress_closed(self) -> None:
        if self._upkeep is None:
            return
        for files in self._folders.all():
            if self._policy_of(files.worker).compress:
                for base in files.bases[: -1 - PLAIN]:
                    if os.path.exists(files.log(base)):
                        self._upkeep.compress(files, base)

    def _by(self, due: float) -> None:
        """Sees to it that what is too old is deleted at `due` at the latest."""
        self.due = min(self.due, due)
        if self._upkeep is not None:
            self._upkeep.by(due)

    def _policy_of(self, worker: str) -> LogPolicy:
        return self._own.get(worker, self._policy)

    # -- writing

    def open_stream(self, worker: str, stream: str, run: int) -> "RunStream":
        """Begins the output of a run, or goes on with it when it is the one that is open."""
        with self._lock:
            log = self._log(self._folders.open(worker, stream))
            log.enter(run)
        self._moved(worker)
        on_full = self._policy_of(worker).on_full

        def troubled(error: OSError | None) -> None:
            if self.on_trouble is not None:
                self.on_trouble(worker, stream, error)

        return RunStream(self._lock, log, run, self._moved, self._make_room, on_full, troubled)

    def note(self, worker: str, run: int, text: str) -> None:
        from ..lines import one_line  # see `_pages`

        with self._lock:
            log = self._log(self._folders.open(worker, "log"))
            log.enter(run)
            log.append(one_line(text))
            log.rest()
        self._moved(worker)

    def close(self) -> None:
        """Lets go of the files and the folder. What was written stays readable."""
        if self._upkeep is not None:
            self._upkeep.close()
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
            policy = self._policy_of(files.worker)
            log = self._logs[key] = StreamLog(files, self._stamps, policy.segment, self._sealed, self._buffer)
            if files.stream == "err":
                log.marks = self._log(self._folders.open(files.worker, "out"))
            mend(log, self._stamps)
            self._retention.know(files)
            self._by(self._now() + policy.keep)
        return log

    # -- what is kept

    def expire(self) -> float:
        """Deletes what is older than its worker's policy keeps; gives the time at which to call again.

        The last segment of a stream that rests is closed for it, so that it goes too. What cannot be deleted just now
        is tried again.
        """
        with self._lock:
            self.due = self._now() + LATER
            with contextlib.suppress(OSError):
                self.due = min(self._close_old(), self._retention.expire())
            return self.due

    def _close_old(self) -> float:
        now = self._now()
        soonest = math.inf
        for log in self._logs.values():
            keep = self._policy_of(log.files.worker).keep
            if keep == math.inf:
                continue
            due = now + keep
            if log.end > log.base and (due := last_time(log.files, log.base, self._retention.since) + keep) <= now:
                due = now + keep
                with contextlib.suppress(OSError):  # no room for a new one: it stays until there is
                    log.cut()
                    log.rest()
            soonest = min(soonest, due)
        return soonest

    def settle(self) -> None:
        """Returns when nothing is left to compress."""
        if self._upkeep is not None:
            self._upkeep.settle()

    def _sealed(self, files: StreamFiles, base: int) -> None:
        self._retention.sealed(files, base)
        if self._upkeep is not None and self._policy_of(files.worker).compress and len(files.bases) > 1 + PLAIN:
            self._upkeep.compress(files, files.bases[-2 - PLAIN])

    def swap(self, worker: str, stream: str, base: int, new: str) -> bool:
        """Puts a compressed segment that another process made in the place of the plain one, which it then deletes.

        False when the segment is not there any more, or is being written. Raises OSError.
        """
        files = self._folders.streams.get(worker, {}).get(stream)
        return files is not None and self._swap(files, base, new)

    def _swap(self, files: StreamFiles, base: int, new: str) -> bool:
        """Puts a compressed segment in the place of the plain one, unless it was deleted meanwhile."""
        with self._lock:
            if not self._retention.holds(files, base):
                return False
            os.rename(new, files.packed(base))
            self._retention.packed(files, base)
            return True

    def _make_room(self) -> bool:
        with self._lock:
            return self._retention.make_room()

    def _moved(self, worker: str) -> None:
        if self.on_moved is not None:
            self.on_moved(worker)
        self._followers.tell(worker)

    # -- reading

    @cached_property
    def _pages(self) -> "Pages":
        from .pages import Pages  # a process that only writes needs none of it

        return Pages(self._folders, lambda: self._stamps.written)

    def news(self, worker: str) -> int:
        """The newest stamp of a worker's streams; 0 when there is none."""
        return max((files.last for files in self._folders.streams.get(worker, {}).values()), default=0)

    def subscribe(self, workers: Sequence[str], moved: Callable[[], None]) -> Callable[[], None]:
        return self._followers.add(workers, moved)

    def after(self, view: "View", key: str, limit: int) -> "Page":
        return self._pages.after(view, key, limit)

    def before(self, view: "View", key: str, limit: int) -> "Page":
        return self._pages.before(view, key, limit)

    def tail(self, view: "View", count: int) -> "Page":
        return self._pages.tail(view, count)

    def at(self, view: "View", time: float, limit: int) -> "Page":
        return self._pages.at(view, time, limit)

    def histogram(self, view: "View", edges: Sequence[float]) -> "Histogram":
        return self._pages.histogram(view, edges)

    def raw(self, worker: str, stream: str) -> "RawBytes":
        return self._pages.raw(worker, stream)
