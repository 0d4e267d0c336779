"""What is killed, and what nobody notices of it: the service, its keeper, and both, while twenty workers write.

A worker counts its lines and says at its end how many there were. Known wart: a worker's own count is trusted.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from supervisor_core import keeper
from supervisor_core.children import procfs
from supervisor_core.keeper.foreign import LOST
from tests.faults.service import Service, alive, stays, until, zoo
from tests.support.sequences import Sequence, of_files

KEEPER = os.fsencode(Path(keeper.__file__).with_name("__main__.py"))
WRITERS = 20
RATE = 1000
"""Lines a second of each."""

SOON = 2.0
"""Seconds in which a service must be there again."""

IMPORTS = 5
"""On a machine so busy that they take longer: as many times the seconds in which a new Python imports FastAPI and
uvicorn, beside the same writers. That is most of what a service does until it answers; on a quiet machine it is 0.4 s.
"""


def config(writers: int) -> str:
    """Writers that write until USR1 and then say how much, each with its own exit code; and one to be stopped."""
    text = '[worker.stopped]\ncommand = ["sleep", "600"]\nstart_seconds = 0\n'
    for n in range(writers):
        words = ("until", "USR1", "write", "forever", "size=100", "batch=10", f"rate={RATE}", "seal", "exit")
        text += f'[worker.w{n}]\ncommand = {zoo(*words, str(n + 1))}\nstart_seconds = 0\nrestart = "never"\n'
    return text


def identity(pid: int) -> tuple[int, str]:
    """A process and when it began."""
    return pid, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Kept(Service):
    """A service with a keeper. `manager()` is the process that answers, `keeper()` the one that owns the workers."""

    def keeper(self) -> int:
        """The pid of the process that is the keeper of this state folder; 0 while there is none."""
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = place.read_bytes().split(b"\0")
                if words[3:5] == [KEEPER, os.fsencode(self.state)] and alive(int(place.parent.name)):
                    return int(place.parent.name)
        return 0

    def known_keeper(self) -> int:
        """The pid that the service gives as its keeper's, once that has told what is alive."""
        return int(json.loads((self.state / "running.json").read_text())["pid"])

    def signal(self, number: int) -> None:
        """To the keeper that is there now."""
        if keeper := self.keeper():
            os.kill(keeper, number)

    def __exit__(self, *_: object) -> None:
        """The process that was started may be gone, and others go on in its place."""
        self.signal(signal.SIGTERM)
        self.end()

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
        if name != "stopped" and pid:
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


def import_seconds() -> float:
    """What a new Python takes now to import what a service needs."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "import fastapi, sse_starlette, uvicorn"], check=True)
    return time.monotonic() - begun


def killing(tmp_path: Path, kills: int, whom: str) -> None:
    """Kills the service or its keeper so often, looks each time, and holds how long it was away against the promise."""
    taken, pace = [], [import_seconds()]
    with Kept(tmp_path, config(WRITERS), "kept") as service:
        pids = {name: service.pid_of(name) for name in told(service) if name != "stopped"}
        begun = {name: identity(pid) for name, pid in pids.items()}
        with service.client() as client:
            client.post("/workers/stopped/stop")
        for number in range(kills):
            if number % 5 == 0:
                pace.append(import_seconds())
            manager, keeper = service.manager(), service.keeper()
            if whom == "service":
                os.kill(manager, signal.SIGKILL)
                taken.append(service.up_again(manager))
            else:
                os.kill(keeper, signal.SIGKILL)
                at = time.monotonic()
                until(lambda old=keeper: service.known_keeper() not in (0, old), 20)
                assert len(procfs.children(manager) or ()) == 1, "of those before nothing is left"
                until(service.workers)
                taken.append(time.monotonic() - at)
            now = told(service)
            for name, pid in pids.items():
                assert identity(pid) == begun[name]
                assert now[name] == ("running", 1, pid)
            assert now["stopped"][0] == "stopped"
        finish(service, pids)
    report(whom, taken, max(SOON, IMPORTS * max(pace)))


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("whom", "kills"),
    [
        pytest.param("service", 20, marks=pytest.mark.row(32)),
        pytest.param("keeper", 10, marks=pytest.mark.row(33)),
        pytest.param("service", 100, marks=[pytest.mark.row(32), pytest.mark.long]),
        pytest.param("keeper", 100, marks=[pytest.mark.row(33), pytest.mark.long]),
    ],
)
def test_one_of_the_two_is_killed_again_and_again_and_no_worker_notices(tmp_path, whom, kills):
    killing(tmp_path, kills, whom)


@pytest.mark.row(34)
def test_both_are_killed_and_who_is_started_then_finds_all_that_live(tmp_path):
    """Those that live lose nothing, since a full pipe makes them wait. One that ends meanwhile leaves no exit code."""
    with Kept(tmp_path, config(4), "kept") as service:
        pids = {name: service.pid_of(name) for name in told(service) if name != "stopped"}
        begun = {name: identity(pid) for name, pid in pids.items()}
        with service.client() as client:
            client.post("/workers/stopped/stop")
        manager = service.manager()
        both = service.keeper(), manager
        for number in (signal.SIGSTOP, signal.SIGKILL):  # so that neither sees the other's end
            for pid in both:
                os.kill(pid, number)
        service.end()
        os.kill(pids.pop("w3"), signal.SIGKILL)
        until(lambda: not alive(begun["w3"][0]))
    with Kept(tmp_path, "", "kept") as service:
        now = told(service)
        for name, pid in pids.items():
            assert identity(pid) == begun[name]
            assert now[name] == ("running", 1, pid)
        assert now["w3"][:2] == ("failed", 1)
        assert service.workers()["w3"]["last_exit"]["reason"] in ("killed by SIGKILL", LOST)
        finish(service, pids)


@pytest.mark.row(34)
def test_both_are_killed_and_what_was_stopped_stays_so_but_for_whom_the_next_start_names(tmp_path):
    text = stays("db", "other") + stays("web", more='requires = ["db"]\n')
    with Kept(tmp_path, text, "kept") as service:
        for name in ("web", "db", "other"):
            with service.client() as client:
                assert client.post(f"/workers/{name}/stop").status_code == 200
        both = service.keeper(), service.manager()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in both:
                os.kill(pid, number)
        service.end()
    with Kept(tmp_path, "", "kept", "web") as service:
        until(lambda: told(service)["web"][0] == "running")
        assert {name: row[0] for name, row in told(service).items()} == {
            "db": "running", "other": "stopped", "web": "running",
        }  # fmt: skip


@pytest.mark.row(34)
def test_of_a_terminal_that_went_with_both_the_log_says_so(tmp_path):
    words = zoo("ignore", "HUP", "pause")
    with Kept(tmp_path, f"[worker.w]\ncommand = {words}\nstart_seconds = 0\ntty = true\n", "kept") as service:
        pid = service.pid_of("w")
        both = service.keeper(), service.manager()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for one in both:
                os.kill(one, number)
        service.end()
    with Kept(tmp_path, "", "kept") as service:
        assert service.pid_of("w") == pid
        said = [line["text"] for line in service.lines("w", stream="log")]
        assert any("is lost until it is restarted" in text for text in said), said


def report(what: str, taken: list[float], soon: float) -> None:
    """Prints what a person wants to know of it, and holds it against what is promised."""
    taken = sorted(taken)
    median, most = taken[len(taken) // 2], taken[-1]
    print(
        f"\n{len(taken)} kills of the {what}: all answer again after {median:.2f} s in the median, {most:.2f} at most"
    )
    assert most < soon


@pytest.mark.row(36)
def test_five_that_end_while_no_service_is_there_are_explained_by_the_next(tmp_path):
    with Kept(tmp_path, config(5), "kept") as service:
        pids = {name: service.pid_of(name) for name in told(service) if name != "stopped"}
        manager = service.manager()
        os.kill(manager, signal.SIGKILL)  # the next one needs half a second to come
        gone = time.time()
        for pid in pids.values():
            os.kill(pid, signal.SIGUSR1)
        until(lambda: not any(map(alive, pids.values())))
        service.up_again(manager)
        finish(service, dict.fromkeys(pids, 0))
        for name in pids:
            at = datetime.fromisoformat(service.workers()[name]["last_exit"]["at"]).timestamp()
            assert abs(at - gone) < 1.0, "when it was, not when it was told"
            assert service.lines(name, 1)[-1]["text"].startswith("seal ")
