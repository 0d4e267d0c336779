"""The raw bytes of one stream over all its segments, plain and compressed, end to end: what a download reads.

Files only, opened anew for each piece, so that a deletion cannot trip it. What is missing when a reading begins is left
out; what goes missing while it lasts ends it early. Nothing is cut into lines here.

Known wart: a damaged member of a compressed segment ends a reading, though it is known what stands behind it.
"""

import contextlib
import os
from bisect import bisect_right
from itertools import accumulate

from .files import StreamFiles


class RawBytes:
    """See `logs.Raw`. What is there of a stream, up to the watermark, as of now."""

    def __init__(self, files: StreamFiles | None, watermark: int) -> None:
        self._files = files
        self._extents = _extents(files, watermark) if files else []
        self._behind = list(accumulate(end - start for start, end in self._extents))
        self.size = self._behind[-1] if self._behind else 0
        oldest, end = (self._extents[0][0], self._extents[-1][1]) if self._extents else (0, 0)
        place = os.path.basename(os.path.dirname(files.folder)) if files else "nothing"
        self.tag = f"{place}-{oldest:x}-{end - oldest - self.size:x}"

    def read(self, at: int, limit: int) -> bytes:
        i = bisect_right(self._behind, at)
        if self._files is None or i == len(self._behind):
            return b""
        left = min(self._behind[i] - at, limit)
        place = self._extents[i][1] - (self._behind[i] - at)
        return self._files.read(place, place + left)


def _extents(files: StreamFiles, watermark: int) -> list[tuple[int, int]]:
    """The logical offsets of the bytes that are there, oldest first, one range for each segment that has some."""
    bases = files.bases
    found = []
    for n, base in enumerate(bases):
        stop = bases[n + 1] if n + 1 < len(bases) else _written(files, base, watermark)
        end = min(base + _size(files, base), stop)
        if end > base:
            found.append((base, end))
    return found


def _written(files: StreamFiles, base: int, watermark: int) -> int:
    """Up to where the segment that is being written is told by its index."""
    with files.open_index(base) as index:
        i = index.find(watermark + 1)
        return index.get(i - 1).end if i else base


def _size(files: StreamFiles, base: int) -> int:
    for size in (files.plain_size, files.packed_size):
        with contextlib.suppress(OSError):
            return size(base)
    return 0
