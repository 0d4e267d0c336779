"""The wrapper of works: every way in which one can end becomes its `Exit`, and none of them ends the loop."""

import asyncio
import contextvars
import functools
import gc
import threading

import pytest

from supervisor_core import CannotStart, CommandError, Context, Worker
from supervisor_core.children import Ended
from supervisor_core.messages import Kill
from supervisor_core.model import Exit, State
from supervisor_core.runs import exit_of
from tests.shell.minions import forever, raising, stubborn, supervisor, unstoppable
from tests.support.virtual import virtual


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("result", "error", "expected"),
    [
        (None, None, Exit(3, code=0)),
        ("anything", None, Exit(3, code=0)),
        (Ended(code=2), None, Exit(3, code=2)),
        (Ended(signal=9, reason="r"), None, Exit(3, signal=9, reason="r")),
        (None, CannotStart("no such program"), Exit(3, reason="no such program", permanent=True)),
        (None, CannotStart("busy", permanent=False), Exit(3, reason="busy")),
        (None, CommandError("x: exit status 4", 4), Exit(3, code=4, reason="x: exit status 4")),
        (None, CommandError("x: signal TERM", -15), Exit(3, signal=15, reason="x: signal TERM")),
        (None, CommandError("no such program"), Exit(3, reason="no such program")),
        (None, SystemExit(), Exit(3, code=0)),
        (None, SystemExit(0), Exit(3, code=0)),
        (None, SystemExit(7), Exit(3, code=7, reason="7")),
        (None, SystemExit("words"), Exit(3, code=1, reason="words")),
        (None, KeyboardInterrupt(), Exit(3, code=1, reason="KeyboardInterrupt")),
        (None, ValueError("boo"), Exit(3, code=1, reason="boo")),
        (None, ValueError(), Exit(3, code=1, reason="ValueError")),
        (None, Unprintable(), Exit(3, code=1, reason="Unprintable")),
    ],
)
def test_what_an_end_means(result, error, expected):
    assert exit_of(3, result, error) == expected


def recurse():
    return recurse()


ENDS = [
    SystemExit(3),
    KeyboardInterrupt("k"),
    GeneratorExit("g"),
    ValueError("v"),
    BaseExceptionGroup("b", [SystemExit()]),
]


@pytest.mark.row(29)
@pytest.mark.parametrize("error", ENDS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", ["coroutine", "thread", "lambda"])
@virtual
async def test_whatever_a_work_raises_is_only_its_own_end(kind, error):
    def plain(p):
        raise error

    work = {"coroutine": raising(error), "thread": plain, "lambda": lambda p: raising(error)(p)}[kind]
    s = supervisor()
    s.supervise(Worker("bad", work, on_give_up="fail"))
    s.supervise(Worker("good", forever))
    running = asyncio.create_task(s.run())
    await s.get("bad").wait()
    assert s.get("good").status.state is State.RUNNING
    s.shutdown()
    (found,) = await running
    assert found.__cause__ is error
    assert s.get("bad").status.state is State.FAILED


@pytest.mark.row(29)
@virtual
async def test_endless_recursion_is_only_its_own_end():
    async def work(p):
        recurse()

    s = supervisor()
    s.supervise(Worker("deep", work))
    (error,) = await s.run()
    assert isinstance(error.__cause__, RecursionError)


@virtual
async def test_a_work_that_cannot_even_be_called():
    async def wrong():
        """Takes no process."""

    s = supervisor()
    s.supervise(Worker("bad", wrong))
    (error,) = await s.run()
    assert isinstance(error.__cause__, TypeError)


@virtual
async def test_a_lambda_around_a_coroutine_function_runs_in_the_loop():
    s, seen = supervisor(), []

    async def work(p, word):
        seen.append((word, threading.current_thread() is threading.main_thread()))
        await p.wait_shutdown()
        seen.append("left")

    s.supervise(Worker("bob", lambda p: work(p, "hello")))
    s.supervise(Worker("partial", functools.partial(work, word="again")))
    asyncio.get_running_loop().call_later(1, s.shutdown)
    assert await s.run() == []
    assert sorted(map(str, seen)) == ["('again', True)", "('hello', True)", "left", "left"]


@virtual
async def test_a_plain_function_has_a_thread_of_its_own_and_no_pool_limits_it():
    s, count = supervisor(), 80
    barrier = threading.Barrier(count)

    def work(p):
        assert threading.current_thread().daemon
        assert threading.current_thread().name == f"worker {p.worker.name}"
        barrier.wait(10)

    for number in range(count):
        s.supervise(Worker(f"t{number}", work))
    assert await s.run() == []


@virtual
async def test_a_work_gets_the_variables_of_who_called_run_and_keeps_its_own():
    variable = contextvars.ContextVar("variable", default="unset")
    s, seen = supervisor(), {}

    async def first(p):
        variable.set("changed by first")
        p.ready()

    async def second(p):
        seen["coroutine"] = variable.get()

    def third(p):
        seen["thread"] = variable.get()

    async def starter(p):
        variable.set("changed by starter")
        s.supervise(Worker("second", second))
        s.supervise(Worker("third", third))

    variable.set("set before run")
    s.supervise(Worker("first", first))
    s.supervise(Worker("starter", starter))
    assert await s.run() == []
    assert seen == {"coroutine": "set before run", "thread": "set before run"}
    assert variable.get() == "set before run"


@virtual
async def test_a_thread_that_is_not_to_be_had_is_a_failed_start(monkeypatch):
    from supervisor_core import runs

    tries, real = [], runs.start_thread

    def scarce(name, body):
        tries.append(name)
        if len(tries) < 3:
            raise RuntimeError("can't start new thread")
        real(name, body)

    monkeypatch.setattr(runs, "start_thread", scarce)
    s = supervisor()
    worker = s.supervise(Worker("bob", lambda p: None, retry=True))
    assert await s.run() == []
    assert len(tries) == 3
    assert worker.status.state is State.DONE
    assert s.logger.of("bob")[0] == "ERROR: cannot start it: can't start new thread"


# ---------------------------------------------------------------- cancellation


@virtual
async def test_a_task_cancelled_before_its_first_step_is_an_end_like_any_other():
    s, started = supervisor(), []

    async def work(p):
        started.append(True)

    async def killer(p):
        s.supervise(Worker("victim", work))
        s.tell(Kill("victim"))

    s.supervise(Worker("killer", killer))
    assert await s.run() == []
    assert not started
    assert s.get("victim").status.state is State.STOPPED
    assert s.get("victim").status.last_exit.signal == 9


@virtual
async def test_a_coroutine_that_is_cancelled_by_others_has_failed():
    s = supervisor()

    async def work(p):
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    s.supervise(Worker("bob", work))
    (error,) = await s.run()
    assert str(error) == "bob: cancelled"
    assert isinstance(error.__cause__, asyncio.CancelledError)


@virtual
async def test_a_coroutine_that_ignores_the_signal_is_cancelled_after_its_stop_timeout():
    s, loop = supervisor(), asyncio.get_running_loop()
    s.supervise(Worker("slow", stubborn, stop_timeout=5))
    loop.call_later(1, s.shutdown)
    assert await s.run() == []
    assert loop.time() == pytest.approx(6)
    assert s.logger.of("slow") == ["signaling shutdown", "did not stop within 5 s, killing it", "exited: cancelled"]
    assert s.get("slow").status.last_exit.signal == 9


@pytest.mark.row(31)
@virtual
async def test_a_coroutine_that_swallows_cancellation_is_stuck_and_holds_nobody():
    s, loop, release = supervisor(), asyncio.get_running_loop(), asyncio.Event()
    s.supervise(Worker("base", forever))
    s.supervise(Worker("mule", unstoppable(release), requires=["base"], stop_timeout=5, kill_timeout=2))
    loop.call_later(1, s.shutdown)
    errors = await s.run()
    assert [str(error) for error in errors] == ["mule: did not stop"]
    assert loop.time() == pytest.approx(10), "1 + 5 to stop + twice 2 to kill"
    assert s.get("mule").error is errors[0]
    assert (s.get("mule").status.state, s.get("mule").status.stuck) == (State.KILLING, True)
    assert s.get("base").status.state is State.STOPPED
    assert s.logger.of("mule")[-1] == "ERROR: did not stop"
    await s.get("mule").wait()
    release.set()
    await asyncio.sleep(1)
    assert s.get("mule").status.state is State.STOPPED, "what ends later is still taken note of"
    assert [str(error) for error in errors] == ["mule: did not stop"]


@virtual
async def test_a_thread_that_does_not_end_is_stuck():
    s, release = supervisor(), threading.Event()
    s.supervise(Worker("mule", lambda p: release.wait(), stop_timeout=5, kill_timeout=2))
    asyncio.get_running_loop().call_later(1, s.shutdown)
    assert [str(error) for error in await s.run()] == ["mule: did not stop"]
    release.set()


def test_a_thread_that_ends_after_the_loop_was_closed_harms_nobody():
    release, ended = threading.Event(), threading.Event()
    kept = []

    @virtual
    async def main():
        s = supervisor()
        kept.append(s)
        s.supervise(Worker("mule", work, stop_timeout=0.1, kill_timeout=0.1))
        asyncio.get_running_loop().call_later(1, s.shutdown)
        assert [str(error) for error in await s.run()] == ["mule: did not stop"]

    def work(p):
        release.wait()
        p.log("still here")
        p.ready()
        ended.set()

    main()
    release.set()
    assert ended.wait(5)
    for thread in threading.enumerate():
        if thread.name == "worker mule":
            thread.join(5)
    assert kept[0].get("mule").status.state is State.STOPPED


@virtual
async def test_an_error_after_our_cancellation_is_told_but_not_counted():
    async def spoilt(p):
        try:
            await stubborn(p)
        except asyncio.CancelledError:
            raise ValueError("while cleaning up") from None

    s = supervisor()
    s.supervise(Worker("bob", spoilt, stop_timeout=1))
    asyncio.get_running_loop().call_later(1, s.shutdown)
    assert await s.run() == []
    assert s.logger.of("bob")[-1] == "ERROR: while cleaning up"


# ---------------------------------------------------------------- the task that awaits run()


@virtual
async def test_cancelling_run_waits_until_everyone_is_at_rest_and_raises():
    context, left, loop = Context(), [], asyncio.get_running_loop()
    s = supervisor(context)

    async def slow_leaver(p):
        p.ready()
        await p.wait_shutdown()
        left.append(p.context.cancelled)
        await asyncio.sleep(3)
        left.append("gone")

    s.supervise(Worker("slow", slow_leaver))
    running = asyncio.create_task(s.run())
    await asyncio.sleep(1)
    running.cancel()
    await asyncio.sleep(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert left == [True, "gone"]
    assert loop.time() == 4


@virtual
async def test_cancelling_run_before_its_first_step_starts_nothing():
    s = supervisor()
    s.supervise(Worker("bob", forever))
    running = asyncio.create_task(s.run())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert s.get("bob").status.run == 0


@pytest.mark.row(31)
@virtual
async def test_cancelling_run_with_a_stuck_worker_raises_all_the_same():
    s, release = supervisor(), asyncio.Event()
    s.supervise(Worker("mule", unstoppable(release), stop_timeout=1, kill_timeout=1))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(s.run(), 5)
    assert asyncio.get_running_loop().time() == pytest.approx(8)
    release.set()
    await asyncio.sleep(1)


@virtual
async def test_run_may_be_called_once():
    s = supervisor()
    assert await s.run() == []
    with pytest.raises(RuntimeError, match="run\\(\\) was called before"):
        await s.run()


@pytest.mark.leaves("tasks")
def test_a_program_that_ends_while_all_runs_leaves_no_warning():
    """asyncio.run cancels everything at its end: the supervisor's task and the works at the same time."""

    @virtual
    async def main():
        s = supervisor()
        s.supervise(Worker("a", forever))
        s.supervise(Worker("b", stubborn))
        main.keep = asyncio.create_task(s.run())
        await asyncio.sleep(1)

    main()
    gc.collect()
    assert main.keep.cancelled()
