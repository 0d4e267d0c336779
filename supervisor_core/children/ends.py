"""The end of a process: noticed by a pidfd, told by the kernel, and collected.

Nothing is remembered here. Known wart: `look` blocks when the child has not ended; call it on its event only.
"""

import contextlib
import os
import signal

from . import Ended

TAKEN = "unknown: somebody else in this process collected its exit status"


def handle(pid: int) -> int:
    """A pidfd of a child that was just started; where there is none to be had the child is ended. Raises OSError."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        raise


def look(pid: int) -> Ended:
    """How it ended, without reaping it."""
    try:
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:
        return Ended(reason=TAKEN)
    assert found is not None
    if found.si_code == os.CLD_EXITED:
        return Ended(code=found.si_status)
    return Ended(signal=found.si_status)


def reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def has_pidfds() -> bool:
    """False on other systems, on old kernels, and where a sandbox forbids them."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True
