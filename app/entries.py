"""The sockets that the service listens on, all of them: what each is for, and whether it is bound or inherited here.

Which addresses may be listened on is decided in `preflight.py`, how one is bound is in `listeners.py`. Known wart: a
Unix socket is known again by device and inode of its name, which the file system may give to another file after it.
"""

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from supervisor_core.config import Config

from .listeners import Address, CannotListen, Door, Listener, bind
from .preflight import listen_addresses, refuse_open_doors
from .settings import Instance, UpOptions

Inherited = Sequence[tuple[Any, int]]
"""What a predecessor listened on: what `Entries.told` said of it, and a descriptor, which is taken over."""


class Entries:
    """Those that listen now. `told` says what each is for, so that a successor finds those it needs."""

    def __init__(self, wanted: Sequence[tuple[Address, str]]) -> None:
        """`wanted` are addresses, each with the group that a Unix socket is open to."""
        self._wanted = wanted
        self._found: dict[int, tuple[Any, socket.socket]] = {}

    @property
    def listeners(self) -> list[socket.socket]:
        return [listener for _, listener in self.told()]

    @property
    def doors(self) -> list[Door]:
        """Those with a name in the file system."""
        return [Door(Path(address.path), group) for address, group in self._wanted if address.path]

    def open(self, inherited: Inherited = ()) -> None:
        """Takes those that are still wanted, ends the others for everybody, and binds what is missing.

        Raises `CannotListen`.
        """
        left: list[tuple[Any, socket.socket]] = [(about, Listener(fileno=fd)) for about, fd in inherited]
        for number, one in enumerate(self._wanted):
            self._take(number, told_of(*one), left)
        for _, listener in left:
            end(listener)
        try:
            for number, one in enumerate(self._wanted):
                if number not in self._found:
                    listener = bind(*one)
                    self._found[number] = told_of(*one), listener
        except CannotListen:
            self.close()
            raise

    def replace(self, listener: socket.socket) -> None:
        """A Unix socket whose name was lost listens again, by another one."""
        for number, (address, group) in enumerate(self._wanted):
            if address.path and Path(address.path) == Path(listener.getsockname()):
                self._found[number] = told_of(address, group), listener

    def told(self) -> list[tuple[Any, socket.socket]]:
        """See the class. What is said goes through JSON."""
        return [self._found[number] for number in sorted(self._found)]

    def close(self) -> None:
        for listener in self.listeners:
            listener.close()

    def _take(self, number: int, wanted: Any, left: list[tuple[Any, socket.socket]]) -> None:
        """The first one of `left` that is for what is wanted, and listens; then it is not left any more."""
        for one in left if wanted is not None else ():
            about, listener = one
            if about == wanted and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                listener.setblocking(False)
                self._found[number] = one
                left.remove(one)
                return


@contextlib.contextmanager
def listening(options: UpOptions, config: Config, instance: Instance, inherited: Inherited = ()) -> Iterator[Entries]:
    """All that the config and the command line ask for, and the instance's own socket."""
    addresses = listen_addresses(options, config)
    refuse_open_doors(addresses, options, config)
    group = config.service.socket_group or ""
    entries = Entries([*((address, group) for address in addresses), (Address(path=str(instance.socket)), "")])
    entries.open(inherited)
    try:
        yield entries
    finally:
        entries.close()


def told_of(address: Address, group: str) -> dict[str, Any] | None:
    """What a socket is for, and of a Unix socket also which file has its name now; None where none has."""
    if not address.path:
        return {"address": str(address)}
    try:
        file = os.lstat(address.path)
    except OSError:
        return None
    return {"address": str(address), "group": group, "file": [file.st_dev, file.st_ino]}


def end(listener: socket.socket) -> None:
    """Has nobody listen on it any more, whoever else has it; so its address is free at once."""
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def url_of(listener: socket.socket) -> str:
    """Gives the address that a browser on this machine would use."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - asked for, and shown as what works here
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
