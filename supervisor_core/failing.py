"""Fault points: named steps at which a test may kill, stall or fail this process. Nothing at all in a usual one.

`FAIL_AT=name:nth:kill|stall|ERRNO` (several with commas) is read at import; `nth` counts the visits of one process.
With `FAIL_ONCE`, a folder, a point that failed in one process leaves its name there and fails in none after it: so who
takes over from a killed process may inherit both. Names are literal strings in the source, no two alike, so that a
test can list all of them: a new step is covered on the day it is written.
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
_once = os.environ.get("FAIL_ONCE", "")


def _is_first(name: str) -> bool:
    """Whether no process has failed there before; from now on one has."""
    try:
        os.close(os.open(os.path.join(_once, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    return True


def _reached(name: str) -> None:
    nth, what = _planned.get(name, (0, ""))
    if not nth:
        return
    _planned[name] = nth - 1, what
    if nth > 1 or (_once and not _is_first(name)):
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
