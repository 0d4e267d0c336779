"""Where things are in one stream: segments by number, records in their indexes, and where lines begin. Files only.

One index is held open at a time, until it is let go; a reader does that before it hands anything out.
"""

from bisect import bisect_left

from ..lines import FULL, GRID, hanging
from ..merge import Cost
from .files import StreamFiles
from .index import Index, Record, Vanished


class Places:
    """One stream for the length of one call. `bases` are its segments as that call sees them."""

    def __init__(self, files: StreamFiles, cost: Cost) -> None:
        self._files = files
        self._cost = cost
        self.bases = files.bases
        self._held: tuple[int, Index] | None = None

    def index(self, n: int) -> Index:
        """The index of segment n; it stays open until another one is asked for, or until `release`."""
        if self._held is None or self._held[0] != n:
            self.release()
            self._held = n, self._files.open_index(self.bases[n])
        return self._held[1]

    def release(self) -> None:
        if self._held is not None:
            self._held[1].close()
            self._held = None

    def check(self, offset: int, *, sure: bool = False) -> None:
        """Raises `Vanished` when retention deleted what was still to be read: begin again, and tell what is gone.

        `sure`: bytes are missing, so whoever looks at files of another process looks closely.
        """
        self._files.look(sure=sure)
        if self._files.bases and self._files.bases[0] > offset:
            raise Vanished

    def seek(self, stamp: int) -> tuple[int, int]:
        """(segment, record) of the first record whose stamp is not below; behind the last one when there is none."""
        bases = self.bases
        n = max(bisect_left(bases, stamp, key=lambda base: self._files.first(base)[0] or FULL) - 1, 0)
        i = 0
        while n < len(bases):
            index = self.index(n)
            i = index.find(stamp)
            if i < index.count:
                return n, i
            if n + 1 == len(bases):
                return (n, i) if i else (n + 1, 0)
            n += 1
        return n, 0

    def record_before(self, n: int, i: int) -> Record | None:
        while i == 0:
            if n == 0:
                return None
            n -= 1
            i = self.index(n).count
        return self.index(n).get(i - 1)

    def start(self, n: int, i: int) -> int:
        """The offset at which record i of segment n begins."""
        if i == 0:
            if n < len(self.bases):
                return self.bases[n]
            record = self.record_before(n, i)
            return record.end if record else 0
        return self.index(n).get(i - 1).end

    def line_start(self, n: int, i: int, at: int) -> int:
        """Where the line that is open at offset `at`, the start of record i of segment n, began."""
        oldest = self.bases[0] if self.bases else 0
        cell = at - at % GRID
        low = max(cell - GRID, oldest)
        newline = self._newline_before(low, at)
        above = low if newline < 0 else newline + 1
        while True:
            if i:
                found, over = self.index(n).boundary(i, above)
                if found is not None:
                    return found
                if over:
                    break
            if n == 0 or (n < len(self.bases) and self.bases[n] <= above):
                break
            n -= 1
            i = self.index(n).count
        if newline >= 0:
            return newline + 1
        return cell - hanging(self._files.read(cell - 3, cell)) if cell - GRID >= oldest else oldest

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
