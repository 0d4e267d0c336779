"""A worker whose main process leaves: with `daemon` what it left is the worker; else it is ended, and named."""

import signal
from dataclasses import replace

import pytest

from supervisor_core import State
from supervisor_core.children import Ended
from supervisor_core.children.fake import FakeSpawner
from supervisor_core.messages import LeaderExited, Signal
from tests.children.rigs import alive
from tests.children.test_program import begun, lead, pass_time, said, spec, turn
from tests.shell.minions import until
from tests.support.virtual import virtual


def lefts(p):
    return [report.left for report in p.told if isinstance(report, LeaderExited)]


async def a_daemon(descendants=2):
    """One whose main process has just left with 0."""
    spawner = FakeSpawner()
    spawner.expect("web", descendants=descendants)
    task, p, child = await begun(replace(spec(), daemon=True), spawner)
    child.exit(0)
    await turn()
    return task, p, child


@virtual
async def test_a_daemon_is_ready_when_something_of_it_stayed_up():
    task, p, child = await a_daemon()
    child.descendant_exits()
    assert (p.readies, lefts(p)) == ([], [2])
    await pass_time(2.1)
    assert (p.readies, lefts(p)) == ([2.0], [2, 1]), "who only helped to start it has gone, so they are counted anew"
    child.descendant_exits()
    assert await task == Ended(code=0)


@virtual
async def test_a_daemon_of_which_nothing_stays_is_not_ready():
    task, p, child = await a_daemon(1)
    child.descendant_exits()
    await task
    await pass_time(3)
    assert p.readies == []


@virtual
async def test_a_signal_goes_to_what_is_left():
    task, p, child = await a_daemon()
    p.send("HUP", False)
    assert child.signals == [(signal.SIGHUP, True)]
    await task


async def headless(supervisor):
    """The pids of a daemon once its main process has gone."""
    await said(supervisor, "up")
    stream = supervisor.journal.follow(0)
    while supervisor.status("web").leader_gone is None:
        await anext(stream)
    await stream.aclose()
    return supervisor.spawner.attach("web", 1).left()


@pytest.mark.row(10)
def test_a_daemon_runs_on_without_its_main_process_until_it_is_stopped():
    async def test(supervisor):
        (left,) = await headless(supervisor)
        await until(supervisor, supervisor.get("web"), State.RUNNING)
        status = supervisor.status("web")
        assert (status.ready, status.leader_gone, status.last_exit.code) == (True, 1, 0)
        assert alive(left)
        supervisor.get("web").shutdown()
        await until(supervisor, supervisor.get("web"), State.STOPPED)
        assert not alive(left)
        assert supervisor.status("web").last_exit.by == "library"

    lead(test, "daemon", "say", "up", "pause", daemon=True)


@pytest.mark.row(10)
def test_the_end_of_what_is_left_is_the_end_of_the_run():
    async def test(supervisor):
        (left,) = await headless(supervisor)
        supervisor.tell(Signal("web", "USR1"))
        await until(supervisor, supervisor.get("web"), State.DONE)
        assert not alive(left)
        exit = supervisor.status("web").last_exit
        assert (exit.code, exit.reason) == (
            0, "nothing of it is left; its main process had gone before (exit 0)",
        )  # fmt: skip

    lead(test, "daemon", "say", "up", "pause", daemon=True)
