"""One process of /proc, looked at again and again through descriptors that are kept open.

A kept descriptor stays that of this very process: once it has ended, a read says so, whoever has its number by then.
Numbers that the system does not show to this user are None. Nothing is known here of workers or trees.

Known wart: the memory is the kernel's RSS, in which what processes share counts for each of them; `weigh` gives the
exact share (PSS) and costs the kernel a walk through the pages.
"""

import contextlib
import os
import time
from dataclasses import dataclass

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")

LARGEST = 1024
"""Bytes that /proc/PID/stat and /proc/PID/io never have."""

TRUSTED = 10
"""Looks for which one that has not run is taken to be as before: only its memory may have been taken away meanwhile."""

FILES = 3
"""Descriptors that one process takes while they are kept."""


@dataclass(slots=True)
class Numbers:
    """A process as it was a moment ago. `start` in clock ticks since boot; `alive` is false for a zombie.

    `cpu` in seconds, `read` and `written` in bytes, all three with those of children that were waited for.
    """

    parent: int
    group: int
    session: int
    start: int
    alive: bool
    cpu: float
    threads: int
    memory: int
    fds: int | None = None
    read: int | None = None
    written: int | None = None


class Kept:
    """One process. `keep`: whether its descriptors may stay open; else each look opens and closes them."""

    __slots__ = ("_clock", "_fds", "_left", "_ran", "keeps", "now", "pid")

    def __init__(self, pid: int, *, keep: bool) -> None:
        self.pid = pid
        self.now: Numbers | None = None
        self.keeps = keep
        self._fds: dict[str, int] = {}
        self._clock = (~pid << 3) | 2  # as CPUCLOCK_SCHED in clock_getcpuclockid(3)
        self._ran = -1
        self._left = 0

    def look(self, *, rest: bool = True) -> Numbers | None:
        """Reads it anew; None when it is gone, or hidden from this user: then it is to be closed.

        Without `rest` only what one file says. Raises OSError when there are no descriptors left.
        """
        ran = self._has_run()
        if ran == self._ran >= 0 and self._left > 0 and self.now is not None:
            self._left -= 1
            return self.now  # what has not run has nothing else than before
        try:
            text = self._content("stat")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return None
        before = self.now
        if not text:
            return None
        now = _parsed(text)
        if before is not None and before.start != now.start:
            return None  # its number has another process now
        if rest and now.alive:
            self._look_further(now)
        elif before is not None:  # a zombie shows neither, and what it did stays done
            now.read, now.written = before.read, before.written
        self.now = now
        self._left = TRUSTED if self._ran >= 0 else self.pid % TRUSTED  # not all of them in one look
        self._ran = ran if rest else -1
        return now

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    def _has_run(self) -> int:
        """Nanoseconds on processors so far, which is quick to ask; -1 where that is not told."""
        try:
            return time.clock_gettime_ns(self._clock)
        except OSError:
            return -1

    def _look_further(self, now: Numbers) -> None:
        with contextlib.suppress(OSError, IndexError):  # another user's, or a kernel that does not count
            words = self._content("io").split()
            now.read, now.written = int(words[9]), int(words[11])
        with contextlib.suppress(OSError):
            now.fds = self._count()

    def _count(self) -> int:
        if not _COUNTS:
            return len(os.listdir(f"/proc/{self.pid}/fd"))
        if not self.keeps:
            return os.stat(f"/proc/{self.pid}/fd").st_size
        return os.fstat(self._fd("fd", os.O_PATH)).st_size

    def _fd(self, name: str, flags: int = os.O_RDONLY) -> int:
        fd = self._fds.get(name)
        if fd is None:
            fd = self._fds[name] = os.open(f"/proc/{self.pid}/{name}", flags | os.O_CLOEXEC)
        return fd

    def _content(self, name: str) -> bytes:
        if self.keeps:
            return os.pread(self._fd(name), LARGEST, 0)
        fd = os.open(f"/proc/{self.pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, LARGEST)
        finally:
            os.close(fd)


def _parsed(text: bytes) -> Numbers:
    """What proc(5) says of /proc/PID/stat; the name before the last parenthesis may hold anything."""
    at = text[text.rindex(b")") + 2 :].split(None, 22)
    threads = int(at[17])
    return Numbers(
        int(at[1]), int(at[2]), int(at[3]), int(at[19]), at[0] not in b"ZXx" or threads > 1,
        (int(at[11]) + int(at[12]) + int(at[13]) + int(at[14])) / TICKS, threads, int(at[21]) * PAGE,
    )  # fmt: skip


def weigh(pid: int) -> int | None:
    """The memory of a process in bytes, with its part of what it shares; None where that is not shown."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return None


def _counts() -> bool:
    """Whether the size of /proc/PID/fd is the number of descriptors (Linux 6.2); else they are listed."""
    try:
        return os.stat("/proc/self/fd").st_size > 0
    except OSError:
        return False


_COUNTS = _counts()
