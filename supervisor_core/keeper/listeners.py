"""The sockets that a service listens on, held so that they outlive it: who connects meanwhile waits for its successor.

Nothing is accepted here, and what the sockets are for is known to the service alone. They are in memory: a keeper that
executes itself anew, or another one, is given them again by the service.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

from ..children.loops import Timer
from .loop import Loop
from .wire import Message

AWAY = 5.0
"""Seconds without a service after which they are closed, unless one is coming up: then whoever connects is refused."""

SINCE = 2
"""The version of the protocol in which they are handed over."""


class Listeners:
    """Those of the service that came last. `coming` says whether there is a process that may come up."""

    def __init__(self, loop: Loop, coming: Callable[[], bool]) -> None:
        self._loop, self._coming = loop, coming
        self._about: Sequence[Any] = ()
        self._fds: tuple[int, ...] = ()
        self._patience: Timer | None = None
        self._late = False
        self._over = False

    def take(self, message: Message, fds: tuple[int, ...]) -> None:
        """All that it listens on now, in the place of what it said before."""
        self._close()
        if self._over or len(message["listeners"]) != len(fds):
            _close(fds)
        else:
            self._about, self._fds = message["listeners"], fds

    def answer(self, message: Message, version: int, tell: Callable[[Message, tuple[int, ...]], object]) -> None:
        """Tells `message` to a service that says hello, and passes on what is held; where it cannot, it is let go."""
        if version < SINCE:
            self._close()
        try:
            tell({**message, "listeners": self._about}, self._fds)
        except OSError:  # no more may be open just now
            self._close()
            tell(message, ())

    def service_died(self) -> None:
        """Its successors have a while to come up, all together; one that is on its way then has as long as it lives."""
        if self._late:
            self._close()
        elif self._fds and self._patience is None:
            self._patience = self._loop.call_later(AWAY, self._lose_patience)

    def service_came(self) -> None:
        """It answers."""
        self._late = False
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def end(self) -> None:
        """No successor is to come any more."""
        self._over = True
        self._close()

    def _lose_patience(self) -> None:
        self._late = True
        if not self._coming():
            self._close()

    def _close(self) -> None:
        _close(self._fds)
        self._about, self._fds = (), ()


def _close(fds: tuple[int, ...]) -> None:
    for fd in fds:
        os.close(fd)
