"""Fault points: named steps at which a test may kill, stall or fail this process. Nothing at all in a usual one.

`FAIL_AT=name:nth:kill|stall|ERRNO` (several with commas) is read at import. Names are literal strings in the source, so
that a test can list all of them: a new step is covered on the day it is written.
"""

import errno
import os
import signal
from collections.abc import Callable


def _parse(text: str) -> dict[str, tuple[int, str]]:
    """Gives what is to happen at which visit of each point."""
    planned = {}
    for part in filter(None, text.split(",")):
        name, nth, what = part.rsplit(":", 2)
        planned[name] = int(nth), what
    return planned


_planned = _parse(os.environ.get("FAIL_AT", ""))


def _reached(name: str) -> None:
    nth, what = _planned.get(name, (0, ""))
    if not nth:
        return
    _planned[name] = nth - 1, what
    if nth > 1:
        return
    match what:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stall":
            os.kill(os.getpid(), signal.SIGSTOP)
        case _:
            number = getattr(errno, what)
            raise OSError(number, os.strerror(number), name)


def _pass(name: str) -> None:
    pass


point: Callable[[str], None] = _reached if _planned else _pass
"""Marks a step by its name; raises OSError when a test asked for that."""
