"""The service's end of the wire, in an asyncio loop: messages in order, and once the news that the keeper is gone."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from .wire import Broken, Message, Wire


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
