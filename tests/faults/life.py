"""A short real life of a service with a keeper, with all in it that a crash could split, and what must hold then.

Workers are started, stopped, started again by hand and by themselves; one crashes until it is given up; one writes
through tiny segments; the service is killed, and the keeper; all leaves. Processes that are to be killed meanwhile are
told so by `FAIL_AT` (supervisor_core/failing.py). What holds is seen from outside, by the arguments of processes and a
lock that each worker takes, and not by what the product says alone.

Known wart: an order whose answer was lost is given again, so one that was carried out twice is not noticed by it.
"""

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import time
from pathlib import Path

from supervisor_core.children.segments import SegmentStore
from tests.faults.service import ROOT, alive, until, zoo
from tests.faults.test_kills import Kept
from tests.support.sequences import Sequence, of_store

PATIENCE = 30.0
"""Seconds for any one thing: a service that dies on its way up is started again after up to five."""

CRASHES = 30
"""Runs of the one that crashes: so many that the file of records is written anew on the way."""

WRITING = ("write", "forever", "size=100", "batch=20", "rate=4000", "seal", "exit", "0")

POINT = re.compile(r'\bpoint\("([^"]+)"\)')


def points() -> dict[str, str]:
    """Each fault point of the product, and the file in which it stands."""
    found: dict[str, str] = {}
    for folder in ("supervisor_core", "app"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for name in POINT.findall(path.read_text()):
                assert name not in found, f"two points are called {name}: {path} and {found[name]}"
                found[name] = path.relative_to(ROOT).as_posix()
    return found


def config(folder: Path) -> str:
    def worker(name: str, *words: str, more: str = "") -> str:
        command = zoo("lock", str(folder / f"{name}.lock"), *words)
        return f"[worker.{name}]\ncommand = {command}\nstart_seconds = 0\nstop_timeout = 5\n{more}\n"

    at_once = "backoff = { initial = 0 }\n"
    return "".join(
        (
            '[logs]\nsegment = "16KiB"\n',
            worker("writer", "until", "TERM", *WRITING),
            worker("idle", "pause"),
            worker("late", "pause", more="autostart = false\n"),
            worker("again", "wait", "0.2", "exit", "0", more=f'restart = "always"\nmax_restarts = 0\n{at_once}'),
            worker("crash", "exit", "3", more=f"max_restarts = {CRASHES}\n{at_once}"),
            '[worker.nothing]\ncommand = ["/nonexistent/program"]\nstart_seconds = 0\n',
        )
    )


TIMES = 5
"""Starts of one life by whoever finds nobody there."""


CALM = 1.0
"""Seconds after a death in which this test kills nobody."""


class Gone(Exception):
    """Neither keeper nor service is there: each was killed while the other one was not there yet."""


def running(row: dict) -> bool:
    return row["state"] == "running"


class Life(Kept):
    """One such service in `folder`. `failing` is `FAIL_AT`; each point fails once, in whichever process is first."""

    def __init__(self, folder: Path, failing: str, *, text: str | None = None) -> None:
        self.folder, self.marks = folder, folder / "failed"
        self.marks.mkdir(exist_ok=True)
        self.begin = lambda: Kept.__init__(
            self, folder, config(folder) if text is None else text, "kept", wait=False,
            environment={"FAIL_AT": failing, "FAIL_ONCE": str(self.marks)} if failing else {},
        )  # fmt: skip
        self.begin()

    def __exit__(self, *_: object) -> None:
        """Nothing survives a test that failed, either."""
        for pid in self.everybody():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.end()

    def failed(self) -> set[str]:
        """The points at which something was killed."""
        return {path.name for path in self.marks.iterdir()}

    def everybody(self) -> set[int]:
        """Whoever has our folder in its arguments: keeper, service, workers, and what is on its way to be one."""
        mark = os.fsencode(f"{self.folder}/")
        found = set()
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (place / "cmdline").read_bytes() and alive(int(place.name)):
                    found.add(int(place.name))
        return found

    def is_gone(self) -> bool:
        """Whether neither a keeper nor a service is there, nor one that is to become them.

        Two looks: a process in the middle of an exec has no arguments.
        """
        for _ in range(2):
            runs = set().union(*(self.runs_of(path.stem) for path in self.folder.glob("*.lock")))
            if self.everybody() - runs:
                return False
            select.select([], [], [], 0.05)
        return True

    def runs_of(self, name: str) -> set[int]:
        """The processes of a worker."""
        mark = f"\0{self.folder}/{name}.lock\0".encode()
        found = set()
        for pid in self.everybody():
            with contextlib.suppress(OSError):
                if mark in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.add(pid)
        return found

    # ------------------------------------------------------------ asked, whoever dies meanwhile

    def ask(self, method: str, path: str) -> dict:
        """The answer, from whichever service gives one."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                status, answer = self.once(method, path)
                if status < 500:
                    return json.loads(answer)
                error = answer.decode()
            except (http.client.HTTPException, OSError) as failure:
                error = repr(failure)
            if self.is_gone():
                raise Gone
            assert time.monotonic() < end, f"{method} {path}: {error}"
            select.select([], [], [], 0.02)

    def once(self, method: str, path: str) -> tuple[int, bytes]:
        """Without httpx, which leaves its socket to the collector when nobody is there."""
        with (
            socket.socket(socket.AF_UNIX) as line,
            contextlib.closing(http.client.HTTPConnection("localhost")) as asked,
        ):
            line.settimeout(5)
            line.connect(str(self.state / "socket"))
            asked.sock = line
            asked.request(method, f"/api/v1{path}")
            answer = asked.getresponse()
            return answer.status, answer.read()

    def rows(self) -> dict[str, dict]:
        return {row["name"]: row for row in self.ask("GET", "/workers")["workers"]}

    def order(self, name: str, verb: str, there) -> dict:
        """Gives an order, and again when it is not heeded within some seconds: its answer may have been lost."""
        end = time.monotonic() + PATIENCE
        while True:
            self.ask("POST", f"/workers/{name}/{verb}")
            with contextlib.suppress(AssertionError):
                return until(lambda: row if there(row := self.rows()[name]) else None, 5)
            assert time.monotonic() < end, f"{verb} {name}: {self.rows()[name]}"

    # ------------------------------------------------------------ the life

    def live(self) -> None:
        """Everything, until it is told to leave. Who finds nobody there starts it again, as a person would."""
        for _ in range(TIMES):
            try:
                return self._live()
            except Gone:
                self.end()
                self.begin()
        raise AssertionError(f"{TIMES} times nobody was there")

    def _live(self) -> None:
        until(lambda: running(self.rows()["writer"]), PATIENCE)
        until(self.wrote, PATIENCE)
        run = self.rows()["writer"]["run"]
        self.order("writer", "restart", lambda row: running(row) and row["run"] > run)
        until(self.wrote, PATIENCE)
        self.order("idle", "start", running)
        self.order("idle", "stop", lambda row: row["state"] == "stopped")
        self.kill(self.manager)
        self.order("late", "start", running)
        self.kill(self.keeper)
        self.order("late", "restart", running)
        until(lambda: self.rows()["crash"]["state"] == "failed", PATIENCE)
        self.settle()

    def wrote(self) -> bool:
        """Whether the writer's present run has written: before, it may not know yet that it is to end in order."""
        run = self.rows()["writer"]["run"]
        lines = self.ask("GET", "/workers/writer/logs?tail=1&stream=out")["lines"]
        return bool(lines) and lines[-1]["run"] == run

    def kill(self, whom) -> None:
        """Kills the service or the keeper and waits until another one does its work.

        Not while the other one is being replaced: what was told between two that die is lost with both.
        """
        until(lambda: time.time() - max((p.stat().st_mtime for p in self.marks.iterdir()), default=0) > CALM, PATIENCE)

        def there() -> int:
            if self.is_gone():
                raise Gone
            with contextlib.suppress(OSError):
                return int(whom())
            return 0

        old = until(there, PATIENCE)
        with contextlib.suppress(ProcessLookupError):  # a fault point was quicker
            os.kill(old, signal.SIGKILL)
        until(lambda: there() not in (0, old), PATIENCE)

    def settle(self) -> None:
        """Returns when all that must hold does; what changes all the time is looked at until it does."""
        end = time.monotonic() + PATIENCE
        while doubts := self.doubts():
            assert time.monotonic() < end, doubts
            select.select([], [], [], 0.05)

    def doubts(self) -> list[str]:
        """What does not hold just now."""
        rows, found = self.rows(), []
        for name, state in (("writer", "running"), ("idle", "stopped"), ("late", "running"), ("nothing", "failed")):
            row, runs = rows[name], self.runs_of(name)
            if row["state"] != state or runs != ({row["pid"]} if state == "running" else set()):
                found.append(f"{name} is {row['state']} with {row['pid']}, and there is {runs}")
        for name in ("again", "crash"):
            if rows[name]["run"] > 1 and not explained(rows[name]["last_exit"]):
                found.append(f"{name} ended, nobody knows how: {rows[name]}")
        if len(self.runs_of("again")) > 1 or self.runs_of("crash"):
            found.append("again runs twice, or crash still runs")
        stranger = self.everybody() - {self.keeper(), self.manager()} - set().union(*map(self.runs_of, rows))
        if stranger:
            found.append(f"nobody knows {stranger}")
        if dead := zombies(self.keeper()):
            found.append(f"zombies {dead}")
        return found

    def leave(self) -> None:
        """It leaves, and nothing is left of it. It is asked again where who was asked was killed before telling."""
        for _ in range(TIMES):
            keeper = until(lambda: self.keeper() or (self.is_gone() and -1), PATIENCE)
            if keeper > 0:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(keeper, signal.SIGTERM)
            with contextlib.suppress(AssertionError):
                until(lambda: not self.everybody(), 6)
                break
        self.end(PATIENCE)
        assert not self.everybody()
        twice = {path.name: path.read_text() for path in self.folder.glob("*.twice")}
        assert not twice, f"ran twice at the same time: {twice}"

    def check_lines(self, least: int = 2) -> None:
        """Each run of the writer, whole: it always ended in order."""
        with contextlib.closing(SegmentStore(self.state / "logs", now=time.time)) as store:
            heard = list(of_store(store, "writer"))
        runs = sum(isinstance(line, str) and line.startswith("seal") for line in heard)
        assert Sequence(100).all(heard).end(runs=runs) == ""
        assert runs >= least


def explained(exit: dict | None) -> bool:
    return exit is not None and (exit["code"] is not None or exit["signal"] is not None or bool(exit["reason"]))


def zombies(parent: int) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = place.read_text(errors="replace").rpartition(")")[2].split()
            if fields[0] == "Z" and int(fields[1]) == parent:
                found.append(int(place.parent.name))
    return found
