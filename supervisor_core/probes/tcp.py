"""Whether something accepts connections at HOST:PORT or unix:PATH. Also the way to an address for `http`.

Names are looked up in a thread of their own, one at a time a probe: the system's resolver may take half a minute, and
cannot be interrupted. `localhost` and numbers are not looked up at all.
"""

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
from collections.abc import Awaitable, Callable

from ..calling import call
from ..declared import Probe
from . import LATE, Answer, Look

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

LIMIT = 64 * 1024
"""Bytes that a stream holds at most."""


class Names:
    """Looks up the addresses of one host, again and again."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._fixed: tuple[str, ...] = ()
        self._asking: asyncio.Task[tuple[str, ...]] | None = None
        if host.lower() == "localhost":
            self._fixed = ("127.0.0.1", "::1")
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(host.partition("%")[0])
            self._fixed = (host,)

    async def addresses(self) -> tuple[str, ...]:
        """Raises OSError; cancelled, the lookup goes on, and the next call waits for that one."""
        if self._fixed:
            return self._fixed
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(call(_look_up, self.host))
            self._asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
        return await asyncio.shield(self._asking)

    def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()


def _look_up(host: str) -> tuple[str, ...]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(info[4][0]) for info in found))


async def connect(names: Names | None, port: int, path: str = "", tls: ssl.SSLContext | None = None) -> Streams:
    """A connection to the first address that takes one, or to the socket at `path`. Raises OSError.

    With `tls` the host's name is sent, so that a server of many hosts knows which one is meant.
    """
    if names is None:
        return await asyncio.open_unix_connection(path, limit=LIMIT)
    last: OSError | None = None
    for address in await names.addresses():
        try:
            host = names.host if tls is not None else None
            return await asyncio.open_connection(address, port, limit=LIMIT, ssl=tls, server_hostname=host)
        except OSError as error:
            last = last or error
    raise last or OSError("it has no address")


def why(error: BaseException) -> str:
    """An error of the network in a few words."""
    if isinstance(error, ConnectionError | TimeoutError) and error.errno:
        return os.strerror(error.errno).lower()
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def close(writer: asyncio.StreamWriter) -> None:
    """At once, whatever was still to be sent: nobody waits for a peer that is stuck."""
    with contextlib.suppress(Exception):
        writer.transport.abort()


def look_of(probe: Probe) -> tuple[Look, Callable[[], None]]:
    """A look, and the way out."""
    host, _, port = probe.target.rpartition(":")
    is_path = probe.target.startswith("unix:")
    names = None if is_path else Names(host.removeprefix("[").removesuffix("]"))
    path = probe.target.removeprefix("unix:") if is_path else ""

    async def once() -> Answer:
        _, writer = await connect(names, 0 if is_path else int(port), path)
        close(writer)
        return Answer(True, "it accepts connections")

    async def look() -> Answer:
        return await within(probe.timeout, once)

    return look, names.close if names else lambda: None


async def within(seconds: float, once: Callable[[], Awaitable[Answer]]) -> Answer:
    """Makes an answer of whatever happens within the time."""
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds
    try:
        async with asyncio.timeout(seconds):
            return await once()
    except TimeoutError:
        text = f"no answer within {seconds:g} s"
    except (OSError, EOFError, ValueError) as error:
        text = why(error)
    return Answer(False, text, late=loop.time() - due > LATE)
