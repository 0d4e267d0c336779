"""The reading ends of one run's pipes, driven by an event loop: when to move bytes, and when to give a pipe up.

A callback makes one bounded move, and a turn of the loop makes a handful of them (`Gate`), so that flooding workers
hold up neither each other nor what else the loop has to do. The bytes themselves go through `pump.Channel` to a log
store, or through a `Tap` to a callback, never through policy. The source says whether readiness or a timer calls next.

Known wart: while a store cannot take bytes the timer asks again, since no event says that a disk has room.
"""

import contextlib
import errno
import os
import select
from collections.abc import Callable
from typing import Protocol

from . import Output
from .loops import Loop, Timer
from .pacing import READY

DRAIN = 16
"""Moves that empty a pipe at the end of its main writer; others may go on writing meanwhile."""

READ = 64 * 1024

HOLD = 0.005
"""Seconds that all pipes wait at most when a worker has ended, which takes as long to be started again."""

HANDFUL = 8
"""Moves of all pipes together in one turn of the loop, half a millisecond: no longer waits who ended or is started."""


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


class Gate:
    """Lets a handful of the readable pipes through in each turn of the loop, by turns (the kernel keeps the order)."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self._epoll: select.epoll | None = None
        self._calls: dict[int, Callable[[], None]] = {}
        self._held: Timer | None = None
        self._open_until = 0.0

    def hold(self) -> None:
        """Lets nothing through until `release`, for `HOLD` at most and for half of the time at most.

        A restart takes some ten turns of the loop, in each of which a flood would have its move first.
        """
        now = self.loop.time()
        if self._epoll is not None and self._held is None and now >= self._open_until:
            self.loop.remove_reader(self._epoll.fileno())
            self._held = self.loop.call_later(HOLD, self.release)

    def release(self) -> None:
        if self._held is not None:
            self._held.cancel()
            self._held = None
            self._open_until = self.loop.time() + HOLD
            if self._epoll is not None:
                self.loop.add_reader(self._epoll.fileno(), self._let_through)

    def watch(self, fd: int, call: Callable[[], None]) -> None:
        if self._epoll is None:
            self._epoll = select.epoll()
            self.loop.add_reader(self._epoll.fileno(), self._let_through)
        self._calls[fd] = call
        self._epoll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        """Also for a descriptor that has just been closed. Nothing is held once nothing is watched."""
        assert self._epoll is not None
        del self._calls[fd]
        with contextlib.suppress(OSError):
            self._epoll.unregister(fd)
        if not self._calls:
            if not self.loop.is_closed():
                self.release()
                self.loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _let_through(self) -> None:
        assert self._epoll is not None
        for fd, _ in self._epoll.poll(0, HANDFUL):
            call = self._calls.get(fd)
            if call is not None:  # else it ended in this very turn
                call()


class Outlet:
    """One source in a loop, from `begin` to its end, of which `ended` is told once."""

    def __init__(self, gate: Gate, source: Source) -> None:
        self._gate = gate
        self._source = source
        self._fd = source.fd
        self._ended: Callable[[], None] | None = None
        self._timer: Timer | None = None
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
            self._timer = self._gate.loop.call_later(self._source.pause, self._move)
        elif not self._watched:
            self._unwatch()
            self._watch()

    def _watch(self) -> None:
        self._watched = True
        self._gate.watch(self._fd, self._move)

    def _unwatch(self) -> None:
        """At once after the end too: the number may be given out again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watched:
            self._gate.unwatch(self._fd)
        self._watched = False

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()


def _readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
