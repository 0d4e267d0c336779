"""The shell with real processes and real time: a program's life from start to an empty tree, and a mixed company."""

import asyncio
import os

from supervisor_core import Supervisor, Worker
from supervisor_core.messages import Add, Restart, Stop
from supervisor_core.model import OnGiveUp, Program, Requirement, RestartPolicy, State, StopPolicy, WorkerSpec
from tests.shell.minions import Lines, forever, until

POLICY = RestartPolicy(on_give_up=OnGiveUp.FAIL)


def spec_of(name: str, script: str, stop: float = 10.0, **fields: object) -> WorkerSpec:
    program = Program(("/bin/sh", "-c", script), start_seconds=0.05)
    return WorkerSpec(name, program=program, restart=POLICY, stop=StopPolicy((("TERM", stop),)), **fields)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_program_starts_restarts_and_stops():
    async def main():
        s = Supervisor(logger=Lines(), stay=True)
        s.tell(Add(spec_of("job", "exec sleep 1000")))
        running = asyncio.create_task(s.run())
        job = s.get("job")
        await until(s, job, State.RUNNING)
        first = job.status.pid
        s.tell(Restart("job"))
        await until(s, job, State.STARTING)
        await until(s, job, State.RUNNING)
        second = job.status.pid
        assert (alive(first), alive(second), first != second) == (False, True, True)
        s.tell(Stop("job"))
        await job.wait()
        assert (job.status.state, job.status.pid, alive(second)) == (State.STOPPED, None, False)
        assert job.status.last_exit.signal == 15
        s.shutdown()
        assert await running == []

    asyncio.run(main())


def test_a_program_that_ignores_its_signal_is_killed_with_its_whole_tree():
    async def main():
        lines = Lines()
        s = Supervisor(logger=lines)
        s.tell(Add(spec_of("mule", "trap '' TERM; sleep 1000 & while :; do sleep 1000; done", stop=0.2)))
        running = asyncio.create_task(s.run())
        mule = s.get("mule")
        await until(s, mule, State.RUNNING)
        s.shutdown()
        assert await running == []
        assert mule.status.last_exit.signal == 9
        *before, whom, last = lines.of("mule")
        assert before == ["signaling shutdown", "did not stop within 0.2 s, killing it"]
        assert [word for word in whom.replace(",", "").split() if not word.isdigit()] == [
            "killed", "sh", "sleep", "sleep",
        ]  # fmt: skip
        assert last.startswith("exited: ")
        assert "KILL" in last

    asyncio.run(main())


def test_programs_coroutines_and_functions_require_each_other():
    async def main():
        s, seen = Supervisor(logger=Lines()), []

        def function(p):
            seen.append("function")
            p.ready()
            p.wait_shutdown_blocking()

        async def last(p):
            seen.append("coroutine")
            p.supervisor.shutdown()

        s.supervise(Worker("last", last, ["job"]))
        s.tell(Add(spec_of("job", "exec sleep 1000", requires=(Requirement("function"),))))
        s.supervise(Worker("function", function, ["base"]))
        s.supervise(Worker("base", forever))
        assert await s.run() == []
        assert seen == ["function", "coroutine"]

    asyncio.run(main())


def test_a_supervisor_that_made_its_spawner_closes_it():
    """A command that somebody forgot is gone when run() returns."""

    async def main():
        s, pids = Supervisor(logger=Lines()), []

        async def forgetful(p):
            command = p.command("sleep", "1000")
            await command.start()
            pids.append(command.pid)

        s.supervise(Worker("forgetful", forgetful))
        assert await s.run() == []
        assert not alive(pids[0])

    asyncio.run(main())
