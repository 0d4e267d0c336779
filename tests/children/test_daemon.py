"""A worker whose main process leaves: with `daemon` what it left is the worker; else it is ended, and named."""

import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from supervisor_core import State
from supervisor_core.children import Ended, listed
from supervisor_core.children.fake import FakeSpawner
from supervisor_core.logs import View
from supervisor_core.messages import LeaderExited, Signal
from supervisor_core.model import StopPolicy
from tests.children.played import begun, lead, pass_time, said, spec, turn
from tests.children.rigs import alive
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
        left = await headless(supervisor)
        await until(supervisor, supervisor.get("web"), State.RUNNING)
        status = supervisor.status("web")
        assert (status.ready, status.last_exit.code) == (True, 0)
        assert status.leader_gone >= 1, "one more, perhaps, that only helped to get away"
        assert any(map(alive, left))
        supervisor.get("web").shutdown()
        await until(supervisor, supervisor.get("web"), State.STOPPED)
        assert not any(map(alive, left))
        assert supervisor.status("web").last_exit.by == "library"

    lead(test, "daemon", "say", "up", "pause", daemon=True)


@pytest.mark.row(10)
def test_the_end_of_what_is_left_is_the_end_of_the_run():
    async def test(supervisor):
        left = await headless(supervisor)
        supervisor.tell(Signal("web", "USR1"))
        await until(supervisor, supervisor.get("web"), State.DONE)
        assert not any(map(alive, left))
        exit = supervisor.status("web").last_exit
        assert (exit.code, exit.reason) == (
            0, "nothing of it is left; its main process had gone before (exit 0)",
        )  # fmt: skip

    lead(test, "daemon", "say", "up", "pause", daemon=True)


# ---------------------------------------------------------------- names


def test_a_few_are_named_and_the_rest_is_counted():
    def name(pid):
        return {1: "sh", 2: ""}.get(pid, f"p{pid}")

    assert listed((), name) == ""
    assert listed((1, 2, 3), name) == "1 sh, 2, 3 p3"
    assert listed(range(1, 6), name) == "1 sh, 2, 3 p3, 4 p4, 5 p5"
    assert listed(range(3, 1003), name) == "3 p3, 4 p4, 5 p5, 6 p6, 7 p7 and 995 more"


@virtual
async def test_what_a_main_process_leaves_is_named_before_it_is_ended():
    spawner = FakeSpawner()
    spawner.expect("web", descendants=7, stubborn=True)
    task, p, child = await begun(spec(), spawner)
    first, *_, last = child.left()[1:6]
    child.exit(3)
    await turn()
    (line,) = p.notes
    assert line.startswith(f"the main process has ended (exit status 3); ending what it left: {first} fake, ")
    assert line.endswith(f", {last} fake and 2 more")
    p.interrupt()
    await turn()
    task.cancel()
    await task
    assert p.notes[1:] == [line.replace("the main process has ended (exit status 3); ending what it left:", "killed")]


@virtual
async def test_a_main_process_that_is_killed_alone_is_not_named():
    task, p, child = await begun(spec())
    task.cancel()
    await task
    assert (child.killed, p.notes) == (1, [])


@virtual
async def test_who_leaves_when_asked_is_not_named():
    spawner = FakeSpawner()
    spawner.expect("web", descendants=2, stubborn=True)
    task, p, child = await begun(spec(), spawner)
    p.interrupt()
    await turn()
    assert child.leader_exited.done()
    assert p.notes == [], "the others have the time that they were given"
    task.cancel()
    await task
    first, second = (f"{child.pid + n} fake" for n in (1, 2))
    assert p.notes == [f"killed {first}, {second}"]


@virtual
async def test_what_a_daemon_goes_on_as_is_named():
    task, p, child = await a_daemon(1)
    assert p.notes == [f"the main process has ended (exit status 0); what it left goes on: {child.pid + 1} fake"]
    child.descendant_exits()
    await task


@virtual
async def test_nobody_promises_that_what_a_failed_daemon_left_goes_on():
    """Before it is ready it has not become one, and is ended."""
    spawner = FakeSpawner()
    spawner.expect("web", descendants=1)
    task, p, child = await begun(replace(spec(), daemon=True), spawner)
    child.exit(3)
    await turn()
    assert p.notes == [f"the main process has ended (exit status 3); it left: {child.pid + 1} fake"]
    child.descendant_exits()
    await task


def notes(supervisor):
    return [item.text for item in supervisor.logs.tail(View(("web",), streams=frozenset({"log"})), 50).items]


@pytest.mark.row(7)
def test_real_survivors_stand_in_the_log():
    async def test(supervisor):
        await said(supervisor, "up")
        _, *left = supervisor.spawner.attach("web", 1).left()
        supervisor.get("web").shutdown()
        await until(supervisor, supervisor.get("web"), State.STOPPED)
        killed = [text for text in notes(supervisor) if text.startswith("killed ")]
        assert len(left) == 1
        assert killed == [f"killed {left[0]} {Path(sys.executable).name[:15]}"]

    lead(test, "stubborn-child", "say", "up", "pause", stop=StopPolicy((("TERM", 0.2),)))
