"""What the tests of the shell share: a supervisor on virtual time, its lines, and works that do one thing."""

import asyncio
from typing import Any

from supervisor_core import Process, State, Supervisor, Worker
from tests.support.virtual import VirtualClock


class Lines(list[str]):
    """A logger that keeps its lines."""

    def __call__(self, context: Any, format: str, *args: Any) -> None:
        self.append(format % args)

    def of(self, name: str) -> list[str]:
        return [line.removeprefix(f"{name}: ") for line in self if line.startswith(f"{name}: ")]


def supervisor(context: Any = None, **options: Any) -> Supervisor:
    """One whose lines are in `.logger` and whose clock is the loop's."""
    options.setdefault("logger", Lines())
    return Supervisor(context, clock=VirtualClock(), **options)


async def forever(p: Process) -> None:
    """Is ready at once and leaves when asked."""
    p.ready()
    await p.wait_shutdown()


async def stubborn(p: Process) -> None:
    """Does not look at the signal; ends only by cancellation."""
    p.ready()
    await asyncio.Event().wait()


def unstoppable(release: asyncio.Event) -> Any:
    """A work that swallows every cancellation until `release` is set."""

    async def work(p: Process) -> None:
        p.ready()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    return work


def raising(error: BaseException) -> Any:
    async def work(p: Process) -> None:
        raise error

    return work


async def until(supervisor: Supervisor, worker: Worker, state: State) -> None:
    """Returns when `worker` is in `state`; in any loop."""
    stream = supervisor.journal.follow(supervisor.journal.cursor.seq)
    while worker.status is None or worker.status.state is not state:
        await anext(stream)
    await stream.aclose()
