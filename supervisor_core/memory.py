"""A log store in memory, for an embedding program and for tests: as the store in files answers, from its last lines."""

import errno
import os
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence

from .lines import (
    FULL,
    Cutter,
    Gap,
    Item,
    Line,
    Page,
    RunMark,
    View,
    make_key,
    marks_stream,
    one_line,
    parse_key,
    text_of,
)
from .merge import Cost, merge

CHUNK = 256 * 1024


class MemoryStore:
    """Holds the last `lines` items and about the last `size` bytes of each worker. `now` is the clock."""

    def __init__(self, now: Callable[[], float], *, lines: int = 10_000, size: int = 4 * 1024 * 1024) -> None:
        self.now = now
        self._lines = lines
        self._size = size
        self.lock = threading.RLock()
        self._stamp = 0
        self._rings: dict[str, _Ring] = {}
        self._watchers: dict[str, set[Callable[[], None]]] = {}

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

    def subscribe(self, workers: Sequence[str], moved: Callable[[], None]) -> Callable[[], None]:
        with self.lock:
            for worker in workers:
                self._watchers.setdefault(worker, set()).add(moved)

        def leave() -> None:
            with self.lock:
                for worker in workers:
                    self._watchers.get(worker, set()).discard(moved)

        return leave

    def _of(self, view: View) -> "list[_Ring]":
        return [self._rings[name] for name in dict.fromkeys(view.workers) if name in self._rings]

    def _end(self, items: list[Item], hid: bool, key: str) -> str:
        if items and not hid:
            return items[-1].key or key
        return max(key, make_key(self._stamp, FULL))

    def _page(
        self,
        rings: "list[_Ring]",
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

    def take(self, worker: str) -> "_Ring":
        ring = self._rings.get(worker)
        if ring is None:
            ring = self._rings[worker] = _Ring(worker)
        return ring

    def settle(self, worker: str) -> None:
        """Drops what is too much of a worker, and wakes its readers; the caller holds the lock."""
        self._rings[worker].trim(self._lines, self._size)
        for moved in tuple(self._watchers.get(worker, ())):
            moved()


class MemoryStream:
    """One stream of one run."""

    def __init__(self, store: MemoryStore, worker: str, stream: str, run: int) -> None:
        self._store = store
        self._worker = worker
        self._stream = stream
        self._run = run

    def begin(self) -> "_Open":
        """Ends another run's output and begins this one's, unless it is the one that is open."""
        ring = self._store.take(self._worker)
        state = ring.streams.setdefault(self._stream, _Open(self._worker, self._stream))
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

    def _begun(self, ring: "_Ring", state: "_Open") -> None:
        """Marks the run here, and in the stream that marks it for all."""
        for one in (ring.streams.get("out"), state) if self._stream == "err" else (state,):
            if one is not None and one.run == self._run and not one.marked:
                one.marked = True
                self._mark(ring, one, "start", one.begun)
                if one.ended:
                    self._mark(ring, one, "end")

    def _end(self, ring: "_Ring", state: "_Open") -> None:
        if state.run and not state.ended:
            if state.marked:
                self._mark(ring, state, "end")
            state.ended = True

    def _mark(self, ring: "_Ring", state: "_Open", kind: str, since: float | None = None) -> None:
        stamp, time = self._store.stamp()
        open_line = state.cutter.close()
        if open_line is not None:
            ring.add(state.line(make_key(stamp, open_line[0]), *open_line), len(open_line[1]))
        if state.stream != "log":
            key = make_key(stamp, state.cutter.at)
            ring.add(RunMark(key, time if since is None else since, self._worker, state.run, kind), 0, state.stream)


class _Open:
    """What a stream is in the midst of."""

    def __init__(self, worker: str, stream: str) -> None:
        self.worker = worker
        self.stream = stream
        self.run = 0
        self.ended = True
        self.marked = True
        self.begun = 0.0
        self.time = 0.0
        self.cutter = Cutter(0)

    def line(self, key: str | None, at: int, data: bytes) -> Line:
        return Line(key, self.time, self.worker, self.stream, self.run, at, *text_of(data))

    def open(self) -> list[Line]:
        held = self.cutter.held
        return [self.line(None, self.cutter.start, held)] if held else []


class _Ring:
    """The items of one worker in key order, with the bytes that each stands for."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.streams: dict[str, _Open] = {}
        self.items: list[Item] = []
        self.names: list[str] = []
        self.keys: list[str] = []
        self.costs: list[int] = []
        self.cost = 0
        self.expired: dict[str, int] = {}
        self.gone: dict[str, str] = {}

    def add(self, item: Item, cost: int, stream: str | None = None) -> None:
        self.items.append(item)
        self.names.append(stream or (item.stream if isinstance(item, Line) else ""))
        self.keys.append(item.key or "")
        self.costs.append(cost)
        self.cost += cost

    def trim(self, lines: int, size: int) -> None:
        drop = len(self.items) - lines if len(self.items) > lines + lines // 8 else 0
        kept = self.cost - sum(self.costs[:drop])
        while kept > size and drop < len(self.items) - 1:
            kept -= self.costs[drop]
            drop += 1
        if drop:
            for name, key, cost in zip(self.names[:drop], self.keys, self.costs, strict=False):
                self.expired[name] = self.expired.get(name, 0) + cost
                self.gone[name] = key
            for column in (self.items, self.names, self.keys, self.costs):
                del column[:drop]
            self.cost = kept

    def forward(self, key: str, streams: frozenset[str]) -> Iterator[Item]:
        if key:
            gone = sorted((k, name) for name, k in self.gone.items() if name in streams and k > key)
            for behind, name in gone:
                yield Gap(behind, self.worker, name, 0, self.expired[name], "expired")
        for i in range(bisect_right(self.keys, key), len(self.items)):
            if self._shown(i, streams):
                yield self.items[i]

    def backward(self, key: str, streams: frozenset[str]) -> Iterator[Item]:
        for i in range(bisect_left(self.keys, key) - 1, -1, -1):
            if self._shown(i, streams):
                yield self.items[i]

    def first_since(self, time: float) -> str | None:
        fresh = (n for n, item in enumerate(self.items) if not isinstance(item, Gap) and item.time >= time)
        return next((self.keys[n] for n in fresh), None)

    def _shown(self, i: int, streams: frozenset[str]) -> bool:
        name = self.names[i]
        if name not in streams:
            return False
        return name == "out" or not isinstance(self.items[i], RunMark) or marks_stream(streams) == name
