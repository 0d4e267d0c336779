"""What a command by hand is given to read, and how bytes become lines of the log.

An input that may block (a pipe, a terminal, a socket) is read in a thread of its own; all else in the loop, as fast as
the command takes it. Known wart: such a thread stays until its read returns.
"""

import asyncio
import contextlib
import io
import logging
import os
import stat
from collections.abc import Callable
from typing import IO, Any

from .calling import start_thread
from .flag import post
from .lines import Cutter

Input = str | bytes | IO[Any] | None

PORTION = 64 * 1024


class LineLog:
    """Calls `write` with each line of what it is fed; b"" is the end and completes an open one."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._cutter = Cutter(0)

    def feed(self, data: bytes) -> None:
        last = None if data else self._cutter.close()
        for _, line in self._cutter.feed(data) if last is None else [last]:
            self._write(line.decode(errors="replace").removesuffix("\r"))


class Feeder:
    """Feeds one input through a pipe. `read` is the end for the command; `begin` closes our copy of it."""

    def __init__(self, source: IO[Any], lines: LineLog) -> None:
        self.read, self._write = os.pipe()
        self._source = source
        self._lines = lines
        self._pending = b""
        self._loop = asyncio.get_running_loop()
        self._in_thread = _may_block(source)

    @classmethod
    def of(cls, given: Input, lines: LineLog) -> "Feeder | None":
        match given:
            case None:
                return None
            case str():
                return cls(io.BytesIO(given.encode()), lines)
            case bytes():
                return cls(io.BytesIO(given), lines)
            case _:
                return cls(given, lines)

    def begin(self, *, started: bool) -> None:
        """Begins to feed, if the command was started."""
        os.close(self.read)
        if not started:
            os.close(self._write)
            self._write = -1
            return
        os.set_blocking(self._write, False)
        self._next()

    def close(self) -> None:
        """The command reads no more, or there is no more. May be called twice."""
        if self._write >= 0:
            self._loop.remove_writer(self._write)
            os.close(self._write)
            self._write = -1

    def _next(self) -> None:
        if self._in_thread:
            start_thread("read an input", self._read_in_thread)
        else:
            self._got(_portion(self._source))

    def _read_in_thread(self) -> None:
        post(self._loop, self._got, _portion(self._source))

    def _got(self, portion: bytes | Exception) -> None:
        if self._write < 0:
            return
        if isinstance(portion, Exception):
            logging.getLogger("supervisor_core").error("an input cannot be read: %s", portion)
            portion = b""
        self._lines.feed(portion)
        if portion:
            self._pending = portion
            self._loop.add_writer(self._write, self._put)
        else:
            self.close()

    def _put(self) -> None:
        try:
            count = os.write(self._write, self._pending)
        except BlockingIOError:
            return
        except BrokenPipeError:  # it ended, or wants no more
            self.close()
            return
        self._pending = self._pending[count:]
        if not self._pending:
            self._loop.remove_writer(self._write)
            self._next()


def _portion(source: IO[Any]) -> bytes | Exception:
    try:
        portion = getattr(source, "read1", source.read)(PORTION)
        return portion.encode() if isinstance(portion, str) else bytes(portion)
    except Exception as error:  # it is the user's object
        return error


def _may_block(source: IO[Any]) -> bool:
    """False for what is in memory and for files on a disk."""
    if isinstance(source, io.BytesIO | io.StringIO):
        return False
    with contextlib.suppress(OSError, AttributeError, ValueError):
        return not stat.S_ISREG(os.fstat(source.fileno()).st_mode)
    return True
