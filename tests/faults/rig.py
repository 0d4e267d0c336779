"""How the tests of the fault matrix use a supervisor in a process of its own, and look at it from outside."""

import json
import os
import select
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from supervisor_core.children.segments import SegmentStore
from supervisor_core.clock import Clock
from tests.support import logfolders

HERE = Path(__file__).parent
AGAIN = {"restart": "always", "backoff_initial": 0.0, "stable_after": 0.0}
"""A policy that starts at once, for ever."""

GIB = 2**30


def worker(name, argv, **changes):
    return {"name": name, "argv": list(argv), **changes}


class Host:
    """One supervisor process. Use as a context; `store()` opens its logs after it has left.

    At the end its logs must be whole; then they are deleted, for some are large.
    """

    def __init__(self, folder, workers, *, sample=0.0, subreaper=True, program="tests.faults.host", **store):
        self.logs = folder / "logs"
        self.limits = store = {"max_worker": 8 * GIB, "max_total": 16 * GIB} | store
        told = {"folder": str(folder), "logs": str(self.logs), "workers": workers, "sample": sample, "store": store}
        self.process = subprocess.Popen(
            [sys.executable, "-m", program, json.dumps(told | {"subreaper": subreaper})],
            cwd=HERE.parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.memory = []
        self.seen = []
        self.cpu = 0.0

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
        elif self.process.poll() is None:
            self.leave()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        faults = logfolders.faults_of(self.logs) if kind is None and self.logs.exists() else []
        shutil.rmtree(self.logs, ignore_errors=True)
        assert faults == []

    def order(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()

    def next(self):
        """The next thing that it says; what it says of its memory is kept aside."""
        while line := self.process.stdout.readline():
            said = json.loads(line)
            if "resident" not in said:
                self.seen.append(said)
                return said
            self.memory.append(said["resident"])
        raise AssertionError(f"the supervisor ended: {self.process.wait()}")

    def until(self, name, *states, run=None):
        """What it says when that worker comes to one of these states."""
        while True:
            said = self.next()
            if said.get("worker") == name and said["state"] in states and run in (None, said["run"]):
                return said

    def until_all(self, names, *states):
        """Returns when each of them has come to one of these states; gives the last word on each."""
        found = {}
        while len(found) < len(names):
            said = self.next()
            if said.get("worker") in names and said["state"] in states:
                found[said["worker"]] = said
        return found

    def probe(self, name, count):
        """Milliseconds of each of `count` restarts of that worker."""
        self.order("probe", name, str(count))
        while "probe" not in (said := self.next()):
            pass
        return sorted(said["probe"])

    def leave(self):
        self.order("leave")
        while "over" not in (said := self.next()):
            pass
        self.cpu = said["cpu"]
        assert self.process.wait() == 0

    def store(self):
        return SegmentStore(self.logs, now=Clock().now, **self.limits)

    # ------------------------------------------------------------ from outside

    def cpu_now(self):
        """Seconds of CPU time that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_while(self, seconds):
        """The share of one core that it takes from now on."""
        before, begun = self.cpu_now(), time.monotonic()
        select.select([], [], [], seconds)
        return (self.cpu_now() - before) / (time.monotonic() - begun)

    def zombies(self):
        """How many of its children have ended and were not collected."""
        count = 0
        for place in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, parent = place.read_text(errors="replace").rpartition(")")[2].split()[:2]
            except OSError:
                continue
            count += state == "Z" and int(parent) == self.process.pid
        return count

    def growth(self):
        """MiB between the memory after the warm-up, a quarter of the samples, and the most that came after it."""
        warm = len(self.memory) // 4
        return max(self.memory[warm:]) - statistics.median(self.memory[warm : 2 * warm + 1])


def p50_p99(taken):
    """Of sorted figures."""
    return taken[len(taken) // 2], taken[min(len(taken) - 1, len(taken) * 99 // 100)]
