"""What trees of real processes use: whose each one is, what ended counts once, what cannot be seen is not 0."""

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.watchers.metrics import FIELDS, Row, Target, proc
from app.watchers.metrics.trees import Trees
from supervisor_core.children import TAG, make_tag

MIB = 1024 * 1024
MINE = f"mine-{os.getpid()}"
"""Our instance: the same tests may run beside these, and what carries their tags is not ours."""

LIFE = """
import os, subprocess, sys, threading, time
held, children = [], []

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

def child(text):
    return subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

def wait():
    gone = children.pop()
    gone.stdin.close()
    gone.wait()
    gone.stdout.close()

print("up", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""
"""A worker that does what it is told, and says when that is done."""

BUSY = "import time\nwhile time.process_time() < 0.3: pass\n"
LAST = "print(flush=True); input()"
"""Children: one that burns, and what it does then."""


class Worker:
    """One run of `LIFE`, in a session of its own and with the tag of its run."""

    def __init__(self, name: str = "w", run: int = 1) -> None:
        environment = {**os.environ, TAG: f"other:1:x {make_tag(MINE, name, run)}"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", LIFE],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True,
        )  # fmt: skip
        assert self.heard() == "up"
        self.target = Target(name, run, self.process.pid)

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def do(self, *lines: str) -> str:
        """Has it do something; gives the last thing that it printed before it was done."""
        assert self.process.stdin is not None
        self.process.stdin.write("; ".join(lines) + "\n")
        self.process.stdin.flush()
        said = ""
        while (word := self.heard()) != "done":
            assert word, "it ended"
            said = word
        return said

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Clock:
    """Passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Looks:
    """Samples of some workers, a second apart whatever time it is."""

    def __init__(self, keep: int = 1000) -> None:
        self.clock = Clock()
        self.trees = Trees(MINE, self.clock, keep=keep)

    def at(self, *targets: Target, after: float = 1.0) -> dict[str, dict[str, float | None]]:
        self.clock.now += after
        return {name: numbers(row) for name, row in self.trees.sample(targets).rows.items()}


def numbers(row: Row) -> dict[str, float | None]:
    return dict(zip(FIELDS, row.values, strict=True))


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.end()


@pytest.fixture(params=[1000, 0], ids=["kept", "opened each time"])
def looks(request: pytest.FixtureRequest) -> Iterator[Looks]:
    made = Looks(request.param)
    yield made
    made.trees.close()


def test_what_one_process_holds_is_told(worker: Worker, looks: Looks) -> None:
    before = looks.at(worker.target)["w"]
    assert (before["threads"], before["processes"], before["fds"]) == (1, 1, 3)
    assert before["cpu"] is before["read"] is before["written"] is None, "rates need two looks"
    worker.do(
        f"held.append(bytearray(os.urandom({30 * MIB})))",
        "held.extend(os.open('/dev/null', os.O_RDONLY) for _ in range(20))",
        "bell = threading.Event(); threading.Thread(target=bell.wait, daemon=True).start()",
    )
    after = looks.at(worker.target)["w"]
    assert (after["threads"], after["processes"], after["fds"]) == (2, 1, 23)
    assert 29 * MIB <= after["memory"] - before["memory"] < 40 * MIB
    assert after["gpu"] is after["gpu_memory"] is None
    assert looks.trees.weigh("w") == pytest.approx(after["memory"], rel=0.5)
    worker.do("bell.set()")


def test_rates_are_those_of_the_time_between(worker: Worker, looks: Looks, tmp_path: Path) -> None:
    looks.at(worker.target)
    before = io(worker)
    worker.do("burn(0.3)", f"open({str(tmp_path / 'x')!r}, 'wb').write(b'x' * {4 * MIB})", "os.sync()")
    busy = looks.at(worker.target, after=2)["w"]
    assert 15 <= busy["cpu"] < 60, "0.3 s and a little in 2 s"
    assert (busy["read"] * 2, busy["written"] * 2) == tuple(b - a for a, b in zip(before, io(worker), strict=True))
    still = looks.at(worker.target)["w"]
    assert still["cpu"] < 5
    assert still["written"] == 0


def io(worker: Worker) -> tuple[int, int]:
    """Bytes from and to disks."""
    words = Path(f"/proc/{worker.process.pid}/io").read_text().split()
    return int(words[9]), int(words[11])


def test_a_child_that_ended_counts_and_counts_once(worker: Worker, looks: Looks) -> None:
    looks.at(worker.target)
    worker.do(f"children.append(child({BUSY + LAST!r}))",
              "children[0].stdout.readline()")  # fmt: skip
    seen = looks.at(worker.target)["w"]
    assert seen["processes"] == 2
    assert 28 <= seen["cpu"] < 120
    worker.do("wait()")
    gone = looks.at(worker.target)["w"]
    assert gone["processes"] == 1
    assert gone["cpu"] < 15, "what was counted while it lived comes back in its parent's numbers"
    worker.do(f"children.append(child({BUSY!r}))", "wait()")
    missed = looks.at(worker.target)["w"]
    assert 28 <= missed["cpu"] < 120, "nobody looked while it lived"


def test_children_nobody_waits_for_do_not_make_it_negative(worker: Worker, looks: Looks) -> None:
    worker.do("import signal", "signal.signal(signal.SIGCHLD, signal.SIG_IGN)")
    worker.do(f"children.append(child({BUSY + LAST!r}))",
              "children[0].stdout.readline()")  # fmt: skip
    looks.at(worker.target)
    worker.do("wait()", "burn(0.2)")
    assert 15 <= looks.at(worker.target)["w"]["cpu"] < 40


class Orphan:
    """A grandchild in a session of its own, whose parent has gone: only the tag says whose it is."""

    def __init__(self, worker: Worker) -> None:
        script = (
            "import os\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
            "stop = {stop}\nos.close(0); os.close(1)\n"
            "os.write({told}, str(os.getpid()).encode())\nos.read(stop, 1)"
        )
        self.told, told = os.pipe()
        stop, self.stop = os.pipe()
        path = f"/proc/{os.getpid()}/fd"
        text = script.format(
            told=f"os.open('{path}/{told}', os.O_WRONLY)", stop=f"os.open('{path}/{stop}', os.O_RDONLY)"
        )
        worker.do(f"subprocess.run([sys.executable, '-c', {text!r}])")
        self.pid = int(os.read(self.told, 20))
        os.close(told)
        os.close(stop)

    def end(self) -> None:
        os.close(self.stop)
        with contextlib.suppress(OSError):
            fd = os.pidfd_open(self.pid)
            select.select([fd], [], [])
            os.close(fd)
        os.close(self.told)


@pytest.fixture
def orphan(worker: Worker) -> Iterator[Orphan]:
    made = Orphan(worker)
    yield made
    made.end()


def test_an_orphan_belongs_to_the_run_whose_tag_it_carries(worker: Worker, orphan: Orphan, looks: Looks) -> None:
    assert looks.at(worker.target)["w"]["processes"] == 2
    other = Looks()
    other.trees = Trees("yours", other.clock, keep=100)
    assert other.at(worker.target)["w"]["processes"] == 1, "the tag of another instance is none of ours"
    other.trees.close()


def test_what_a_main_process_left_is_counted_without_it(worker: Worker, orphan: Orphan, looks: Looks) -> None:
    looks.at(worker.target)
    worker.end()
    left = looks.at(Target("w", 1, worker.target.pid, headless=True))["w"]
    assert left["processes"] == 1
    assert left["cpu"] == pytest.approx(0, abs=5)
    fresh = Looks()
    assert fresh.at(Target("w", 1, worker.target.pid, headless=True))["w"]["processes"] == 1
    fresh.trees.close()


def test_workers_do_not_mix_and_only_those_who_are_asked_for_are_told(worker: Worker, looks: Looks) -> None:
    other = Worker("v")
    worker.do("children.append(child('input()'))")
    assert set(looks.at(worker.target)) == {"w"}
    both = looks.at(worker.target, other.target)
    assert [both[name]["processes"] for name in ("w", "v")] == [2, 1]
    assert both["v"]["cpu"] is None, "it was somebody else's until now, so nothing is known of the second before"
    assert looks.at(other.target).keys() == {"v"}
    other.end()
    assert looks.at(other.target)["v"] == dict.fromkeys(FIELDS), "gone: nothing is known, which is not 0"
    worker.do("wait()")


def test_a_run_that_began_since_the_last_look_has_rates_at_once(worker: Worker, looks: Looks) -> None:
    looks.at(worker.target)
    again = Worker("v", run=2)
    again.do("burn(0.2)")
    assert 20 <= looks.at(worker.target, again.target)["v"]["cpu"] < 60
    again.end()


def test_a_long_pause_says_nothing_of_the_time_between(worker: Worker, looks: Looks) -> None:
    looks.at(worker.target)
    assert looks.at(worker.target, after=60)["w"]["cpu"] is None
    assert looks.at(worker.target)["w"]["cpu"] is not None


def test_who_has_not_run_is_not_read_again(worker: Worker, looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    looks.at(worker.target)
    looks.at(worker.target)
    read: list[bytes] = []
    parsed = proc._parsed
    monkeypatch.setattr(proc, "_parsed", lambda text: read.append(text) or parsed(text))

    def own() -> int:
        return sum(text.startswith(b"%d " % worker.process.pid) for text in read)

    for _ in range(proc.TRUSTED):
        looks.at(worker.target)
    assert own() <= 1, "once in a while, all the same: its memory may have been taken away"
    worker.do("burn(0.01)")
    before = own()
    looks.at(worker.target)
    assert own() == before + 1


def test_of_several_processes_one_that_is_not_shown_makes_the_sum_unknown() -> None:
    """A sum of the others would be too small, and nobody would know."""
    shown = proc.Numbers(1, 5, 5, 10, alive=True, cpu=1.0, threads=1, memory=MIB, fds=3, read=0, written=0)
    hidden = replace(shown, fds=None, read=None, written=None)
    trees = Trees(MINE, Clock(), keep=0)
    later = {5: replace(shown, cpu=1.5), 6: replace(hidden, cpu=1.25)}
    used = trees._sums({5: shown, 6: hidden}, later, 1.0)
    assert used == (75, 2 * MIB, None, 2, 2, None, None)


AS_NOBODY = """
import json, os, sys
from app.watchers.metrics import Target
from app.watchers.metrics.trees import Trees
os.setgid(65534); os.setuid(65534)
now = iter(range(100, 200))
trees = Trees("mine", lambda: float(next(now)), keep=100)
for _ in range(2):
    rows = trees.sample([Target("w", 1, int(sys.argv[1]))]).rows
print(json.dumps(rows["w"].values), json.dumps(trees.weigh("w")))
"""


def test_what_another_user_may_not_see_is_unknown_and_not_0(worker: Worker) -> None:
    if os.getuid() != 0:
        pytest.skip("becomes another user, which only root may")
    told = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(worker.process.pid)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ).stdout  # fmt: skip
    values, size = told.rsplit(" ", 1)
    seen = dict(zip(FIELDS, json.loads(values), strict=True))
    assert seen["cpu"] == 0
    assert seen["memory"] > MIB
    assert (seen["processes"], seen["threads"]) == (1, 1)
    assert seen["read"] is seen["written"] is None
    assert json.loads(size) is None
