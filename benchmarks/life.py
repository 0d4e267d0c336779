"""One life of one peer: a folder, a start, all workers running, an orderly stop, and nothing left of it.

What is timed ends with a worker's own note or the end of a process, never with what the peer says of itself.
"""

import atexit
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from . import processes, tools
from .notes import Notes, TooLate
from .peers import WRITING, Job, Peer

START_PATIENCE = 120.0
STOP_PATIENCE = 60.0
"""Seconds until what did not come about is called so."""

ACTIONS = {"standing": "sleep", "storm": "exit", "logs": "write", "survive": "steady", "watched": "steady"}


class Broken(Exception):
    """A claim of a row that counting did not confirm; the row says so in place of a figure."""


class Life:
    """A peer that was started. `begun` in nanoseconds of the monotonic clock, just before its exec."""

    def __init__(self, peer: Peer, job: Job, notes: Notes) -> None:
        self.peer, self.job, self.notes = peer, job, notes
        command = peer.prepare(job)
        self._paid = _children_paid()
        self._output = (job.folder / "output").open("ab")
        self.begun = time.monotonic_ns()
        self.command, self.main = command, self.start(command)

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Starts the peer or a client of it; its output goes where the peer's goes."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("QUARTERDECK_")}
        return subprocess.Popen(
            command,
            cwd=self.job.folder if self.peer.kind.value != "ours" else tools.ROOT,
            env=environment | self.peer.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )

    def since(self, nanoseconds: int) -> float:
        """Seconds from the start to a moment."""
        return (nanoseconds - self.begun) / 1e9

    def await_all(self) -> tuple[float, float]:
        """Waits until each worker has said that it runs; gives the seconds of the first and of the last."""

        def failed() -> bool:
            return self.main.poll() not in (None, 0)

        try:
            self.notes.wait("start", lambda _: len(self.notes.latest) == self.job.count, START_PATIENCE, failed)
        except TooLate:
            raise Broken(f"{len(self.notes.latest)} of {self.job.count} workers came{self.said()}") from None
        moments = [note.at for note in self.notes.latest.values()]
        return self.since(min(moments)), self.since(max(moments))

    def count_alive(self) -> None:
        """Raises `Broken` unless all workers are processes of their own that run."""
        self.notes.new()
        pids = set(self.notes.pids())
        alive = sum(processes.runs(pid) and processes.has_argument(pid, str(self.job.notes)) for pid in pids)
        if alive != self.job.count:
            raise Broken(f"{alive} of {self.job.count} workers are alive{self.said()}")

    def own(self) -> set[int]:
        """Gives the pids of the peer's own processes: all below us that are no worker."""
        self.main.poll()
        notes = str(self.job.notes)
        return {
            pid
            for pid in processes.descendants()
            if processes.runs(pid) and (pid == self.main.pid or not processes.has_argument(pid, notes))
        }

    def spent(self) -> float:
        """CPU seconds of the peer since its start, and of what it started and we reaped (a client)."""
        return sum(processes.cpu_seconds(self.own()).values()) + _children_paid() - self._paid

    def settle(self, patience: float = 3.0) -> None:
        """Waits until the peer has come to rest, at most that many seconds: some never do."""
        end, before = time.monotonic() + patience, self.spent()
        while time.monotonic() < end:
            time.sleep(0.3)
            now = self.spent()
            if now - before < 0.005:
                return
            before = now

    def measure(self, during: Callable[[], None]) -> float:
        """CPU seconds of those of its processes that are there before and after."""
        own = self.own()
        before = processes.cpu_seconds(own)
        during()
        after = processes.cpu_seconds(own)
        return sum(after[pid] - before[pid] for pid in after)

    def memory(self) -> dict[str, float]:
        """MiB of its own processes: `rss`, `pss`, `private`; and the private ones of each part that it tells apart."""
        own = self.own()
        parts = self.peer.parts(self.main.pid, own)
        return processes.memory_mib(own) | {
            f"{part}_private": processes.memory_mib(pids)["private"] for part, pids in parts.items()
        }

    def stop(self) -> tuple[float, float]:
        """Asks it to stop; gives the seconds until the last worker, and until the peer, is gone."""
        self.notes.new()
        own, workers = processes.Watched(self.own()), processes.Watched(self.notes.pids())
        try:
            begun = time.monotonic()
            self.peer.stop(self.main)
            left = workers.wait(STOP_PATIENCE)
            gone = time.monotonic() - begun
            if left:
                raise Broken(f"{left} workers are left after {STOP_PATIENCE:g} s")
            own.wait(10.0)
            return gone, time.monotonic() - begun
        finally:
            own.close()
            workers.close()

    def said(self) -> str:
        """The last line of the peer's own output, for a sentence about what went wrong."""
        lines = (self.job.folder / "output").read_text(errors="replace").strip().splitlines()
        return f"; it said: {lines[-1][:200]}" if lines else ""

    def close(self) -> None:
        self._output.close()
        processes.end_all()
        self.main.returncode = self.main.returncode or 0  # reaped with the others


def _children_paid() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def live(peer: Peer, doing: str, count: int, arguments: Iterable[object] = ()) -> Iterator[Life]:
    """Starts a peer with its workers; whatever happens inside, nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="qd-bench-"))
    try:
        notes = Notes(folder / "notes")
        (folder / "notes.written").mkdir()
        told = tuple(str(argument) for argument in arguments)
        job = Job(folder, tools.worker(), ACTIONS[doing], notes.path, count, told, doing in WRITING)
        life = Life(peer, job, notes)
        try:
            yield life
        finally:
            life.close()
    finally:
        processes.end_all()
        _put_away(folder)


def _put_away(folder: Path) -> None:
    """Gives the room back now and the files at the end of the program.

    ext4 passes over inodes that were deleted in the last minutes, one by one: whoever makes files after others deleted
    theirs pays for it, up to a millisecond a file.
    """
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.truncate(path, 0)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
