"""What must hold in every log folder that a test leaves: each index is true to the bytes that it speaks of.

What lives here: finding the folders, and reading them a second time in a plain way, from the format alone and not with
the product's reader; then the two are compared. Nothing is written.

Known warts: lines of a mebibyte, which the product cuts by a grid, and streams longer than `LIMIT` are not compared
line by line; of a folder that the test itself deleted nothing is seen.
"""

import gzip
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from supervisor_core.children.files import StreamFiles
from supervisor_core.children.folders import Folders
from supervisor_core.children.index import REBUILT
from supervisor_core.children.pages import Pages
from supervisor_core.children.recovery import newest_stamp
from supervisor_core.lines import FULL, GRID, Line, View, text_of

RECORD = struct.Struct("<QqQIBBH")
CHUNK, CLOSERS = 1, {2, 3, REBUILT}
SEGMENT = re.compile(r"([0-9a-f]{16})\.(log|log\.gz|idx)\Z")

LIMIT = 256 * 1024
"""Bytes of a stream up to which its lines are read twice and compared."""


class Record(NamedTuple):
    stamp: int
    time: int
    end: int
    run: int
    kind: int
    flags: int
    check: int


def below(top: Path) -> Iterator[Path]:
    """The log folders in a tree."""
    for place, folders, files in os.walk(top):
        if "by-id" in folders and "watermark" in files:
            folders.clear()
            yield Path(place)


def faults_of(root: Path) -> list[str]:
    """A sentence for the first fault of each stream of a log folder."""
    folders = Folders(root)
    found = []
    for streams in folders.streams.values():
        for files in streams.values():
            if fault := _fault(folders, files):
                found.append(f"log folder {root}: {files.worker} {files.stream}: {fault}")
    return found


def _fault(folders: Folders, files: StreamFiles) -> str:
    try:
        segments = [(base, _records(files, base), _size(files, base)) for base in _bases(files.folder)]
        return _fault_of_records(segments) or _fault_of_lines(folders, files, segments)
    except Unreadable as error:
        return str(error)


class Unreadable(Exception):
    """A file is not there, or not as it was written. Its text is the sentence."""


Segment = tuple[int, list[Record], int]
"""Its first offset, its records, and how many bytes it has."""


def _bases(folder: str) -> list[int]:
    return sorted({int(match[1], 16) for name in os.listdir(folder) if (match := SEGMENT.match(name))})


def _records(files: StreamFiles, base: int) -> list[Record]:
    if not _is_file(files.index(base)):
        raise Unreadable(f"segment {base} has no index")
    data = Path(files.index(base)).read_bytes()
    if len(data) % RECORD.size:
        raise Unreadable(f"the index of segment {base} ends in the midst of a record")
    records = [Record._make(fields) for fields in RECORD.iter_unpack(data)]
    for i, record in enumerate(records):
        body = data[i * RECORD.size : (i + 1) * RECORD.size - 2]
        if zlib.crc32(body) & 0xFFFF != record.check or not record.kind:
            raise Unreadable(f"record {i} of segment {base} is not as it was written")
    return records


def _size(files: StreamFiles, base: int) -> int:
    """Bytes of a segment, uncompressed."""
    path = files.log(base)
    return os.path.getsize(path) if _is_file(path) else len(_raw(files, base))


def _raw(files: StreamFiles, base: int) -> bytes:
    if _is_file(files.log(base)):
        return Path(files.log(base)).read_bytes()
    if not _is_file(files.packed(base)):
        raise Unreadable(f"segment {base} has no bytes")
    try:
        return gzip.decompress(Path(files.packed(base)).read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"segment {base} cannot be unpacked: {error}") from None


def _is_file(path: str) -> bool:
    """Whether a file stands there itself, and no link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _fault_of_records(segments: list[Segment]) -> str:
    """Stamps rise, offsets rise, and each record ends where there are bytes and within its segment."""
    stamp = 0
    end = segments[0][0] if segments else 0
    for base, records, size in segments:
        if base < end:
            return f"segment {base} begins before {end}, where the one before it ends"
        end = base
        for i, record in enumerate(records):
            what = f"record {i} of segment {base}"
            if record.stamp <= stamp:
                return f"{what} has the stamp {record.stamp} after {stamp}"
            if record.end < end or (record.end == end and record.kind == CHUNK):
                return f"{what} ends at {record.end} after {end}"
            if record.end > base + size:
                return f"{what} ends at {record.end}, and the bytes at {base + size}"
            stamp, end = record.stamp, record.end
        if end < base + size:
            return f"{base + size - end} bytes at the end of segment {base} have no record"
    return ""


def _fault_of_lines(folders: Folders, files: StreamFiles, segments: list[Segment]) -> str:
    """The lines that the product shows by the index are those that the bytes give."""
    if sum(size for _, _, size in segments) > LIMIT:
        return ""
    plain = [(at, text_of(data)[0]) for at, data in _plain_lines(files, segments)]
    if any(following - at > GRID for (at, _), (following, _) in pairwise(plain)):
        return ""
    shown = [(line.at, line.text) for line in _shown_lines(folders, files)]
    for n, (ours, theirs) in enumerate(zip(plain, shown, strict=False)):
        if ours != theirs:
            return f"line {n} is {_say(ours)} in the bytes and {_say(theirs)} by the index"
    return f"{len(plain)} lines in the bytes and {len(shown)} by the index" if len(plain) != len(shown) else ""


def _say(line: tuple[int, str]) -> str:
    return f"{line[1][:60]!r} at {line[0]}"


def _plain_lines(files: StreamFiles, segments: list[Segment]) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of each line: ended by a newline, by a mark of a run, by a hole, or by the end."""
    start, carry = 0, b""
    for base, records, size in segments:
        if carry and start + len(carry) < base:
            yield start, carry
            carry = b""
        data = _raw(files, base) if size else b""
        at = base
        for record in records:
            carry, start = carry + data[at - base : record.end - base], start if carry else at
            at = record.end
            *lines, carry = carry.split(b"\n")
            for line in lines:
                yield start, line
                start += len(line) + 1
            if record.kind in CLOSERS and carry:
                yield start, carry
                carry = b""
    if carry:
        yield start, carry


def _shown_lines(folders: Folders, files: StreamFiles) -> Iterator[Line]:
    """What a reader of the files alone gets, the open line at the end included."""
    files.last = newest_stamp([files])
    pages, view, key = Pages(folders, lambda: FULL), View((files.worker,), frozenset({files.stream})), ""
    while True:
        page = pages.after(view, key, 5000)
        yield from (item for item in page.items if isinstance(item, Line))
        if not page.more:
            yield from page.open
            return
        key = page.next
