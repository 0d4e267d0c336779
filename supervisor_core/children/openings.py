"""Where the output of a program comes from: two pipes, one, or a pseudo-terminal. Opens and asks them, moves no bytes.

Known wart: a terminal has an input that nobody types into, so a program that reads it waits instead of meeting an end.
"""

import array
import fcntl
import os
import termios
from collections.abc import Mapping

from . import LaunchRequest

COLUMNS, LINES = 80, 24


def streams(request: LaunchRequest) -> tuple[str, ...]:
    return ("out",) if request.merge_stderr or request.tty else ("out", "err")


def open_output(request: LaunchRequest) -> tuple[int, int]:
    """Gives the reading and the writing end of one stream."""
    return _terminal(request.environment) if request.tty else os.pipe()


def waiting(fd: int) -> int:
    """Bytes that can be read now."""
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def _terminal(environment: Mapping[str, str]) -> tuple[int, int]:
    """A terminal that changes no byte of the output and echoes nothing; of the size in COLUMNS and LINES."""
    ours, theirs = os.openpty()
    try:
        attributes = termios.tcgetattr(theirs)
        attributes[1] &= ~termios.OPOST
        attributes[3] &= ~(termios.ECHO | termios.ECHONL)
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
        termios.tcsetwinsize(theirs, (_size(environment, "LINES", LINES), _size(environment, "COLUMNS", COLUMNS)))
    except BaseException:
        os.close(ours)
        os.close(theirs)
        raise
    return ours, theirs


def _size(environment: Mapping[str, str], name: str, otherwise: int) -> int:
    text = environment.get(name, "")
    return int(text) if text.isdecimal() and 0 < int(text) <= 10_000 else otherwise
