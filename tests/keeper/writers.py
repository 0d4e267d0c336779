"""The other end of `kept_writer.py`, and readers that follow what it writes and judge each line by its offset."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from supervisor_core.keeper.logs import KeptLogs
from supervisor_core.lines import Gap, Line, RunMark, View
from tests.keeper.kept_writer import text

WORKERS, STREAMS = ("a", "b", "c"), ("out", "err")
PATIENCE = 30.0


class Link:
    """One writer process after another on one folder, and a `KeptLogs` here. Sends and counts messages."""

    def __init__(self, root: Path, **told: Any) -> None:
        self.told = {"root": str(root), "workers": WORKERS, "streams": STREAMS, "segment": 3000, **told}
        self.logs = KeptLogs(root, self.send)
        self.got: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.ends: dict[tuple[str, str], int] = {}
        self.wrote = threading.Event()
        self.followers: list[Follower] = []
        self._swapped: list[bool] = []
        self._answered = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._run = 0

    def start(self) -> None:
        self._run += 1
        told = json.dumps({**self.told, "run": self._run, "seed": self._run})
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.keeper.kept_writer", told], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert json.loads(self._process.stdout.readline()) == {"t": "ready"}
        self._reader = threading.Thread(target=self._read, args=(self._process,))
        self._reader.start()
        if self._run > 1:
            self.logs.reconnected()

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError, ValueError):  # it is dead: the next one is told again
                self._process.stdin.write(json.dumps(message).encode() + b"\n")
                self._process.stdin.flush()

    def write(self, rounds: int) -> None:
        self.wrote.clear()
        self.send({"t": "write", "rounds": rounds})

    def swap(self, worker: str, stream: str, base: int, new: str) -> bool:
        self._answered.clear()
        self.send({"t": "swap", "worker": worker, "stream": stream, "base": base, "new": new})
        assert self._answered.wait(PATIENCE)
        return self._swapped[-1]

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._end()

    def close(self) -> None:
        self.logs.close()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._end()

    def _end(self) -> None:
        assert self._process is not None
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for file in (self._process.stdin, self._process.stdout):
            if file is not None:
                with contextlib.suppress(BrokenPipeError):
                    file.close()
        self._process = None

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            message = json.loads(line)
            self.got.append(message)
            match message["t"]:
                case "moved":
                    self.logs.moved(message["worker"])
                case "swapped":
                    self._swapped.append(message["done"])
                    self._answered.set()
                case "wrote":
                    self.ends = {(worker, stream): end for worker, stream, end in message["ends"]}
                    self.wrote.set()
                    for follower in self.followers:
                        follower.finish()


class Follower(threading.Thread):
    """Follows a view as `logs.follow` does, until each stream has come to where `until` says, and judges."""

    def __init__(self, link: Link, view: View, limit: int = 200) -> None:
        super().__init__()
        self.link, self.view, self.limit = link, view, limit
        self.read: dict[tuple[str, str], int] = {}
        self.lines = self.missed = self.wakes = 0
        self.faults: list[str] = []
        self.reached = threading.Event()
        """A hundred lines were read since it was cleared."""
        self.leave = threading.Event()
        self._woken = threading.Event()
        link.followers.append(self)

    def finish(self) -> None:
        """It is known now where it ends; it waits in vain when it is there already."""
        if self._over():
            self._woken.set()

    def run(self) -> None:
        undo = self.link.logs.subscribe(self.view.workers, self._woken.set)
        key = ""
        try:
            while not self._over():
                page = self.link.logs.after(self.view, key, self.limit)
                for item in page.items:
                    if item.key <= key:  # type: ignore[operator]
                        self.faults.append(f"{item} is not behind {key}")
                    key = item.key or key
                    self._judge(item)
                key = page.next
                if not page.more and not self._over():
                    if not self._woken.wait(PATIENCE):
                        self.faults.append(f"nobody woke it: {self.read} of {self.link.ends}")
                        return
                    self.wakes += 1
                    self._woken.clear()
        except Exception as error:
            self.faults.append(repr(error))
            raise
        finally:
            self.reached.set()
            undo()

    def _over(self) -> bool:
        ends = {
            key: end
            for key, end in self.link.ends.items()
            if key[0] in self.view.workers and key[1] in self.view.streams
        }
        return self.leave.is_set() or bool(
            self.faults or (ends and all(self.read.get(key, 0) >= end for key, end in ends.items()))
        )

    def _judge(self, item: Line | Gap | RunMark) -> None:
        if isinstance(item, RunMark) or item.stream == "log":
            return
        place = item.worker, item.stream
        expected = self.read.get(place, 0)
        if isinstance(item, Gap) and item.why == "rebuilt":
            return  # the writer died before the first record of a segment: what it wrote there follows
        if isinstance(item, Gap):
            if item.why != "expired" or item.end < expected:
                self.faults.append(f"{item}, {expected} expected")
            self.missed += item.end - expected
            self.read[place] = max(item.end, expected)
            return
        if place not in self.read and self.link.told.get("max_worker", 10**9) < 10**9:
            expected = item.at  # who has no place yet begins with what there is, and is told of no gap
            self.missed += item.at
        end = item.at + len(item.text)
        right = text(item.at, end + 1)
        if item.at == expected - 1 and (item.text, right) == ("", b"\n"):
            return  # the run before ended just before this newline
        if item.at != expected or item.text.encode() != right[:-1]:
            self.faults.append(f"{item}, {expected} expected")
        self.read[place] = end + right.endswith(b"\n")
        self.lines += 1
        if self.lines % 100 == 0:
            self.reached.set()


def views() -> list[View]:
    """One stream, one worker, all of them."""
    return [View(("a",), frozenset({"out"})), View(("b",)), View(WORKERS)]


def follow_all(link: Link, act: Callable[[list[Follower]], None], limit: int = 200) -> list[Follower]:
    """Several readers at once while `act` goes on; they end when all is read that there is at its end."""
    followers = [Follower(link, view, limit) for view in views()]
    for follower in followers:
        follower.start()
    try:
        act(followers)
    finally:
        if not link.wrote.is_set():
            for follower in followers:
                follower.leave.set()
                link.logs.reconnected()
        for follower in followers:
            follower.join(2 * PATIENCE)
    return followers
