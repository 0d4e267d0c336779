"""The sockets that the service listens on, all of them, and what a person would call them.

Which addresses may be listened on is decided in `preflight.py`, how one is bound is in `listeners.py`.
"""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from supervisor_core.config import Config

from .listeners import Address, Door, bind
from .preflight import listen_addresses, refuse_open_doors
from .settings import Instance, UpOptions


@contextlib.contextmanager
def listening(
    options: UpOptions, config: Config, instance: Instance
) -> Iterator[tuple[list[socket.socket], list[Door]]]:
    """The listening sockets, and those of them that have a name in the file system."""
    addresses = listen_addresses(options, config)
    refuse_open_doors(addresses, options, config)
    group = config.service.socket_group or ""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(bind(address, group)) for address in addresses]
        listeners.append(stack.enter_context(bind(Address(path=str(instance.socket)))))
        doors = [Door(Path(address.path), group) for address in addresses if address.path]
        yield listeners, [*doors, Door(instance.socket)]


def url_of(listener: socket.socket) -> str:
    """Gives the address that a browser on this machine would use."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - asked for, and shown as what works here
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
