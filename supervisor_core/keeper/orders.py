"""What a keeper is told when it starts: by `up`, by a service whose keeper has died, or by itself for an upgrade.

It goes through a file without a name that the new program inherits, since it names other descriptors that it inherits.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..children import room
from ..errors import SupervisorError
from ..failing import point

CHANNEL = "QUARTERDECK_KEEPER"
"""The variable that tells a service which of its descriptors leads to its keeper."""

NEXT = "QUARTERDECK_SUCCESSOR"
"""The variable that tells a service that it waits for another one to end."""

HELD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Wait, from before there is a keeper or a service until it can take them: else they would end it and not the whole."""

TRIES, PAUSE = 40, 0.05
"""Looks at a lock that is held, and the seconds between them."""


@dataclass(frozen=True, slots=True)
class Orders:
    """`state` is the folder of the instance, `instance` its name in the tags of runs, `service` the command of it.

    `lock` is a descriptor that holds the instance, -1 to take it. `pid` and `channel` are those of a service that
    runs already, else 0 and -1; `awaits`: it will hand over descriptors first. `adopted`: runs come from an earlier
    keeper that is gone, so orphans may be anywhere. `handed` are descriptors of runs, by "RUN WORKER" and name; they
    come from this very process before it executed itself anew, which it did at `anew`, a reading of the monotonic clock
    (0: it did not); `come` says that a service had come up then.
    """

    state: str
    instance: str
    service: tuple[str, ...]
    lock: int = -1
    pid: int = 0
    channel: int = -1
    awaits: bool = False
    adopted: bool = False
    handed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    anew: float = 0.0
    come: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this keeper comes with the first service of a new life."""
        return self.pid != 0 and not (self.awaits or self.handed or self.anew)

    def write(self) -> int:
        """Gives a descriptor for the new program; it and all that are named go through its exec."""
        order = os.memfd_create("orders", 0)
        data = json.dumps(asdict(self)).encode()
        os.pwrite(order, data, 0)
        for fd in self._descriptors():
            os.set_inheritable(fd, True)
        return order

    @classmethod
    def read(cls, fd: int) -> "Orders":
        """Takes the descriptor over; what is named is for this process alone from now on."""
        with open(fd, "rb") as file:
            told: dict[str, Any] = json.loads(file.read())
        known = {name: told[name] for name in cls.__slots__ if name in told}
        orders = cls(**{**known, "service": tuple(told["service"])})
        for descriptor in orders._descriptors():
            os.set_inheritable(descriptor, False)
        return orders

    def _descriptors(self) -> Iterator[int]:
        yield from (fd for fd in (self.lock, self.channel) if fd >= 0)
        for names in self.handed.values():
            yield from names.values()


def command(python: str, orders: Orders) -> list[str]:
    """The program that carries them out. The caller's descriptor is in it, and closes with its exec."""
    program = os.path.join(os.path.dirname(__file__), "__main__.py")
    return [python, "-I", "-S", program, orders.state, str(orders.write())]


class Keepers:
    """The keepers that this process has started, which are its children."""

    def __init__(self) -> None:
        self._pids: list[int] = []

    def start(self, orders: Orders) -> socket.socket:
        """Starts one in a session of its own, and gives the channel to it; collects those that have ended."""
        self._pids = [pid for pid in self._pids if not _collected(pid)]
        ours, theirs = socket.socketpair()
        arguments = command(sys.executable, replace(orders, channel=theirs.fileno()))
        try:
            with room.as_given() as tell:
                pid = os.posix_spawn(arguments[0], arguments, os.environ, setsid=True, setsigmask=HELD)
                tell(pid)
            self._pids.append(pid)
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(int(arguments[-1]))
            theirs.close()
        return ours


def _collected(pid: int) -> bool:
    """Whether a child has ended; then nothing of it is left."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def write_holder(lock: int, about: Mapping[str, Any]) -> None:
    """Says in the lock file who holds it, in one piece: whoever is refused may read it at any moment.

    Without room for it that one is told less.
    """
    with contextlib.suppress(OSError):
        os.pwrite(lock, json.dumps(about).encode().ljust(min(os.fstat(lock).st_size, 4096)), 0)


def take_lock(orders: Orders) -> Orders:
    """Holds the instance, where that is not done already. Raises `SupervisorError` when another process does.

    Children that a killed keeper had just forked hold it for a moment after it.
    """
    if orders.lock >= 0:
        return orders
    fd = os.open(os.path.join(orders.state, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            select.select([], [], [], PAUSE)
            continue
        point("lock taken")
        holder: Any = None
        with contextlib.suppress(ValueError):
            holder = json.loads(os.pread(fd, 4096, 0))
        write_holder(fd, {**(holder if isinstance(holder, dict) else {}), "pid": os.getpid()})
        return replace(orders, lock=fd)
    os.close(fd)
    raise SupervisorError(f"another process runs the instance in {orders.state}")
