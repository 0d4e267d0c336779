"""From the pipes of workers to a log store. Synchronous and without an event loop: whoever waits for readiness calls.

A move is bounded, so that one flooding worker leaves the others their turn; when the next one is due says the channel.
"""

import fcntl
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .openings import waiting
from .pacing import GROW, LARGE, MOVE, READY, Pace

if TYPE_CHECKING:
    from ..logs import LogSink, StreamWriter

RETRY = 0.25
"""Seconds until a store that could not take bytes is asked again."""


LARGE_PIPES = 32
"""So many pipes at once may be large: where more are busy, they gather enough from one turn to the next, and large ones
only push each other out of the cache (100 writers: a fifth slower). Half of what the system lets one user have.
"""


class Pump:
    """Opens channels into one store. `monotonic` gives seconds; it is what pauses are measured with."""

    def __init__(self, store: "LogSink", monotonic: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self.monotonic = monotonic
        self._large: set[Channel] = set()

    def open(self, worker: str, stream: str, run: int, fd: int) -> "Channel":
        """Takes the reading end `fd` over: it is made non-blocking, and closed at the end of the channel."""
        os.set_blocking(fd, False)
        return Channel(self, self.store.open_stream(worker, stream, run), fd)

    def enlarge(self, channel: "Channel") -> bool:
        """False where that is not to be had: no pipe, another system, or a limit on all pipes is reached."""
        if len(self._large) >= LARGE_PIPES:
            return False
        try:
            fcntl.fcntl(channel.fd, fcntl.F_SETPIPE_SZ, LARGE)
        except (OSError, AttributeError):
            return False
        self._large.add(channel)
        return True

    def forget(self, channel: "Channel") -> None:
        self._large.discard(channel)


class Channel:
    """One pipe. `fd` is -1 once it has ended. `trouble` is why the last move could not store anything, else None.

    `pause` says when to move next: after that many seconds, whatever the readiness; or, when it is `READY`, as soon as
    there is something to read. While there is trouble the bytes stay in the pipe and the worker waits.
    """

    def __init__(self, pump: Pump, writer: "StreamWriter", fd: int) -> None:
        self._pump = pump
        self._writer = writer
        self._pace = Pace(MOVE)
        self.fd = fd
        self.pause = READY
        self.trouble: OSError | None = None

    def fileno(self) -> int:
        return self.fd

    def move(self) -> bool:
        """Makes one bounded move; False when the stream has ended and was closed."""
        if self.fd < 0:
            return False
        try:
            count = self._writer.move(self.fd, MOVE)
            if count == 0:
                self._finish()
                return False
        except BlockingIOError:
            count = 0
        except OSError as error:
            self.trouble = error
            self.pause = RETRY
            return True
        self.trouble = None
        pause = self._pace.moved(count, self._pump.monotonic())
        self.pause = self._pace.grown(self._pump.enlarge(self)) if pause == GROW else pause
        return True

    def close(self) -> None:
        """Takes what is in the pipe now, then ends it; a writer that goes on is not waited for."""
        if self.fd < 0:
            return
        left = waiting(self.fd) + (
            MOVE if self.trouble is not None else 0
        )  # what was read and found no room comes first
        try:
            while left > 0 and (count := self._writer.move(self.fd, min(left, MOVE))):
                left -= count
        except BlockingIOError:
            pass
        except OSError as error:
            self.trouble = error
        self._finish()

    def _finish(self) -> None:
        os.close(self.fd)
        self.fd = -1
        self._pump.forget(self)
        try:
            self._writer.end()
        except OSError as error:
            self.trouble = error
