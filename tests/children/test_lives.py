"""What a run leaves in the process that has it: nothing that adds up, and nothing for a collection of garbage.

Counted in the service and in the keeper, for each way to end. A full collection comes once in thousands of runs, so
what only that frees is memory that grows. Known wart: what an event loop holds is not counted.
"""

import asyncio
import contextlib
import functools
import gc
import os
import signal
import time
import types
from collections import Counter, deque
from collections.abc import Iterator

import pytest

from supervisor_core import Supervisor
from supervisor_core.children import TAG, LaunchRequest
from supervisor_core.children.pump import Pump
from supervisor_core.journal import Journal
from supervisor_core.keeper.book import Book
from supervisor_core.keeper.loop import Loop
from supervisor_core.keeper.runs import Runs
from supervisor_core.memory import MemoryStore
from supervisor_core.messages import Kill, Start, Stop
from supervisor_core.model import REST, OnGiveUp, Program, RestartPolicy, RestartWhen, State, WorkerSpec
from tests.children.rigs import KeptRig, LocalRig, rig_of
from tests.shell.minions import until

LIVES = 20
KEPT = 10
"""Events, errors and lines that are kept on purpose: the first lives fill that."""

ENDS = {
    "ends": (("true",), None),
    "fails": (("false",), None),
    "stopped": (("sleep", "60"), Stop),
    "killed": (("sleep", "60"), Kill),
    "not there": (("no-such-program",), None),
}
"""Its program, and the order that makes it end."""

HOLDERS = (dict, list, tuple, set, frozenset, deque, functools.partial, types.MethodType, types.CellType)
OURS = ("supervisor_core", "_asyncio")

each_end = pytest.mark.parametrize("end", ENDS)
each_spawner = pytest.mark.parametrize("kind", [LocalRig, KeptRig], ids=["local", "kept"])


def held(*roots: object) -> int:
    """How many objects these hold, through objects of ours and what usually holds something."""
    seen, todo = {}, list(roots)
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, (type, types.ModuleType, asyncio.AbstractEventLoop, Loop)):
            continue
        seen[id(one)] = one
        if isinstance(one, types.FunctionType):
            todo += one.__closure__ or ()
        elif isinstance(one, HOLDERS) or type(one).__module__.startswith(OURS):  # a Future is of _asyncio
            todo += gc.get_referents(one)
    return len(seen)


@contextlib.contextmanager
def collected() -> Iterator[Counter[str]]:
    """Counts at its end what of ours a collection finds that was made meanwhile."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(type(one).__name__ for one in gc.garbage if type(one).__module__.startswith(OURS))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.fixture(autouse=True)
def only_ours(monkeypatch):
    """Few errors are kept, and other people's orphans, which come and go, are not looked at."""
    monkeypatch.setattr("supervisor_core.supervisor.KEPT_ERRORS", KEPT)
    monkeypatch.setattr("supervisor_core.children.procfs.adopters", lambda: [os.getpid()])


# ---------------------------------------------------------------- the service


class Company:
    """A supervisor and its one worker, which ends in that way. Use as a context."""

    def __init__(self, kind, end) -> None:
        self._kind = kind
        self._argv, self._order = ENDS[end]
        self._left = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "Company":
        rig = await self._left.enter_async_context(rig_of(self._kind))
        s = self.supervisor = Supervisor(stay=True, spawner=rig.spawner, logger=lambda *_: None)
        s.journal = Journal(s.journal.boot, s.clock.now, capacity=KEPT)
        never = RestartPolicy(restart=RestartWhen.NEVER, on_give_up=OnGiveUp.FAIL)
        s.adopt([WorkerSpec("w", program=Program(self._argv, start_seconds=0), restart=never, autostart=False)])
        self._running = asyncio.create_task(s.run())
        await asyncio.sleep(0)
        await self.live()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.supervisor.shutdown()
        await self._running
        await self._left.aclose()

    async def live(self, times: int = LIVES) -> None:
        """Has it started and ended so often."""
        s, worker = self.supervisor, self.supervisor.get("w")
        for _ in range(times):
            stream = s.journal.follow(s.journal.cursor.seq)
            s.tell(Start("w"))
            if self._order is not None:
                await until(s, worker, State.RUNNING)
                s.tell(self._order("w"))
            while worker.status.state not in REST:
                await anext(stream)
            await stream.aclose()


@each_spawner
@each_end
def test_a_service_holds_no_more_after_many_runs(kind, end):
    async def main():
        async with Company(kind, end) as company:
            before = held(company.supervisor)
            await company.live()
            assert held(company.supervisor) - before < LIVES / 2

    asyncio.run(main())


@each_spawner
@each_end
def test_a_service_has_freed_a_run_that_is_over(kind, end):
    async def main():
        async with Company(kind, end) as company:
            with collected() as found:
                await company.live()
            assert not found

    asyncio.run(main())


# ---------------------------------------------------------------- the keeper


class Keeping:
    """A keeper's runs in this process, without a keeper. `order` is sent to each when it is up."""

    def __init__(self, folder, argv, order, **wishes) -> None:
        self._loop = Loop()
        self._book = Book(str(folder))
        self._argv, self._order, self._wishes = argv, order, wishes
        self._next, self._last = 0, 0
        self.runs = Runs(
            self._loop, str(folder / "pipes"), self._book, Pump(MemoryStore(time.time, lines=KEPT)), "me", self._take,
            time.time, lambda: False, self._fail, subreaper=False,
        )  # fmt: skip

    def live(self, times: int = LIVES) -> None:
        self._last = self._next + times
        self._go_on()
        while self._next <= self._last:
            self._loop._turn()

    def close(self) -> None:
        self._book.close()
        self._loop.close()

    def _go_on(self) -> None:
        """Forgets the one before, and starts another."""
        self.runs.forget("w", self._next)
        self._next += 1
        if self._next <= self._last:
            environment = {"PATH": os.environ["PATH"], TAG: f"me:{self._next}:w"}
            self.runs.start(LaunchRequest("w", self._next, self._argv, environment, **self._wishes))

    def _take(self, message, fds=()) -> bool:
        run = self.runs.get("w", self._next)
        if message["t"] == "refused" or (message.get("ended") and message["silent"]):
            self._loop.call_soon(self._go_on)
        elif run is not None and run.leader is None and self._order is not None:
            self._order(run)
        return True

    def _fail(self, error: OSError) -> None:
        raise error


def keeping(folder, end) -> Keeping:
    argv, order = ENDS[end]
    return Keeping(
        folder,
        argv,
        {Stop: lambda run: run.stop(((signal.SIGTERM, 60.0),)), Kill: lambda run: run.kill()}.get(order),
    )


@each_end
def test_a_keeper_holds_no_more_after_many_runs_and_has_freed_what_is_over(tmp_path, end):
    with contextlib.closing(keeping(tmp_path, end)) as keeper:
        keeper.live()
        before = held(keeper.runs)
        with collected() as found:
            keeper.live()
        assert not found
        assert held(keeper.runs) - before < LIVES / 2
