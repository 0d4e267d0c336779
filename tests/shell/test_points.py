"""What the seed gets wrong, and this one gets right: a test for each of the eight points."""

import asyncio
from itertools import pairwise

import pytest

from supervisor_core import Follow, Requirement, Worker
from supervisor_core.messages import Changed
from supervisor_core.model import State
from tests.shell.minions import forever, raising, stubborn, supervisor
from tests.support.virtual import EPOCH, virtual


def failing(times, starts):
    """A work that fails at once, `times` times, then stays; notes when it started."""
    left = times

    async def work(p):
        nonlocal left
        starts.append(asyncio.get_running_loop().time())
        if left:
            left -= 1
            raise ValueError("oops")
        await forever(p)

    return work


@virtual
async def test_point_1_a_shutdown_ends_the_back_off_at_once():
    s, starts, loop = supervisor(), [], asyncio.get_running_loop()
    worker = s.supervise(Worker("bob", failing(1000, starts), retry=True, backoff=(100.0, 100.0)))
    loop.call_later(150, s.shutdown)
    assert await s.run() == []
    assert starts == [0, 100]
    assert loop.time() == 150
    assert (worker.status.state, worker.error) == (State.STOPPED, None)


@pytest.mark.row(2)
@virtual
async def test_point_2_the_back_off_doubles_up_to_its_limit_and_falls_back():
    s, starts, loop = supervisor(), [], asyncio.get_running_loop()
    fail = asyncio.Event()

    async def work(p):
        starts.append(loop.time())
        if len(starts) <= 7 or len(starts) == 9:
            raise ValueError("oops")
        p.ready()
        await fail.wait()
        fail.clear()
        raise ValueError("after a long time")

    worker = s.supervise(Worker("bob", work, retry=True))
    loop.call_later(30, fail.set)
    running = asyncio.create_task(s.run())
    await asyncio.sleep(41)
    pauses = [round(after - before, 6) for before, after in pairwise(starts)]
    assert pauses[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0]
    assert [round(start - 30, 6) for start in starts[8:]] == [0.1, 0.3], "up for 10 s: it begins anew at 0.1 s"
    assert worker.status.failures == 0, "and again"
    s.shutdown()
    assert await running == []


@virtual
async def test_point_3_a_worker_that_ignores_the_signal_holds_nobody():
    s, loop = supervisor(), asyncio.get_running_loop()
    s.supervise(Worker("mule", stubborn))
    loop.call_later(5, s.shutdown)
    assert await s.run() == []
    assert loop.time() == pytest.approx(5 + 10)
    assert "mule: did not stop within 10 s, killing it" in s.logger
    states = [entry.event.status.state for entry in s.journal.entries(0) if isinstance(entry.event, Changed)]
    assert states[-3:] == [State.STOPPING, State.KILLING, State.STOPPED]


@pytest.mark.parametrize("why", ["unknown", "ended", "never ready"])
@virtual
async def test_point_4_who_waits_says_for_what_and_moves_on_by_itself(why):
    s, appear = supervisor(), asyncio.Event()

    async def base(p):
        if why == "never ready" or (why == "ended" and p.run > 1):
            await appear.wait()
            p.ready()
            await p.wait_shutdown()

    if why != "unknown":
        s.supervise(Worker("base", base))
    worker = s.supervise(Worker("bob", forever, ["base"]))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(100)
    assert worker.status.state is State.BLOCKED
    (blocker,) = worker.status.blocked_on
    assert blocker.worker == "base"
    words = {"unknown": "there is no such worker", "ended": "has ended", "never ready": "starting"}
    assert blocker.why.startswith(words[why])
    assert s.logger.of("bob") == [f"blocked on base ({blocker.why})"] or why == "ended"
    if why == "unknown":
        s.supervise(Worker("base", forever))
    elif why == "ended":
        s.get("base").restart()
    appear.set()
    await asyncio.sleep(1)
    assert worker.status.state is State.RUNNING
    assert worker.status.blocked_on == ()
    s.shutdown()
    assert await running == []


@virtual
async def test_point_5_nothing_runs_unless_something_happened():
    """Through a quiet day the loop wakes for its own sleeper only."""
    s, loop = supervisor(), asyncio.get_running_loop()
    for number in range(10):
        s.supervise(Worker(f"w{number}", forever))
    s.supervise(Worker("blocked", forever, ["nobody"]))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(60)
    position, wakes = s.journal.cursor, 0
    once = loop._run_once

    def counted():
        nonlocal wakes
        wakes += 1
        once()

    loop._run_once = counted
    await asyncio.sleep(86_400)
    assert wakes <= 3
    assert s.journal.cursor == position
    s.shutdown()
    assert await running == []


@virtual
async def test_point_6_who_has_ended_is_remembered():
    s = supervisor()
    worker = s.supervise(Worker("bob", failing(2, []), retry=True))
    bad = s.supervise(Worker("bad", raising(ValueError("boo")), on_give_up="fail"))
    asyncio.get_running_loop().call_later(5, worker.shutdown)
    (error,) = await s.run()
    status = s.get("bob").status
    assert (status.state, status.run, status.restarts, status.last_exit.code) == (State.STOPPED, 3, 2, 0)
    assert status.last_exit.at == EPOCH + 5
    assert bad.error is error
    assert (bad.status.last_exit.code, bad.status.last_exit.reason) == (1, "boo")
    assert set(s.journal.snapshot().workers) == {"bob", "bad"}


@pytest.mark.row(26)
@pytest.mark.parametrize(
    ("follow", "runs", "state"),
    [
        (Follow.IGNORE, 1, State.RUNNING),
        (Follow.RESTART, 2, State.RUNNING),
        (Follow.STOP, 1, State.STOPPED),
    ],
)
@virtual
async def test_point_7_what_dependents_do_when_a_requirement_crashes_is_a_choice(follow, runs, state):
    s, crash = supervisor(), asyncio.Event()

    async def base(p):
        p.ready()
        if p.run == 1:
            await crash.wait()
            raise ValueError("oops")
        await p.wait_shutdown()

    s.supervise(Worker("base", base, retry=True))
    worker = s.supervise(Worker("bob", forever, [Requirement("base", follow=follow)]))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    crash.set()
    await asyncio.sleep(1)
    assert s.get("base").status.run == 2
    assert (worker.status.run, worker.status.state) == (runs, state)
    s.shutdown()
    assert await running == []


@virtual
async def test_point_8_two_that_require_each_other_are_refused_at_once():
    s = supervisor()
    s.supervise(Worker("hen", forever, ["egg"]))
    with pytest.raises(ValueError, match=r"hen.*egg.*hen|egg.*hen.*egg"):
        s.supervise(Worker("egg", forever, ["hen"]))
    s.shutdown()
    assert await s.run() == []
