"""A worker that no signal ends: it is stuck, there is no second one of it, and nobody else is troubled.

The freezer of control groups (version 1) makes one: a frozen process keeps even a KILL until it is thawed, as one does
that waits in the kernel for a disk or a network that has gone. It needs root.
"""

import contextlib
import os
import secrets
import select
import signal
from pathlib import Path

import pytest

from tests.children.rigs import zoo
from tests.faults.rig import AGAIN, Host, worker

FREEZER = Path("/sys/fs/cgroup/freezer")


class Freezer:
    """A control group whose members do nothing while it is frozen. Gone with the test, and thawed before."""

    def __init__(self):
        self.folder = FREEZER / f"test-of-quarterdeck-{secrets.token_hex(4)}"
        self.folder.mkdir()

    def freeze(self, pid):
        (self.folder / "tasks").write_text(str(pid))
        self._turn("FROZEN")

    def thaw(self):
        self._turn("THAWED")

    def remove(self):
        """Waits until its members have gone, with some help if a test has failed before it ended them."""
        self.thaw()
        for _ in range(500):
            with contextlib.suppress(OSError):
                self.folder.rmdir()
                return
            for pid in (self.folder / "tasks").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            select.select([], [], [], 0.01)
        raise AssertionError(f"somebody is left in {self.folder}")

    def _turn(self, state):
        place = self.folder / "freezer.state"
        place.write_text(state)
        while place.read_text().strip() != state:  # FREEZING: one of them is on its way still
            os.sched_yield()


@pytest.fixture
def freezer():
    try:
        freezer = Freezer()
    except OSError as error:  # also in CI: many kernels have version 2 only
        pytest.skip(f"needs the freezer of control groups, version 1, and the right to use it: {error}")
    yield freezer
    freezer.remove()


def company(folder, **changes):
    """One that will be stuck, started again whenever it ends, and one that is well."""
    quickly = {"restart": AGAIN, "grace": 0.05, "kill_timeout": 0.1}
    return Host(folder, [worker("w", zoo("pause"), **quickly | changes), worker("well", zoo("pause"), **quickly)])


def stuck(host, freezer):
    """Freezes the worker and orders it to stop; gives what is said when it is stuck."""
    pid = host.until("w", "running")["pid"]
    host.until("well", "running")
    freezer.freeze(pid)
    host.order("stop", "w")
    while not (said := host.until("w", "killing", "stopped"))["stuck"]:
        assert said["state"] == "killing", "it is believed to have ended"
    assert (said["run"], said["pid"]) == (1, pid)
    return pid


@pytest.mark.row(9)
def test_one_that_cannot_be_killed_is_stuck_until_it_can(tmp_path, freezer):
    with company(tmp_path) as host:
        pid = stuck(host, freezer)
        assert host.cpu_while(0.5) < 0.1, "it looks again seldom"
        freezer.thaw()
        said = host.until("w", "stopped")
        assert said["exit"][:3] == [1, None, 9]
        assert not said["stuck"]
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.row(9)
def test_no_second_one_is_started_beside_it_and_others_are_not_troubled(tmp_path, freezer):
    with company(tmp_path) as host:
        pid = stuck(host, freezer)
        host.order("start", "w")
        assert len(host.probe("well", 5)) == 5, "others end and start as ever"
        host.order("stop", "well")
        host.until("well", "stopped")
        assert {said["pid"] for said in host.seen if said.get("worker") == "w"} == {None, pid}
        assert Path(f"/proc/{pid}").exists()
        freezer.thaw()
        again = host.until("w", "running")
        assert (again["run"], again["stuck"]) == (2, False)
        assert again["pid"] not in (None, pid)


@pytest.mark.long
@pytest.mark.row(9)
def test_a_supervisor_leaves_although_one_is_stuck(tmp_path, freezer):
    """In a bounded time; what could not be ended is the kernel's to end."""
    with company(tmp_path) as host:
        pid = stuck(host, freezer)
        host.leave()
        assert Path(f"/proc/{pid}").exists()
        freezer.thaw()
