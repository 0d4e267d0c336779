"""How the keeper starts a program: fork, a gate that the child waits at, and what it reports when it cannot.

The child does nothing until it is let go, and lives no longer than who may let it go: so a keeper that is killed
between the fork and the record of it leaves no process that nobody knows. The keeper is small and has one thread, which
is why it may fork and run Python in the child at all.

A stream is a named pipe that the child itself opens, for reading and writing: it is never without a reader, so a
worker whose keeper is gone waits when the pipe is full, and is not ended by SIGPIPE.
"""

import contextlib
import os
import signal
from collections.abc import Sequence
from typing import NoReturn

from ..children import LaunchRequest, become
from ..children.limits import Parts

GO = b"g"


class Hatchling:
    """A child at the gate. `report` becomes readable when it runs its program (then at its end) or cannot."""

    def __init__(self, pid: int, gate: int, report: int) -> None:
        self.pid = pid
        self.report = report
        self._gate = gate

    def go(self) -> None:
        """Lets it become its program."""
        with contextlib.suppress(OSError):  # it has been ended meanwhile
            os.write(self._gate, GO)
        self.leave()

    def leave(self) -> None:
        """Closes the gate; a child that still waits at it ends."""
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1


def hatch(
    request: LaunchRequest, pipes: Sequence[str], terminal: int | None, parts: Parts, join: Sequence[str] = ()
) -> Hatchling:
    """Forks a child for the request, which waits. Raises OSError when there can be none.

    `pipes` are the paths of its streams, `terminal` the end of a pseudo-terminal that takes their place. The child
    opens the former and inherits the latter.
    """
    gate, letting = os.pipe()
    report, reporting = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # what is caught here is not for it
    try:
        pid = os.fork()
        if pid == 0:
            _child(request, pipes, terminal, parts, join, gate, letting, reporting)
    except BaseException:
        os.close(letting)
        os.close(report)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(gate)
        os.close(reporting)
    return Hatchling(pid, letting, report)


def _child(
    request: LaunchRequest,
    pipes: Sequence[str],
    terminal: int | None,
    parts: Parts,
    join: Sequence[str],
    gate: int,
    letting: int,
    reporting: int,
) -> NoReturn:
    """In the child: never returns. What is open here closes with exec."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.close(letting)
        if os.read(gate, 1) != GO:
            os._exit(0)
        try:
            _open_streams(request, pipes, terminal)
        except OSError as error:
            raise become.Failed("streams", error.errno or 0, error.filename or "") from error
        become.become(
            [os.fsencode(text) for text in request.argv],
            {os.fsencode(name): os.fsencode(text) for name, text in request.environment.items()},
            os.fsencode(request.directory),
            user=request.user or "",
            group=request.group or "",
            umask=-1 if request.umask is None else request.umask,
            nice=request.nice,
            limits=parts.rlimits,
            join=join,
            terminal=request.tty,
            ready=lambda: os.write(reporting, become.READY),
        )
    except become.Failed as error:
        os.write(reporting, f"{error.step}\n{error.number}\n{error.text}".encode("utf-8", "surrogateescape"))
    except BaseException as error:
        os.write(reporting, f"unknown\n0\n{error!r}".encode("utf-8", "replace"))
    finally:
        os._exit(127)


def _open_streams(request: LaunchRequest, pipes: Sequence[str], terminal: int | None) -> None:
    if terminal is not None:
        ends = [terminal]
    else:
        ends = [os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC) for path in pipes]
    if request.stdin is not None:
        entrance = request.stdin
    else:
        entrance = terminal if terminal is not None else os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for fd, number in ((entrance, 0), (ends[0], 1), (ends[-1], 2)):
        os.dup2(fd, number)
