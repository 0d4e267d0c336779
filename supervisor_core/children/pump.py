"""From the pipes of workers to a log store. Synchronous and without an event loop: whoever waits for readiness calls.

A move is bounded, so that one flooding worker leaves the others their turn; a bound and a store, no policy.
"""

import array
import fcntl
import os
import termios

from ..logs import LogSink, StreamWriter

MOVE = 256 * 1024
"""Bytes of one move at most."""


class Pump:
    """Opens channels into one store."""

    def __init__(self, store: LogSink) -> None:
        self.store = store

    def open(self, worker: str, stream: str, run: int, fd: int) -> "Channel":
        """Takes the reading end `fd` over: it is made non-blocking, and closed at the end of the channel."""
        os.set_blocking(fd, False)
        return Channel(self.store.open_stream(worker, stream, run), fd)


class Channel:
    """One pipe. `fd` is -1 once it has ended. `trouble` is why the last move could not store anything, else None.

    While there is trouble the bytes stay in the pipe and the worker waits; ask again after a while, not at once.
    """

    def __init__(self, writer: StreamWriter, fd: int) -> None:
        self._writer = writer
        self.fd = fd
        self.trouble: OSError | None = None

    def fileno(self) -> int:
        return self.fd

    def move(self) -> bool:
        """Makes one bounded move; False when the stream has ended and was closed."""
        if self.fd < 0:
            return False
        try:
            count = self._writer.move(self.fd, MOVE)
        except BlockingIOError:
            self.trouble = None
            return True
        except OSError as error:
            self.trouble = error
            return True
        self.trouble = None
        if count == 0:
            self._finish()
            return False
        return True

    def close(self) -> None:
        """Takes what is in the pipe now, then ends it; a writer that goes on is not waited for."""
        if self.fd < 0:
            return
        left = _waiting(self.fd)
        try:
            while left > 0 and (count := self._writer.move(self.fd, min(left, MOVE))):
                left -= count
        except BlockingIOError:
            pass
        except OSError as error:
            self.trouble = error
        self._finish()

    def _finish(self) -> None:
        os.close(self.fd)
        self.fd = -1
        try:
            self._writer.end()
        except OSError as error:
            self.trouble = error


def _waiting(fd: int) -> int:
    """Bytes that can be read now."""
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]
