"""What is killed, and what nobody notices of it: the service, its keeper, and both, while twenty workers write.

A worker counts its lines and says at its end how many there were. Known wart: a worker's own count is trusted.
"""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.service import Service, alive, until, zoo
from tests.support.sequences import Sequence, of_files

WRITERS = 20
RATE = 1000
"""Lines a second of each."""

SOON = 2.0
"""Seconds in which a service must be there again."""


def config(writers: int) -> str:
    """Writers that write until USR1 and then say how much, each with its own exit code; and one to be stopped."""
    text = '[worker.stopped]\ncommand = ["sleep", "600"]\nstart_seconds = 0\n'
    for n in range(writers):
        words = ("until", "USR1", "write", "forever", "size=100", "batch=10", f"rate={RATE}", "seal", "exit", str(n + 1))
        text += f'[worker.w{n}]\ncommand = {zoo(*words)}\nstart_seconds = 0\nrestart = "never"\n'
    return text


def identity(pid: int) -> tuple[int, str]:
    """A process and when it began."""
    return pid, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Kept(Service):
    """A service with a keeper. `manager()` is the process that answers, `keeper()` the one that owns the workers."""

    def manager(self) -> int:
        """The pid at the other end of the socket."""
        import socket
        import struct

        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(self.state / "socket"))
            data = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int(struct.unpack("3i", data)[0])

    def keeper(self) -> int:
        import json

        return int(json.loads((self.state / "running.json").read_text())["pid"])

    def signal(self, number: int) -> None:
        """To the keeper that is there now."""
        if alive(keeper := self.keeper()):
            os.kill(keeper, number)

    def up_again(self, before: int) -> float:
        """Waits until another process than `before` answers with all workers; gives the seconds."""
        begun = time.monotonic()

        def there():
            try:
                return self.manager() != before and self.workers()
            except OSError:
                return None
            except Exception as error:
                if "connect" in str(error).lower() or "disconnected" in str(error).lower():
                    return None
                raise

        until(there, 20)
        return time.monotonic() - begun


def told(service: Service) -> dict[str, tuple[str, int, int | None]]:
    return {name: (row["state"], row["run"], row["pid"]) for name, row in service.workers().items()}


def finish(service: Service, pids: dict[str, int]) -> None:
    """Lets the writers end, and compares everything with what they say of themselves."""
    for name, pid in pids.items():
        if name != "stopped":
            os.kill(pid, signal.SIGUSR1)
    until(lambda: all(row[0] in ("done", "failed") for name, row in told(service).items() if name != "stopped"), 20)
    rows = service.workers()
    for name in pids:
        if name == "stopped":
            continue
        exit = rows[name]["last_exit"]
        assert (exit["code"], exit["signal"]) == (int(name[1:]) + 1, None), rows[name]
        sequence = Sequence(100).all(of_files(service.state / "logs" / name / "out"))
        assert sequence.end() == "", (name, sequence.end())
        assert sequence.seen > 0


def killing(tmp_path: Path, mode_kills: int, whom: str) -> list[float]:
    taken = []
    with Kept(tmp_path, config(WRITERS), "kept") as service:
        pids = {name: service.pid_of(name) for name in told(service) if name != "stopped"}
        begun = {name: identity(pid) for name, pid in pids.items()}
        with service.client() as client:
            client.post("/workers/stopped/stop")
        for _ in range(mode_kills):
            manager, keeper = service.manager(), service.keeper()
            if whom == "manager":
                os.kill(manager, signal.SIGKILL)
                taken.append(service.up_again(manager))
            else:
                os.kill(keeper, signal.SIGKILL)
                at = time.monotonic()
                until(lambda old=keeper: service.keeper() not in (0, old) and alive(service.keeper()), 20)
                taken.append(time.monotonic() - at)
            now = told(service)
            for name, pid in pids.items():
                assert identity(pid) == begun[name]
                assert now[name] == ("running", 1, pid)
            assert now["stopped"][0] == "stopped"
        finish(service, pids)
    return taken


@pytest.mark.row(32)
def test_the_service_is_killed_twenty_times_and_no_worker_notices(tmp_path):
    taken = killing(tmp_path, 20, "manager")
    print("attached again after", " ".join(f"{seconds:.2f}" for seconds in sorted(taken)), "s")
    assert max(taken) < SOON


@pytest.mark.row(33)
def test_the_keeper_is_killed_ten_times_and_no_worker_notices(tmp_path):
    taken = killing(tmp_path, 10, "keeper")
    print("replaced after", " ".join(f"{seconds:.2f}" for seconds in sorted(taken)), "s")
    assert max(taken) < SOON
