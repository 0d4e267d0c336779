"""How the pipes of many workers share a loop: a handful of moves a turn, by turns, and nothing held afterwards."""

import asyncio
import os
from collections.abc import Callable

import pytest

from supervisor_core.children.outlets import HANDFUL, Gate, Outlet, Tap

pytestmark = pytest.mark.asyncio
PIPES = 5 * HANDFUL


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
