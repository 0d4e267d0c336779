"""The system calls around one child of this process: start it, notice its end, see how it ended, reap it.

Nothing is remembered here. Known wart: `look` blocks when the child has not ended; call it on its event only.
"""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable

from . import Ended, LaunchRequest

TAKEN = "unknown: somebody else in this process collected its exit status"


def start(request: LaunchRequest, ends: list[int]) -> int:
    """Starts the program and gives its pid. Popen is only the way to start: it must never wait for the child."""
    popen = subprocess.Popen(
        list(request.argv),
        cwd=request.directory,
        env=dict(request.environment),
        stdin=subprocess.DEVNULL if request.stdin is None else request.stdin,
        stdout=ends[0],
        stderr=ends[-1],
        start_new_session=True,
    )
    popen.returncode = 0
    return popen.pid


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


def watch(loop: asyncio.AbstractEventLoop, fd: int, call: Callable[[], None]) -> Callable[[], None]:
    """Calls when `fd` is readable; the way out closes it."""
    loop.add_reader(fd, call)

    def undo() -> None:
        nonlocal fd
        if fd >= 0:
            if not loop.is_closed():
                loop.remove_reader(fd)
            os.close(fd)
            fd = -1

    return undo


def has_pidfds() -> bool:
    """False on other systems, on old kernels, and where a sandbox forbids them."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True
