"""The writing side of one stream: from a pipe to the segment file, one index record a moved chunk.

`splice` loses nothing when the process is killed, but holds the writer up while the file is written; copying does not
(twice the bytes a second), and is for a process whose end is that of the workers too.

Nothing here looks at the bytes; only at the cut of a segment one of them is read back. All calls are made under the
store's lock. Files come into being with the first byte, so a thousand silent workers cost none: a run's mark is
written with the first byte that it writes to any stream.

Others may delete, rename, truncate or replace the files meanwhile (a cleaner, logrotate). A truncated one is noticed
before the next move, the others within `LOOK` seconds of writing; then a new segment begins, and the reader finds a
gap where bytes are gone.

Known wart: what the fallback (read, then write) has read and could not write is held in memory, so a kill loses it;
`splice` leaves it in the pipe.
"""

import contextlib
import errno
import os
import time
from collections.abc import Callable

from ..failing import point
from .files import NEW, StreamFiles
from .index import CHUNK, END, SIZE, START, Record
from .openings import waiting
from .stamps import Stamps
from .standing import is_own, make_sure_of_room, open_own

MOVE = 256 * 1024
"""Bytes of one move at most: one flooding worker does not hold up the others."""

LOOK = 0.05
"""Seconds of writing after which it is looked again whether the open files still stand under their names."""


class StreamLog:
    """One stream over all its runs. `segment` is the size, index included, past which a segment is cut.

    With a `buffer`, which may serve all streams under the same lock, bytes are copied through it, not spliced.
    """

    def __init__(
        self,
        files: StreamFiles,
        stamps: Stamps,
        segment: int,
        sealed: "Callable[[StreamFiles, int], None]",
        buffer: memoryview | None = None,
    ) -> None:
        self.files = files
        self._stamps = stamps
        self.segment = segment
        self._sealed = sealed
        self.run = 0
        self.ended = True
        self.marked = True
        """Whether the index says that the run has begun."""
        self.marks: StreamLog | None = None
        """The stream that marks the runs of this one, too."""
        self.base = self.end = 0
        self.records = 0
        self.torn = False
        """The segment's file lacks bytes that its index names: go on in a new one."""
        self._log = self._index = -1
        self._looked = 0.0
        self._held = b""
        self._buffer = buffer
        self._begun = 0, 0
        self._owed: Record | None = None
        """The end of the run before, while it is not marked."""

    def enter(self, run: int) -> None:
        """Makes `run` the one that is being written: chunks of different runs never join.

        Where there is no room for the end of the run before, that is marked with the next record.
        """
        if self.run != run or self.ended:
            self.lose(len(self._held))  # never a byte of one run in another
            self._held = b""
            with contextlib.suppress(OSError):
                self.finish()
            if not self.ended and self.marked:
                self._owed = Record(0, self._stamps.time(), self.end, self.run, END)
            self.run, self.ended, self.marked = run, False, False
            self._begun = self.end, self._stamps.time()

    def finish(self) -> None:
        """Marks the end of the run, unless it wrote nothing: then it leaves no trace."""
        if not self.ended:
            if self.marked or self.end > self._begun[0]:
                if self.torn:  # an index names no bytes that are not there
                    self._ready()
                self._record(END)
            self.ended = True

    def mark(self, run: int) -> None:
        """Marks that a run has begun, and that it has ended if so: it wrote to another stream."""
        if self.run == run and not self.marked:
            self._ready()
            self._record(START)
            if self.ended:
                self.ended = False
                self.finish()
                self.rest()

    def move(self, fd: int, limit: int) -> int:
        """Moves bytes from a pipe; 0 at its end. Raises BlockingIOError and other OSErrors; then nothing is lost."""
        if not self.marked and not self._held and not waiting(fd):
            self._held = _read(fd, limit)
            if not self._held:
                return 0
        self._ready()
        room = min(limit, max(2 * self.segment - (self.end - self.base), 1))
        count = self._splice(fd, room) if self._buffer is None and not self._held else self._copy(fd, room)
        if count:
            self.end += count
            self._record(CHUNK)
        return count

    def append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._ready()
            part = view[: min(MOVE, max(2 * self.segment - (self.end - self.base), 1))]
            self._write(part)
            self.end += len(part)
            self._record(CHUNK)
            view = view[len(part) :]

    def drop(self, fd: int, limit: int) -> int:
        """Leaves out what is held, else bytes of a pipe; 0 at its end. Raises BlockingIOError."""
        count = len(self._held) or len(_read(fd, limit))
        self._held = b""
        self.lose(count)
        return count

    def lose(self, count: int) -> None:
        """Leaves so many bytes of the stream out: the next ones go to a new segment behind them."""
        if count:
            self.end += count
            self.torn = True

    def rest(self) -> None:
        """Closes the files until they are needed again."""
        for fd in (self._log, self._index):
            if fd >= 0:
                os.close(fd)
        self._log = self._index = -1

    def _splice(self, fd: int, room: int) -> int:
        try:
            return os.splice(fd, self._log, room, offset_dst=self.end - self.base, flags=os.SPLICE_F_NONBLOCK)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            self._buffer = memoryview(bytearray(MOVE))  # not a pipe, or a file system without it
            return self._copy(fd, room)

    def _copy(self, fd: int, room: int) -> int:
        """Writes what is held, else what it reads, which is held where there is no room for it."""
        if self._held:
            data = memoryview(self._held)
        else:
            assert self._buffer is not None
            data = self._buffer[: _read_into(fd, self._buffer[:room])]
        try:
            self._write(data)
        except OSError:
            self._held = self._held or bytes(data)
            raise
        self._held = b""
        return len(data)

    def _write(self, data: memoryview) -> None:
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self._log, data[done:], self.end - self.base + done)
        except OSError:
            with contextlib.suppress(OSError):  # a part that found room is not in the index, and may never be
                os.ftruncate(self._log, self.end - self.base)
            raise

    def _record(self, kind: int) -> None:
        """Appends a record, behind the mark of the run where that is still due."""
        self._open()
        data = b""
        if not self.marked:
            if self.marks is not None:
                self.marks.mark(self.run)
            if (owed := self._owed) is not None:
                data = owed._replace(stamp=self._stamps.issue()[0], end=max(owed.end, self.base)).pack()
            at, time = self._begun
            data += Record(self._stamps.issue()[0], time, max(at, self.base), self.run, START).pack()
        if kind != START:
            stamp, time = self._stamps.issue()
            data += Record(stamp, time, self.end, self.run, kind).pack()
        if os.pwrite(self._index, data, self.records * SIZE) != len(data):
            os.ftruncate(self._index, self.records * SIZE)  # else its first half, a mark, would be there twice
            raise OSError(errno.ENOSPC, "no room for an index record", str(self.files.index(self.base)))
        self.records += len(data) // SIZE
        self.marked, self._owed = True, None
        self.files.last = self._stamps.issued
        self._stamps.raise_to(self._stamps.issued)

    def _ready(self) -> None:
        """Opens the segment for the next bytes: a new one where the cut is due, or the file was taken away."""
        if self._tampered():
            if self.end == self.base:  # nothing is lost but what marks the runs
                self.rest()
                self.records = 0
            else:
                self.torn = True
        size = self.end - self.base + self.records * SIZE
        if self.torn or (
            self.end > self.base
            and size >= self.segment
            and (self.end - self.base >= 2 * self.segment or size >= 2 * self.segment or self._at_newline())
        ):
            self.cut()
        else:
            self._open()

    def cut(self) -> None:
        """Closes the segment, which must not be empty, and begins the next one. After an OSError all is as before."""
        self._open()  # where no file could be made it is known to nobody yet
        if self.torn:  # else each try on a full disk would leave an empty segment behind
            self.files.make_folder()
            make_sure_of_room(self.files.log(self.end) + NEW)
        point("segment full")
        self.rest()
        sealed, records, torn = self.base, self.records, self.torn
        self.base, self.records, self.torn = self.end, 0, False
        try:
            self._open()
        except OSError:
            self.rest()
            self.base, self.records, self.torn = sealed, records, torn
            raise
        point("next segment begun")
        self._sealed(self.files, sealed)

    def _at_newline(self) -> bool:
        self._open()
        return os.pread(self._log, 1, self.end - self.base - 1) == b"\n"

    def _tampered(self) -> bool:
        """Whether the segment lacks bytes, or one of its files no longer stands under its name."""
        self._open()
        if os.lseek(self._log, 0, os.SEEK_END) < self.end - self.base:
            return True
        now = time.monotonic()
        if now - self._looked < LOOK:
            return False
        self._looked = now
        own = [is_own(self._log, self.files.log(self.base)), is_own(self._index, self.files.index(self.base))]
        return not all(own)

    def _open(self) -> None:
        if self._log >= 0 and self._index >= 0:
            return
        try:
            self._open_both()
        except FileNotFoundError:  # the folder is made with the first file in it
            self.files.make_folder()
            self._open_both()
        self._looked = time.monotonic()
        if not self.files.bases or self.files.bases[-1] != self.base:
            self.files.began(self.base)

    def _open_both(self) -> None:
        if self._log < 0:
            self._log = open_own(self.files.log(self.base))
        if self._index < 0:
            self._index = open_own(self.files.index(self.base))


def _read_into(fd: int, buffer: memoryview) -> int:
    """Reads a pipe or a terminal; 0 at the end."""
    try:
        return os.readv(fd, [buffer])
    except OSError as error:
        if error.errno != errno.EIO:  # a terminal whose last writer is gone
            raise
        return 0


def _read(fd: int, limit: int) -> bytes:
    """Reads a pipe or a terminal; nothing at the end."""
    try:
        return os.read(fd, limit)
    except OSError as error:
        if error.errno != errno.EIO:  # a terminal whose last writer is gone
            raise
        return b""
