"""The lines of one worker in memory, in key order, the oldest dropped: what the store in memory is made of.

No lock and no clock here; the store has them. Known wart: lines are looked at one by one, which their number bounds.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence

from .lines import Cutter, Gap, Item, Line, RunMark, marks_stream, text_of


class Open:
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


class Ring:
    """The items of one worker in key order, with the bytes that each stands for."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.streams: dict[str, Open] = {}
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

    @property
    def oldest(self) -> float | None:
        """The time of the oldest item."""
        return next((item.time for item in self.items if not isinstance(item, Gap)), None)

    def count(self, edges: Sequence[float], counts: Mapping[str, list[int]]) -> None:
        """Adds the lines between each two edges to `counts`, which has the streams that are wanted."""
        for item in self.items:
            if isinstance(item, Line) and item.stream in counts:
                i = bisect_right(edges, item.time) - 1
                if 0 <= i < len(edges) - 1:
                    counts[item.stream][i] += 1

    def first_since(self, time: float) -> str | None:
        fresh = (n for n, item in enumerate(self.items) if not isinstance(item, Gap) and item.time >= time)
        return next((self.keys[n] for n in fresh), None)

    def _shown(self, i: int, streams: frozenset[str]) -> bool:
        name = self.names[i]
        if name not in streams:
            return False
        return name == "out" or not isinstance(self.items[i], RunMark) or marks_stream(streams) == name
