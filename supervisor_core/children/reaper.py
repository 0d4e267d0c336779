"""Collects orphans that were adopted by this process, as soon as they end. For a subreaper only.

One thread waits for the end of any child, without taking it, and lets the loop take those that are orphans. A handler
of SIGCHLD would not do: a thousand workers that end at once fill the descriptor through which the loop hears of
signals, and a SIGTERM among them is lost. The thread ends when this process has no child.

Known wart: a child of somebody else here that has ended and is not collected makes it look again every few seconds.
"""

import asyncio
import os
import threading
from collections.abc import Callable

from ..calling import start_thread
from ..flag import post

LONGEST_PAUSE = 5.0
"""Seconds between two looks at an ended child that is not ours to collect."""

AT_ONCE = 100
"""Those that are collected in one turn of the loop: more may come as fast as they are taken."""


class Reaper:
    """Calls `reap` in the loop after a child has ended, with the most it may take. Does nothing until `begin`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, reap: Callable[[int], None]) -> None:
        self._loop = loop
        self._reap = reap
        self._running = False

    def begin(self) -> None:
        """Makes sure that somebody waits; to be called after each start of a child."""
        if not self._running:
            self._running = True
            start_thread("reap orphans", self._run)

    def _run(self) -> None:
        last, pause = 0, 0.0
        while (pid := self._next()) is not None:
            pause = min(LONGEST_PAUSE, 2 * pause or 0.01) if pid == last else 0.0
            last = pid
            if pause:
                threading.Event().wait(pause)
            done = threading.Event()
            if not post(self._loop, self._turn, done):
                return
            while not done.wait(1.0):
                if self._loop.is_closed():
                    return

    def _turn(self, done: threading.Event) -> None:
        try:
            self._reap(AT_ONCE)
        finally:
            done.set()

    def _next(self) -> int | None:
        """The pid of a child that has ended; None when there is no child at all and nobody began anew."""
        while True:
            try:
                seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
                return seen.si_pid if seen else 0
            except ChildProcessError:
                self._running = False
            try:  # one may have been started before it was known that nobody waits
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            except ChildProcessError:
                return None
            if self._running:
                return None
            self._running = True
