"""What /proc and the clocks of other processes say: who descends from us, and how much CPU and memory they use.

No knowledge of peers here. Known wart: between fork and exec a worker looks like its supervisor; so where workers come
and go, only those processes count that were there before and after.
"""

import contextlib
import ctypes
import os
import select
import signal
import time
from collections.abc import Collection, Iterable
from pathlib import Path

PROC = Path("/proc")
SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Makes this process the parent of whatever a peer leaves behind, so that `descendants` misses nothing."""
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> set[int]:
    """Gives the pids of all processes below this one, those that have ended and are not reaped included."""
    children: dict[int, list[int]] = {}
    for name in os.listdir(PROC):
        if name.isdigit():
            with contextlib.suppress(OSError):
                stat = (PROC / name / "stat").read_text(errors="replace")
                children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(name))
    found: set[int] = set()
    waiting = [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting.extend(below)
    return found


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def has_argument(pid: int, argument: str) -> bool:
    """Whether a process was started with this argument."""
    try:
        return argument.encode() in (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def command(pid: int) -> str:
    """Its arguments, with spaces between; "" when it is not there or has ended."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def name(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def cpu_seconds(pids: Iterable[int]) -> dict[int, float]:
    """Gives user and system seconds of each process that is there, all of its threads included, to a nanosecond."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            found[pid] = time.clock_gettime((~pid << 3) | 2)  # what clock_getcpuclockid gives
    return found


KINDS = {"Rss:": "rss", "Pss:": "pss", "Private_Clean:": "private", "Private_Dirty:": "private"}


def memory_mib(pids: Iterable[int]) -> dict[str, float]:
    """Gives the sums of resident, proportional and private memory: `rss`, `pss`, `private`."""
    sums = dict.fromkeys(KINDS.values(), 0.0)
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                kind, _, rest = line.partition(" ")
                if kind in KINDS:
                    sums[KINDS[kind]] += int(rest.split()[0]) / 1024
    return sums


class Watched:
    """Holds a handle of each of some processes, so that their ends are seen and their numbers cannot be reused."""

    def __init__(self, pids: Collection[int]) -> None:
        self._poll = select.poll()
        self._handles: set[int] = set()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(pid)
                self._handles.add(handle)
                self._poll.register(handle, select.POLLIN)

    def wait(self, patience: float) -> int:
        """Waits until all have ended, at most that many seconds; gives how many have not."""
        end = time.monotonic() + patience
        while self._handles and (left := end - time.monotonic()) > 0:
            for handle, _ in self._poll.poll(left * 1000):
                self._poll.unregister(handle)
                self._handles.remove(handle)
                os.close(handle)
        return len(self._handles)

    def close(self) -> None:
        while self._handles:
            os.close(self._handles.pop())


def end_all() -> int:
    """Kills everything below this process and reaps it; gives how many there were still running."""
    killed: set[int] = set()
    while below := descendants():
        for pid in below:
            if runs(pid):
                killed.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)
    return len(killed)
