"""Names the line at which an event loop stands still: a coroutine that blocks it with a long call or computation.

A thread looks once a second whether the loop is in the same turn as a second ago. That is for a process that runs a
user's coroutines and nothing else (`hosted.py`); a service at rest must not look at anything.

Known wart: code in C that never lets go of the interpreter's lock stops this thread, too.
"""

import asyncio
import os
import selectors
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

Tell = Callable[[str], object]
"""Called from the thread with a text of one line or more."""

PERIOD = 1.0
"""Seconds of standstill that are told, and at most as much later."""

SHOWN = 6
"""Frames that are shown, the innermost last."""


class Turns(selectors.DefaultSelector):
    """A selector that counts: `turn` is odd while the loop works, even while it waits."""

    turn = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Waits as the loop wants it to."""
        self.turn += 2 - self.turn % 2
        try:
            return super().select(timeout)
        finally:
            self.turn += 1


def watched_loop(tell: Tell) -> asyncio.AbstractEventLoop:
    """Gives a new event loop whose standstills are told, for the thread that calls this."""
    turns = Turns()
    loop = asyncio.SelectorEventLoop(turns)
    watch = Watch(turns, threading.get_ident(), tell)
    threading.Thread(target=watch.run, name="standstill", daemon=True).start()
    return loop


class Watch:
    """Looks at the turns of the loop of one thread."""

    def __init__(self, turns: Turns, thread: int, tell: Tell) -> None:
        self._turns, self._thread, self._tell = turns, thread, tell

    def run(self) -> None:
        """Looks, for ever."""
        seen, told_at = -1, 0.0
        while True:
            time.sleep(PERIOD)
            turn = self._turns.turn
            if turn == seen and turn % 2 and not told_at:
                told_at = time.monotonic() - PERIOD
                frame = sys._current_frames().get(self._thread)
                if frame is not None and self._turns.turn == turn:
                    self._tell(sentence(frame))
            elif turn != seen and told_at:
                self._tell(f"the event loop goes on, after {time.monotonic() - told_at:.1f} s")
                told_at = 0.0
            seen = turn


def sentence(frame: FrameType) -> str:
    """Where the thread is, in a sentence and the innermost frames."""
    stack = traceback.extract_stack(frame)
    last = stack[-1]
    where = f"{os.path.relpath(last.filename)}:{last.lineno}, in {last.name}"
    return f"the event loop has stood still for {PERIOD:g} s at {where}\n{shown(stack[-SHOWN:])}"


def shown(stack: Sequence[Any]) -> str:
    return "".join(traceback.format_list(list(stack))).rstrip()
