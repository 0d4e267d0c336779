"""The logs of a keeper for the service beside it: read from the files, written by messages.

Waiting costs the keeper one message a worker: who follows asks once to be told of something newer than what was read
(a watch), and asks again only by reading. So a reader that takes nothing is not told anything.

Known wart: a line of ours (`note`) can be read a moment after the call, not at once.
"""

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ..children.pages import Pages
from ..children.raw import RawBytes
from ..errors import SupervisorError
from ..followers import Followers
from ..lines import Histogram, Page, View
from .logfolders import KeptFolders

if TYPE_CHECKING:
    from ..declared import LogPolicy
    from .packing import Packing, Swap

Send = Callable[[dict[str, Any]], None]


class KeptLogs:
    """Implements `LogSink`, but opens no stream. `send` takes a message to the keeper, from any thread, at once.

    Who gets the keeper's messages calls `moved` and `reconnected`, and `close` at the end.
    """

    def __init__(self, root: str | os.PathLike[str], send: Send) -> None:
        self._root = os.fspath(root)
        self._send = send
        self._folders = KeptFolders(self._root)
        self._pages = Pages(self._folders, lambda: self._folders.words().watermark)
        self._lock = threading.Lock()
        self._followers = Followers(self._unwatch)
        self._watched: dict[str, int] = {}
        """Workers of which the keeper is to tell, each with the stamp that what it tells of is above."""
        self._packing: Packing | None = None

    def maintain(self, policy_of: "Callable[[str], LogPolicy]", swap: "Swap") -> None:
        """Compresses closed segments from now on, in a thread of its own.

        `swap(worker, stream, base, path)` asks the keeper to put a compressed one in its place, and waits; false when
        it did not.
        """
        from .packing import Packing  # not before it is needed: a short-lived reader has no thread

        self._packing = Packing(KeptFolders(self._root), policy_of, swap)

    def close(self) -> None:
        if self._packing is not None:
            self._packing.close()

    # -- writing

    def open_stream(self, worker: str, stream: str, run: int) -> NoReturn:
        raise SupervisorError(
            f"{worker}'s {stream} of run {run} cannot be written by this process; the keeper does that"
        )

    def note(self, worker: str, run: int, text: str) -> None:
        self._send({"t": "log", "worker": worker, "run": run, "text": text})

    # -- following

    def subscribe(self, workers: Sequence[str], moved: Callable[[], None]) -> Callable[[], None]:
        watermark = self._folders.words().watermark
        self._folders.of(dict.fromkeys(workers))
        leave = self._followers.add(workers, moved)
        self._watch(workers, watermark)
        return leave

    def _unwatch(self, worker: str) -> None:
        """Nobody follows it any more."""
        with self._lock:
            if self._watched.pop(worker, None) is not None:
                self._send({"t": "unwatch", "worker": worker})

    def moved(self, worker: str) -> None:
        """The keeper says that there is something new, which ends the watch."""
        with self._lock:
            self._watched.pop(worker, None)
        self._followers.tell(worker)

    def reconnected(self) -> None:
        """Another keeper writes now, which knows of no watch: all that follow read, and watch again with that."""
        self._folders.forget()
        with self._lock:
            self._watched.clear()
        for moved in self._followers.all():
            moved()

    def _watch(self, workers: Sequence[str], watermark: int) -> None:
        """Somebody has read all there was up to the watermark: sees to it that its followers are told of more.

        Each of them has either been told since it began to read, or has read all that its watch is not for.
        """
        told: dict[Callable[[], None], None] = {}
        with self._lock:
            for worker in workers:
                if not (followers := self._followers.of(worker)):
                    continue
                seen = self._watched.get(worker)
                if seen is None:
                    seen = self._watched[worker] = min(self._folders.newest(worker), watermark)
                    self._send({"t": "watch", "worker": worker, "seen": seen})
                elif seen > watermark:  # a later reader has asked for what is newer than it saw
                    told |= dict.fromkeys(followers)
        for moved in told:
            moved()

    # -- reading

    def after(self, view: View, key: str, limit: int) -> Page:
        return self._read(view, lambda: self._pages.after(view, key, limit))

    def at(self, view: View, time: float, limit: int) -> Page:
        return self._read(view, lambda: self._pages.at(view, time, limit))

    def tail(self, view: View, count: int) -> Page:
        return self._read(view, lambda: self._pages.tail(view, count), to_the_end=True)

    def _read(self, view: View, read: Callable[[], Page], *, to_the_end: bool = False) -> Page:
        """Reads, and watches what it has read all of; of what it has not, it need not be told."""
        if not self._followers:
            return read()
        watermark = self._folders.words().watermark
        page = read()
        if to_the_end or not page.more:
            self._watch(view.workers, watermark)
        return page

    def before(self, view: View, key: str, limit: int) -> Page:
        return self._pages.before(view, key, limit)

    def histogram(self, view: View, edges: Sequence[float]) -> Histogram:
        return self._pages.histogram(view, edges)

    def raw(self, worker: str, stream: str) -> RawBytes:
        return self._pages.raw(worker, stream)
