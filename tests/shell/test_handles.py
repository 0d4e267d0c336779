"""Flags, contexts, and calling of functions: the small parts, from any thread."""

import asyncio
import functools
import threading
import time

import pytest

from supervisor_core import Context, Worker, work_func
from supervisor_core.calling import call, is_async
from supervisor_core.flag import Flag, post
from supervisor_core.model import OnGiveUp, RestartWhen
from tests.support.virtual import virtual


@virtual
async def test_a_flag_wakes_every_waiter_and_stays_set():
    flag = Flag()
    waiters = [asyncio.create_task(flag.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(waiter.done() for waiter in waiters)
    flag.set()
    flag.set()
    await asyncio.gather(*waiters)
    await flag.wait()
    assert flag.is_set


@virtual
async def test_a_cancelled_waiter_is_forgotten():
    flag = Flag()
    waiter = asyncio.create_task(flag.wait())
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    assert not flag._calls
    flag.set()


@virtual
async def test_a_flag_set_in_a_thread_wakes_a_loop():
    flag = Flag()
    thread = threading.Thread(target=flag.set)
    thread.start()
    await flag.wait()
    thread.join()


def test_a_flag_wakes_threads_and_several_loops():
    flag, woken = Flag(), []
    threads = [threading.Thread(target=lambda: woken.append(flag.wait_blocking(10))) for _ in range(2)]
    threads += [threading.Thread(target=lambda: woken.append(asyncio.run(flag.wait()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    while len(flag._calls) < 4:
        time.sleep(0.001)
    flag.set()
    for thread in threads:
        thread.join(10)
    assert sorted(woken, key=str) == [None, None, True, True]


def test_waiting_in_a_thread_has_a_time_limit():
    flag = Flag()
    assert flag.wait_blocking(0.001) is False
    assert not flag._calls
    flag.set()
    assert flag.wait_blocking() is True


def test_a_call_registered_late_is_made_at_once_and_one_taken_back_never():
    flag, calls = Flag(), []
    flag.on_set(lambda: calls.append("never"))()
    flag.set()
    flag.on_set(lambda: calls.append("at once"))()
    assert calls == ["at once"]


def test_posting_to_a_closed_loop_says_so():
    loop = asyncio.new_event_loop()
    loop.close()
    assert post(loop, print) is False


@virtual
async def test_a_context_is_cancelled_once_and_for_all():
    context, calls = Context(), []
    context.on_cancel(lambda: calls.append(1))
    assert not context.cancelled
    waiter = asyncio.create_task(context.wait())
    await asyncio.sleep(0)
    context.cancel()
    context.cancel()
    await waiter
    assert (context.cancelled, calls, repr(context)) == (True, [1], "<Context cancelled>")


async def coroutine(*args):
    return args


class Callable:
    async def __call__(self, *args):
        return args


@pytest.mark.parametrize("function", [coroutine, functools.partial(coroutine), Callable(), Callable().__call__])
def test_what_counts_as_a_coroutine_function(function):
    assert is_async(function)


@pytest.mark.parametrize("function", [lambda: coroutine(), print, Callable, threading.Event().set])
def test_what_does_not(function):
    assert not is_async(function)


@virtual
async def test_a_plain_function_is_called_in_a_thread_of_its_own():
    here = threading.current_thread()
    there, daemon = await call(lambda: (threading.current_thread(), threading.current_thread().daemon))
    assert there is not here
    assert daemon
    assert await call(lambda: coroutine(1)) == (1,)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), StopIteration()])
def test_what_a_thread_raises_is_raised_here(error):
    def blow_up():
        raise error

    async def main():
        try:
            await call(blow_up)
        except BaseException as raised:
            return raised

    raised = asyncio.run(main())
    assert raised is error or isinstance(raised.__cause__, type(error))


@virtual
async def test_who_no_longer_waits_for_a_thread_leaves_it_behind():
    release, ended = threading.Event(), threading.Event()

    def slow():
        release.wait()
        ended.set()

    task = asyncio.create_task(call(slow))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    release.set()
    assert ended.wait(5)


@virtual
async def test_work_func_binds_arguments_and_stays_what_it_is():
    def plain(p, a, *, b):
        return p, a, b

    async def other(p, a, *, b):
        return p, a, b

    assert work_func(plain, 1, b=2)("process") == ("process", 1, 2)
    assert await work_func(other, 1, b=2)("process") == ("process", 1, 2)
    assert is_async(work_func(other))
    assert not is_async(work_func(plain))


def test_a_worker_keeps_the_seeds_behaviour_by_default():
    spec = Worker("a", coroutine, ["b"]).spec
    assert [(r.name, str(r.condition), str(r.follow)) for r in spec.requires] == [("b", "ready", "ignore")]
    assert (spec.restart.restart, spec.restart.on_give_up) == (RestartWhen.NEVER, OnGiveUp.SHUTDOWN)
    assert (spec.stop.timeout, spec.stop.kill_timeout, spec.start_timeout) == (10.0, 2.0, None)
    assert (spec.restart.backoff_initial, spec.restart.backoff_max, spec.restart.jitter) == (0.1, 3.0, 0.0)
    assert (spec.restart.stable_after, spec.restart.max_restarts) == (10.0, 0)
    assert Worker("a", coroutine, retry=True).spec.restart.restart is RestartWhen.ON_FAILURE


def test_one_requirement_may_be_a_bare_name():
    assert [r.name for r in Worker("a", coroutine, "database").spec.requires] == ["database"]


def test_a_worker_nobody_supervises_says_so():
    worker = Worker("a", coroutine)
    assert (worker.status, worker.error, repr(worker)) == (None, None, "<Worker a>")
    with pytest.raises(RuntimeError, match="a: not supervised yet"):
        worker.shutdown()
    with pytest.raises(RuntimeError, match="a: not supervised yet"):
        worker.restart()
    with pytest.raises(ValueError, match="OnGiveUp"):
        Worker("a", coroutine, on_give_up="panic")
