"""Where logs lie: worker ids, stream folders, segment names, readable links.

    lock  watermark  NAME -> by-id/ID
    by-id/ID/name
    by-id/ID/STREAM/OFFSET.log or OFFSET.log.gz, OFFSET.idx, expired.idx

A worker's name is never used as a path; its id is made once and found again by the `name` file. Nothing is
made before a worker's first byte.
"""

import contextlib
import os
import re
import uuid
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from ..lines import Line
from .index import Index, Mended, open_plain
from .mending import look
from .packed import Unpacker

FOLDER_MODE = 0o750
FILE_MODE = 0o640
_SEGMENT = re.compile(r"([0-9a-f]{16})\.(log|log\.gz|idx)\Z")
NEW = ".new"
"""Ends the name of a file that is not finished."""

_STREAM = re.compile(r"[a-z]{1,16}\Z")
_OWN_NAMES = frozenset({"lock", "watermark", "by-id"})


class StreamFiles:
    """One stream as a reader sees it. The writer keeps `bases` and `last` up to date, each by one assignment.

    `bases` are the first logical offsets of the segments, oldest first; `last` is the newest stamp in its indexes.
    """

    def __init__(
        self, folder: Path, worker: str, stream: str, unpacker: Unpacker, make: "Callable[[StreamFiles], None]"
    ) -> None:
        self._at = f"{folder}/"
        self._make = make
        self.worker = worker
        self.stream = stream
        self.bases: tuple[int, ...] = ()
        self.last = 0
        self.open_line: tuple[int, Line | None] = (0, None)
        """The partial line as of a stamp: a cache of the reader's."""
        self._unpacker = unpacker
        self._firsts: dict[int, tuple[int, int]] = {}
        self._mended: dict[int, Mended] = {}

    @property
    def folder(self) -> Path:
        return Path(self._at)

    def make_folder(self) -> None:
        """Makes the folder and all that leads to it: nothing is there before the first byte."""
        self._make(self)

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
        found = {match[1] for name in os.listdir(self.folder) if (match := _SEGMENT.match(name))}
        return tuple(sorted(int(name, 16) for name in found))

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


class Folders:
    """The tree of one log folder, by worker and stream."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_id = root / "by-id"
        self._by_id.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._places: dict[str, Path] = {}
        self._unpacker = Unpacker()
        self.streams: dict[str, dict[str, StreamFiles]] = {}
        for place in sorted(self._by_id.iterdir()):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                name = (place / "name").read_text(encoding="utf-8")
                self._places.setdefault(name, place)
        for name, place in self._places.items():
            for folder in sorted(place.iterdir()):
                if folder.is_dir() and _STREAM.match(folder.name):
                    files = self._know(name, folder)
                    files.bases = files.list_bases()
            self._link(name, place)

    def all(self) -> list[StreamFiles]:
        return [files for streams in self.streams.values() for files in streams.values()]

    def open(self, worker: str, stream: str) -> StreamFiles:
        """The files of a stream, of which there may be none yet."""
        known = self.streams.get(worker, {}).get(stream)
        if known is not None:
            return known
        if not _STREAM.match(stream):
            raise ValueError(f"a stream is named by a few small letters, not {stream!r}")
        place = self._places.get(worker)
        if place is None:
            place = self._places[worker] = self._by_id / uuid.uuid4().hex[:16]
        return self._know(worker, place / stream)

    def _know(self, worker: str, folder: Path) -> StreamFiles:
        files = StreamFiles(folder, worker, folder.name, self._unpacker, self._make)
        # replaced, not changed: readers iterate over it
        self.streams[worker] = {**self.streams.get(worker, {}), folder.name: files}
        return files

    def _make(self, files: StreamFiles) -> None:
        folder = files.folder
        place, worker = folder.parent, files.worker
        place.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        if not (place / "name").exists():
            new = place / f"name{NEW}"  # never half a name: the logs would be nobody's at the next start
            new.write_text(worker, encoding="utf-8")
            new.replace(place / "name")
            self._link(worker, place)
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)

    def _link(self, worker: str, place: Path) -> None:
        """Makes the readable link where it is not right: relative, so that the folder can be moved."""
        link, target = self.root / link_name(worker), os.path.join("by-id", place.name)
        with contextlib.suppress(OSError):  # a link is a convenience: logs are kept without it
            if link.is_symlink():
                if os.readlink(link) == target:
                    return
                link.unlink()
            link.symlink_to(target)


def folder_of(root: Path, worker: str) -> Path | None:
    """Where a worker's logs are, by the readable name where it leads there; None when there are none. Makes nothing."""
    for place in sorted((root / "by-id").glob("*/name")):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if place.read_text(encoding="utf-8") == worker:
                link = root / link_name(worker)
                with contextlib.suppress(OSError):
                    if link.samefile(place.parent):
                        return link
                return place.parent
    return None


def link_name(worker: str) -> str:
    """A file name that a person recognises and that is never a path, hidden, or one of our own."""
    name = quote(worker, safe="[]@+=,")
    if name in _OWN_NAMES or name.startswith("."):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    return name[:200]
