"""How the pipes of many workers share a loop: a handful of moves a turn, by turns, and nothing held afterwards."""

import asyncio
import os
from collections.abc import Callable

import pytest

from supervisor_core.children.outlets import HANDFUL, HOLD, Gate, Outlet, Tap
from tests.support.virtual import virtual

PIPES = 5 * HANDFUL


@pytest.mark.asyncio
async def test_a_turn_makes_a_handful_of_moves_and_all_pipes_come_by_turns() -> None:
    gate, taken = Gate(asyncio.get_running_loop()), list[str]()
    pipes = [os.pipe() for _ in range(PIPES)]
    ended = [asyncio.Event() for _ in pipes]
    for number, (reading, writing) in enumerate(pipes):
        os.write(writing, b"x" * 60_000)
        tap = Tap(str(number), reading, lambda stream, _: taken.append(stream))
        tap.move = some(tap)  # type: ignore[method-assign]
        Outlet(gate, tap).begin(ended[number].set)
    turns = []
    while len(taken) < 2 * PIPES:
        before = len(taken)
        await asyncio.sleep(0)
        turns.append(len(taken) - before)
    assert max(turns) <= HANDFUL
    assert len(set(taken[:PIPES])) == PIPES, "each was served before one was served twice"
    for _, writing in pipes:
        os.close(writing)
    for event in ended:
        await event.wait()


def some(tap: Tap) -> Callable[[], bool]:
    """A move of a few bytes: the pipe stays readable, as that of a worker that floods."""

    def move() -> bool:
        if not (data := os.read(tap.fd, 6000)):
            tap._finish()
            return False
        tap._output(tap._stream, data)
        return True

    return move


@virtual
async def test_pipes_wait_a_moment_when_a_worker_has_ended_and_not_for_more_than_half_of_the_time() -> None:
    loop = asyncio.get_running_loop()
    gate, times = Gate(loop), list[float]()
    reading, writing = os.pipe()

    def take() -> None:
        os.read(reading, 1)
        times.append(loop.time())

    gate.watch(reading, take)

    async def first_after(seconds: float) -> float:
        """When, from now on, a byte is let through; looked at for so long."""
        times.clear()
        begun = loop.time()
        os.write(writing, b"x")
        await asyncio.sleep(seconds)
        return times[0] - begun if times else seconds

    assert await first_after(0.001) == 0
    gate.hold()
    assert await first_after(3 * HOLD) == pytest.approx(HOLD), "nobody released it"
    gate.hold()
    gate.release()
    gate.hold()
    assert await first_after(2 * HOLD) == 0, "it was held a moment ago"
    gate.hold()
    assert await first_after(HOLD / 2) == HOLD / 2
    gate.release()
    assert await first_after(0.001) == 0
    gate.hold()
    gate.unwatch(reading)
    os.close(reading)
    os.close(writing)


@pytest.mark.asyncio
async def test_whoever_ends_in_the_turn_of_another_is_not_called_any_more() -> None:
    loop = asyncio.get_running_loop()
    gate, called, one = Gate(loop), list[int](), asyncio.Event()
    pipes = [os.pipe() for _ in range(2)]

    def end_the_other(own: int, other: int) -> None:
        called.append(own)
        one.set()
        gate.unwatch(other)

    first, second = (reading for reading, _ in pipes)
    gate.watch(first, lambda: end_the_other(first, second))
    gate.watch(second, lambda: end_the_other(second, first))
    for _, writing in pipes:
        os.write(writing, b"x")
    await one.wait()
    assert len(called) == 1
    gate.unwatch(called[0])
    for fd in (fd for pipe in pipes for fd in pipe):
        os.close(fd)


@virtual
async def test_an_outlet_that_was_closed_is_watched_no_more_and_leaves_its_number_to_the_next() -> None:
    gate, heard = Gate(asyncio.get_running_loop()), list[tuple[str, bytes]]()
    before = len(os.listdir("/proc/self/fd"))
    for name in ("first", "second"):
        reading, writing = os.pipe()
        ended = asyncio.Event()
        outlet = Outlet(gate, Tap(name, reading, lambda stream, data: heard.append((stream, data))))
        outlet.begin(ended.set)
        os.write(writing, name.encode())
        outlet.close()
        os.close(writing)
        assert ended.is_set()
        assert len(os.listdir("/proc/self/fd")) == before, "the pipe, and what watched it"
        await asyncio.sleep(0)
    assert heard == [("first", b"first"), ("first", b""), ("second", b"second"), ("second", b"")]
