"""The log folders that the keeper writes, as another process finds them. Makes and changes nothing.

What there is is brought up to date by a call, for the workers that are asked for: not at all when the two words of the
watermark file are what they were; by a look at the end of each stream's newest index when only the watermark moved; and
by the folders' times of change when files came or went.

Known wart: a folder whose time of change is younger than `RACY` is listed each time, since it may change once more
without that being seen.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ..children.files import StreamFiles
from ..children.folders import STREAM, name_of
from ..children.index import Index
from ..children.packed import Unpacker
from ..children.stamps import NOTHING, Words, read_words

RACY = 20_000_000
"""Nanoseconds: two ticks of a kernel that has a hundred a second, since it dates changes by its ticks."""

_NEVER = -1
_ID = re.compile(r"[0-9a-f]+\Z")


class Listing:
    """One folder, listed anew only when something in it may have changed."""

    __slots__ = ("_seen", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None

    def names(self, *, sure: bool = False) -> list[str] | None:
        """What is in it, nothing when it is not there; None when that is what it was. `sure`: lists in any case."""
        now = time.clock_gettime_ns(time.CLOCK_REALTIME)
        try:
            about = os.stat(self.path)
            seen = about.st_ino, about.st_mtime_ns
            if seen == self._seen and not sure:
                return None
            names = os.listdir(self.path)
        except OSError:
            self._seen = None
            return []
        self._seen = seen if about.st_mtime_ns < now - RACY else None
        return names


class KeptFiles(StreamFiles):
    """One stream that another process writes. `refresh` and `look` are called by any thread."""

    def __init__(self, folder: str, worker: str, unpacker: Unpacker, words: Callable[[], Words]) -> None:
        super().__init__(folder, worker, unpacker)
        self._listing = Listing(folder)
        self._lock = threading.Lock()
        self._words = words
        self._changes = _NEVER
        self._newest: tuple[int, ...] = ()

    def refresh(self, changes: int) -> None:
        """Brings `bases` and `last` up to date. `changes`: as the watermark file said before."""
        with self._lock:
            self._list(changes)
            if self.bases:
                self._find_last(self.bases)

    def look(self, *, sure: bool = False) -> None:
        changes = self._words().changes
        if sure or changes != self._changes:
            with self._lock:
                self._list(changes, sure=sure)

    def _list(self, changes: int, *, sure: bool = False) -> None:
        if changes == self._changes and not sure:
            return
        if names := self._listing.names(sure=sure):
            self._take_over(names)
        self._changes = changes

    def _take_over(self, names: list[str]) -> None:
        found = self.bases_of(names)
        with Index(self.expired) as index:
            gone = index.last_whole()
        while gone is not None and len(found) > 1 and found[1] <= gone.end:
            found = found[1:]  # it is being deleted just now
        before = self.bases
        if found and found != before:
            self._find_last(found)  # first, since what stands in for missing records gets stamps by it
            self.bases = found
            for base in before:
                if base < found[0]:
                    self.open_line = 0, None
                    self.forget(base)

    def _find_last(self, bases: tuple[int, ...]) -> None:
        """Reads the newest record, unless the newest index is what it was."""
        try:
            about = os.stat(self.index(bases[-1]))
            newest = bases[-1], about.st_ino, about.st_size, about.st_mtime_ns
        except OSError:
            newest = bases[-1], 0, 0, 0
        if newest == self._newest:
            return
        for path in (*map(self.index, reversed(bases)), self.expired):
            with Index(path) as index:
                record = index.last_whole()
            if record is not None:
                self.last = max(self.last, record.stamp)
                break
        self._newest = newest


class KeptFolders:
    """See `pages.Tree`. Safe to call from any thread."""

    def __init__(self, root: str) -> None:
        self._path = os.path.join(root, "watermark")
        self._root = root
        self._lock = threading.Lock()
        self._unpacker = Unpacker()
        self.forget()

    def words(self) -> Words:
        """What the writer says now."""
        return read_words(self._path)

    def forget(self) -> None:
        """Finds everything anew with the next call: another process writes from now on."""
        with self._lock:
            self._by_id = Listing(os.path.join(self._root, "by-id"))
            self._changes = _NEVER
            self._named: set[str] = set()
            self._workers: dict[str, _Worker] = {}

    def of(self, workers: Iterable[str]) -> list[StreamFiles]:
        words = self.words()
        found: list[StreamFiles] = []
        with self._lock:
            if words.changes != self._changes:
                self._find_workers()
                self._changes = words.changes
            for worker in workers:
                if (known := self._workers.get(worker)) is not None:
                    found += known.of(words)
        return found

    def all(self) -> list[StreamFiles]:
        """The streams of all workers."""
        self.of(())
        return self.of(list(self._workers))

    def newest(self, worker: str) -> int:
        """The newest stamp of a worker's streams, as of the last call for it; 0 for none."""
        known = self._workers.get(worker)
        return 0 if known is None else max((files.last for files in known.streams), default=0)

    def _find_workers(self) -> None:
        """A folder without a name gets it soon, and then the writer says that something changed."""
        for name in sorted(self._by_id.names(sure=True) or ()):
            if name not in self._named and _ID.match(name):
                place = os.path.join(self._by_id.path, name)
                if (worker := name_of(place)) is not None:
                    self._named.add(name)
                    self._workers.setdefault(worker, _Worker(place, worker, self._unpacker, self.words))


class _Worker:
    """The streams of one worker. Called under the lock of the tree."""

    def __init__(self, place: str, worker: str, unpacker: Unpacker, words: Callable[[], Words]) -> None:
        self.streams: list[KeptFiles] = []
        self._listing = Listing(place)
        self._at = NOTHING
        self._make = partial(KeptFiles, worker=worker, unpacker=unpacker, words=words)

    def of(self, words: Words) -> list[KeptFiles]:
        if words != self._at:
            if words.changes != self._at.changes:
                self.streams = [*self.streams, *self._new()]
            for files in self.streams:
                files.refresh(words.changes)
            self._at = words
        return self.streams

    def _new(self) -> Iterator[KeptFiles]:
        known = {files.stream for files in self.streams}
        for name in sorted(self._listing.names() or ()):
            if name not in known and STREAM.match(name):
                folder = os.path.join(self._listing.path, name)
                if os.path.isdir(folder):
                    yield self._make(folder)
