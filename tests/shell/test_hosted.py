"""A function in a process of its own: how it ends, what it says and hears. Real processes: they are the subject."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor_core import hosted
from tests.faults.service import Service, stays, until

JOBS = """
import asyncio, os, sys, time

async def done(p): p.log("working")
async def fails(p): raise ValueError("no such table")
async def leaves(p): sys.exit(7)
async def says_and_leaves(p): sys.exit("the disk is full")
def plain(p): print("in a thread, run", p.run); return "a result"
async def command(p): await p.command("sh", "-c", "exit 3").run()
async def parent(p):
    p.go_name("child", child)
    p.go_name("bad", fails)
async def child(p): p.log("here")
async def exits_for_good(p): os._exit(5)

async def serves(p):
    print("up", flush=True)
    await p.wait_shutdown()
    print("left in order")

async def deaf(p):
    try:
        print("up", flush=True)
        await asyncio.Event().wait()
    finally:
        print("cleaned up")

async def reloads(p):
    heard = asyncio.Queue()
    p.on_signal(lambda name, tree: heard.put_nowait(name))
    print("up", flush=True)
    print("got", await heard.get(), await heard.get())

def thread(p):
    print("up", flush=True)
    assert p.wait_shutdown_blocking(30)
    print("left in order")

async def announces(p):
    p.ready()
    await p.wait_shutdown()

async def blocks(p):
    time.sleep(2.5)  # the line that blocks
    await asyncio.sleep(2)

async def blocks_for_ever(p):
    print("up", flush=True)
    while True: pass

VALUE = 1
"""


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    (tmp_path / "jobs.py").write_text(JOBS)
    (tmp_path / "logs.py").write_text("async def f(p): print('mine')\n")  # a name that one of our modules has
    (tmp_path / "lacks.py").write_text("import nonsense_of_theirs\n")
    return tmp_path


def started(folder: Path, target: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-P", hosted.__file__, target],
        cwd=folder,
        env={**os.environ, "QUARTERDECK_WORKER": "w", "QUARTERDECK_RUN": "4", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def up(folder: Path, target: str, **environment: str) -> "Iterator[subprocess.Popen[str]]":
    with started(folder, target, **environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process


@pytest.mark.parametrize(
    ("target", "code", "out", "err"),
    [
        ("jobs:done", 0, "working\n", ""),
        ("jobs:fails", 1, "", "ValueError: no such table"),
        ("jobs:leaves", 7, "", ""),
        ("jobs:says_and_leaves", 1, "", "the disk is full"),
        ("jobs:plain", 0, "in a thread, run 4\n", ""),
        ("jobs:command", 3, "sh -c exit 3\nsh: exit status 3\n", "exit status 3"),
        ("jobs:parent", 1, "w.child: here\n", "w.bad: ERROR: no such table"),
        ("jobs:exits_for_good", 5, "", ""),
        ("logs:f", 0, "mine\n", ""),
        ("jobs:nothing", 127, "", "has nothing named nothing"),
        ("jobs:VALUE", 127, "", "has no function named VALUE"),
        ("jbos:done", 127, "", "w: there is no module jbos in "),
        ("lacks:f", 1, "", "No module named 'nonsense_of_theirs'"),
    ],
)
def test_how_it_ends(jobs: Path, target: str, code: int, out: str, err: str) -> None:
    with started(jobs, target) as process:
        found = process.communicate(timeout=30)
    assert process.returncode == code, found
    assert found[0] == out
    assert err in found[1]
    assert bool(err) == bool(found[1]), found[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("target", ["jobs:serves", "jobs:thread"])
def test_it_is_asked_to_leave_and_leaves(jobs: Path, target: str, number: int) -> None:
    with up(jobs, target) as process:
        process.send_signal(number)
        assert process.communicate(timeout=30) == ("left in order\n", "")
    assert process.returncode == 0


def test_one_that_does_not_listen_is_cancelled_before_its_time_is_over(jobs: Path) -> None:
    with up(jobs, "jobs:deaf", QUARTERDECK_STOP_TIMEOUT="0.1") as process:
        process.terminate()
        assert process.communicate(timeout=30) == ("cleaned up\n", "")
    assert process.returncode == 0, "it did what it was asked"


def test_other_signals_are_heard_as_the_library_gives_them(jobs: Path) -> None:
    with up(jobs, "jobs:reloads") as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGUSR2)
        assert process.communicate(timeout=30)[0] in ("got HUP USR2\n", "got USR2 HUP\n")
    assert process.returncode == 0


def test_that_it_is_ready_and_that_it_leaves_is_said_on_the_notify_socket(jobs: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.settimeout(30)
        ear.bind(str(jobs / "notify"))
        with started(jobs, "jobs:announces", NOTIFY_SOCKET=str(jobs / "notify")) as process:
            assert ear.recv(100) == b"READY=1"
            process.terminate()
            assert ear.recv(100) == b"STOPPING=1"
        assert process.returncode == 0


@pytest.mark.row(30)
def test_a_coroutine_that_blocks_its_loop_is_told_with_the_line(jobs: Path) -> None:
    with started(jobs, "jobs:blocks") as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        number = 1 + JOBS[: JOBS.index("# the line that blocks")].count("\n")
        assert line == f"w: the event loop has stood still for 1 s at jobs.py:{number}, in blocks\n"
        rest = process.stderr.read()
        assert "time.sleep(2.5)" in rest
        assert re.search(r"^w: the event loop goes on, after [23]\.[0-9] s$", rest, re.MULTILINE)
    assert process.returncode == 0


@pytest.mark.row(30)
def test_one_that_blocks_for_ever_harms_nobody_and_is_killed(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    text = '[worker.w]\npython = "jobs:blocks_for_ever"\nstart_seconds = 0\nstop_timeout = "200ms"\n' + stays("other")
    with Service(tmp_path, text, "kept") as service, service.client() as client:
        service.pid_of("w")
        until(lambda: any("has stood still" in row["text"] for row in service.lines("w", stream="err")))
        assert client.post("/workers/other/restart").status_code == 200
        assert "killed after 0.2" in client.post("/workers/w/stop").json()["operation"]["outcome"]


def test_the_service_runs_it_like_any_program(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    text = (
        '[worker.w]\npython = "jobs:serves"\nstart_seconds = 0\n[worker.x]\npython = "jobs:leaves"\nrestart = "never"\n'
    )
    with Service(tmp_path, text, "kept") as service, service.client() as client:
        first = service.pid_of("w")
        until(lambda: [row["text"] for row in service.lines("w")] == ["up"])
        answer = client.post("/workers/w/restart").json()["worker"]
        assert (answer["run"], answer["pid"] != first) == (2, True)
        until(lambda: [row["text"] for row in service.lines("w")] == ["up", "left in order", "up"])
        until(lambda: service.workers()["x"]["state"] == "failed")
        assert service.workers()["x"]["last_exit"]["code"] == 7
