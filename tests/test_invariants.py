"""The checker that runs after every test sees each kind of litter, and clears it away."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.invariants import TAG, Watch

SLEEPER = [sys.executable, "-c", "import sys, time; print('up', flush=True); time.sleep(1000)"]


@pytest.fixture
def quick_watch(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setattr("tests.support.invariants.PATIENCE", 0.01)
    return watch


def leave_a_running_child() -> None:
    os.posix_spawn(sys.executable, [*SLEEPER], os.environ)


def leave_a_zombie() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], os.environ)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def leave_a_descriptor() -> None:
    os.open("/dev/null", os.O_RDONLY)


def leave_a_file() -> None:
    tempfile.mkstemp()


def leave_a_folder() -> None:
    Path(tempfile.mkdtemp(), "inside").write_text("x")


LITTER: dict[Callable[[], None], str] = {
    leave_a_running_child: "running process",
    leave_a_zombie: "process that nobody waited for",
    leave_a_descriptor: "/dev/null",
    leave_a_file: "temporary file",
    leave_a_folder: "temporary file",
}


@pytest.mark.parametrize("leave", LITTER, ids=lambda leave: leave.__name__)
def test_litter_is_seen_and_cleared_away(quick_watch: Watch, leave: Callable[[], None]) -> None:
    before = quick_watch.look()
    leave()
    left = quick_watch.left_since(before)
    assert any(LITTER[leave] in sentence for sentence in left), left
    assert quick_watch.look_is_within(before)


def test_an_orphan_is_seen_by_its_tag(quick_watch: Watch) -> None:
    read, write = os.pipe()
    before = quick_watch.look()
    parent = f"import os, subprocess; subprocess.Popen({SLEEPER!r}, stdout={write}, start_new_session=True)"
    subprocess.run([sys.executable, "-c", parent], check=True, pass_fds=[write])
    os.close(write)
    assert os.read(read, 2) == b"up"
    left = quick_watch.left_since(before)
    os.close(read)
    assert any("running process" in sentence for sentence in left), left


def test_a_thread_that_goes_on_is_seen(quick_watch: Watch) -> None:
    before = quick_watch.look()
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="lingering", daemon=True)
    thread.start()
    assert quick_watch.left_since(before) == ["thread lingering"]
    end.set()
    thread.join()
    assert quick_watch.left_since(before) == []


def test_the_tag_reaches_what_a_test_starts() -> None:
    seen = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    assert f"{TAG}={os.environ[TAG]}" in seen.splitlines()


def test_looking_is_cheap(watch: Watch) -> None:
    watch.look()
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        watch.look()
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.002
