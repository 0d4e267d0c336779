"""A process number that was given out again while nobody watched: who has it now is a stranger, and is left alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor_core.keeper.book import Book
from tests.faults.service import ROOT, Service, alive, stays
from tests.support.needs import private_processes


@pytest.fixture
def stranger():
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield process.pid
    process.kill()
    process.wait()


def begun(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


@pytest.mark.row(37)
@pytest.mark.parametrize("differs", ["start", "boot"])
def test_a_record_that_names_a_strangers_number_touches_nobody(tmp_path, stranger, differs):
    folder = tmp_path / "state" / "keeper"
    folder.mkdir(parents=True)
    (tmp_path / "state").chmod(0o700)
    (tmp_path / "state" / "lock").touch()
    book = Book(str(folder), **({"boot": "another"} if differs == "boot" else {}))
    book.intend("web", 7, streams=["out"], tag="nobody:7:web", group="", stop=[[15, 1.0]])
    book.started("web", 7, stranger, begun(stranger) - (100 if differs == "start" else 0))
    book.set("logs", None)
    book.close()
    with Service(tmp_path, stays("web"), "kept") as service:
        pid = service.pid_of("web")
        assert pid != stranger
        with service.client() as client:
            client.post("/workers/web/stop")
        assert not alive(pid)
        assert alive(stranger)
    assert alive(stranger)


SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from tests.faults.service import alive, stays, until
from tests.faults.test_kills import Kept

folder = Path(sys.argv[1])
with Kept(folder, stays("web"), "kept") as service:
    worker, both = service.pid_of("web"), (service.keeper(), service.manager())
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in both:
            os.kill(pid, number)
    service.end()
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)  # this is the first process here: what is orphaned comes to it
stranger = 0
while stranger != worker:
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(worker - 1))
    stranger = os.posix_spawn("/bin/sleep", ["sleep", "600"], {"ITS": "own"}, setsid=True)
    if stranger != worker:
        os.kill(stranger, signal.SIGKILL)
        os.waitpid(stranger, 0)
with Kept(folder, "", "kept") as service:
    until(lambda: service.workers()["web"]["run"] == 2)
    again = service.pid_of("web")
    with service.client() as client:
        client.post("/workers/web/restart")
print(json.dumps({"same": stranger == worker, "again": again != worker, "alive": alive(stranger)}))
os.kill(stranger, signal.SIGKILL)
"""


@pytest.mark.row(37)
def test_a_number_that_was_really_given_out_again(tmp_path):
    """In a namespace of process numbers, where the next one can be chosen."""
    found = subprocess.run(
        [*private_processes(), sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout.splitlines()[-1]) == {"same": True, "again": True, "alive": True}
