"""The web application on real sockets, and senders that are no well-behaved client."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import uvicorn

from app.web.peer import PeerProtocol
from tests.support.asgi import Site


@contextlib.asynccontextmanager
async def served(s: Site, listener: socket.socket) -> AsyncIterator[None]:
    """Serves the application on a socket, as the composition root does."""
    config = uvicorn.Config(
        s.app,
        http=PeerProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield
    finally:
        s.services.stopping.set()
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def on_tcp(s: Site, buffer: int = 0) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        async with served(s, listener):
            yield listener.getsockname()[1]


async def say(port: int, data: bytes, seconds: float = 5) -> bytes:
    """Sends some bytes and gives all that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(seconds):
            return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
