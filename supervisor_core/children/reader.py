"""One stream, read by key: forward, backward, and its partial line. Files only; a call reads a bounded way.

Nothing is kept open between two items, so a reader over a thousand streams needs two descriptors, and a deletion
cannot trip it. Bytes and records above the watermark that the caller took first are not looked at.
"""

from bisect import bisect_left
from collections.abc import Iterator

from ..lines import FULL, GRID, Cutter, Gap, Item, Line, RunMark, make_key, text_of
from ..merge import Cost
from .files import StreamFiles
from .index import CHUNK, LOST, REBUILT, START, Index, Record, Vanished
from .retention import missed

_RECORDS = 256
_FIRST_READ = 16 * 1024
_LAST_READ = 256 * 1024

Cut = tuple[Record, int, bytes | Gap | None]
"""What an item is made of: a line's bytes, a gap, or None for the record itself; and the offset in its key."""


class StreamReader:
    """One stream for the length of one call. `marks`: whether this stream's run marks are shown."""

    def __init__(self, files: StreamFiles, watermark: int, cost: Cost, *, marks: bool) -> None:
        self._files = files
        self._watermark = watermark
        self._cost = cost
        self._marks = marks
        self._bases = files.bases
        self._held: tuple[int, Index] | None = None

    def _index(self, n: int) -> Index:
        """The index of segment n; it stays open until another one is asked for, or until `release`."""
        if self._held is None or self._held[0] != n:
            self.release()
            self._held = n, self._files.open_index(self._bases[n])
        return self._held[1]

    def release(self) -> None:
        if self._held is not None:
            self._held[1].close()
            self._held = None

    # -- forward

    def forward(self, stamp: int, offset: int) -> Iterator[Item]:
        """The items strictly after (stamp, offset), oldest first."""
        after = make_key(stamp, offset)
        if self._files.last < stamp or (self._files.last == stamp and offset == FULL):
            return
        gone = missed(self._files, stamp, offset) if stamp and self._bases and self._bases[0] else None
        if gone:
            # deletion may be under way: what the gap covers is not shown, though it be there still
            self.release()
            self._bases = tuple(base for base in self._bases if base >= gone[2])
            yield Gap(gone[0], self._files.worker, self._files.stream, gone[1], gone[2], "expired")
        n, i = self._seek(stamp)
        cutter = self._begin(n, i, stamp, offset)
        self._check(self._bases[0] if self._bases else 0)
        size = _FIRST_READ
        while n < len(self._bases):
            records = [r for r in self._index(n).some(i, _RECORDS) if r.stamp <= self._watermark]
            if not records:
                n, i = n + 1, 0
                continue
            cuts, used = self._cut(cutter, records, size)
            i += used
            size = min(size * 2, _LAST_READ)
            self.release()
            for item in map(self._item, cuts):
                if item.key is not None and item.key > after:
                    yield item
        self.release()
        self._check(cutter.at)

    def _begin(self, n: int, i: int, stamp: int, offset: int) -> Cutter:
        """A cutter that stands at the first line to come: in the midst of a chunk where the key says so."""
        start = self._start(n, i)
        if n < len(self._bases):
            index = self._index(n)
            record = index.get(i) if i < index.count else None
            if (
                record
                and record.stamp == stamp
                and start - 2 * GRID <= offset < record.end
                and offset >= self._bases[0]
            ):
                return Cutter(offset)
        return Cutter(self._line_start(n, i, start))

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
        self._check(cutter.at)
        start, end = self._files.hole(cutter.at)
        if start > cutter.at:
            raise Vanished  # they are there now
        self._close(cutter, record, cuts)
        if start == cutter.at or end is None:
            start, end = cutter.at, end or record.end
            gap = Gap(make_key(record.stamp, start), self._files.worker, self._files.stream, start, end, "dropped")
            cuts.append((record, start, gap))
        cutter.jump(end)

    def _check(self, offset: int) -> None:
        """Raises `Vanished` when retention deleted what was still to be read: begin again, and tell what is gone."""
        if self._files.bases and self._files.bases[0] > offset:
            raise Vanished

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

    def backward(self, stamp: int, offset: int) -> Iterator[Item]:
        """The items strictly before (stamp, offset), newest first."""
        before = make_key(stamp, offset)
        n, i = self._seek(min(stamp, self._watermark) + 1)
        size = _FIRST_READ
        while True:
            while i == 0:
                if n == 0 or not self._bases:
                    self.release()
                    return
                n -= 1
                i = self._index(n).count
            low, records = self._records_before(n, i, size)
            start = self._start(n, low)
            cutter = Cutter(self._line_start(n, low, start))
            cuts: list[Cut] = []
            while records:
                more, used = self._cut(cutter, records, records[-1].end - cutter.at)
                cuts += more
                records = records[used:]
            i, size = low, min(size * 2, _LAST_READ)
            self.release()
            for item in map(self._item, reversed(cuts)):
                if item.key and item.key < before:
                    yield item

    def _records_before(self, n: int, i: int, size: int) -> tuple[int, list[Record]]:
        """The records before i that belong to about `size` bytes, one at least, and the number of the first."""
        low = max(i - _RECORDS, 0)
        records = self._index(n).some(low, i - low)
        if not records:
            raise Vanished(i)
        skip = bisect_left(records, records[-1].end - size, hi=len(records) - 1, key=lambda record: record.end)
        return low + skip, records[skip:]

    # -- the partial line

    def open_line(self) -> Line | None:
        """The line that is still being written, as of the watermark."""
        if self._files.last <= self._watermark and self._files.open_line[0] == self._files.last:
            return self._files.open_line[1]
        n, i = self._seek(self._watermark + 1)
        record = self._record_before(n, i)
        if record is None:
            return None
        line: Line | None = None
        if record.kind == CHUNK:
            start = self._line_start(n, i, record.end)
            if start < record.end:
                data = self._files.read(start, record.end)
                self._cost.spent += len(data)
                files = self._files
                text = text_of(data)
                line = Line(None, record.time / 1e6, files.worker, files.stream, record.run, start, *text)
        self.release()
        self._files.open_line = record.stamp, line
        return line

    # -- places

    def _seek(self, stamp: int) -> tuple[int, int]:
        """(segment, record) of the first record whose stamp is not below; behind the last one when there is none."""
        bases = self._bases
        n = max(bisect_left(bases, stamp, key=lambda base: self._files.first(base)[0] or FULL) - 1, 0)
        i = 0
        while n < len(bases):
            index = self._index(n)
            i = index.find(stamp)
            if i < index.count:
                return n, i
            if n + 1 == len(bases):
                return (n, i) if i else (n + 1, 0)
            n += 1
        return n, 0

    def _record_before(self, n: int, i: int) -> Record | None:
        while i == 0:
            if n == 0:
                return None
            n -= 1
            i = self._index(n).count
        return self._index(n).get(i - 1)

    def _start(self, n: int, i: int) -> int:
        """The offset at which record i of segment n begins."""
        if i == 0:
            if n < len(self._bases):
                return self._bases[n]
            record = self._record_before(n, i)
            return record.end if record else 0
        return self._index(n).get(i - 1).end

    def _line_start(self, n: int, i: int, at: int) -> int:
        """Where the line that is open at offset `at`, the start of record i of segment n, began."""
        oldest = self._bases[0] if self._bases else 0
        cell = at - at % GRID
        low = max(cell - GRID, oldest)
        newline = self._newline_before(low, at)
        above = low if newline < 0 else newline + 1
        while True:
            if i:
                found, over = self._index(n).boundary(i, above)
                if found is not None:
                    return found
                if over:
                    break
            if n == 0 or (n < len(self._bases) and self._bases[n] <= above):
                break
            n -= 1
            i = self._index(n).count
        if newline >= 0:
            return newline + 1
        return cell if cell - GRID >= oldest else oldest

    def _newline_before(self, low: int, high: int) -> int:
        """The offset of the last newline in [low, high), -1 when there is none. Missing bytes count as one."""
        step, holed = 1024, False
        while high > low:
            start = max(high - step, low)
            data = self._files.read(start, high)
            self._cost.spent += len(data)
            while len(data) < high - start:
                holed = True
                start = low = min(self._files.hole(start + len(data))[1] or high, high)
                data = self._files.read(start, high)
            found = data.rfind(b"\n")
            if found >= 0:
                return start + found
            if start == low:
                return low - 1 if holed else -1
            high, step = start, 64 * 1024
        return -1
