"""A keeper as process 1 of a container; and who hears which signal, and who ends what, when the service does not.

Known wart: a container is a namespace of processes here, which only root may make.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.service import alive, stays, until, zoo
from tests.faults.test_kills import Kept
from tests.support.needs import private_processes


@pytest.fixture
def inside():
    """The words before a command that make it process 1 of its own namespace."""
    return private_processes()


def stat(pid: int | str) -> list[str]:
    """Fields of proc(5)'s stat from the state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def beside(pid: int) -> dict[int, str]:
    """All processes of its namespace and their states."""
    found = {}
    space = os.readlink(f"/proc/{pid}/ns/pid")
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(place / "ns" / "pid") == space:
                found[int(place.name)] = stat(place.name)[0]
    return found


def pid_in(pid: int) -> int:
    """Its number in its own namespace."""
    return int(Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].split("\n")[0].split()[-1])


def group_of(pid: int) -> list[int]:
    """Who is in a group of processes."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(stat(place.name)[2]) == pid:
                found.append(int(place.name))
    return found


@pytest.mark.row(13)
def test_process_1_collects_orphans_and_ends_what_fled(tmp_path, inside):
    text = stays("web") + (
        f'[worker.orphans]\ncommand = {zoo("orphans", "100", "say", "done")}\nrestart = "never"\n'
        f"[worker.flees]\ncommand = {zoo('escapee', 'mild-escapee', 'say', 'up', 'pause')}\nstop_timeout = 0.3\n"
    )
    with Kept(tmp_path, text, "kept", wrap=inside) as service:
        keeper = service.keeper()
        assert pid_in(keeper) == 1
        until(lambda: service.workers()["orphans"]["state"] == "done")
        until(lambda: service.lines("flees", 1))
        until(lambda: "Z" not in beside(keeper).values())
        assert len(beside(keeper)) == 6, "keeper, service, web, and three of the one that fled"
        with service.client() as client:
            assert client.post("/workers/flees/stop").status_code == 200
        assert len(until(lambda: len(rest := beside(keeper)) == 3 and rest)) == 3, "keeper, service, web"
        manager = service.manager()
        os.kill(manager, signal.SIGKILL)
        service.up_again(manager)
        assert len(beside(keeper)) == 3
        os.kill(keeper, signal.SIGTERM)
        assert service.end() == 0


@pytest.mark.row(63)
def test_process_1_leaves_within_the_time_for_it_and_with_the_status_of_who_mattered(tmp_path, inside):
    stubborn = f"[worker.stubborn]\ncommand = {zoo('ignore', 'TERM', 'say', 'up', 'pause')}\nstop_timeout = 60\n"
    with Kept(tmp_path, f"[service]\nshutdown_timeout = 0.5\n{stubborn}", "kept", wrap=inside) as service:
        until(lambda: service.lines("stubborn", 1))
        begun = time.monotonic()
        os.kill(service.keeper(), signal.SIGTERM)
        assert service.end() == 0
        assert 0.5 <= time.monotonic() - begun < 3
    text = f"[worker.main]\ncommand = {zoo('until', 'USR1', 'write', 'forever', 'rate=10', 'exit', '5')}\n"
    with Kept(tmp_path, text + 'essential = true\nrestart = "never"\n' + stays("web"), "kept", wrap=inside) as service:
        until(lambda: service.lines("main", 1))
        keeper = service.keeper()
        inner = service.workers()["main"]["pid"]
        os.kill(next(pid for pid in beside(keeper) if pid_in(pid) == inner), signal.SIGUSR1)
        assert service.end() == 5


@pytest.mark.row(63)
def test_what_a_terminal_sends_comes_to_the_keeper_alone(tmp_path):
    """Once, so it is an order to leave, and not the second one, which kills."""
    text = f"[worker.web]\ncommand = {zoo('until', 'TERM', 'say', 'up', 'write', 'forever', 'rate=10', 'say', 'bye')}\n"
    with Kept(tmp_path, text + "start_seconds = 0\n", "kept", wrap=("setsid",)) as service:
        until(lambda: service.lines("web", 2)[1:])
        pids = [service.workers()["web"]["pid"], service.manager()]
        assert group_of(service.pid) == [service.pid] == [service.keeper()]
        assert len({os.getsid(pid) for pid in (*pids, service.pid)}) == 3
        os.killpg(service.pid, signal.SIGHUP)
        os.killpg(service.pid, signal.SIGINT)
        assert service.end() == 0
        assert not any(map(alive, pids))
    assert "bye" in next((tmp_path / "state" / "logs" / "web").glob("out/*.log")).read_text()


SLOW = "".join(
    f"[worker.slow{n}]\ncommand = {zoo('ignore', 'TERM', 'say', 'up', 'pause')}\nstart_seconds = 0\nstop_timeout = 1\n"
    + (f'requires = ["slow{n - 1}"]\n' if n else "")
    for n in range(4)
)


def slow(folder: Path) -> Kept:
    """Four that need each other, and take a second each to be killed: four seconds in order, one at the same time."""
    service = Kept(folder, SLOW, "kept")
    until(lambda: len([name for name in service.workers() if service.lines(name, 1)]) == 4)
    return service


@pytest.mark.row(63)
def test_a_service_that_is_killed_while_all_leave_is_not_missed(tmp_path):
    """The keeper stops all at the same time, each in its own way."""
    with slow(tmp_path) as service:
        pids = [row["pid"] for row in service.workers().values()]
        os.kill(service.keeper(), signal.SIGTERM)
        until(lambda: service.workers()["slow3"]["state"] == "stopping")
        begun = time.monotonic()
        os.kill(service.manager(), signal.SIGKILL)
        assert service.end() == 1
        assert time.monotonic() - begun < 3
    assert not any(map(alive, pids))


@pytest.mark.long
@pytest.mark.row(53, 63)
@pytest.mark.parametrize("signals", [1, 2])
def test_a_service_that_stands_still_while_all_leave_is_not_waited_for(tmp_path, signals):
    """It is absent after five seconds; a second signal means that nobody is asked any more."""
    with slow(tmp_path) as service:
        pids = [row["pid"] for row in service.workers().values()]
        manager = service.manager()
        os.kill(manager, signal.SIGSTOP)
        begun = time.monotonic()
        for _ in range(signals):
            os.kill(service.pid, signal.SIGTERM)
        assert service.end() == 1
        taken = time.monotonic() - begun
        assert (6 if signals == 1 else 5) <= taken < 8
    assert not any(map(alive, [*pids, manager]))
