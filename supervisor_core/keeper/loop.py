"""The keeper's event loop: one epoll, one heap of timers, and the names that asyncio gives to what both can.

One thread, nothing at rest: without readers and timers it sleeps for ever. A callback that raises ends the loop, since
the keeper has nobody above it who could know better.
"""

import errno
import heapq
import itertools
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable

MOST = 256
"""Descriptors that are told of in one turn."""


class Handle:
    """A timer. Orders by time, then by the order of the calls."""

    __slots__ = ("call", "due", "number")

    def __init__(self, due: float, number: int, call: Callable[[], object]) -> None:
        self.due, self.number = due, number
        self.call: Callable[[], object] | None = call

    def __lt__(self, other: "Handle") -> bool:
        return (self.due, self.number) < (other.due, other.number)

    def cancel(self) -> None:
        self.call = None


class Loop:
    """See `children.loops.Loop`. `signals` are caught and told as calls in a turn of the loop, none is lost."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], object]] = {}
        self._writers: dict[int, Callable[[], object]] = {}
        self._timers: list[Handle] = []
        self._numbers = itertools.count()
        self._soon: deque[Callable[[], object]] = deque()
        self._over = self._closed = False
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._counts: dict[int, int] = {}
        self._handlers: dict[int, Callable[[], object]] = {}
        self.add_reader(self._woken, self._signalled)

    # ------------------------------------------------------------ what it is told

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> None:
        """Calls when `fd` is readable, or its other end is gone."""
        self._put(self._readers, fd, callback)

    def remove_reader(self, fd: int, /) -> bool:
        """Also for a descriptor that has just been closed."""
        return self._drop(self._readers, fd)

    def add_writer(self, fd: int, callback: Callable[[], object], /) -> None:
        """Calls when `fd` takes bytes."""
        self._put(self._writers, fd, callback)

    def remove_writer(self, fd: int, /) -> bool:
        return self._drop(self._writers, fd)

    def _put(self, where: dict[int, Callable[[], object]], fd: int, callback: Callable[[], object]) -> None:
        known = fd in self._readers or fd in self._writers
        where[fd] = callback
        (self._epoll.modify if known else self._epoll.register)(fd, self._events(fd))

    def _drop(self, where: dict[int, Callable[[], object]], fd: int) -> bool:
        if where.pop(fd, None) is None:
            return False
        try:
            if events := self._events(fd):
                self._epoll.modify(fd, events)
            else:
                self._epoll.unregister(fd)
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOENT):
                raise
        return True

    def _events(self, fd: int) -> int:
        return (select.EPOLLIN if fd in self._readers else 0) | (select.EPOLLOUT if fd in self._writers else 0)

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Handle:
        """Calls once after `delay` seconds."""
        handle = Handle(self.time() + delay, next(self._numbers), callback)
        heapq.heappush(self._timers, handle)
        return handle

    def call_soon(self, callback: Callable[[], object], /) -> None:
        """Calls in the next turn, before anything that has not happened yet is noticed."""
        self._soon.append(callback)

    def on_signal(self, number: int, callback: Callable[[], object]) -> None:
        """Calls once for each time that the signal was noticed; the kernel joins those that come together."""
        self._handlers[number] = callback
        signal.signal(number, self._take_signal)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)

    def time(self) -> float:
        return time.monotonic()

    def is_closed(self) -> bool:
        return self._closed

    # ------------------------------------------------------------ its life

    def run(self) -> None:
        """Turns until `stop`."""
        while not self._over:
            self._turn()

    def stop(self) -> None:
        self._over = True

    def close(self) -> None:
        """Lets go of its own descriptors, and gives signals their usual meaning."""
        if self._closed:
            return
        self._closed = True
        for number in self._handlers:
            signal.signal(number, signal.SIG_DFL)
        if self._handlers:
            signal.set_wakeup_fd(-1)
        for fd in (self._woken, self._waker):
            os.close(fd)
        self._epoll.close()

    def _turn(self) -> None:
        for fd, events in self._epoll.poll(self._patience(), MOST):
            if events & ~select.EPOLLOUT and (call := self._readers.get(fd)) is not None:
                call()
            if events & ~select.EPOLLIN and (call := self._writers.get(fd)) is not None:
                call()
        now = self.time()
        while self._timers and (self._timers[0].due <= now or self._timers[0].call is None):
            timer = heapq.heappop(self._timers).call
            if timer is not None:
                timer()
        for _ in range(len(self._soon)):
            self._soon.popleft()()

    def _patience(self) -> float:
        if self._soon or self._over:
            return 0.0
        while self._timers and self._timers[0].call is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0].due - self.time()) if self._timers else -1.0

    def _take_signal(self, number: int, _: object) -> None:
        self._counts[number] = self._counts.get(number, 0) + 1

    def _signalled(self) -> None:
        try:
            while os.read(self._woken, 4096):
                pass
        except BlockingIOError:
            pass
        counts, self._counts = self._counts, {}
        for number, count in counts.items():
            for _ in range(count):
                self._handlers[number]()
