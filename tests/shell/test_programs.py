"""What the shell does for a program of the config file: the same as for a coroutine; its work is made from the spec."""

import asyncio
import sys
from types import SimpleNamespace

import pytest

from supervisor_core import CannotStart, Worker
from supervisor_core.children import Ended
from supervisor_core.messages import Add, Kill, Restart, Spawned, Stop
from supervisor_core.model import (
    OnGiveUp,
    Program,
    Requirement,
    RestartPolicy,
    RestartWhen,
    State,
    StopPolicy,
    WorkerSpec,
)
from tests.shell.minions import forever, supervisor
from tests.support.virtual import virtual


def spec_of(name, **fields):
    return WorkerSpec(name, program=Program(("/bin/true",)), **fields)


@pytest.fixture
def programs(monkeypatch):
    """Stands for `program.program`: one work a name; notes with what it was asked for."""
    works, asked = {}, []

    def program(spec, spawner):
        asked.append((spec, spawner))
        return works[spec.name]

    monkeypatch.setitem(sys.modules, "supervisor_core.program", SimpleNamespace(program=program))
    return SimpleNamespace(works=works, asked=asked)


@virtual
async def test_its_work_is_made_from_the_spec_that_rules_and_the_spawner_at_each_launch(programs):
    spawner = object()
    s = supervisor(stay=True, spawner=spawner)

    async def work(p):
        p.report(Spawned(p.worker.name, p.run, 100 + p.run))
        await forever(p)
        return Ended(code=0)

    programs.works["job"] = work
    first, second = spec_of("job"), spec_of("job", description="changed")
    s.tell(Add(first))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    assert (s.get("job").status.pid, s.get("job").status.state) == (101, State.RUNNING)
    s.tell(Add(second))
    s.tell(Restart("job"))
    await asyncio.sleep(1)
    assert s.get("job").status.pid == 102
    assert [(spec.description, given) for spec, given in programs.asked] == [("", spawner), ("changed", spawner)]
    s.shutdown()
    assert await running == []


@virtual
async def test_what_it_returns_or_raises_is_its_exit(programs):
    s = supervisor(stay=True, spawner=object())
    ends = {
        "fine": Ended(code=0),
        "bad": Ended(code=3),
        "shot": Ended(signal=11),
        "missing": CannotStart("no such file"),
    }

    def work_of(end):
        async def work(p):
            if isinstance(end, Exception):
                raise end
            return end

        return work

    retry = RestartPolicy(RestartWhen.ON_FAILURE, backoff_initial=1000, backoff_max=1000, on_give_up=OnGiveUp.FAIL)
    for name, end in ends.items():
        programs.works[name] = work_of(end)
        s.tell(Add(spec_of(name, restart=retry)))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    states = {name: str(s.get(name).status.state) for name in ends}
    assert states == {"fine": "done", "bad": "backoff", "shot": "backoff", "missing": "failed"}
    assert s.logger.of("bad") == ["ERROR: exit status 3", "retrying after 1000 s..."]
    assert s.logger.of("shot")[0] == "ERROR: signal SEGV"
    assert s.logger.of("fine") == ["exited"]
    s.shutdown()
    assert [str(error) for error in await running] == ["missing: no such file"]


@virtual
async def test_a_kill_is_a_cancellation_at_each_repeat_until_nothing_is_left(programs):
    s, cancellations, loop = supervisor(stay=True, spawner=object()), [], asyncio.get_running_loop()
    gone = asyncio.Event()

    async def work(p):
        p.report(Spawned(p.worker.name, p.run, 100))
        p.ready()
        while not gone.is_set():
            try:
                await gone.wait()
            except asyncio.CancelledError:
                cancellations.append(loop.time())
        return Ended(signal=9)

    programs.works["job"] = work
    s.tell(Add(spec_of("job", stop=StopPolicy((("TERM", 5.0), ("INT", 5.0)), kill_timeout=2.0))))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    s.tell(Stop("job"))
    loop.call_later(13, gone.set)
    await asyncio.sleep(20)
    assert cancellations[:2] == [pytest.approx(11), pytest.approx(13)]
    status = s.get("job").status
    assert (status.state, status.last_exit.signal) == (State.STOPPED, 9)
    assert s.logger.of("job")[:2] == ["signaling shutdown", "did not stop within 10 s, killing it"]
    assert s.logger.of("job")[-1] == "exited: signal KILL"
    s.shutdown()
    assert await running == []


@virtual
async def test_a_coroutine_and_a_program_may_require_each_other(programs):
    s, order = supervisor(spawner=object()), []

    async def work(p):
        order.append(p.worker.name)
        await forever(p)

    programs.works["job"] = work
    s.tell(Add(spec_of("job", requires=(Requirement("coroutine"),))))
    s.supervise(Worker("coroutine", work))
    s.supervise(Worker("last", work, ["job"]))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    s.tell(Kill("last"))
    s.shutdown()
    assert await running == []
    assert order == ["coroutine", "job", "last"]


@virtual
async def test_a_spawner_that_fails_to_come_up_is_a_failed_start(monkeypatch):
    def program(spec, spawner):
        raise OSError("too many open files")

    monkeypatch.setitem(sys.modules, "supervisor_core.program", SimpleNamespace(program=program))
    s = supervisor(spawner=object())
    s.tell(Add(spec_of("job")))
    assert [str(error) for error in await s.run()] == ["job: cannot start it: too many open files"]


@virtual
async def test_a_normal_end_is_no_error_also_when_it_is_started_again(programs):
    s = supervisor(stay=True, spawner=object())

    async def work(p):
        return Ended(code=0)

    programs.works["beat"] = work
    always = RestartPolicy(RestartWhen.ALWAYS, backoff_initial=1000, backoff_max=1000)
    s.tell(Add(spec_of("beat", restart=always)))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    assert s.get("beat").status.state == "backoff"
    assert s.logger.of("beat") == ["exited", "retrying after 1000 s..."]
    s.shutdown()
    assert await running == []
