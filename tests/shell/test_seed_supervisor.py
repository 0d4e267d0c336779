"""A namesake of each test of the seed's supervisor: what it promises, said once more for this one."""

import asyncio

import pytest

from supervisor_core import Context, Worker, must_run, run
from tests.shell.minions import forever, raising, supervisor
from tests.support.virtual import virtual


@virtual
async def test_normal_exit():
    s, counts = supervisor(), [0, 0, 0]

    def minion(number):
        async def work(p):
            p.ready()
            counts[number] += 1

        return work

    for number in range(3):
        s.supervise(Worker(f"minion-{number}", minion(number)))
    assert await s.run() == []
    assert counts == [1, 1, 1]


@virtual
async def test_error_exit():
    s = supervisor()
    for number in range(3):
        s.supervise(Worker(f"minion-{number}", raising(ValueError(f"boo-{number}"))))
    errors = await s.run()
    assert [str(error) for error in errors] == ["minion-0: boo-0", "minion-1: boo-1", "minion-2: boo-2"]
    assert [error.worker.name for error in errors] == ["minion-0", "minion-1", "minion-2"]


@virtual
async def test_panic_exit():
    """Python has no panic; what comes nearest is an exception that is no `Exception`."""
    s = supervisor()
    panics = [SystemExit("boo-0"), KeyboardInterrupt("boo-1"), GeneratorExit("boo-2")]
    for number, panic in enumerate(panics):
        s.supervise(Worker(f"minion-{number}", raising(panic)))
    errors = await s.run()
    assert [str(error) for error in errors] == ["minion-0: boo-0", "minion-1: boo-1", "minion-2: boo-2"]
    assert [error.__cause__ for error in errors] == panics


@virtual
async def test_dependency():
    s, seen = supervisor(), []

    async def minion(p):
        seen.append("minion ready")
        p.ready()
        await p.wait_shutdown()
        seen.append("minion signalled")

    async def dependent(p):
        seen.append("dependent started")
        p.ready()
        p.supervisor.shutdown()
        await p.wait_shutdown()
        seen.append("dependent leaves")

    s.supervise(Worker("dependent-minion", dependent, requires=["minion"]))
    s.supervise(Worker("minion", minion))
    assert await s.run() == []
    assert seen == ["minion ready", "dependent started", "dependent leaves", "minion signalled"]


@virtual
async def test_dependency_panic():
    s, started = supervisor(), []
    s.supervise(Worker("minion", raising(SystemExit("oops"))))
    s.supervise(Worker("dependent-minion", lambda p: started.append(p), requires=["minion"]))
    assert [str(error) for error in await s.run()] == ["minion: oops"]
    assert not started


@virtual
async def test_shutdown_on_error():
    s = supervisor()
    s.supervise(Worker("forever", forever))
    s.supervise(Worker("buggy", raising(ValueError("bug"))))
    assert [str(error) for error in await s.run()] == ["buggy: bug"]


@virtual
async def test_shutdown_on_panic():
    s = supervisor()
    s.supervise(Worker("forever", forever))
    s.supervise(Worker("buggy", raising(KeyboardInterrupt("bug"))))
    assert [str(error) for error in await s.run()] == ["buggy: bug"]


@virtual
async def test_shutdown():
    s = supervisor()

    async def quitter(p):
        p.ready()
        p.supervisor.shutdown()
        await p.wait_shutdown()

    s.supervise(Worker("forever", forever))
    s.supervise(Worker("quitter", quitter))
    assert await s.run() == []


@virtual
async def test_cancel_pre_run():
    context = Context()
    context.cancel()
    s, ran = supervisor(context), []

    async def work(p):
        ran.append(p.context.cancelled)
        p.ready()
        await p.wait_shutdown()

    s.supervise(Worker("forever", work))
    s.supervise(Worker("dependent", work, requires=["forever"]))
    assert await s.run() == []
    assert ran == [True]


@virtual
async def test_cancel_post_run():
    context = Context()
    s, ran = supervisor(context), []

    async def first(p):
        ran.append("forever")
        await forever(p)

    async def canceller(p):
        ran.append("canceller")
        context.cancel()
        await p.context.wait()
        await p.wait_shutdown()

    s.supervise(Worker("forever", first))
    s.supervise(Worker("canceller", canceller, requires=["forever"]))
    assert await s.run() == []
    assert ran == ["forever", "canceller"]


@virtual
async def test_cancel_triggers_shutdown():
    context = Context()
    s, ran = supervisor(context), []

    async def work(p):
        context.cancel()
        await p.wait_shutdown()
        ran.append(True)

    s.supervise(Worker("forever", work))
    assert await s.run() == []
    assert ran == [True]


@virtual
async def test_retry():
    s, count = supervisor(), 0

    async def buggy(p):
        nonlocal count
        p.ready()
        count += 1
        if count == 3:
            p.supervisor.shutdown()
        raise ValueError("oops")

    s.supervise(Worker("buggy", buggy, retry=True))
    assert await s.run() == []
    assert count == 3


@virtual
async def test_go():
    s, went = supervisor(), []

    async def child(p):
        went.append(p.worker.name)

    async def entry(p):
        assert p.go(child).name == "entry[1]"

    s.supervise(Worker("entry", entry))
    assert await s.run() == []
    assert went == ["entry[1]"]


@virtual
async def test_go_error():
    s = supervisor()

    async def entry(p):
        p.go(raising(ValueError("boo")))

    s.supervise(Worker("entry", entry))
    assert [str(error) for error in await s.run()] == ["entry[1]: boo"]


@virtual
async def test_go_panic():
    s = supervisor()

    async def entry(p):
        p.go(raising(SystemExit("boo")))

    s.supervise(Worker("entry", entry))
    assert [str(error) for error in await s.run()] == ["entry[1]: boo"]


@virtual
async def test_worker_shutdown():
    s, ran = supervisor(), []

    async def foo(p):
        ran.append("foo")
        await forever(p)

    async def bar(p):
        p.supervisor.get("foo").shutdown()

    s.supervise(Worker("foo", foo))
    s.supervise(Worker("bar", bar, requires=["foo"]))
    assert await s.run() == []
    assert ran == ["foo"]


@virtual
async def test_supervise_after_run():
    s, running, ran = supervisor(), asyncio.Event(), []

    async def first(p):
        running.set()
        await p.wait_shutdown()

    async def late(p):
        ran.append("late")
        p.supervisor.shutdown()

    async def outsider():
        await running.wait()
        s.supervise(Worker("late", late))

    s.supervise(Worker("forever", first))
    outside = asyncio.create_task(outsider())
    assert await s.run() == []
    await outside
    assert ran == ["late"]


@virtual
async def test_worker_wait():
    s, leave, log = supervisor(), asyncio.Event(), []

    async def doit(p):
        await leave.wait()
        log.append("exiting")

    async def waiter(worker):
        await worker.wait()
        log.append("waited")

    worker = s.supervise(Worker("doit", doit))
    running = asyncio.create_task(s.run())
    waiting = asyncio.create_task(waiter(worker))
    await asyncio.sleep(1)
    assert log == []
    leave.set()
    assert await running == []
    await waiting
    assert log == ["exiting", "waited"]


@virtual
async def test_wait_on_worker_started_after_shutdown():
    s, ran = supervisor(), []
    worker = s.supervise(Worker("noop", lambda p: ran.append(p)))
    s.shutdown()
    assert await s.run() == []
    await worker.wait()
    assert not ran


@virtual
async def test_do_panic():
    got_here = []

    def blow_up():
        raise SystemExit("blah")

    async def lets_it_through(p):
        try:
            await p.do(blow_up)
        finally:
            got_here.append("finally")

    async def catches_it(p):
        with pytest.raises(SystemExit, match="blah"):
            await p.do(blow_up)
        got_here.append("caught")

    assert [str(error) for error in await run("bob", lets_it_through)] == ["bob: blah"]
    assert await run("bob", catches_it) == []
    assert got_here == ["finally", "caught"]


@virtual
async def test_restart():
    async def sisyphus(p):
        pipe: asyncio.Queue[bool] = asyncio.Queue()

        async def bob(p):
            p.ready()
            await pipe.put(True)
            await p.wait_shutdown()

        worker = p.supervisor.supervise(Worker("bob", bob))
        for again in (True, False):
            await pipe.get()
            worker.shutdown()
            await worker.wait()
            if again:
                worker.restart()

    await must_run("sisyphus", sisyphus)
