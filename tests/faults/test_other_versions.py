"""A keeper or a service of an earlier version beside today's: the protocol only grows, so they understand each other.

The earlier version is the first one that had a keeper, taken from the repository's own history; without that history
these tests are left out. Known wart: what a version in between did is not tried.
"""

import io
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from app.settings import Instance
from supervisor_core.keeper.orders import Orders
from tests.faults.service import ROOT, alive, stays, until, zoo
from tests.faults.test_kills import Kept, identity
from tests.faults.test_upgrade import asked, pipes
from tests.support.sequences import Sequence, of_files

KEEPER = "cfa6efb8b44d22b211e9846718126660429c2ccc"
"""The first keeper that a service ran on."""

SERVICE = "5e12353"
"""The first service that attached to what it found."""

WRITES = "until USR1 write forever size=100 rate=1000 seal exit 7"
TEXT = stays("web") + (f'[worker.writes]\ncommand = {zoo(*WRITES.split())}\nstart_seconds = 0\nrestart = "never"\n')


def tree(revision: str, place: Path) -> Path:
    """The product's code as it was then, in `place`."""
    command = ["git", "archive", revision, "app", "supervisor_core", "templates", "static", "pyproject.toml"]
    archive = subprocess.run(command, cwd=ROOT, capture_output=True)
    if archive.returncode:  # also in CI: a shallow clone and an unpacked sdist are no fault of the product
        pytest.skip(f"the history has no {revision}")
    place.mkdir()
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(place, filter="data")
    return place


class Pair(Kept):
    """A service of one tree on a keeper of another one; the keeper is run from `keeper`, which may change meanwhile."""

    def __init__(self, folder: Path, keeper: Path, service: Path) -> None:
        self.config, self.state = folder / "quarterdeck.toml", folder / "state"
        self.config.write_text(TEXT)
        self.config.chmod(0o600)
        instance = Instance(self.config, self.state)
        instance.make_state()
        command = [sys.executable, "-m", "app", "up", "-c", str(self.config), "--state", str(self.state)]
        orders = Orders(str(self.state), instance.mark, (*command, "--listen", "127.0.0.1:0"))
        number, program = orders.write(), keeper / "supervisor_core" / "keeper" / "__main__.py"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("QUARTERDECK_")}
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                str(program),
                str(self.state),
                str(number),
            ],
            cwd=service,
            env={**kept, "XDG_STATE_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=(number,),
        )
        os.close(number)
        self.pid, self.said = self.process.pid, []
        if not self.until("quarterdeck: config"):
            self.process.wait(30)

    def keeper(self) -> int:
        return self.pid if alive(self.pid) else 0


def judge(service: Kept, pid: int) -> None:
    """Lets the writer end, and compares."""
    os.kill(pid, signal.SIGUSR1)
    until(lambda: service.workers()["writes"]["state"] == "failed")
    assert service.workers()["writes"]["last_exit"]["code"] == 7
    sequence = Sequence(100).all(of_files(service.state / "logs" / "writes" / "out"))
    assert sequence.end() == ""
    assert sequence.seen > 0


@pytest.mark.row(39)
def test_todays_service_on_an_earlier_keeper_and_then_both_of_today(tmp_path):
    place = tmp_path / "installed"
    place.symlink_to(tree(KEEPER, tmp_path / "earlier"))
    with Pair(tmp_path, place, ROOT) as service:
        pids = {name: service.pid_of(name) for name in ("web", "writes")}
        before = {name: (identity(pid), pipes(pid)) for name, pid in pids.items()}
        with service.client() as client:
            restarted = client.post("/workers/web/restart").json()["worker"]["pid"]
        assert not alive(pids["web"])
        pids["web"] = restarted
        before["web"] = identity(restarted), pipes(restarted)
        manager, keeper = service.manager(), service.keeper()
        os.kill(manager, signal.SIGKILL)
        service.up_again(manager)
        assert {name: service.pid_of(name) for name in pids} == pids

        place.unlink()
        place.symlink_to(ROOT)
        told = asked(service)
        assert told["keeper"]["pid"] == keeper
        assert {name: (identity(pid), pipes(pid)) for name, pid in pids.items()} == before
        assert {name: service.pid_of(name) for name in pids} == pids
        judge(service, pids["writes"])


@pytest.mark.row(39)
def test_an_earlier_service_on_todays_keeper(tmp_path):
    with Pair(tmp_path, ROOT, tree(SERVICE, tmp_path / "earlier")) as service:
        pids = {name: service.pid_of(name) for name in ("web", "writes")}
        manager = service.manager()
        os.kill(manager, signal.SIGKILL)
        service.up_again(manager)
        assert {name: service.pid_of(name) for name in pids} == pids
        judge(service, pids["writes"])
