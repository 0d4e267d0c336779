"""Who of the zoo is there, seen from outside: by marks in the arguments of processes, and by who is below whom.

Nothing of the product is used or believed here, neither its tags nor its lists. A process that forked has its parent's
arguments, whatever session, parent, or environment it has taken. Known wart: one that runs another program has lost its
mark; below its supervisor, where that adopts, it is found all the same.
"""

import contextlib
import os
import secrets
import signal
import socket
from pathlib import Path


class Marks:
    """The marks of one test, and the socket to which its workers say that they are up. Use as a context."""

    def __init__(self):
        self.address = f"qd-{secrets.token_hex(4)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.clear()
        self._socket.close()

    def words(self, name):
        """What a worker of the zoo is to do when all else is done; whatever it has forked has these words too."""
        return ("tell", self.address, name)

    def until(self, names):
        """Returns when each of them has said that it is up, once for each time that it stands here."""
        missing = list(names)
        while missing:
            missing.remove(self._socket.recv(100).decode())

    def forget(self):
        """Takes no account of what was said so far."""
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(100, socket.MSG_DONTWAIT):
                pass

    def of(self, name=None):
        """Pids of all that live and have this worker's mark, or any of this test.

        Looks again until nobody is new, since what forks and ends all the time is overtaken only so.
        """
        mark = f"\0{self.address}\0{name or ''}".encode() + (b"\0" if name else b"")
        seen, found = set(), []
        while fresh := _everyone() - seen:
            found += [pid for pid in sorted(fresh) if mark in _content(pid, "cmdline") and alive(pid)]
            seen |= fresh
        return found

    def clear(self):
        """Ends whoever is left of this test."""
        while left := self.of():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def below(pid):
    """Everything that lives and descends from this process, by who is whose parent."""
    parents = {}
    for other in _everyone():
        if fields := _stat(other):
            parents.setdefault(int(fields[1]), []).append(other)
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        todo += children
        found += children
    return [pid for pid in found if alive(pid)]


def alive(pid):
    """Whether it runs; a zombie does not."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in (b"Z", b"X")


def _everyone():
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _stat(pid):
    return _content(pid, "stat").rpartition(b")")[2].split()


def _content(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
