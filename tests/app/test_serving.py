"""A server that leaves while its listening socket goes on: it answers whom it has accepted, and takes nobody else."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.serving import Server
from app.web import peer
from app.web.peer import PeerProtocol

pytestmark = [pytest.mark.asyncio, pytest.mark.row(39)]

ASKS = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def hello(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


class Serving:
    """A server on one of two descriptors of a socket, as when a keeper has the other one. Use as a context."""

    async def __aenter__(self) -> "Serving":
        self.kept = socket.create_server(("127.0.0.1", 0))
        self.server = Server(hello, protocol=PeerProtocol)
        self.server.hurry()
        self.task = asyncio.create_task(self.server.run_on([self.kept.dup()]))
        while not self.server.started:  # noqa: ASYNC110 - each turn does some of it
            await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.leave.set()
        await self.task
        self.kept.close()

    def connect(self) -> socket.socket:
        """The kernel accepts; the server has not heard of it."""
        return socket.create_connection(self.kept.getsockname())

    async def accepted(self) -> None:
        while not self.server.server_state.connections:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0)


async def read(way: socket.socket) -> bytes:
    way.setblocking(False)
    found = b""
    while data := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(way, 65536), 10):
        found += data
    return found


async def test_who_is_accepted_in_the_turn_in_which_it_leaves_is_answered() -> None:
    async with Serving() as serving:
        with serving.connect() as way:
            way.sendall(ASKS)
            asyncio.get_running_loop().call_soon(serving.server.leave.set)  # before the loop hears of the connection
            assert (await read(way)).endswith(b"hello")


async def test_who_was_accepted_just_before_may_still_ask() -> None:
    async with Serving() as serving:
        with serving.connect() as way:
            await serving.accepted()
            serving.server.leave.set()
            while serving.server.servers[0].is_serving():  # noqa: ASYNC110 - the same
                await asyncio.sleep(0)
            way.sendall(ASKS)
            assert (await read(way)).endswith(b"hello")


async def test_who_does_not_ask_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "HEAD_SECONDS", 1000)
    async with Serving() as serving:
        with serving.connect() as way:
            await serving.accepted()
            serving.server.leave.set()
            assert await read(way) == b""
            await serving.task


async def test_who_comes_later_waits_for_whoever_has_the_socket_then() -> None:
    async with Serving() as serving:
        serving.server.leave.set()
        await serving.task
        with serving.connect() as way:
            way.sendall(ASKS)
            connection, _ = serving.kept.accept()
            with connection:
                assert connection.recv(65536) == ASKS
