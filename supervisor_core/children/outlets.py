"""The reading ends of one run's pipes, driven by an event loop: when to move bytes, and when to give a pipe up.

A callback makes one bounded move, so that a thousand workers share the loop fairly; the bytes themselves go
through `pump.Channel` to a log store, or through a `Tap` to a callback, never through policy. The source says whether
readiness or a timer calls next.

Known wart: while a store cannot take bytes the timer asks again, since no event says that a disk has room.
"""

import asyncio
import errno
import os
import select
from collections.abc import Callable
from typing import Protocol

from . import Output
from .pacing import READY

DRAIN = 16
"""Moves that empty a pipe at the end of its main writer; others may go on writing meanwhile."""

READ = 64 * 1024


class Source(Protocol):
    """What `pump.Channel` is: one pipe and where its bytes go."""

    fd: int
    trouble: OSError | None
    pause: float

    def move(self) -> bool: ...

    def close(self) -> None: ...


class Tap:
    """Gives the bytes of one pipe to a callback, b"" once at the end. Takes `fd` over."""

    def __init__(self, stream: str, fd: int, output: Output) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.trouble: OSError | None = None
        self.pause = READY
        self._stream = stream
        self._output = output

    def move(self) -> bool:
        """Makes one bounded move; False when the stream has ended and was closed."""
        if self.fd < 0:
            return False
        try:
            data = os.read(self.fd, READ)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal whose last writer is gone
                raise
            data = b""
        if not data:
            self._finish()
            return False
        self._output(self._stream, data)
        return True

    def close(self) -> None:
        """Takes what is in the pipe now, then ends it."""
        for _ in range(DRAIN):
            if self.fd < 0 or not _readable(self.fd) or not self.move():
                break
        if self.fd >= 0:
            self._finish()

    def _finish(self) -> None:
        os.close(self.fd)
        self.fd = -1
        self._output(self._stream, b"")


class Outlet:
    """One source in a loop, from `begin` to its end, of which `ended` is told once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, source: Source) -> None:
        self._loop = loop
        self._source = source
        self._fd = source.fd
        self._ended: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watched = False

    def begin(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        self._watch()

    def drain(self) -> None:
        """Takes what a writer that has just ended left in the pipe."""
        for _ in range(DRAIN):
            if self._source.fd < 0 or self._source.trouble is not None or not _readable(self._fd):
                return
            self._move()

    def finish(self) -> None:
        """Nobody that matters writes any more: takes what is there and ends, unless the store has no room just now.

        Then it goes on to its end by itself, and only that end is late.
        """
        self.drain()
        if self._source.trouble is None:
            self.close()

    def close(self) -> None:
        """Takes what is there and can be stored, and ends."""
        if self._source.fd >= 0:
            self._unwatch()
            self._source.close()
        self._end()

    def _move(self) -> None:
        if not self._source.move():
            self._unwatch()
            self._end()
        elif self._source.pause >= 0:
            self._unwatch()
            self._timer = self._loop.call_later(self._source.pause, self._move)
        elif not self._watched:
            self._unwatch()
            self._watch()

    def _watch(self) -> None:
        self._watched = True
        self._loop.add_reader(self._fd, self._move)

    def _unwatch(self) -> None:
        """At once after the end too: the number may be given out again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watched and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        self._watched = False

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()


def _readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
