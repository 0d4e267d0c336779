"""Ends of programs through the whole path: each status and signal, orphans, a closed output, crash loops."""

import asyncio
import os
import select
import signal

import pytest

from supervisor_core import Add, Supervisor
from supervisor_core.children.local import LocalSpawner
from supervisor_core.model import Program, RestartPolicy, State, WorkerSpec
from tests.children.rigs import zoo
from tests.faults.rig import Host, worker
from tests.shell.minions import Lines

HARMLESS = {17, 18, 19, 20, 21, 22, 23, 28}
"""Signals that by themselves end nothing: CHLD, CONT, URG and WINCH, and those that stop."""


def ends_of(commands):
    """How each of these shell commands ended, by its name; all run at once under one supervisor."""

    async def main():
        spawner = LocalSpawner()
        supervisor = Supervisor(logger=Lines(), spawner=spawner, logs=spawner.store)
        kept = {"QD_TEST_SESSION": os.environ["QD_TEST_SESSION"], "PATH": os.environ["PATH"]}
        for name, text in commands.items():
            program = Program(("/bin/sh", "-c", text), environment=kept, inherit=False)
            supervisor.tell(Add(WorkerSpec(name, program=program, restart=RestartPolicy(on_give_up="fail"))))
        await supervisor.run()
        await spawner.aclose()
        return {name: supervisor.status(name) for name in commands}

    return asyncio.run(main())


@pytest.mark.row(1)
def test_each_exit_status_is_told_exactly():
    ends = ends_of({f"w{code}": f"exit {code}" for code in range(256)})
    for code in range(256):
        status = ends[f"w{code}"]
        assert (status.last_exit.code, status.last_exit.signal) == (code, None)
        assert status.last_exit.reason == (f"exit status {code}" if code else "")
        assert status.state is (State.FAILED if code else State.DONE)


@pytest.mark.row(1)
def test_each_signal_is_told_exactly_and_by_its_name():
    numbers = sorted({*range(1, 32), *range(signal.SIGRTMIN, signal.SIGRTMAX + 1)} - HARMLESS)
    ends = ends_of({f"w{number}": f"ulimit -c 0; kill -{number} $$" for number in numbers})
    told = {number: ends[f"w{number}"].last_exit for number in numbers}
    assert {number: (end.code, end.signal) for number, end in told.items()} == {n: (None, n) for n in numbers}
    assert told[15].reason == "terminated by SIGTERM"
    assert told[11].reason == "killed by SIGSEGV"
    assert told[signal.SIGRTMIN + 3].reason == "killed by SIGRTMIN+3"
    names = {end.reason.split()[-1] for end in told.values()}
    assert len(names) == len(numbers), "no two signals have one name"
    assert all(name.startswith("SIG") for name in names)


@pytest.mark.row(13)
def test_orphans_of_a_worker_are_collected(tmp_path):
    with Host(tmp_path, [worker("w", zoo("orphans", "100", "exit", "0"))]) as host:
        host.until("w", "done")
        for _ in range(100):
            if not (left := host.zombies()):
                break
            select.select([], [], [], 0.02)
        assert left == 0


@pytest.mark.row(15)
def test_a_closed_output_is_no_end_and_costs_nothing(tmp_path):
    with Host(tmp_path, [worker("w", zoo("say", "up", "close", "pause"))]) as host:
        up = host.until("w", "running", "failed", "done")
        assert up["state"] == "running"
        assert host.cpu_while(1.0) < 0.03
        host.leave()
        last = [said for said in host.seen if said.get("worker") == "w"]
    assert {said["run"] for said in last} <= {0, 1}
    assert [said["state"] for said in last[-2:]] == ["stopping", "stopped"]
    assert up["pid"] in {said["pid"] for said in last}
    assert last[-1]["exit"][1:3] == [None, signal.SIGTERM], "it ran until it was told"
