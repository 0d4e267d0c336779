"""Virtual time: a loop whose selector jumps to the next timer, so that minutes run in milliseconds.

When nothing is left to happen it fails at once, instead of hanging. While threads that were started meanwhile are alive
it gives them real time first, so they may call in. Not for tests with real processes: their time is not virtual.
"""

import asyncio
import functools
import selectors
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from supervisor_core.clock import Clock

EPOCH = 1_000_000.0
"""What a virtual clock shows when its loop is new."""

GRACE = 0.01
"""Real seconds that live threads get before time jumps over them."""

PATIENCE = 5.0
"""Real seconds that live threads get when no timer is left."""


class NothingLeft(AssertionError):
    """No event, no timer and no thread will ever wake this loop again."""


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._before = set(threading.enumerate())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or timeout == 0:
            return found
        if any(thread.is_alive() for thread in set(threading.enumerate()) - self._before):
            found = super().select(GRACE if timeout is not None else PATIENCE)
            if found:
                return found
        found = super().select(0)  # a thread that has ended by now may have called before that
        if found:
            return found
        if timeout is None:
            raise NothingLeft("nothing is left that could happen")
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


class VirtualClock(Clock):
    """Shows the time of a virtual loop; the current one by default."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()

    def now(self) -> float:
        return EPOCH + self._loop.time()


def run_virtual(main: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine in a virtual loop and returns its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Makes a test function out of a coroutine function, run in a virtual loop."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        run_virtual(test(*args, **kwargs))

    return wrapper
