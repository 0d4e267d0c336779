"""A log store in memory, for an embedding program and for tests: as the store in files answers, from its last lines."""

import errno
import os
import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

from .followers import Followers
from .lines import (
    FULL,
    Histogram,
    Item,
    NotKept,
    Page,
    RunMark,
    View,
    make_key,
    one_line,
    parse_key,
)
from .merge import Cost, merge
from .ring import Open, Ring

CHUNK = 256 * 1024


class MemoryStore:
    """Holds the last `lines` items and about the last `size` bytes of each worker. `now` is the clock."""

    def __init__(self, now: Callable[[], float], *, lines: int = 10_000, size: int = 4 * 1024 * 1024) -> None:
        self.now = now
        self._lines = lines
        self._size = size
        self.lock = threading.RLock()
        self._stamp = 0
        self._rings: dict[str, Ring] = {}
        self._followers = Followers()

    def open_stream(self, worker: str, stream: str, run: int) -> "MemoryStream":
        with self.lock:
            writer = MemoryStream(self, worker, stream, run)
            writer.begin()
        return writer

    def note(self, worker: str, run: int, text: str) -> None:
        with self.lock:
            MemoryStream(self, worker, "log", run).append(one_line(text))

    def after(self, view: View, key: str, limit: int) -> Page:
        parse_key(key)
        with self.lock:
            key = min(key, make_key(self._stamp, FULL))
            rings = self._of(view)
            found = merge([r.forward(key, view.streams) for r in rings], limit, view.match, Cost())
            if found.more:
                return self._page(rings, view, found.items, found.last or key, more=True)
            return self._page(rings, view, found.items, self._end(found.items, found.hid, key), reached=True)

    def tail(self, view: View, count: int) -> Page:
        with self.lock:
            rings = self._of(view)
            found = merge([r.backward("g", view.streams) for r in rings], count, view.match, Cost(), backward=True)
            items = found.items[::-1]
            first = found.last or make_key(self._stamp, FULL)
            following = self._end(items, found.hid or not items, "")
            return self._page(rings, view, items, following, first=first, more=found.more, reached=True)

    def before(self, view: View, key: str, limit: int) -> Page:
        parse_key(key)
        with self.lock:
            rings = self._of(view)
            found = merge([r.backward(key, view.streams) for r in rings], limit, view.match, Cost(), backward=True)
            items = found.items[::-1]
            following = (items[-1].key or key) if items else key
            return self._page(rings, view, items, following, first=found.last or key, more=found.more)

    def at(self, view: View, time: float, limit: int) -> Page:
        with self.lock:
            keys = [key for ring in self._of(view) if (key := ring.first_since(time)) is not None]
            stamp = parse_key(min(keys))[0] - 1 if keys else self._stamp
            return self.after(view, make_key(stamp, FULL), limit)

    def histogram(self, view: View, edges: Sequence[float]) -> Histogram:
        with self.lock:
            rings = self._of(view)
            counts = {name: [0] * (len(edges) - 1) for name in view.streams}
            for ring in rings:
                ring.count(edges, counts)
            oldest = min((time for ring in rings if (time := ring.oldest) is not None), default=None)
        lines = tuple(map(sum, zip(*counts.values(), strict=True)))
        return Histogram(lines, tuple(counts.get("err", [0] * len(lines))), oldest=oldest)

    def raw(self, worker: str, stream: str) -> NoReturn:
        raise NotKept(
            f"what {worker} wrote to {stream} is held in memory, as lines and not as bytes; ask for the lines"
        )

    def subscribe(self, workers: Sequence[str], moved: Callable[[], None]) -> Callable[[], None]:
        return self._followers.add(workers, moved)

    def _of(self, view: View) -> "list[Ring]":
        return [self._rings[name] for name in dict.fromkeys(view.workers) if name in self._rings]

    def _end(self, items: list[Item], hid: bool, key: str) -> str:
        if items and not hid:
            return items[-1].key or key
        return max(key, make_key(self._stamp, FULL))

    def _page(
        self,
        rings: "list[Ring]",
        view: View,
        items: list[Item],
        following: str,
        *,
        first: str | None = None,
        more: bool = False,
        reached: bool = False,
    ) -> Page:
        opened = [line for r in rings for name, s in r.streams.items() if name in view.streams for line in s.open()]
        return Page(
            items=tuple(items),
            next=following,
            first=first if first is not None else (items[0].key or following if items else following),
            oldest=min((ring.keys[0] for ring in rings if ring.keys), default=""),
            newest=following if reached else max((ring.keys[-1] for ring in rings if ring.keys), default=""),
            expired_bytes=sum(n for r in rings for name, n in r.expired.items() if name in view.streams),
            open=tuple(opened) if reached else (),
            more=more,
        )

    def stamp(self) -> tuple[int, float]:
        """Gives a fresh stamp and the time; the caller holds the lock."""
        now = self.now()
        self._stamp = max(self._stamp + 1, int(now * 1e9))
        return self._stamp, now

    def take(self, worker: str) -> "Ring":
        ring = self._rings.get(worker)
        if ring is None:
            ring = self._rings[worker] = Ring(worker)
        return ring

    def settle(self, worker: str) -> None:
        """Drops what is too much of a worker, and wakes its readers; the caller holds the lock."""
        self._rings[worker].trim(self._lines, self._size)
        self._followers.tell(worker)


class MemoryStream:
    """One stream of one run."""

    def __init__(self, store: MemoryStore, worker: str, stream: str, run: int) -> None:
        self._store = store
        self._worker = worker
        self._stream = stream
        self._run = run

    def begin(self) -> "Open":
        """Ends another run's output and begins this one's, unless it is the one that is open."""
        ring = self._store.take(self._worker)
        state = ring.streams.setdefault(self._stream, Open(self._worker, self._stream))
        if state.run != self._run or state.ended:
            self._end(ring, state)
            state.run, state.ended, state.marked, state.begun = self._run, False, False, self._store.now()
        return state

    def move(self, fd: int, limit: int = CHUNK) -> int:
        try:
            data = os.read(fd, limit)
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal whose last writer is gone
                raise
            return 0
        if data:
            self.append(data)
        return len(data)

    def append(self, data: bytes) -> None:
        if not data:
            return
        with self._store.lock:
            state = self.begin()
            self._begun(ring := self._store.take(self._worker), state)
            stamp, state.time = self._store.stamp()
            for at, line in state.cutter.feed(data):
                ring.add(state.line(make_key(stamp, at), at, line), len(line) + 1)
            self._store.settle(self._worker)

    def end(self) -> None:
        with self._store.lock:
            ring = self._store.take(self._worker)
            state = ring.streams.get(self._stream)
            if state is not None and state.run == self._run:
                self._end(ring, state)
                self._store.settle(self._worker)

    def _begun(self, ring: "Ring", state: "Open") -> None:
        """Marks the run here, and in the stream that marks it for all."""
        for one in (ring.streams.get("out"), state) if self._stream == "err" else (state,):
            if one is not None and one.run == self._run and not one.marked:
                one.marked = True
                self._mark(ring, one, "start", one.begun)
                if one.ended:
                    self._mark(ring, one, "end")

    def _end(self, ring: "Ring", state: "Open") -> None:
        if state.run and not state.ended:
            if state.marked:
                self._mark(ring, state, "end")
            state.ended = True

    def _mark(self, ring: "Ring", state: "Open", kind: str, since: float | None = None) -> None:
        stamp, time = self._store.stamp()
        open_line = state.cutter.close()
        if open_line is not None:
            ring.add(state.line(make_key(stamp, open_line[0]), *open_line), len(open_line[1]))
        if state.stream != "log":
            key = make_key(stamp, state.cutter.at)
            ring.add(RunMark(key, time if since is None else since, self._worker, state.run, kind), 0, state.stream)
