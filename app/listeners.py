"""Binding the sockets that the service listens on, and saying who is there when that fails.

Sockets are bound before anything slow is imported, so that an early browser waits instead of failing. Nothing here
speaks HTTP. Known wart: the holder of a taken port is named on Linux only, and only when /proc lets us see it.
"""

import contextlib
import errno
import grp
import ipaddress
import logging
import math
import os
import resource
import socket
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .settings import answers

SEND_BUFFER = 64 * 1024
"""Bytes of kernel send buffer a connection: 30 stalled readers held 117 MiB with the default, 8 MiB with this."""

BACKLOG = 512

RESERVED = 16
"""Descriptors that no connection of TCP gets, or an eighth of all."""

QUIET = 10.0
"""Seconds between two lines about connections that are refused."""

log = logging.getLogger("quarterdeck.listeners")


class CannotListen(Exception):
    """An address cannot be listened on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: `host` and `port`, or the `path` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Reads `127.0.0.1:7440`, `[::1]:7440`, `localhost:7440`, `:7440` (all interfaces), or `unix:PATH`."""
        if text.startswith("unix:"):
            return cls(path=text.removeprefix("unix:"))
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise CannotListen(f"listen: {text!r} is no address; write HOST:PORT, for example 127.0.0.1:7440")
        return cls(host=host.strip("[]") or "0.0.0.0", port=int(port))  # noqa: S104 - only when it is asked for

    @property
    def loopback(self) -> bool:
        if self.path or self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Door:
    """A Unix socket that is listened on, which somebody who sweeps old files may take the name of."""

    path: Path
    group: str = ""

    def stands(self) -> bool:
        """Whether its name is there. Another program's may be, which is then left alone."""
        return os.path.lexists(self.path)

    def reopen(self) -> socket.socket:
        """Gives a listening socket under the name again. Raises `CannotListen`."""
        return _bind_path(self.path, self.group)


class Listener(socket.socket):
    """A listening socket that leaves some descriptors free: for workers, and for whoever comes by a Unix socket.

    asyncio would log each connection that finds no descriptor, thousands a second, and accept nobody for a second.
    """

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises ConnectionAbortedError, which asyncio passes over, where there is nobody or nothing to accept with."""
        try:
            connection, where = super().accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                _say_full()
                raise ConnectionAbortedError(error.errno, error.strerror) from error
            raise
        if self.family != socket.AF_UNIX and connection.fileno() >= room_for_strangers():
            connection.close()
            _say_full()
            raise ConnectionAbortedError(errno.EMFILE, "the descriptors that are left are for others")
        return connection, where


def room_for_strangers() -> float:
    """The number from which on descriptors are not for connections of TCP; the kernel gives the lowest free one."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if limit == resource.RLIM_INFINITY else limit - max(RESERVED, limit // 8)


_said: list[float] = []


def _say_full() -> None:
    now = time.monotonic()
    if not _said or now - _said[0] > QUIET:
        _said[:] = [now]
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        log.warning(
            "connections are refused: no file descriptor is left for them; raise the limit of %d (ulimit -n)", limit
        )


def bind(address: Address, group: str = "") -> socket.socket:
    """Gives a listening socket for the address; raises `CannotListen` with the holder and the remedy.

    A Unix socket is for its owner alone, and for the members of `group` when that is named.
    """
    return _bind_path(Path(address.path), group) if address.path else _bind_port(address)


def _bind_port(address: Address) -> socket.socket:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CannotListen(f"listen: the host {address.host!r} is not known ({error.strerror or error})") from error
    family, kind, protocol, _, where = found[0]
    listener = Listener(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListen(_why_not(address, error)) from error
    listener.setblocking(False)
    return listener


def _why_not(address: Address, error: OSError) -> str:
    if error.errno == 98:  # EADDRINUSE
        holder = port_holder(address.port)
        by = f" by {holder}" if holder else ""
        return (
            f"{address} is already in use{by}; end that program, or choose another address: "
            f'listen = "{address.host}:{address.port + 1}" under [service], or QUARTERDECK_LISTEN'
        )
    if error.errno == 13:  # EACCES
        return f"{address}: ports below 1024 are for root; choose a higher one under [service] listen"
    return f"cannot listen on {address}: {error.strerror}"


def _bind_path(path: Path, group: str) -> socket.socket:
    """Takes the place of a stale socket, never that of one behind which somebody answers."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise CannotListen(f"{path} is there and is no socket; move it away or choose another place")
        if answers(path):
            raise CannotListen(f"another program listens on {path}; end it, or choose another place")
        path.unlink()
    if len(os.fsencode(path)) > 100:
        raise CannotListen(f"the socket path {path} is too long for the system (100 bytes); choose a shorter --state")
    listener = Listener(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            listener.bind(os.fspath(path))
        finally:
            os.umask(before)
        if group:
            _open_to(path, group)
        listener.listen(BACKLOG)
    except (CannotListen, OSError) as error:
        listener.close()
        if isinstance(error, CannotListen):
            raise
        raise CannotListen(f"cannot listen on {path}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


def _open_to(path: Path, group: str) -> None:
    """Lets the members of a group connect. Its own folder has to let them pass, too."""
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except KeyError:
        raise CannotListen(f"socket_group: no group is named {group!r}; make it, or correct the name") from None
    path.chmod(0o660)


def port_holder(port: int) -> str:
    """Names the program that listens on a TCP port, as `NAME (pid N)`; "" when it cannot be seen."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table) as lines:
            for row in lines.readlines()[1:]:
                columns = row.split()
                if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{columns[9]}]")
    if not inodes:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(os.readlink(link) in inodes for link in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return ""
