"""The work of a configured program: what it reports and sends, and what a cancellation does at each of its waits."""

import asyncio
import os
import signal
import sys

import pytest

from supervisor_core import State
from supervisor_core.children import TAG, Ended
from supervisor_core.children.fake import FakeSpawner
from supervisor_core.environment import environment_of
from supervisor_core.errors import CannotStart, SupervisorError
from supervisor_core.messages import LeaderExited, Signal, Spawned
from supervisor_core.model import Program, StopPolicy, WorkerSpec
from supervisor_core.program import program, signal_number
from tests.children.played import Played, begun, lead, pass_time, said, spec, turn
from tests.children.rigs import alive
from tests.shell.minions import until
from tests.support.virtual import virtual


@virtual
async def test_what_is_asked_of_the_spawner():
    spawner = FakeSpawner(instance="me")
    task, _, child = await begun(spec(directory="/srv", redirect_stderr=True, environment={"A": "1"}), spawner)
    request = child.request
    assert (request.worker, request.run, request.argv, request.directory) == ("web", 1, ("run", "it"), "/srv")
    assert (request.merge_stderr, request.stdin, request.output) == (True, None, None)
    assert request.environment["A"] == "1"
    assert request.environment[TAG].split()[-1] == "me:1:web"
    child.exit()
    assert await task == Ended(code=0)


@virtual
async def test_ready_means_up_for_some_seconds():
    task, p, child = await begun(spec())
    assert p.told == [Spawned("web", 1, child.pid)]
    await pass_time(1.9)
    assert p.readies == []
    await pass_time(0.2)
    assert p.readies == [2.0]
    child.exit(3)
    assert await task == Ended(3, None, "exit status 3")
    assert p.told == [Spawned("web", 1, child.pid)], "the end is told by the work's return alone"


@virtual
async def test_a_probe_alone_says_ready():
    task, p, child = await begun(spec(ready_probe=True))
    await pass_time(10)
    child.exit()
    await task
    assert p.readies == []


@virtual
async def test_one_whose_leader_left_early_is_not_ready():
    spawner = FakeSpawner()
    spawner.expect("web", descendants=1)
    task, p, child = await begun(spec(), spawner)
    child.exit(4)
    await pass_time(10)
    assert p.readies == []
    assert not task.done()
    report = p.told[1]
    assert isinstance(report, LeaderExited)
    assert (report.exit.code, report.exit.reason, report.left) == (4, "exit status 4", 1)
    child.descendant_exits()
    assert await task == Ended(4, None, "exit status 4")


@pytest.mark.row(6)
@virtual
async def test_the_steps_of_a_stop():
    steps = (("INT", 5.0), ("TERM", 3.0))
    spawner = FakeSpawner()
    spawner.expect("web", ignores=["INT", "TERM"])
    task, p, child = await begun(spec(stop=steps), spawner)
    p.interrupt()
    await pass_time(4.9)
    assert child.signals == [(signal.SIGINT, True), (signal.SIGCONT, True)]
    await pass_time(0.2)
    assert child.signals[2:] == [(signal.SIGTERM, True), (signal.SIGCONT, True)]
    await pass_time(100)
    assert not task.done(), "the kill is somebody else's decision"
    assert child.killed == 0
    task.cancel()
    assert await task == Ended(None, signal.SIGKILL, "killed by SIGKILL")


@virtual
async def test_one_that_obeys_gets_no_further_step():
    task, p, child = await begun(spec(stop=(("INT", 5.0), ("TERM", 3.0))))
    p.interrupt()
    assert await task == Ended(None, signal.SIGINT, "terminated by SIGINT")
    await pass_time(10)
    assert [number for number, _ in child.signals] == [signal.SIGINT]


@virtual
async def test_signals_that_somebody_sends():
    task, p, child = await begun(spec())
    p.send("USR1", False)
    p.send("USR2", True)
    assert child.signals == [(signal.SIGUSR1, False), (signal.SIGUSR2, True)]
    child.exit()
    await task
    task, p, child = await begun(spec(shell=True))
    p.send("USR1", False)
    assert child.signals == [(signal.SIGUSR1, True)], "a shell does not pass them on"
    child.exit()
    await task


def test_names_of_signals():
    assert signal_number("TERM") == signal_number("SIGTERM") == signal_number("sigterm") == signal.SIGTERM
    with pytest.raises(SupervisorError, match="no signal is named 'NOPE'"):
        signal_number("NOPE")


@virtual
async def test_a_refusal_is_passed_on():
    spawner = FakeSpawner()
    spawner.refuse("web", "no such program")
    with pytest.raises(CannotStart, match="no such program"):
        await program(spec(), spawner)(Played())


# ------------------------------------------------------------ a cancellation at each wait


@virtual
async def test_cancelled_while_it_is_spawned():
    spawner = FakeSpawner()
    spawner.hold("web")
    task = asyncio.ensure_future(program(spec(), spawner)(Played()))
    await turn()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert spawner.live() == []


@virtual
async def test_cancelled_while_it_runs_again_and_again():
    spawner = FakeSpawner()
    spawner.expect("web", stuck=True)
    task, _p, child = await begun(spec(), spawner)
    for count in (1, 2, 3):
        task.cancel()
        await turn()
        assert child.killed == count
        assert not task.done()
    child.stuck = False
    task.cancel()
    assert await task == Ended(None, signal.SIGKILL, "killed by SIGKILL")


@virtual
async def test_cancelled_between_two_steps():
    spawner = FakeSpawner()
    spawner.expect("web", ignores=["TERM"])
    task, p, child = await begun(spec(), spawner)
    p.interrupt()
    await pass_time(5)
    task.cancel()
    assert (await task).signal == signal.SIGKILL
    assert child.killed == 1
    assert len(asyncio.all_tasks()) == 1, "nobody waits for the next step any more"


@virtual
async def test_cancelled_while_its_last_output_is_awaited():
    task, _p, child = await begun(spec())
    child.output_ended = asyncio.get_running_loop().create_future()
    child.close_output = lambda: None
    child.exit(0)
    await turn()
    assert not task.done()
    task.cancel()
    assert await task == Ended(code=0)


@virtual
async def test_output_that_does_not_end_is_not_waited_for_long():
    task, _p, child = await begun(spec())
    child.close_output = lambda: None
    child.exit(0)
    before = asyncio.get_running_loop().time()
    assert await task == Ended(code=0)
    assert 1 < asyncio.get_running_loop().time() - before < 5


# ------------------------------------------------------------ the environment

OUTSIDE = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/root",
    "NOTIFY_SOCKET": "/run/notify",
    "QUARTERDECK_TOKEN": "secret",
    "LANG": "C.UTF-8",
}


def environment(outside=OUTSIDE, **changes):
    fields = {"argv": ("run",)} | changes
    made = environment_of(WorkerSpec("web", program=Program(**fields)), 7, "i:7:web", outside)
    assert made.pop("QUARTERDECK_WORKER") == "web"
    assert made.pop("QUARTERDECK_RUN") == "7"
    assert made.pop(TAG).split()[-1] == "i:7:web"
    return made


def test_what_is_inherited():
    kept = {"PATH": "/usr/bin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    assert environment() == kept
    assert environment(inherit=False) == {"PYTHONUNBUFFERED": "1"}
    assert environment(inherit=("HOME", "NOPE", "QUARTERDECK_TOKEN")) == {"HOME": "/root", "PYTHONUNBUFFERED": "1"}


def test_what_we_have_now_is_inherited_and_nobody_else_changes_it(monkeypatch):
    monkeypatch.setenv("COLOUR", "red")
    first = environment_of(spec(inherit=True), 1, "tag")
    assert first["COLOUR"] == "red"
    first["COLOUR"] = "changed by whoever got it"
    assert environment_of(spec(inherit=True), 2, "tag")["COLOUR"] == "red"
    monkeypatch.setenv("COLOUR", "green")
    assert environment_of(spec(inherit=True), 3, "tag")["COLOUR"] == "green"
    monkeypatch.delenv("COLOUR")
    assert "COLOUR" not in environment_of(spec(inherit=True), 4, "tag")


def test_what_the_file_sets_wins():
    made = environment(environment={"HOME": "/home/x", "PYTHONUNBUFFERED": "", "QUARTERDECK_RUN": "9"})
    assert (made["HOME"], made["PYTHONUNBUFFERED"]) == ("/home/x", "")


def test_a_virtual_environment_is_activated():
    made = environment({"PATH": "/usr/bin", "PYTHONHOME": "/x", "VIRTUAL_ENV": "/old"}, venv="/srv/venv")
    assert (made["PATH"], made["VIRTUAL_ENV"]) == ("/srv/venv/bin:/usr/bin", "/srv/venv")
    assert "PYTHONHOME" not in made
    assert environment({}, venv="/v")["PATH"] == f"/v/bin:{os.defpath}"


def test_the_virtual_environment_that_we_run_in_is_left(monkeypatch, tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    monkeypatch.setattr(sys, "prefix", str(ours))
    made = environment({"VIRTUAL_ENV": str(ours), "PATH": f"{ours}/bin:/usr/bin:"})
    assert "VIRTUAL_ENV" not in made
    assert made["PATH"] == "/usr/bin:"
    outside = {"VIRTUAL_ENV": str(theirs), "PATH": f"{theirs}/bin:{ours}/bin:/usr/bin"}
    made = environment(outside)
    assert made["VIRTUAL_ENV"] == str(theirs)
    assert made["PATH"] == f"{theirs}/bin:/usr/bin"
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert environment({"VIRTUAL_ENV": sys.prefix})["VIRTUAL_ENV"] == sys.prefix, "not in one: nothing to leave"


def test_another_user_has_its_own_home_and_a_terminal_has_a_type():
    outside = OUTSIDE | {"USER": "root", "LOGNAME": "root", "SHELL": "/bin/zsh"}
    made = environment(outside, user="web", environment={"USER": "mine"}, tty=True)
    assert made == {
        "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "USER": "mine", "PYTHONUNBUFFERED": "1", "TERM": "xterm-256color",
    }  # fmt: skip


def test_a_secret_is_read_at_each_start(tmp_path):
    secret = tmp_path / "secret"
    for text in ("first", "second"):
        secret.write_text(f"{text}\n")
        assert environment(secrets={"KEY": str(secret)})["KEY"] == text
    for data, why in ((b"\xff", "not UTF-8"), (b"a\0b", "no text"), (b"x" * 200_000, "too large")):
        secret.write_bytes(data)
        with pytest.raises(CannotStart, match=f"the variable KEY .*{why}"):
            environment(secrets={"KEY": str(secret)})
    secret.unlink()
    with pytest.raises(CannotStart, match=r"KEY cannot be read from .*: No such file") as caught:
        environment(secrets={"KEY": str(secret)})
    assert not caught.value.permanent


def test_tags_nest():
    program = WorkerSpec("web", program=Program(("run",)))
    assert environment_of(program, 1, "inner", {TAG: "outer"})[TAG] == "outer inner"
    assert environment_of(program, 1, "inner", {})[TAG] == "inner"


# ------------------------------------------------------------ real processes under a supervisor


@pytest.mark.row(7)
def test_a_whole_tree_is_stopped():
    async def test(supervisor):
        await said(supervisor, "up")
        left = supervisor.spawner.attach("web", 1).left()
        assert len(left) == 4
        assert supervisor.status("web").pid == left[0]
        supervisor.get("web").shutdown()
        await until(supervisor, supervisor.get("web"), State.STOPPED)
        assert not any(map(alive, left))
        assert supervisor.status("web").last_exit.reason == "terminated by SIGTERM"

    words = ("child", "stubborn-child", "escapee", "say", "up", "pause")
    lead(test, *words, stop=StopPolicy((("TERM", 0.3),)))


@pytest.mark.row(8)
def test_a_stopped_process_obeys():
    async def test(supervisor):
        await said(supervisor, "up")
        supervisor.tell(Signal("web", "STOP"))
        supervisor.get("web").shutdown()
        await until(supervisor, supervisor.get("web"), State.STOPPED)
        assert supervisor.status("web").last_exit.signal == signal.SIGTERM

    lead(test, "say", "up", "pause")


def test_a_signal_that_somebody_sends_ends_it():
    async def test(supervisor):
        await said(supervisor, "up")
        supervisor.tell(Signal("web", "USR1"))
        await until(supervisor, supervisor.get("web"), State.FAILED)
        assert supervisor.status("web").last_exit.reason == "killed by SIGUSR1"

    lead(test, "say", "up", "pause")
