"""Compressed segments: gzip in members of 128 KiB each, so that any range is read by undoing a member or two.

`zcat` and `zgrep` read such a file. Each member's header says how long it is, so a reader hops from head to head
without a table, and a file that is cut off or damaged somewhere can be read up to there, and often behind it.

Known wart: behind a damaged head nothing is found, since it alone says where the next one begins.
"""

import os
import struct
import threading
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from .index import open_plain

MEMBER = 128 * 1024
"""Raw bytes of a member."""

LEVEL = 3
_HEAD = struct.Struct("<8sBBHHHII")
_BEGIN = b"\x1f\x8b\x08\x04\0\0\0\0"  # deflate, with an extra field, no time
_EXTRA = 12
_OURS = int.from_bytes(b"QD", "little")
_MEMBERS = 64
_TABLES = 512
_Kept = TypeVar("_Kept")


def pack(source: int, target: int, go_on: Callable[[], bool]) -> bool:
    """Writes what `source` holds to `target`, compressed. Asks `go_on` after each member; False when it said no."""
    at = 0
    while data := os.pread(source, MEMBER, at):
        _write(target, _member(data))
        at += len(data)
        if not go_on():
            return False
    return True


def _member(data: bytes) -> bytes:
    squeezer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = squeezer.compress(data) + squeezer.flush()
    size = _HEAD.size + len(body) + 8
    head = _HEAD.pack(_BEGIN, 0, 255, _EXTRA, _OURS, 8, size, len(data))
    return head + body + struct.pack("<II", zlib.crc32(data), len(data))


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class _Table(NamedTuple):
    """Where the members of one file are: `raws[i]` and `starts[i]` are the raw and the compressed offset of i.

    Each has one more entry than there are members: the end.
    """

    raws: list[int]
    starts: list[int]


def _table(fd: int, size: int) -> _Table:
    """Hops over the heads, as far as they make sense."""
    raws, starts = [0], [0]
    while starts[-1] + _HEAD.size <= size:
        head = os.pread(fd, _HEAD.size, starts[-1])
        if len(head) < _HEAD.size:
            break
        begin, _, _, extra, ours, _, length, raw = _HEAD.unpack(head)
        if (begin, extra, ours) != (_BEGIN, _EXTRA, _OURS) or not 0 < raw <= MEMBER or length <= _HEAD.size:
            break
        if starts[-1] + length > size:
            break
        raws.append(raws[-1] + raw)
        starts.append(starts[-1] + length)
    return _Table(raws, starts)


class Unpacker:
    """Reads ranges of compressed files and holds the last members that it undid, 8 MiB at most. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._tables: OrderedDict[tuple[object, ...], _Table] = OrderedDict()

    def read(self, path: str, start: int, end: int) -> bytes:
        """The raw bytes [start, end); ends early where something is missing or damaged. Raises OSError."""
        fd = open_plain(path)
        try:
            name, table = self._find(path, fd)
            parts: list[bytes] = []
            while start < end:
                i = bisect_right(table.raws, start) - 1
                data = self._member(name, table, i, fd)
                part = data[start - table.raws[i] : end - table.raws[i]]
                if not part:
                    break
                parts.append(part)
                start += len(part)
        finally:
            os.close(fd)
        return b"".join(parts)

    def size(self, path: str) -> int:
        """How many raw bytes the members hold that can be found. Raises OSError."""
        fd = open_plain(path)
        try:
            return self._find(path, fd)[1].raws[-1]
        finally:
            os.close(fd)

    def hole(self, path: str, at: int) -> tuple[int, int | None]:
        """The missing range around a raw offset that `read` does not give; None where it has no end in this file."""
        fd = open_plain(path)
        try:
            table = self._find(path, fd)[1]
        finally:
            os.close(fd)
        i = bisect_right(table.raws, at) - 1
        return (table.raws[i], table.raws[i + 1]) if i + 1 < len(table.raws) else (table.raws[-1], None)

    def _find(self, path: str, fd: int) -> tuple[tuple[object, ...], _Table]:
        about = os.fstat(fd)
        name = path, about.st_ino, about.st_size, about.st_mtime_ns
        with self._lock:
            table = self._tables.get(name)
        if table is None:
            table = _table(fd, about.st_size)
            self._keep(self._tables, name, table, _TABLES)
        return name, table

    def _member(self, name: tuple[object, ...], table: _Table, i: int, fd: int) -> bytes:
        """The raw bytes of member i; none where it is damaged."""
        if i + 1 >= len(table.raws):
            return b""
        key = *name, i
        with self._lock:
            if key in self._members:
                self._members.move_to_end(key)
                return self._members[key]
        data = _undo(os.pread(fd, table.starts[i + 1] - table.starts[i], table.starts[i]))
        if len(data) != table.raws[i + 1] - table.raws[i]:
            return b""
        self._keep(self._members, key, data, _MEMBERS)
        return data

    def _keep(
        self, kept: OrderedDict[tuple[object, ...], _Kept], key: tuple[object, ...], value: _Kept, most: int
    ) -> None:
        with self._lock:
            kept[key] = value
            while len(kept) > most:
                kept.popitem(last=False)


def _undo(data: bytes) -> bytes:
    """What a whole gzip member holds; nothing when it is damaged."""
    undoing = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        raw = undoing.decompress(data, MEMBER + 1)
    except zlib.error:
        return b""
    return raw if undoing.eof and not undoing.unused_data else b""
