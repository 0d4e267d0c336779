"""How many lines between moments: the index says which bytes were written then, and their newlines are counted.

Up to `BUDGET` bytes are read for one histogram. Where there is more, parts of it are read, spread over the time, and
the rest is taken to have as many lines a byte.

Known wart: a clock that was set back makes times in an index go back, too; there, lines count for a moment near theirs.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ..lines import Histogram
from .files import StreamFiles
from .index import Vanished

BUDGET = 64 * 1024 * 1024

PART = 64 * 1024
"""Bytes that are read at once, and the least of a sample."""

Ranges = list[tuple[int, int]]


def count_lines(streams: Sequence[StreamFiles], watermark: int, edges: Sequence[float]) -> Histogram:
    """What was written up to the watermark between each two edges (seconds since the epoch, ascending)."""
    streams = [files for files in streams if files.bases]
    moments = [int(edge * 1e6) for edge in edges]
    ranges = {files: list(pairwise(_places(files, watermark, moments))) for files in streams}
    sizes = {files: sum(end - start for start, end in found) for files, found in ranges.items()}
    busy = sum(size > 0 for size in sizes.values())
    share = BUDGET if sum(sizes.values()) <= BUDGET else max(BUDGET // max(busy, 1), PART)
    lines, errors = [0] * (len(edges) - 1), [0] * (len(edges) - 1)
    exact = True
    for files, size in sizes.items():
        if not size:
            continue
        exact = exact and size <= share
        counts = _counted(files, ranges[files]) if size <= share else _estimated(files, ranges[files], share)
        for i, count in enumerate(counts):
            lines[i] += count
            errors[i] += count if files.stream == "err" else 0
    oldest = min((time for files in streams if (time := files.first(files.bases[0])[1])), default=None)
    return Histogram(tuple(lines), tuple(errors), exact, oldest / 1e6 if oldest else None)


def _places(files: StreamFiles, watermark: int, moments: Sequence[int]) -> Iterator[int]:
    """The logical offset of what was written first at or after each moment (microseconds, ascending)."""
    bases = files.bases
    begins = _begins(files, bases)
    last = bisect_left(begins, math.inf) - 1
    n, index = -1, None
    try:
        for moment in moments:
            segment = bisect_left(begins, moment) - 1
            if segment < 0:
                yield files.bases[0]
                continue
            if index is None or segment != n:
                if index is not None:
                    index.close()
                n, index = segment, files.open_index(bases[segment])
            i = index.find_time(moment)
            if n == last:
                i = min(i, index.find(watermark + 1))
            yield index.get(i - 1).end if i else bases[n]
    finally:
        if index is not None:
            index.close()


def _begins(files: StreamFiles, bases: Sequence[int]) -> list[float]:
    """When each segment begins, in microseconds; one without a record (there was no room for any) with the next one."""
    begins = [math.inf]
    for base in reversed(bases):
        begins.append(files.first(base)[1] or begins[-1])
    return begins[:0:-1]


def _counted(files: StreamFiles, ranges: Ranges) -> list[int]:
    return [_newlines(files, start, end) for start, end in ranges]


def _estimated(files: StreamFiles, ranges: Ranges, share: int) -> list[int]:
    """Reads about `share` bytes: the beginnings of all ranges, or of as many as get `PART` bytes."""
    used = sum(end > start for start, end in ranges)
    each = max(share // used, PART)
    step = max(used * each // share, 1)
    counts: list[int] = []
    seen, found, number = 0, 0, 0
    for start, end in ranges:
        if end > start and number % step == 0:
            seen = min(end - start, each)
            found = _newlines(files, start, start + seen)
        number += end > start
        counts.append(round((end - start) * found / seen) if end > start else 0)
    return counts


def _newlines(files: StreamFiles, start: int, end: int) -> int:
    """Newlines in [start, end); what is missing there has none."""
    count = 0
    while start < end:
        data = files.read(start, min(start + PART, end))
        if not data:
            files.look(sure=True)
            if files.bases[0] > start:
                raise Vanished
        count += data.count(b"\n")
        start = start + len(data) if data else files.hole(start)[1] or end
    return count
