"""The pace of a pipe: decided from numbers, and obeyed by the loop in virtual time."""

import asyncio
import fcntl
import os
from collections.abc import Iterator

import pytest

from supervisor_core.children import pump as pump_module
from supervisor_core.children.outlets import Gate, Outlet
from supervisor_core.children.pacing import FULL, GROW, LARGE, MANY, MOST, MOVE, PAUSE, READY, ROW, SMALL, Pace
from supervisor_core.children.pump import Pump
from supervisor_core.lines import View
from supervisor_core.memory import MemoryStore
from tests.support.virtual import virtual

KIB = 1024


def answers(pace: Pace, sizes: list[int], *, every: float = 0.0001, start: float = 50.0) -> list[float]:
    return [pace.moved(size, start + n * every) for n, size in enumerate(sizes)]


def paced() -> Pace:
    pace = Pace()
    assert answers(pace, [100] * MANY)[-1] == GROW
    assert pace.grown(True) == PAUSE
    return pace


def test_many_small_moves_make_it_grow_and_then_be_paced() -> None:
    pace = Pace()
    assert answers(pace, [100] * MANY) == [READY] * (MANY - 1) + [GROW]
    assert pace.grown(True) == PAUSE
    assert pace.moved(100 * KIB, 51.0) == PAUSE


def test_the_same_moves_over_a_longer_time_do_not() -> None:
    assert set(answers(Pace(), [100] * 1000, every=0.001)) == {READY}


def test_moves_that_are_not_small_do_not() -> None:
    assert set(answers(Pace(), [SMALL] * 1000)) == {READY}


def test_full_moves_in_a_row_make_it_grow_once_and_stay_ready() -> None:
    pace = Pace()
    assert answers(pace, [FULL] * ROW) == [READY] * (ROW - 1) + [GROW]
    assert pace.grown(True) == READY
    assert set(answers(pace, [FULL] * 100)) == {READY}


def test_a_move_that_is_not_full_breaks_the_row() -> None:
    assert GROW not in answers(Pace(), ([FULL] * (ROW - 1) + [FULL - 1]) * 10)
    assert GROW not in answers(Pace(), ([FULL] * (ROW - 1) + [100]) * 10, every=0.01)


@pytest.mark.parametrize(
    ("size", "then"), [(0, READY), (SMALL - 1, READY), (SMALL, PAUSE), (MOVE - 1, PAUSE), (MOVE, 0.0)]
)
def test_what_a_look_brings_decides_whether_there_is_another(size: int, then: float) -> None:
    assert paced().moved(size, 51.0) == then


def test_a_look_is_all_that_is_there_in_moves_of_a_turn_each() -> None:
    pace = paced()
    assert answers(pace, [MOVE, MOVE, MOVE, 10 * KIB]) == [0.0, 0.0, 0.0, PAUSE]
    assert answers(pace, [MOVE] * (MOST // MOVE) + [1]) == [0.0] * (MOST // MOVE) + [READY]


def test_who_brings_more_than_the_pause_allows_is_read_at_once_again() -> None:
    assert answers(paced(), [MOVE] * 20).count(READY) >= 13


def test_who_was_too_slow_or_too_fast_is_paced_again_when_it_fits() -> None:
    pace = paced()
    assert pace.moved(1, 51.0) == READY
    assert answers(pace, [100] * MANY) == [READY] * (MANY - 1) + [PAUSE]


def test_a_pipe_that_cannot_grow_is_never_paced_and_nobody_asks_twice() -> None:
    pace = Pace()
    assert answers(pace, [100] * MANY)[-1] == GROW
    assert pace.grown(False) == READY
    assert set(answers(pace, ([100] * MANY + [FULL] * ROW) * 5)) == {READY}


# -- with a pipe


class Worker:
    """A channel of its own into a store in memory, and the writing end."""

    def __init__(self, pump: Pump) -> None:
        reading, self.fd = os.pipe()
        self.channel = pump.open("w", "out", 1, reading)

    def write(self, data: bytes) -> None:
        assert os.write(self.fd, data) == len(data)

    def hurry(self) -> None:
        """Makes many small writes."""
        for _ in range(MANY):
            self.write(b"x\n")
            assert self.channel.move()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self.channel.close()


@pytest.fixture
def pump() -> Pump:
    return Pump(MemoryStore(lambda: 1e9), lambda: 50.0)


@pytest.fixture
def worker(pump: Pump) -> Iterator[Worker]:
    made = Worker(pump)
    yield made
    made.close()


def size_of(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)


def test_the_pipe_of_many_small_writes_is_enlarged(worker: Worker) -> None:
    worker.write(b"y" * FULL)  # so that there is a full move of before
    assert worker.channel.move()
    assert worker.channel.pause == READY
    assert size_of(worker.fd) == 64 * KIB
    worker.hurry()
    assert worker.channel.pause == PAUSE
    assert size_of(worker.fd) == LARGE


def test_only_so_many_pipes_are_large_at_once(pump: Pump, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "LARGE_PIPES", 2)
    first, second, third = workers = [Worker(pump) for _ in range(3)]
    for one in workers:
        one.hurry()
    assert [one.channel.pause for one in workers] == [PAUSE, PAUSE, READY]
    first.close()
    fourth = Worker(pump)
    fourth.hurry()
    assert fourth.channel.pause == PAUSE
    for one in (second, third, fourth):
        one.close()


def test_where_the_system_allows_no_larger_pipe_it_goes_on_as_before(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(pump_module.fcntl, "fcntl", refused)
    worker.hurry()
    assert worker.channel.pause == READY
    assert worker.channel.trouble is None


class Moves:
    """The times of the moves of a channel in a loop; the next one can be waited for."""

    def __init__(self, worker: Worker) -> None:
        self.times: list[float] = []
        self._worker = worker
        self._move, worker.channel.move = worker.channel.move, self  # type: ignore[method-assign, assignment]
        self._moved = asyncio.Event()

    def __call__(self) -> bool:
        self.times.append(asyncio.get_running_loop().time())
        self._moved.set()
        return self._move()

    async def after(self, data: bytes) -> None:
        self._worker.write(data)
        self._moved.clear()
        await self._moved.wait()


@virtual
async def test_a_paced_pipe_is_looked_at_every_two_milliseconds_and_a_quiet_one_at_once() -> None:
    loop = asyncio.get_running_loop()
    store = MemoryStore(loop.time)
    worker = Worker(Pump(store, loop.time))
    moves = Moves(worker)
    ended = asyncio.Event()
    Outlet(Gate(loop), worker.channel).begin(ended.set)
    for _ in range(MANY):
        await moves.after(b"x\n")
    assert worker.channel.pause == PAUSE
    for _ in range(5):
        await moves.after(b"y" * 20_000 + b"\n")
    since = moves.times[MANY - 1]
    assert [round(at - since, 6) for at in moves.times[MANY:]] == [round(PAUSE * n, 6) for n in range(1, 6)]
    await asyncio.sleep(PAUSE)  # a look that finds nothing: it is watched again
    assert worker.channel.pause == READY
    before = loop.time()
    await moves.after(b"alone\n")
    assert store.tail(View(("w",)), 1).items[-1].text == "alone"  # type: ignore[union-attr]
    assert loop.time() == before
    os.close(worker.fd)
    worker.fd = -1
    await ended.wait()
