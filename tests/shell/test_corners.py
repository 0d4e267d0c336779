"""Corners of the shell that only few lives come to, each one found by a planted bug that nothing else noticed."""

import asyncio
import threading

import pytest

from supervisor_core import Worker
from supervisor_core.calling import call
from supervisor_core.messages import Interrupt, Kill, Remove, Stop
from supervisor_core.model import State
from tests.shell.minions import forever, raising, stubborn, supervisor, unstoppable
from tests.support.virtual import virtual


async def silent(p):
    await p.wait_shutdown()


async def nothing(p):
    return None


@virtual
async def test_a_hundred_launches_need_no_report_to_go_on():
    s = supervisor()
    for number in range(100):
        s.supervise(Worker(f"w{number}", silent))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    assert len(s._launcher._runs) == 100
    s.shutdown()
    assert await running == []


@virtual
async def test_an_action_for_an_earlier_run_does_nothing_to_the_present_one():
    s = supervisor()
    worker = s.supervise(Worker("bob", forever))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    worker.shutdown()
    other = s.supervise(Worker("other", forever))
    await worker.wait()
    worker.restart()
    await asyncio.sleep(1)
    s._launcher.enqueue([Interrupt("bob", 1)])
    await asyncio.sleep(1)
    assert (worker.status.run, worker.status.state, other.status.state) == (2, State.RUNNING, State.RUNNING)
    s.shutdown()
    assert await running == []


@virtual
async def test_after_run_no_timer_is_left_even_with_a_stuck_worker():
    s, release = supervisor(), asyncio.Event()
    s.supervise(Worker("mule", unstoppable(release), stop_timeout=1, kill_timeout=1))
    asyncio.get_running_loop().call_later(1, s.shutdown)
    await s.run()
    assert s._launcher._timer is None
    release.set()
    await asyncio.sleep(1)
    assert s._launcher._timer is None


@virtual
async def test_a_lambda_killed_while_it_makes_its_coroutine_is_cancelled_then():
    s, go_on, started = supervisor(), threading.Event(), []

    async def coroutine():
        started.append(True)

    def work(p):
        go_on.wait()
        return coroutine()

    worker = s.supervise(Worker("bob", lambda p: work(p)))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    s.tell(Kill("bob"))
    await asyncio.sleep(0.1)
    go_on.set()
    assert await running == []
    assert not started
    assert worker.status.last_exit.signal == 9


@virtual
async def test_a_thread_that_is_killed_sees_at_least_the_signal():
    s = supervisor()
    worker = s.supervise(Worker("bob", lambda p: p.wait_shutdown_blocking(), stop_timeout=1000))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    s.tell(Kill("bob"))
    assert await running == []
    assert (worker.status.state, worker.status.stuck) == (State.STOPPED, False)


@virtual
async def test_whom_nobody_blocks_any_more_nobody_watches():
    s, loop = supervisor(), asyncio.get_running_loop()

    async def base(p):
        await asyncio.sleep(1)
        await forever(p)

    s.supervise(Worker("base", base, stop_timeout=1, kill_timeout=1))
    s.supervise(Worker("bob", forever, ["base"]))
    loop.call_later(2, lambda: seen.append(s.narrator.next_due()))
    loop.call_later(3, s.shutdown)
    seen = []
    assert await s.run() == []
    assert seen == [None]


@virtual
async def test_nothing_is_kept_of_a_kill_that_is_over():
    s = supervisor()
    s.supervise(Worker("slow", stubborn, stop_timeout=1))
    asyncio.get_running_loop().call_later(1, s.shutdown)
    assert await s.run() == []
    assert not s.narrator._killing


@virtual
async def test_a_take_over_that_is_refused_leaves_the_name_to_who_had_it():
    s = supervisor()

    async def keeper(p):
        bob = s.supervise(Worker("bob", nothing))
        await bob.wait()
        s.supervise(Worker("needs-bob", nothing, ["bob"]))
        with pytest.raises(ValueError, match="bob"):
            s.supervise(Worker("bob", nothing, ["needs-bob"]))
        assert s.get("bob") is bob
        p.supervisor.shutdown()

    s.supervise(Worker("keeper", keeper))
    assert await s.run() == []


@virtual
async def test_a_stopped_worker_is_taken_over_and_runs():
    s = supervisor()

    async def keeper(p):
        first = s.supervise(Worker("bob", forever))
        await asyncio.sleep(1)
        first.shutdown()
        await first.wait()
        second = s.supervise(Worker("bob", forever))
        await asyncio.sleep(1)
        assert (second.status.state, second.status.run) == (State.RUNNING, 2)
        first.shutdown()
        await asyncio.sleep(1)
        assert second.status.state is State.RUNNING, "the old handle has no say any more"
        p.supervisor.shutdown()

    s.supervise(Worker("keeper", keeper))
    assert await s.run() == []


@virtual
async def test_being_stuck_is_one_error_however_long_it_lasts_and_however_it_ends():
    s, release = supervisor(stay=True), asyncio.Event()

    async def mule(p):
        p.ready()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        raise ValueError("at last")

    worker = s.supervise(Worker("mule", mule, stop_timeout=1, kill_timeout=1))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    s.tell(Stop("mule"))
    await asyncio.sleep(100)
    assert worker.status.stuck
    release.set()
    await asyncio.sleep(1)
    assert worker.ended
    s.shutdown()
    assert [str(error) for error in await running] == ["mule: did not stop"]
    assert s.logger.count("mule: ERROR: did not stop") == 1


@virtual
async def test_one_that_was_never_ready_and_does_not_leave_is_one_error_too():
    s, release = supervisor(stay=True), asyncio.Event()

    async def mule(p):
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    times = {"start_timeout": 1, "stop_timeout": 1, "kill_timeout": 1}
    worker = s.supervise(Worker("mule", mule, on_give_up="fail", **times))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(100)
    assert worker.status.stuck
    release.set()
    await asyncio.sleep(1)
    assert worker.status.state is State.FAILED
    s.shutdown()
    assert [str(error) for error in await running] == ["mule: did not stop"]


@virtual
async def test_who_waits_for_a_worker_that_is_removed_is_told():
    s = supervisor(stay=True)
    worker = s.supervise(Worker("bob", silent))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    waiting = asyncio.create_task(worker.wait())
    await asyncio.sleep(0)
    s.tell(Remove("bob"))
    await waiting
    await worker.wait()
    await asyncio.sleep(1)
    assert (s.get("bob"), worker.ended) == (None, True)
    again = s.supervise(worker)
    await asyncio.sleep(1)
    assert (again.status.state, again.ended, again.status.run) == (State.STARTING, False, 2)
    s.shutdown()
    assert await running == []


@virtual
async def test_one_child_that_ends_often_pushes_no_other_out():
    s = supervisor()

    async def parent(p):
        first, often = p.go(nothing), p.go(nothing)
        await first.wait()
        for _ in range(40):
            await often.wait()
            often.restart()
        await often.wait()
        await asyncio.sleep(1)
        assert s.get(first.name) is first
        p.supervisor.shutdown()

    s.supervise(Worker("parent", parent))
    assert await s.run() == []


@virtual
async def test_a_child_that_outlives_its_removed_parent_is_not_kept():
    s = supervisor(stay=True)
    children = []

    async def parent(p):
        children.append(p.go(forever))

    s.supervise(Worker("parent", parent))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    s.tell(Remove("parent"))
    await asyncio.sleep(1)
    assert s.get("parent[1]") is children[0]
    children[0].shutdown()
    await asyncio.sleep(1)
    assert s.get("parent[1]") is None
    s.shutdown()
    assert await running == []


@virtual
async def test_a_thread_that_nobody_waits_for_ends_in_silence(caplog):
    release = threading.Event()
    task = asyncio.create_task(call(release.wait))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("call "):
            thread.join(5)
    await asyncio.sleep(1)
    assert not caplog.records


@virtual
async def test_an_error_of_a_removed_worker_is_still_an_error_of_the_supervisor():
    s = supervisor(stay=True)
    bad = s.supervise(Worker("bad", raising(ValueError("x")), on_give_up="fail"))
    running = asyncio.create_task(s.run())
    await bad.wait()
    s.tell(Remove("bad"))
    await asyncio.sleep(1)
    s.shutdown()
    assert [str(error) for error in await running] == ["bad: x"]
