"""The fake spawner as a test of an embedding program uses it: with a whole supervisor, in virtual time."""

import asyncio
import signal

import pytest

from supervisor_core import Add, Process, RestartPolicy, RestartWhen, State, StopPolicy, Supervisor, Worker, WorkerSpec
from supervisor_core.children import Ended, LaunchRequest
from supervisor_core.children.fake import FakeSpawner
from supervisor_core.errors import CannotStart
from supervisor_core.logs import View
from supervisor_core.memory import MemoryStore
from supervisor_core.model import OnGiveUp, Program
from tests.shell.minions import Lines, until
from tests.support.virtual import VirtualClock, virtual


async def spawn(spawner, worker="web", **changes):
    return await spawner.spawn(LaunchRequest(worker, len(spawner.requests) + 1, ("run",), {}, **changes))


@virtual
async def test_the_newest_child_is_at_hand():
    spawner = FakeSpawner()
    first = await spawn(spawner)
    assert spawner.children["web"] is first
    first.write("line\n")
    first.write(b"oops\n", "err")
    assert first.written == {"out": b"line\n", "err": b"oops\n"}
    first.exit(3)
    assert await first.exited == Ended(code=3)
    second = await spawn(spawner)
    assert spawner.children["web"] is second
    assert second.pid != first.pid
    assert [request.run for request in spawner.requests] == [1, 2]


@virtual
async def test_what_it_was_sent_is_remembered():
    spawner = FakeSpawner()
    spawner.expect("web", ignores=["TERM"])
    child = await spawn(spawner)
    child.signal(signal.SIGUSR1)
    child.signal(signal.SIGTERM, tree=True)
    assert child.signals == [(signal.SIGUSR1, False), (signal.SIGTERM, True)]
    assert not child.leader_exited.done()
    child.signal(signal.SIGINT)
    assert child.exited.result() == Ended(signal=signal.SIGINT)
    child.signal(signal.SIGINT)
    assert len(child.signals) == 3


@virtual
async def test_descendants():
    spawner = FakeSpawner()
    spawner.expect("web", descendants=2, stubborn=True)
    child = await spawn(spawner)
    more = child.fork()
    assert len(child.left()) == 4
    child.signal(signal.SIGTERM, tree=True)
    assert child.leader_exited.done()
    assert more not in child.left()
    assert len(child.left()) == 2
    child.write("a descendant speaks")
    child.descendant_exits()
    assert not child.exited.done()
    child.descendant_exits(child.left()[0])
    assert child.exited.done()
    assert child.output_ended.done()


@virtual
async def test_one_that_nothing_ends():
    spawner = FakeSpawner()
    spawner.expect("web", stuck=True)
    child = await spawn(spawner)
    child.signal(signal.SIGTERM)
    child.signal(signal.SIGKILL, tree=True)
    child.kill_tree()
    assert child.killed == 1
    assert not child.leader_exited.done()
    child.stuck = False
    child.kill_tree()
    assert child.exited.done()


@virtual
async def test_a_refusal_until_it_is_taken_back():
    spawner = FakeSpawner()
    spawner.refuse("web", "no such program", permanent=False)
    for _ in range(2):
        with pytest.raises(CannotStart, match="no such program") as caught:
            await spawn(spawner)
        assert not caught.value.permanent
    assert "web" not in spawner.children
    await spawn(spawner, "other")
    spawner.accept("web")
    await spawn(spawner)


@virtual
async def test_a_spawn_can_be_held():
    spawner = FakeSpawner()
    release = spawner.hold("web")
    task = asyncio.ensure_future(spawn(spawner))
    await asyncio.wait([task], timeout=60)
    assert not task.done()
    release()
    await task
    spawner.hold("web")
    task = asyncio.ensure_future(spawn(spawner))
    await asyncio.wait([task], timeout=60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(spawner.live()) == 1


@virtual
async def test_output_goes_to_its_store():
    store = MemoryStore(VirtualClock().now)
    child = await spawn(FakeSpawner(store))
    child.write("one\ntwo")
    child.exit()
    lines = store.tail(View(("web",)), 10).items
    assert [item.text for item in lines if hasattr(item, "text")] == ["one", "two"]
    with pytest.raises(AssertionError, match="has closed"):
        child.write("late")


# ------------------------------------------------------------ with a supervisor


def spec(name="web", **changes):
    program = Program(("run",), inherit=False, start_seconds=1.0)
    policy = RestartPolicy(RestartWhen.ON_FAILURE, on_give_up=OnGiveUp.FAIL, backoff_initial=2.0)
    return WorkerSpec(name, program=program, **{"restart": policy, "stop": StopPolicy((("TERM", 10.0),))} | changes)


async def state(supervisor, state, name="web"):
    await until(supervisor, supervisor.get(name), state)


def a_life(test):
    """A supervisor that runs "web" on a fake spawner."""

    @virtual
    async def wrapper():
        spawner, lines = FakeSpawner(), Lines()
        supervisor = Supervisor(logger=lines, spawner=spawner, clock=VirtualClock(), stay=True)
        supervisor.tell(Add(spec()))
        running = asyncio.ensure_future(supervisor.run())
        await test(supervisor, spawner)
        supervisor.shutdown()
        await asyncio.wait_for(running, 100)
        assert spawner.live() == []

    wrapper.__name__ = test.__name__
    return wrapper


@a_life
async def test_a_program_starts_becomes_ready_crashes_and_comes_back(supervisor, spawner):
    started = supervisor.clock.now()
    await state(supervisor, State.RUNNING)
    assert supervisor.clock.now() - started == pytest.approx(1.0)
    assert supervisor.status("web").pid == spawner.children["web"].pid
    spawner.children["web"].exit(3)
    await state(supervisor, State.BACKOFF)
    assert supervisor.status("web").last_exit.reason == "exit status 3"
    assert supervisor.status("web").last_exit.code == 3
    await state(supervisor, State.RUNNING)
    assert supervisor.status("web").run == 2
    assert supervisor.clock.now() - started == pytest.approx(4.0)


@a_life
async def test_a_program_that_ignores_the_signal_is_killed(supervisor, spawner):
    spawner.expect("web", ignores=["TERM"], descendants=1)
    await state(supervisor, State.RUNNING)
    before = supervisor.clock.now()
    child = spawner.children["web"]
    supervisor.get("web").shutdown()
    await state(supervisor, State.STOPPED)
    assert supervisor.clock.now() - before == pytest.approx(10.0)
    assert child.signals == [(signal.SIGTERM, True), (signal.SIGCONT, True)]
    assert child.killed == 1
    assert supervisor.status("web").last_exit.signal == signal.SIGKILL
    assert supervisor.status("web").last_exit.reason == "killed by SIGKILL"


@a_life
async def test_a_refused_program_fails_for_good(supervisor, spawner):
    spawner.refuse("web")
    await state(supervisor, State.FAILED)
    assert supervisor.status("web").last_exit.permanent
    assert supervisor.status("web").last_exit.reason == "no such program"


@a_life
async def test_what_a_leader_leaves_behind_is_stopped(supervisor, spawner):
    spawner.expect("web", descendants=2, stubborn=True)
    await state(supervisor, State.RUNNING)
    child = spawner.children["web"]
    child.exit(0)
    await state(supervisor, State.STOPPING)
    assert supervisor.status("web").leader_gone == 2
    await state(supervisor, State.DONE)
    assert child.killed == 1


@virtual
async def test_a_command_by_hand_runs_on_it_too():
    spawner = FakeSpawner()
    spawner.expect("bob", then=lambda child: (child.write("hello\n"), child.exit(2)))
    lines, results = Lines(), []

    async def work(p: Process):
        results.append(await p.command("anything", "at", "all").capture())

    supervisor = Supervisor(logger=lines, spawner=spawner, clock=VirtualClock())
    supervisor.supervise(Worker("bob", work))
    await supervisor.run()
    assert results[0].output == "hello\n"
    assert results[0].error.returncode == 2
    assert spawner.requests[0].argv == ("anything", "at", "all")


# ---------------------------------------------------------------- another one takes over


@virtual
async def test_what_lives_goes_on_under_a_successor():
    spawner = FakeSpawner()
    spawner.expect("web", ignores=["TERM"], descendants=1)
    old = await spawn(spawner)
    old.write("before\n")
    spawner.note("web", b"note")
    later = spawner.successor()
    web = later.children["web"]
    assert (web.pid, web.left(), web.written["out"]) == (old.pid, (old.pid, old.pid + 1), b"before\n")
    assert later.live() == [("web", 1, web.pid)]
    assert later.attach("web", 1) is web
    assert later.notes() == {"web": b"note"}
    assert not web.exited.done()
    assert old.exited.result().reason == "unknown: it belongs to another supervisor now"
    old.kill_tree()
    old.signal(signal.SIGKILL, tree=True)
    assert len(web.left()) == 2, "the old one reaches nothing any more"
    web.write("after\n")
    web.kill_tree()
    assert web.exited.result() == Ended(signal=signal.SIGKILL)
    assert later.live() == []
    assert (await spawn(later)).pid > web.pid


@virtual
async def test_the_one_that_was_left_does_nothing_any_more():
    spawner = FakeSpawner()
    spawner.hold("web")
    starting = asyncio.ensure_future(spawn(spawner))
    await asyncio.sleep(0)
    later = spawner.successor()
    with pytest.raises(CannotStart, match="another supervisor"):
        await starting
    spawner.note("web", b"late")
    assert later.notes() == {}
    assert later.attach("web", 1) is None
    assert [request.worker for request in later.requests] == ["web"]
    assert (await spawn(later)).request.run == 2, "nothing is held any more"


@virtual
async def test_an_end_is_kept_until_it_is_forgotten():
    spawner = FakeSpawner()
    (await spawn(spawner)).exit(3, at=12.0)
    later = spawner.successor()
    web = later.attach("web", 1)
    assert web.exited.result() == web.leader_exited.result() == Ended(code=3)
    assert web.exited.result().at == 12.0
    assert web.output_ended.done()
    assert later.live() == []
    later.forget("web", 1)
    assert later.attach("web", 1) is None
    assert later.successor().attach("web", 1) is None


@virtual
async def test_a_stop_that_is_under_way_goes_on_under_a_successor():
    spawner = FakeSpawner()
    spawner.expect("web", ignores=["TERM"])
    child = await spawn(spawner)
    child.stop(((signal.SIGTERM, 10.0), (signal.SIGINT, 10.0)))
    await asyncio.sleep(4)
    web = spawner.successor().children["web"]
    web.stop(((signal.SIGTERM, 10.0),))  # changes nothing
    before = asyncio.get_running_loop().time()
    assert await web.exited == Ended(signal=signal.SIGINT)
    assert asyncio.get_running_loop().time() - before == pytest.approx(6)
