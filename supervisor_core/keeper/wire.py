"""What goes between keeper and service: JSON messages in frames, with descriptors, over a Unix stream socket.

A frame is the length of its message and the number of descriptors that come with it, both 32 bits in the host's order;
descriptors ride on the frame's first byte (unix(7)). A message is an object whose `t` says its kind.

The protocol only grows: who gets a kind or a field that it does not know passes over it, and `VERSION` in the first
message of each side says what the other may hope for. So an older keeper serves a newer service.
"""

import array
import contextlib
import errno
import json
import os
import select
import socket
import struct
from collections import deque
from typing import Any

VERSION = 2
"""2: listening sockets are handed over."""

Message = dict[str, Any]

_HEAD = struct.Struct("=II")

PIECE = 256 * 1024
"""Bytes of one read."""

READS = 64
"""Reads at once: a message with descriptors ends one."""

LARGEST = 64 * 1024 * 1024
"""Bytes that one message may have: a config of thousands of workers is far below."""

MOST_FDS = 64
"""Descriptors of one frame; the kernel takes 253."""


class Broken(Exception):
    """The other side is gone, or does not speak this protocol."""


class Wire:
    """One end. Never blocks in `receive`, and in `send` only when told to; what cannot be sent now is kept.

    Takes `channel` over. Raises `Broken` when the other end has gone.
    """

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._in = bytearray()
        self._fds: deque[list[int]] = deque()
        """Descriptors that came, each list with one frame; shorter where no more may be open here."""
        self._out: deque[tuple[memoryview, list[int]]] = deque()
        self.waiting = 0
        """Bytes that the other end has not taken yet."""

    def fileno(self) -> int:
        return self._channel.fileno()

    # ------------------------------------------------------------ out

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Sends, or keeps until `flush`; the descriptors are duplicated, so the caller may close its own.

        Raises OSError where they cannot be; then nothing is sent.
        """
        data = json.dumps(message, separators=(",", ":")).encode()
        frame = memoryview(_HEAD.pack(len(data), len(fds)) + data)
        with contextlib.ExitStack() as undo:
            ours = []
            for fd in fds:
                ours.append(os.dup(fd))
                undo.callback(os.close, ours[-1])
            undo.pop_all()
        self._out.append((frame, ours))
        self.waiting += len(frame)
        if len(self._out) == 1:
            self.flush()

    def flush(self) -> bool:
        """Sends what can be sent now; true when nothing is left. Raises `Broken`."""
        while self._out:
            frame, fds = self._out[0]
            try:
                sent = self._channel.sendmsg([frame], _rights(fds))
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno == errno.ETOOMANYREFS:  # too many descriptors are under way: later
                    return False
                raise Broken(str(error)) from error
            for fd in fds:
                os.close(fd)
            self.waiting -= sent
            if sent == len(frame):
                self._out.popleft()
            else:
                self._out[0] = frame[sent:], []
        return True

    def finish(self, seconds: float) -> None:
        """Waits until all is sent, so long at most."""
        poll = select.poll()
        poll.register(self._channel, select.POLLOUT)
        while not self.flush() and poll.poll(seconds * 1000):
            pass

    # ------------------------------------------------------------ in

    def receive(self) -> list[tuple[Message, tuple[int, ...]]]:
        """All whole messages that are there, each with its descriptors, which the caller owns. Raises `Broken`.

        A message whose descriptors could not all be opened here comes without any.
        """
        found: list[tuple[Message, tuple[int, ...]]] = []
        for _ in range(READS):
            try:
                more = self._read()
            except Broken:
                if not found:  # else the last words first, and the end when it is asked for again
                    raise
                break
            while (message := self._next()) is not None:
                found.append(message)
            if not more:
                break
        return found

    def _read(self) -> bool:
        """Takes what is there; false when that was nothing."""
        try:
            data, ancillary, flags, _ = self._channel.recvmsg(
                PIECE, socket.CMSG_SPACE(4 * MOST_FDS), socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return False
        except OSError as error:
            raise Broken(str(error)) from error
        numbers = array.array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                numbers.frombytes(content[: len(content) // numbers.itemsize * numbers.itemsize])
        if numbers or flags & socket.MSG_CTRUNC:
            self._fds.append(list(numbers))
        if not data:
            raise Broken("the other side has gone")
        self._in += data
        return True

    def _next(self) -> tuple[Message, tuple[int, ...]] | None:
        if len(self._in) < _HEAD.size:
            return None
        length, count = _HEAD.unpack_from(self._in)
        if length > LARGEST or count > MOST_FDS:
            raise Broken("what came is no message")
        if len(self._in) < _HEAD.size + length:
            return None
        data = bytes(self._in[_HEAD.size : _HEAD.size + length])
        del self._in[: _HEAD.size + length]
        try:
            message = json.loads(data)
            fds = _all_or_none(self._fds.popleft(), count) if count else ()
        except (ValueError, IndexError, RecursionError) as error:
            raise Broken("what came is no message") from error
        if not isinstance(message, dict):
            raise Broken("what came is no message")
        return message, fds

    def close(self) -> None:
        """Lets go of the socket and of descriptors that nobody took."""
        for fds in (*self._fds, *(fds for _, fds in self._out)):
            for fd in fds:
                os.close(fd)
        self._fds.clear()
        self._out.clear()
        self._channel.close()


def _all_or_none(fds: list[int], count: int) -> tuple[int, ...]:
    if len(fds) == count:
        return tuple(fds)
    for fd in fds:
        os.close(fd)
    return ()


def _rights(fds: list[int]) -> "list[tuple[int, int, array.array[int]]]":
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
