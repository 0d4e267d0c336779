"""The supervisor as its users see it: supervise, shutdown, get, restart, wait, errors, lines, and from any thread."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

import supervisor_core
from supervisor_core import Refused, Requirement, Supervisor, Worker, WorkerError, must_run, run
from supervisor_core.messages import Add, Changed, Kill, PhaseChanged, Restart, Shutdown, Start
from supervisor_core.model import Condition, Phase, State, WorkerSpec
from tests.shell.minions import Lines, forever, raising, stubborn, supervisor, until
from tests.support.virtual import virtual


async def nothing(p):
    return None


# ---------------------------------------------------------------- supervise


@virtual
async def test_a_name_in_use_is_refused():
    s = supervisor()
    s.supervise(Worker("bob", forever))
    with pytest.raises(ValueError, match=r"^worker already exists: bob$"):
        s.supervise(Worker("bob", forever))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    with pytest.raises(ValueError, match=r"^worker already exists: bob$"):
        s.supervise(Worker("bob", nothing))
    s.shutdown()
    assert await running == []
    assert s.get("bob").status.run == 1


@virtual
async def test_a_name_at_rest_is_taken_over_and_its_runs_go_on():
    s, runs = supervisor(), []

    async def work(p):
        runs.append(p.run)

    async def keeper(p):
        first = s.supervise(Worker("bob", raising(ValueError("x")), on_give_up="fail"))
        await first.wait()
        second = s.supervise(Worker("bob", work))
        assert s.get("bob") is second
        await first.wait()
        await second.wait()
        with pytest.raises(RuntimeError, match="another worker has taken its name"):
            first.restart()
        first.shutdown()
        assert str(first.error) == "bob: x"
        assert second.error is None
        second.shutdown()
        third = s.supervise(Worker("bob", work))
        await third.wait()

    s.supervise(Worker("keeper", keeper))
    assert [str(error) for error in await s.run()] == ["bob: x"]
    assert runs == [2, 3]


@virtual
async def test_a_circle_is_refused_and_printed():
    s = supervisor()
    s.supervise(Worker("a", forever, ["b"]))
    s.supervise(Worker("b", forever, ["c"]))
    with pytest.raises(ValueError, match=r"(?=.*\ba\b)(?=.*\bb\b)(?=.*\bc\b)"):
        s.supervise(Worker("c", forever, ["a"]))
    assert s.get("c") is None
    with pytest.raises(ValueError, match="self"):
        s.supervise(Worker("self", forever, ["self"]))
    s.supervise(Worker("c", nothing))


@virtual
async def test_a_worker_belongs_to_one_supervisor():
    worker = Worker("bob", nothing)
    s = supervisor()
    s.supervise(worker)
    with pytest.raises(ValueError, match="bob: belongs to another supervisor"):
        supervisor().supervise(worker)
    assert await s.run() == []


@virtual
async def test_no_workers_is_nothing_to_wait_for():
    assert await supervisor().run() == []


@virtual
async def test_get_finds_what_has_ended_and_nothing_else():
    s = supervisor()
    worker = s.supervise(Worker("bob", nothing))
    assert await s.run() == []
    assert s.get("bob") is worker
    assert worker.status.state is State.DONE
    assert s.get("alice") is None


@virtual
async def test_after_the_end_a_new_worker_is_stopped_at_once():
    s = supervisor()
    assert await s.run() == []
    late = s.supervise(Worker("late", nothing))
    await late.wait()
    assert (late.status.run, late.error) == (0, None)


# ---------------------------------------------------------------- shutdown


@virtual
async def test_a_worker_is_signalled_only_when_no_running_worker_requires_it():
    s, loop, order = supervisor(), asyncio.get_running_loop(), []

    def leaver(seconds):
        async def work(p):
            p.ready()
            await p.wait_shutdown()
            order.append((p.worker.name, "signalled", loop.time()))
            await asyncio.sleep(seconds)

        return work

    s.supervise(Worker("base", leaver(1)))
    s.supervise(Worker("middle", leaver(2), ["base"]))
    s.supervise(Worker("top", leaver(3), ["middle"]))
    s.supervise(Worker("side", leaver(4), ["base"]))
    loop.call_later(10, s.shutdown)
    loop.call_later(11, s.shutdown)
    assert await s.run() == []
    assert sorted(order, key=lambda entry: (entry[2], entry[0])) == [
        ("side", "signalled", 10),
        ("top", "signalled", 10),
        ("middle", "signalled", 13),
        ("base", "signalled", 15),
    ]


@virtual
async def test_the_stop_timeout_runs_from_each_workers_own_signal():
    s, loop = supervisor(), asyncio.get_running_loop()
    s.supervise(Worker("base", stubborn, stop_timeout=5))
    s.supervise(Worker("top", stubborn, ["base"], stop_timeout=7))
    loop.call_later(1, s.shutdown)
    assert await s.run() == []
    assert loop.time() == pytest.approx(1 + 7 + 5)


@virtual
async def test_one_worker_alone_is_held_by_those_that_require_it_and_says_so():
    s = supervisor()
    base = s.supervise(Worker("base", forever))
    top = s.supervise(Worker("top", forever, ["base"]))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    base.shutdown()
    await asyncio.sleep(100)
    assert base.status.state is State.RUNNING
    assert base.status.waiting_for == ("top",)
    top.shutdown()
    await base.wait()
    assert base.status.state is State.STOPPED
    assert await running == []
    base.shutdown()


@virtual
async def test_a_normal_exit_triggers_nothing_else():
    s = supervisor()
    other = s.supervise(Worker("other", forever))
    s.supervise(Worker("bob", nothing))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1000)
    assert other.status.state is State.RUNNING
    other.shutdown()
    assert await running == []


@virtual
async def test_staying_ends_only_by_shutdown():
    s = supervisor(stay=True)
    s.supervise(Worker("bob", nothing))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1000)
    assert not running.done()
    s.shutdown()
    assert await running == []


@virtual
async def test_the_second_signal_kills_at_once():
    s, loop = supervisor(), asyncio.get_running_loop()
    s.supervise(Worker("slow", stubborn, stop_timeout=1000))
    loop.call_later(1, lambda: s.tell(Shutdown()))
    loop.call_later(2, lambda: s.tell(Shutdown(now=True)))
    assert await s.run() == []
    assert loop.time() == 2


@virtual
async def test_on_give_up_fail_leaves_the_others_alone():
    s = supervisor()
    other = s.supervise(Worker("other", forever))
    s.supervise(Worker("bad", raising(ValueError("x")), on_give_up="fail"))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    assert (other.status.state, s.phase) == (State.RUNNING, Phase.RUNNING)
    other.shutdown()
    assert [str(error) for error in await running] == ["bad: x"]


# ---------------------------------------------------------------- errors


@virtual
async def test_errors_come_in_the_order_in_which_they_happened():
    s = supervisor()

    def failing_on_signal(seconds, word):
        async def work(p):
            p.ready()
            await p.wait_shutdown()
            await asyncio.sleep(seconds)
            raise ValueError(word)

        return work

    s.supervise(Worker("slow", failing_on_signal(3, "third")))
    s.supervise(Worker("quick", failing_on_signal(1, "second")))
    s.supervise(Worker("retrying", failing_on_signal(2, "not counted"), retry=True))
    s.supervise(Worker("bad", raising(ValueError("first"))))
    errors = await s.run()
    assert [str(error) for error in errors] == ["bad: first", "quick: second", "slow: third"]
    assert all(isinstance(error, WorkerError) for error in errors)
    assert s.get("retrying").error is None
    assert s.logger.of("retrying") == ["signaling shutdown", "ERROR: not counted"]


@virtual
async def test_an_error_is_known_to_the_worker_and_forgotten_when_it_starts_again():
    s, fail = supervisor(), True

    async def work(p):
        if fail:
            raise ValueError("x")

    async def keeper(p):
        nonlocal fail
        worker = s.supervise(Worker("bob", work, on_give_up="fail"))
        await worker.wait()
        assert (str(worker.error), worker.error.worker, worker.error.message) == ("bob: x", worker, "x")
        fail = False
        worker.restart()
        await worker.wait()
        assert worker.error is None

    s.supervise(Worker("keeper", keeper))
    assert len(await s.run()) == 1


@virtual
async def test_after_retries_and_a_normal_end_there_is_no_error():
    s, failures = supervisor(), 2

    async def work(p):
        nonlocal failures
        if failures:
            failures -= 1
            raise ValueError("x")

    worker = s.supervise(Worker("bob", work, retry=True))
    assert await s.run() == []
    assert worker.error is None
    assert (worker.status.run, worker.status.state) == (3, State.DONE)


@virtual
async def test_must_run_raises_all_errors_as_one_group():
    with pytest.raises(ExceptionGroup, match="bob failed") as caught:
        await must_run("bob", raising(ValueError("x")))
    assert [str(error) for error in caught.value.exceptions] == ["bob: x"]
    await must_run("bob", nothing)


# ---------------------------------------------------------------- restart and wait


@virtual
async def test_restart_is_for_those_that_have_ended():
    s = supervisor()
    worker = s.supervise(Worker("bob", forever))
    with pytest.raises(RuntimeError, match="bob: cannot restart a worker that has not ended"):
        worker.restart()
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    with pytest.raises(RuntimeError, match="bob: cannot restart a worker that has not ended"):
        worker.restart()
    other = s.supervise(Worker("other", forever))
    worker.shutdown()
    await worker.wait()
    worker.restart()
    waiting = asyncio.create_task(worker.wait())
    await asyncio.sleep(1)
    assert not waiting.done()
    assert (worker.status.run, worker.status.state) == (2, State.RUNNING)
    s.shutdown()
    await waiting
    worker.restart()
    assert await running == []
    worker.restart()
    assert (worker.status.run, other.status.state) == (2, State.STOPPED)


@virtual
async def test_a_cancelled_wait_disturbs_nobody():
    s = supervisor()
    worker = s.supervise(Worker("bob", forever))
    running = asyncio.create_task(s.run())
    first, second = asyncio.create_task(worker.wait()), asyncio.create_task(worker.wait())
    await asyncio.sleep(1)
    first.cancel()
    worker.shutdown()
    await second
    assert await running == []
    assert first.cancelled()


# ---------------------------------------------------------------- orders and what they lead to


@virtual
async def test_tell_answers_with_the_position_and_the_operation():
    s = supervisor(stay=True)
    s.supervise(Worker("bob", forever))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    before = s.journal.cursor.seq
    receipt = s.tell(Restart("bob", by="ann", operation="op-1"))
    assert receipt.operation == "op-1"
    assert receipt.seq == s.journal.cursor.seq > before
    (entry,) = s.journal.entries(before)
    assert (entry.event.by, entry.event.status.state) == ("ann", State.STOPPING)
    assert entry.time == s.clock.now() == entry.event.status.since
    await asyncio.sleep(1)
    assert s.get("bob").status.run == 2
    with pytest.raises(Refused):
        s.tell(Start("nobody"))
    s.shutdown()
    assert await running == []
    with pytest.raises(Refused):
        s.tell(Start("bob"))


@virtual
async def test_the_journal_tells_the_whole_life_and_ends_with_it():
    s, seen = supervisor(), []
    s.supervise(Worker("bob", forever))

    async def follow():
        async for batch in s.journal.follow(0):
            for entry in batch:
                match entry.event:
                    case Changed(status=status):
                        seen.append(str(status.state))
                    case PhaseChanged(phase=phase):
                        seen.append(phase.upper())

    following = asyncio.create_task(follow())
    asyncio.get_running_loop().call_later(1, s.shutdown)
    assert await s.run() == []
    await following
    states = [word for word, after in zip(seen, [*seen[1:], ""], strict=True) if word != after]
    assert states == ["blocked", "RUNNING", "starting", "running", "LEAVING", "stopping", "stopped", "OVER"]


@virtual
async def test_a_program_of_the_config_gets_a_handle():
    s = supervisor()
    s.tell(Add(WorkerSpec("job", autostart=False)))
    worker = s.get("job")
    assert (worker.name, worker.status.state) == ("job", State.STOPPED)
    assert s.get("job") is worker


@virtual
async def test_kill_ends_one_worker_at_once():
    s = supervisor()
    s.supervise(Worker("bob", stubborn, stop_timeout=1000))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    s.tell(Kill("bob"))
    assert await running == []
    assert asyncio.get_running_loop().time() == 1
    assert s.logger.of("bob") == ["killing it", "exited: cancelled"]


# ---------------------------------------------------------------- lines


@virtual
async def test_the_lines_of_a_life_are_the_seeds():
    s, runs = supervisor(), 0

    async def flaky(p):
        nonlocal runs
        runs += 1
        p.ready()
        if runs == 1:
            raise ValueError("oops")
        await p.wait_shutdown()

    s.supervise(Worker("flaky", flaky, retry=True))
    s.supervise(Worker("quiet", nothing))
    s.supervise(Worker("hopeful", nothing, ["nobody"]))
    asyncio.get_running_loop().call_later(20, s.shutdown)
    assert await s.run() == []
    assert s.logger.of("flaky") == ["ERROR: oops", "retrying after 0.1 s...", "signaling shutdown", "exited"]
    assert s.logger.of("quiet") == ["exited"]
    (line,) = s.logger.of("hopeful")
    assert line.startswith("blocked on nobody (")
    assert len(s.logger) == 6


@virtual
async def test_blocked_is_told_only_when_it_lasts():
    s, loop, told = supervisor(), asyncio.get_running_loop(), []

    async def slow(p):
        await asyncio.sleep(2.9)
        p.ready()
        await p.wait_shutdown()

    async def slower(p):
        await asyncio.sleep(3.1)
        p.ready()
        await p.wait_shutdown()

    class Timed(Lines):
        def __call__(self, context, format, *args):
            super().__call__(context, format, *args)
            told.append((loop.time(), self[-1]))

    s.logger = Timed()
    s.supervise(Worker("slow", slow))
    s.supervise(Worker("slower", slower))
    s.supervise(Worker("first", forever, ["slow"]))
    s.supervise(Worker("second", forever, ["slower"]))
    loop.call_later(30, s.shutdown)
    assert await s.run() == []
    assert [line for at, line in told if at == 3] == ["second: blocked on slower (starting)"]
    assert not s.logger.of("first")[:-2]


# ---------------------------------------------------------------- any thread


def test_handles_may_be_called_from_any_thread():
    lines = Lines()

    async def main():
        s = Supervisor(logger=lines)
        s.supervise(Worker("base", forever))
        outside = threading.Thread(target=from_outside, args=(s,))
        outside.start()
        errors = await s.run()
        outside.join()
        return errors

    def from_outside(s):
        names = [f"w{number}" for number in range(20)]
        threads = [threading.Thread(target=s.supervise, args=(Worker(name, forever, ["base"]),)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pytest.raises(ValueError, match="worker already exists: w3"):
            s.supervise(Worker("w3", forever))
        with pytest.raises(ValueError, match="own"):
            s.supervise(Worker("own", forever, ["own"]))
        for name in names[:10]:
            asyncio.run(stop_and_wait(s, name))
            assert s.get(name).status.state is State.STOPPED
        s.shutdown()

    async def stop_and_wait(s, name):
        worker = s.get(name)
        await until(s, worker, State.RUNNING)
        worker.shutdown()
        await worker.wait()
        worker.restart()
        await until(s, worker, State.RUNNING)
        worker.shutdown()
        await worker.wait()

    assert asyncio.run(main()) == []


# ---------------------------------------------------------------- cost


@virtual
async def test_nothing_runs_at_rest():
    """Once everyone is stable and nobody is asked anything, no timer is set and no turn is due."""
    s, loop = supervisor(stay=True), asyncio.get_running_loop()
    for number in range(5):
        s.supervise(Worker(f"w{number}", forever))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(60)
    assert s._launcher._timer is None
    assert not loop._scheduled
    s.shutdown()
    assert await running == []


@virtual
async def test_actions_are_performed_in_slices():
    s, most = supervisor(), 0
    launcher = s._launcher
    turn, perform = launcher._turn, launcher._perform
    count = 0

    def counted_turn():
        nonlocal count, most
        count = 0
        turn()
        most = max(most, count)

    def counted_perform(action):
        nonlocal count
        count += 1
        perform(action)

    launcher._turn, launcher._perform = counted_turn, counted_perform
    for number in range(100):
        s.supervise(Worker(f"w{number}", forever))
    asyncio.get_running_loop().call_later(1, s.shutdown)
    assert await s.run() == []
    assert most == 32


def test_a_thousand_workers_start_and_stop_in_linear_time():
    def cpu(count):
        @virtual
        async def life():
            s = supervisor()
            for number in range(count):
                s.supervise(Worker(f"w{number}", forever))
            asyncio.get_running_loop().call_later(1, s.shutdown)
            assert await s.run() == []

        before = time.process_time()
        life()
        return time.process_time() - before

    small, large = (min(cpu(count) for _ in range(3)) for count in (200, 1000))
    assert large < 5 * small * 2 + 0.1, f"5 times the workers took {large / small:.1f} times the time"


# ---------------------------------------------------------------- the package


def test_every_public_name_is_there():
    for name in supervisor_core.__all__:
        assert getattr(supervisor_core, name) is not None
    assert set(supervisor_core.__all__) == set(supervisor_core._MODULE_OF) <= set(dir(supervisor_core))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        supervisor_core.Nonsense  # noqa: B018


def test_the_vocabulary_costs_no_event_loop_and_the_shell_no_more_than_that():
    code = "import sys, supervisor_core.model as m; assert 'asyncio' not in sys.modules; m.State"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = (
        "import sys; from supervisor_core import Supervisor; sys.exit(', '.join({'http', 'ssl', 'sqlite3', 'fastapi', "
    )
    code += "'uvicorn'} & set(sys.modules) - {'ssl'}) or 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_requirement_may_say_more_than_a_name():
    worker = Worker("a", nothing, [Requirement("b", Condition.STARTED)])
    assert worker.spec.requires == (Requirement("b", Condition.STARTED),)


@virtual
async def test_run_is_a_supervisor_for_one_function():
    assert await run("bob", nothing) == []
    assert [str(error) for error in await run("bob", raising(ValueError("x")))] == ["bob: x"]
