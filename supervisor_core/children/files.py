"""The files of one stream: segments and their indexes by logical offset, and reading over them.

A worker's name is never used as a path, see `folders.py`.

Known wart: every read opens its file anew; so nothing is held open, and a deletion cannot trip it.
"""

import contextlib
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from .index import Index, Mended, open_plain
from .mending import look
from .packed import Unpacker

if TYPE_CHECKING:
    from ..lines import Line

FOLDER_MODE = 0o750
FILE_MODE = 0o640
_SEGMENT = re.compile(r"([0-9a-f]{16})\.(log|log\.gz|idx)\Z")
NEW = ".new"
"""Ends the name of a file that is not finished."""


class StreamFiles:
    """One stream as a reader sees it. The writer keeps `bases` and `last` up to date, each by one assignment.

    `bases` are the first logical offsets of the segments, oldest first; `last` is the newest stamp in its indexes.
    """

    def __init__(
        self,
        folder: str,
        worker: str,
        unpacker: Unpacker,
        make: "Callable[[StreamFiles], None] | None" = None,
        changed: Callable[[], None] | None = None,
    ) -> None:
        self.folder = folder
        self._at = f"{folder}/"
        self._make = make
        self._changed = changed
        self.worker = worker
        self.stream = os.path.basename(folder)
        self.bases: tuple[int, ...] = ()
        self.last = 0
        self.open_line: tuple[int, Line | None] = (0, None)
        """The partial line as of a stamp: a cache of the reader's."""
        self._unpacker = unpacker
        self._firsts: dict[int, tuple[int, int]] = {}
        self._mended: dict[int, Mended] = {}

    def make_folder(self) -> None:
        """Makes the folder and all that leads to it: nothing is there before the first byte."""
        assert self._make is not None
        self._make(self)

    def began(self, base: int) -> None:
        """Its files are there."""
        self.bases = (*self.bases, base)
        self._has_changed()

    def gone(self, base: int) -> None:
        """The oldest segments, up to this one, are about to be deleted, or were."""
        self.bases = tuple(other for other in self.bases if other > base)
        self.open_line = 0, None  # it may have been there
        self.forget(base)
        self._has_changed()

    def _has_changed(self) -> None:
        if self._changed is not None:
            self._changed()

    def look(self, *, sure: bool = False) -> None:
        """Brings `bases` up to date where another process writes; `sure`: bytes are missing, so look closely."""

    def log(self, base: int) -> str:
        return f"{self._at}{base:016x}.log"

    def packed(self, base: int) -> str:
        """Where the same bytes are when they are compressed; then there is no plain file."""
        return f"{self._at}{base:016x}.log.gz"

    def index(self, base: int) -> str:
        return f"{self._at}{base:016x}.idx"

    @property
    def expired(self) -> str:
        """One record for each deleted segment: its last stamp and its end."""
        return f"{self._at}expired.idx"

    def list_bases(self) -> tuple[int, ...]:
        """The segments that are in the folder."""
        return self.bases_of(os.listdir(self.folder))

    @staticmethod
    def bases_of(names: Iterable[str]) -> tuple[int, ...]:
        """The segments to which files of these names belong."""
        return tuple(sorted({int(match[1], 16) for name in names if (match := _SEGMENT.match(name))}))

    def first(self, base: int) -> tuple[int, int]:
        """(stamp, time) of a segment's first record; (0, 0) while it has none."""
        known = self._firsts.get(base)
        if known is None:
            with self.open_index(base) as index:
                if not index.count:
                    return 0, 0
                record = index.get(0)
            known = self._firsts[base] = record.stamp, record.time
        return known

    def forget(self, base: int) -> None:
        self._firsts.pop(base, None)
        self._mended.pop(base, None)

    def open_index(self, base: int) -> Index:
        """A segment's index for reading, each record of which was looked at once."""
        index = Index(self.index(base))
        n = bisect_right(self.bases, base)
        end = self.bases[n] if n < len(self.bases) else None
        found = look(
            index,
            self._mended.get(base, Mended()),
            base,
            end,
            ceiling=lambda: self._ceiling(n),
            there=lambda at: self.read(at, at + 1) != b"",
        )
        self._mended[base] = found
        index.mended(found)
        return index

    def _ceiling(self, n: int) -> int:
        """A stamp above those of the segments before the nth: that of the next whole record, less what may stand in."""
        lost = 0
        for base in self.bases[n:]:
            with Index(self.index(base)) as index:
                for i in range(index.count):
                    if record := index.get_whole(i):
                        return record.stamp - i - 2 * lost
            lost += 1
        return self.last + 1 - 2 * lost

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end) of the stream, over segments; ends early where bytes are missing."""
        bases = self.bases
        parts: list[bytes] = []
        while start < end:
            n = bisect_right(bases, start) - 1
            if n < 0:
                break
            stop = min(end, bases[n + 1]) if n + 1 < len(bases) else end
            part = self._read(bases[n], start - bases[n], stop - bases[n])
            parts.append(part)
            start += len(part)
            if start < stop:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read(self, base: int, start: int, end: int) -> bytes:
        """The bytes [start, end) of one segment; ends early where bytes are missing."""
        try:
            fd = open_plain(self.log(base))
        except OSError:
            try:
                return self._unpacker.read(self.packed(base), start, end)
            except OSError:
                return b""
        try:
            return os.pread(fd, end - start, start)
        finally:
            os.close(fd)

    def hole(self, at: int) -> tuple[int, int | None]:
        """The range of missing bytes around an offset at which `read` gives none.

        Ends with its segment at the latest; None where that is still being written.
        """
        bases = self.bases
        n = max(bisect_right(bases, at) - 1, 0)
        following = bases[n + 1] if n + 1 < len(bases) else None
        start, end = self._hole(bases[n], at - bases[n])
        return bases[n] + start, following if end is None else bases[n] + end

    def _hole(self, base: int, at: int) -> tuple[int, int | None]:
        with contextlib.suppress(OSError):
            return self.plain_size(base), None
        with contextlib.suppress(OSError):
            return self._unpacker.hole(self.packed(base), at)
        return 0, None

    def plain_size(self, base: int) -> int:
        """Bytes of the plain file. Raises OSError when there is none."""
        fd = open_plain(self.log(base))
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def packed_size(self, base: int) -> int:
        """Raw bytes that the compressed file holds. Raises OSError when there is none."""
        return self._unpacker.size(self.packed(base))
