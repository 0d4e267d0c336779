"""The checker that runs after every test sees each kind of litter, and clears it away."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.invariants import TAG, Watch

ROOT = Path(__file__).parents[1]
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


def leave_a_listener() -> None:
    socket.create_server(("127.0.0.1", 0)).detach()


def leave_a_connection() -> None:
    for end in socket.socketpair():
        end.detach()


def leave_a_task() -> None:
    async def stays() -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        asyncio.create_task(stays())  # noqa: RUF006 - that is the fault
        await asyncio.sleep(0)

    asyncio.run(main())


def leave_a_task_in_a_loop_of_ones_own() -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(asyncio.Event().wait())
    loop.close()
    task.get_coro().close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]


LITTER: dict[Callable[[], None], str] = {
    leave_a_running_child: "running process",
    leave_a_zombie: "process that nobody waited for",
    leave_a_descriptor: "/dev/null",
    leave_a_file: "temporary file",
    leave_a_folder: "temporary file",
    leave_a_listener: "socket ('127.0.0.1', ",
    leave_a_connection: "socket ",
    leave_a_task: "in leave_a_task.<locals>.stays",
    leave_a_task_in_a_loop_of_ones_own: "in Event.wait",
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


def test_a_socket_that_only_the_garbage_collector_closes_warns(quick_watch: Watch) -> None:
    before = quick_watch.look()
    circle: list[object] = [socket.create_server(("127.0.0.1", 0))]
    circle.append(circle)
    del circle
    with pytest.warns(ResourceWarning, match="unclosed.*127.0.0.1"):
        assert quick_watch.left_since(before) == []


def test_a_task_that_closes_a_dropped_generator_is_the_loops_own(quick_watch: Watch) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    async def main() -> None:
        async for _ in numbers():
            break

    asyncio.run(main())
    assert quick_watch.loops.take() == []


PLANTED = """
import asyncio, socket
import pytest
from supervisor_core.children.segments import SegmentStore

async def stays():
    await asyncio.get_running_loop().create_future()

async def main():
    asyncio.create_task(stays())
    await asyncio.sleep(0)

def damage(tmp_path):
    store = SegmentStore(tmp_path / "logs", now=lambda: 1e9)
    store.note("a", 1, "line")
    store.close()
    next(tmp_path.glob("logs/a/log/*.log")).write_bytes(b"")

def test_socket(): socket.create_server(("127.0.0.1", 0)).detach()
def test_task(): asyncio.run(main())
def test_logs(tmp_path): damage(tmp_path)
@pytest.mark.leaves("tasks", "damaged logs")
def test_allowed(tmp_path): asyncio.run(main()); damage(tmp_path)
@pytest.mark.leaves("tasks", "damaged logs")
def test_allowed_and_more(tmp_path): socket.create_server(("127.0.0.1", 0)).detach(); damage(tmp_path)
"""


def test_each_test_is_checked_and_fails_for_what_it_left(tmp_path: Path) -> None:
    (tmp_path / "test_planted.py").write_text(PLANTED)
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "pyproject.toml",
         tmp_path / "test_planted.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    ends = {line.split("::")[1].split()[0] for line in told.splitlines() if line.startswith("ERROR ")}
    assert ends == {"test_socket", "test_task", "test_logs", "test_allowed_and_more"}, told
    for sentence in ("left behind: task Task-2 in stays", "socket ('127.0.0.1', ", "ends at 5, and the bytes at 0"):
        assert sentence in told


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
