"""The journal and the clock: numbers, snapshots, followers that are slow, early, late or elsewhere."""

import asyncio
import threading
import time

import pytest

from supervisor_core import clock as clocks
from supervisor_core.journal import Cursor, Gap, Journal
from supervisor_core.messages import Changed, PhaseChanged, Removed
from supervisor_core.model import Phase, State, Status, WorkerSpec
from tests.support.virtual import NothingLeft, run_virtual, virtual


def changed(name: str, **fields: object) -> Changed:
    return Changed(Status(WorkerSpec(name), **fields))


def journal(capacity: int = 100) -> Journal:
    return Journal(7, lambda: 12.5, capacity)


async def collect(journal: Journal, after: int = 0) -> list[int | Gap]:
    seen: list[int | Gap] = []
    async for found in journal.follow(after):
        seen += [found] if isinstance(found, Gap) else [entry.seq for entry in found]
    return seen


def test_entries_are_numbered_from_one_and_timed():
    j = journal()
    first, second = j.append(changed("a")), j.append(changed("b"), 99.0)
    assert (first.seq, first.time, second.seq, second.time) == (1, 12.5, 2, 99.0)
    assert str(j.cursor) == "7:2"


def test_snapshot_has_the_last_word_about_each_worker_and_the_phase():
    j = journal(capacity=2)
    j.append(changed("a"))
    j.append(changed("b"))
    j.append(PhaseChanged(Phase.RUNNING))
    j.append(changed("b", state=State.RUNNING))
    j.append(changed("c"))
    j.append(Removed("c"))
    snapshot = j.snapshot()
    assert {name: entry.seq for name, entry in snapshot.workers.items()} == {"a": 1, "b": 4}
    assert (snapshot.phase, snapshot.cursor) == (Phase.RUNNING, Cursor(7, 6))


def test_entries_after_a_position():
    j = journal()
    for name in "abcde":
        j.append(changed(name))
    assert [entry.seq for entry in j.entries(2)] == [3, 4, 5]
    assert [entry.seq for entry in j.entries(2, limit=2)] == [3, 4]
    assert j.entries(5) == j.entries(500) == []


def test_what_fell_out_is_a_gap():
    j = journal(capacity=3)
    for name in "abcde":
        j.append(changed(name))
    assert j.entries(0) == Gap(1, 2)
    assert j.entries(1) == Gap(2, 2)
    assert [entry.seq for entry in j.entries(2)] == [3, 4, 5]


@pytest.mark.parametrize("text", ["", "7", ":", "7:", ":2", "-1:2", "7:+2", "7:2:3", "٧:2", "7: 2", "1" * 40 + ":2"])
def test_bad_cursors_are_refused_in_one_sentence(text):
    with pytest.raises(ValueError, match="a cursor looks like"):
        Cursor.parse(text)


def test_a_cursor_reads_what_it_prints_and_sorts():
    assert Cursor.parse(str(Cursor(7, 12))) == Cursor(7, 12)
    assert Cursor(7, 12) < Cursor(7, 100) < Cursor(8, 1)


@virtual
async def test_a_follower_gets_the_past_the_present_and_the_end():
    j = journal()
    j.append(changed("a"))
    following = asyncio.create_task(collect(j))
    await asyncio.sleep(0)
    j.append(changed("b"))
    await asyncio.sleep(1)
    j.append(changed("c"))
    j.close()
    assert await following == [1, 2, 3]


@virtual
async def test_closing_before_following_still_gives_what_is_there():
    j = journal()
    j.append(changed("a"))
    j.close()
    assert await collect(j) == [1]
    assert await collect(j, after=1) == []
    assert j.closed


@virtual
async def test_what_is_appended_after_the_end_can_still_be_read():
    j = journal()
    j.close()
    j.append(changed("a"))
    assert [entry.seq for entry in j.entries(0)] == [1]
    assert await collect(j) == [1]


@virtual
async def test_a_slow_follower_gets_a_gap_up_to_now_and_goes_on():
    j = journal(capacity=3)
    stream = j.follow(0)
    j.append(changed("a"))
    assert [entry.seq for entry in await anext(stream)] == [1]
    for name in "bcdefg":
        j.append(changed(name))
    assert await anext(stream) == Gap(2, 7)
    j.append(changed("h"))
    assert [entry.seq for entry in await anext(stream)] == [8]
    await stream.aclose()


@virtual
async def test_a_cancelled_follower_leaves_nothing_behind():
    j = journal()
    following = asyncio.create_task(collect(j))
    await asyncio.sleep(0)
    assert len(j._sleepers) == 1
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert not j._sleepers


@pytest.mark.leaves("tasks")
def test_a_follower_that_nobody_wakes_is_found_out():
    with pytest.raises(NothingLeft):
        run_virtual(collect(journal()))


@virtual
async def test_a_burst_wakes_a_follower_once():
    j, wakes = journal(), 0
    following = asyncio.create_task(collect(j))
    await asyncio.sleep(0)
    (sleeper,) = j._sleepers
    bell_set = sleeper.bell.set

    def counted():
        nonlocal wakes
        wakes += 1
        bell_set()

    sleeper.bell.set = counted
    for _ in range(50):
        j.append(changed("a"))
    await asyncio.sleep(1)
    assert wakes == 1
    j.close()
    assert await following == list(range(1, 51))


def test_many_threads_append_and_two_loops_follow_without_loss():
    j, total = journal(capacity=100_000), 4 * 500
    results: list[list[int | Gap]] = []
    followers = [threading.Thread(target=lambda: results.append(asyncio.run(collect(j)))) for _ in range(2)]
    for follower in followers:
        follower.start()
    writers = [threading.Thread(target=lambda: [j.append(changed("a")) for _ in range(500)]) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    j.close()
    for follower in followers:
        follower.join(10)
    assert results == [list(range(1, total + 1))] * 2


def test_a_loop_that_was_closed_does_not_disturb_the_writer():
    j = journal()
    loop = asyncio.new_event_loop()
    stream = j.follow(0)
    task = loop.create_task(anext(stream))
    loop.run_until_complete(asyncio.wait([task], timeout=0))
    assert len(j._sleepers) == 1
    (sleeper,) = j._sleepers
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    j._sleepers.add(sleeper)  # as a loop that ended without closing its generators leaves it
    loop.close()
    assert j.append(changed("a")).seq == 1


def test_the_clock_shows_now_and_does_not_jump(monkeypatch):
    clock = clocks.Clock()
    assert abs(clock.now() - time.time()) < 1
    real = time.time
    monkeypatch.setattr(clocks.time, "time", lambda: real() + 86_400)
    assert abs(clock.now() - real()) < 1
    times = [clock.now() for _ in range(1000)]
    assert times == sorted(times)
