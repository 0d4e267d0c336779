"""One stream, read by key: forward, backward, and its partial line. Files only; a call reads a bounded way.

Nothing is kept open between two items, so a reader over a thousand streams needs two descriptors, and a deletion
cannot trip it. Bytes and records above the watermark that the caller took first are not looked at.
"""

from bisect import bisect_left
from collections.abc import Iterator
from functools import partial

from ..lines import FULL, GRID, Cutter, Gap, Item, Line, RunMark, make_key, text_of
from ..merge import Cost, Passed
from ..needles import Needles
from .files import StreamFiles
from .index import CHUNK, LOST, REBUILT, START, Record, Vanished
from .passing import Passing
from .places import Places
from .retention import missed

_RECORDS = 256
_FIRST_READ = 16 * 1024
_LAST_READ = 256 * 1024

Cut = tuple[Record, int, bytes | Gap | None]
"""What an item is made of: a line's bytes, a gap, or None for the record itself; and the offset in its key."""


class StreamReader:
    """One stream for the length of one call. `marks`: whether this stream's run marks are shown.

    Lines without the `needles` may be passed over, where there are some.
    """

    def __init__(
        self, files: StreamFiles, watermark: int, cost: Cost, *, marks: bool, needles: Needles | None = None
    ) -> None:
        self._files = files
        self._watermark = watermark
        self._cost = cost
        self._marks = marks
        self._places = Places(files, cost)
        self._passing = Passing(files, watermark, cost, needles) if needles else None

    def release(self) -> None:
        """Lets go of what is held open."""
        self._places.release()

    # -- forward

    def forward(self, stamp: int, offset: int) -> Iterator[Item | Passed]:
        """The items strictly after (stamp, offset), oldest first."""
        after = make_key(stamp, offset)
        if self._files.last < stamp or (self._files.last == stamp and offset == FULL):
            return
        gone = missed(self._files, stamp, offset) if stamp and self._places.bases and self._places.bases[0] else None
        if gone:
            # deletion may be under way: what the gap covers is not shown, though it be there still
            self._places.release()
            self._places.bases = tuple(base for base in self._places.bases if base >= gone[2])
            yield Gap(gone[0], self._files.worker, self._files.stream, gone[1], gone[2], "expired")
        n, i = self._places.seek(stamp)
        cutter = self._begin(n, i, stamp, offset)
        self._places.check(self._places.bases[0] if self._places.bases else 0)
        size = _FIRST_READ
        while n < len(self._places.bases):
            if self._passing and (passed := self._passing.forward(self._places.index(n), i, cutter)):
                i, size = passed[1], _FIRST_READ
                self._places.release()
                if passed[0].key > after:
                    yield passed[0]
                continue
            records = [r for r in self._places.index(n).some(i, _RECORDS) if r.stamp <= self._watermark]
            if not records:
                n, i = n + 1, 0
                continue
            cuts, used = self._cut(cutter, records, size)
            i += used
            size = min(size * 2, _LAST_READ)
            self._places.release()
            for item in map(self._item, cuts):
                if item.key is not None and item.key > after:
                    yield item
        self._places.release()
        self._places.check(cutter.at)

    def _begin(self, n: int, i: int, stamp: int, offset: int) -> Cutter:
        """A cutter that stands at the first line to come: in the midst of a chunk where the key says so."""
        start = self._places.start(n, i)
        if n < len(self._places.bases):
            index = self._places.index(n)
            record = index.get(i) if i < index.count else None
            if (
                record
                and record.stamp == stamp
                and start - 2 * GRID <= offset < record.end
                and offset >= self._places.bases[0]
            ):
                return Cutter(offset)
        return Cutter(self._places.line_start(n, i, start))

    def _cut(self, cutter: Cutter, records: list[Record], size: int) -> tuple[list[Cut], int]:
        """Feeds up to about `size` bytes; gives the cuts, and how many of the records are done with."""
        cuts: list[Cut] = []
        origin = cutter.at
        stop = min(max(records[-1].end, origin), origin + size)
        data = self._files.read(origin, stop)
        self._cost.spent += len(data)
        for used, record in enumerate(records):
            if cutter.at < record.end:
                for at, line in cutter.feed(data[cutter.at - origin : record.end - origin]):
                    cuts.append((record, at, line))
            if cutter.at < record.end:
                if origin + len(data) < stop:
                    self._lose(cutter, record, cuts)
                return cuts, used
            if record.kind != CHUNK:
                self._close(cutter, record, cuts)
            if record.kind != CHUNK or record.flags & LOST:
                cuts.append((record, record.end, None))
        return cuts, len(records)

    def _lose(self, cutter: Cutter, record: Record, cuts: list[Cut]) -> None:
        """Bytes that the index names are not there: the open line ends, and a gap says so.

        One for each hole, told by the record in which it begins; so it is the same from wherever one reads.
        """
        self._places.check(cutter.at, sure=True)
        start, end = self._files.hole(cutter.at)
        if start > cutter.at:
            raise Vanished  # they are there now
        self._close(cutter, record, cuts)
        if start == cutter.at or end is None:
            start, end = cutter.at, end or record.end
            gap = Gap(make_key(record.stamp, start), self._files.worker, self._files.stream, start, end, "dropped")
            cuts.append((record, start, gap))
        cutter.jump(end)

    def _close(self, cutter: Cutter, record: Record, cuts: list[Cut]) -> None:
        open_line = cutter.close()
        if open_line:
            cuts.append((record, *open_line))

    def _item(self, cut: Cut) -> Item:
        record, at, what = cut
        files = self._files
        if isinstance(what, Gap):
            return what
        key = f"{record.stamp:016x}{at:016x}"
        if what is not None:
            return Line(key, record.time / 1e6, files.worker, files.stream, record.run, at, *text_of(what))
        if record.kind == REBUILT or record.flags & LOST:
            return Gap(key, files.worker, files.stream, at, at + record.run, "rebuilt")
        # a mark that is not to be shown sorts before everything, and so is never strictly after a key
        kind = "start" if record.kind == START else "end"
        return RunMark(key if self._marks else "", record.time / 1e6, files.worker, record.run, kind)

    # -- backward

    def backward(self, stamp: int, offset: int) -> Iterator[Item | Passed]:
        """The items strictly before (stamp, offset), newest first."""
        before = make_key(stamp, offset)
        n, i = self._places.seek(min(stamp, self._watermark) + 1)
        size = _FIRST_READ
        while True:
            while i == 0:
                if n == 0 or not self._places.bases:
                    self._places.release()
                    return
                n -= 1
                i = self._places.index(n).count
            if self._passing and (
                passed := self._passing.backward(self._places.index(n), i, partial(self._open_at, n))
            ):
                i, size = passed[1], _FIRST_READ
                self._places.release()
                if passed[0].key < before:
                    yield passed[0]
                continue
            low, records = self._records_before(n, i, size)
            cutter = Cutter(self._open_at(n, low)[1])
            cuts: list[Cut] = []
            while records:
                more, used = self._cut(cutter, records, records[-1].end - cutter.at)
                cuts += more
                records = records[used:]
            i, size = low, min(size * 2, _LAST_READ)
            self._places.release()
            for item in map(self._item, reversed(cuts)):
                if item.key and item.key < before:
                    yield item

    def _open_at(self, n: int, i: int) -> tuple[int, int]:
        """Where record i of segment n begins, and the line that is open there."""
        start = self._places.start(n, i)
        return start, self._places.line_start(n, i, start)

    def _records_before(self, n: int, i: int, size: int) -> tuple[int, list[Record]]:
        """The records before i that belong to about `size` bytes, one at least, and the number of the first."""
        low = max(i - _RECORDS, 0)
        records = self._places.index(n).some(low, i - low)
        if not records:
            raise Vanished(i)
        skip = bisect_left(records, records[-1].end - size, hi=len(records) - 1, key=lambda record: record.end)
        return low + skip, records[skip:]

    # -- the partial line

    def open_line(self) -> Line | None:
        """The line that is still being written, as of the watermark."""
        if self._files.last <= self._watermark and self._files.open_line[0] == self._files.last:
            return self._files.open_line[1]
        n, i = self._places.seek(self._watermark + 1)
        record = self._places.record_before(n, i)
        if record is None:
            return None
        line: Line | None = None
        if record.kind == CHUNK:
            start = self._places.line_start(n, i, record.end)
            if start < record.end:
                data = self._files.read(start, record.end)
                self._cost.spent += len(data)
                files = self._files
                text = text_of(data)
                line = Line(None, record.time / 1e6, files.worker, files.stream, record.run, start, *text)
        self._places.release()
        self._files.open_line = record.stamp, line
        return line
