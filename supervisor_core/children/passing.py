"""Passing over bytes in which a filter's words do not stand, a window at a time, without making lines of them.

A window has whole lines and plain chunks only: where a run begins or ends, bytes are missing, or a line is longer than
a grid cell, the reader goes the slow way for a while. So all that is told besides lines is told as without a filter.
"""

import struct
from bisect import bisect_right
from collections.abc import Callable

from ..lines import GRID, Cutter, make_key
from ..merge import Cost, Passed
from ..needles import Needles
from .files import StreamFiles
from .index import CHUNK, ESTIMATED, SIZE, Index

FIRST, LAST = 16 * 1024, 1024 * 1024
"""Bytes of the first window, and after a line that may be accepted; of one when none was for long. GRID at most."""

CHEAPER = 8
"""How much less a byte that is passed over costs, of the budget of a call, than one of a line."""

_FEW, _MANY = 256, 16_384
_HEAD = struct.Struct("<QqQ")
_PLAIN_KINDS, _PLAIN_FLAGS = bytes([CHUNK]), bytes([0, ESTIMATED])


class Passing:
    """One way through one stream."""

    def __init__(self, files: StreamFiles, watermark: int, cost: Cost, needles: Needles) -> None:
        self._files = files
        self._watermark = watermark
        self._cost = cost
        self._needles = needles
        self._window = FIRST

    def forward(self, index: Index, i: int, cutter: Cutter) -> tuple[Passed, int] | None:
        """Passes over lines from record i on, and moves the cutter behind them; gives the next record, too.

        None where there is nothing that one can pass over.
        """
        while (found := self._forward(index, i, cutter)) is None and self._window > FIRST:
            self._window = FIRST
        return found

    def backward(self, index: Index, i: int, begin: Callable[[int], tuple[int, int]]) -> tuple[Passed, int] | None:
        """The same for the lines that the records before i complete.

        `begin` gives where a record begins, and the line that is open there.
        """
        while (found := self._backward(index, i, begin)) is None and self._window > FIRST:
            self._window = FIRST
        return found

    def _forward(self, index: Index, i: int, cutter: Cutter) -> tuple[Passed, int] | None:
        start = cutter.start
        rows = Rows(index.raw(i, _FEW))
        if rows.count == _FEW and rows.end(_FEW - 1) < start + self._window:
            rows = Rows(index.raw(i, _MANY))
        rows.leading(self._watermark)
        if not rows.count:
            return None
        data = self._read(start, min(rows.end(rows.count - 1), start + self._window))
        whole = data.rfind(b"\n") + 1
        end = self._needles.clear(data, whole) if whole else 0
        if not end:
            return None
        self._window = min(4 * self._window, LAST) if end == whole else FIRST
        line = data.rfind(b"\n", 0, end - 1) + 1
        key = make_key(rows.stamp(rows.behind(start + end - 1)), start + line)
        cutter.jump(start + end)
        return Passed(key), i + rows.behind(start + end)

    def _backward(self, index: Index, i: int, begin: Callable[[int], tuple[int, int]]) -> tuple[Passed, int] | None:
        rows = Rows(index.raw(max(i - _FEW, 0), min(i, _FEW)))
        if rows.count == _FEW and rows.end(_FEW - 1) - rows.end(0) < self._window:
            rows = Rows(index.raw(max(i - _MANY, 0), min(i, _MANY)))
        rows.trailing()
        if not rows.count:
            return None
        stop = rows.end(rows.count - 1)
        low = min(rows.behind(stop - self._window), rows.count - 1)
        start, line = begin(i - rows.count + low)
        data = self._read(line, stop) if stop - line <= GRID else b""
        first = data.find(b"\n", start - line)
        if first < 0 or self._needles.clear(data, whole := data.rfind(b"\n") + 1) < whole:
            return None
        self._window = min(4 * self._window, LAST)
        return Passed(make_key(rows.stamp(rows.behind(line + first)), line)), i - rows.count + low

    def _read(self, start: int, end: int) -> bytes:
        """The bytes [start, end); none when not all of them are there."""
        data = self._files.read(start, end)
        self._cost.spent += len(data) // CHEAPER
        return data if len(data) == end - start else b""


class Rows:
    """Some records of an index that follow each other, as they stand in it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._first = 0
        self.count = len(data) // SIZE

    def leading(self, watermark: int) -> None:
        """Leaves the first ones that are nothing but chunks, up to the watermark."""
        kinds, flags = self._columns()
        self.count -= max(len(kinds.lstrip(_PLAIN_KINDS)), len(flags.lstrip(_PLAIN_FLAGS)))
        self.count = bisect_right(range(self.count), watermark, key=self.stamp)

    def trailing(self) -> None:
        """Leaves the last ones that are nothing but chunks."""
        kinds, flags = self._columns()
        self._first = max(len(kinds.rstrip(_PLAIN_KINDS)), len(flags.rstrip(_PLAIN_FLAGS)))
        self.count -= self._first

    def _columns(self) -> tuple[bytes, bytes]:
        return self._data[28 : self.count * SIZE : SIZE], self._data[29 : self.count * SIZE : SIZE]

    def stamp(self, k: int) -> int:
        return self._head(k)[0]

    def end(self, k: int) -> int:
        return self._head(k)[2]

    def behind(self, offset: int) -> int:
        """The first one that ends behind an offset; how many do not."""
        return bisect_right(range(self.count), offset, key=self.end)

    def _head(self, k: int) -> tuple[int, int, int]:
        return _HEAD.unpack_from(self._data, (self._first + k) * SIZE)
