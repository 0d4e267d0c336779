"""What a service leaves to its successor: keepsakes, and the sockets that it listens on.

The keeper has them in memory alone, so each new keeper is told them again.
"""

import contextlib
import os
import socket
from collections.abc import Sequence
from typing import Any

from .line import Post
from .listeners import SINCE
from .wire import MOST_FDS, Message

Listening = tuple[Any, socket.socket]
"""What a successor is to know a socket by, as JSON has it; and the socket."""


class Legacy:
    """Tells over `post`. Belongs to the thread of the loop."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._kept: dict[str, Any] = {}
        self._listening: Sequence[Listening] = ()
        self._version = 0
        self._owing = False
        self.inherited: list[tuple[Any, int]] = []
        """What the predecessor listened on: what it was known by, and a descriptor, which whoever takes it owns."""

    def greeted(self, message: Message, fds: tuple[int, ...]) -> None:
        """The keeper's answer to hello. What it passes on is given once: later it can only be this service's own."""
        if self._version:
            for fd in fds:
                os.close(fd)
        else:
            self.inherited = list(zip(message.get("listeners", ()), fds, strict=False))
        self._version = int(message.get("version", 1))

    def keep(self, name: str, value: Any) -> None:
        self._kept[name] = value
        self._post.send({"t": "keep", "name": name, "value": value})

    def listen(self, listening: Sequence[Listening]) -> None:
        """From now on these outlive this service, in the place of earlier ones; they stay the caller's."""
        self._listening, self._owing = listening, True
        self.catch_up()

    def tell_again(self) -> None:
        """To a keeper that knows nothing of it."""
        for name, value in self._kept.items():
            self.keep(name, value)
        self._owing = True
        self.catch_up()

    def catch_up(self) -> None:
        """Tells what could not be told: descriptors may be others by the time that a message has waited."""
        if not self._owing or not self._post.clear or self._version < SINCE:
            return
        self._owing = False
        open_now = [(about, one.fileno()) for about, one in self._listening if one.fileno() >= 0][:MOST_FDS]
        message = {"t": "listeners", "listeners": [about for about, _ in open_now]}
        with contextlib.suppress(OSError):  # no descriptor is left: as if there were no keeper of them
            self._post.send(message, tuple(fd for _, fd in open_now))
