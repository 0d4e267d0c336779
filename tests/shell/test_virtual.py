"""The virtual loop itself."""

import asyncio
import threading
import time

import pytest

from tests.support.virtual import EPOCH, NothingLeft, VirtualClock, run_virtual, virtual


def test_an_hour_takes_no_time():
    async def main():
        clock = VirtualClock()
        await asyncio.sleep(3600)
        return clock.now() - EPOCH

    before = time.monotonic()
    assert run_virtual(main()) == pytest.approx(3600)
    assert time.monotonic() - before < 2


@pytest.mark.leaves("tasks")
def test_nothing_left_to_happen_fails_at_once():
    with pytest.raises(NothingLeft):
        run_virtual(asyncio.Event().wait())


@virtual
async def test_timers_come_in_order():
    loop, seen = asyncio.get_running_loop(), []
    for delay in (3, 1, 2):
        loop.call_later(delay, seen.append, delay)
    await asyncio.sleep(4)
    assert seen == [1, 2, 3]


@virtual
async def test_threads_may_call_in_without_a_timer():
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(done.set))
    thread.start()
    await done.wait()
    thread.join()
    assert loop.time() == 0


@virtual
async def test_time_goes_on_while_a_thread_waits_for_it():
    loop, release = asyncio.get_running_loop(), threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    loop.call_later(60, release.set)
    await asyncio.sleep(61)
    thread.join()
    assert loop.time() == 61
