"""What the parts here ask of an event loop: a handful of calls that asyncio's loop has, and the keeper's own one too.

Nothing here needs asyncio, so that a process without it can start, watch and end programs.
"""

import os
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None: ...


class Loop(Protocol):
    """See `asyncio.AbstractEventLoop`: the same names mean the same. Used in its own thread alone."""

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> object: ...

    def remove_reader(self, fd: int, /) -> object: ...

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer: ...

    def call_soon(self, callback: Callable[[], object], /) -> object: ...

    def time(self) -> float: ...

    def is_closed(self) -> bool: ...


def watch(loop: Loop, fd: int, call: Callable[[], None]) -> Callable[[], None]:
    """Calls when `fd` is readable; the way out closes it."""
    loop.add_reader(fd, call)

    def undo() -> None:
        nonlocal fd
        if fd >= 0:
            if not loop.is_closed():
                loop.remove_reader(fd)
            os.close(fd)
            fd = -1

    return undo
