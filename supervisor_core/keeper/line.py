"""The service's end of the wire, in an asyncio loop: messages in order, and once the news that the keeper is gone."""

import asyncio
import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from ..errors import SupervisorError
from ..flag import post
from .wire import Broken, Message, Wire

ANSWER = 30.0
"""Seconds for a keeper to say that it is there."""

Answer = TypeVar("Answer")


class Line:
    """`take` gets each message, `lost` is called once when nothing comes or goes any more. Takes `channel` over.

    `send` may be called from the loop's thread alone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        channel: socket.socket,
        take: Callable[[Message, tuple[int, ...]], None],
        lost: Callable[[], None],
    ) -> None:
        self._loop, self._take, self._lost = loop, take, lost
        self._wire = Wire(channel)
        self._fd = channel.fileno()
        self._writing = False
        self.open = True
        loop.add_reader(self._fd, self._readable)

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Sends, or keeps it until there is room; what is told to a line that is lost is nobody's."""
        if not self.open:
            return
        try:
            self._wire.send(message, fds)
        except Broken:
            self._break()
            return
        if self._wire.waiting and not self._writing:
            self._writing = True
            self._loop.add_writer(self._fd, self._writable)

    def close(self, seconds: float = 0.0) -> None:
        """Lets go of it; what is under way gets so many seconds."""
        if self.open:
            with contextlib.suppress(Broken):
                self._wire.finish(seconds)
            self._let_go()

    def _readable(self) -> None:
        try:
            messages = self._wire.receive()
        except Broken:
            self._break()
            return
        for message, fds in messages:
            self._take(message, fds)

    def _writable(self) -> None:
        try:
            done = self._wire.flush()
        except Broken:
            self._break()
            return
        if done:
            self._writing = False
            self._loop.remove_writer(self._fd)

    def _break(self) -> None:
        self._let_go()
        self._loop.call_soon(self._lost)

    def _let_go(self) -> None:
        self.open = False
        if not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        self._wire.close()


class Post:
    """What the service says, in the order of the calls from any thread, over one line after another.

    What is said while there is no line, or while it is held, waits. What was under way when a line broke is lost: who
    dials again says what matters again.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._line: Line | None = None
        self._waiting: deque[tuple[Message, tuple[int, ...]]] = deque()
        self._first: list[tuple[Message, tuple[int, ...]]] = []
        self._held = False

    @property
    def open(self) -> bool:
        return self._line is not None and self._line.open

    @property
    def clear(self) -> bool:
        """Whether what is said now goes out at once."""
        return self.open and not self._held

    def dial(
        self,
        channel: socket.socket,
        take: Callable[[Message, tuple[int, ...]], None],
        lost: Callable[[], None],
    ) -> None:
        """Opens a line, in the thread of the running loop."""
        self._loop, self._thread, self._held = asyncio.get_running_loop(), threading.get_ident(), False
        self._line = Line(self._loop, channel, take, lost)
        first, self._first = self._first, []
        for message, fds in first:
            self._line.send(message, fds)
        self._flush()

    def send_first(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """At once where there is a line, else as the first word of the next one. In the loop's thread alone."""
        if self._line is not None and self._line.open:
            self._line.send(message, fds)
        else:
            self._first.append((message, fds))

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        self._waiting.append((message, fds))
        if threading.get_ident() == self._thread:
            self._flush()
        elif self._loop is not None:
            post(self._loop, self._flush)

    def hold(self) -> None:
        """Says nothing more until `release`, or on this line at all."""
        self._held = True

    def release(self) -> None:
        self._held = False
        self._flush()

    def close(self, seconds: float) -> None:
        """Lets go of the line; what is under way gets so many seconds."""
        if self._line is not None:
            self._line.close(seconds)

    def _flush(self) -> None:
        while self._waiting and self.open and not self._held:
            assert self._line is not None
            self._line.send(*self._waiting.popleft())


async def answered(future: "asyncio.Future[Answer]") -> Answer:
    """What the keeper says; raises `SupervisorError` when it says nothing."""
    try:
        return await asyncio.wait_for(asyncio.shield(future), ANSWER)
    except TimeoutError:
        raise SupervisorError(f"the keeper does not answer after {ANSWER:g} s; see the service's log") from None
