"""The socket on which a run says by itself how it is, as sd_notify(3) has it: READY=1, STATUS=, WATCHDOG=1, STOPPING=1.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html

One datagram socket a run, bound before its program starts and read when that runs. The kernel says who sent a message;
one that comes from outside the run's tree is not believed. Unknown fields are passed over. BARRIER=1 is answered by
closing the descriptor that came with it.

Known wart: a sender that has ended and was collected before its message is read cannot be told from a stranger.
"""

import array
import asyncio
import contextlib
import hashlib
import os
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..children import TAG, procfs

LONGEST_PATH = 107
"""Bytes of a socket's path that the kernel takes."""

LARGEST = 4096
AT_ONCE = 64
"""Messages that are read in one turn of the loop."""

COMPLAINTS = 3
DEPTH = 64
_CREDENTIALS = struct.Struct("3i")

Heed = Callable[[Mapping[str, str]], object]


def address_of(folder: str | None, instance: str, worker: str, run: int, *, foreign: bool) -> str:
    """Where a run's socket is: a file in `folder`, or a name that is in no folder ("@…"), always the same for it.

    Without a folder, for a path that is too long, and for a run of another user, who may not enter the folder.
    """
    name = f"{hashlib.blake2b(worker.encode(), digest_size=6).hexdigest()}.{run}"
    path = os.path.join(folder, name) if folder else ""
    if not path or foreign or len(os.fsencode(path)) > LONGEST_PATH:
        return f"@quarterdeck/{instance}/{name}"
    return path


def clear(folder: str, keep: Iterable[str]) -> None:
    """Takes away what an earlier service left, but for these addresses."""
    kept = {os.path.basename(address) for address in keep}
    with contextlib.suppress(OSError):
        for path in Path(folder).iterdir():
            if path.name not in kept:
                path.unlink(missing_ok=True)


class NotifySocket:
    """Bound at once; `listen` begins to read. Raises OSError when it cannot be bound."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            if not address.startswith("@"):
                os.makedirs(os.path.dirname(address), mode=0o700, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(address)
            self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        except BaseException:
            self._socket.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._complaints = 0

    def listen(self, heed: Heed, belongs: Callable[[int], bool], complain: Callable[[str], object]) -> None:
        """Calls `heed` with the fields of each message from who `belongs`, `complain` of the first others."""
        self._heed, self._belongs, self._complain = heed, belongs, complain
        self._loop.add_reader(self._socket.fileno(), self.read)

    def read(self) -> None:
        """Takes what has come, a bounded number of messages."""
        for _ in range(AT_ONCE):
            if self._socket.fileno() < 0:
                return
            try:
                data, rest, _, _ = self._socket.recvmsg(LARGEST, 1024)
            except OSError:
                return
            pid = self._look_at(rest)
            fields = fields_of(data)
            if self._belongs(pid):
                self._heed(fields)
            elif fields.keys() - {"BARRIER"} and self._complaints < COMPLAINTS:
                self._complaints += 1
                name = procfs.name(pid) if pid else ""
                who = f"pid {pid} {name}".rstrip() if pid else "somebody whom this service cannot see"
                self._complain(f"a message on its notify socket is not believed: it came from {who}, none of its own")

    def close(self) -> None:
        """May be called twice."""
        if self._socket.fileno() >= 0:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            if not self.address.startswith("@"):
                with contextlib.suppress(OSError):
                    os.unlink(self.address)

    def _look_at(self, rest: list[tuple[int, int, bytes]]) -> int:
        """Who sent it; closes descriptors that came along, for which a sender may be waiting."""
        pid = 0
        for level, kind, data in rest:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                pid = int(_CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0])
            elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds = array.array("i")
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
                for fd in fds:
                    os.close(fd)
        return pid


def fields_of(data: bytes) -> dict[str, str]:
    """NAME=VALUE lines; others are passed over, and of two with the same name the last one counts."""
    lines = (line.partition("=") for line in data.decode("utf-8", "replace").splitlines())
    return {name: text for name, equals, text in lines if equals}


def descends(pid: int, main: int, tag: str) -> bool:
    """Whether a process is `main` or below it, or an orphan of that run, which its environment says."""
    for _ in range(DEPTH):
        if pid == main:
            return True
        proc = procfs.read(pid) if pid > 1 else None
        if proc is None:
            return False
        if tag in procfs.setting(pid, TAG).split():
            return True
        pid = proc.parent
    return False
