"""The index beside a segment: fixed 32-byte records, one a moved chunk, and the search in them.

A record says up to which logical offset of its stream the bytes belong to it; where they begin is the end of the
record before (for the first one, the segment's name). So a record that could not be written costs nothing: the next
one covers its bytes too.
"""

import os
import stat
import struct
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple
from zlib import crc32

CHUNK = 1
START = 2
END = 3
REBUILT = 4
"""Kinds. REBUILT stands first in an index that was lost: its `run` is the number of bytes that follow it."""

ESTIMATED = 1
"""Flag: the stamp and the time were given afterwards."""

LOST = 2
"""Flag, never in a file: stands for damaged records, whose bytes the next one covers; `run` is how many they are."""

SIZE = 32
_FORMAT = struct.Struct("<QqQIBBH")
_BODY = struct.Struct("<QqQIBB")
_STAMP = struct.Struct("<Q24x")
_KIND = 28
_CHECKED = struct.Struct("<30sH")
_CHUNK = bytes([CHUNK])
_SOME = 2048


class Vanished(Exception):
    """A record that was there is gone: its segment was deleted meanwhile. Begin again with what is left."""


class Record(NamedTuple):
    """`stamp` orders, `time` (microseconds since the epoch) is for people, `end` is a logical offset."""

    stamp: int
    time: int
    end: int
    run: int
    kind: int
    flags: int = 0
    check: int = 0

    def pack(self) -> bytes:
        body = _BODY.pack(*self[:6])
        return body + (crc32(body) & 0xFFFF).to_bytes(2, "little")


def whole(data: bytes) -> bool:
    """Whether these 32 bytes are a record as it was written."""
    return len(data) == SIZE and crc32(data[:-2]) & 0xFFFF == int.from_bytes(data[-2:], "little") and data[_KIND] > 0


def open_plain(path: str) -> int:
    """Opens a regular file for reading. Raises OSError, also for a link, a pipe or a device in its place."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{path} is not a regular file")
    return fd


class Mended(NamedTuple):
    """What was found in an index: so many records were looked at, some have others in their place, some follow."""

    looked: int = 0
    patches: Mapping[int, bytes] = MappingProxyType({})
    more: bytes = b""
    closed: bool = False
    """Whether the segment was closed then: its records must reach its end."""


class Index:
    """One index file, open for reading. A missing one reads as empty. `count` is as of the opening.

    Its records are as they stand in the file until `mended` says which ones are damaged.
    """

    def __init__(self, path: str) -> None:
        self._mended = Mended()
        try:
            self._fd = open_plain(path)
        except OSError:
            self._fd = -1
        self.count = os.fstat(self._fd).st_size // SIZE if self._fd >= 0 else 0

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def raw(self, first: int, number: int) -> bytes:
        data = os.pread(self._fd, number * SIZE, first * SIZE) if self._fd >= 0 and number > 0 else b""
        if self._mended.patches or self._mended.more:
            return self._patched(data, first, number)
        return data

    def _patched(self, data: bytes, first: int, number: int) -> bytes:
        count, patches, more, _ = self._mended
        patched = bytearray(data[: max(count - first, 0) * SIZE])
        for i in range(first, min(first + number, count)):
            if i in patches and (i - first + 1) * SIZE <= len(patched):
                patched[(i - first) * SIZE : (i - first + 1) * SIZE] = patches[i]
        if first + number > count:
            patched += more[max(first - count, 0) * SIZE : (first + number - count) * SIZE]
        return bytes(patched)

    def mended(self, mended: Mended) -> None:
        """Takes over what was found in it."""
        self._mended = mended
        self.count = mended.looked + len(mended.more) // SIZE

    def damaged(self, first: int) -> list[int]:
        """Which records from `first` on are not as they were written."""
        found = []
        for start in range(first, self.count, _SOME):
            data = self.raw(start, min(_SOME, self.count - start))
            pairs = _CHECKED.iter_unpack(data[: len(data) // SIZE * SIZE])
            if not all(crc32(body) & 0xFFFF == check for body, check in pairs) or 0 in data[_KIND::SIZE]:
                found += [start + i for i in range(len(data) // SIZE) if not whole(data[i * SIZE : (i + 1) * SIZE])]
        return found

    def get(self, i: int) -> Record:
        """Record i. Raises `Vanished` when it is not there."""
        data = self.raw(i, 1)
        if len(data) < SIZE:
            raise Vanished(i)
        return Record._make(_FORMAT.unpack(data))

    def some(self, first: int, number: int) -> list[Record]:
        data = self.raw(first, min(number, self.count - first))
        return list(map(Record._make, _FORMAT.iter_unpack(data[: len(data) // SIZE * SIZE])))

    def last_whole(self) -> Record | None:
        """The last record that is as it was written."""
        for i in range(self.count - 1, -1, -1):
            if record := self.get_whole(i):
                return record
        return None

    def get_whole(self, i: int) -> Record | None:
        """Record i when it is as it was written."""
        data = self.raw(i, 1)
        return Record._make(_FORMAT.unpack(data)) if whole(data) else None

    def whole(self) -> Iterator[Record]:
        """All records that are as they were written."""
        for first in range(0, self.count, _SOME):
            data = self.raw(first, min(_SOME, self.count - first))
            for at in range(0, len(data) // SIZE * SIZE, SIZE):
                if whole(data[at : at + SIZE]):
                    yield Record._make(_FORMAT.unpack_from(data, at))

    def find(self, stamp: int) -> int:
        """The first record whose stamp is not below `stamp`; `count` when there is none. Quick near the end."""
        low = max(self.count - 32, 0)
        ending = [word for (word,) in _STAMP.iter_unpack(self.raw(low, self.count - low))]
        if ending and ending[0] < stamp:
            return low + bisect_left(ending, stamp)
        return bisect_left(range(low), stamp, key=lambda i: self.get(i).stamp)

    def find_time(self, time: int) -> int:
        """The first record that is not older than `time` (microseconds); `count` when there is none."""
        return bisect_left(range(self.count), time, key=lambda i: self.get(i).time)

    def boundary(self, i: int, above: int) -> tuple[int | None, bool]:
        """Looks back from record i for the nearest one that ends a line, with an offset greater than `above`.

        Gives (its offset or None, whether the search is over: a record at or below `above` was reached).
        """
        step = 64
        while i > 0:
            low = max(i - step, 0)
            data = self.raw(low, i - low)
            last = len(data[_KIND::SIZE].rstrip(_CHUNK)) - 1
            if last >= 0:
                end = self.get(low + last).end
                return (end, True) if end > above else (None, True)
            if self.get(low).end <= above:
                return None, True
            i, step = low, 4096
        return None, False
