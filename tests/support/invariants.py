"""What must be true after every test: no process, descriptor, socket, thread, task or temporary file of it is left.

What lives here: looking, comparing, and clearing away, so that one test's litter fails that test and no other. It is an
automatic fixture in conftest.py, hence cheap: without litter it waits for nothing and takes about a millisecond.
What is true of the log folders that a test leaves is in logfolders.py. Known warts: a process that is neither our child
nor carries our tag is not seen here (`./run test` adopts those); nor is a task of a loop that nobody closes.
"""

import asyncio
import contextlib
import gc
import os
import select
import shutil
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

TAG = "QD_TEST_SESSION"
"""Every process that a test starts inherits this variable, so that its orphans can be told from other people's."""

PATIENCE = 2.0
"""Seconds that a process or a thread which is already ending gets; nobody waits when nothing is left."""


@dataclass(frozen=True)
class Held:
    """What this process holds at one moment."""

    processes: frozenset[int]
    descriptors: frozenset[int]
    threads: frozenset[threading.Thread]
    files: frozenset[str]


class Loops:
    """Hears of each event loop that ends, and of its tasks that were not done and are cancelled with it."""

    def __init__(self) -> None:
        self._left: list[str] = []

    def hear(self, patch: pytest.MonkeyPatch) -> None:
        end_of_run, end_of_loop = asyncio.Runner.close, asyncio.BaseEventLoop.close

        def close_runner(runner: asyncio.Runner) -> None:
            with contextlib.suppress(RuntimeError):  # it was closed before
                self._look(runner.get_loop())
            end_of_run(runner)

        def close_loop(loop: asyncio.BaseEventLoop) -> None:
            self._look(loop)
            end_of_loop(loop)

        patch.setattr(asyncio.Runner, "close", close_runner)
        patch.setattr(asyncio.BaseEventLoop, "close", close_loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        for task in asyncio.all_tasks(loop):
            coroutine = task.get_coro()
            if hasattr(coroutine, "cr_code"):  # else it closes a generator that was dropped, which is the loop's work
                self._left.append(f"task {task.get_name()} in {coroutine.__qualname__}")

    def take(self) -> list[str]:
        """A sentence for each task that was left since the last time."""
        left, self._left = self._left, []
        return left


class Watch:
    """Compares what is held now with what was held before. `folder` is where temporary files go."""

    def __init__(self, folder: Path, tag: str, loops: Loops) -> None:
        self.folder = folder
        self.loops = loops
        self._tag = f"\0{TAG}={tag}\0".encode()
        self._ignored: set[int] = set()

    def look(self) -> Held:
        """Gives what is held now."""
        return Held(
            processes=self._processes(),
            descriptors=frozenset(_descriptors()),
            threads=frozenset(threading.enumerate()),
            files=frozenset(os.listdir(self.folder)),
        )

    def left_since(self, before: Held) -> list[str]:
        """Gives a sentence for each thing left, and clears away what can be cleared."""
        if self.look_is_within(before):
            return self.loops.take()
        gc.collect()  # what only garbage holds is no litter; a socket among it warns, and a warning fails the test
        now = self.look()
        left = [_say_thread(t) for t in now.threads - before.threads if _goes_on(t)]
        left += self.loops.take()
        for pid in now.processes - before.processes:
            if sentence := _settle_process(pid):
                left.append(sentence)
        for number in _descriptors() & (now.descriptors - before.descriptors):
            with contextlib.suppress(OSError):
                left.append(f"file descriptor {number}: {_say_descriptor(number)}")
                os.close(number)
        for name in now.files - before.files:
            left.append(f"temporary file {self.folder / name}")
            _remove(self.folder / name)
        return left

    def look_is_within(self, before: Held) -> bool:
        """Whether nothing is held now that was not held before."""
        now = self.look()
        return (
            now.processes <= before.processes
            and now.descriptors <= before.descriptors
            and now.threads <= before.threads
            and now.files <= before.files
        )

    def _processes(self) -> frozenset[int]:
        """Our children, those that have ended included, and whoever carries our tag."""
        if sys.platform != "linux":
            return frozenset()
        pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        self._ignored &= pids
        ours = set()
        for pid in pids - self._ignored:
            try:
                if _parent(pid) == os.getpid() or self._tag in Path(f"/proc/{pid}/environ").read_bytes():
                    ours.add(pid)
                elif pid != os.getpid():
                    self._ignored.add(pid)
            except OSError:
                self._ignored.add(pid)  # somebody else's, or gone
        return frozenset(ours - {os.getpid()})


def _parent(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    return int(stat.rpartition(")")[2].split()[1])


def _descriptors() -> set[int]:
    """Open descriptors, without the one that reads the list."""
    numbers = [int(name) for name in os.listdir("/dev/fd")]
    kept = set()
    for number in numbers:
        with contextlib.suppress(OSError):
            os.fstat(number)
            kept.add(number)
    return kept


def _say_descriptor(number: int) -> str:
    """What it leads to; of a socket, its address and that of its peer."""
    target = os.readlink(f"/dev/fd/{number}")
    if not target.startswith("socket:"):
        return target
    with socket.socket(fileno=os.dup(number)) as opened:
        ends = [f"socket {opened.getsockname()}"]
        with contextlib.suppress(OSError):
            ends.append(str(opened.getpeername()))
    return " to ".join(ends)


def _goes_on(thread: threading.Thread) -> bool:
    thread.join(PATIENCE)
    return thread.is_alive()


def _say_thread(thread: threading.Thread) -> str:
    return f"thread {thread.name}"


def _settle_process(pid: int) -> str | None:
    """Gives None for a process that was ending by itself and is gone; else ends it and says what it was."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        ended = bool(poll.poll(PATIENCE * 1000))
        child = _parent(pid) == os.getpid()
        if ended and not child:
            return None
        if not ended:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        if child:
            os.waitpid(pid, 0)
    except (FileNotFoundError, ProcessLookupError, ChildProcessError):
        return None
    finally:
        os.close(handle)
    return f"{'process that nobody waited for' if ended else 'running process'} {pid} {name}"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
