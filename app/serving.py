"""uvicorn as this service needs it: no signal handlers, no tick, an end that it is told.

uvicorn's own main loop wakes ten times a second for a date header and an exit flag; this one awaits an event, so an
idle service costs nothing. Known wart: `shutdown` is uvicorn's own and looks every 0.1 s whether connections are gone.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn

GRACE = 2.0
"""Seconds that open requests get to end once the streams have said good-bye."""

HURRY = 0.2
"""The same when others wait for the successor, which takes those requests again."""


class Server(uvicorn.Server):
    """Serves one application on sockets that are already bound, until `leave` is set."""

    def __init__(self, app: Any, *, protocol: Any = "httptools") -> None:
        super().__init__(
            uvicorn.Config(
                self._answer,
                interface="asgi3",
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                date_header=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=int(GRACE),
                timeout_keep_alive=75,
            )
        )
        self.leave = asyncio.Event()
        self._app = app

    def hurry(self) -> None:
        """Leaves open requests less time to end."""
        self.config.timeout_graceful_shutdown = HURRY  # type: ignore[assignment]  # asyncio takes parts of a second

    async def run_on(self, sockets: Sequence[socket.socket]) -> None:
        """Accepts on `sockets` (and closes them) until `leave` is set and open requests have ended."""
        await self.serve(sockets=list(sockets))

    async def also_on(self, listener: socket.socket) -> None:
        """Accepts on one more socket while it serves, in the place of an earlier one with the same name.

        Connections that came by the earlier one stay.
        """
        loop = asyncio.get_running_loop()
        for server in list(self.servers):
            if any(old.getsockname() == listener.getsockname() for old in server.sockets):
                server.close()
                self.servers.remove(server)
        self.servers.append(await loop.create_server(self._protocol, sock=listener, backlog=self.config.backlog))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts nobody any more; who has been accepted gets a connection first, else asyncio would drop it."""
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for listener in server.sockets:
                loop.remove_reader(listener)
        for _ in range(2):  # one turn for the connection, one for what it was made for
            await asyncio.sleep(0)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        """One connection, made as uvicorn makes it for the sockets that it begins with."""
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """Has the application answer; who is not done when the time to leave is over is cut off, quietly."""
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            drop = (scope.get("extensions") or {}).get("quarterdeck", {}).get("abort")
            if not self.leave.is_set() or drop is None:
                raise
            drop()
            await asyncio.sleep(0)  # the connection hears of it before we return

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.leave.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the process's signals alone: `server.py` decides what they mean."""
        yield
