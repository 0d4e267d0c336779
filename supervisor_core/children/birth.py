"""Starts a program as a child of a process with threads and an event loop. Its end is `ends.py`.

Nothing is remembered here. Known wart: what a child has to do to itself costs a second interpreter, see `become.py`.
"""

import contextlib
import marshal
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import IO

from . import TAG, LaunchRequest, become, room
from .limits import Parts

READY = become.READY


def start(request: LaunchRequest, ends: list[int], parts: Parts, join: Sequence[str] = ()) -> tuple[int, int | None]:
    """Starts the program; gives its pid, and where it reports what it could not become (None: it runs already).

    Popen is only the way to start: it must never wait for the child. What a child has to do to itself is done by
    `become.py`, because for `user=` and its like Popen would fork for real. `join` are control groups to enter.
    """
    wishes = (request.user, request.group, request.nice, *parts.rlimits, *join)
    if request.tty or any(wish is not None for wish in wishes):
        return _start_becoming(request, ends, parts, join)
    with room.as_given() as tell:
        popen = subprocess.Popen(
            list(request.argv),
            cwd=request.directory,
            env=dict(request.environment),
            stdin=subprocess.DEVNULL if request.stdin is None else request.stdin,
            stdout=ends[0],
            stderr=ends[-1],
            start_new_session=True,
            umask=-1 if request.umask is None else request.umask,
        )
        tell(popen.pid)
    popen.returncode = 0
    return popen.pid, None


def _start_becoming(
    request: LaunchRequest, ends: list[int], parts: Parts, join: Sequence[str]
) -> tuple[int, int | None]:
    wish = {
        "run": (
            [os.fsencode(text) for text in request.argv],
            {os.fsencode(name): os.fsencode(text) for name, text in request.environment.items()},
            os.fsencode(request.directory),
        ),
        "user": request.user or "",
        "group": request.group or "",
        "umask": -1 if request.umask is None else request.umask,
        "nice": request.nice,
        "limits": list(parts.rlimits),
        "join": list(join),
        "terminal": request.tty,
    }
    with contextlib.ExitStack() as ours:
        order = ours.enter_context(nameless())
        marshal.dump(wish, order)
        order.seek(0)
        reading, writing = os.pipe()
        ours.callback(os.close, writing)
        tell = ours.enter_context(room.as_given())
        try:
            popen = subprocess.Popen(
                [sys.executable, "-I", "-S", become.__file__, str(order.fileno()), str(writing)],
                env={name: text for name, text in request.environment.items() if name == TAG},
                stdin=ends[0] if request.tty else subprocess.DEVNULL if request.stdin is None else request.stdin,
                stdout=ends[0],
                stderr=ends[-1],
                start_new_session=True,
                pass_fds=(order.fileno(), writing),
            )
        except BaseException:
            os.close(reading)
            raise
        tell(popen.pid)
    popen.returncode = 0
    return popen.pid, reading


def nameless() -> IO[bytes]:
    """A file without a name, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("order"), "w+b")
    import tempfile  # seldom needed, and slow to import

    return tempfile.TemporaryFile()
