"""One alarm at a moment of the wall clock, which also rings when somebody sets that clock.

On Linux the kernel watches (a timerfd with TFD_TIMER_CANCEL_ON_SET), so that suspend and steps of the clock are noticed
without looking again and again; elsewhere it looks once a minute while a moment is set. Nothing is planned here.

Known wart: Python has the call since 3.13 only, so it is made by hand.
"""

import asyncio
import contextlib
import os
import struct
import sys
import time
from collections.abc import Callable

LOOK = 60.0
"""Seconds between two looks where the kernel does not watch."""

_REALTIME, _NONBLOCK, _CLOEXEC = 0, os.O_NONBLOCK, os.O_CLOEXEC
_ABSOLUTE, _CANCEL_ON_SET = 1, 2


class WallAlarm:
    """Calls `ring` in the loop when the moment of `set` has come, or earlier: who is called looks at `now`."""

    def __init__(self) -> None:
        self.ring: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._descriptor = -1
        self._asked = False

    def now(self) -> float:
        """Seconds since the epoch, as the wall clock shows them."""
        return time.time()

    def set(self, moment: float | None) -> None:
        """Takes the place of what was set before; None: never."""
        if not self._asked and moment is not None:
            self._asked = True
            self._descriptor = _timerfd() if sys.platform == "linux" else -1
            if self._descriptor >= 0:
                self._loop.add_reader(self._descriptor, self._rung)
        if self._descriptor >= 0:
            _settime(self._descriptor, moment)
            return
        if self._timer is not None:
            self._timer.cancel()
        left = None if moment is None else min(LOOK, max(0.0, moment - self.now()))
        self._timer = None if left is None else self._loop.call_later(left, self.ring)

    def close(self) -> None:
        self.ring = lambda: None
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
        if self._timer is not None:
            self._timer.cancel()

    def _rung(self) -> None:
        with contextlib.suppress(OSError):  # ECANCELED: the clock was set
            os.read(self._descriptor, 8)
        self.ring()


def _timerfd() -> int:
    """A descriptor, or -1 where there is no such call."""
    import ctypes  # seldom needed, and slow to import

    try:
        return int(ctypes.CDLL(None).timerfd_create(_REALTIME, _NONBLOCK | _CLOEXEC))
    except (AttributeError, OSError):
        return -1


def _settime(descriptor: int, moment: float | None) -> None:
    import ctypes

    at = 0.0 if moment is None else max(moment, 1e-6)  # all zeros mean never
    value = struct.pack("@llll", 0, 0, int(at), int(at % 1 * 1e9))
    ctypes.CDLL(None).timerfd_settime(descriptor, _ABSOLUTE | _CANCEL_ON_SET, value, None)
