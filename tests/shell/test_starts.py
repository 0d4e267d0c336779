"""Starts under a supervisor, with real processes: what is told of short lives, and which refusals are tried again."""

import asyncio
import errno
import os
import subprocess

import pytest

from supervisor_core import Add, State, Supervisor
from supervisor_core.children.local import LocalSpawner
from supervisor_core.lines import Line
from supervisor_core.logs import View
from supervisor_core.messages import Changed, Signal
from supervisor_core.model import OnGiveUp, Program, RestartPolicy, RestartWhen, WorkerSpec
from tests.shell.minions import Lines, until

POLICY = RestartPolicy(RestartWhen.ALWAYS, backoff_initial=0.0, backoff_max=0.0, on_give_up=OnGiveUp.FAIL)


def lead(test, restart=POLICY, **program):
    """Runs `test` with a supervisor that runs the worker "w"."""

    async def main():
        spawner = LocalSpawner()
        supervisor = Supervisor(logger=Lines(), spawner=spawner, logs=spawner.store, stay=True)
        fields = {"environment": {"PATH": os.environ["PATH"]}, "start_seconds": 0.0} | program
        supervisor.tell(Add(WorkerSpec("w", program=Program(**fields), restart=restart)))
        cursor = supervisor.journal.cursor.seq
        running = asyncio.ensure_future(supervisor.run())
        await test(supervisor, supervisor.journal.follow(cursor))
        supervisor.shutdown()
        await running
        await spawner.aclose()

    asyncio.run(main())


async def statuses(stream):
    async for batch in stream:
        for entry in batch:
            if isinstance(entry.event, Changed):
                yield entry.event.status


@pytest.mark.row(4)
def test_each_short_life_is_told_from_start_to_exit():
    """Never running without a pid, and an exit for each run that had one."""
    runs, started, ended = 500, [], []

    async def test(supervisor, stream):
        events = statuses(stream)
        async for status in events:
            if status.state is State.RUNNING:
                assert status.pid is not None
            if status.pid is not None and status.run not in started:
                started.append(status.run)
            if status.last_exit is not None and status.last_exit.run not in ended:
                ended.append(status.last_exit.run)
                assert status.last_exit.code == 0
            if len(ended) == runs:
                break
        await events.aclose()

    lead(test, argv=("true",))
    assert started == ended == list(range(1, runs + 1))


@pytest.mark.row(21, 22)
@pytest.mark.parametrize("program", [{"argv": ("no-such",)}, {"argv": ("true",), "user": "no-such"}], ids=str)
def test_what_cannot_be_helped_is_not_tried_again(program):
    async def test(supervisor, stream):
        events = statuses(stream)
        async for status in events:
            assert status.pid is None
            if status.state is State.FAILED:
                break
        await events.aclose()
        assert (status.run, status.last_exit.permanent, status.restarts) == (1, True, 0)

    lead(test, **program)


@pytest.mark.row(21)
@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EMFILE, errno.ENOMEM], ids=errno.errorcode.get)
def test_what_may_pass_is_tried_again(code, monkeypatch):
    popen, failures = subprocess.Popen, [code, code]

    def fail_twice(*args, **kwargs):
        if failures:
            raise OSError(failures.pop(), "planted")
        return popen(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", fail_twice)

    async def test(supervisor, stream):
        await until(supervisor, supervisor.get("w"), State.DONE)
        assert supervisor.status("w").run == 3

    policy = RestartPolicy(RestartWhen.ON_FAILURE, backoff_initial=0.0, backoff_max=0.0, on_give_up=OnGiveUp.FAIL)
    lead(test, policy, argv=("true",))


def test_a_signal_reaches_all_of_a_pipeline():
    """Else the shell would die alone, and the rest be killed by the stop after it."""
    script = (
        "(trap 'echo left >&2; exit 3' USR1; trap : TERM; echo up; sleep 1000 & wait) | (read line; echo $line; cat)"
    )

    async def test(supervisor, stream):
        view = View(("w",), frozenset({"out", "err"}))
        store, moved, loop = supervisor.logs, asyncio.Event(), asyncio.get_running_loop()
        leave = store.subscribe(["w"], lambda: loop.call_soon_threadsafe(moved.set))
        while not (lines := [item for item in store.tail(view, 9).items if isinstance(item, Line)]):
            await moved.wait()
            moved.clear()
        leave()
        assert [line.text for line in lines] == ["up"]
        supervisor.tell(Signal("w", "USR1"))
        await until(supervisor, supervisor.get("w"), State.FAILED)
        assert supervisor.status("w").last_exit.reason == "killed by SIGUSR1"
        lines = [item for item in store.tail(view, 9).items if isinstance(item, Line)]
        assert [(line.stream, line.text) for line in lines] == [("out", "up"), ("err", "left")]

    lead(test, RestartPolicy(on_give_up=OnGiveUp.FAIL), argv=("/bin/sh", "-c", script), shell=True)
