"""What was sampled, kept in memory: each sample for ten minutes, ten seconds in one for six hours.

Kept by sample and not by worker: one array of all workers' numbers, a hundred bytes and less a row. A time in which
nobody sampled is simply not there. Belongs to the loop; `series` may be asked in a thread.

Known wart: all that is kept has `most` bytes in all; so with very many workers the oldest hours go earlier.
"""

import math
from array import array
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from . import FIELDS, Sample

FINE, COARSE = 600.0, 6 * 3600.0
"""Seconds for which single samples are kept, and for which means of them are."""

SPAN = 10.0
"""Seconds of samples that become one."""

MOST = 64 * 1024 * 1024
"""Bytes of numbers."""

WIDTH = len(FIELDS)
NAN = math.nan


@dataclass(slots=True)
class Bar:
    """One number over some time: its least, its mean by time, its most; `weight` in seconds."""

    low: float = math.inf
    high: float = -math.inf
    total: float = 0.0
    weight: float = 0.0

    def add(self, low: float, mean: float, high: float, weight: float) -> None:
        if mean == mean:  # not NaN, which stands for what is not known
            self.low, self.high = min(self.low, low), max(self.high, high)
            self.total, self.weight = self.total + mean * weight, self.weight + weight

    @property
    def mean(self) -> float | None:
        return self.total / self.weight if self.weight else None


@dataclass(frozen=True, slots=True)
class Kept:
    """Numbers of all workers over the time from `start` to `end`: one array for a sample, three for many."""

    start: float
    end: float
    index: Mapping[str, int]
    low: "array[float]"
    mean: "array[float]"
    high: "array[float]"

    def touches(self, start: float, end: float) -> bool:
        """Whether a part of it is between these times; one that has no length (the first look) is where it is."""
        at_once = self.start == self.end
        return start <= self.end <= end if at_once else max(self.start, start) < min(self.end, end)

    @property
    def size(self) -> int:
        arrays = 1 if self.low is self.high else 3
        return arrays * self.mean.itemsize * len(self.mean)


@dataclass(slots=True)
class Series:
    """The points of one worker: `bars` by field, each a list with None where nobody sampled."""

    start: float
    step: float
    bars: dict[str, list[Bar | None]] = field(default_factory=dict)


class History:
    """The samples of one host."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._fine: deque[Kept] = deque()
        self._coarse: deque[Kept] = deque()
        self._size = 0
        self._index: Mapping[str, int] = {}

    @property
    def oldest(self) -> float | None:
        """When the first sample that is kept was begun."""
        first = self._coarse or self._fine
        return first[0].start if first else None

    @property
    def size(self) -> int:
        """Bytes of numbers."""
        return self._size

    def add(self, sample: Sample) -> None:
        """Keeps one sample, which is younger than all others."""
        if self._fine and _window(self._fine[-1]) != math.floor(sample.time / SPAN):
            self._close_window()
        if self._index.keys() != sample.rows.keys():
            self._index = {name: at * WIDTH for at, name in enumerate(sample.rows)}
        numbers = array("f", bytes(4 * WIDTH * len(self._index)))
        for name, row in sample.rows.items():
            at = self._index[name]
            numbers[at : at + WIDTH] = array("f", [NAN if value is None else value for value in row.values])
        self._keep(self._fine, Kept(sample.since, sample.time, self._index, numbers, numbers, numbers))
        self._forget(sample.time)

    def series(self, worker: str, start: float, end: float, points: int) -> Series:
        """What is known of a worker between two times, in so many points of equal length."""
        step = (end - start) / points
        found = Series(start, step, {name: [None] * points for name in FIELDS})
        for kept in self._between(start, end):
            at = kept.index.get(worker)
            if at is None:
                continue
            first = max(0, min(points - 1, math.floor((kept.start - start) / step)))
            last = max(0, min(points - 1, math.ceil((kept.end - start) / step) - 1))
            for point in range(first, max(first, last) + 1):
                left = start + point * step
                weight = max(min(kept.end, left + step) - max(kept.start, left), 1e-3)
                for number, name in enumerate(FIELDS):
                    bar = found.bars[name][point] or Bar()
                    bar.add(kept.low[at + number], kept.mean[at + number], kept.high[at + number], weight)
                    found.bars[name][point] = bar if bar.weight else None
        return found

    # ------------------------------------------------------------ inside

    def _between(self, start: float, end: float) -> Iterator[Kept]:
        """In order: means where no single samples are left."""
        fine = tuple(self._fine)
        fine_from = fine[0].start if fine else math.inf
        for kept in tuple(self._coarse):  # whole at one stroke: who asks may be in a thread
            if kept.end <= fine_from and kept.touches(start, end):
                yield kept
        for kept in fine:
            if kept.touches(start, end):
                yield kept

    def _keep(self, where: deque[Kept], kept: Kept) -> None:
        where.append(kept)
        self._size += kept.size

    def _close_window(self) -> None:
        """Makes one of the samples of the window that has just ended."""
        window = _window(self._fine[-1])
        ticks = []
        for kept in reversed(self._fine):
            if _window(kept) != window:
                break
            ticks.append(kept)
        self._keep(self._coarse, _joined(ticks[::-1]))

    def _forget(self, now: float) -> None:
        while self._fine and (_window(self._fine[0]) + 1) * SPAN <= now - FINE:
            self._size -= self._fine.popleft().size
        while self._coarse and (self._coarse[0].end <= now - COARSE or self._size > self._most):
            self._size -= self._coarse.popleft().size
        while len(self._fine) > 1 and self._size > self._most:
            self._size -= self._fine.popleft().size


def _window(kept: Kept) -> int:
    return math.floor(kept.end / SPAN)


def _joined(ticks: Sequence[Kept]) -> Kept:
    """One of many that follow each other: least, mean and most of each number."""
    names = dict.fromkeys(name for kept in ticks for name in kept.index)
    low, mean, high = array("f"), array("f"), array("f")
    for name in names:
        rows = [kept.mean[at : at + WIDTH] for kept in ticks if (at := kept.index.get(name)) is not None]
        for column in zip(*rows, strict=True):
            total = math.fsum(column)
            known: Sequence[float] = column if total == total else [value for value in column if value == value]
            low.append(min(known, default=NAN))
            high.append(max(known, default=NAN))
            mean.append(math.fsum(known) / len(known) if known else NAN)
    index = {name: at * WIDTH for at, name in enumerate(names)}
    return Kept(ticks[0].start, ticks[-1].end, index, low, mean, high)
